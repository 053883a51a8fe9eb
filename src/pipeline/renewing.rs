//! A stored plan carried out later: the world is looked at again first, and
//! nothing is sent that would not be planned so today.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::PipelineError;
use super::history::{StoredPlans, stored_plans};
use super::outcome::Outcome;
use super::results::{Mode, RunResults};
use super::run::{RunOptions, finish, new_run_id, pipeline_of, stages};
use super::session::Session;
use super::writing::{self, Apply, WriteOptions, now, unsent};
use crate::extract::SyncMode;
use crate::load::{self, Guard, PlanFile, PlanSummary, RenewRequest, Renewed, Store};

/// Writes stored plans to a Parquet file that [`plans_in_file`] reads.
///
/// # Errors
/// The lake cannot be read, or the file written.
pub async fn write_plan_file(
    session: &Session<'_>,
    plans: &[PlanSummary],
    to: &Path,
) -> Result<(), PipelineError> {
    let runs = plans.iter().map(|plan| plan.run_id.clone()).collect();
    let file = PlanFile::new(session.account.portal_id, runs);
    let written = load::write_plan_file(&session.lake, &file, to).await;
    written.map_err(|source| PipelineError::PlanFile { path: to.to_owned(), source })
}

/// The plans that a file holds, one a pipeline, as the lake has them.
///
/// # Errors
/// A file that is absent, damaged, of another account or another lake.
pub async fn plans_in_file(
    session: &Session<'_>,
    path: &Path,
) -> Result<Vec<StoredPlans>, PipelineError> {
    let unusable = |source| PipelineError::PlanFile { path: path.to_owned(), source };
    let file = load::read_plan_file(path).map_err(unusable)?;
    let actual = session.account.portal_id;
    if file.portal_id != actual {
        let path = path.to_owned();
        return Err(PipelineError::ForeignPlan { path, portal_id: file.portal_id, actual });
    }
    let mut stored = stored_plans(&session.lake).await?;
    stored.retain(|plans| file.runs.contains(&plans.run_id));
    // In the order in which they were made.
    stored.reverse();
    if stored.len() != file.runs.len() {
        return Err(PipelineError::UnknownPlan { path: path.to_owned() });
    }
    load::check_plan_file(&session.lake, &file, path).await.map_err(unusable)?;
    Ok(stored)
}

/// Carries out plans that an earlier run has stored, as far as they would be made
/// so today: HubSpot and the sources are read and the models built again. Where
/// anything has moved, nothing is sent, and the results say what; with `replan`,
/// what moved is planned anew and the rest sent as it was stored.
///
/// # Errors
/// As [`super::run()`].
pub async fn apply_renewed(
    session: &Session<'_>,
    stored: &StoredPlans,
    replan: bool,
    options: &WriteOptions,
) -> Result<RunResults, PipelineError> {
    let before = session.client.counts();
    let mut results = RunResults::begin(&new_run_id(), &stored.pipeline, Mode::Apply, before);
    let pipeline = pipeline_of(session, &stored.pipeline)?;
    for plan in &stored.plans {
        results.write_back.insert(plan.write_back.clone(), unsent(&plan.counts));
        if let Some(undone) = &plan.undoes {
            // Its values are a past run's, which no model gives again.
            let sentence = format!(
                "This plan takes run `{undone}` back, and is not planned again: `hublake undo {undone}` does that"
            );
            results.problem(Outcome::GuardRefused, sentence);
        }
        if let Err(error) = load::check_unapplied(&session.lake, &stored.pipeline, plan).await {
            results.problem(PipelineError::from(error).outcome(), out_of_date(plan));
        }
    }
    if results.status == Outcome::Succeeded {
        let current = look(session, stored, &mut results).await?;
        let plans = match (current, results.status) {
            (Some(current), Outcome::Succeeded) => {
                renew(session, stored, &current, replan, &mut results).await?
            }
            _ => Vec::new(),
        };
        writing::apply_plans(session, pipeline, &plans, options, &mut results).await;
    }
    finish(session, &mut results, &[]).await?;
    Ok(results)
}

fn out_of_date(plan: &PlanSummary) -> String {
    format!(
        "The plan of run `{}` for write-back `{}` is out of date: it or a newer one was applied before. Nothing was \
         sent; make a new plan",
        plan.run_id, plan.write_back
    )
}

/// The plans as they would be made now, by write-back; `None` where that could
/// not be found out, which the results tell.
async fn look(
    session: &Session<'_>,
    stored: &StoredPlans,
    results: &mut RunResults,
) -> Result<Option<BTreeMap<String, PlanSummary>>, PipelineError> {
    let pipeline = pipeline_of(session, &stored.pipeline)?;
    // Guards are asked of what is sent in the end, not of what is only looked at.
    let write = WriteOptions {
        store: Store::Always,
        apply: Apply::Never,
        accepted: Guard::ALL.into_iter().collect(),
    };
    let look = RunOptions { mode: SyncMode::Auto, extract: true, write };
    let figures = std::mem::take(&mut results.write_back);
    let looked = stages(session, pipeline, &look, results).await;
    results.write_back = figures;
    let current: BTreeMap<String, PlanSummary> = match looked {
        Ok(plans) => plans.into_iter().map(|plan| (plan.write_back.clone(), plan)).collect(),
        Err(error) => {
            results.problem(error.outcome(), crate::extract::chain(&error));
            return Ok(None);
        }
    };
    let mut is_known = true;
    for plan in &stored.plans {
        let name = &plan.write_back;
        if !current.contains_key(name) {
            is_known = false;
            let sentence = format!(
                "Write-back `{name}` could not be planned again, so nobody knows what has moved since its plan was \
                 made. Nothing was sent"
            );
            results.problem(Outcome::GuardRefused, sentence);
        }
    }
    Ok(is_known.then_some(current))
}

/// The plans to send: none where something has moved and `replan` was not asked for.
async fn renew(
    session: &Session<'_>,
    stored: &StoredPlans,
    current: &BTreeMap<String, PlanSummary>,
    replan: bool,
    results: &mut RunResults,
) -> Result<Vec<PlanSummary>, PipelineError> {
    let mut plans = Vec::new();
    let mut may_send = true;
    let run_id = new_run_id();
    for plan in &stored.plans {
        let Some(current) = current.get(&plan.write_back) else { continue };
        let request = |keep| RenewRequest {
            pipeline: &stored.pipeline,
            stored: plan,
            current,
            run_id: &run_id,
            now: now(),
            keep,
        };
        let looked = load::renew(&session.lake, request(false)).await?;
        if looked.moved == 0 {
            plans.push(plan.clone());
            continue;
        }
        let outcome = if replan { Outcome::Succeeded } else { Outcome::GuardRefused };
        results.problem(outcome, what_moved(plan, &looked, replan));
        may_send &= replan;
        if replan {
            plans.extend(load::renew(&session.lake, request(true)).await?.plan);
        }
    }
    if !may_send {
        plans.clear();
    }
    Ok(plans)
}

fn what_moved(plan: &PlanSummary, looked: &Renewed, replan: bool) -> String {
    let told = looked.sentences.join("; ");
    let more = match looked.moved - looked.sentences.len() as u64 {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let end = match replan {
        true => "They were planned again",
        false => {
            "Nothing was sent: look at a new plan, or pass `--replan` to plan these again and send the rest"
        }
    };
    format!(
        "{} rows of write-back `{}` have moved since the plan was made: {told}{more}. {end}",
        looked.moved, plan.write_back
    )
}
