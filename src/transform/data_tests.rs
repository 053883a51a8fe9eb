//! Tests of a model's rows: what must hold, counted where it does not.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::row::{RowConverter, SortField};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{SortExpr, ident, lit};
use datafusion::prelude::DataFrame;

use super::catalog::Catalog;
use super::models::Model;
use super::parameters::{RunTimes, literals, name_in_sql, quoted, timestamp};
use super::query::Query;
use super::rules::{
    AcceptedValues, FreshWithin, ModelTest, Relationships, RowCount, Rule, Severity, test_names,
};
use super::{TransformError, VarValue};

/// Offending rows kept to be looked at; the rest are counted.
const ROWS_KEPT: usize = 100;

/// How one test went.
#[derive(Debug)]
pub struct TestReport {
    /// What it is called: the name it was given, or its rule, as
    /// `unique(contact_id)`.
    pub rule: String,
    /// What a failure means.
    pub severity: Severity,
    /// What was found.
    pub outcome: TestOutcome,
}

/// What a test found.
#[derive(Debug)]
pub enum TestOutcome {
    /// The rule holds for every row.
    Passed,
    /// It does not.
    Failed {
        /// How many rows (groups of rows, for `unique`) break it.
        rows: u64,
        /// The first of them, in the order of their columns; data, not for logs.
        sample: Vec<RecordBatch>,
    },
    /// The test itself did not work, which proves nothing.
    Broken(TransformError),
}

impl TestReport {
    /// Whether write-backs that read the model must not run.
    pub fn stops(&self) -> bool {
        match self.outcome {
            TestOutcome::Passed => false,
            TestOutcome::Failed { .. } | TestOutcome::Broken(_) => self.severity == Severity::Error,
        }
    }
}

/// Runs the tests of a model against the tables as the catalog has them.
pub(super) async fn run(
    catalog: &Catalog,
    model: &Model,
    vars: &BTreeMap<String, VarValue>,
) -> Vec<TestReport> {
    let times = catalog.tables.times.get(model.name());
    let values = literals(vars, Some(times));
    let names = test_names(&model.config.tests);
    let mut reports = Vec::new();
    for (position, test) in model.config.tests.iter().enumerate() {
        let outcome = offending_rows(catalog, model, position, times, &values).await;
        reports.push(TestReport {
            rule: names[position].clone(),
            severity: test.severity,
            outcome: outcome.unwrap_or_else(TestOutcome::Broken),
        });
    }
    reports
}

async fn offending_rows(
    catalog: &Catalog,
    model: &Model,
    position: usize,
    times: RunTimes,
    values: &BTreeMap<String, String>,
) -> Result<TestOutcome, TransformError> {
    let query = query_of(model, &model.config.tests[position], times.run_started_at)?;
    let rows = catalog.plan(&query, values).await?;
    let running =
        |error| TransformError::running(&format!("A test of model `{}`", model.name()), error);
    let counted = rows.clone().aggregate(vec![], vec![count(lit(1))]).map_err(running)?;
    let counted = counted.collect().await.map_err(running)?;
    let failures =
        counted.first().map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0));
    if failures == 0 {
        return Ok(TestOutcome::Passed);
    }
    let by = order(&rows);
    let kept = rows.sort(by).and_then(|rows| rows.limit(0, Some(ROWS_KEPT))).map_err(running)?;
    let sample = kept.collect().await.map_err(running)?;
    Ok(TestOutcome::Failed { rows: failures.unsigned_abs(), sample })
}

/// All columns that have an order: the same rows are kept from run to run.
fn order(rows: &DataFrame) -> Vec<SortExpr> {
    let sortable = |data_type: &DataType| {
        !data_type.is_nested()
            && RowConverter::supports_fields(&[SortField::new(data_type.clone())])
    };
    let fields = rows.schema().fields().iter().filter(|field| sortable(field.data_type()));
    fields.map(|field| ident(field.name()).sort(true, true)).collect()
}

/// The query whose rows break a test.
///
/// # Errors
/// SQL that is wrong or not a `select`.
pub(super) fn query_of(
    model: &Model,
    test: &ModelTest,
    run_started_at: i64,
) -> Result<Query, TransformError> {
    let table = name_in_sql(model.name());
    let mut origin = format!("test `{}` of model `{}`", test.title(), model.name());
    let text = match &test.rule {
        Rule::NotNull(columns) => {
            let any: Vec<_> =
                columns.iter().map(|column| format!("{} is null", name_in_sql(column))).collect();
            format!("select * from {table} where {}", any.join(" or "))
        }
        Rule::Unique(columns) => unique(&table, columns),
        Rule::AcceptedValues(accepted) => accepted_values(&table, accepted),
        Rule::Relationships(rule) => relationships(&table, rule),
        Rule::RowCount(count) => row_count(&table, *count),
        Rule::FreshWithin(fresh) => fresh_within(&table, fresh, run_started_at),
        Rule::Sql { file, text } => {
            origin = file.clone().unwrap_or(origin);
            text.clone()
        }
    };
    Query::parse(Path::new(&origin), &text)
}

/// Makes sure that every column which tests name has a type that they can use.
pub(super) fn check_types(model: &Model, schema: &Schema) -> Result<(), TransformError> {
    for (position, test) in model.config.tests.iter().enumerate() {
        let Rule::FreshWithin(fresh) = &test.rule else { continue };
        let Ok(field) = schema.field_with_name(&fresh.column) else { continue };
        if !matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..)) {
            return Err(TransformError::TestColumn {
                model: model.name().to_owned(),
                setting: format!("tests[{position}].fresh_within.column"),
                column: fresh.column.clone(),
                data_type: field.data_type().to_string(),
                needed: "dates or times",
            });
        }
    }
    Ok(())
}

fn relationships(table: &str, rule: &Relationships) -> String {
    let (column, there) = (name_in_sql(&rule.column), name_in_sql(rule.to_column()));
    let to: Vec<_> = rule.to.split('.').map(name_in_sql).collect();
    format!(
        "select here.* from {table} as here left anti join {} as there \
         on here.{column} = there.{there} where here.{column} is not null",
        to.join(".")
    )
}

/// One row with the count, where it is out of bounds.
fn row_count(table: &str, count: RowCount) -> String {
    let below = count.min.map(|min| format!("rows_found < {min}"));
    let above = count.max.map(|max| format!("rows_found > {max}"));
    let bounds: Vec<_> = below.into_iter().chain(above).collect();
    format!(
        "select rows_found from (select count(*) as rows_found from {table}) as counted where {}",
        bounds.join(" or ")
    )
}

/// One row with the newest value, where it is too old or missing.
fn fresh_within(table: &str, fresh: &FreshWithin, run_started_at: i64) -> String {
    // Settings that are no length of time have been refused.
    let age =
        fresh.duration().map_or(i64::MAX, |age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    let oldest = timestamp(run_started_at.saturating_sub(age).max(0));
    format!(
        "select newest from (select max({}) as newest from {table}) as freshest \
         where newest is null or newest < {oldest}",
        name_in_sql(&fresh.column)
    )
}

fn unique(table: &str, columns: &[String]) -> String {
    let names: Vec<_> = columns.iter().map(|column| name_in_sql(column)).collect();
    let present: Vec<_> = names.iter().map(|name| format!("{name} is not null")).collect();
    let names = names.join(", ");
    format!(
        "select {names}, count(*) as rows_found from {table} where {} group by {names} \
         having count(*) > 1",
        present.join(" and ")
    )
}

fn accepted_values(table: &str, accepted: &AcceptedValues) -> String {
    let column = name_in_sql(&accepted.column);
    let values: Vec<_> = accepted.values.iter().map(|value| quoted(value)).collect();
    format!(
        "select * from {table} where {column} is not null and arrow_cast({column}, 'Utf8') not in ({})",
        values.join(", ")
    )
}
