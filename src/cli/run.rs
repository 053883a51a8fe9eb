use super::args::{Common, RunArgs};
use super::bars::Bars;
use super::failure::Failure;
use super::{guards, project, report, stop};
use crate::extract::SyncMode;
use crate::load::Store;
use crate::pipeline::{
    self, Apply, Finished, Outcome, PipelineConfig, RunOptions, Session, WriteOptions,
};

/// Extracts, builds, plans and applies each pipeline named, or all.
pub(super) async fn run(args: &RunArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let project = project::load(common)?;
    let pipelines = project::pipelines(&project, &args.pipelines)?;
    let write = WriteOptions {
        store: Store::IfSending,
        apply: if args.dry_run { Apply::Dry } else { Apply::Yes },
        accepted: guards::parse(&args.accept_guard)?,
    };
    let mode = if args.full { SyncMode::Full } else { SyncMode::Auto };
    let options = RunOptions { mode, extract: true, write };
    let session = Session::open(&project, stop::on_interrupt()).await?;
    let mut outcome = Outcome::Succeeded;
    for pipeline in pipelines {
        let finished = one(&session, pipeline, &options, common).await?;
        outcome.worsen(finished.results.status);
        if session.stop.is_cancelled() {
            break;
        }
    }
    session.close().await?;
    Ok(outcome)
}

/// Runs one pipeline, prints what it came to and saves it beside the project.
pub(super) async fn one(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
    options: &RunOptions,
    common: &Common,
) -> Result<Finished, Failure> {
    let bars = Bars::show(&session.progress, common);
    let finished = pipeline::run(session, pipeline, options).await?;
    drop(bars);
    let saved = finished.results.save(&session.project.dir);
    report::print(&finished.results, common)?;
    if let Err(error) = saved {
        eprintln!("! `target/run_results.json` could not be written: {error}");
    }
    Ok(finished)
}
