//! Taking rows and cells out of a table for good, its past included.
//!
//! Elsewhere nothing is ever deleted: a row that goes stays readable in older
//! versions. Here it must not. What goes is cut out of its files, the new
//! version is checkpointed, and every older file and log entry is removed at
//! once, whatever history the lake keeps: log entries hold the least and
//! greatest values of columns, so they can name a person too.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use futures::TryStreamExt;

use super::commit::OnConflict;
use super::files::{DataFile, data_files};
use super::maintain::{StoredFiles, clean_log, sweep};
use super::writer::TableWriter;
use super::{Cursor, LakeError, Table};

/// How far ahead of ours the clocks may be that dated the files: the store's,
/// and those of machines that wrote here before. Nothing is spared for being
/// young, since whoever purges holds the lock.
const CLOCK_SKEW_MILLIS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// When the table's past was last removed (ms since 1970 UTC).
pub(super) const PURGED: &str = "hublake.purged";

/// What a purge of one table took out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// Rows of the last version
    pub rows: u64,
    /// Files that only older versions needed
    pub files: usize,
}

/// What stays of a batch; none where all of it stays as it is.
pub(super) type Keep<'a> =
    &'a (dyn Fn(&RecordBatch) -> Result<Option<RecordBatch>, ArrowError> + Send + Sync);

pub(super) async fn purge(
    table: &mut Table,
    keep: Keep<'_>,
    cursors: &[Cursor],
) -> Result<PurgeReport, LakeError> {
    let mut actions = Vec::new();
    let mut rows = 0;
    let mut writer = TableWriter::new(table.file_format());
    for file in data_files(table.state(), table.partition_by()) {
        let cut = cut(table, &file, keep, &mut writer).await;
        if let Some(gone) = cut.map_err(table.place().failed("taking rows out"))? {
            rows += gone;
            actions.push(file.remove(true));
        }
    }
    let adds = writer.finish().await.map_err(table.place().failed("taking rows out"))?;
    actions.extend(adds.into_iter().map(Action::Add));
    let operation = DeltaOperation::Delete { predicate: None };
    let now = table.lake().now();
    // The commit is made even where no row goes: older versions may hold some.
    let purged = Cursor { app_id: PURGED.to_owned(), value: now };
    let cursors: Vec<_> = cursors.iter().cloned().chain([purged]).collect();
    table.commit(actions, operation, &cursors, OnConflict::Fail).await?;
    Ok(PurgeReport { rows, files: forget(table).await? })
}

/// Copies what stays of a file of which something goes; the number of rows that
/// go. A file of which nothing goes is left where it is.
async fn cut(
    table: &Table,
    file: &DataFile,
    keep: Keep<'_>,
    writer: &mut TableWriter,
) -> parquet::errors::Result<Option<u64>> {
    let open = file.open(&table.data_store(), &table.schema()).await?;
    let mut batches = open.stream(&open.all_columns(), None)?;
    let mut stays_whole = true;
    while stays_whole && let Some(batch) = batches.try_next().await? {
        stays_whole = keep(&batch)?.is_none();
    }
    if stays_whole {
        return Ok(None);
    }
    let mut batches = open.stream(&open.all_columns(), None)?;
    let mut gone = 0;
    while let Some(batch) = batches.try_next().await? {
        let rest = keep(&batch)?;
        let rest = rest.as_ref().unwrap_or(&batch);
        gone += (batch.num_rows() - rest.num_rows()) as u64;
        writer.write(rest).await?;
    }
    Ok(Some(gone))
}

/// Removes every version but the last.
async fn forget(table: &Table) -> Result<usize, LakeError> {
    table.write_checkpoint().await?;
    let cutoff = table.lake().now() + CLOCK_SKEW_MILLIS;
    let files = sweep(table, &StoredFiles::of(table).await?, cutoff, cutoff).await?;
    clean_log(table, cutoff).await?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use arrow::array::{AsArray, BooleanArray};
    use arrow::compute::filter_record_batch;
    use arrow::datatypes::Int64Type;

    use super::super::testing::{Person, people, person_spec, stored_people};
    use super::*;
    use crate::lake::{Lake, LakeConfig};

    fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { files_under(&path, found) } else { found.push(path) }
        }
    }

    #[tokio::test]
    async fn nothing_stays_because_the_store_s_clock_is_ahead() {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), folder.path()).await.expect("a lake");
        let mut table = lake.open_or_create(&person_spec()).await.expect("a table");
        let rows = [Person::new(1, "Ada", 1), Person::new(2, "Bo", 1)];
        table.append(&[people(&rows)], &[]).await.expect("appended");
        let mut before = Vec::new();
        files_under(folder.path(), &mut before);
        before.retain(|path| path.components().any(|part| part.as_os_str() == "people"));
        assert!(before.len() >= 3, "a file and its log: {before:?}");
        let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
        for path in &before {
            let file = std::fs::File::options().write(true).open(path).expect("a file");
            file.set_modified(in_an_hour).expect("a time");
        }
        let not_ada = |batch: &RecordBatch| {
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let stays: BooleanArray = ids.values().iter().map(|id| Some(*id != 1)).collect();
            filter_record_batch(batch, &stays).map(Some)
        };
        assert_eq!(table.purge(not_ada, &[]).await.expect("purged").rows, 1);
        let left: Vec<_> = before.iter().filter(|path| path.exists()).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(stored_people(&table).await.len(), 1);
    }
}
