//! What two runs planned and wrote differently.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Builder, RecordBatch, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::error::PipelineError;
use crate::lake::{Lake, TableName};
use crate::load::PlannedChange;
use crate::transform::Engine;

/// Stands in the property column for the row as a whole.
const ROW: &str = "(row)";

/// Streams the differences of two runs, one row per property: what the first
/// was to do with it and what the second. A row that both treat alike is left
/// out, and so is what HubSpot held meanwhile. Columns: `write_back`, `key`,
/// `record_id`, `property`, `first`, `second`.
///
/// Rows that stayed as they were are in no plan, and so in no difference.
///
/// # Errors
/// The lake cannot be read.
pub async fn diff_runs(
    lake: &Lake,
    engine: &Engine,
    first: &str,
    second: &str,
) -> Result<SendableRecordBatchStream, PipelineError> {
    let schema = schema();
    if lake.table(&TableName::system("plans")).await?.is_none() {
        let none = futures::stream::empty();
        return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, none)));
    }
    let has_ledger = lake.table(&TableName::system("writes")).await?.is_some();
    let rows = engine.query(&joined(first, second, has_ledger), None).await?;
    let told = rows.map(|batch| Ok::<_, DataFusionError>(differences(&batch?)?));
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, told)))
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("write_back"),
        text("key"),
        Field::new("record_id", DataType::Int64, true),
        text("property"),
        text("first"),
        text("second"),
    ]))
}

/// The rows of both runs side by side, those that differ.
fn joined(first: &str, second: &str, has_ledger: bool) -> String {
    let (a, b) = (planned(first, has_ledger), planned(second, has_ledger));
    format!(
        "select coalesce(a.write_back, b.write_back) as write_back, coalesce(a.key, b.key) as key, \
         coalesce(a.record_id, b.record_id) as record_id, a.action as action_a, \
         a.changes as changes_a, a.outcome as outcome_a, b.action as action_b, \
         b.changes as changes_b, b.outcome as outcome_b \
         from ({a}) a full outer join ({b}) b on a.write_back = b.write_back and a.key = b.key \
         where (a.action is distinct from b.action) or (a.changes is distinct from b.changes) \
         or (a.outcome is distinct from b.outcome) order by 1, 2"
    )
}

/// The rows of one run: those it planned, or those of another's plan that it
/// applied. Rows that share a key, which are refused alike, are one.
fn planned(run: &str, has_ledger: bool) -> String {
    let run = run.replace('\'', "''");
    let key = "coalesce(p.match_key, cast(p.record_id as varchar), '') as key";
    let columns = format!(
        "p.write_back, {key}, max(p.record_id) as record_id, max(p.action) as action, \
         max(p.changes) as changes"
    );
    if !has_ledger {
        return format!(
            "select {columns}, cast(null as varchar) as outcome from system.plans p \
             where p.run_id = '{run}' group by 1, 2"
        );
    }
    format!(
        "select {columns}, max(w.outcome) as outcome from system.plans p \
         left join (select pipeline, write_back, trace_id, max(outcome) as outcome, \
         max(run_id) as run_id from system.writes where outcome <> 'cleared' group by 1, 2, 3) w \
         on w.pipeline = p.pipeline and w.write_back = p.write_back and w.trace_id = p.trace_id \
         where p.run_id = '{run}' or w.run_id = '{run}' group by 1, 2"
    )
}

/// What one run was to do with one row.
struct Side {
    row: Option<String>,
    properties: BTreeMap<String, String>,
}

impl Side {
    fn read(action: Option<&str>, changes: Option<&str>, outcome: Option<&str>) -> Self {
        let changes: BTreeMap<String, PlannedChange> =
            changes.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let row = action.map(|action| match outcome {
            Some(outcome) => format!("{action}: {outcome}"),
            None => action.to_owned(),
        });
        let properties = changes.into_iter().map(|(name, change)| (name, told(&change)));
        Self { row, properties: properties.collect() }
    }
}

fn told(change: &PlannedChange) -> String {
    let reason = change.reason.as_ref().filter(|_| !change.is_write());
    match reason {
        None => format!("{} {:?}", change.decision, change.new),
        Some(reason) => format!("{} {:?}: {reason}", change.decision, change.new),
    }
}

fn differences(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let texts = batch
        .columns()
        .iter()
        .map(|column| Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()))
        .collect::<Result<Vec<StringArray>, ArrowError>>()?;
    let text = |at: usize, row: usize| texts[at].is_valid(row).then(|| texts[at].value(row));
    let ids = batch.column(2).as_primitive::<Int64Type>();
    let mut found: [StringBuilder; 5] = std::array::from_fn(|_| StringBuilder::new());
    let mut found_ids = Int64Builder::new();
    for row in 0..batch.num_rows() {
        let side = |at: usize| Side::read(text(at, row), text(at + 1, row), text(at + 2, row));
        let (a, b) = (side(3), side(6));
        let names: BTreeSet<&String> = a.properties.keys().chain(b.properties.keys()).collect();
        let of_row = (a.row != b.row).then_some((ROW, &a.row, &b.row));
        let mut lines: Vec<(&str, Option<&str>, Option<&str>)> =
            of_row.into_iter().map(|(name, a, b)| (name, a.as_deref(), b.as_deref())).collect();
        lines.extend(names.into_iter().filter_map(|name| {
            let (first, second) = (a.properties.get(name), b.properties.get(name));
            (first != second)
                .then(|| (name.as_str(), first.map(String::as_str), second.map(String::as_str)))
        }));
        for (name, first, second) in lines {
            found[0].append_option(text(0, row));
            found[1].append_option(text(1, row));
            found_ids.append_option(ids.is_valid(row).then(|| ids.value(row)));
            found[2].append_value(name);
            found[3].append_option(first);
            found[4].append_option(second);
        }
    }
    let [mut write_back, mut key, mut property, mut first, mut second] = found;
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(write_back.finish()),
            Arc::new(key.finish()),
            Arc::new(found_ids.finish()),
            Arc::new(property.finish()),
            Arc::new(first.finish()),
            Arc::new(second.finish()),
        ],
    )
}
