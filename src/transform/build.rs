//! Building the models of a project, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::catalog::Catalog;
use super::data_tests::{self, TestReport};
use super::failures;
use super::identity::IdentityBuild;
use super::incremental::BUILT;
use super::lineage::rebuild_done;
use super::models::Model;
use super::parameters::RunTimes;
use super::table::{TableBuild, TableOutcome, check_columns};
use super::{Engine, Models, TransformError};
use crate::lake::TableName;

/// What a build is told.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// The run's id, kept with every change.
    pub run_id: String,
    /// When the run started (µs since 1970 UTC); `$run_started_at`.
    pub run_started_at: i64,
    /// When each model was last built, where it was (µs since 1970 UTC);
    /// `$last_run_at`. An incremental model's own table knows better.
    pub last_built_at: BTreeMap<String, i64>,
    /// Build these and no others; all models when absent.
    pub only: Option<BTreeSet<String>>,
    /// Compute incremental models from the beginning; rows that they compute no
    /// more go.
    pub full: bool,
    /// Tables that must not be read in this run, and why: no completed sync,
    /// an absent source. Models that read them are skipped.
    pub unavailable: BTreeMap<TableName, String>,
}

/// What a build did.
#[derive(Debug, Default)]
pub struct BuildReport {
    /// Every model that was to be built, in the order of building.
    pub models: Vec<ModelReport>,
    /// Why the rows that break tests could not be kept, where that is so.
    pub unkept: Option<TransformError>,
}

/// Why rows must not be written to HubSpot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReason {
    /// In words.
    pub sentence: String,
    /// Whether a test says so, and nothing failed.
    pub is_test: bool,
}

/// What became of one model.
#[derive(Debug)]
pub struct ModelReport {
    /// Its name.
    pub name: String,
    /// How it went.
    pub status: ModelStatus,
    /// Its rows; none for a view, which is not computed until it is read.
    pub rows: Option<u64>,
    /// Rows that the model did not have before.
    pub inserted: u64,
    /// Rows that changed.
    pub updated: u64,
    /// Rows that the model has no more.
    pub deleted: u64,
    /// How long it took, tests included.
    pub duration: Duration,
    /// Its tests, if it was built.
    pub tests: Vec<TestReport>,
}

/// How the building of one model went.
#[derive(Debug)]
pub enum ModelStatus {
    /// A new version was stored, or the view is ready to be read.
    Built,
    /// The stored version is right already.
    Unchanged,
    /// It failed; the stored version, if any, is as it was.
    Failed(TransformError),
    /// It was not tried, because something it reads is not to be had.
    Skipped {
        /// Why, in words.
        because: String,
    },
}

impl ModelReport {
    fn new(model: &Model, status: ModelStatus) -> Self {
        Self {
            name: model.name().to_owned(),
            status,
            rows: None,
            inserted: 0,
            updated: 0,
            deleted: 0,
            duration: Duration::ZERO,
            tests: Vec::new(),
        }
    }

    /// Whether what is stored, or read, is what the model computes now.
    pub(super) fn was_built(&self) -> bool {
        matches!(self.status, ModelStatus::Built | ModelStatus::Unchanged)
    }

    /// Rows inserted, updated and deleted.
    pub fn changes(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// Whether it is there and a test of its rows stops write-backs.
    fn is_stopped_by_test(&self) -> bool {
        self.was_built() && self.tests.iter().any(TestReport::stops)
    }

    /// Why nothing that reads this model may be written to HubSpot; none when
    /// nothing speaks against it.
    pub fn stop_reason(&self) -> Option<String> {
        let name = &self.name;
        match &self.status {
            ModelStatus::Failed(_) => Some(format!("model `{name}` failed")),
            ModelStatus::Skipped { because } => {
                Some(format!("model `{name}` was skipped: {because}"))
            }
            ModelStatus::Built | ModelStatus::Unchanged => self
                .tests
                .iter()
                .find(|test| test.stops())
                .map(|test| format!("test `{}` of model `{name}` failed", test.rule)),
        }
    }
}

impl BuildReport {
    /// The report of one model.
    pub fn model(&self, name: &str) -> Option<&ModelReport> {
        self.models.iter().find(|report| report.name == name)
    }

    /// Why the rows of a model must not be written to HubSpot: the model, or one
    /// that it reads, failed, was skipped, or failed a test that stops.
    pub fn stop_reason(&self, models: &Models, name: &str) -> Option<StopReason> {
        let read = models.ancestry(name);
        let mut reports = self.models.iter().filter(|report| read.contains(report.name.as_str()));
        reports.find_map(|report| {
            let sentence = report.stop_reason()?;
            Some(StopReason { sentence, is_test: report.is_stopped_by_test() })
        })
    }

    /// Whether any model failed.
    pub fn has_failures(&self) -> bool {
        self.models.iter().any(|report| matches!(report.status, ModelStatus::Failed(_)))
    }

    /// Whether any test failed that stops write-backs.
    pub fn has_failed_tests(&self) -> bool {
        self.models.iter().flat_map(|report| &report.tests).any(TestReport::stops)
    }
}

/// Builds the models of an engine: each one after those it reads, all from the
/// same versions of the tables they read. A failure stops only what depends
/// on it. Tests run when everything is stored, so that they may read other
/// models, and their failures can be looked at.
pub async fn build(engine: &Engine, options: &BuildOptions) -> BuildReport {
    let catalog = engine.catalog(None);
    let is_wanted =
        |model: &&Model| options.only.as_ref().is_none_or(|only| only.contains(model.name()));
    let mut report = BuildReport::default();
    // A view is read with the times of this run although it may not be built.
    for model in engine.models.in_order() {
        let last_run_at = options.last_built_at.get(model.name()).copied();
        catalog.tables.times.set(model.name(), run_times(options, last_run_at));
    }
    for model in engine.models.in_order().filter(is_wanted) {
        let started = Instant::now();
        let mut built = match skip_reason(&engine.models, model, &report, options) {
            Some(because) => ModelReport::new(model, ModelStatus::Skipped { because }),
            None => build_one(engine, &catalog, model, options).await,
        };
        built.duration = started.elapsed();
        report.models.push(built);
    }
    test(engine, &catalog, &mut report).await;
    report.unkept = failures::keep(&engine.lake, &report, options).await.err();
    report
}

/// Runs the tests of every model that was built.
async fn test(engine: &Engine, catalog: &Catalog, report: &mut BuildReport) {
    for built in report.models.iter_mut().filter(|report| report.was_built()) {
        let Some(model) = engine.models.get(&built.name) else { continue };
        let started = Instant::now();
        built.tests = data_tests::run(catalog, model, &engine.vars).await;
        built.duration += started.elapsed();
    }
}

fn run_times(options: &BuildOptions, last_run_at: Option<i64>) -> RunTimes {
    RunTimes { run_started_at: options.run_started_at, last_run_at }
}

fn skip_reason(
    models: &Models,
    model: &Model,
    report: &BuildReport,
    options: &BuildOptions,
) -> Option<String> {
    let read = models.tables_read(model.name());
    let unavailable = options.unavailable.iter().find(|(table, _)| read.contains(*table));
    if let Some((table, reason)) = unavailable {
        return Some(format!("`{table}`: {reason}"));
    }
    models.parents(model).find_map(|parent| {
        let report = report.model(parent.name())?;
        match &report.status {
            ModelStatus::Failed(_) => {
                Some(format!("model `{}`, which it reads, failed", report.name))
            }
            ModelStatus::Skipped { because } => Some(because.clone()),
            ModelStatus::Built | ModelStatus::Unchanged => None,
        }
    })
}

async fn build_one(
    engine: &Engine,
    catalog: &Catalog,
    model: &Model,
    options: &BuildOptions,
) -> ModelReport {
    match try_build(engine, catalog, model, options).await {
        Ok(outcome) => built_report(model, outcome),
        Err(error) => ModelReport::new(model, ModelStatus::Failed(error)),
    }
}

async fn try_build(
    engine: &Engine,
    catalog: &Catalog,
    model: &Model,
    options: &BuildOptions,
) -> Result<Option<TableOutcome>, TransformError> {
    if model.is_incremental() {
        let last_run_at = if options.full { None } else { added_until(engine, model).await? };
        catalog.tables.times.set(model.name(), run_times(options, last_run_at));
    }
    let lake = &engine.lake;
    if model.is_identity() {
        return IdentityBuild { catalog, lake, model, options }.run().await.map(Some);
    }
    if model.is_stored() {
        let build = TableBuild { catalog, lake, model, options, cursors: &[] };
        return build.run().await.map(Some);
    }
    plan_view(catalog, model).await.map(|()| None)
}

/// When the run started that last added to an incremental model, by the table
/// itself: a table that was taken away is built from the beginning.
async fn added_until(engine: &Engine, model: &Model) -> Result<Option<i64>, TransformError> {
    let table = engine.lake.table(&TableName::model(model.name())).await;
    let table = table.map_err(|error| TransformError::lake(model.name(), error))?;
    // What a purge took out is restored from the beginning.
    Ok(table.filter(|table| rebuild_done(table).is_none()).and_then(|table| table.cursor(BUILT)))
}

fn built_report(model: &Model, outcome: Option<TableOutcome>) -> ModelReport {
    let Some(outcome) = outcome else { return ModelReport::new(model, ModelStatus::Built) };
    let status = if outcome.changes() == 0 { ModelStatus::Unchanged } else { ModelStatus::Built };
    ModelReport {
        rows: Some(outcome.rows),
        inserted: outcome.inserted,
        updated: outcome.updated,
        deleted: outcome.deleted,
        ..ModelReport::new(model, status)
    }
}

/// A view is not computed here; that it can be planned is known at once.
async fn plan_view(catalog: &Catalog, model: &Model) -> Result<(), TransformError> {
    let rows = catalog.plan_model(model).await?;
    check_columns(model, rows.schema().as_arrow())
}

#[cfg(test)]
mod tests;
