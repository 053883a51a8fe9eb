//! The build stage: the user's sources opened, the models built on them.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{PipelineError, lake_outcome, transform_outcome};
use super::outcome::Outcome;
use super::results::{ModelResult, RunResults};
use super::session::Session;
use super::settings::{PipelineConfig, Project};
use super::sources::open_sources;
use super::{history, known};
use crate::extract::chain;
use crate::lake::{Lake, LakeError, TableName};
use crate::transform::{
    self, BuildOptions, BuildReport, Engine, ModelReport, ModelStatus, TestOutcome,
};

/// What the build stage came to.
#[derive(Debug, Default)]
pub struct Built {
    /// Per model, how it went.
    pub report: BuildReport,
    /// Per model that was built, its figures.
    pub models: BTreeMap<String, ModelResult>,
    /// What failed: how grave it is, and the sentence that tells of it.
    pub problems: Vec<(Outcome, String)>,
}

/// A SQL engine over the project's lake, models and sources, and the sources
/// that are not to be had, by table.
///
/// # Errors
/// An engine that cannot be made. A source that is absent, empty or unreadable
/// is no error here: what reads it is skipped, and says so.
pub async fn engine(
    project: &Project,
    lake: &Lake,
) -> Result<(Engine, BTreeMap<TableName, String>), PipelineError> {
    let opened = open_sources(project, lake, |_| true).await?;
    Ok((opened.engine, opened.missing))
}

/// What is to be built.
#[derive(Clone, Debug)]
pub struct BuildRequest<'a> {
    /// The run's id.
    pub run_id: &'a str,
    /// When the run started (µs since 1970 UTC).
    pub run_started_at: i64,
    /// These models and no others; all when absent.
    pub only: Option<BTreeSet<String>>,
    /// Compute incremental models from the beginning.
    pub full: bool,
    /// Tables that must not be read in this run, and why.
    pub unavailable: BTreeMap<TableName, String>,
}

/// Builds models; one that fails stops only what depends on it.
///
/// # Errors
/// The lake cannot be read.
pub async fn build(
    engine: &Engine,
    lake: &Lake,
    request: BuildRequest<'_>,
) -> Result<Built, PipelineError> {
    let last_built_at = history::last_builds(lake).await?;
    let options = BuildOptions {
        run_id: request.run_id.to_owned(),
        run_started_at: request.run_started_at,
        last_built_at,
        only: request.only,
        full: request.full,
        unavailable: request.unavailable,
    };
    let report = transform::build(engine, &options).await;
    let mut built = Built { report, ..Built::default() };
    if let Err(error) = known::remember_sources(lake, engine).await {
        let sentence = format!("The columns of sources were not noted: {}", chain(&error));
        built.problems.push((error.outcome(), sentence));
    }
    if let Some(error) = &built.report.unkept {
        let sentence = format!("The rows that break tests were not kept: {}", chain(error));
        built.problems.push((transform_outcome(error), sentence));
    }
    for model in &built.report.models {
        match &model.status {
            ModelStatus::Failed(error) => {
                let sentence = format!("Model `{}` failed: {}", model.name, chain(error));
                built.problems.push((transform_outcome(error), sentence));
            }
            ModelStatus::Skipped { because } => {
                let sentence = format!("Model `{}` was not built: {because}", model.name);
                built.problems.push((Outcome::Failed, sentence));
            }
            ModelStatus::Built | ModelStatus::Unchanged => {
                let result = ModelResult {
                    rows: model.rows,
                    changes: model.changes(),
                    seconds: model.duration.as_secs_f64(),
                };
                built.models.insert(model.name.clone(), result);
            }
        }
        built.problems.extend(failed_tests(model));
    }
    Ok(built)
}

/// Publishes as plain Parquet what the settings ask for and this run changed.
pub(super) async fn export(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
    built: &Built,
    results: &mut RunResults,
) {
    let changed = |model: &&ModelReport| matches!(model.status, ModelStatus::Built);
    let models = built.report.models.iter().filter(changed).filter_map(|model| {
        let export = session.project.models.get(&model.name)?.config.export.as_ref()?;
        Some((TableName::model(&model.name), export.parquet.as_str()))
    });
    for (name, url) in models.chain(exported_tables(pipeline)) {
        if let Err(error) = export_one(&session.lake, &name, url).await {
            results.problem(
                lake_outcome(&error),
                format!("`{name}` was not published: {}", chain(&error)),
            );
        }
    }
}

/// The tables besides models that a pipeline publishes, and where.
fn exported_tables(pipeline: &PipelineConfig) -> impl Iterator<Item = (TableName, &str)> {
    pipeline.export.iter().filter_map(|(table, export)| {
        let (schema, name) = table.split_once('.')?;
        let name =
            if schema == "hubspot" { TableName::hubspot(name) } else { TableName::system(name) };
        Some((name, export.parquet.as_str()))
    })
}

/// Everything that a project publishes, and where.
pub(super) fn exports(project: &Project) -> impl Iterator<Item = (TableName, &str)> {
    let models = project.models.iter().filter_map(|(name, model)| {
        Some((TableName::model(name), model.config.export.as_ref()?.parquet.as_str()))
    });
    models.chain(project.pipelines.iter().flat_map(exported_tables))
}

/// Publishes one table as plain Parquet; false where there is none.
pub(super) async fn export_one(
    lake: &Lake,
    name: &TableName,
    url: &str,
) -> Result<bool, LakeError> {
    let Some(table) = lake.table(name).await? else { return Ok(false) };
    let report = table.export_parquet(url).await?;
    tracing::info!(table = %name, rows = report.rows, files = report.files, "Published as Parquet");
    Ok(true)
}

fn failed_tests(model: &ModelReport) -> Vec<(Outcome, String)> {
    let failed = model.tests.iter().filter_map(|test| Some((test, what_failed(&test.outcome)?)));
    failed
        .map(|(test, what)| {
            let outcome = if test.stops() { Outcome::TestsFailed } else { Outcome::Succeeded };
            let word = if test.stops() { "Test" } else { "Warning: test" };
            (outcome, format!("{word} `{}` of model `{}` failed: {what}", test.rule, model.name))
        })
        .collect()
}

fn what_failed(outcome: &TestOutcome) -> Option<String> {
    match outcome {
        TestOutcome::Passed => None,
        TestOutcome::Failed { rows, sample } => {
            let kept: usize = sample.iter().map(|batch| batch.num_rows()).sum();
            Some(format!("{rows} rows break it, {kept} of them in `system.test_failures`"))
        }
        TestOutcome::Broken(error) => Some(chain(error)),
    }
}
