use super::args::{BuildArgs, Common};
use super::failure::Failure;
use super::{project, report};
use crate::hubspot::CallCounts;
use crate::pipeline::{self, Mode, Outcome, PipelineError, RunResults};

/// Builds models on the lake as it is; HubSpot is not called.
pub(super) async fn run(args: &BuildArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let project = project::load(common)?;
    if let Some(name) = args.models.iter().find(|name| project.graph.get(name).is_none()) {
        let known = project.graph.names().map(str::to_owned).collect();
        return Err(PipelineError::Unknown { kind: "model", name: name.clone(), known }.into());
    }
    let lake = project::open_lake(&project).await?;
    lake.check_writable().await.map_err(PipelineError::from)?;
    let lock = pipeline::lock(&lake).await?;
    let (engine, missing) = pipeline::engine(&project, &lake).await?;
    let mut results =
        RunResults::begin(&pipeline::new_run_id(), "build", Mode::Build, CallCounts::default());
    let only = (!args.models.is_empty()).then(|| args.models.clone());
    let started = results.started_at.timestamp_micros();
    let built = pipeline::build(&engine, &lake, &results.run_id, started, only, missing).await?;
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
