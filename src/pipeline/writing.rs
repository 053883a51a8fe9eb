//! The write-back stage: gate, plan, guards, apply, one write-back at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::building::Built;
use super::error::{PipelineError, hubspot_outcome};
use super::outcome::Outcome;
use super::results::RunResults;
use super::session::Session;
use super::settings::PipelineConfig;
use super::undoing;
use super::wanted::ObjectJob;
use crate::extract::chain;
use crate::extract::{
    ASSOCIATIONS, LIST_MEMBERSHIPS, PROPERTY_HISTORY, are_memberships_current, associations_behind,
    is_complete, is_history_current,
};
use crate::hubspot::{self, ErrorKind};
use crate::lake::{Lake, TableName};
use crate::load::{
    self, ApplyRequest, Counts, FinishRequest, Guard, LoadError, PlanRequest, PlanSummary, Store,
    TaskRequest, Told, WriteBackConfig,
};
use crate::objects::{ObjectType, PropertyDefinition};
use crate::transform::Engine;

/// What a run may do with its plans.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Store every plan, or only one that has something to send.
    pub store: Store,
    /// Whether to carry the plans out.
    pub apply: Apply,
    /// Guards that may be passed this once.
    pub accepted: BTreeSet<Guard>,
}

/// How far a run goes with its plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Plan only.
    Never,
    /// Walk the whole road with a writer that writes nothing.
    Dry,
    /// Write to HubSpot.
    Yes,
}

/// The write-backs of a pipeline in the order in which they are written:
/// companies, contacts, deals, then the rest by name.
pub(super) fn in_order(pipeline: &PipelineConfig) -> Vec<(&str, &WriteBackConfig, ObjectType)> {
    let rank = |object: &ObjectType| match object.name() {
        "companies" => 0,
        "contacts" => 1,
        "deals" => 2,
        _ => 3,
    };
    let mut ordered: Vec<_> = pipeline
        .write_back
        .iter()
        .filter_map(|(name, config)| Some((name.as_str(), config, config.object_type().ok()?)))
        .collect();
    ordered.sort_by(|a, b| (rank(&a.2), a.2.name(), a.0).cmp(&(rank(&b.2), b.2.name(), b.0)));
    ordered
}

/// Everything a write-back reads: its object's mirror and whatever its model
/// reads, through any number of models.
fn tables_read(engine: &Engine, model: &str, object: &ObjectType) -> BTreeSet<TableName> {
    let mut tables = engine.models().tables_read(model);
    tables.insert(crate::extract::mirror_table(object));
    tables
}

/// Why a write-back must not run; none where nothing speaks against it.
///
/// Absence of a record must mean something: no write-back runs whose object,
/// or any table its model reads, has no completed full sync or failed in this
/// run.
///
/// # Errors
/// The lake cannot be read.
async fn gate(
    session: &Session<'_>,
    engine: &Engine,
    stage: &Stage<'_>,
    model: &str,
    object: &ObjectType,
) -> Result<Option<(Outcome, String)>, PipelineError> {
    let lake = &session.lake;
    let failed = |reason: String| Ok(Some((Outcome::Failed, reason)));
    for table in tables_read(engine, model, object) {
        if stage.to_create.contains(object) && table == crate::extract::mirror_table(object) {
            // There is nothing to read of a type that is made only now.
            continue;
        }
        if let Some(reason) = stage.incomplete.get(&table.to_string()) {
            return failed(reason.clone());
        }
        if is_mirror(&table) && !is_synced(lake, &table).await? {
            return failed(format!("`{table}` has no completed full sync; run `hublake extract`"));
        }
        if !is_followed(lake, &table, stage).await? {
            return failed(format!("`{table}` was not read to its end; run `hublake extract`"));
        }
    }
    // A failed test is what the run ends with, not that it was heeded.
    Ok(stage.built.report.stop_reason(engine.models(), model).map(|stop| {
        let outcome = if stop.is_test { Outcome::TestsFailed } else { Outcome::Failed };
        (outcome, stop.sentence)
    }))
}

/// Whether a table that hangs on mirrors, where this is one, is as new as they
/// are for all that the pipeline asks of it.
async fn is_followed(
    lake: &Lake,
    table: &TableName,
    stage: &Stage<'_>,
) -> Result<bool, PipelineError> {
    match table.name() {
        _ if table.schema() != "hubspot" => Ok(true),
        LIST_MEMBERSHIPS => Ok(are_memberships_current(lake).await?),
        ASSOCIATIONS => {
            for job in stage.hanging(lake).await? {
                if associations_behind(lake, &job.object, &job.targets).await?.is_some() {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        PROPERTY_HISTORY => {
            for job in stage.hanging(lake).await? {
                let known = stage.definitions_of(&job.object);
                if !is_history_current(lake, &job.object, known, &job.config).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(true),
    }
}

/// Reference tables are read whole each time; only mirrors can be half full.
fn is_mirror(table: &TableName) -> bool {
    const WHOLE: [&str; 10] = [
        ASSOCIATIONS,
        PROPERTY_HISTORY,
        LIST_MEMBERSHIPS,
        "lists",
        "owners",
        "teams",
        "pipelines",
        "pipeline_stages",
        "properties",
        "schemas",
    ];
    table.schema() == "hubspot" && !WHOLE.contains(&table.name())
}

async fn is_synced(lake: &Lake, table: &TableName) -> Result<bool, PipelineError> {
    Ok(lake.table(table).await?.is_some_and(|table| is_complete(&table)))
}

/// Plans, and where asked applies, every write-back of a pipeline; what each
/// came to goes into the results. A write-back that fails leaves the others
/// alone, unless HubSpot has no more calls to give.
pub(super) async fn write_back(
    session: &Session<'_>,
    engine: &Engine,
    pipeline: &PipelineConfig,
    stage: &Stage<'_>,
    options: &WriteOptions,
    results: &mut RunResults,
) -> Result<Vec<PlanSummary>, PipelineError> {
    let mut summaries = Vec::new();
    let ordered = in_order(pipeline);
    // Before anything is written: mirrors take what HubSpot returns, and what
    // hangs on them is behind from then on, by nothing but our own writes.
    let mut gates = Vec::with_capacity(ordered.len());
    for (name, _, object) in &ordered {
        gates.push(gate(session, engine, stage, name, object).await?);
    }
    catch_up(session, pipeline).await?;
    if options.apply == Apply::Yes
        && session.finish_abandoned(pipeline, results).await? == Next::Stop
    {
        return Ok(summaries);
    }
    let mut hanging = Vec::new();
    for ((name, config, object), closed) in ordered.into_iter().zip(gates) {
        if session.stop.is_cancelled() {
            results.problem(Outcome::Interrupted, format!("Write-back `{name}` was not begun"));
            continue;
        }
        if let Some((outcome, reason)) = closed {
            let sentence = format!("Write-back `{name}` did not run: {reason}");
            results.problem(outcome, sentence);
            continue;
        }
        let one = |part: Option<String>| WriteBack {
            session,
            engine,
            pipeline: &pipeline.name,
            name,
            config,
            object: object.clone(),
            part,
        };
        let next = match config.writes_records() {
            true => one(None).go(stage, options, results, &mut summaries).await,
            false => Next::GoOn,
        };
        let parts = load::parts(name, config);
        match next {
            Next::Stop => return Ok(summaries),
            Next::WithoutParts => results.problems.extend(parts.iter().map(|part| waits(part))),
            Next::GoOn => hanging.extend(parts.into_iter().map(|part| one(Some(part)))),
        }
    }
    // What hangs on records comes when all of them are there.
    for part in hanging {
        if session.stop.is_cancelled() {
            let sentence = format!("Write-back `{}` was not begun", part.label());
            results.problem(Outcome::Interrupted, sentence);
            continue;
        }
        if part.go(stage, options, results, &mut summaries).await == Next::Stop {
            break;
        }
    }
    Ok(summaries)
}

/// Whether the write-backs that follow can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// They can.
    GoOn,
    /// They can, but not what hangs on the records of this one, which failed.
    WithoutParts,
    /// HubSpot would refuse their calls too, or somebody asked for the end.
    Stop,
}

/// Why a part of a write-back whose records failed is not begun.
fn waits(part: &str) -> String {
    let records = load::write_back_of(part);
    format!(
        "Write-back `{part}` was not begun: it comes when the records of `{records}` are written"
    )
}

/// Carries out stored plans in their order; what fails is noted in the results.
pub(super) async fn apply_plans(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
    plans: &[PlanSummary],
    options: &WriteOptions,
    results: &mut RunResults,
) {
    // Until something is sent, nothing is written: of what is not come to, and where
    // applying fails, these figures stand.
    let figures = plans.iter().map(|plan| (plan.write_back.clone(), unsent(&plan.counts)));
    results.write_back.extend(figures);
    let mut failed = BTreeSet::new();
    for plan in plans {
        if failed.contains(load::write_back_of(&plan.write_back)) {
            results.problems.push(waits(&plan.write_back));
            continue;
        }
        match apply_plan(session, pipeline, plan, options, results).await {
            Next::GoOn => {}
            Next::WithoutParts => drop(failed.insert(plan.write_back.as_str())),
            Next::Stop => break,
        }
    }
}

/// What was found to be owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// Nothing, or nothing that can be paid yet.
    Nothing,
    /// Something, and it was sent.
    Paid(Next),
}

/// What lies behind a failure whose own words would only repeat where it was.
fn causes(error: &PipelineError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), chain)
}

/// Brings what is derived from the ledger up to date, before anything is
/// planned or sent.
///
/// # Errors
/// The lake fails.
pub(super) async fn catch_up(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
) -> Result<(), PipelineError> {
    let ordered = in_order(pipeline);
    let known: Vec<_> = ordered.iter().map(|(name, config, _)| (*name, *config)).collect();
    Ok(load::catch_up(&session.lake, &pipeline.name, &known, now()).await?)
}

/// Carries out one stored plan; what fails is noted in the results.
async fn apply_plan(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
    plan: &PlanSummary,
    options: &WriteOptions,
    results: &mut RunResults,
) -> Next {
    let name = &plan.write_back;
    let config = match settings_of(session, pipeline, plan).await {
        Ok(Some(config)) => config,
        Ok(None) => {
            let sentence = format!("Write-back `{name}` is in no pipeline any more; plan again");
            results.problem(Outcome::GuardRefused, sentence);
            return Next::WithoutParts;
        }
        Err(error) => {
            results.problem(error.outcome(), chain(&error));
            return Next::WithoutParts;
        }
    };
    let applied = async {
        let object = config.object_type().map_err(|error| LoadError::Settings {
            write_back: name.clone(),
            path: "object".to_owned(),
            problem: error.to_string(),
        })?;
        // A type that this very plan is to create has no properties to read.
        let definitions = match plan.definitions.is_empty() || load::write_back_of(name) != name {
            true => session.client.properties(&object, false).await?,
            false => Vec::new(),
        };
        match session.finish_owed(&pipeline.name, name, &definitions, results).await? {
            Owed::Nothing => {}
            Owed::Paid(Next::Stop) => return Ok(Next::Stop),
            Owed::Paid(_) => {
                let sentence = format!(
                    "Write-back `{name}`: an undo that had been cut off was finished first, so this plan is out of \
                     date; make a new one"
                );
                results.problem(Outcome::GuardRefused, sentence);
                return Ok(Next::WithoutParts);
            }
        }
        session.apply(&pipeline.name, &config, plan, &definitions, options, results).await
    };
    match applied.await {
        Ok(next) => next,
        Err(error) => {
            results.stopped_by_guard |=
                matches!(error, PipelineError::Load(LoadError::Guard { .. }));
            let sentence = format!("Write-back `{name}` failed: {}", causes(&error));
            results.problem(error.outcome(), sentence);
            if is_spent(&error) { Next::Stop } else { Next::WithoutParts }
        }
    }
}

/// The settings that a stored plan is applied with: those of its write-back,
/// or for an undo those that the ledger gives.
async fn settings_of(
    session: &Session<'_>,
    pipeline: &PipelineConfig,
    plan: &PlanSummary,
) -> Result<Option<WriteBackConfig>, PipelineError> {
    match &plan.undoes {
        Some(undone) => undoing::config_of(session, &pipeline.name, plan, undone).await,
        None => Ok(pipeline.write_back.get(load::write_back_of(&plan.write_back)).cloned()),
    }
}

/// Whether HubSpot will refuse every further call of this run too.
fn is_spent(error: &PipelineError) -> bool {
    match error {
        PipelineError::Load(LoadError::HubSpot { source, .. }) => ends_all_calls(source),
        _ => false,
    }
}

fn ends_all_calls(error: &hubspot::Error) -> bool {
    matches!(error.kind(), ErrorKind::DailyLimit { .. } | ErrorKind::Unavailable | ErrorKind::Auth)
}

/// What the stages before have left.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    /// The models, as built.
    pub built: &'a Built,
    /// Tables that must not be trusted in this run, and why.
    pub incomplete: &'a BTreeMap<String, String>,
    /// What was extracted.
    pub jobs: &'a [ObjectJob],
    /// The properties of every object type.
    pub definitions: &'a BTreeMap<ObjectType, Vec<PropertyDefinition>>,
    /// Object types that a write-back is to create.
    pub to_create: &'a BTreeSet<ObjectType>,
}

impl Stage<'_> {
    /// The objects on which other tables can hang. One that is not named and
    /// has no mirror is none of this account's.
    async fn hanging(&self, lake: &Lake) -> Result<Vec<&ObjectJob>, PipelineError> {
        let mut jobs = Vec::new();
        for job in self.jobs {
            if job.named || lake.table(&crate::extract::mirror_table(&job.object)).await?.is_some()
            {
                jobs.push(job);
            }
        }
        Ok(jobs)
    }

    fn definitions_of(&self, object: &ObjectType) -> &[PropertyDefinition] {
        self.definitions.get(object).map_or(&[], Vec::as_slice)
    }
}

/// One write-back on its way.
struct WriteBack<'a> {
    session: &'a Session<'a>,
    engine: &'a Engine,
    pipeline: &'a str,
    name: &'a str,
    config: &'a WriteBackConfig,
    object: ObjectType,
    /// The part that hangs on the records, where it is one.
    part: Option<String>,
}

impl WriteBack<'_> {
    /// The name that plans, ledger and results carry.
    fn label(&self) -> &str {
        self.part.as_deref().unwrap_or(self.name)
    }

    /// Runs it and notes how it went; whether those that follow can be tried.
    async fn go(
        &self,
        stage: &Stage<'_>,
        options: &WriteOptions,
        results: &mut RunResults,
        summaries: &mut Vec<PlanSummary>,
    ) -> Next {
        match self.run(stage, options, results).await {
            Ok((summary, next)) => {
                summaries.push(summary);
                if options.apply == Apply::Yes && next != Next::Stop {
                    self.tell_of_rejects(results).await;
                }
                next
            }
            Err(error) => {
                let sentence = format!("Write-back `{}` failed: {}", self.label(), causes(&error));
                results.problem(error.outcome(), sentence);
                if is_spent(&error) { Next::Stop } else { Next::WithoutParts }
            }
        }
    }

    /// Tells people in HubSpot of rows refused since they were last told.
    async fn tell_of_rejects(&self, results: &mut RunResults) {
        let Some(on_reject) = &self.config.on_reject else { return };
        let session = self.session;
        let run_id = results.run_id.clone();
        let request = TaskRequest {
            run_id: &run_id,
            pipeline: self.pipeline,
            write_back: self.label(),
            config: &on_reject.task,
            index_lag: session.index_lag(),
            now: now(),
        };
        let told = load::tell_of_rejects(&session.lake, &session.client, request).await;
        match told.map_err(PipelineError::from) {
            Ok(Told::NoOwner) => {
                let sentence = format!(
                    "`on_reject` of write-back `{}`: no HubSpot owner has the address it names",
                    self.label()
                );
                results.problem(Outcome::Settings, sentence);
            }
            Ok(Told::Nothing | Told::Task { .. } | Told::Later) => {}
            Err(error) => {
                let sentence = format!(
                    "No task tells of the rejects of `{}`: {}",
                    self.label(),
                    causes(&error)
                );
                results.problem(error.outcome(), sentence);
            }
        }
    }

    async fn run(
        &self,
        stage: &Stage<'_>,
        options: &WriteOptions,
        results: &mut RunResults,
    ) -> Result<(PlanSummary, Next), PipelineError> {
        let definitions = stage.definitions_of(&self.object);
        // What hangs on records owes nothing.
        if options.apply == Apply::Yes && self.part.is_none() {
            let (session, name) = (self.session, self.name);
            let owed = session.finish_owed(self.pipeline, name, definitions, results).await?;
            if owed == Owed::Paid(Next::Stop) {
                return Err(PipelineError::Interrupted);
            }
        }
        let summary = self.plan(stage, options, results).await?;
        let name = self.label().to_owned();
        // Until something is sent, nothing is written: if applying fails, these
        // figures stand.
        let figures =
            if options.apply == Apply::Never { summary.counts } else { unsent(&summary.counts) };
        results.write_back.insert(name, figures);
        let refused: Vec<_> = summary.refusals().map(|verdict| verdict.sentence.clone()).collect();
        for sentence in &refused {
            let sentence = format!("Write-back `{}` was stopped: {sentence}", self.label());
            results.stopped_by_guard(sentence);
        }
        if options.apply == Apply::Never {
            return Ok((summary, Next::GoOn));
        }
        if !refused.is_empty() {
            return Ok((summary, Next::WithoutParts));
        }
        let applied = self
            .session
            .apply(self.pipeline, self.config, &summary, definitions, options, results)
            .await?;
        Ok((summary, applied))
    }

    async fn plan(
        &self,
        stage: &Stage<'_>,
        options: &WriteOptions,
        results: &RunResults,
    ) -> Result<PlanSummary, PipelineError> {
        let session = self.session;
        let request = PlanRequest {
            run_id: &results.run_id,
            pipeline: self.pipeline,
            write_back: self.name,
            config: self.config,
            definitions: stage.definitions_of(&self.object),
            wanted: self.engine.read_model(self.name).await?,
            store: options.store,
            accepted: &options.accepted,
            index_lag: session.index_lag(),
            now: now(),
            stop: session.stop.clone(),
        };
        let (lake, client) = (&session.lake, &session.client);
        Ok(match &self.part {
            None => load::plan(lake, client, request).await?,
            Some(part) => load::plan_part(lake, client, part, request).await?,
        })
    }
}

impl Session<'_> {
    /// How long HubSpot may show an older value after a write.
    pub(super) fn index_lag(&self) -> Duration {
        Duration::from_secs(self.project.config.hubspot.index_lag_secs)
    }

    /// Writes what an undo that was cut off still owes, before anything else is
    /// decided: values that were emptied so that they could move back.
    pub(super) async fn finish_owed(
        &self,
        pipeline: &str,
        write_back: &str,
        definitions: &[PropertyDefinition],
        results: &mut RunResults,
    ) -> Result<Owed, PipelineError> {
        // Not the run's own: to take the run back must not take this back.
        let run_id = format!("{}-finish", results.run_id);
        let request = FinishRequest {
            run_id: &run_id,
            pipeline,
            write_back,
            definitions,
            now: now(),
            stop: self.stop.clone(),
        };
        let Some(owed) = load::plan_finish(&self.lake, &self.client, request).await? else {
            return Ok(Owed::Nothing);
        };
        let options =
            WriteOptions { store: Store::IfSending, apply: Apply::Yes, accepted: BTreeSet::new() };
        let request = self.request(pipeline, &owed.config, &owed.plan, definitions, &options);
        let own = results.write_back.get(write_back).copied();
        let next = self.carry_out(ApplyRequest { run_id: &run_id, ..request }, results).await?;
        load::finished(&self.lake, pipeline, &owed).await?;
        // The write-back's own figures stand under its own name.
        let counts = match own {
            Some(own) => results.write_back.insert(write_back.to_owned(), own),
            None => results.write_back.remove(write_back),
        };
        if let Some(counts) = counts {
            results.write_back.insert(format!("{write_back} (undo finished)"), counts);
        }
        Ok(Owed::Paid(next))
    }

    /// Pays what write-backs owe that the settings know no more: nobody else would.
    ///
    /// # Errors
    /// HubSpot or the lake fails.
    async fn finish_abandoned(
        &self,
        pipeline: &PipelineConfig,
        results: &mut RunResults,
    ) -> Result<Next, PipelineError> {
        for (write_back, object) in load::debtors(&self.lake, &pipeline.name).await? {
            let is_known = pipeline.write_back.contains_key(load::write_back_of(&write_back));
            let Ok(object) = ObjectType::parse(&object) else { continue };
            if is_known {
                continue;
            }
            let definitions = self.client.properties(&object, false).await?;
            let (name, definitions) = (&pipeline.name, &definitions);
            let owed = self.finish_owed(name, &write_back, definitions, results).await?;
            if owed == Owed::Paid(Next::Stop) {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::GoOn)
    }

    /// Carries one plan out and notes what it came to.
    pub(super) async fn apply(
        &self,
        pipeline: &str,
        config: &WriteBackConfig,
        plan: &PlanSummary,
        definitions: &[PropertyDefinition],
        options: &WriteOptions,
        results: &mut RunResults,
    ) -> Result<Next, PipelineError> {
        let run_id = results.run_id.clone();
        let request = self.request(pipeline, config, plan, definitions, options);
        self.carry_out(ApplyRequest { run_id: &run_id, ..request }, results).await
    }

    /// How a plan is to be carried out; the run's id is still to be set.
    fn request<'r>(
        &self,
        pipeline: &'r str,
        config: &'r WriteBackConfig,
        plan: &'r PlanSummary,
        definitions: &'r [PropertyDefinition],
        options: &'r WriteOptions,
    ) -> ApplyRequest<'r> {
        ApplyRequest {
            run_id: "",
            pipeline,
            config,
            plan,
            definitions,
            accepted: &options.accepted,
            dry_run: options.apply == Apply::Dry,
            stop: self.stop.clone(),
            may_send: Some(self.may_send()),
        }
    }

    async fn carry_out(
        &self,
        request: ApplyRequest<'_>,
        results: &mut RunResults,
    ) -> Result<Next, PipelineError> {
        let (config, plan) = (request.config, request.plan);
        let report = load::apply(&self.lake, &self.client, request).await?;
        results.write_back.insert(plan.write_back.clone(), report.counts);
        let name = &plan.write_back;
        results.note_accepted(name, &report.accepted);
        if config.guards.max_rejects.is_some_and(|most| report.counts.rejected > most) {
            let sentence =
                format!("Write-back `{name}` ended with {} rejects", report.counts.rejected);
            results.problem(Outcome::Rejects, sentence);
        }
        if let Some(error) = &report.stopped_by {
            let sentence = format!("Write-back `{name}` stopped early: {}", chain(error));
            results.problem(hubspot_outcome(error), sentence);
            return Ok(if ends_all_calls(error) { Next::Stop } else { Next::GoOn });
        }
        if report.stopped {
            let sentence = format!("Write-back `{name}` was stopped before its end");
            results.problem(self.why_stopped(), sentence);
            return Ok(Next::Stop);
        }
        Ok(Next::GoOn)
    }

    /// Somebody asked for the end, or another run has taken the lake over.
    fn why_stopped(&self) -> Outcome {
        if self.stop.is_cancelled() { Outcome::Interrupted } else { Outcome::TryLater }
    }
}

pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// The counts of a plan that nothing was sent of: what would have been sent
/// waits for the next run.
pub(super) fn unsent(counts: &Counts) -> Counts {
    Counts {
        deferred: counts.deferred + counts.created + counts.updated + counts.archived,
        created: 0,
        updated: 0,
        archived: 0,
        ..*counts
    }
}
