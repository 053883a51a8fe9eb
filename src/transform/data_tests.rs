//! Tests of a model's rows: what must hold, counted where it does not.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::lit;

use super::catalog::Catalog;
use super::config::{AcceptedValues, ModelTest, Rule, Severity};
use super::models::Model;
use super::parameters::{literals, name_in_sql, quoted};
use super::query::Query;
use super::{TransformError, VarValue};

/// Offending rows kept to be shown; the rest are counted.
const ROWS_KEPT: usize = 10;

/// How one test went.
#[derive(Debug)]
pub struct TestReport {
    /// The test, as `unique(contact_id)`.
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
        /// The first few of them; data, not for logs.
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
            TestOutcome::Failed { .. } => self.severity == Severity::Error,
            TestOutcome::Broken(_) => true,
        }
    }
}

/// Runs one test against the model as the catalog has it.
pub(super) async fn run(
    catalog: &Catalog,
    model: &Model,
    test: &ModelTest,
    vars: &std::collections::BTreeMap<String, VarValue>,
) -> TestReport {
    let outcome = offending_rows(catalog, model, &test.rule, vars).await;
    TestReport {
        rule: test.rule.to_string(),
        severity: test.severity,
        outcome: outcome.unwrap_or_else(TestOutcome::Broken),
    }
}

async fn offending_rows(
    catalog: &Catalog,
    model: &Model,
    rule: &Rule,
    vars: &std::collections::BTreeMap<String, VarValue>,
) -> Result<TestOutcome, TransformError> {
    let query = query_of(model, rule)?;
    let rows = catalog.plan(&query, &literals(vars, None)).await?;
    let running =
        |error| TransformError::running(&format!("A test of model `{}`", model.name()), error);
    let counted = rows.clone().aggregate(vec![], vec![count(lit(1))]).map_err(running)?;
    let counted = counted.collect().await.map_err(running)?;
    let failures =
        counted.first().map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0));
    if failures == 0 {
        return Ok(TestOutcome::Passed);
    }
    let sample =
        rows.limit(0, Some(ROWS_KEPT)).map_err(running)?.collect().await.map_err(running)?;
    Ok(TestOutcome::Failed { rows: failures.unsigned_abs(), sample })
}

/// The query whose rows break a rule.
fn query_of(model: &Model, rule: &Rule) -> Result<Query, TransformError> {
    let table = name_in_sql(model.name());
    let mut origin = format!("test `{rule}` of model `{}`", model.name());
    let text = match rule {
        Rule::NotNull(columns) => {
            let any: Vec<_> =
                columns.iter().map(|column| format!("{} is null", name_in_sql(column))).collect();
            format!("select * from {table} where {}", any.join(" or "))
        }
        Rule::Unique(columns) => unique(&table, columns),
        Rule::AcceptedValues(accepted) => accepted_values(&table, accepted),
        Rule::Sql { file, text } => {
            origin = file.clone().unwrap_or(origin);
            text.clone()
        }
    };
    Query::parse(Path::new(&origin), &text)
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
