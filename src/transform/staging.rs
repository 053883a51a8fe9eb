//! The rows of a model, computed once and put in order, in a temporary file.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::SpillFile;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};

use super::TransformError;

/// A model's rows, in order of their key. The file goes when this goes.
///
/// Computing once and reading back as often as needed keeps a model with
/// `random()` consistent with itself, and finds a key that does not identify
/// rows before anything is stored.
pub(super) struct Staged {
    model: String,
    file: Arc<dyn SpillFile>,
    pub(super) schema: SchemaRef,
    pub(super) rows: u64,
    pub(super) key_faults: KeyFaults,
}

/// Rows that a key does not identify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyFaults {
    /// Rows with a null in the key.
    pub(super) nulls: u64,
    /// Rows whose key an earlier row has too.
    pub(super) duplicates: u64,
}

impl Staged {
    /// Writes rows that come in order of `key` to a temporary file.
    pub(super) async fn write(
        model: &str,
        mut rows: SendableRecordBatchStream,
        key: &[String],
        runtime: &RuntimeEnv,
    ) -> Result<Self, TransformError> {
        let schema = rows.schema();
        let mut watch = KeyWatch::new(&schema, key).map_err(|error| failed(model, error))?;
        let file = runtime
            .disk_manager
            .create_tmp_file("the rows of a model")
            .map_err(|error| failed(model, error))?;
        let target =
            File::create(path(model, file.as_ref())?).map_err(|error| failed(model, error))?;
        let mut writer = StreamWriter::try_new(BufWriter::new(target), &schema)
            .map_err(|error| failed(model, error))?;
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| TransformError::running(&named(model), error))?;
            watch.see(&batch).map_err(|error| failed(model, error))?;
            writer.write(&batch).map_err(|error| failed(model, error))?;
            count += batch.num_rows() as u64;
        }
        writer.finish().map_err(|error| failed(model, error))?;
        let key_faults = watch.faults;
        Ok(Self { model: model.to_owned(), file, schema, rows: count, key_faults })
    }

    /// The rows again, in the same order.
    pub(super) fn stream(&self) -> Result<SendableRecordBatchStream, TransformError> {
        let file = File::open(path(&self.model, self.file.as_ref())?)
            .map_err(|error| failed(&self.model, error))?;
        let reader = StreamReader::try_new(BufReader::new(file), None)
            .map_err(|error| failed(&self.model, error))?;
        // The stream may outlive `self`; the open file is then still readable.
        let batches = futures::stream::iter(reader).map_err(DataFusionError::from);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }
}

/// The engine's temporary files are files of this machine unless it is told
/// otherwise, and it is not.
fn path<'a>(model: &str, file: &'a dyn SpillFile) -> Result<&'a Path, TransformError> {
    file.path().ok_or_else(|| failed(model, "the temporary file is not on this machine"))
}

/// A model as errors call it.
pub(super) fn named(model: &str) -> String {
    format!("Model `{model}`")
}

fn failed(
    model: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TransformError {
    TransformError::Staging { model: model.to_owned(), source: source.into() }
}

/// Watches ordered rows go by for keys that are null or come again.
struct KeyWatch {
    converter: Option<RowConverter>,
    columns: Vec<usize>,
    last: Option<OwnedRow>,
    faults: KeyFaults,
}

impl KeyWatch {
    /// Without a key there is nothing to watch for.
    fn new(schema: &SchemaRef, key: &[String]) -> Result<Self, arrow::error::ArrowError> {
        let columns =
            key.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let converter = match columns.as_slice() {
            [] => None,
            columns => Some(row_converter(schema, columns)?),
        };
        Ok(Self { converter, columns, last: None, faults: KeyFaults::default() })
    }

    fn see(&mut self, batch: &RecordBatch) -> Result<(), arrow::error::ArrowError> {
        let Some(converter) = &self.converter else { return Ok(()) };
        let keys: Vec<_> =
            self.columns.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        let rows = converter.convert_columns(&keys)?;
        for (position, row) in rows.iter().enumerate() {
            let is_null = keys.iter().any(|column| column.is_null(position));
            let repeats = match position.checked_sub(1) {
                Some(before) => rows.row(before) == row,
                None => self.last.as_ref().is_some_and(|last| last.row() == row),
            };
            self.faults.nulls += u64::from(is_null);
            self.faults.duplicates += u64::from(repeats && !is_null);
        }
        if let Some(last) = rows.num_rows().checked_sub(1) {
            self.last = Some(rows.row(last).owned());
        }
        Ok(())
    }
}

/// A converter of some columns to comparable rows, in the order that
/// ascending, nulls first gives.
pub(super) fn row_converter(
    schema: &SchemaRef,
    columns: &[usize],
) -> Result<RowConverter, arrow::error::ArrowError> {
    let types = columns.iter().map(|index| schema.field(*index).data_type().clone());
    RowConverter::new(types.map(SortField::new).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use super::*;

    fn batch(ids: Vec<Option<i64>>) -> RecordBatch {
        let names = StringArray::from_iter_values(ids.iter().map(|id| format!("{id:?}")));
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
        ]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(Int64Array::from(ids)), Arc::new(names)],
        )
        .expect("two columns of one length")
    }

    async fn staged(batches: Vec<RecordBatch>, key: &[&str]) -> Staged {
        let schema = batches[0].schema();
        let rows = futures::stream::iter(batches.into_iter().map(Ok));
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        Staged::write("m", stream, &key, &RuntimeEnv::default()).await.expect("a writable folder")
    }

    #[tokio::test]
    async fn rows_come_back_as_often_as_asked() {
        let staged =
            staged(vec![batch(vec![Some(1)]), batch(vec![Some(2), Some(3)])], &["id"]).await;
        assert_eq!((staged.rows, staged.key_faults), (3, KeyFaults::default()));
        for _ in 0..2 {
            let batches: Vec<_> =
                staged.stream().expect("readable").try_collect().await.expect("whole");
            assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
        }
    }

    #[tokio::test]
    async fn keys_that_are_null_or_come_again_are_counted_across_batches() {
        let batches =
            vec![batch(vec![None, None, Some(1)]), batch(vec![Some(1), Some(1), Some(2)])];
        let staged = staged(batches, &["id"]).await;
        assert_eq!(staged.key_faults, KeyFaults { nulls: 2, duplicates: 2 });
    }
}
