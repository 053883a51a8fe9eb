//! A bucket of candidates, decided and put into rows.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;

use super::decide::{self, Action, Change, Facts, Lag, Verdict};
use super::last_set::{Entries, Last};
use super::matching::{self, CODE, FIRST_WANTED, GIVEN, SENTENCE};
use super::rows::{Row, Rows};
use crate::hubspot::Record;
use crate::load::config::Mode;
use crate::load::creating::Creating;
use crate::load::error::LoadError;
use crate::load::outcome::{Counts, Outcome};
use crate::load::policy::{Kept, Wanted};
use crate::load::rejects::Known;
use crate::load::target::{Target, TargetProperty};

/// The records of a bucket as HubSpot holds them now.
#[derive(Default)]
pub(crate) struct Fresh {
    /// The ids that were asked for.
    pub(crate) asked: HashSet<i64>,
    /// The records that answered.
    pub(crate) records: HashMap<i64, Record>,
}

/// Everything a bucket's decisions rest on.
pub(crate) struct Deciding<'a> {
    target: &'a Target,
    candidates: &'a RecordBatch,
    entries: &'a Entries,
    known: &'a Known,
    creating: &'a Creating,
    created: &'a HashSet<i64>,
    lag: Lag,
    /// How many candidates mean a record that several keys find.
    uses: HashMap<i64, u32>,
    /// Records that no row means by one key, and a row means by another.
    met: HashSet<usize>,
}

/// A bucket's rows and counts.
pub(crate) struct Decided {
    pub(crate) rows: Rows,
    pub(crate) counts: Counts,
}

impl<'a> Deciding<'a> {
    pub(crate) fn new(
        target: &'a Target,
        candidates: &'a RecordBatch,
        entries: &'a Entries,
        known: &'a Known,
        creating: &'a Creating,
        created: &'a HashSet<i64>,
        lag: Lag,
    ) -> Self {
        let shared = matching::shared(candidates);
        let absent = matching::absent(candidates);
        let mut uses = HashMap::new();
        for (row, id) in matching::record_ids(candidates).iter().enumerate() {
            let counts = shared.is_valid(row) && shared.value(row) && !absent.value(row);
            if let Some(id) = id.filter(|_| counts) {
                *uses.entry(id).or_insert(0) += 1;
            }
        }
        let met = met(candidates);
        Self { target, candidates, entries, known, creating, created, lag, uses, met }
    }

    /// The records that would be written if the mirror were right, and so are
    /// worth reading first.
    pub(crate) fn to_refresh(&self) -> Vec<i64> {
        let fresh = Fresh::default();
        let would_write = |row: &usize| {
            let action = self.row(*row, &fresh).action;
            matches!(action, Action::Update | Action::Defer | Action::Archive)
        };
        let ids = matching::record_ids(self.candidates);
        (0..ids.len())
            .filter(|row| ids.is_valid(*row))
            .filter(would_write)
            .map(|row| ids.value(row))
            .collect()
    }

    /// Decides every row.
    pub(crate) fn decide(&self, fresh: &Fresh) -> Result<Decided, LoadError> {
        let mut decided = Decided { rows: Rows::default(), counts: Counts::default() };
        for at in 0..self.candidates.num_rows() {
            let row = self.row(at, fresh);
            if matching::absent(self.candidates).value(at) {
                // A record with nothing of ours left on it is of no concern.
                if row.action == Action::Unchanged {
                    continue;
                }
                decided.counts.wanted += 1;
            }
            decided.counts.conflicts +=
                row.changes.iter().filter(|change| change.conflict).count() as u64;
            decided.counts.add(planned_outcome(row.action));
            if row.action != Action::Unchanged {
                decided.rows.push(&row)?;
            }
        }
        Ok(decided)
    }

    fn row<'b>(&'b self, at: usize, fresh: &'b Fresh) -> Row<'b> {
        let ids = matching::record_ids(self.candidates);
        let record_id = ids.is_valid(at).then(|| ids.value(at));
        if self.met.contains(&at) {
            return self.settled(at, record_id, None);
        }
        if let Some(code) = self.text(CODE, at) {
            return self.rejected(at, record_id, code, self.text(SENTENCE, at));
        }
        let Some(id) = record_id else {
            return self.rested(at, self.create(at), None);
        };
        if self.uses.get(&id).is_some_and(|uses| *uses > 1) {
            let sentence = "Several rows of the model mean this record, by different addresses: which one is right?";
            return self.rejected(at, record_id, "DUPLICATE_KEY", Some(sentence));
        }
        let is_absent = matching::absent(self.candidates).value(at);
        match fresh.records.get(&id) {
            None | Some(Record { archived: true, .. })
                if fresh.asked.contains(&id)
                    && (is_absent || self.target.mode == Mode::Archive) =>
            {
                self.settled(at, record_id, None)
            }
            _ if self.target.mode == Mode::Archive => self.rested(at, self.archive(at, id), None),
            record if is_absent => self.rested(at, self.clear(at, id, record), record),
            None if fresh.asked.contains(&id) => {
                let sentence = "HubSpot no longer shows this record: it was merged or deleted since the last extract";
                self.rejected(at, record_id, "OBJECT_NOT_FOUND", Some(sentence))
            }
            Some(record) if record.archived => self.rejected(
                at,
                record_id,
                "OBJECT_ARCHIVED",
                Some("The record is archived in HubSpot"),
            ),
            record => self.rested(at, self.update(at, id, record), record),
        }
    }

    fn update<'b>(&'b self, at: usize, id: i64, fresh: Option<&'b Record>) -> Row<'b> {
        let mut changes: Vec<Change<'b>> = (self.target.properties.iter().enumerate())
            .filter_map(|(number, property)| self.change(at, number, property, id, fresh))
            .collect();
        if self.target.mode == Mode::Create {
            changes.iter_mut().for_each(|change| change.verdict = Verdict::Keep(Kept::Exists));
        }
        let note = self.text(SENTENCE, at);
        let action = match decide::action(&changes) {
            Action::Unchanged if note.is_some() => Action::Keep,
            action => action,
        };
        let fingerprint = self.fingerprint(Some(id), &changes);
        Row {
            action,
            record_id: Some(id),
            match_key: self.text(GIVEN, at),
            changes,
            category: None,
            reason: note,
            fingerprint,
        }
    }

    /// A record that no row means any more.
    fn clear<'b>(&'b self, at: usize, id: i64, fresh: Option<&'b Record>) -> Row<'b> {
        let changes: Vec<Change<'b>> = (self.target.properties.iter().enumerate())
            .filter_map(|(number, property)| {
                decide::no_longer_wanted(
                    property,
                    self.facts(at, number, property, id, fresh),
                    self.lag,
                )
            })
            .collect();
        Row {
            action: decide::action(&changes),
            record_id: Some(id),
            match_key: self.text(GIVEN, at),
            fingerprint: self.fingerprint(Some(id), &changes),
            changes,
            category: None,
            reason: Some("The row has left the model"),
        }
    }

    /// A record that the model wants archived.
    fn archive(&self, at: usize, id: i64) -> Row<'_> {
        let row = self.settled(at, Some(id), None);
        match self.created.contains(&id) {
            true => Row {
                action: Action::Archive,
                fingerprint: decide::reason_fingerprint("archive", ""),
                ..row
            },
            false => Row {
                action: Action::Keep,
                reason: Some("hublake did not create this record, and archives none but its own"),
                ..row
            },
        }
    }

    /// A row with nothing to do.
    fn settled<'b>(
        &'b self,
        at: usize,
        record_id: Option<i64>,
        reason: Option<&'b str>,
    ) -> Row<'b> {
        Row {
            action: Action::Unchanged,
            record_id,
            match_key: self.text(GIVEN, at),
            changes: Vec::new(),
            category: None,
            reason,
            fingerprint: 0,
        }
    }

    fn change<'b>(
        &'b self,
        at: usize,
        number: usize,
        property: &'b TargetProperty,
        id: i64,
        fresh: Option<&'b Record>,
    ) -> Option<Change<'b>> {
        decide::property(property, self.facts(at, number, property, id, fresh), self.lag)
    }

    fn facts<'b>(
        &'b self,
        at: usize,
        number: usize,
        property: &'b TargetProperty,
        id: i64,
        fresh: Option<&'b Record>,
    ) -> Facts<'b> {
        let mirrored = || {
            Cow::Borrowed(
                self.text(FIRST_WANTED + self.target.properties.len() + number, at).unwrap_or(""),
            )
        };
        let updated_at = self.candidates.column(matching::UPDATED_AT).as_primitive::<Int64Type>();
        Facts {
            wanted: self.wanted(at, number),
            last: self.last(at, id, number),
            held: fresh.map_or_else(mirrored, |record| held_now(record, property)),
            updated_at: match fresh {
                Some(record) => record.updated_at,
                None => updated_at.is_valid(at).then(|| updated_at.value(at)),
            },
        }
    }

    /// What hublake last set: by record, else what a create whose answer was
    /// lost was to set under this row's key.
    fn last(&self, at: usize, id: i64, number: usize) -> Last<'_> {
        let last = self.entries.of(id, number);
        if last != Last::default() {
            return last;
        }
        let key = self.text(GIVEN, at).unwrap_or("");
        let name = &self.target.properties[number].name;
        Last { intended: self.creating.of(self.target, key, name), ..last }
    }

    fn create(&self, at: usize) -> Row<'_> {
        // A record that is not there yet holds nothing and was never set.
        let first = |(number, property)| {
            let facts = Facts {
                wanted: self.wanted(at, number),
                last: Last::default(),
                held: Cow::Borrowed(""),
                updated_at: None,
            };
            let change = decide::property(property, facts, self.lag)?;
            Some((property.name.as_str(), change))
        };
        let mut values: BTreeMap<&str, Change<'_>> =
            self.target.properties.iter().enumerate().filter_map(first).collect();
        if let (Some(property), Some(key)) = (self.target.key_property(), self.text(GIVEN, at)) {
            // Whatever its policy, a record is created with its key.
            values.insert(property, written_anew(property, self.target.key_form.held(key)));
        }
        let changes: Vec<Change<'_>> = values.into_values().collect();
        Row {
            action: Action::Create,
            record_id: None,
            match_key: self.text(GIVEN, at),
            fingerprint: self.fingerprint(None, &changes),
            changes,
            category: None,
            reason: self.text(SENTENCE, at),
        }
    }

    /// A row that HubSpot refused and that has not changed since is not sent; one
    /// that is sent is stamped.
    fn rested<'b>(&'b self, at: usize, row: Row<'b>, fresh: Option<&'b Record>) -> Row<'b> {
        if !matches!(row.action, Action::Update | Action::Create | Action::Archive) {
            return row;
        }
        match self.known.resting(self.text(GIVEN, at).unwrap_or(""), row.fingerprint) {
            None => self.stamped(row, fresh),
            Some(entry) => Row {
                action: Action::Reject,
                category: Some(&entry.category),
                reason: Some(&entry.message),
                ..row
            },
        }
    }

    /// Adds the stamps, where it is known what they replace.
    fn stamped<'b>(&'b self, mut row: Row<'b>, fresh: Option<&'b Record>) -> Row<'b> {
        if row.action == Action::Create || (row.action == Action::Update && fresh.is_some()) {
            row.changes.extend(stamps(self.target, fresh, self.lag.now));
        }
        row
    }

    fn rejected<'b>(
        &'b self,
        at: usize,
        record_id: Option<i64>,
        code: &'b str,
        sentence: Option<&'b str>,
    ) -> Row<'b> {
        let held_at = FIRST_WANTED + self.target.properties.len();
        let changes = self.target.properties.iter().enumerate().filter_map(|(number, property)| {
            let new = self.text(FIRST_WANTED + number, at)?;
            let old = self.text(held_at + number, at).unwrap_or("");
            let verdict = Verdict::Refuse;
            Some(Change {
                property: &property.name,
                new: new.into(),
                old: old.into(),
                last_set: None,
                verdict,
                conflict: false,
                theirs: false,
            })
        });
        Row {
            action: Action::Reject,
            record_id,
            match_key: self.text(GIVEN, at),
            changes: changes.collect(),
            category: Some(code),
            reason: sentence,
            fingerprint: decide::reason_fingerprint(code, sentence.unwrap_or("")),
        }
    }

    fn fingerprint(&self, record_id: Option<i64>, changes: &[Change<'_>]) -> i64 {
        let sends = changes.iter().filter(|change| change.verdict == Verdict::Write);
        let sends = sends.map(|change| (change.property, (&*change.new, &*change.old))).collect();
        decide::fingerprint(self.target, record_id, &sends)
    }

    fn wanted(&self, at: usize, number: usize) -> Wanted<'_> {
        match self.text(FIRST_WANTED + number, at) {
            None => Wanted::Skip,
            Some("") => Wanted::Clear,
            Some(value) => Wanted::Value(value),
        }
    }

    fn text(&self, column: usize, at: usize) -> Option<&str> {
        let texts: &StringArray = self.candidates.column(column).as_string();
        texts.is_valid(at).then(|| texts.value(at))
    }
}

/// The candidates that stand for a record which another candidate stands for:
/// a row of the model before the record alone, and the record once.
fn met(candidates: &RecordBatch) -> HashSet<usize> {
    let (ids, absent) = (matching::record_ids(candidates), matching::absent(candidates));
    if absent.true_count() == 0 {
        return HashSet::new();
    }
    let meant = (0..ids.len()).filter(|row| !absent.value(*row) && ids.is_valid(*row));
    let mut seen: HashSet<i64> = meant.map(|row| ids.value(row)).collect();
    (0..ids.len())
        .filter(|row| absent.value(*row) && ids.is_valid(*row))
        .filter(|row| !seen.insert(ids.value(*row)))
        .collect()
}

/// A value for a record that is created.
fn written_anew<'a>(property: &'a str, new: Cow<'a, str>) -> Change<'a> {
    let verdict = Verdict::Write;
    Change {
        property,
        new,
        old: "".into(),
        last_set: None,
        verdict,
        conflict: false,
        theirs: false,
    }
}

/// What is stamped on a record along with its changes; on a new one where none is
/// given. `now` in µs since 1970.
pub(crate) fn stamps<'a>(
    target: &'a Target,
    record: Option<&'a Record>,
    now: i64,
) -> impl Iterator<Item = Change<'a>> {
    target.stamps.iter().filter_map(move |(stamp, property)| {
        let old = record.map_or(Cow::Borrowed(""), |record| held_now(record, property));
        let new = stamp.value(now, &old)?;
        let new = if new.is_empty() { new } else { property.form.held(&new).into_owned() };
        let change = written_anew(&property.name, Cow::Owned(new));
        Some(Change { old, verdict: Verdict::Stamp, ..change })
    })
}

/// What a record that was just read holds, in comparable form.
pub(crate) fn held_now<'a>(record: &'a Record, property: &TargetProperty) -> Cow<'a, str> {
    let text = record.properties.get(&property.name).and_then(Option::as_deref).unwrap_or("");
    if text.is_empty() { Cow::Borrowed("") } else { property.form.held(text) }
}

fn planned_outcome(action: Action) -> Outcome {
    match action {
        Action::Unchanged => Outcome::Unchanged,
        Action::Keep => Outcome::Kept,
        Action::Update => Outcome::Updated,
        Action::Create | Action::Link => Outcome::Created,
        Action::Archive | Action::Unlink => Outcome::Archived,
        Action::Defer => Outcome::Deferred,
        Action::Reject => Outcome::Rejected,
    }
}
