//! Taking rows out of a table for good, its past included.
//!
//! Elsewhere nothing is ever deleted: a row that goes stays readable in older
//! versions. Here it must not. The rows are cut out of their files, the new
//! version is checkpointed, and every older file and log entry is removed at
//! once, whatever history the lake keeps: log entries hold the least and
//! greatest values of columns, so they can name a person too.

use arrow::array::{BooleanArray, RecordBatch};
use chrono::Utc;
use deltalake::checkpoints::cleanup_expired_logs_for;
use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use futures::TryStreamExt;

use super::commit::OnConflict;
use super::files::{DataFile, data_files};
use super::maintain::sweep;
use super::upsert::copy_without;
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

pub(super) async fn purge(
    table: &mut Table,
    goes: &(dyn Fn(&RecordBatch) -> BooleanArray + Send + Sync),
) -> Result<PurgeReport, LakeError> {
    let mut actions = Vec::new();
    let mut rows = 0;
    let mut writer = TableWriter::new(table.file_format());
    for file in data_files(table.state(), table.partition_by()) {
        let cut = cut(table, &file, goes, &mut writer).await;
        let cut = cut.map_err(table.place().failed("taking rows out"))?;
        if cut > 0 {
            rows += cut;
            actions.push(file.remove(true));
        }
    }
    let adds = writer.finish().await.map_err(table.place().failed("taking rows out"))?;
    actions.extend(adds.into_iter().map(Action::Add));
    let operation = DeltaOperation::Delete { predicate: None };
    let now = Utc::now().timestamp_millis();
    // The commit is made even where no row goes: older versions may hold some.
    let purged = Cursor { app_id: PURGED.to_owned(), value: now };
    table.commit(actions, operation, &[purged], OnConflict::Fail).await?;
    Ok(PurgeReport { rows, files: forget(table).await? })
}

/// Copies what stays of a file; the number of rows that go.
async fn cut(
    table: &Table,
    file: &DataFile,
    goes: &(dyn Fn(&RecordBatch) -> BooleanArray + Send + Sync),
    writer: &mut TableWriter,
) -> parquet::errors::Result<u64> {
    let open = file.open(&table.data_store(), &table.schema()).await?;
    let mut batches = open.stream(&open.all_columns(), None)?;
    let (mut position, mut going) = (0, Vec::new());
    while let Some(batch) = batches.try_next().await? {
        let marks = goes(&batch);
        let here = (0..batch.num_rows()).filter(|row| marks.value(*row));
        going.extend(here.map(|row| position + row as u64));
        position += batch.num_rows() as u64;
    }
    if !going.is_empty() {
        copy_without(&open, &going, writer).await?;
    }
    Ok(going.len() as u64)
}

/// Removes every version but the last.
async fn forget(table: &Table) -> Result<usize, LakeError> {
    table.write_checkpoint().await?;
    let cutoff = Utc::now().timestamp_millis() + CLOCK_SKEW_MILLIS;
    let files = sweep(table, cutoff).await?;
    let log = table.delta().log_store();
    let cleaned = cleanup_expired_logs_for(table.version(), log.as_ref(), cutoff, None).await;
    cleaned.map_err(table.place().failed("removing its log"))?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use arrow::array::AsArray;
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
        let is_ada = |batch: &RecordBatch| -> BooleanArray {
            let ids = batch.column(0).as_primitive::<Int64Type>();
            ids.values().iter().map(|id| Some(*id == 1)).collect()
        };
        assert_eq!(table.purge(is_ada).await.expect("purged").rows, 1);
        let left: Vec<_> = before.iter().filter(|path| path.exists()).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(stored_people(&table).await.len(), 1);
    }
}
