//! Small questions to the lake, answered in texts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::error::PipelineError;
use crate::transform::Engine;

/// A row of an answer, nulls included.
pub(super) type Row = Vec<Option<String>>;

/// A query's rows, each value as SQL would cast it to text.
///
/// # Errors
/// The query is wrong, or names a table that is not there.
pub(super) async fn ask(engine: &Engine, sql: &str) -> Result<Vec<Row>, PipelineError> {
    texts(engine.query(sql, None).await?).await
}

/// Rows, each value as SQL would cast it to text, but whole numbers without a
/// fraction: HubSpot's numbers are floats here, ids among them.
///
/// # Errors
/// They cannot be had.
pub(super) async fn texts(rows: SendableRecordBatchStream) -> Result<Vec<Row>, PipelineError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| PipelineError::Asking { source };
    let batches: Vec<RecordBatch> =
        rows.try_collect().await.map_err(|error| failed(error.into()))?;
    let mut found = Vec::new();
    for batch in batches {
        let texts = batch.columns().iter().map(text_of);
        let texts = texts.collect::<Result<Vec<_>, _>>().map_err(|error| failed(error.into()))?;
        let text = |column: &ArrayRef, row: usize| {
            let column = column.as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        found.extend(
            (0..batch.num_rows()).map(|row| texts.iter().map(|column| text(column, row)).collect()),
        );
    }
    Ok(found)
}

fn text_of(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Float64 => {
            let numbers = column.as_primitive::<Float64Type>().iter();
            let texts = numbers.map(|number| number.map(|number| number.to_string()));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        _ => cast(column, &DataType::Utf8),
    }
}
