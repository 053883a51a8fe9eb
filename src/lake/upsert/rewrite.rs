//! Copying a file without some of its rows, batch by batch.

use arrow::array::BooleanArray;
use arrow::array::BooleanBufferBuilder;
use arrow::compute::filter_record_batch;
use futures::TryStreamExt;
use parquet::errors::Result as ParquetResult;

use crate::lake::reader::TableFile;
use crate::lake::writer::TableWriter;

/// Copies all rows but those at the sorted positions.
pub(super) async fn copy_without(
    file: &TableFile,
    removed: &[u64],
    writer: &mut TableWriter,
) -> ParquetResult<()> {
    let mut batches = file.stream(&file.all_columns(), None)?;
    let mut start = 0;
    let mut removed = removed;
    while let Some(batch) = batches.try_next().await? {
        let end = start + batch.num_rows() as u64;
        let (here, after) = removed.split_at(removed.partition_point(|at| *at < end));
        removed = after;
        if here.is_empty() {
            writer.write(&batch).await?;
        } else {
            let stays = filter_record_batch(&batch, &stays(here, start, batch.num_rows()))?;
            writer.write(&stays).await?;
        }
        start = end;
    }
    Ok(())
}

fn stays(removed: &[u64], start: u64, rows: usize) -> BooleanArray {
    let mut stays = BooleanBufferBuilder::new(rows);
    stays.append_n(rows, true);
    for position in removed {
        let row = usize::try_from(position - start).expect("a row of this batch");
        stays.set_bit(row, false);
    }
    BooleanArray::new(stays.finish(), None)
}
