use super::args::{ApplyArgs, Common};
use super::failure::Failure;
use super::{guards, project, report, stop};
use crate::load::Store;
use crate::pipeline::{self, Apply, Outcome, Session, WriteOptions};

/// Carries out a stored plan.
pub(super) async fn run(args: &ApplyArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let project = project::load(common)?;
    let accepted = guards::parse(&args.accept_guard)?;
    let session = Session::open(&project, stop::on_interrupt()).await?;
    let stored = pipeline::stored_plans(&session.lake).await?;
    let is_meant = |plans: &&pipeline::StoredPlans| match &args.plan {
        Some(id) => plans.run_id == *id,
        // Looking at an undo asks for none: it is carried out by name.
        None => plans.plans.iter().all(|plan| plan.undoes.is_none()),
    };
    let found = stored.iter().find(is_meant);
    let Some(plans) = found else { return Err(no_plan(args.plan.as_deref())) };
    let options = WriteOptions { store: Store::Always, apply: Apply::Yes, accepted };
    let results = pipeline::apply_stored(&session, plans, &options).await?;
    if let Err(error) = results.save(&project.dir) {
        eprintln!("! `target/run_results.json` could not be written: {error}");
    }
    report::print(&results, common)?;
    session.close().await?;
    Ok(results.status)
}

fn no_plan(asked: Option<&str>) -> Failure {
    let text = match asked {
        Some(id) => format!("No plan `{id}` is stored"),
        None => "No plan is stored".to_owned(),
    };
    Failure::new(Outcome::Settings, text)
        .advise("make one with `hublake plan`; `hublake query \"select distinct run_id from system.plans\"` lists them")
}
