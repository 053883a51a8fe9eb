//! A run: extract, build, plan, apply, each stage on what the one before left.

use std::collections::{BTreeMap, BTreeSet};

use super::building::{self, BuildRequest, Built};
use super::error::PipelineError;
use super::extracting::{self, Extracted};
use super::history::{self, StoredPlans};
use super::outcome::Outcome;
use super::results::{Mode, RunResults};
use super::session::Session;
use super::settings::PipelineConfig;
use super::sources::{self, OpenedSources};
use super::wanted::wanted;
use super::writing::{self, Apply, Stage, WriteOptions};
use crate::extract::SyncMode;
use crate::extract::chain;
use crate::lake::{MaintenancePolicy, TableName};
use crate::load::PlanSummary;
use crate::transform::{Engine, ModelStatus};

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How objects are read.
    pub mode: SyncMode,
    /// Whether HubSpot is read first, or the lake taken as it is.
    pub extract: bool,
    /// What becomes of the plans.
    pub write: WriteOptions,
}

/// A finished run, and the plans it made.
#[derive(Debug)]
pub struct Finished {
    /// Everything that was done.
    pub results: RunResults,
    /// The plans, one per write-back that ran.
    pub plans: Vec<PlanSummary>,
}

/// Runs one pipeline to its end. What fails is in the results; an error is
/// only what leaves nothing to report, such as a lake that cannot be written.
///
/// Whatever a cut leaves behind, the next run finishes: every stage commits its
/// progress with its rows.
///
/// # Errors
/// The lake fails under the run's own books.
pub async fn run(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
    options: &RunOptions,
) -> Result<Finished, PipelineError> {
    let mode = match options.write.apply {
        Apply::Never => Mode::Plan,
        Apply::Dry => Mode::DryRun,
        Apply::Yes => Mode::Run,
    };
    let before = session.client.counts();
    let mut results = RunResults::begin(&new_run_id(), &pipeline.name, mode, before);
    tracing::info!(run = results.run_id, pipeline = pipeline.name, "Run begins");
    let plans = match stages(session, pipeline, options, &mut results).await {
        Ok(plans) => plans,
        Err(error) => {
            results.problem(error.outcome(), chain(&error));
            Vec::new()
        }
    };
    finish(session, &mut results, &plans).await?;
    Ok(Finished { results, plans })
}

pub(super) async fn stages(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
    options: &RunOptions,
    results: &mut RunResults,
) -> Result<Vec<PlanSummary>, PipelineError> {
    let extracted = extract(session, pipeline, options, results).await?;
    let copied = copy(session, options, results).await?;
    let OpenedSources { engine, missing, skipped } =
        sources::open_sources(session.project, &session.lake, |_| true).await?;
    sources::tell_skipped(&skipped, results);
    let mut incomplete = extracted.incomplete.clone();
    incomplete.extend(copied);
    incomplete.extend(missing.iter().map(|(table, reason)| (table.to_string(), reason.clone())));
    let unavailable = unavailable(session, missing, &incomplete).await?;
    let built = build(session, &engine, pipeline, unavailable, results).await?;
    building::export(session, pipeline, &built, results).await;
    let stage = Stage {
        built: &built,
        incomplete: &incomplete,
        jobs: &extracted.jobs,
        definitions: &extracted.definitions,
        to_create: &extracted.to_create,
    };
    writing::write_back(session, &engine, pipeline, &stage, &options.write, results).await
}

/// Closes the books. They come before the upkeep: what was sent must be on
/// record whatever becomes of old files.
pub(super) async fn finish(
    session: &Session<'_>,
    results: &mut RunResults,
    plans: &[PlanSummary],
) -> Result<(), PipelineError> {
    if session.stop.is_cancelled() {
        results.status.worsen(Outcome::Interrupted);
    }
    results.finish(&session.client.counts());
    history::record(&session.lake, results, plans).await?;
    if let Err(error) = maintain(session).await {
        results.problems.push(format!(
            "Upkeep of the lake failed and is tried again next time: {}",
            chain(&error)
        ));
    }
    Ok(())
}

/// Carries out plans that an earlier run has stored.
///
/// # Errors
/// As [`run`]; a plan that is out of date or refused by a guard is in the
/// results.
pub async fn apply_stored(
    session: &Session<'_>,
    stored: &StoredPlans,
    options: &WriteOptions,
) -> Result<RunResults, PipelineError> {
    let before = session.client.counts();
    let mut results = RunResults::begin(&new_run_id(), &stored.pipeline, Mode::Apply, before);
    let pipeline = pipeline_of(session, &stored.pipeline)?;
    writing::catch_up(session, pipeline).await?;
    writing::apply_plans(session, pipeline, &stored.plans, options, &mut results).await;
    finish(session, &mut results, &[]).await?;
    Ok(results)
}

/// The project's pipeline of this name, which a stored plan has kept.
pub(super) fn pipeline_of<'p>(
    session: &Session<'p>,
    name: &str,
) -> Result<&'p PipelineConfig, PipelineError> {
    let known = || session.project.pipelines.iter().map(|p| p.name.clone()).collect();
    session.project.pipeline(name).ok_or_else(|| PipelineError::Unknown {
        kind: "pipeline",
        name: name.to_owned(),
        known: known(),
    })
}

/// Run ids sort by time and are unique.
pub fn new_run_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

async fn extract(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
    options: &RunOptions,
    results: &mut RunResults,
) -> Result<Extracted, PipelineError> {
    let wanted = session
        .unless_stopped(wanted(session.project, &session.client, &[pipeline], &[]))
        .await
        .ok_or(PipelineError::Interrupted)??;
    let extracted = if options.extract {
        let extracted = extracting::extract(session, &wanted, options.mode).await;
        extracting::keep_unread(session, &results.run_id, &extracted).await?;
        extracted
    } else {
        extracting::definitions_only(session, &wanted).await
    };
    results.objects = extracted.objects.clone();
    for (outcome, sentence) in &extracted.problems {
        results.problem(*outcome, sentence.clone());
    }
    Ok(extracted)
}

/// Copies the sources that the settings want copied, where the run reads anything;
/// the tables that are behind their source thereafter, and why.
async fn copy(
    session: &Session<'_>,
    options: &RunOptions,
    results: &mut RunResults,
) -> Result<BTreeMap<String, String>, PipelineError> {
    if !options.extract {
        return Ok(BTreeMap::new());
    }
    let copied = sources::copy_sources(session, options.mode == SyncMode::Full).await?;
    results.sources.extend(copied.sources);
    for (outcome, sentence) in copied.problems {
        results.problem(outcome, sentence);
    }
    Ok(copied.incomplete)
}

/// Tables that models cannot read in this run: absent sources, and objects that
/// failed before they ever reached the lake. Tables that are only behind can be
/// read; the gate keeps write-backs from them.
async fn unavailable(
    session: &Session<'_>,
    mut missing: BTreeMap<TableName, String>,
    incomplete: &BTreeMap<String, String>,
) -> Result<BTreeMap<TableName, String>, PipelineError> {
    for (table, reason) in incomplete {
        let Some(name) = table.strip_prefix("hubspot.").map(TableName::hubspot) else { continue };
        if session.lake.table(&name).await?.is_none() {
            missing.insert(name, reason.clone());
        }
    }
    Ok(missing)
}

async fn build(
    session: &Session<'_>,
    engine: &Engine,
    pipeline: &PipelineConfig,
    missing: BTreeMap<TableName, String>,
    results: &mut RunResults,
) -> Result<Built, PipelineError> {
    if session.stop.is_cancelled() {
        return Ok(Built::default());
    }
    let started = results.started_at.timestamp_micros();
    let only = models_of(session, pipeline);
    let request = BuildRequest {
        run_id: &results.run_id,
        run_started_at: started,
        only,
        full: false,
        unavailable: missing,
    };
    let built = building::build(engine, &session.lake, request).await?;
    results.models = built.models.clone();
    for (outcome, sentence) in &built.problems {
        results.problem(*outcome, sentence.clone());
    }
    if built.report.models.iter().any(|model| matches!(model.status, ModelStatus::Failed(_))) {
        let named = sources::bad_files(session.project, &engine.runtime(), |_| true).await;
        results.problems.extend(named);
    }
    Ok(built)
}

/// The models a pipeline is there for. A project's only pipeline builds all;
/// of several, each builds those it names and what they read, since the objects
/// of the others may not be in the lake yet.
fn models_of(session: &Session<'_>, pipeline: &PipelineConfig) -> Option<BTreeSet<String>> {
    let is_only = session.project.pipelines.len() == 1;
    let named = pipeline.models.keys().chain(pipeline.write_back.keys());
    let read = named.flat_map(|name| session.project.graph.ancestry(name)).map(str::to_owned);
    (!is_only).then(|| read.collect())
}

/// Keeps every table's files in order; tables that need nothing are not touched.
async fn maintain(session: &Session<'_>) -> Result<(), PipelineError> {
    let policy = MaintenancePolicy::new(&session.project.config.lake);
    for name in session.lake.tables().await? {
        if session.stop.is_cancelled() {
            return Ok(());
        }
        if let Some(mut table) = session.lake.table(&name).await? {
            table.maintain(&policy).await?;
        }
    }
    Ok(())
}
