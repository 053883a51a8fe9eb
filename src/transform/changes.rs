//! `<model>_changes`: what each version of a model changed.
//!
//! The table is derived from the model's own versions, so a run that dies
//! after the model's commit and before this one loses nothing: the next run
//! compares the version applied last with the newest and goes on from there.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{Stream, TryStreamExt};

use super::compare::Diff;
use super::identity::moves_name;
use super::models::changes_name;
use crate::lake::{Cursor, Lake, LakeError, TableName, TableSpec};

/// Cursor of a changes table: the version of the model that it has applied.
pub(super) const APPLIED: &str = "hublake.applied";

/// What the rows of one addition have in common.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    pub(super) run_id: String,
    /// µs since 1970 UTC.
    pub(super) changed_at: i64,
    /// The version of the model after the changes.
    pub(super) model_version: i64,
}

/// Lets the tables of a model's changes and moves stand at a version that changed no row for
/// anybody to know of: rows were taken out of model and changes alike.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn skip_changes(
    lake: &Lake,
    model: &TableName,
    before: u64,
    after: u64,
) -> Result<(), LakeError> {
    let version = |version: u64| i64::try_from(version).expect("versions count commits one by one");
    for name in [changes_name(model.name()), moves_name(model.name())] {
        let Some(mut derived) = lake.table(&TableName::model(name)).await? else { continue };
        // Changes that were still to be recorded are recorded against what is left.
        if derived.cursor(APPLIED) == Some(version(before)) {
            let cursor = Cursor { app_id: APPLIED.to_owned(), value: version(after) };
            derived.commit_cursors(&[cursor]).await?;
        }
    }
    Ok(())
}

fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The changes table of a model: run, operation and key; which columns
/// changed (a JSON list, for updates); the row before and after (JSON).
pub(super) fn spec(model: &str, rows: &Schema, key: &[String]) -> Result<TableSpec, ArrowError> {
    Ok(TableSpec {
        name: TableName::model(changes_name(model)),
        schema: schema(rows, key)?,
        key: Vec::new(),
        partition_by: Vec::new(),
    })
}

fn schema(rows: &Schema, key: &[String]) -> Result<SchemaRef, ArrowError> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let mut fields =
        vec![text("run_id"), Field::new("changed_at", timestamp_type(), true), text("op")];
    for name in key {
        fields.push(rows.field_with_name(name)?.clone().with_nullable(true));
    }
    fields.extend(["changed_columns", "old", "new"].map(text));
    fields.push(Field::new("model_version", DataType::Int64, true));
    Ok(Arc::new(Schema::new(fields)))
}

/// Differences of two versions as rows of the changes table. `rows` is the
/// schema of both versions.
pub(super) fn stream(
    differences: impl Stream<Item = Result<Diff, DataFusionError>> + Send + 'static,
    rows: &Schema,
    key: &[String],
    stamp: Stamp,
) -> Result<SendableRecordBatchStream, ArrowError> {
    let schema = schema(rows, key)?;
    let target = schema.clone();
    let batches = differences.and_then(move |diff| {
        let batch = changes(&diff, &target, &stamp).map_err(DataFusionError::from);
        std::future::ready(batch)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
}

fn changes(diff: &Diff, schema: &SchemaRef, stamp: &Stamp) -> Result<RecordBatch, ArrowError> {
    let inserted = part("insert", None, Some(&diff.inserted), None, schema, stamp)?;
    let deleted = part("delete", Some(&diff.deleted), None, None, schema, stamp)?;
    let names = changed_columns(diff);
    let updated =
        part("update", Some(&diff.before), Some(&diff.after), Some(names), schema, stamp)?;
    concat_batches(schema, [&deleted, &inserted, &updated])
}

/// The rows of one operation.
fn part(
    operation: &str,
    old: Option<&RecordBatch>,
    new: Option<&RecordBatch>,
    changed_columns: Option<StringArray>,
    schema: &SchemaRef,
    stamp: &Stamp,
) -> Result<RecordBatch, ArrowError> {
    let rows = new.or(old).expect("a change has a row before or after");
    let count = rows.num_rows();
    let constant = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
    };
    let columns = schema.fields().iter().map(|field| {
        Ok(match field.name().as_str() {
            "run_id" => constant(&stamp.run_id),
            "op" => constant(operation),
            "changed_at" => Arc::new(
                TimestampMicrosecondArray::from(vec![stamp.changed_at; count]).with_timezone("UTC"),
            ),
            "model_version" => Arc::new(Int64Array::from(vec![stamp.model_version; count])),
            "old" => json_rows(old, count)?,
            "new" => json_rows(new, count)?,
            "changed_columns" => match &changed_columns {
                Some(names) => Arc::new(names.clone()),
                None => new_null_array(&DataType::Utf8, count),
            },
            key => Arc::clone(rows.column(rows.schema().index_of(key)?)),
        })
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, ArrowError>>()?)
}

/// Each row as one JSON object, nulls written out.
pub(super) fn json_rows(rows: Option<&RecordBatch>, count: usize) -> Result<ArrayRef, ArrowError> {
    let Some(rows) = rows.filter(|rows| rows.num_rows() > 0) else {
        return Ok(new_null_array(&DataType::Utf8, count));
    };
    let mut text = Vec::new();
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    let text = String::from_utf8(text)
        .map_err(|error| ArrowError::JsonError(format!("JSON is not UTF-8: {error}")))?;
    Ok(Arc::new(text.lines().map(Some).collect::<StringArray>()))
}

/// The names of the columns that changed, by row, as JSON lists.
fn changed_columns(diff: &Diff) -> StringArray {
    let schema = diff.after.schema();
    let names = |row: usize| {
        let changed = schema.fields().iter().zip(&diff.changed);
        let names = changed.filter(|(_, column): &(_, &BooleanArray)| column.value(row));
        serde_json::Value::from_iter(names.map(|(field, _)| field.name().as_str())).to_string()
    };
    (0..diff.after.num_rows()).map(names).map(Some).collect()
}
