//! Associations between two object types, into `hubspot.associations`.
//!
//! The table is derived from the mirror of the first type: it records, as its
//! own cursors per pair, how far it has followed the mirror, and at each sync
//! reads the associations of every record stored since, several batches at
//! once. After the mirror has been listed anew it reads those of all live
//! records. A cut between the mirror's commit and this one loses nothing.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::prelude::{col, lit, not};
use futures::StreamExt;
use futures::stream;
use tokio_util::sync::CancellationToken;

use super::config::Cadence;
use super::error::{ExtractError, is_refusal, reading, storing};
use super::follower::{Follower, Stretch, is_gone};
use super::mirror::{SYNCED, listed_at, mirror_table, timestamp};
use super::reference::KeySet;
use super::stored;
use crate::hubspot::{Association, Client};
use crate::lake::{Changes, Cursor, Lake, Table, TableName, TableSpec};
use crate::objects::{ObjectType, RecordId};

/// The table's name under `hubspot`.
pub const ASSOCIATIONS: &str = "associations";

const KEY: [&str; 6] = ["from_type", "to_type", "from_id", "to_id", "category", "type_id"];
/// Ids a batch read takes; the cap is enforced since 10 February 2025.
const MAX_IDS: usize = 1_000;
/// Batch reads in flight. They wait for HubSpot, not for us: at a second a
/// call, eight of them read 8,000 records a second.
const READS_AT_ONCE: usize = 8;
/// Record ids whose associations are committed together, at most.
const COMMIT_IDS: usize = 50_000;
/// Associations at which a commit is made however few records they are of: a
/// row takes some 100 bytes until it is stored.
const COMMIT_ROWS: usize = 200_000;

/// A type whose associations with another are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationTarget {
    /// The other type.
    pub to: ObjectType,
    /// Whether it is named, and a pair that HubSpot refuses thus a failure.
    pub named: bool,
}

/// What became of one pair of types.
#[derive(Debug)]
pub enum PairOutcome {
    /// The table is as new as the mirror.
    Read,
    /// Somebody asked for the end; the next sync goes on.
    Interrupted,
    /// HubSpot has no such associations, or shows them not to this token. Where
    /// the target is not named, the pair counts as read until the mirror changes.
    Refused(ExtractError),
    /// It could not be read to its end.
    Failed(ExtractError),
}

/// Whose associations to read.
pub struct AssociationSync<'a> {
    /// HubSpot.
    pub client: &'a Client,
    /// Where the tables lie.
    pub lake: &'a Lake,
    /// The object type.
    pub from: &'a ObjectType,
    /// The types on the other side.
    pub targets: &'a [AssociationTarget],
    /// Records whose associations are committed together, at most.
    pub commit_rows: usize,
    /// Asks for an orderly end: what was read is committed.
    pub stop: &'a CancellationToken,
}

/// What every step of one pair's sync needs.
struct Pair<'a> {
    sync: &'a AssociationSync<'a>,
    to: &'a ObjectType,
    named: bool,
    follower: Follower,
    stamp: i64,
}

/// Reads the associations of records of a type that were stored since the last
/// sync of each pair; what became of the pairs, in the order of the targets,
/// and the calls made.
///
/// A pair that is refused leaves the others alone; after any other failure the
/// rest is not tried.
///
/// # Errors
/// The lake cannot be opened.
pub async fn sync_associations(
    sync: &AssociationSync<'_>,
) -> Result<(Vec<(AssociationTarget, PairOutcome)>, u64), ExtractError> {
    let name = mirror_table(sync.from);
    let mut outcomes = Vec::new();
    let mut calls = 0;
    let Some(mirror) = sync.lake.table(&name).await.map_err(storing(&name))? else {
        return Ok((outcomes, calls));
    };
    let spec = table_spec();
    let mut table = sync.lake.open_or_create(&spec).await.map_err(storing(&spec.name))?;
    for target in sync.targets {
        let pair = Pair {
            sync,
            to: &target.to,
            named: target.named,
            follower: follower(sync.from, &target.to),
            stamp: chrono::Utc::now().timestamp_micros(),
        };
        let outcome = match pair.sync(&mirror, &mut table, &mut calls).await {
            Ok(outcome) => outcome,
            Err(error) if is_refusal(&error) => {
                pair.forgo(&mirror, &mut table).await?;
                PairOutcome::Refused(error)
            }
            Err(error) => PairOutcome::Failed(error),
        };
        let is_over = matches!(outcome, PairOutcome::Failed(_) | PairOutcome::Interrupted);
        outcomes.push((target.clone(), outcome));
        if is_over {
            break;
        }
    }
    Ok((outcomes, calls))
}

/// The first of the targets whose associations are not as complete and as new as
/// the mirror they hang on; none where all are.
///
/// # Errors
/// The lake cannot be read.
pub async fn associations_behind(
    lake: &Lake,
    from: &ObjectType,
    targets: &[AssociationTarget],
) -> Result<Option<ObjectType>, ExtractError> {
    let name = mirror_table(from);
    let spec = table_spec();
    let mirror = lake.table(&name).await.map_err(storing(&name))?;
    let table = lake.table(&spec.name).await.map_err(storing(&spec.name))?;
    let is_current = |target: &AssociationTarget| {
        let (Some(mirror), Some(table)) = (&mirror, &table) else { return false };
        let is_forgone = !target.named && is_forgone(from, &target.to, mirror, table);
        is_forgone || follower(from, &target.to).next(table, mirror).is_none()
    };
    Ok(targets.iter().find(|target| !is_current(target)).map(|target| target.to.clone()))
}

fn prefix(from: &ObjectType, to: &ObjectType) -> String {
    format!("hublake.associations.{from}.{to}")
}

fn follower(from: &ObjectType, to: &ObjectType) -> Follower {
    // No date of a record moves when it is associated: only a listing says that
    // it is time to look again.
    Follower::new(prefix(from, to), Cadence::EveryRun)
}

/// Whether a pair was refused when the mirror was as it is now: it is asked for
/// again when that changes, and whenever everything has been listed.
fn is_forgone(from: &ObjectType, to: &ObjectType, mirror: &Table, table: &Table) -> bool {
    forgone(from, to, mirror)
        .iter()
        .all(|cursor| table.cursor(&cursor.app_id) >= Some(cursor.value))
}

fn forgone(from: &ObjectType, to: &ObjectType, mirror: &Table) -> Vec<Cursor> {
    let pair = prefix(from, to);
    let cursor = |name: &str, value: Option<i64>| {
        Some(Cursor { app_id: format!("{pair}.refused.{name}"), value: value? })
    };
    let state = [cursor("synced", mirror.cursor(SYNCED)), cursor("full", listed_at(mirror))];
    state.into_iter().flatten().collect()
}

impl Pair<'_> {
    async fn sync(
        &self,
        mirror: &Table,
        table: &mut Table,
        calls: &mut u64,
    ) -> Result<PairOutcome, ExtractError> {
        if !self.named && is_forgone(self.sync.from, self.to, mirror, table) {
            return Ok(PairOutcome::Read);
        }
        while let Some(stretch) = self.follower.next(table, mirror) {
            let gone = stretch.ids(mirror, is_gone()).await?;
            for part in gone.chunks(COMMIT_IDS) {
                replace(self, table, part, &[], &[]).await?;
            }
            let live = stretch.ids(mirror, not(is_gone())).await?;
            if !self.read(&stretch, &live, table, calls).await? {
                return Ok(PairOutcome::Interrupted);
            }
        }
        Ok(PairOutcome::Read)
    }

    /// Reads the associations of these records and stores them; whether it came
    /// to the end. What was read before a failure is stored too.
    async fn read(
        &self,
        stretch: &Stretch,
        ids: &[i64],
        table: &mut Table,
        calls: &mut u64,
    ) -> Result<bool, ExtractError> {
        let stop = self.sync.stop;
        let commit_ids = self.sync.commit_rows.min(COMMIT_IDS);
        let batches = ids.chunks(MAX_IDS).map(<[i64]>::to_vec);
        let mut reads =
            stream::iter(batches.map(|batch| self.read_batch(batch))).buffered(READS_AT_ONCE);
        let (mut covered, mut found) = (Vec::new(), Vec::new());
        let mut ended = Ok(true);
        loop {
            let (batch, answer) = match stop.run_until_cancelled(reads.next()).await {
                Some(Some(read)) => read,
                Some(None) => break,
                None => {
                    ended = Ok(false);
                    break;
                }
            };
            *calls += 1;
            match answer {
                Ok(associations) => found.extend(associations),
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
            covered.extend(batch);
            if covered.len() >= commit_ids || found.len() >= COMMIT_ROWS {
                let cursors = self.midway(table, stretch, &covered);
                replace(self, table, &covered, &found, &cursors).await?;
                (covered, found) = (Vec::new(), Vec::new());
            }
        }
        let cursors = match ended {
            Ok(true) => self.follower.done(stretch),
            _ => self.midway(table, stretch, &covered),
        };
        replace(self, table, &covered, &found, &cursors).await?;
        ended
    }

    async fn read_batch(
        &self,
        ids: Vec<i64>,
    ) -> (Vec<i64>, Result<Vec<Association>, ExtractError>) {
        let asked: Vec<RecordId> = ids.iter().copied().map(RecordId).collect();
        let read = self.sync.client.associations(self.sync.from, self.to, &asked).await;
        (ids, read.map_err(reading(ASSOCIATIONS)))
    }

    fn midway(&self, table: &Table, stretch: &Stretch, covered: &[i64]) -> Vec<Cursor> {
        covered.last().map_or(Vec::new(), |last| self.follower.midway(table, stretch, *last))
    }

    /// Notes that the pair was refused, where nobody has named it.
    async fn forgo(&self, mirror: &Table, table: &mut Table) -> Result<(), ExtractError> {
        if self.named {
            return Ok(());
        }
        let name = table.name().clone();
        let cursors = forgone(self.sync.from, self.to, mirror);
        table.commit_cursors(&cursors).await.map_err(storing(&name))
    }
}

/// Replaces the stored associations of these records, and moves cursors in the
/// same commit.
async fn replace(
    pair: &Pair<'_>,
    table: &mut Table,
    ids: &[i64],
    found: &[Association],
    cursors: &[Cursor],
) -> Result<(), ExtractError> {
    let rows = association_rows(pair, found)?;
    let deletes = dissolved(pair, table, ids, &rows).await?;
    let name = table.name().clone();
    let ignore = vec!["_synced_at".to_owned()];
    let changes = Changes { rows: vec![rows], deletes, newer_by: None, ignore };
    table.upsert(changes, cursors).await.map_err(storing(&name))?;
    Ok(())
}

fn association_rows(pair: &Pair<'_>, found: &[Association]) -> Result<RecordBatch, ExtractError> {
    let text = |value: &str| Arc::new(StringArray::from(vec![value; found.len()])) as ArrayRef;
    let ids = |get: fn(&Association) -> i64| {
        Arc::new(found.iter().map(|a| Some(get(a))).collect::<Int64Array>())
    };
    let categories: StringArray =
        found.iter().map(|a| Some(a.association.category.as_str())).collect();
    let labels: StringArray = found.iter().map(|a| a.association.label.as_deref()).collect();
    let stamps =
        TimestampMicrosecondArray::from_value(pair.stamp, found.len()).with_timezone("UTC");
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            text(pair.sync.from.name()),
            text(pair.to.name()),
            ids(|a| a.from.0),
            ids(|a| a.to.0),
            Arc::new(categories),
            ids(|a| a.association.type_id),
            Arc::new(labels),
            Arc::new(stamps),
        ],
    )?)
}

/// Keys of stored associations of these records that HubSpot no longer has.
async fn dissolved(
    pair: &Pair<'_>,
    table: &Table,
    ids: &[i64],
    fresh: &RecordBatch,
) -> Result<Option<RecordBatch>, ExtractError> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(None) };
    let filter = col("from_type")
        .eq(lit(pair.sync.from.name()))
        .and(col("to_type").eq(lit(pair.to.name())))
        .and(col("from_id").between(lit(*first), lit(*last)));
    let asked: HashSet<i64> = ids.iter().copied().collect();
    let of_these = |batch: &RecordBatch| -> BooleanArray {
        let from_ids = batch.column(2).as_primitive::<Int64Type>();
        from_ids.values().iter().map(|id| Some(asked.contains(id))).collect()
    };
    let stored = stored::read_where(table, Some(&KEY), Some(filter), of_these).await?;
    let Some(stored) = stored else { return Ok(None) };
    let gone = KeySet::new(fresh, &KEY)?.missing_from(&stored, &KEY)?;
    let gone: UInt32Array = gone.into_iter().map(|row| row as u32).collect();
    if gone.is_empty() { Ok(None) } else { Ok(Some(take_record_batch(&stored, &gone)?)) }
}

fn table_spec() -> TableSpec {
    TableSpec {
        name: TableName::hubspot(ASSOCIATIONS),
        schema: schema(),
        key: KEY.iter().map(|column| (*column).to_owned()).collect(),
        partition_by: vec!["from_type".to_owned(), "to_type".to_owned()],
    }
}

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("from_type", DataType::Utf8, true),
        Field::new("to_type", DataType::Utf8, true),
        Field::new("from_id", DataType::Int64, true),
        Field::new("to_id", DataType::Int64, true),
        Field::new("category", DataType::Utf8, true),
        Field::new("type_id", DataType::Int64, true),
        Field::new("label", DataType::Utf8, true),
        Field::new("_synced_at", timestamp(), true),
    ]))
}
