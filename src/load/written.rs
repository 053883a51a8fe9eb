//! `system.written`: the last value hublake set, per object, record and
//! property, derived from the ledger.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::creating;
use super::error::{LoadError, While};
use super::ledger;
use super::links::TAKEN_AWAY;
use super::outcome::Outcome;
use super::plan::{PlanCursors, rows};
use super::restoring;
use crate::lake::{Changes, Cursor, Lake, Table, TableName, TableSpec};

const DOING: &str = "keeping what hublake last set";

/// Values stored by one commit.
const ENTRIES_PER_COMMIT: usize = 200_000;

/// The entry comes from an outcome.
pub(crate) const WRITTEN: &str = "written";
/// The entry comes from a plan whose outcome is not known: the write may have
/// happened.
pub(crate) const INTENDED: &str = "intended";

/// The table and its key. `value` is empty where hublake cleared the property,
/// `returned` is set only where HubSpot answered another value, `before` is
/// null where the property was empty.
pub(crate) fn spec() -> TableSpec {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
    };
    let schema = Schema::new(vec![
        text("object"),
        Field::new("record_id", DataType::Int64, true),
        text("property"),
        text("state"),
        text("value"),
        text("returned"),
        text("before"),
        time("written_at"),
        time("updated_at"),
        text("run_id"),
    ]);
    TableSpec {
        name: TableName::system("written"),
        schema: Arc::new(schema),
        key: ["object", "record_id", "property", "state"].map(String::from).to_vec(),
        partition_by: Vec::new(),
    }
}

/// Outcomes of rows whose values HubSpot took, or answered that it did.
const TAKEN: [Outcome; 4] = [Outcome::Created, Outcome::Updated, Outcome::Archived, Outcome::Kept];

/// Actions of a plan's rows that are sent.
const SENT: [&str; 4] = ["update", "create", "link", "unlink"];

/// One value that hublake set, or meant to.
struct Entry {
    object: String,
    record_id: i64,
    property: String,
    state: &'static str,
    value: String,
    returned: Option<String>,
    before: Option<String>,
    written_at: i64,
    updated_at: Option<i64>,
    run_id: String,
}

/// How far a pipeline's ledger has come into `system.written`.
fn applied_cursor(pipeline: &str) -> String {
    format!("hublake.writes.{pipeline}")
}

/// Brings the entries of a pipeline's ledger that are not in yet.
pub(crate) async fn catch_up(lake: &Lake, pipeline: &str, writes: &Table) -> Result<(), LoadError> {
    let last = ledger::last_stamp(writes, pipeline);
    let cursor = Cursor { app_id: applied_cursor(pipeline), value: last };
    let mut table = lake.open_or_create(&spec()).await.during(DOING)?;
    let applied = table.cursor(&cursor.app_id).unwrap_or(0);
    if last <= applied {
        return Ok(());
    }
    let mut batches = ledger::entries_after(writes, pipeline, None, applied).await?;
    let mut entries = Vec::new();
    while let Some(batch) = batches.next().await {
        entries.extend(ledger::decode(&batch.during(DOING)?)?.into_iter().flat_map(values));
        if entries.len() >= ENTRIES_PER_COMMIT {
            store(&mut table, std::mem::take(&mut entries), &[]).await?;
        }
    }
    store(&mut table, entries, &[cursor]).await
}

/// The values of one ledger entry: those that were sent and taken, or may have
/// been.
fn values(entry: ledger::Kept) -> Vec<Entry> {
    let state = match entry.outcome.as_str() {
        outcome if outcome == Outcome::Unknown.name() => INTENDED,
        ledger::CLEARED => WRITTEN,
        outcome if TAKEN.iter().any(|taken| outcome == taken.name()) => WRITTEN,
        _ => return Vec::new(),
    };
    let Some(record_id) = entry.record_id else { return Vec::new() };
    // What an undo gave back stays its owner's: what hublake set last is what it was before.
    let is_ours = |(_, written): &(String, ledger::WrittenProperty)| !written.theirs;
    let value = |(property, written): (String, ledger::WrittenProperty)| {
        let value = written.new?;
        Some(Entry {
            object: entry.object.clone(),
            record_id,
            property,
            state,
            returned: written.returned.filter(|returned| *returned != value),
            value,
            before: written.old,
            written_at: entry.written_at,
            updated_at: entry.updated_at,
            run_id: entry.run_id.clone(),
        })
    };
    entry.properties.into_iter().filter(is_ours).filter_map(value).collect()
}

/// Keeps that links which hublake made were seen to be gone from HubSpot, by record
/// and link: whoever makes one again makes it their own.
pub(crate) async fn note_taken_away(
    lake: &Lake,
    seen: &rows::Heading,
    links: Vec<(i64, String)>,
) -> Result<(), LoadError> {
    if links.is_empty() {
        return Ok(());
    }
    let entry = |(record_id, property)| Entry {
        object: seen.object.clone(),
        record_id,
        property,
        state: WRITTEN,
        value: TAKEN_AWAY.to_owned(),
        returned: None,
        before: None,
        written_at: seen.planned_at,
        updated_at: None,
        run_id: seen.run_id.clone(),
    };
    let mut table = lake.open_or_create(&spec()).await.during(DOING)?;
    store(&mut table, links.into_iter().map(entry).collect(), &[]).await
}

/// Takes over the intents of an apply that was cut off: what its plan was to
/// write and has no outcome may have been written all the same, and must not
/// look like a person's edit. Creates, whose records are not known, are kept under
/// their key.
pub(crate) async fn take_intents(
    lake: &Lake,
    pipeline: &str,
    write_back: &str,
    writes: Option<&Table>,
) -> Result<(), LoadError> {
    let Some(mut plans) = lake.table(&rows::spec().name).await.during(DOING)? else {
        return Ok(());
    };
    let cursors = PlanCursors::new(pipeline, write_back);
    let Some(planned_at) = cursors.open(&plans) else { return Ok(()) };
    let settled = outcomes(writes, pipeline, write_back, planned_at).await?;
    let apply = match cursors.has_ended(&plans, planned_at) {
        true => restoring::Apply::Ended,
        false => restoring::Apply::CutOff,
    };
    restoring::keep(lake, &plans, writes, pipeline, write_back, planned_at, apply).await?;
    let mut table = lake.open_or_create(&spec()).await.during(DOING)?;
    let filter = rows::of_plan(pipeline, write_back, planned_at)
        .and(col("action").in_list(SENT.map(lit).to_vec(), false));
    let mut batches = plans.scan(None, Some(filter)).await.during(DOING)?;
    let mut entries = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        let is_open = |row: usize| {
            let trace_id = rows::text(&batch, "trace_id", row).unwrap_or_default();
            !settled.contains(&trace_hash(trace_id))
        };
        let open: Vec<bool> = (0..batch.num_rows()).map(is_open).collect();
        for row in (0..batch.num_rows()).filter(|row| open[*row]) {
            entries.extend(intents(&batch, row, planned_at)?);
        }
        creating::keep(lake, &batch, &open).await?;
        if entries.len() >= ENTRIES_PER_COMMIT {
            store(&mut table, std::mem::take(&mut entries), &[]).await?;
        }
    }
    store(&mut table, entries, &[]).await?;
    plans.commit_cursors(&[cursors.applied(planned_at)]).await.during(DOING)
}

/// The rows of an apply that have an outcome, as hashes of their trace ids.
async fn outcomes(
    writes: Option<&Table>,
    pipeline: &str,
    write_back: &str,
    planned_at: i64,
) -> Result<HashSet<u64>, LoadError> {
    let mut found = HashSet::new();
    let Some(writes) = writes else { return Ok(found) };
    let filter = col("pipeline")
        .eq(lit(pipeline))
        .and(col("write_back").eq(lit(write_back)))
        // Stamps follow the clock or run ahead of it.
        .and(col("stamp").gt_eq(lit(planned_at)))
        // A create that may have happened, and of which no record is known, is open.
        .and(
            col("record_id").is_not_null().or(col("outcome").not_eq(lit(Outcome::Unknown.name()))),
        );
    let mut batches = writes.scan(Some(&["trace_id"]), Some(filter)).await.during(DOING)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        let traces: &StringArray = batch.column(0).as_string();
        found.extend(traces.iter().flatten().map(trace_hash));
    }
    Ok(found)
}

pub(super) fn trace_hash(trace_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    trace_id.hash(&mut hasher);
    hasher.finish()
}

fn intents(batch: &RecordBatch, row: usize, planned_at: i64) -> Result<Vec<Entry>, LoadError> {
    let planned = rows::decode_row(batch, row)?;
    let Some(record_id) = planned.record_id else { return Ok(Vec::new()) };
    let text = |column| rows::text(batch, column, row).unwrap_or_default().to_owned();
    let writes =
        planned.changes.into_iter().filter(|(_, change)| change.is_write() && !change.theirs);
    let entry = |(property, change): (String, rows::PlannedChange)| Entry {
        object: text("object"),
        record_id,
        property,
        state: INTENDED,
        value: change.new,
        returned: None,
        before: change.old,
        written_at: planned_at,
        updated_at: None,
        run_id: text("run_id"),
    };
    Ok(writes.map(entry).collect())
}

async fn store(
    table: &mut Table,
    entries: Vec<Entry>,
    cursors: &[Cursor],
) -> Result<(), LoadError> {
    if entries.is_empty() {
        return table.commit_cursors(cursors).await.during(DOING);
    }
    let changes = Changes {
        rows: vec![encode(&entries)?],
        newer_by: Some("written_at".to_owned()),
        ..Changes::default()
    };
    table.upsert(changes, cursors).await.during(DOING)?;
    Ok(())
}

fn encode(entries: &[Entry]) -> Result<RecordBatch, LoadError> {
    let text = |field: fn(&Entry) -> Option<&str>| -> ArrayRef {
        Arc::new(entries.iter().map(field).collect::<StringArray>())
    };
    let time = |field: fn(&Entry) -> Option<i64>| -> ArrayRef {
        Arc::new(
            entries.iter().map(field).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        )
    };
    let columns = vec![
        text(|entry| Some(&entry.object)),
        Arc::new(Int64Array::from_iter_values(entries.iter().map(|entry| entry.record_id))),
        text(|entry| Some(&entry.property)),
        text(|entry| Some(entry.state)),
        text(|entry| Some(&entry.value)),
        text(|entry| entry.returned.as_deref()),
        text(|entry| entry.before.as_deref()),
        time(|entry| Some(entry.written_at)),
        time(|entry| entry.updated_at),
        text(|entry| Some(&entry.run_id)),
    ];
    RecordBatch::try_new(spec().schema, columns).during(DOING)
}
