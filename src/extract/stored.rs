//! Small parts of a lake table, read into memory whole.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{Field, Schema};
use datafusion::prelude::Expr;
use futures::TryStreamExt;

use super::error::{ExtractError, storing};
use crate::lake::Table;

/// Rows of the table that match the filter, as one batch in the table's own
/// types (a scan may answer strings as views or dictionaries); none where no
/// row matches. Only for what fits memory: reference tables, keys, ids.
pub(super) async fn read(
    table: &Table,
    columns: Option<&[&str]>,
    filter: Option<Expr>,
) -> Result<Option<RecordBatch>, ExtractError> {
    read_where(table, columns, filter, |batch| BooleanArray::from(vec![true; batch.num_rows()]))
        .await
}

/// As [`read`], of the rows that `keep` marks too. Batches are thinned out as
/// they come, so memory depends on what is kept.
pub(super) async fn read_where(
    table: &Table,
    columns: Option<&[&str]>,
    filter: Option<Expr>,
    keep: impl Fn(&RecordBatch) -> BooleanArray,
) -> Result<Option<RecordBatch>, ExtractError> {
    let unreadable = |source| ExtractError::Scan { table: table.name().to_string(), source };
    let mut stream = table.scan(columns, filter).await.map_err(storing(table.name()))?;
    let mut kept = Vec::new();
    while let Some(batch) = stream.try_next().await.map_err(unreadable)? {
        let batch = in_table_types(table, &batch)?;
        let batch = filter_record_batch(&batch, &keep(&batch))?;
        if batch.num_rows() > 0 {
            kept.push(batch);
        }
    }
    let Some(first) = kept.first() else { return Ok(None) };
    Ok(Some(concat_batches(&first.schema(), &kept)?))
}

/// The rows with some of their columns replaced.
pub(super) fn with_columns<const N: usize>(
    rows: &RecordBatch,
    replaced: [(&str, ArrayRef); N],
) -> Result<RecordBatch, ExtractError> {
    let mut columns = rows.columns().to_vec();
    for (name, values) in replaced {
        columns[rows.schema().index_of(name)?] = values;
    }
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

fn in_table_types(table: &Table, batch: &RecordBatch) -> Result<RecordBatch, ExtractError> {
    let schema = table.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let wanted = schema.field_with_name(field.name())?.data_type().clone();
        arrays.push(cast(array, &wanted)?);
        fields.push(Field::new(field.name(), wanted, true));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
