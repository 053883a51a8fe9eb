//! Building the models of a project, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::catalog::Catalog;
use super::data_tests::{self, TestReport};
use super::identity::IdentityBuild;
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
    /// `$last_run_at`.
    pub last_built_at: BTreeMap<String, i64>,
    /// Build these and what they read; all models when absent.
    pub only: Option<Vec<String>>,
    /// Tables that must not be read in this run, and why: no completed sync,
    /// an absent source. Models that read them are skipped.
    pub unavailable: BTreeMap<TableName, String>,
}

/// What a build did.
#[derive(Debug, Default)]
pub struct BuildReport {
    /// Every model that was to be built, in the order of building.
    pub models: Vec<ModelReport>,
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

    /// Rows inserted, updated and deleted.
    pub fn changes(&self) -> u64 {
        self.inserted + self.updated + self.deleted
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
    pub fn stop_reason(&self, models: &Models, name: &str) -> Option<String> {
        let read = models.ancestry(name);
        self.models
            .iter()
            .filter(|report| read.contains(report.name.as_str()))
            .find_map(ModelReport::stop_reason)
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
/// on it. A table is stored before its tests run, so that their failures can
/// be looked at.
pub async fn build(engine: &Engine, options: &BuildOptions) -> BuildReport {
    let catalog = engine.catalog(None);
    let wanted = wanted(&engine.models, options.only.as_deref());
    let mut report = BuildReport::default();
    for model in engine.models.in_order().filter(|model| wanted.contains(model.name())) {
        let started = Instant::now();
        let mut built = match skip_reason(&engine.models, model, &report, options) {
            Some(because) => ModelReport::new(model, ModelStatus::Skipped { because }),
            None => build_one(engine, &catalog, model, options).await,
        };
        built.duration = started.elapsed();
        report.models.push(built);
    }
    report
}

/// The models named and those they read; all when none are named.
fn wanted<'a>(models: &'a Models, only: Option<&[String]>) -> BTreeSet<&'a str> {
    match only {
        Some(names) => names.iter().flat_map(|name| models.ancestry(name)).collect(),
        None => models.names().collect(),
    }
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
    let last_run_at = options.last_built_at.get(model.name()).copied();
    let times = RunTimes { run_started_at: options.run_started_at, last_run_at };
    catalog.tables.times.set(model.name(), times);
    let lake = &engine.lake;
    let built = if model.is_identity() {
        IdentityBuild { catalog, lake, model, options }.run().await.map(Some)
    } else if model.is_table() {
        TableBuild { catalog, lake, model, options, cursors: &[] }.run().await.map(Some)
    } else {
        plan_view(catalog, model).await.map(|()| None)
    };
    let mut report = match built {
        Ok(outcome) => built_report(model, outcome),
        Err(error) => return ModelReport::new(model, ModelStatus::Failed(error)),
    };
    for test in &model.config.tests {
        report.tests.push(data_tests::run(catalog, model, test, &engine.vars).await);
    }
    report
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
