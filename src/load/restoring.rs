//! `system.restoring`: values that HubSpot was asked to empty so that they can
//! be written again, and whose second request has not come to its end.
//!
//! A lifecycle stage moves back only in two requests. Between them the record
//! has no stage, and nothing but this table remembers which it is to have: the
//! model may want another, or none. What is owed is planned and written before
//! anything else.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::error::{LoadError, While};
use super::ledger;
use super::outcome::Outcome;
use super::plan::rows;
use super::written::trace_hash;
use crate::lake::{Changes, Lake, Table, TableName, TableSpec};

const DOING: &str = "keeping the values that are owed";

const OPEN: &str = "open";
const DONE: &str = "done";

/// How long a value that HubSpot would not take rests before it is sent again.
const REST_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// One value that is owed to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) object: String,
    pub(crate) record_id: i64,
    pub(crate) property: String,
    pub(crate) value: String,
    /// µs since 1970: the stamp of the plan that emptied it.
    pub(crate) since: i64,
    /// When HubSpot last refused it, µs since 1970.
    pub(crate) refused_at: Option<i64>,
    /// It goes back to whoever had set it, and is not hublake's then.
    pub(crate) theirs: bool,
}

fn spec() -> TableSpec {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
    };
    TableSpec {
        name: TableName::system("restoring"),
        schema: Arc::new(Schema::new(vec![
            text("pipeline"),
            text("write_back"),
            text("object"),
            Field::new("record_id", DataType::Int64, true),
            text("property"),
            text("value"),
            text("status"),
            time("since"),
            time("refused_at"),
            Field::new("theirs", DataType::Boolean, true),
        ])),
        key: ["object", "record_id", "property"].map(String::from).to_vec(),
        partition_by: Vec::new(),
    }
}

/// Whether an apply came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Apply {
    /// What has no outcome was never sent.
    Ended,
    /// What has no outcome may have been sent.
    CutOff,
}

/// Takes over what a plan owes: its values that were emptied first, as far as is
/// known, and whose rows did not end with the value in its place. What hublake
/// never emptied is owed nothing, or a person's emptying would be undone.
/// Repeating it changes nothing.
pub(crate) async fn keep(
    lake: &Lake,
    plans: &Table,
    writes: Option<&Table>,
    pipeline: &str,
    write_back: &str,
    planned_at: i64,
    apply: Apply,
) -> Result<(), LoadError> {
    let filter = rows::of_plan(pipeline, write_back, planned_at)
        .and(col("action").eq(lit("update")))
        .and(col("changes").like(lit(format!("%{}%", rows::WRITE_AFTER_CLEARING))));
    let mut batches = plans.scan(None, Some(filter)).await.during(DOING)?;
    let mut owed = Vec::new();
    let mut ended = None;
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        for row in 0..batch.num_rows() {
            let planned = rows::decode_row(&batch, row)?;
            let ended = match &mut ended {
                Some(ended) => ended,
                none => none.insert(outcomes(writes, pipeline, write_back, planned_at).await?),
            };
            let found = ended.get(&trace_hash(&planned.trace_id));
            let outcome = found.and_then(|found| found.outcome.as_deref());
            let is = |known: Outcome| outcome == Some(known.name());
            if is(Outcome::Updated) {
                continue;
            }
            let Some(record_id) = planned.record_id else { continue };
            // Refused, or taken and ignored.
            let refused = is(Outcome::Rejected) || is(Outcome::Kept);
            let may_be_emptied = is(Outcome::Unknown)
                || found.is_some_and(|found| found.cleared)
                || (found.is_none() && apply == Apply::CutOff);
            let cleared = planned.changes.into_iter().filter(|(_, change)| {
                // One that is empty in the plan was emptied before.
                let was_empty = change.old.as_deref().is_none_or(str::is_empty);
                change.clears_first() && (may_be_emptied || was_empty)
            });
            owed.extend(cleared.map(|(property, change)| Owed {
                object: rows::text(&batch, "object", row).unwrap_or_default().to_owned(),
                record_id,
                property,
                value: change.new,
                since: planned_at,
                refused_at: refused.then_some(planned_at),
                theirs: change.theirs,
            }));
        }
    }
    store(lake, pipeline, write_back, &owed, OPEN).await
}

/// What the ledger says of a row.
#[derive(Default)]
struct Told {
    /// Its value was emptied so that it could be written.
    cleared: bool,
    /// How it ended.
    outcome: Option<String>,
}

/// What the ledger says of a plan's rows, by the hashes of their trace ids. Only
/// called for a plan that moves stages back.
async fn outcomes(
    writes: Option<&Table>,
    pipeline: &str,
    write_back: &str,
    planned_at: i64,
) -> Result<HashMap<u64, Told>, LoadError> {
    let mut found: HashMap<u64, Told> = HashMap::new();
    let Some(writes) = writes else { return Ok(found) };
    let filter = col("pipeline")
        .eq(lit(pipeline))
        .and(col("write_back").eq(lit(write_back)))
        .and(col("stamp").gt_eq(lit(planned_at)));
    let columns = ["trace_id", "outcome"];
    let mut batches = writes.scan(Some(&columns), Some(filter)).await.during(DOING)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        let texts = |at: usize| batch.column(at).as_string::<i32>();
        for (trace, outcome) in texts(0).iter().zip(texts(1)) {
            let (Some(trace), Some(outcome)) = (trace, outcome) else { continue };
            let told = found.entry(trace_hash(trace)).or_default();
            match outcome == ledger::CLEARED {
                true => told.cleared = true,
                false => told.outcome = Some(outcome.to_owned()),
            }
        }
    }
    Ok(found)
}

/// What a write-back owes and may send now.
pub(crate) async fn open(
    lake: &Lake,
    pipeline: &str,
    write_back: &str,
    now: i64,
) -> Result<Vec<Owed>, LoadError> {
    if lake.table(&spec().name).await.during(DOING)?.is_none() {
        return Ok(Vec::new());
    }
    // One of an earlier version gets the columns that it lacks.
    let table = lake.open_or_create(&spec()).await.during(DOING)?;
    let filter = col("pipeline")
        .eq(lit(pipeline))
        .and(col("write_back").eq(lit(write_back)))
        .and(col("status").eq(lit(OPEN)));
    let columns = ["object", "record_id", "property", "value", "since", "refused_at", "theirs"];
    let mut batches = table.scan(Some(&columns), Some(filter)).await.during(DOING)?;
    let mut owed = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        let text =
            |at: usize, row: usize| batch.column(at).as_string::<i32>().value(row).to_owned();
        let time = |at: usize, row: usize| {
            let times = batch.column(at).as_primitive::<TimestampMicrosecondType>();
            times.is_valid(row).then(|| times.value(row))
        };
        owed.extend((0..batch.num_rows()).map(|row| Owed {
            object: text(0, row),
            record_id: batch.column(1).as_primitive::<Int64Type>().value(row),
            property: text(2, row),
            value: text(3, row),
            since: time(4, row).unwrap_or_default(),
            refused_at: time(5, row),
            theirs: batch.column(6).is_valid(row) && batch.column(6).as_boolean().value(row),
        }));
    }
    owed.retain(|owed| owed.refused_at.is_none_or(|at| now - at >= REST_MICROS));
    Ok(owed)
}

/// The write-backs of a pipeline that owe something, with the object types that
/// they owe it to.
pub(crate) async fn debtors(
    lake: &Lake,
    pipeline: &str,
) -> Result<BTreeSet<(String, String)>, LoadError> {
    let Some(table) = lake.table(&spec().name).await.during(DOING)? else {
        return Ok(BTreeSet::new());
    };
    let filter = col("pipeline").eq(lit(pipeline)).and(col("status").eq(lit(OPEN)));
    let mut batches =
        table.scan(Some(&["write_back", "object"]), Some(filter)).await.during(DOING)?;
    let mut debtors = BTreeSet::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        let texts = |at: usize| batch.column(at).as_string::<i32>().iter().flatten();
        debtors.extend(texts(0).zip(texts(1)).map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
    Ok(debtors)
}

/// Notes that values are no longer owed.
pub(crate) async fn close(
    lake: &Lake,
    pipeline: &str,
    write_back: &str,
    owed: &[Owed],
) -> Result<(), LoadError> {
    store(lake, pipeline, write_back, owed, DONE).await
}

/// The properties in which something is owed.
pub(crate) fn properties(owed: &[Owed]) -> BTreeSet<&str> {
    owed.iter().map(|owed| owed.property.as_str()).collect()
}

/// The records that are owed something.
pub(crate) fn records(owed: &[Owed]) -> HashSet<i64> {
    owed.iter().map(|owed| owed.record_id).collect()
}

async fn store(
    lake: &Lake,
    pipeline: &str,
    write_back: &str,
    owed: &[Owed],
    status: &str,
) -> Result<(), LoadError> {
    if owed.is_empty() {
        return Ok(());
    }
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; owed.len()])) };
    let text = |field: fn(&Owed) -> &str| -> ArrayRef {
        Arc::new(owed.iter().map(|owed| Some(field(owed))).collect::<StringArray>())
    };
    let time = |field: fn(&Owed) -> Option<i64>| -> ArrayRef {
        let times = owed.iter().map(field).collect::<TimestampMicrosecondArray>();
        Arc::new(times.with_timezone("UTC"))
    };
    let columns = vec![
        same(pipeline),
        same(write_back),
        text(|owed| &owed.object),
        Arc::new(Int64Array::from_iter_values(owed.iter().map(|owed| owed.record_id))) as ArrayRef,
        text(|owed| &owed.property),
        text(|owed| &owed.value),
        same(status),
        time(|owed| Some(owed.since)),
        time(|owed| owed.refused_at),
        Arc::new(owed.iter().map(|owed| Some(owed.theirs)).collect::<BooleanArray>()),
    ];
    let rows = vec![RecordBatch::try_new(spec().schema, columns).during(DOING)?];
    let mut table = lake.open_or_create(&spec()).await.during(DOING)?;
    let changes = Changes { rows, newer_by: Some("since".to_owned()), ..Changes::default() };
    table.upsert(changes, &[]).await.during(DOING)?;
    Ok(())
}
