//! W meets C: each wanted row finds its record, and most rows end here because
//! HubSpot already holds what they want.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::last_set::Sieve;
use super::{held, wanted};
use crate::load::columns::{WireColumn, wire_column};
use crate::load::config::{Mode, Nulls};
use crate::load::error::{LoadError, While};
use crate::load::form::Refusal;
use crate::load::target::Target;

const DOING: &str = "matching rows with records";

/// Where a bucket of candidates keeps its columns.
pub(crate) const GIVEN: usize = 0;
/// Null for a row without a record.
pub(crate) const RECORD_ID: usize = 1;
pub(crate) const UPDATED_AT: usize = 2;
/// Several keys find the record: the row is here so that two rows of one record meet.
pub(crate) const SHARED: usize = 3;
/// Not null for a rejected row.
pub(crate) const CODE: usize = 4;
/// Why a row is rejected; without a code, what `partial` leaves out.
pub(crate) const SENTENCE: usize = 5;
/// The row has left the model: what is here is a record that hublake wrote to.
pub(crate) const ABSENT: usize = 6;
pub(crate) const FIRST_WANTED: usize = 7;

/// The columns of candidates: the constants above, then the wanted values, then
/// the held ones, each in the order of the target's properties.
pub(crate) fn schema(target: &Target) -> SchemaRef {
    let mut fields = vec![
        Field::new("given", DataType::Utf8, true),
        Field::new("record_id", DataType::Int64, true),
        Field::new("updated_at", DataType::Int64, true),
        Field::new("shared", DataType::Boolean, true),
        Field::new("code", DataType::Utf8, true),
        Field::new("sentence", DataType::Utf8, true),
        Field::new("absent", DataType::Boolean, false),
    ];
    for side in ["wanted", "held"] {
        let names = target.properties.iter().map(|property| format!("{side} {}", property.name));
        fields.extend(names.map(|name| Field::new(name, DataType::Utf8, true)));
    }
    Arc::new(Schema::new(fields))
}

/// What became of one bucket of wanted rows.
pub(crate) struct Matched {
    /// Rows whose record already holds everything.
    pub(crate) unchanged: u64,
    /// Every other row, for the policies to decide.
    pub(crate) candidates: RecordBatch,
}

/// Matches a bucket of wanted rows with the bucket of the same keys. With
/// `written`, the records that hublake may have written to, those that no row
/// means any more are candidates too.
pub(crate) fn join(
    target: &Target,
    wants: &RecordBatch,
    holds: &RecordBatch,
    written: Option<&Sieve>,
) -> Result<Matched, LoadError> {
    Join::new(target, wants, holds)?.run(written)
}

struct Join<'a> {
    target: &'a Target,
    keys: &'a StringArray,
    given: &'a StringArray,
    wanted: Vec<WireColumn>,
    holds: &'a RecordBatch,
    held: Vec<&'a StringArray>,
    record_of: HashMap<&'a str, u32>,
    /// How many wanted rows have a key.
    uses: HashMap<&'a str, u32>,
    /// Refused values by row.
    refused: HashMap<usize, Vec<Refusal>>,
}

/// What a row is, before any policy.
enum Fate {
    Unchanged,
    Candidate { record: Option<u32>, note: Option<String> },
    Rejected { record: Option<u32>, code: String, sentence: String },
}

impl<'a> Join<'a> {
    fn new(
        target: &'a Target,
        wants: &'a RecordBatch,
        holds: &'a RecordBatch,
    ) -> Result<Self, LoadError> {
        let keys: &StringArray = wants.column(wanted::KEY).as_string();
        let mut uses = HashMap::with_capacity(keys.len());
        keys.iter().flatten().for_each(|key| *uses.entry(key).or_insert(0) += 1);
        let (wanted, refused) = wire_columns(target, wants)?;
        let held = (0..target.properties.len())
            .map(|at| holds.column(held::FIRST_PROPERTY + at).as_string());
        let given = wants.column(wanted::GIVEN).as_string();
        Ok(Self {
            target,
            keys,
            given,
            wanted,
            held: held.collect(),
            holds,
            record_of: records_by_key(holds),
            uses,
            refused,
        })
    }

    fn run(&self, written: Option<&Sieve>) -> Result<Matched, LoadError> {
        let mut unchanged = 0;
        let mut picked = Picked::default();
        for row in 0..self.keys.len() {
            match self.fate(row) {
                Fate::Unchanged => unchanged += 1,
                Fate::Candidate { record, note } => picked.push(row, record, None, note),
                Fate::Rejected { record, code, sentence } => {
                    picked.push(row, record, Some(code), Some(sentence))
                }
            }
        }
        if let Some(written) = written {
            self.absent(written).for_each(|record| picked.push_absent(record));
        }
        Ok(Matched { unchanged, candidates: self.candidates(picked)? })
    }

    fn fate(&self, row: usize) -> Fate {
        let given = self.given.is_valid(row).then(|| self.given.value(row));
        if self.keys.is_null(row) {
            let (code, sentence) = wanted::unusable(given, self.target);
            return rejected(None, code, sentence);
        }
        let key = self.keys.value(row);
        let record = self.record_of.get(key).copied().filter(|at| !self.leaves_key_free(*at));
        let uses = self.uses[key];
        if uses > 1 {
            return rejected(
                record,
                "DUPLICATE_KEY",
                format!("{uses} rows of the model have this key: which one is right?"),
            );
        }
        if let Some(refused) = self.refused.get(&row).filter(|_| !self.target.partial) {
            let sentences: Vec<&str> =
                refused.iter().map(|refusal| refusal.sentence.as_str()).collect();
            return rejected(record, refused[0].code, sentences.join("; "));
        }
        match record {
            None if !self.target.mode.creates() => rejected(
                None,
                "OBJECT_NOT_FOUND",
                format!(
                    "No record of `{}` has this key, and `mode: {}` creates none",
                    self.target.object,
                    self.target.mode.name()
                ),
            ),
            None => Fate::Candidate { record, note: self.note(row) },
            Some(at) if self.archives() && self.flag(held::GONE, at) => Fate::Unchanged,
            Some(at) if self.flag(held::GONE, at) => rejected(
                record,
                "OBJECT_ARCHIVED",
                "The record is archived or gone from HubSpot".to_owned(),
            ),
            Some(at)
                if self.archives()
                    || self.flag(held::SHARED, at)
                    || self.differs(row, at as usize)
                    || self.refused.contains_key(&row) =>
            {
                Fate::Candidate { record, note: self.note(row) }
            }
            Some(_) => Fate::Unchanged,
        }
    }

    /// Whether the record's key can be given to a new one: HubSpot frees the
    /// unique values of a record that is archived.
    fn leaves_key_free(&self, record: u32) -> bool {
        self.target.mode.creates() && self.flag(held::GONE, record)
    }

    fn archives(&self) -> bool {
        self.target.mode == Mode::Archive
    }

    /// The records that hublake may have written to and no row means. One with
    /// several keys can be met by another: such rows meet where records do.
    fn absent<'b>(&'b self, written: &'b Sieve) -> impl Iterator<Item = u32> + 'b {
        let keys: &StringArray = self.holds.column(held::KEY).as_string();
        let ids = self.holds.column(held::ID).as_primitive::<Int64Type>();
        (0..self.holds.num_rows() as u32).filter(move |at| {
            let row = *at as usize;
            keys.is_valid(row)
                && !self.uses.contains_key(keys.value(row))
                && !self.flag(held::GONE, *at)
                && written.may_hold(ids.value(row))
        })
    }

    fn flag(&self, column: usize, record: u32) -> bool {
        self.holds.column(column).as_boolean().value(record as usize)
    }

    fn differs(&self, row: usize, record: usize) -> bool {
        self.wanted.iter().zip(&self.held).any(|(wanted, held)| {
            let held = if held.is_valid(record) { held.value(record) } else { "" };
            wanted.values.is_valid(row) && wanted.values.value(row) != held
        })
    }

    fn note(&self, row: usize) -> Option<String> {
        let refused = self.refused.get(&row)?;
        let sentences: Vec<&str> =
            refused.iter().map(|refusal| refusal.sentence.as_str()).collect();
        Some(format!("Left out: {}", sentences.join("; ")))
    }

    fn candidates(&self, picked: Picked) -> Result<RecordBatch, LoadError> {
        let given = self.given_of(&picked);
        let rows = UInt32Array::from(picked.rows);
        let records = UInt32Array::from(picked.records);
        let pick = |values: &dyn Array, at: &UInt32Array| take(values, at, None).during(DOING);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(given),
            pick(self.holds.column(held::ID), &records)?,
            pick(self.holds.column(held::UPDATED_AT), &records)?,
            pick(self.holds.column(held::SHARED), &records)?,
            Arc::new(StringArray::from(picked.codes)),
            Arc::new(StringArray::from(picked.sentences)),
            Arc::new(BooleanArray::from(picked.absent)),
        ];
        for wanted in &self.wanted {
            columns.push(pick(&wanted.values, &rows)?);
        }
        for held in &self.held {
            columns.push(pick(*held, &records)?);
        }
        RecordBatch::try_new(schema(self.target), columns).during(DOING)
    }

    /// The key as the model gives it, or the record's own where no row means it.
    fn given_of(&self, picked: &Picked) -> StringArray {
        let keys: &StringArray = self.holds.column(held::KEY).as_string();
        let text =
            |texts: &StringArray, at: usize| texts.is_valid(at).then(|| texts.value(at).to_owned());
        picked
            .rows
            .iter()
            .zip(&picked.records)
            .map(|(row, record)| match (row, record) {
                (Some(row), _) => text(self.given, *row as usize),
                (None, Some(record)) => text(keys, *record as usize),
                (None, None) => None,
            })
            .collect()
    }
}

/// The record of every key; a live one before an archived one.
fn records_by_key(holds: &RecordBatch) -> HashMap<&str, u32> {
    let keys: &StringArray = holds.column(held::KEY).as_string();
    let gone = holds.column(held::GONE).as_boolean();
    let mut records = HashMap::with_capacity(keys.len());
    for (row, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        let found = records.entry(key).or_insert(row as u32);
        if gone.value(*found as usize) {
            *found = row as u32;
        }
    }
    records
}

fn rejected(record: Option<u32>, code: &str, sentence: String) -> Fate {
    Fate::Rejected { record, code: code.to_owned(), sentence }
}

#[derive(Default)]
struct Picked {
    rows: Vec<Option<u32>>,
    records: Vec<Option<u32>>,
    codes: Vec<Option<String>>,
    sentences: Vec<Option<String>>,
    absent: Vec<bool>,
}

impl Picked {
    fn push_absent(&mut self, record: u32) {
        self.rows.push(None);
        self.records.push(Some(record));
        self.codes.push(None);
        self.sentences.push(None);
        self.absent.push(true);
    }

    fn push(
        &mut self,
        row: usize,
        record: Option<u32>,
        code: Option<String>,
        sentence: Option<String>,
    ) {
        self.rows.push(Some(row as u32));
        self.records.push(record);
        self.codes.push(code);
        self.sentences.push(sentence);
        self.absent.push(false);
    }
}

type Refused = HashMap<usize, Vec<Refusal>>;

fn wire_columns(
    target: &Target,
    wants: &RecordBatch,
) -> Result<(Vec<WireColumn>, Refused), LoadError> {
    let mut refused: Refused = HashMap::new();
    let mut columns = Vec::with_capacity(target.properties.len());
    for (at, property) in target.properties.iter().enumerate() {
        let column = wants.column(wanted::FIRST_PROPERTY + at);
        let mut wire =
            wire_column(column, &property.form, property.nulls == Nulls::Clear).during(DOING)?;
        for (row, refusal) in std::mem::take(&mut wire.refused) {
            let sentence = format!("`{}`: {}", property.name, refusal.sentence);
            refused.entry(row).or_default().push(Refusal { sentence, ..refusal });
        }
        if let Some(refusal) = &property.refusal {
            let wanted = (0..wire.values.len()).filter(|row| wire.values.is_valid(*row));
            wanted.for_each(|row| refused.entry(row).or_default().push(refusal.clone()));
            wire.values = StringArray::new_null(wants.num_rows());
        }
        columns.push(wire);
    }
    Ok((columns, refused))
}

/// The record ids of a batch of candidates.
pub(crate) fn record_ids(candidates: &RecordBatch) -> &Int64Array {
    candidates.column(RECORD_ID).as_primitive::<Int64Type>()
}

/// Which candidates are records that no row means any more.
pub(crate) fn absent(candidates: &RecordBatch) -> &BooleanArray {
    candidates.column(ABSENT).as_boolean()
}

/// Which candidates are there only so that rows of one record meet.
pub(crate) fn shared(candidates: &RecordBatch) -> &BooleanArray {
    candidates.column(SHARED).as_boolean()
}
