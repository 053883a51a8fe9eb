use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};

use super::args::{Common, Format, RunsArgs, RunsCommand};
use super::failure::Failure;
use super::{output, project};
use crate::lake::Lake;
use crate::pipeline::{self, Outcome, PastRun, Project};

/// Lists past runs, or tells two of them apart.
pub(super) async fn run(args: &RunsArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let runs = pipeline::past_runs(&lake).await?;
    match &args.command {
        RunsCommand::List { limit } => {
            let shown = &runs[..runs.len().min(limit.unwrap_or(usize::MAX))];
            if shown.is_empty() && common.output == Format::Table {
                eprintln!("No run is recorded yet");
                return Ok(Outcome::Succeeded);
            }
            output::print_batch(&batch(shown), common.output)?;
        }
        RunsCommand::Diff { first, second } => {
            for run_id in [first, second] {
                if !runs.iter().any(|run| run.run_id == *run_id) {
                    return Err(unknown(run_id));
                }
            }
            diff(&project, &lake, first, second, common).await?;
        }
    }
    Ok(Outcome::Succeeded)
}

async fn diff(
    project: &Project,
    lake: &Lake,
    first: &str,
    second: &str,
    common: &Common,
) -> Result<(), Failure> {
    let (engine, _) = pipeline::engine(project, lake).await?;
    let rows = pipeline::diff_runs(lake, &engine, first, second).await?;
    let printed = output::print(rows, common.output, None).await?;
    if printed == 0 && common.output == Format::Table {
        eprintln!("The two runs planned and wrote the same");
    }
    Ok(())
}

pub(super) fn unknown(run_id: &str) -> Failure {
    Failure::new(Outcome::Settings, format!("No run `{run_id}` is recorded"))
        .advise("`hublake runs list` shows the runs there are")
}

fn batch(runs: &[PastRun]) -> RecordBatch {
    let text = |get: fn(&PastRun) -> &str| {
        Arc::new(runs.iter().map(|run| Some(get(run))).collect::<StringArray>()) as ArrayRef
    };
    let count = |get: fn(&PastRun) -> u64| {
        Arc::new(runs.iter().map(get).map(Some).collect::<UInt64Array>()) as ArrayRef
    };
    // What was only planned was written by nobody.
    let written = |get: fn(&PastRun) -> u64| {
        let count = |run: &PastRun| Some(get(run)).filter(|_| run.has_written());
        Arc::new(runs.iter().map(count).collect::<UInt64Array>()) as ArrayRef
    };
    let columns = [
        ("run_id", text(|run| &run.run_id)),
        ("pipeline", text(|run| &run.pipeline)),
        ("mode", text(|run| &run.mode)),
        ("status", text(|run| &run.status)),
        ("started_at", text(|run| &run.started_at)),
        ("created", written(|run| run.created)),
        ("updated", written(|run| run.updated)),
        ("archived", written(|run| run.archived)),
        ("rejected", count(|run| run.rejected)),
        ("calls", count(|run| run.calls)),
        ("accepted_guards", text(|run| &run.accepted_guards)),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("the columns are of one length")
}
