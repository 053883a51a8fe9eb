//! `system.test_failures`: the rows that break a test, as of the last time it
//! ran.
//!
//! A test that fails for the same rows again writes nothing; one that passes
//! takes its rows away. What stood there before is in older versions of the
//! table. The rows are data, and so they lie in the lake and in no log.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use futures::TryStreamExt;

use super::changes::json_rows;
use super::data_tests::{TestOutcome, TestReport};
use super::{BuildOptions, BuildReport, TransformError};
use crate::lake::{Changes, Lake, LakeError, Table, TableName, TableSpec};

/// The table's name under `system`.
const TEST_FAILURES: &str = "test_failures";
const KEY: [&str; 3] = ["model", "test", "position"];

/// Who ran the test last says nothing new of the rows.
const NOT_COMPARED: [&str; 2] = ["run_id", "found_at"];

/// Brings the table up to what the tests of a build have found. Models that
/// were not built keep what was found of them before.
pub(super) async fn keep(
    lake: &Lake,
    report: &BuildReport,
    options: &BuildOptions,
) -> Result<(), TransformError> {
    let name = TableName::system(TEST_FAILURES);
    let failed = |error: LakeError| TransformError::lake(&name.to_string(), error);
    let tested: BTreeSet<&str> =
        report.models.iter().filter(|m| m.was_built()).map(|m| m.name.as_str()).collect();
    let found = found(report, options)
        .map_err(|error| TransformError::running("Keeping what tests found", error.into()))?;
    let stored = lake.table(&name).await.map_err(failed)?;
    let mut table = match stored {
        Some(table) => table,
        None if found.num_rows() == 0 => return Ok(()),
        None => lake.open_or_create(&spec()).await.map_err(failed)?,
    };
    let deletes = gone(&table, &tested, &found).await?;
    let changes = Changes {
        rows: vec![found],
        deletes,
        newer_by: None,
        ignore: NOT_COMPARED.map(str::to_owned).into(),
    };
    table.upsert(changes, &[]).await.map(drop).map_err(failed)
}

fn spec() -> TableSpec {
    TableSpec {
        name: TableName::system(TEST_FAILURES),
        schema: schema(),
        key: KEY.map(str::to_owned).into(),
        partition_by: Vec::new(),
    }
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let whole = |name: &str| Field::new(name, DataType::Int64, true);
    let found_at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("model"),
        text("test"),
        whole("position"),
        text("severity"),
        whole("rows_found"),
        text("row"),
        text("run_id"),
        Field::new("found_at", found_at, true),
    ]))
}

/// Every offending row that was kept, of all tests.
fn found(report: &BuildReport, options: &BuildOptions) -> Result<RecordBatch, ArrowError> {
    let mut batches = Vec::new();
    for model in &report.models {
        for test in &model.tests {
            batches.extend(rows_of(&model.name, test, options)?);
        }
    }
    concat_batches(&schema(), &batches)
}

/// The rows of one test: its first sign is the number of them all.
fn rows_of(
    model: &str,
    test: &TestReport,
    options: &BuildOptions,
) -> Result<Option<RecordBatch>, ArrowError> {
    let TestOutcome::Failed { rows, sample } = &test.outcome else { return Ok(None) };
    let Some(first) = sample.first() else { return Ok(None) };
    let sample = concat_batches(&first.schema(), sample)?;
    let count = sample.num_rows();
    let constant = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
    };
    let numbers = |numbers: &mut dyn Iterator<Item = i64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(numbers))
    };
    let found_at =
        TimestampMicrosecondArray::from(vec![options.run_started_at; count]).with_timezone("UTC");
    let all = i64::try_from(*rows).unwrap_or(i64::MAX);
    let columns = vec![
        constant(model),
        constant(&test.rule),
        numbers(&mut (1_i64..).take(count)),
        constant(&test.severity.to_string()),
        numbers(&mut std::iter::repeat_n(all, count)),
        json_rows(Some(&sample), count)?,
        constant(&options.run_id),
        Arc::new(found_at),
    ];
    RecordBatch::try_new(schema(), columns).map(Some)
}

/// The keys of stored rows of tested models that no test has found again.
async fn gone(
    table: &Table,
    tested: &BTreeSet<&str>,
    found: &RecordBatch,
) -> Result<Option<RecordBatch>, TransformError> {
    let name = table.name().to_string();
    let rows = table.scan(Some(&KEY), None).await;
    let rows = rows.map_err(|error| TransformError::lake(&name, error))?;
    let stored: Vec<RecordBatch> =
        rows.try_collect().await.map_err(|error| TransformError::running(&name, error))?;
    let gone = || -> Result<Option<RecordBatch>, ArrowError> {
        let still = keys(found)?;
        let mut gone = Vec::new();
        for batch in &stored {
            gone.extend(
                keys(batch)?
                    .into_iter()
                    .filter(|key| tested.contains(key.0.as_str()) && !still.contains(key)),
            );
        }
        if gone.is_empty() {
            return Ok(None);
        }
        let text = |of: fn(&Key) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(gone.iter().map(of)))
        };
        let columns = vec![
            text(|key| &key.0),
            text(|key| &key.1),
            Arc::new(Int64Array::from_iter_values(gone.iter().map(|key| key.2))) as ArrayRef,
        ];
        let fields = KEY.map(|name| schema().field_with_name(name).cloned());
        let fields = fields.into_iter().collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map(Some)
    };
    gone().map_err(|error| TransformError::running(&name, error.into()))
}

type Key = (String, String, i64);

fn keys(batch: &RecordBatch) -> Result<BTreeSet<Key>, ArrowError> {
    let text = |name: &str| -> Result<ArrayRef, ArrowError> {
        cast(batch.column(batch.schema().index_of(name)?), &DataType::Utf8)
    };
    let (models, tests) = (text("model")?, text("test")?);
    let positions = batch.column(batch.schema().index_of("position")?).clone();
    let positions = positions.as_primitive::<arrow::datatypes::Int64Type>().clone();
    let key = |row: usize| {
        let (model, test) = (models.as_string::<i32>(), tests.as_string::<i32>());
        (model.value(row).to_owned(), test.value(row).to_owned(), positions.value(row))
    };
    Ok((0..batch.num_rows()).map(key).collect())
}
