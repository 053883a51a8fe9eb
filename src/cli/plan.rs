use std::fs::File;
use std::path::Path;

use futures::StreamExt;
use parquet::arrow::ArrowWriter;

use super::args::{Common, PlanArgs};
use super::bars::Bars;
use super::failure::Failure;
use super::{output, project, report, stop};
use crate::extract::SyncMode;
use crate::load::{PlanSummary, Store};
use crate::pipeline::{self, Apply, Outcome, PipelineError, RunOptions, Session, WriteOptions};

/// Extracts, builds and plans; shows what a run would write and stores it.
pub(super) async fn run(args: &PlanArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let project = project::load(common)?;
    let names: Vec<String> = args.pipeline.iter().cloned().collect();
    let pipelines = project::pipelines(&project, &names)?;
    let write =
        WriteOptions { store: Store::Always, apply: Apply::Never, accepted: Default::default() };
    let options = RunOptions { mode: SyncMode::Auto, extract: !args.no_extract, write };
    let session = Session::open(&project, stop::on_interrupt()).await?;
    let bars = Bars::show(&session.progress, common);
    let mut outcome = Outcome::Succeeded;
    let mut plans = Vec::new();
    for pipeline in pipelines {
        let finished = pipeline::run(&session, pipeline, &options).await?;
        finished.results.problems.iter().for_each(|problem| eprintln!("! {problem}"));
        outcome.worsen(finished.results.status);
        plans.extend(finished.plans);
    }
    drop(bars);
    show(&plans, outcome, common)?;
    if let Some(file) = &args.out {
        export(&session, &plans, file).await?;
    }
    session.close().await?;
    if args.detailed_exitcode
        && outcome == Outcome::Succeeded
        && plans.iter().any(PlanSummary::sends)
    {
        return Ok(Outcome::Changes);
    }
    Ok(outcome)
}

fn show(plans: &[PlanSummary], outcome: Outcome, common: &Common) -> Result<(), Failure> {
    for plan in plans {
        output::text(&report::show_plan(plan, common)?)?;
    }
    if !common.quiet {
        eprintln!("{}", what_next(plans, outcome));
    }
    Ok(())
}

/// What a person can do with these plans.
fn what_next(plans: &[PlanSummary], outcome: Outcome) -> String {
    let Some(plan) = plans.iter().find(|plan| plan.sends()) else {
        return match outcome {
            Outcome::Succeeded => "Nothing to write".to_owned(),
            _ => "No plan: see the lines above".to_owned(),
        };
    };
    let mut command = format!("hublake apply {}", plan.run_id);
    for verdict in plans.iter().flat_map(PlanSummary::refusals) {
        let flag = format!(" --accept-guard {}", verdict.guard);
        if !command.contains(&flag) {
            command.push_str(&flag);
        }
    }
    match outcome {
        Outcome::GuardRefused => format!("next: if this is what you want, `{command}`"),
        _ => format!("next: `{command}` carries this plan out"),
    }
}

/// Writes the rows of the plans to a Parquet file, for a closer look elsewhere.
async fn export(session: &Session<'_>, plans: &[PlanSummary], file: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            Outcome::Failed,
            format!("The plan cannot be written to `{}`: {error}", file.display()),
        )
    };
    let Some(plan) = plans.first() else { return Ok(()) };
    let runs: Vec<String> = plans.iter().map(|plan| format!("'{}'", plan.run_id)).collect();
    let sql = format!(
        "select * from system.plans where run_id in ({}) order by write_back, seq",
        runs.join(", ")
    );
    let (engine, _) = pipeline::engine(session.project, &session.lake).await?;
    let mut rows = engine.query(&sql, None).await.map_err(PipelineError::from)?;
    let out = File::create(file).map_err(|error| failed(&error))?;
    let mut writer =
        ArrowWriter::try_new(out, rows.schema(), None).map_err(|error| failed(&error))?;
    while let Some(batch) = rows.next().await {
        writer.write(&batch.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    writer.close().map_err(|error| failed(&error))?;
    tracing::info!(run = plan.run_id, file = %file.display(), "Plan written");
    Ok(())
}
