//! `system.writes`: every row that was sent, with its outcome and before-image,
//! and rows held back for what HubSpot held by then.
//!
//! Outcomes come from many batches at once and are committed in groups, since
//! a commit per batch could not keep up; a kill costs at most a second's
//! outcomes, which the plan, committed before, still knows as intents.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{col, lit};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::error::{LoadError, While};
use super::outcome::Outcome;
use crate::lake::{Cursor, Lake, Table, TableName, TableSpec};

const DOING: &str = "writing the ledger";

/// How long an outcome waits for company before it is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Outcomes that are committed at once, however fresh.
const COMMIT_ROWS: usize = 10_000;
/// Batches of outcomes that may wait for a commit before sending pauses.
const QUEUE: usize = 64;

/// One row that was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) record_id: Option<i64>,
    pub(crate) match_key: Option<String>,
    pub(crate) outcome: String,
    pub(crate) properties: BTreeMap<String, WrittenProperty>,
    pub(crate) trace_id: String,
    pub(crate) correlation_id: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) message: Option<String>,
    /// The record's dates in HubSpot's answer, µs since 1970.
    pub(crate) created_at: Option<i64>,
    pub(crate) updated_at: Option<i64>,
    /// When the outcome was known, µs since 1970.
    pub(crate) written_at: i64,
}

/// One property of a row that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrittenProperty {
    /// What HubSpot held before, of a property that was sent; absent for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) old: Option<String>,
    /// What was sent; absent for a property that HubSpot only answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) new: Option<String>,
    /// What HubSpot answered; absent where it did not say, empty for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) returned: Option<String>,
    /// What HubSpot held before was hublake's own value, or nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held_ours: bool,
    /// What was sent is somebody else's value, given back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) theirs: bool,
}

/// What every entry of one apply shares.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    pub(crate) run_id: String,
    pub(crate) pipeline: String,
    pub(crate) write_back: String,
    pub(crate) object: String,
}

/// Takes outcomes and commits them in groups.
pub(crate) struct Ledger {
    queue: Option<mpsc::Sender<Vec<Entry>>>,
    keeper: JoinHandle<Result<(), LoadError>>,
}

impl Ledger {
    /// Opens the ledger.
    pub(crate) async fn open(lake: &Lake, heading: Heading) -> Result<Self, LoadError> {
        let table = lake.open_or_create(&spec()).await.during(DOING)?;
        let (queue, entries) = mpsc::channel(QUEUE);
        let keeper = tokio::spawn(Keeper { table, heading, waiting: Vec::new() }.keep(entries));
        Ok(Self { queue: Some(queue), keeper })
    }

    /// Takes outcomes. They are durable once [`Ledger::close`] returns, and in
    /// all but the last second before a crash.
    ///
    /// # Errors
    /// None here: a ledger that failed says so when it is closed, and
    /// [`Ledger::has_failed`] says that it has.
    pub(crate) async fn write(&self, entries: Vec<Entry>) {
        if let Some(queue) = self.queue.as_ref().filter(|_| !entries.is_empty()) {
            // A closed queue means that the keeper failed.
            let _ = queue.send(entries).await;
        }
    }

    /// Whether outcomes can no longer be kept, so that nothing more may be sent.
    pub(crate) fn has_failed(&self) -> bool {
        self.queue.as_ref().is_none_or(mpsc::Sender::is_closed)
    }

    /// Commits what is left.
    pub(crate) async fn close(mut self) -> Result<(), LoadError> {
        self.queue = None;
        self.keeper.await.during(DOING)?
    }
}

struct Keeper {
    table: Table,
    heading: Heading,
    waiting: Vec<Entry>,
}

impl Keeper {
    async fn keep(mut self, mut entries: mpsc::Receiver<Vec<Entry>>) -> Result<(), LoadError> {
        let mut tick = tokio::time::interval(COMMIT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                more = entries.recv() => match more {
                    Some(more) => self.waiting.extend(more),
                    None => return self.commit().await,
                },
                _ = tick.tick() => self.commit().await?,
            }
            if self.waiting.len() >= COMMIT_ROWS {
                self.commit().await?;
            }
        }
    }

    /// Appends what waits. The stamp orders the entries for good, whatever the
    /// clock does: it goes on from the last one committed.
    async fn commit(&mut self) -> Result<(), LoadError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.waiting);
        let app_id = stamp_cursor(&self.heading.pipeline);
        let last = self.table.cursor(&app_id).unwrap_or(0);
        let first = entries.iter().map(|entry| entry.written_at).min().unwrap_or(0).max(last + 1);
        let rows = encode(&self.heading, &entries, first)?;
        let cursor = Cursor { app_id, value: first + entries.len() as i64 - 1 };
        self.table.append(&[rows], &[cursor]).await.during(DOING)
    }
}

/// The last stamp given to an entry of a pipeline.
fn stamp_cursor(pipeline: &str) -> String {
    format!("hublake.writes.{pipeline}")
}

pub(crate) fn spec() -> TableSpec {
    TableSpec {
        name: TableName::system("writes"),
        schema: schema(),
        key: Vec::new(),
        partition_by: Vec::new(),
    }
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let time = |name: &str| {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
    };
    Arc::new(Schema::new(vec![
        text("run_id"),
        text("pipeline"),
        text("write_back"),
        text("object"),
        number("stamp"),
        number("record_id"),
        text("match_key"),
        text("outcome"),
        text("properties"),
        text("trace_id"),
        text("correlation_id"),
        text("category"),
        text("message"),
        time("created_at"),
        time("updated_at"),
        time("written_at"),
    ]))
}

fn encode(heading: &Heading, entries: &[Entry], first: i64) -> Result<RecordBatch, LoadError> {
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; entries.len()])) };
    let text = |field: fn(&Entry) -> Option<&str>| -> ArrayRef {
        Arc::new(entries.iter().map(field).collect::<StringArray>())
    };
    let time = |field: fn(&Entry) -> Option<i64>| -> ArrayRef {
        Arc::new(
            entries.iter().map(field).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        )
    };
    let properties = entries.iter().map(|entry| serde_json::to_string(&entry.properties));
    let properties = properties.collect::<Result<Vec<_>, _>>().during(DOING)?;
    let columns = vec![
        same(&heading.run_id),
        same(&heading.pipeline),
        same(&heading.write_back),
        same(&heading.object),
        Arc::new(Int64Array::from_iter_values(first..first + entries.len() as i64)),
        Arc::new(entries.iter().map(|entry| entry.record_id).collect::<Int64Array>()),
        text(|entry| entry.match_key.as_deref()),
        text(|entry| Some(&entry.outcome)),
        Arc::new(StringArray::from(properties)),
        text(|entry| Some(&entry.trace_id)),
        text(|entry| entry.correlation_id.as_deref()),
        text(|entry| entry.category.as_deref()),
        text(|entry| entry.message.as_deref()),
        time(|entry| entry.created_at),
        time(|entry| entry.updated_at),
        time(|entry| Some(entry.written_at)),
    ];
    RecordBatch::try_new(schema(), columns).during(DOING)
}

/// An entry as tables derived from the ledger read it.
pub(crate) struct Kept {
    pub(crate) run_id: String,
    pub(crate) object: String,
    pub(crate) record_id: Option<i64>,
    pub(crate) outcome: String,
    pub(crate) properties: BTreeMap<String, WrittenProperty>,
    pub(crate) created_at: Option<i64>,
    pub(crate) updated_at: Option<i64>,
    pub(crate) written_at: i64,
}

/// The outcome in the ledger of a value emptied so that it can be written
/// again: a step of a row, not its end.
pub(crate) const CLEARED: &str = "cleared";

/// The ids of an object's records that hublake created, by whatever pipeline.
/// 16 bytes and more each.
pub(crate) async fn records_created(lake: &Lake, object: &str) -> Result<HashSet<i64>, LoadError> {
    let doing = "reading which records hublake created";
    let Some(writes) = lake.table(&spec().name).await.during(doing)? else {
        return Ok(HashSet::new());
    };
    let filter = col("object").eq(lit(object)).and(col("outcome").eq(lit(Outcome::Created.name())));
    let mut batches = writes.scan(Some(&["record_id"]), Some(filter)).await.during(doing)?;
    let mut ids = HashSet::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.during(doing)?;
        ids.extend(batch.column(0).as_primitive::<Int64Type>().iter().flatten());
    }
    Ok(ids)
}

/// The last stamp of a pipeline's entries.
pub(crate) fn last_stamp(writes: &Table, pipeline: &str) -> i64 {
    writes.cursor(&stamp_cursor(pipeline)).unwrap_or(0)
}

/// Streams a pipeline's entries after a stamp, in no particular order.
pub(crate) async fn entries_after(
    writes: &Table,
    pipeline: &str,
    object: Option<&str>,
    stamp: i64,
) -> Result<SendableRecordBatchStream, LoadError> {
    let columns = [
        "run_id",
        "object",
        "record_id",
        "outcome",
        "properties",
        "created_at",
        "updated_at",
        "written_at",
    ];
    let mut filter = col("pipeline").eq(lit(pipeline)).and(col("stamp").gt(lit(stamp)));
    if let Some(object) = object {
        filter = filter.and(col("object").eq(lit(object)));
    }
    writes.scan(Some(&columns), Some(filter)).await.during("reading the ledger")
}

/// The entries of a batch from [`entries_after`].
pub(crate) fn decode(batch: &RecordBatch) -> Result<Vec<Kept>, LoadError> {
    let text = |at: usize, row: usize| {
        let column: &StringArray = batch.column(at).as_string();
        if column.is_valid(row) { column.value(row) } else { "" }
    };
    let number = |at: usize, row: usize| {
        let column = batch.column(at).as_primitive::<Int64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let time = |at: usize, row: usize| {
        let column = batch.column(at).as_primitive::<TimestampMicrosecondType>();
        column.is_valid(row).then(|| column.value(row))
    };
    let decode = |row: usize| {
        Ok(Kept {
            run_id: text(0, row).to_owned(),
            object: text(1, row).to_owned(),
            record_id: number(2, row),
            outcome: text(3, row).to_owned(),
            properties: serde_json::from_str(text(4, row)).during("reading the ledger")?,
            created_at: time(5, row),
            updated_at: time(6, row),
            written_at: time(7, row).unwrap_or_default(),
        })
    };
    (0..batch.num_rows()).map(decode).collect()
}
