//! A run taken back: its before-images planned as any other rows.
//!
//! Nothing is forced: a value goes back only while HubSpot still holds what the
//! run left there and hublake itself has not written it again. What is left
//! alone is in the plan with its reason.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::disk_manager::DiskManagerBuilder;
use tokio_util::sync::CancellationToken;

use super::decide::{self, Action, Change, Lag, Verdict};
use super::deciding::{Fresh, held_now};
use super::images::{self, Image, Later, Touched, Undone};
use super::refresh::Refresher;
use super::rows::{Heading, Row, Rows};
use super::sheet::Sheet;
use super::summary::PlanSummary;
use super::undo_links;
use super::{BUCKET_ROWS, MOST_BUCKETS};
use crate::hubspot::{Client, Record};
use crate::lake::Lake;
use crate::load::config::{
    GuardsConfig, MatchConfig, MatchKey, Mode, Nulls, OnAbsent, Policy, PropertyConfig,
    WriteBackConfig,
};
use crate::load::error::{LoadError, While};
use crate::load::guards::{self, Guard};
use crate::load::links::ListConfig;
use crate::load::mirror;
use crate::load::outcome::{Counts, Outcome};
use crate::load::policy::Kept;
use crate::load::restoring::{self, Owed};
use crate::load::target::{Target, TargetProperty};
use crate::load::written;
use crate::objects::PropertyDefinition;

pub use super::images::{UndoPart, undo_parts};

const DOING: &str = "planning an undo";

/// How long after its plan a request that was cut off may still be carried out:
/// longer than any call is waited for.
const ARRIVAL_MICROS: i64 = 5 * 60 * 1_000_000;

/// What to take back.
pub struct UndoRequest<'a> {
    /// The run that the plan belongs to.
    pub run_id: &'a str,
    /// The run to take back.
    pub undone: &'a str,
    /// What of it: one of [`undo_parts`].
    pub part: &'a UndoPart,
    /// The settings that the part is applied with: [`UndoPart::config`].
    pub config: &'a WriteBackConfig,
    /// Archive the records that the run created.
    pub archive_created: bool,
    /// The properties of its object, as the account has them.
    pub definitions: &'a [PropertyDefinition],
    /// Guards that may be passed this once.
    pub accepted: &'a BTreeSet<Guard>,
    /// How long HubSpot may show an older value after a write.
    pub index_lag: Duration,
    /// The time, µs since 1970, UTC.
    pub now: i64,
    /// When cancelled, planning ends with [`LoadError::Interrupted`].
    pub stop: CancellationToken,
}

impl UndoPart {
    /// Settings by which the part can be applied, whatever the project's say
    /// today: every value as it is planned, by record id.
    /// `list` is the list that the project's settings name, if they name one.
    pub fn config(&self, guards: GuardsConfig, list: Option<&ListConfig>) -> WriteBackConfig {
        let link = self.properties.first().map(String::as_str);
        match self.object.split_once('.') {
            None => plain_config(&self.object, self.properties.iter().map(String::as_str), guards),
            Some((object, target)) => {
                let plain = plain_config(object, std::iter::empty(), guards);
                undo_links::link_config(plain, target, link, list)
            }
        }
    }

    /// Whether it can be taken back at all: events cannot.
    pub fn can_be_undone(&self) -> bool {
        !self.object.contains('.') || undo_links::can_be_undone(&self.object)
    }

    /// The object type of its records.
    pub fn object_name(&self) -> &str {
        undo_links::object_of(&self.object)
    }
}

fn plain_config<'a>(
    object: &str,
    properties: impl Iterator<Item = &'a str>,
    guards: GuardsConfig,
) -> WriteBackConfig {
    let overwrite = || PropertyConfig { policy: Some(Policy::Overwrite), ..Default::default() };
    WriteBackConfig {
        object: object.to_owned(),
        match_by: MatchConfig { key: MatchKey::RecordId, column: "record_id".to_owned() },
        mode: Mode::Update,
        properties: properties.map(|name| (name.to_owned(), overwrite())).collect(),
        associate: BTreeMap::new(),
        list: None,
        event: None,
        create: None,
        partial: false,
        nulls: Nulls::Skip,
        on_absent: OnAbsent::Keep,
        guards,
        on_reject: None,
        status: None,
        origin: None,
        refresh: true,
    }
}

/// Plans one part of a run back. The plan is stored and can be applied as any
/// other, with the same settings; each record of the run is one of its rows.
///
/// # Errors
/// As [`super::plan`].
pub async fn plan_undo(
    lake: &Lake,
    client: &Client,
    request: UndoRequest<'_>,
) -> Result<PlanSummary, LoadError> {
    let part = request.part;
    if part.object.contains('.') {
        return undo_links::plan_links(lake, client, request).await;
    }
    let target = Target::new(&part.write_back, request.config, request.definitions)?;
    let mirror = mirror::open(lake, &target.object).await?;
    let mirror = mirror.ok_or_else(|| LoadError::NoMirror { object: part.object.clone() })?;
    let disk = Arc::new(DiskManagerBuilder::default().build().during(DOING)?);
    let undone = Undone::find(lake, request.undone).await?;
    let count = (part.rows / BUCKET_ROWS).clamp(1, MOST_BUCKETS) as usize;
    let (found, records) = images::part(lake, &undone, part, count, disk.clone()).await?;
    let written = lake.table(&written::spec().name).await.during(DOING)?;
    let (later, written_before) =
        images::later(written.as_ref(), part, &records, count, disk.clone()).await?;
    let stop = request.stop.clone();
    let mut refresher = Refresher::new(client, &target, mirror, request.now, stop);
    let mut sheet = Sheet::new(heading(&request), disk);
    let lag = Lag { now: request.now, length: request.index_lag.as_micros() as i64 };
    for (bucket, later) in found.into_iter().zip(later) {
        let images = images::read(&bucket.read()?)?;
        if images.is_empty() {
            continue;
        }
        let later = Later::read(&later.read()?, &undone);
        let fresh = refresher.read(images.iter().map(|image| image.record_id).collect()).await?;
        let undo = Undo { target: &target, request: &request, later, fresh, lag };
        let (rows, counts) = undo.decide(&images)?;
        sheet.take(rows, counts)?;
    }
    let reads = refresher.finish().await?;
    let mut accepted = request.accepted.clone();
    if request.archive_created {
        // That it was asked for by name is the acceptance.
        accepted.insert(Guard::MaxArchives);
    }
    let guards = guards::evaluate(
        &request.config.guards,
        &sheet.counts,
        sheet.counts.wanted,
        written_before,
        &accepted,
    );
    sheet.store(lake, Some(request.undone.to_owned()), reads, written_before, guards).await
}

pub(super) fn heading(request: &UndoRequest<'_>) -> Heading {
    Heading {
        run_id: request.run_id.to_owned(),
        pipeline: request.part.pipeline.clone(),
        write_back: request.part.write_back.clone(),
        object: request.part.object.clone(),
        planned_at: request.now,
    }
}

/// One bucket of records being decided.
struct Undo<'a> {
    target: &'a Target,
    request: &'a UndoRequest<'a>,
    later: Later,
    fresh: Fresh,
    lag: Lag,
}

impl Undo<'_> {
    fn decide(&self, images: &[Image]) -> Result<(Rows, Counts), LoadError> {
        let (mut rows, mut counts) = (Rows::default(), Counts::default());
        for image in images {
            let Some(row) = self.row(image) else { continue };
            counts.wanted += 1;
            if row.action == Action::Update {
                let kept = |change: &&Change<'_>| matches!(change.verdict, Verdict::Keep(_));
                counts.conflicts += row.changes.iter().filter(kept).count() as u64;
            }
            counts.add(match row.action {
                Action::Update => Outcome::Updated,
                Action::Archive => Outcome::Archived,
                Action::Keep => Outcome::Kept,
                Action::Defer => Outcome::Deferred,
                Action::Reject => Outcome::Rejected,
                Action::Unchanged | Action::Create | Action::Link | Action::Unlink => {
                    Outcome::Unchanged
                }
            });
            if row.action != Action::Unchanged {
                rows.push(&row)?;
            }
        }
        Ok((rows, counts))
    }

    /// The row of a record; none where the run never touched it.
    fn row<'b>(&'b self, image: &'b Image) -> Option<Row<'b>> {
        let id = image.record_id;
        let row = |action: Action, reason: Option<&'static str>, changes: Vec<Change<'b>>| Row {
            action,
            record_id: Some(id),
            match_key: image.match_key.as_deref(),
            changes,
            category: None,
            reason,
            fingerprint: 0,
        };
        let Some(record) = self.fresh.records.get(&id).filter(|record| !record.archived) else {
            let is_meant = image
                .touched
                .iter()
                .any(|(name, touched)| self.later.may_be_written(id, name, touched));
            return match (image.created, image.archived, is_meant) {
                (true, ..) => Some(row(Action::Unchanged, None, Vec::new())),
                (_, true, _) => Some(row(Action::Keep, Some(IN_THE_BIN), Vec::new())),
                (_, _, true) => Some(row(Action::Keep, Some(GONE), Vec::new())),
                _ => None,
            };
        };
        let changes: Vec<Change<'b>> = image
            .touched
            .iter()
            .filter(|(name, touched)| self.later.may_be_written(id, name, touched))
            .filter_map(|(name, touched)| self.change(id, name, touched, record))
            .collect();
        if image.created {
            return Some(self.created(row, changes, record, image));
        }
        let was_touched = image
            .touched
            .iter()
            .any(|(name, touched)| self.later.may_be_written(id, name, touched));
        was_touched.then(|| row(decide::action(&changes), None, changes))
    }

    /// A record that the run made. Its values do not go back: it goes as a whole,
    /// or stays.
    fn created<'b>(
        &self,
        row: impl Fn(Action, Option<&'static str>, Vec<Change<'b>>) -> Row<'b>,
        mut changes: Vec<Change<'b>>,
        record: &Record,
        image: &Image,
    ) -> Row<'b> {
        if !self.request.archive_created {
            return row(Action::Keep, Some(CREATED), Vec::new());
        }
        changes.retain(|change| matches!(change.verdict, Verdict::Keep(_)));
        let is_edited = image.touched.iter().any(|(name, touched)| {
            self.property(name).is_some_and(|property| {
                !left_by_run(property, touched, &held_now(record, property))
            })
        });
        match (changes.is_empty(), is_edited) {
            (true, false) => row(Action::Archive, None, Vec::new()),
            _ => row(Action::Keep, Some(CREATED_AND_CHANGED), changes),
        }
    }

    fn change<'b>(
        &'b self,
        id: i64,
        name: &'b str,
        touched: &'b Touched,
        record: &Record,
    ) -> Option<Change<'b>> {
        let property = self.property(name)?;
        let held = held_now(record, property).into_owned();
        let before = form(property, &touched.before);
        let verdict = if held == *before {
            match self.is_stale(record, touched) && !left_by_run(property, touched, &held) {
                true => Verdict::Defer,
                false => return None,
            }
        } else if self.later.wrote_since(id, name, touched) {
            Verdict::Keep(Kept::WrittenSince)
        } else if !left_by_run(property, touched, &held) {
            Verdict::Keep(Kept::ChangedSince)
        } else if property.refusal.is_some()
            || (!before.is_empty() && property.form.wire(&before).is_err())
        {
            Verdict::Keep(Kept::Unwritable)
        } else if self.moves_back(name, &held, &before) {
            Verdict::WriteAfterClearing
        } else {
            Verdict::Write
        };
        let last_set = Some(touched.sent.as_str());
        // Emptiness is nobody's: the next run may fill what this run had filled.
        let theirs = !touched.before_ours && !before.is_empty();
        let (new, old) = (before, Cow::Owned(held));
        Some(Change { property: name, new, old, last_set, verdict, conflict: false, theirs })
    }

    /// Whether the read may be older than the run's own write.
    fn is_stale(&self, record: &Record, touched: &Touched) -> bool {
        let is_recent = self.lag.now.saturating_sub(touched.written_at) < self.lag.length;
        let is_older = match (record.updated_at, touched.updated_at) {
            (Some(read), Some(written)) => read < written,
            _ => false,
        };
        is_recent && is_older
    }

    fn property(&self, name: &str) -> Option<&TargetProperty> {
        self.target.properties.iter().find(|property| property.name == name)
    }

    /// Whether HubSpot would take the write and do nothing: a lifecycle stage
    /// moves only forward, in the order of its options (hubspot-api.md 16).
    fn moves_back(&self, name: &str, held: &str, before: &str) -> bool {
        let has_stages = matches!(self.target.object.name(), "contacts" | "companies");
        if name != "lifecyclestage" || !has_stages || held.is_empty() || before.is_empty() {
            return false;
        }
        let stages = self.request.definitions.iter().find(|definition| definition.name == name);
        let place = |value: &str| stages?.options.iter().position(|option| option.value == value);
        match (place(held), place(before)) {
            (Some(held), Some(before)) => before < held,
            // Of an order that is not known, the safe way is through nothing.
            _ => true,
        }
    }
}

const CREATED: &str = "The run created this record: `--archive-created` archives it";
const CREATED_AND_CHANGED: &str = "The run created this record, and it was changed since";
const GONE: &str = "HubSpot no longer shows this record: it was merged, archived or deleted";
const IN_THE_BIN: &str =
    "The run archived this record: HubSpot restores it for 90 days, in its own pages only";

/// Whether HubSpot holds what the run left: what was sent, or what was answered.
fn left_by_run(property: &TargetProperty, touched: &Touched, held: &str) -> bool {
    form(property, &touched.sent) == held
        || touched.answered.as_deref().is_some_and(|answer| form(property, answer) == held)
}

fn form<'a>(property: &TargetProperty, text: &'a str) -> Cow<'a, str> {
    if text.is_empty() { Cow::Borrowed("") } else { property.form.held(text) }
}

/// What a write-back owes to records whose values were emptied and not written.
pub struct FinishRequest<'a> {
    /// The run that pays.
    pub run_id: &'a str,
    /// The pipeline.
    pub pipeline: &'a str,
    /// The write-back.
    pub write_back: &'a str,
    /// The properties of its object, as the account has them.
    pub definitions: &'a [PropertyDefinition],
    /// The time, µs since 1970, UTC.
    pub now: i64,
    /// When cancelled, planning ends with [`LoadError::Interrupted`].
    pub stop: CancellationToken,
}

/// The write-backs of a pipeline that owe something, with the object types that
/// they owe it to. One that has left the settings is among them.
///
/// # Errors
/// The lake fails.
pub async fn debtors(lake: &Lake, pipeline: &str) -> Result<BTreeSet<(String, String)>, LoadError> {
    restoring::debtors(lake, pipeline).await
}

/// A plan of what is owed, with the settings to apply it with.
pub struct Finish {
    /// The plan.
    pub plan: PlanSummary,
    /// The settings.
    pub config: WriteBackConfig,
    owed: Vec<Owed>,
}

/// Plans what an earlier run left between its two requests: values emptied so
/// that a stage can move back, and not written yet. `None` where nothing is
/// owed; a record that has got a value meanwhile is owed none. The plan is to be
/// applied at once, then [`finished`] called.
///
/// # Errors
/// The lake or HubSpot fails.
pub async fn plan_finish(
    lake: &Lake,
    client: &Client,
    request: FinishRequest<'_>,
) -> Result<Option<Finish>, LoadError> {
    let (pipeline, write_back) = (request.pipeline, request.write_back);
    let owed = restoring::open(lake, pipeline, write_back, request.now).await?;
    let Some(first) = owed.first() else { return Ok(None) };
    let object = first.object.clone();
    let owed: Vec<Owed> = owed.into_iter().filter(|owed| owed.object == object).collect();
    let names = restoring::properties(&owed);
    let config = plain_config(&object, names.into_iter(), GuardsConfig::default());
    let target = Target::new(write_back, &config, request.definitions)?;
    let mirror = mirror::open(lake, &target.object).await?;
    let mirror = mirror.ok_or_else(|| LoadError::NoMirror { object: object.clone() })?;
    let disk = Arc::new(DiskManagerBuilder::default().build().during(DOING)?);
    let mut refresher = Refresher::new(client, &target, mirror, request.now, request.stop);
    let fresh = refresher.read(restoring::records(&owed).into_iter().collect()).await?;
    let reads = refresher.finish().await?;
    // What a cut left on its way may still arrive: until it cannot, a value that
    // is there yet is looked at again.
    let may_arrive = |owed: &Owed| request.now.saturating_sub(owed.since) < ARRIVAL_MICROS;
    let is_empty = |owed: &Owed| {
        let property = target.properties.iter().find(|property| property.name == owed.property);
        match (fresh.records.get(&owed.record_id), property) {
            (Some(record), Some(property)) => held_now(record, property).is_empty(),
            _ => false,
        }
    };
    let (open, settled): (Vec<Owed>, Vec<Owed>) = owed.into_iter().partition(is_empty);
    let is_paid = |owed: &Owed| {
        let record = fresh.records.get(&owed.record_id);
        let held = record.and_then(|record| record.properties.get(&owed.property)?.as_deref());
        held == Some(owed.value.as_str())
    };
    let settled: Vec<Owed> =
        settled.into_iter().filter(|owed| is_paid(owed) || !may_arrive(owed)).collect();
    restoring::close(lake, pipeline, write_back, &settled).await?;
    if open.is_empty() {
        return Ok(None);
    }
    let heading = Heading {
        run_id: request.run_id.to_owned(),
        pipeline: pipeline.to_owned(),
        write_back: write_back.to_owned(),
        object,
        planned_at: request.now,
    };
    let (mut rows, mut counts) = (Rows::default(), Counts::default());
    for owed in &open {
        rows.push(&owed_row(owed))?;
        counts.wanted += 1;
        counts.updated += 1;
    }
    let mut sheet = Sheet::new(heading, disk);
    sheet.take(rows, counts)?;
    let plan = sheet.store(lake, None, reads, 0, Vec::new()).await?;
    Ok(Some(Finish { plan, config, owed: open }))
}

fn owed_row(owed: &Owed) -> Row<'_> {
    let change = Change {
        property: &owed.property,
        new: Cow::Borrowed(&owed.value),
        old: Cow::Borrowed(""),
        last_set: None,
        verdict: Verdict::WriteAfterClearing,
        conflict: false,
        theirs: owed.theirs,
    };
    Row {
        action: Action::Update,
        record_id: Some(owed.record_id),
        match_key: None,
        changes: vec![change],
        category: None,
        reason: Some("An earlier undo emptied the value and came no further"),
        fingerprint: 0,
    }
}

/// Notes that the plan of what was owed has been applied. What did not end
/// well stays owed: applying has noted it anew.
///
/// # Errors
/// The lake fails.
pub async fn finished(lake: &Lake, pipeline: &str, finish: &Finish) -> Result<(), LoadError> {
    restoring::close(lake, pipeline, &finish.plan.write_back, &finish.owed).await
}
