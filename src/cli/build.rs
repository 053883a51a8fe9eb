use super::args::{BuildArgs, Common};
use super::failure::Failure;
use super::{project, report};
use crate::hubspot::CallCounts;
use crate::pipeline::{self, BuildRequest, Mode, Outcome, PipelineError, RunResults};

/// Builds models on the lake as it is; HubSpot is not called.
pub(super) async fn run(args: &BuildArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let project = project::load(common)?;
    let selected = project.graph.select(&args.models).map_err(|unknown| {
        PipelineError::Unknown { kind: "model", name: unknown.name, known: unknown.known }
    })?;
    let lake = project::open_lake(&project).await?;
    lake.check_writable().await.map_err(PipelineError::from)?;
    let lock = pipeline::lock(&lake).await?;
    let (engine, missing) = pipeline::engine(&project, &lake).await?;
    let mut results =
        RunResults::begin(&pipeline::new_run_id(), "build", Mode::Build, CallCounts::default());
    let request = BuildRequest {
        run_id: &results.run_id,
        run_started_at: results.started_at.timestamp_micros(),
        only: (!args.models.is_empty()).then_some(selected),
        full: args.full,
        unavailable: missing,
    };
    let built = pipeline::build(&engine, &lake, request).await?;
    results.models = built.models;
    for (outcome, sentence) in built.problems {
        results.problem(outcome, sentence);
    }
    results.finish(&CallCounts::default());
    pipeline::record(&lake, &results, &[]).await?;
    report::print(&results, common)?;
    lock.release().await.map_err(PipelineError::from)?;
    Ok(results.status)
}
