//! Looking after the files of a table: compaction, checkpoints, sweeping.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use deltalake::checkpoints::cleanup_expired_logs_for;
use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::commit::OnConflict;
use super::files::{DataFile, data_files};
use super::writer::TableWriter;
use super::{LakeConfig, LakeError, Table};

/// A quarter of a day of 15-minute runs, each of which adds a file.
const COMPACT_AFTER_FILES: usize = 24;

/// Opening a table reads the commits since its checkpoint, a request each.
const CHECKPOINT_EVERY: u64 = 20;

/// Old versions of a small table cost nobody anything.
const HISTORY_FLOOR_BYTES: u64 = 64 * 1024 * 1024;

/// Readers of an older version are given this long, whatever it takes to store.
const SHORTEST_HISTORY: Duration = Duration::from_secs(30 * 60);

/// When each kind of upkeep is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenancePolicy {
    /// How long older versions stay readable, at most
    pub history: Duration,
    /// Bytes that files of older versions may take, in times those of the newest
    pub history_times: u32,
    /// Bytes that they may take in any case
    pub history_floor: u64,
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
            history_times: config.history_times,
            history_floor: HISTORY_FLOOR_BYTES,
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
    // Without a commit since the checkpoint there is nothing new to look at.
    if !report.checkpointed && table.version() == since {
        return Ok(report);
    }
    let files = StoredFiles::of(table).await?;
    let most = policy.old_bytes(files.live_bytes);
    if !report.checkpointed && files.old_bytes <= most {
        return Ok(report);
    }
    let now = table.lake().now();
    let oldest = now.saturating_sub(millis(policy.history));
    let taken_out = taken_out(table).await?;
    let cutoff = match files.old_bytes <= most {
        true => oldest,
        // Some room is made at once, since looking for it costs reading the log.
        false => shortened(&files, &taken_out, most / 3 * 2, oldest, now),
    };
    if report.checkpointed || cutoff > oldest {
        report.files_removed = remove(table, &files, &taken_out, oldest, cutoff).await?;
        clean_log(table, cutoff).await?;
    }
    Ok(report)
}

impl MaintenancePolicy {
    /// Bytes that files of older versions may take.
    fn old_bytes(&self, live_bytes: u64) -> u64 {
        live_bytes.saturating_mul(u64::from(self.history_times)).max(self.history_floor)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The data files in a table's folder.
pub(super) struct StoredFiles {
    files: Vec<ObjectMeta>,
    /// Paths of those that the newest version needs
    live: HashSet<Path>,
    live_bytes: u64,
    old_bytes: u64,
}

impl StoredFiles {
    pub(super) async fn of(table: &Table) -> Result<Self, LakeError> {
        let listed = table.data_store().list(None).try_collect::<Vec<_>>().await;
        let mut files = listed.map_err(table.place().failed("listing its files"))?;
        files.retain(is_data);
        let live: HashSet<_> =
            data_files(table.state(), &[]).into_iter().map(|file| file.path).collect();
        let bytes = |is_live: bool| {
            let files = files.iter().filter(|file| live.contains(&file.location) == is_live);
            files.map(|file| file.size).sum()
        };
        let (live_bytes, old_bytes) = (bytes(true), bytes(false));
        Ok(Self { files, live, live_bytes, old_bytes })
    }

    /// Whether a file is there.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file.location == *path)
    }
}

/// The time since which old versions are kept (ms since 1970 UTC), where those
/// since `oldest` take more than `most` bytes: the files taken out longest ago go
/// first.
fn shortened(
    files: &StoredFiles,
    taken_out: &HashMap<Path, i64>,
    most: u64,
    oldest: i64,
    now: i64,
) -> i64 {
    let mut old: Vec<(i64, u64)> = files
        .files
        .iter()
        .filter(|file| !files.live.contains(&file.location))
        .filter_map(|file| Some((*taken_out.get(&file.location)?, file.size)))
        .filter(|(at, _)| *at >= oldest)
        .collect();
    old.sort_unstable();
    let mut left: u64 = old.iter().map(|(_, size)| size).sum();
    let latest = now.saturating_sub(millis(SHORTEST_HISTORY));
    let mut cutoff = oldest;
    for (at, size) in old {
        if left <= most || at >= latest {
            break;
        }
        left -= size;
        cutoff = at + 1;
    }
    cutoff
}

/// Merges small files, partition by partition, in one commit that says that no
/// data changed.
async fn compact(table: &mut Table, after_files: usize) -> Result<usize, LakeError> {
    let mut small: BTreeMap<Vec<(String, Option<String>)>, Vec<DataFile>> = BTreeMap::new();
    for file in data_files(table.state(), table.partition_by()) {
        if file.size < table.lake().sizes().compact_below {
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
    let target_size = i64::try_from(table.lake().sizes().target).expect("a small number");
    let operation = DeltaOperation::Optimize { predicate: None, target_size };
    table.commit(actions, operation, &[], OnConflict::Fail).await?;
    Ok(files.len())
}

/// Removes data files that no version since `cutoff` needs, those taken out before
/// it, and files from before `litter_before` of commits that never happened (both
/// in ms since 1970 UTC). Returns how many.
pub(super) async fn sweep(
    table: &Table,
    files: &StoredFiles,
    litter_before: i64,
    cutoff: i64,
) -> Result<usize, LakeError> {
    remove(table, files, &taken_out(table).await?, litter_before, cutoff).await
}

async fn remove(
    table: &Table,
    files: &StoredFiles,
    taken_out: &HashMap<Path, i64>,
    litter_before: i64,
    cutoff: i64,
) -> Result<usize, LakeError> {
    let goes = |file: &&ObjectMeta| match taken_out.get(&file.location) {
        _ if files.live.contains(&file.location) => false,
        Some(at) => *at < cutoff,
        // Old enough that nobody is still writing it.
        None => file.last_modified.timestamp_millis() < litter_before,
    };
    let store = table.data_store();
    let mut removed = 0;
    for file in files.files.iter().filter(goes) {
        let deleted = store.delete(&file.location).await;
        deleted.map_err(table.place().failed("removing old files"))?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes the part of the log that only versions before `cutoff` (ms since 1970
/// UTC) need.
pub(super) async fn clean_log(table: &Table, cutoff: i64) -> Result<(), LakeError> {
    let log = table.delta().log_store();
    let cleaned = cleanup_expired_logs_for(table.version(), log.as_ref(), cutoff, None).await;
    cleaned.map(drop).map_err(table.place().failed("cleaning up its log"))
}

/// When each file that older versions need was taken out of the table (ms since
/// 1970 UTC); never, as far as the log tells, counts as just now.
async fn taken_out(table: &Table) -> Result<HashMap<Path, i64>, LakeError> {
    let log_store = table.delta().log_store();
    let mut tombstones = table.state().all_tombstones(&log_store);
    let mut found = HashMap::new();
    loop {
        let next = tombstones.try_next().await;
        let Some(file) = next.map_err(table.place().failed("reading its log"))? else { break };
        let path = file.path();
        let path = Path::parse(&path).unwrap_or_else(|_| Path::from(path.as_ref()));
        found.insert(path, file.deletion_timestamp().unwrap_or(i64::MAX));
    }
    Ok(found)
}

fn is_data(file: &ObjectMeta) -> bool {
    let in_log = file.location.parts().next().is_some_and(|part| part.as_ref().starts_with('_'));
    !in_log && file.location.extension() == Some("parquet")
}

#[cfg(test)]
mod month;
