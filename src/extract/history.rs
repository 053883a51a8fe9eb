//! Former values of properties, into `hubspot.property_history`.
//!
//! The table is derived from the mirrors: the history of every record stored
//! since the last sync is read again. A calculated property that the mirror does
//! not hold changes without a trace there, so that of all live records is read
//! again after a full sync, and after a listing on a cadence of its own. HubSpot
//! keeps some twenty versions of a value and forgets the rest, so rows are only
//! ever added: what has been seen once stays.
//!
//! Two versions can bear one time, an import's and a workflow's, say, within a
//! millisecond. Their order is unknown; the value is part of the key, so that
//! both stay. A cleared value is an empty text, for keys cannot be null.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::prelude::not;
use futures::StreamExt;
use futures::stream;
use tokio_util::sync::CancellationToken;

use super::config::ExtractObjectConfig;
use super::error::{ExtractError, reading, storing};
use super::follower::{Follower, Stretch, is_gone};
use super::mirror::{mirror_table, timestamp};
use crate::hubspot::{Client, PropertyVersion};
use crate::lake::{Changes, Cursor, Lake, Table, TableName, TableSpec};
use crate::objects::{ObjectType, PropertyDefinition, RecordId};

/// The table's name under `hubspot`.
pub const PROPERTY_HISTORY: &str = "property_history";

const KEY: [&str; 5] = ["object_type", "id", "property", "timestamp", "value"];
/// Ids a batch read takes when it asks for histories.
const MAX_IDS: usize = 50;
/// Batch reads in flight.
const READS_AT_ONCE: usize = 8;
/// Record ids whose history is committed together, at most.
const COMMIT_IDS: usize = 10_000;
/// Versions at which a commit is made however few records they are of.
const COMMIT_ROWS: usize = 100_000;

/// Whose history to read, and of which properties.
pub struct HistorySync<'a> {
    /// HubSpot.
    pub client: &'a Client,
    /// Where the tables lie.
    pub lake: &'a Lake,
    /// The object type.
    pub object: &'a ObjectType,
    /// Every property it has.
    pub definitions: &'a [PropertyDefinition],
    /// What the pipeline asks for.
    pub config: &'a ExtractObjectConfig,
    /// Asks for an orderly end: what was read is committed.
    pub stop: &'a CancellationToken,
}

/// What a sync of histories came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryReport {
    /// Versions new to the table.
    pub inserted: u64,
    /// Calls made.
    pub calls: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Reads the history of every record stored since the last sync; what was done,
/// and why it ended early where it did.
///
/// Another selection of properties has cursors of its own: it reads all records
/// once, and goes on from where it was when it comes back.
pub async fn sync_history(sync: &HistorySync<'_>) -> (HistoryReport, Option<ExtractError>) {
    let mut report = HistoryReport::default();
    let ended = run(sync, &mut report).await;
    (report, ended.err())
}

async fn run(sync: &HistorySync<'_>, report: &mut HistoryReport) -> Result<(), ExtractError> {
    let properties = selected(sync.object, sync.definitions, sync.config)?;
    let name = mirror_table(sync.object);
    let mirror = sync.lake.table(&name).await.map_err(storing(&name))?;
    let (Some(mirror), false) = (mirror, properties.is_empty()) else { return Ok(()) };
    let spec = table_spec();
    let mut table = sync.lake.open_or_create(&spec).await.map_err(storing(&spec.name))?;
    let follower = follower(sync.object, &properties, sync.config);
    let mut reader = Reader { sync, properties: &properties, follower, report };
    while let Some(stretch) = reader.follower.next(&table, &mirror) {
        let ids = stretch.ids(&mirror, not(is_gone())).await?;
        reader.read(&stretch, &ids, &mut table).await?;
        if reader.report.interrupted {
            break;
        }
    }
    Ok(())
}

/// Whether the history is as complete and as new as the mirror it hangs on.
///
/// # Errors
/// The lake cannot be read, or a property is unknown.
pub async fn is_history_current(
    lake: &Lake,
    object: &ObjectType,
    definitions: &[PropertyDefinition],
    config: &ExtractObjectConfig,
) -> Result<bool, ExtractError> {
    let properties = selected(object, definitions, config)?;
    if properties.is_empty() {
        return Ok(true);
    }
    let (name, spec) = (mirror_table(object), table_spec());
    let mirror = lake.table(&name).await.map_err(storing(&name))?;
    let table = lake.table(&spec.name).await.map_err(storing(&spec.name))?;
    let (Some(mirror), Some(table)) = (mirror, table) else { return Ok(false) };
    Ok(follower(object, &properties, config).next(&table, &mirror).is_none())
}

/// The names of the properties asked for, sorted.
fn selected(
    object: &ObjectType,
    definitions: &[PropertyDefinition],
    config: &ExtractObjectConfig,
) -> Result<Vec<String>, ExtractError> {
    let selected = config.history.select(object.name(), definitions, &[])?;
    let mut names: Vec<_> = selected.into_iter().map(|d| d.name.clone()).collect();
    names.sort_unstable();
    Ok(names)
}

fn follower(object: &ObjectType, properties: &[String], config: &ExtractObjectConfig) -> Follower {
    let prefix = format!("hublake.history.{object}.{:016x}", fingerprint(properties));
    Follower::new(prefix, config.reconcile_history)
}

/// FNV-1a over the names: the same in every version of hublake, as a hash that
/// goes into a table must be.
fn fingerprint(names: &[String]) -> u64 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One sync on its way.
struct Reader<'a, 'r> {
    sync: &'a HistorySync<'a>,
    properties: &'a [String],
    follower: Follower,
    report: &'r mut HistoryReport,
}

impl Reader<'_, '_> {
    /// Reads the history of these records and stores it. What was read before a
    /// failure is stored too.
    async fn read(
        &mut self,
        stretch: &Stretch,
        ids: &[i64],
        table: &mut Table,
    ) -> Result<(), ExtractError> {
        let (sync, properties) = (self.sync, self.properties);
        let commit_ids = sync.config.commit_rows.min(COMMIT_IDS);
        let batches = ids.chunks(MAX_IDS).map(<[i64]>::to_vec);
        let mut reads = stream::iter(batches.map(|batch| read_batch(sync, properties, batch)))
            .buffered(READS_AT_ONCE);
        let (mut found, mut covered, mut last) = (Vec::new(), 0, None);
        let mut ended = Ok(());
        loop {
            let (batch, answer) = match sync.stop.run_until_cancelled(reads.next()).await {
                Some(Some(read)) => read,
                Some(None) => break,
                None => {
                    self.report.interrupted = true;
                    break;
                }
            };
            self.report.calls += 1;
            match answer {
                Ok(versions) => found.extend(versions),
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
            covered += batch.len();
            last = batch.last().copied().or(last);
            if covered >= commit_ids || found.len() >= COMMIT_ROWS {
                let cursors = self.midway(table, stretch, last);
                self.store(table, &std::mem::take(&mut found), &cursors).await?;
                covered = 0;
            }
        }
        let is_through = ended.is_ok() && !self.report.interrupted;
        let cursors = match is_through {
            true => self.follower.done(stretch),
            false => self.midway(table, stretch, last),
        };
        self.store(table, &found, &cursors).await?;
        ended
    }

    fn midway(&self, table: &Table, stretch: &Stretch, last: Option<i64>) -> Vec<Cursor> {
        last.map_or(Vec::new(), |last| self.follower.midway(table, stretch, last))
    }

    async fn store(
        &mut self,
        table: &mut Table,
        found: &[PropertyVersion],
        cursors: &[Cursor],
    ) -> Result<(), ExtractError> {
        let changes = Changes {
            rows: vec![version_rows(self.sync.object, found)?],
            deletes: None,
            newer_by: None,
            ignore: vec!["_synced_at".to_owned()],
        };
        let name = table.name().clone();
        let counts = table.upsert(changes, cursors).await.map_err(storing(&name))?;
        self.report.inserted += counts.inserted;
        Ok(())
    }
}

async fn read_batch(
    sync: &HistorySync<'_>,
    properties: &[String],
    ids: Vec<i64>,
) -> (Vec<i64>, Result<Vec<PropertyVersion>, ExtractError>) {
    let asked: Vec<RecordId> = ids.iter().copied().map(RecordId).collect();
    let read = sync.client.property_history(sync.object, &asked, properties).await;
    (ids, read.map_err(reading(PROPERTY_HISTORY)))
}

fn version_rows(
    object: &ObjectType,
    found: &[PropertyVersion],
) -> Result<RecordBatch, ExtractError> {
    fn text<'v>(
        found: &'v [PropertyVersion],
        get: fn(&'v PropertyVersion) -> Option<&'v str>,
    ) -> ArrayRef {
        Arc::new(found.iter().map(get).collect::<StringArray>())
    }
    let now = chrono::Utc::now().timestamp_micros();
    let times = |micros: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
    };
    let ids: Int64Array = found.iter().map(|v| Some(v.id.0)).collect();
    let users: Int64Array = found.iter().map(|v| v.updated_by_user_id).collect();
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from(vec![object.name(); found.len()])),
            Arc::new(ids),
            text(found, |v| Some(&v.property)),
            times(found.iter().map(|v| v.timestamp).collect()),
            text(found, |v| Some(v.value.as_deref().unwrap_or_default())),
            text(found, |v| v.source_type.as_deref()),
            text(found, |v| v.source_id.as_deref()),
            text(found, |v| v.source_label.as_deref()),
            Arc::new(users),
            times(vec![now; found.len()]),
        ],
    )?)
}

fn table_spec() -> TableSpec {
    TableSpec {
        name: TableName::hubspot(PROPERTY_HISTORY),
        schema: schema(),
        key: KEY.iter().map(|column| (*column).to_owned()).collect(),
        partition_by: vec!["object_type".to_owned()],
    }
}

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("object_type", DataType::Utf8, true),
        Field::new("id", DataType::Int64, true),
        Field::new("property", DataType::Utf8, true),
        Field::new("timestamp", timestamp(), true),
        Field::new("value", DataType::Utf8, true),
        Field::new("source_type", DataType::Utf8, true),
        Field::new("source_id", DataType::Utf8, true),
        Field::new("source_label", DataType::Utf8, true),
        Field::new("updated_by_user_id", DataType::Int64, true),
        Field::new("_synced_at", timestamp(), true),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_s_cursors_are_its_own() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        // Fixed: a table written by another version must be read on.
        assert_eq!(fingerprint(&[]), 0xcbf2_9ce4_8422_2325);
        assert_ne!(fingerprint(&names(&["ab", "c"])), fingerprint(&names(&["a", "bc"])));
    }
}
