//! Looking after the files of a table: compaction, checkpoints, sweeping.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::Utc;
use deltalake::checkpoints::cleanup_metadata;
use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::commit::OnConflict;
use super::files::{DataFile, data_files};
use super::writer::{TARGET_FILE_BYTES, TableWriter};
use super::{LakeConfig, LakeError, Table};

/// Files below this size are worth merging; above it, rewriting costs more than
/// one file less is worth.
const SMALL_FILE_BYTES: u64 = TARGET_FILE_BYTES as u64 / 4;

/// A quarter of a day of 15-minute runs, each of which adds a file.
const COMPACT_AFTER_FILES: usize = 24;

/// Opening a table reads the commits since its checkpoint, a request each.
const CHECKPOINT_EVERY: u64 = 20;

/// When each kind of upkeep is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenancePolicy {
    /// How long older versions stay readable
    pub history: Duration,
    /// Small files in one partition that make compaction worth a commit
    pub compact_after_files: usize,
    /// Commits between checkpoints; the sweep of old files goes with them
    pub checkpoint_every: u64,
}

impl MaintenancePolicy {
    /// The policy that follows from the lake's settings.
    pub fn new(config: &LakeConfig) -> Self {
        Self {
            history: Duration::from_secs(u64::from(config.history_days) * 24 * 60 * 60),
            compact_after_files: COMPACT_AFTER_FILES,
            checkpoint_every: CHECKPOINT_EVERY,
        }
    }
}

/// What upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Small files merged into larger ones
    pub files_compacted: usize,
    /// Whether a checkpoint was written
    pub checkpointed: bool,
    /// Files removed for good
    pub files_removed: usize,
}

pub(super) async fn maintain(
    table: &mut Table,
    policy: &MaintenancePolicy,
) -> Result<MaintenanceReport, LakeError> {
    let files_compacted = match compact(table, policy.compact_after_files).await {
        // Someone else is writing: the next run compacts.
        Err(LakeError::Conflict { .. }) => 0,
        compacted => compacted?,
    };
    let mut report = MaintenanceReport { files_compacted, ..MaintenanceReport::default() };
    let since = table.last_checkpoint().await.unwrap_or(0);
    if table.version().saturating_sub(since) >= policy.checkpoint_every {
        report.checkpointed = table.checkpoint().await;
    }
    if report.checkpointed {
        let history = i64::try_from(policy.history.as_millis()).unwrap_or(i64::MAX);
        let cutoff = Utc::now().timestamp_millis().saturating_sub(history);
        report.files_removed = sweep(table, cutoff).await?;
    }
    Ok(report)
}

/// Merges small files, partition by partition, in one commit that says that no
/// data changed.
async fn compact(table: &mut Table, after_files: usize) -> Result<usize, LakeError> {
    let mut small: BTreeMap<Vec<(String, Option<String>)>, Vec<DataFile>> = BTreeMap::new();
    for file in data_files(table.state(), table.partition_by()) {
        if file.size < SMALL_FILE_BYTES {
            small.entry(file.partition.clone()).or_default().push(file);
        }
    }
    small.retain(|_, files| files.len() >= after_files.max(2));
    let files: Vec<DataFile> = small.into_values().flatten().collect();
    if files.is_empty() {
        return Ok(0);
    }
    let mut writer = TableWriter::new(table.file_format());
    let merged = async {
        for file in &files {
            let open = file.open(&table.data_store(), &table.schema()).await?;
            let mut batches = open.stream(&open.all_columns(), None)?;
            while let Some(batch) = batches.try_next().await? {
                writer.write(&batch).await?;
            }
        }
        writer.finish().await
    };
    let adds = merged.await.map_err(table.place().failed("compacting it"))?;
    let mut actions: Vec<_> = files.iter().map(|file| file.remove(false)).collect();
    actions.extend(adds.into_iter().map(|mut add| {
        add.data_change = false;
        Action::Add(add)
    }));
    let target_size = i64::try_from(TARGET_FILE_BYTES).expect("a small number");
    let operation = DeltaOperation::Optimize { predicate: None, target_size };
    table.commit(actions, operation, &[], OnConflict::Fail).await?;
    Ok(files.len())
}

/// Removes data files that no version since the cutoff (ms since 1970 UTC) needs:
/// those taken out before it, and those of commits that never happened; then the
/// part of the log that only versions older than the lake's history need.
pub(super) async fn sweep(table: &Table, cutoff: i64) -> Result<usize, LakeError> {
    let needed = needed_files(table, cutoff).await?;
    let store = table.data_store();
    let listed = store.list(None).try_collect::<Vec<_>>().await;
    let listed = listed.map_err(table.place().failed("listing its files"))?;
    let mut removed = 0;
    for file in listed.into_iter().filter(|file| is_litter(file, cutoff, &needed)) {
        let deleted = store.delete(&file.location).await;
        deleted.map_err(table.place().failed("removing old files"))?;
        removed += 1;
    }
    let cleaned = cleanup_metadata(table.delta(), None).await;
    cleaned.map_err(table.place().failed("cleaning up its log"))?;
    Ok(removed)
}

/// Files of this version, and files taken out since the cutoff.
async fn needed_files(table: &Table, cutoff: i64) -> Result<HashSet<Path>, LakeError> {
    let mut needed: HashSet<_> =
        data_files(table.state(), &[]).into_iter().map(|file| file.path).collect();
    let log_store = table.delta().log_store();
    let mut taken_out = table.state().all_tombstones(&log_store);
    loop {
        let next = taken_out.try_next().await;
        let Some(file) = next.map_err(table.place().failed("reading its log"))? else { break };
        if file.deletion_timestamp().is_none_or(|at| at >= cutoff) {
            let path = file.path();
            needed.insert(Path::parse(&path).unwrap_or_else(|_| Path::from(path.as_ref())));
        }
    }
    Ok(needed)
}

/// A data file, old enough that nobody is still writing it, that nobody needs.
fn is_litter(file: &ObjectMeta, cutoff: i64, needed: &HashSet<Path>) -> bool {
    let in_log = file.location.parts().next().is_some_and(|part| part.as_ref().starts_with('_'));
    let is_data = !in_log && file.location.extension() == Some("parquet");
    is_data && file.last_modified.timestamp_millis() < cutoff && !needed.contains(&file.location)
}
