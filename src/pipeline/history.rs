//! `system.runs`: one row per finished run, the only file a quiet run adds.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use chrono::DateTime;
use futures::TryStreamExt;

use super::error::PipelineError;
use super::results::RunResults;
use crate::lake::{Lake, TableName, TableSpec};
use crate::load::PlanSummary;

/// The table's name under `system`.
const RUNS: &str = "runs";

/// Appends a finished run.
///
/// A run that was cut off has no row here. What it meant to send is known all
/// the same: the cursors of `system.plans` say which plans are still open.
///
/// # Errors
/// The lake cannot be written.
pub async fn record(
    lake: &Lake,
    results: &RunResults,
    plans: &[PlanSummary],
) -> Result<(), PipelineError> {
    let row = row(results, plans);
    let spec = TableSpec {
        name: TableName::system(RUNS),
        schema: row.schema(),
        key: Vec::new(),
        partition_by: Vec::new(),
    };
    let mut table = lake.open_or_create(&spec).await?;
    Ok(table.append(&[row], &[]).await?)
}

fn row(results: &RunResults, plans: &[PlanSummary]) -> RecordBatch {
    let plans = serde_json::to_string(plans).expect("figures and texts are always JSON");
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let time = |micros: i64| {
        Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")) as ArrayRef
    };
    let status =
        serde_json::to_value(results.status).ok().and_then(|v| v.as_str().map(str::to_owned));
    let columns = [
        ("run_id", text(&results.run_id)),
        ("pipeline", text(&results.pipeline)),
        ("status", text(status.as_deref().unwrap_or_default())),
        ("exit_code", Arc::new(Int32Array::from(vec![i32::from(results.exit_code)])) as ArrayRef),
        ("started_at", time(results.started_at.timestamp_micros())),
        ("finished_at", time(results.finished_at.timestamp_micros())),
        ("results", text(&results.to_json())),
        ("plans", text(&plans)),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("every column has one row")
}

/// Plans stored by one run, with the pipeline they belong to.
#[derive(Clone, Debug)]
pub struct StoredPlans {
    /// The run that made them.
    pub run_id: String,
    /// The pipeline they belong to.
    pub pipeline: String,
    /// The plans, in the order in which they are to be applied.
    pub plans: Vec<PlanSummary>,
}

/// Every run's stored plans, newest first.
///
/// # Errors
/// The lake cannot be read.
pub async fn stored_plans(lake: &Lake) -> Result<Vec<StoredPlans>, PipelineError> {
    let mut found = Vec::new();
    for run in read(lake, &["run_id", "pipeline", "plans"]).await? {
        let [run_id, pipeline, plans] = run.as_slice() else { continue };
        let mut plans: Vec<PlanSummary> = serde_json::from_str(plans).unwrap_or_default();
        plans.retain(|plan| plan.stored);
        if !plans.is_empty() {
            found.push(StoredPlans { run_id: run_id.clone(), pipeline: pipeline.clone(), plans });
        }
    }
    // Run ids sort by time.
    found.sort_by(|a, b| b.run_id.cmp(&a.run_id));
    Ok(found)
}

/// One recorded run in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastRun {
    /// The run's id, as plans, the ledger and `hublake undo` know it.
    pub run_id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// What was asked for: `run`, `plan`, `apply`, `undo`, …
    pub mode: String,
    /// How it ended.
    pub status: String,
    /// When it began (RFC 3339, UTC).
    pub started_at: String,
    /// Rows created, over all write-backs.
    pub created: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows archived.
    pub archived: u64,
    /// Rows refused.
    pub rejected: u64,
    /// Calls made to HubSpot.
    pub calls: u64,
    /// Guards that were passed by hand, with their figures.
    pub accepted_guards: String,
}

impl PastRun {
    /// Whether its counts are of rows that were written: those of a plan, and of a
    /// walk along the whole road that writes nothing, are of rows that would be.
    pub fn has_written(&self) -> bool {
        !matches!(self.mode.as_str(), "plan" | "dry_run")
    }
}

/// Every recorded run, newest first.
///
/// # Errors
/// The lake cannot be read.
pub async fn past_runs(lake: &Lake) -> Result<Vec<PastRun>, PipelineError> {
    let runs = read(lake, &["run_id", "pipeline", "status", "results"]).await?;
    let mut found: Vec<PastRun> = runs.iter().map(|run| past_run(run)).collect();
    found.sort_by(|a, b| b.run_id.cmp(&a.run_id));
    Ok(found)
}

/// What its row in `system.runs` says of a run; older rows say less.
fn past_run(run: &[String]) -> PastRun {
    let results: serde_json::Value = serde_json::from_str(&run[3]).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let write_backs = || results["write_back"].as_object().into_iter().flat_map(|all| all.values());
    let sum = |outcome: &str| write_backs().filter_map(|counts| counts[outcome].as_u64()).sum();
    let accepted = results["accepted_guards"].as_array().into_iter().flatten();
    let accepted: Vec<String> = accepted
        .map(|guard| {
            let name = text(&guard["guard"]);
            format!("{name} of {}: {}", text(&guard["write_back"]), text(&guard["sentence"]))
        })
        .collect();
    PastRun {
        run_id: run[0].clone(),
        pipeline: run[1].clone(),
        mode: text(&results["mode"]),
        status: run[2].clone(),
        started_at: text(&results["started_at"]),
        created: sum("created"),
        updated: sum("updated"),
        archived: sum("archived"),
        rejected: sum("rejected"),
        calls: results["calls"]["total"].as_u64().unwrap_or_default(),
        accepted_guards: accepted.join("; "),
    }
}

/// When each model was last built (µs since 1970, UTC), by the runs recorded.
///
/// # Errors
/// The lake cannot be read.
pub(super) async fn last_builds(lake: &Lake) -> Result<BTreeMap<String, i64>, PipelineError> {
    let mut built = BTreeMap::new();
    for run in read(lake, &["results"]).await? {
        note_builds(&run[0], &mut built);
    }
    Ok(built)
}

/// The named text columns of every recorded run, nulls as empty texts.
async fn read(lake: &Lake, columns: &[&str]) -> Result<Vec<Vec<String>>, PipelineError> {
    let Some(table) = lake.table(&TableName::system(RUNS)).await? else { return Ok(Vec::new()) };
    let stream = table.scan(Some(columns), None).await?;
    let batches: Vec<RecordBatch> = stream
        .try_collect()
        .await
        .map_err(|source| PipelineError::History { source: Box::new(source) })?;
    Ok(batches.iter().flat_map(texts).collect())
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| cast(column, &DataType::Utf8).expect("a text column can be read as text"))
        .collect();
    let text = |column: &ArrayRef, row: usize| {
        let column = column.as_string::<i32>();
        if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
    };
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| text(column, row)).collect())
        .collect()
}

/// Takes in one run's results; what does not parse says nothing.
fn note_builds(results: &str, built: &mut BTreeMap<String, i64>) {
    let Ok(results) = serde_json::from_str::<serde_json::Value>(results) else { return };
    let Some(started) =
        results["started_at"].as_str().and_then(|t| DateTime::parse_from_rfc3339(t).ok())
    else {
        return;
    };
    for name in results["models"].as_object().into_iter().flat_map(|models| models.keys()) {
        let at = built.entry(name.clone()).or_insert(i64::MIN);
        *at = (*at).max(started.timestamp_micros());
    }
}
