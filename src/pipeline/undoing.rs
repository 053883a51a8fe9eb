//! Taking a run back: what it wrote is planned back and applied as any plan.

use super::error::PipelineError;
use super::outcome::Outcome;
use super::results::{Mode, RunResults};
use super::run::{Finished, finish, new_run_id};
use super::session::Session;
use super::writing::{self, Apply, Next, Owed, WriteOptions, now, unsent};
use crate::extract::chain;
use crate::lake::Lake;
use crate::load::{self, Guard, GuardsConfig, PlanSummary, UndoPart, UndoRequest};
use crate::objects::ObjectType;

/// What to take back, and how far to go.
#[derive(Clone, Debug)]
pub struct UndoOptions {
    /// Archive the records that the run created.
    pub archive_created: bool,
    /// What becomes of the plans.
    pub write: WriteOptions,
}

/// Whether a run has sent anything to HubSpot, or may have.
///
/// # Errors
/// The lake cannot be read.
pub async fn has_sent(lake: &Lake, run_id: &str) -> Result<bool, PipelineError> {
    Ok(!load::undo_parts(lake, run_id).await?.is_empty())
}

/// Takes a run back, as far as nobody has changed what it left. What fails is
/// in the results; `None` where no such run has written anything.
///
/// # Errors
/// The lake fails under the undo's own books.
pub async fn undo(
    session: &Session<'_>,
    run_id: &str,
    options: &UndoOptions,
) -> Result<Option<Finished>, PipelineError> {
    for pipeline in &session.project.pipelines {
        writing::catch_up(session, pipeline).await?;
    }
    let parts = load::undo_parts(&session.lake, run_id).await?;
    let Some(first) = parts.first() else { return Ok(None) };
    let mode = match options.write.apply {
        Apply::Never => Mode::Plan,
        Apply::Dry => Mode::DryRun,
        Apply::Yes => Mode::Undo,
    };
    let before = session.client.counts();
    let mut results = RunResults::begin(&new_run_id(), &first.pipeline, mode, before);
    let mut plans = Vec::new();
    // What hangs on records goes first: of an archived record nothing can be read.
    let (links, records): (Vec<&UndoPart>, Vec<&UndoPart>) =
        parts.iter().partition(|part| is_part(part));
    for part in links.into_iter().chain(records) {
        if is_part(part) && part.object == part.object_name() {
            // What records show of refused rows follows the rows, not the run.
            continue;
        }
        if !part.can_be_undone() {
            let sentence =
                format!("`{}` was not taken back: an event that was sent stays", part.write_back);
            results.problem(Outcome::Succeeded, sentence);
            continue;
        }
        let undoing = Undoing { session, run_id, part, options };
        match undoing.run(&mut results).await {
            Ok((plan, next)) => {
                plans.push(plan);
                if next == Next::Stop {
                    break;
                }
            }
            Err(error) => {
                let sentence = format!(
                    "Write-back `{}` could not be taken back: {}",
                    part.write_back,
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), chain)
                );
                results.problem(error.outcome(), sentence);
            }
        }
    }
    finish(session, &mut results, &plans).await?;
    Ok(Some(Finished { results, plans }))
}

/// Whether it hangs on a write-back's records.
fn is_part(part: &UndoPart) -> bool {
    load::write_back_of(&part.write_back) != part.write_back
}

/// The list that the settings name for the part's write-back.
fn list_of<'p>(session: &Session<'p>, part: &UndoPart) -> Option<&'p load::ListConfig> {
    let pipeline = session.project.pipeline(&part.pipeline)?;
    pipeline.write_back.get(load::write_back_of(&part.write_back))?.list.as_ref()
}

/// The guards of a write-back that mean something for an undo: those on how
/// much is touched. Of a write-back that is gone from the settings, none.
fn guards(session: &Session<'_>, part: &UndoPart) -> GuardsConfig {
    let pipeline = session.project.pipeline(&part.pipeline);
    let config = pipeline
        .and_then(|pipeline| pipeline.write_back.get(load::write_back_of(&part.write_back)));
    let guards = config.map(|config| config.guards.clone()).unwrap_or_default();
    GuardsConfig { min_rows: None, max_creates: None, ..guards }
}

/// One write-back of a run on its way back.
struct Undoing<'a> {
    session: &'a Session<'a>,
    run_id: &'a str,
    part: &'a UndoPart,
    options: &'a UndoOptions,
}

impl Undoing<'_> {
    async fn run(&self, results: &mut RunResults) -> Result<(PlanSummary, Next), PipelineError> {
        let (session, part) = (self.session, self.part);
        let config = part.config(guards(session, part), list_of(session, part));
        // Of a pipeline that the project no longer has, nothing is caught up yet.
        let known = [(load::write_back_of(&part.write_back), &config)];
        load::catch_up(&session.lake, &part.pipeline, &known, now()).await?;
        let object =
            ObjectType::parse(part.object_name()).map_err(|error| load::LoadError::Settings {
                write_back: part.write_back.clone(),
                path: "object".to_owned(),
                problem: error.to_string(),
            })?;
        let definitions = session.client.properties(&object, false).await?;
        let mut options = self.options.write.clone();
        if self.options.archive_created {
            options.accepted.insert(Guard::MaxArchives);
        }
        if options.apply == Apply::Yes && !is_part(part) {
            let (pipeline, name) = (&part.pipeline, &part.write_back);
            let owed = session.finish_owed(pipeline, name, &definitions, results).await?;
            if owed == Owed::Paid(Next::Stop) {
                return Err(PipelineError::Interrupted);
            }
        }
        let request = UndoRequest {
            run_id: &results.run_id,
            undone: self.run_id,
            part,
            config: &config,
            archive_created: self.options.archive_created,
            definitions: &definitions,
            accepted: &options.accepted,
            index_lag: session.index_lag(),
            now: now(),
            stop: session.stop.clone(),
        };
        let plan = load::plan_undo(&session.lake, &session.client, request).await?;
        let figures =
            if options.apply == Apply::Never { plan.counts } else { unsent(&plan.counts) };
        results.write_back.insert(part.write_back.clone(), figures);
        let refused: Vec<_> = plan.refusals().map(|verdict| verdict.sentence.clone()).collect();
        for sentence in &refused {
            let sentence = format!("Undo of `{}` was stopped: {sentence}", part.write_back);
            results.stopped_by_guard(sentence);
        }
        if !refused.is_empty() || options.apply == Apply::Never {
            return Ok((plan, Next::GoOn));
        }
        let next =
            session.apply(&part.pipeline, &config, &plan, &definitions, &options, results).await?;
        Ok((plan, next))
    }
}

/// The settings that an undo's stored plan is applied with.
pub(super) async fn config_of(
    session: &Session<'_>,
    pipeline: &str,
    plan: &PlanSummary,
    undone: &str,
) -> Result<Option<load::WriteBackConfig>, PipelineError> {
    let parts = load::undo_parts(&session.lake, undone).await?;
    let is_meant =
        |part: &&UndoPart| part.pipeline == pipeline && part.write_back == plan.write_back;
    Ok(parts
        .iter()
        .find(is_meant)
        .map(|part| part.config(guards(session, part), list_of(session, part))))
}
