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
    // A moment ahead, so that what was written in this very one goes too.
    let cutoff = Utc::now().timestamp_millis() + 1_000;
    let files = sweep(table, cutoff).await?;
    let log = table.delta().log_store();
    let cleaned = cleanup_expired_logs_for(table.version(), log.as_ref(), cutoff, None).await;
    cleaned.map_err(table.place().failed("removing its log"))?;
    Ok(files)
}
