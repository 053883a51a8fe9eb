use std::collections::BTreeSet;

use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::args::{Common, Format, PlanArgs};
use super::bars::Bars;
use super::failure::Failure;
use super::{html, output, project, report, stop};
use crate::extract::SyncMode;
use crate::load::{self, PlanSummary, Store};
use crate::pipeline::{self, Apply, Outcome, PipelineError, RunOptions, Session, WriteOptions};

/// Extracts, builds and plans; shows what a run would write and stores it.
pub(super) async fn run(args: &PlanArgs, common: &Common) -> Result<Outcome, Failure> {
    // Rows go out in any form; the summary is words or JSON.
    let shows_rows = args.all
        || args.condition.is_some()
        || matches!(common.output, Format::Csv | Format::Parquet);
    if !shows_rows {
        report::check_form(common)?;
    }
    if let Some(condition) = &args.condition {
        load::check_condition(condition).map_err(|error| {
            Failure::new(Outcome::Usage, error).advise(
                "write a condition such as --where \"property = 'jobtitle' and old is not null\"",
            )
        })?;
    }
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
    let effort = report::effort(&plans, &session.client.budget_use());
    if shows_rows {
        show_rows(&session, &plans, args, common).await?;
        tell_next(&plans, outcome, &effort, args, common);
    } else {
        show(&plans, outcome, &effort, args, common)?;
    }
    if let Some(file) = &args.html {
        std::fs::write(file, html::page(&plans, &effort)).map_err(|error| {
            let text = format!("The page cannot be written to `{}`: {error}", file.display());
            Failure::new(Outcome::Failed, text)
        })?;
    }
    if let Some(file) = &args.out {
        if plans.is_empty() {
            eprintln!("`{}` was not written: there is no plan", file.display());
        } else {
            pipeline::write_plan_file(&session, &plans, file).await?;
        }
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

/// Prints the rows of the plans, those that a condition keeps.
async fn show_rows(
    session: &Session<'_>,
    plans: &[PlanSummary],
    args: &PlanArgs,
    common: &Common,
) -> Result<(), Failure> {
    let runs: BTreeSet<&str> = plans.iter().map(|plan| plan.run_id.as_str()).collect();
    let condition = args.condition.as_deref();
    let mut streams = Vec::new();
    for run_id in runs {
        let lines = load::plan_lines(&session.lake, run_id, condition).await;
        streams.push(lines.map_err(PipelineError::from)?);
    }
    let Some(first) = streams.first() else { return Ok(()) };
    let schema = first.schema();
    let lines = futures::stream::iter(streams).flatten();
    let lines = RecordBatchStreamAdapter::new(schema, lines);
    output::print(Box::pin(lines), common.output, None).await?;
    Ok(())
}

fn tell_next(
    plans: &[PlanSummary],
    outcome: Outcome,
    effort: &str,
    args: &PlanArgs,
    common: &Common,
) {
    if !common.quiet {
        if plans.iter().any(PlanSummary::sends) {
            eprintln!("{effort}");
        }
        eprintln!("{}", what_next(plans, outcome, args));
    }
}

fn show(
    plans: &[PlanSummary],
    outcome: Outcome,
    effort: &str,
    args: &PlanArgs,
    common: &Common,
) -> Result<(), Failure> {
    for plan in plans {
        output::text(&report::show_plan(plan, common)?)?;
    }
    tell_next(plans, outcome, effort, args, common);
    Ok(())
}

/// What a person can do with these plans.
fn what_next(plans: &[PlanSummary], outcome: Outcome, args: &PlanArgs) -> String {
    let Some(plan) = plans.iter().find(|plan| plan.sends()) else {
        return match outcome {
            Outcome::Succeeded => "Nothing to write".to_owned(),
            _ => "No plan: see the lines above".to_owned(),
        };
    };
    let mut command = match &args.out {
        Some(file) => format!("hublake apply {}", file.display()),
        None => format!("hublake apply {}", plan.run_id),
    };
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
