use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};

use super::error::PipelineError;
use crate::extract;
use crate::lake::{Lake, Table, TableName};

/// How the tables of a lake stand: rows, files, version, and for mirrors
/// whether they are complete and up to when (`fresh_until`, HubSpot's clock).
///
/// # Errors
/// The lake cannot be read.
pub async fn table_status(lake: &Lake, names: &[TableName]) -> Result<RecordBatch, PipelineError> {
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        tables.extend(lake.table(name).await?);
    }
    let whole = |get: fn(&Table) -> u64| {
        Arc::new(tables.iter().map(|t| i64::try_from(get(t)).ok()).collect::<Int64Array>())
            as ArrayRef
    };
    let fresh: TimestampMicrosecondArray = tables.iter().map(extract::fresh_until).collect();
    let columns = [
        (
            "table",
            Arc::new(tables.iter().map(|t| Some(t.name().to_string())).collect::<StringArray>())
                as ArrayRef,
        ),
        ("rows", whole(Table::row_count)),
        ("files", whole(|table| table.data_files() as u64)),
        ("version", whole(Table::version)),
        ("complete", Arc::new(tables.iter().map(completeness).collect::<BooleanArray>())),
        ("fresh_until", Arc::new(fresh.with_timezone("UTC"))),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)
        .expect("every column has a value for every table"))
}

/// Only mirrors can be incomplete.
fn completeness(table: &Table) -> Option<bool> {
    extract::fresh_until(table)?;
    Some(extract::is_complete(table))
}
