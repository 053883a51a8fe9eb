use std::path::Path;

use super::args::{ApplyArgs, Common};
use super::failure::Failure;
use super::{guards, project, report, stop};
use crate::lake::Lake;
use crate::load::Store;
use crate::pipeline::{self, Apply, Outcome, Session, StoredPlans, WriteOptions};

/// Carries out a stored plan.
pub(super) async fn run(args: &ApplyArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let project = project::load(common)?;
    let accepted = guards::parse(&args.accept_guard)?;
    let file = args.plan.as_deref().map(Path::new).filter(|plan| is_file(plan));
    // The lake knows its plans before HubSpot is asked for anything.
    let stored = match file {
        Some(_) => None,
        None => Some(stored(&project::open_lake(&project).await?, args.plan.as_deref()).await?),
    };
    let session = Session::open(&project, stop::on_interrupt()).await?;
    let meant = match (file, stored) {
        (Some(file), _) => pipeline::plans_in_file(&session, file).await?,
        (None, stored) => Vec::from_iter(stored),
    };
    let options = WriteOptions { store: Store::Always, apply: Apply::Yes, accepted };
    let mut outcome = Outcome::Succeeded;
    for plans in &meant {
        let results = match file.is_some() || args.replan {
            true => pipeline::apply_renewed(&session, plans, args.replan, &options).await?,
            false => pipeline::apply_stored(&session, plans, &options).await?,
        };
        if let Err(error) = results.save(&project.dir) {
            eprintln!("! `target/run_results.json` could not be written: {error}");
        }
        report::print(&results, common)?;
        outcome.worsen(results.status);
    }
    session.close().await?;
    Ok(outcome)
}

/// Whether a plan is named by its file: run ids have neither dots nor slashes.
fn is_file(plan: &Path) -> bool {
    plan.extension().is_some() || plan.components().count() > 1 || plan.is_file()
}

/// The plan of this run, or the newest.
async fn stored(lake: &Lake, asked: Option<&str>) -> Result<StoredPlans, Failure> {
    let is_meant = |plans: &StoredPlans| match asked {
        Some(id) => plans.run_id == *id,
        // Looking at an undo asks for none: it is carried out by name.
        None => plans.plans.iter().all(|plan| plan.undoes.is_none()),
    };
    let mut stored = pipeline::stored_plans(lake).await?.into_iter();
    stored.find(is_meant).ok_or_else(|| no_plan(asked))
}

fn no_plan(asked: Option<&str>) -> Failure {
    let text = match asked {
        Some(id) => format!("No plan `{id}` is stored"),
        None => "No plan is stored".to_owned(),
    };
    Failure::new(Outcome::Settings, text)
        .advise("make one with `hublake plan`; `hublake query \"select distinct run_id from system.plans\"` lists them")
}
