//! L: what hublake last set, for the records that may be written.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, UInt16Array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType, UInt16Type,
};
use datafusion::execution::DiskManager;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::spill::{Bucket, Buckets};
use super::wanted::Aliases;
use crate::lake::Table;
use crate::load::error::{LoadError, While};
use crate::load::target::Target;
use crate::load::written::INTENDED;

const DOING: &str = "reading what hublake last set";

/// The record ids that may be written, in fixed memory: an id that was put in
/// is always found, another one seldom.
pub(crate) struct Sieve {
    bits: Vec<u64>,
}

/// 2 MiB: at a million records 6 % of the others pass, and cost a little time.
const SIEVE_BITS: u64 = 1 << 24;

impl Sieve {
    pub(crate) fn new() -> Self {
        Self { bits: vec![0; (SIEVE_BITS / 64) as usize] }
    }

    pub(crate) fn insert(&mut self, id: i64) {
        let bit = Self::bit(id);
        self.bits[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    pub(crate) fn may_hold(&self, id: i64) -> bool {
        let bit = Self::bit(id);
        self.bits[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }

    fn bit(id: i64) -> u64 {
        (id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SIEVE_BITS.trailing_zeros())
    }
}

/// What was read of `system.written`.
pub(crate) struct LastSet {
    pub(crate) buckets: Vec<Bucket>,
    /// Records of which this write-back has written something: the most
    /// records of any one of its properties.
    pub(crate) records: u64,
}

/// The records that may still hold a value that hublake set, for properties of
/// this target.
pub(crate) async fn records_written(
    written: &Table,
    target: &Target,
    aliases: &Aliases,
) -> Result<Sieve, LoadError> {
    let filter = of_target(target).and(col("value").not_eq(lit("")));
    let mut rows = written.scan(Some(&["record_id"]), Some(filter)).await.during(DOING)?;
    let mut sieve = Sieve::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.during(DOING)?;
        ids(&batch).iter().flatten().for_each(|id| {
            sieve.insert(aliases.get(&id).copied().unwrap_or(id));
        });
    }
    Ok(sieve)
}

/// The entries of the target's properties.
fn of_target(target: &Target) -> Expr {
    let names = target.properties.iter().map(|property| lit(property.name.as_str())).collect();
    col("object").eq(lit(target.object.name())).and(col("property").in_list(names, false))
}

/// Parts the entries of the target's properties by record id; a merged-away
/// record's entries go to the record that holds it now.
pub(crate) async fn part(
    written: Option<&Table>,
    target: &Target,
    sieve: &Sieve,
    aliases: &Aliases,
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<LastSet, LoadError> {
    let mut buckets = Buckets::new(schema(), count, disk);
    let mut records = vec![0; target.properties.len()];
    if let Some(written) = written {
        let columns = [
            "record_id",
            "property",
            "state",
            "value",
            "returned",
            "before",
            "written_at",
            "updated_at",
        ];
        let mut rows = written.scan(Some(&columns), Some(of_target(target))).await.during(DOING)?;
        let places: HashMap<&str, u16> = target
            .properties
            .iter()
            .enumerate()
            .map(|(at, property)| (property.name.as_str(), at as u16))
            .collect();
        while let Some(batch) = rows.next().await {
            let batch = entries(&batch.during(DOING)?, &places, aliases)?;
            count_records(&batch, &mut records);
            let batch = sift(&batch, sieve)?;
            let hashes: Vec<u64> = ids(&batch).values().iter().map(|id| *id as u64).collect();
            buckets.push(batch, &hashes)?;
        }
    }
    Ok(LastSet { buckets: buckets.finish()?, records: records.into_iter().max().unwrap_or(0) })
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("record_id", DataType::Int64, true),
        Field::new("property", DataType::UInt16, true),
        Field::new("intended", DataType::Boolean, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("returned", DataType::Utf8, true),
        Field::new("before", DataType::Utf8, true),
        Field::new("written_at", DataType::Int64, true),
        Field::new("updated_at", DataType::Int64, true),
    ]))
}

fn entries(
    batch: &RecordBatch,
    places: &HashMap<&str, u16>,
    aliases: &Aliases,
) -> Result<RecordBatch, LoadError> {
    let holder = |id: i64| aliases.get(&id).copied().unwrap_or(id);
    let held_by: Int64Array = ids(batch).unary(holder);
    let names = batch.column(1).as_string::<i32>();
    let properties: UInt16Array = names.iter().map(|name| places.get(name?).copied()).collect();
    let states = batch.column(2).as_string::<i32>();
    let intended: BooleanArray = states.iter().map(|state| Some(state == Some(INTENDED))).collect();
    let micros = |at: usize| -> ArrayRef {
        Arc::new(
            batch
                .column(at)
                .as_primitive::<TimestampMicrosecondType>()
                .reinterpret_cast::<Int64Type>(),
        )
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(held_by),
        Arc::new(properties),
        Arc::new(intended),
        batch.column(3).clone(),
        batch.column(4).clone(),
        batch.column(5).clone(),
        micros(6),
        micros(7),
    ];
    RecordBatch::try_new(schema(), columns).during(DOING)
}

fn ids(batch: &RecordBatch) -> &Int64Array {
    batch.column(0).as_primitive()
}

fn count_records(batch: &RecordBatch, records: &mut [u64]) {
    let intended = batch.column(2).as_boolean();
    let properties = batch.column(1).as_primitive::<UInt16Type>();
    for at in (0..batch.num_rows()).filter(|at| properties.is_valid(*at) && !intended.value(*at)) {
        records[usize::from(properties.value(at))] += 1;
    }
}

fn sift(batch: &RecordBatch, sieve: &Sieve) -> Result<RecordBatch, LoadError> {
    let keep: BooleanArray =
        ids(batch).iter().map(|id| Some(id.is_some_and(|id| sieve.may_hold(id)))).collect();
    filter_record_batch(batch, &keep).during(DOING)
}

/// The entries of one bucket, by record and property.
pub(crate) struct Entries {
    rows: RecordBatch,
    places: HashMap<(i64, u16), Latest>,
}

/// The newest entry of each state; two records' entries can meet after a merge.
#[derive(Clone, Copy, Default)]
struct Latest {
    written: Option<u32>,
    intended: Option<u32>,
}

/// What hublake last set one property of one record to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Last<'a> {
    pub(crate) written: Option<Set<'a>>,
    /// A value whose write may have happened, newer than `written`.
    pub(crate) intended: Option<&'a str>,
}

/// A write that happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Set<'a> {
    pub(crate) value: &'a str,
    /// What HubSpot answered, where it differs.
    pub(crate) returned: Option<&'a str>,
    /// What HubSpot held before; empty for nothing.
    pub(crate) before: &'a str,
    /// µs since 1970.
    pub(crate) written_at: i64,
    /// The record's modified date in HubSpot's answer, µs since 1970.
    pub(crate) updated_at: Option<i64>,
}

impl Entries {
    pub(crate) fn new(rows: RecordBatch) -> Self {
        let mut entries = Self { rows, places: HashMap::new() };
        let ids = entries.rows.column(0).as_primitive::<Int64Type>().clone();
        let properties = entries.rows.column(1).as_primitive::<UInt16Type>().clone();
        let intended = entries.rows.column(2).as_boolean().clone();
        for at in
            (0..entries.rows.num_rows()).filter(|at| ids.is_valid(*at) && properties.is_valid(*at))
        {
            let latest = match entries.places.entry((ids.value(at), properties.value(at))) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => place.insert(Latest::default()),
            };
            let slot = if intended.value(at) { &mut latest.intended } else { &mut latest.written };
            if slot.is_none_or(|before| {
                written_at(&entries.rows, before) <= written_at(&entries.rows, at as u32)
            }) {
                *slot = Some(at as u32);
            }
        }
        entries
    }

    pub(crate) fn of(&self, record_id: i64, property: usize) -> Last<'_> {
        let Some(latest) = self.places.get(&(record_id, property as u16)) else {
            return Last::default();
        };
        let newer = latest.intended.filter(|intended| {
            latest.written.is_none_or(|written| {
                written_at(&self.rows, written) < written_at(&self.rows, *intended)
            })
        });
        Last {
            written: latest.written.map(|at| self.set(at)),
            intended: newer.map(|at| self.text(3, at).unwrap_or("")),
        }
    }

    fn set(&self, at: u32) -> Set<'_> {
        let updated = self.rows.column(7).as_primitive::<Int64Type>();
        Set {
            value: self.text(3, at).unwrap_or(""),
            returned: self.text(4, at),
            before: self.text(5, at).unwrap_or(""),
            written_at: written_at(&self.rows, at),
            updated_at: updated.is_valid(at as usize).then(|| updated.value(at as usize)),
        }
    }

    fn text(&self, column: usize, at: u32) -> Option<&str> {
        let texts: &StringArray = self.rows.column(column).as_string();
        texts.is_valid(at as usize).then(|| texts.value(at as usize))
    }
}

fn written_at(rows: &RecordBatch, at: u32) -> i64 {
    rows.column(6).as_primitive::<Int64Type>().value(at as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = (i64, u16, bool, &'a str, i64);

    fn entries(rows: &[Row<'_>]) -> Entries {
        let text = |value: fn(&Row<'_>) -> Option<String>| -> ArrayRef {
            Arc::new(rows.iter().map(value).collect::<StringArray>())
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(BooleanArray::from(rows.iter().map(|row| row.2).collect::<Vec<_>>())),
            text(|row| Some(row.3.to_owned())),
            text(|_| None),
            text(|_| None),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.4))),
            Arc::new(Int64Array::new_null(rows.len())),
        ];
        Entries::new(RecordBatch::try_new(schema(), columns).expect("matching columns"))
    }

    #[test]
    fn the_newest_entry_counts_after_a_merge() {
        let entries = entries(&[
            (7, 0, false, "new", 20),
            (7, 0, false, "old", 10),
            (7, 1, false, "other", 5),
        ]);
        assert_eq!(entries.of(7, 0).written.map(|set| set.value), Some("new"));
        assert_eq!(entries.of(7, 1).written.map(|set| set.value), Some("other"));
        assert_eq!(entries.of(8, 0), Last::default());
    }

    #[test]
    fn an_intent_counts_until_a_write_follows_it() {
        let open = entries(&[(7, 0, false, "a", 10), (7, 0, true, "b", 20)]);
        assert_eq!(open.of(7, 0).intended, Some("b"));
        let closed = entries(&[(7, 0, false, "c", 30), (7, 0, true, "b", 20)]);
        assert_eq!(closed.of(7, 0).intended, None);
    }

    #[test]
    fn a_sieve_never_loses_an_id() {
        let mut sieve = Sieve::new();
        (0..1000).for_each(|id| sieve.insert(id * 7_919));
        assert!((0..1000).all(|id| sieve.may_hold(id * 7_919)));
        assert!((0..1000).filter(|id| sieve.may_hold(id * 7_919 + 1)).count() < 50);
    }
}
