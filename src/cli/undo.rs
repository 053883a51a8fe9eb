use super::args::{Common, UndoArgs};
use super::failure::Failure;
use super::{guards, output, project, report, runs, stop};
use crate::load::{PlanSummary, Store};
use crate::pipeline::{self, Apply, Outcome, Session, UndoOptions, WriteOptions};

/// Takes a run back, as far as nobody has changed since what it wrote.
pub(super) async fn run(args: &UndoArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let project = project::load(common)?;
    let apply = match (args.plan, args.dry_run) {
        (true, _) => Apply::Never,
        (false, true) => Apply::Dry,
        (false, false) => Apply::Yes,
    };
    let accepted = guards::parse(&args.accept_guard)?;
    let write = WriteOptions { store: Store::Always, apply, accepted };
    let options = UndoOptions { archive_created: args.archive_created, write };
    let nothing = || {
        let sentence = format!("Run `{}` has written nothing to HubSpot", args.run);
        let known = Failure::new(Outcome::Settings, sentence);
        known.advise("`hublake runs list` shows the runs and what they wrote")
    };
    // The lake knows before HubSpot is asked for anything.
    let lake = project::open_lake(&project).await?;
    if !pipeline::has_sent(&lake, &args.run).await? {
        let runs = pipeline::past_runs(&lake).await?;
        let is_known = runs.iter().any(|run| run.run_id == args.run);
        return Err(if is_known { nothing() } else { runs::unknown(&args.run) });
    }
    let session = Session::open(&project, stop::on_interrupt()).await?;
    let finished = pipeline::undo(&session, &args.run, &options).await?;
    session.close().await?;
    let Some(finished) = finished else { return Err(nothing()) };
    if apply == Apply::Never {
        for plan in &finished.plans {
            output::text(&report::show_plan(plan, common)?)?;
        }
        finished.results.problems.iter().for_each(|problem| eprintln!("! {problem}"));
    } else {
        if let Err(error) = finished.results.save(&project.dir) {
            eprintln!("! `target/run_results.json` could not be written: {error}");
        }
        report::print(&finished.results, common)?;
    }
    if !common.quiet {
        tell(args, &finished.plans, apply);
    }
    Ok(finished.results.status)
}

/// What has to be known about an undo besides its figures.
fn tell(args: &UndoArgs, plans: &[PlanSummary], apply: Apply) {
    let left: u64 = plans.iter().map(|plan| plan.counts.kept).sum();
    if left > 0 {
        eprintln!(
            "{left} records are left as they are, because somebody or a later run changed them, or because the run \
             created them: `hublake undo {} --plan` says which, and why",
            args.run
        );
    }
    let values: u64 = plans.iter().map(|plan| plan.counts.conflicts).sum();
    if values > 0 {
        eprintln!(
            "{values} values of records that go back otherwise are left too: somebody or a later run changed them"
        );
    }
    if !plans.iter().any(PlanSummary::sends) {
        eprintln!("Nothing to take back");
        return;
    }
    if apply == Apply::Never {
        let archive = if args.archive_created { " --archive-created" } else { "" };
        eprintln!("next: `hublake undo {}{archive}` carries this out", args.run);
    }
    eprintln!(
        "The next `hublake run` writes again what the models still want: correct the model or the source first"
    );
}
