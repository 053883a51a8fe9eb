//! The extract stage: every object a pipeline names, then what hangs on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};

use super::error::{PipelineError, extract_outcome, hubspot_outcome};
use super::outcome::Outcome;
use super::session::Session;
use super::settings::{PipelineConfig, Project};
use crate::extract::{self, ExtractError, ExtractObjectConfig, ObjectReport, ObjectSync, SyncMode};
use crate::load::{self, UnreadRecord};
use crate::objects::{ObjectType, PropertyDefinition};

/// Objects synced at once. Each walk waits for one answer at a time, so a few
/// together come nearer to the budget; more only share it out thinner.
const OBJECTS_AT_ONCE: usize = 4;
/// How often progress is told where no terminal shows it.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(30);

/// One object to extract and what is needed of it.
#[derive(Clone, Debug)]
pub struct ObjectJob {
    /// The object type.
    pub object: ObjectType,
    /// What the settings ask for.
    pub config: ExtractObjectConfig,
    /// Properties that write-backs set or match by.
    pub always: Vec<String>,
}

/// What the extract stage came to.
#[derive(Debug, Default)]
pub struct Extracted {
    /// Per object type that was synced, whole or in part.
    pub objects: BTreeMap<String, ObjectReport>,
    /// Tables that must not be trusted in this run, and why.
    pub incomplete: BTreeMap<String, String>,
    /// What failed: how grave it is, and the sentence that tells of it.
    pub problems: Vec<(Outcome, String)>,
    /// The properties of every object type, as HubSpot has them now.
    pub definitions: BTreeMap<ObjectType, Vec<PropertyDefinition>>,
}

impl Extracted {
    fn fail(&mut self, table: &str, outcome: Outcome, sentence: String) {
        self.incomplete.insert(table.to_owned(), sentence.clone());
        self.problems.push((outcome, sentence));
    }
}

/// What a sync did, and why it ended early where it did.
type Synced = (ObjectReport, Option<ExtractError>);

/// Extracts every object; one that fails leaves the others alone.
pub async fn extract(session: &Session<'_>, jobs: &[ObjectJob], mode: SyncMode) -> Extracted {
    let mut extracted = Extracted::default();
    let jobs = discover(session, jobs, &mut extracted).await;
    let syncs = stream::iter(&jobs).map(|job| sync_one(session, job, &extracted.definitions, mode));
    let ended: Vec<_> = syncs.buffer_unordered(OBJECTS_AT_ONCE).collect().await;
    for (job, report) in ended {
        note_sync(&mut extracted, job, report);
    }
    let failed = session.unless_stopped(reference_tables(session, &jobs, &extracted.definitions));
    for (tables, error) in failed.await.unwrap_or_default() {
        let sentence = format!("{} not read: {}", listed(tables), chain(&error));
        extracted.problems.push((extract_outcome(&error), sentence.clone()));
        extracted
            .incomplete
            .extend(tables.iter().map(|table| ((*table).to_owned(), sentence.clone())));
    }
    associations(session, &jobs, &mut extracted).await;
    extracted
}

/// Reads only the properties of each object, for a plan on the lake as it is.
pub(super) async fn definitions_only(session: &Session<'_>, jobs: &[ObjectJob]) -> Extracted {
    let mut extracted = Extracted::default();
    discover(session, jobs, &mut extracted).await;
    extracted
}

/// Reads the properties of each object; those that cannot be read drop out.
async fn discover<'j>(
    session: &Session<'_>,
    jobs: &'j [ObjectJob],
    extracted: &mut Extracted,
) -> Vec<&'j ObjectJob> {
    let asked: FuturesUnordered<_> = jobs
        .iter()
        .map(async |job| (job, session.client.properties(&job.object, false).await))
        .collect();
    let answers: Vec<_> = session.unless_stopped(asked.collect()).await.unwrap_or_default();
    let mut usable = Vec::new();
    for (job, answer) in answers {
        match answer {
            Ok(definitions) => {
                extracted.definitions.insert(job.object.clone(), definitions);
                usable.push(job);
            }
            Err(error) => {
                let sentence = format!("`{}` was not read: {}", job.object, chain(&error));
                extracted.incomplete.insert(PROPERTY_TABLES[0].to_owned(), sentence.clone());
                extracted.fail(&table_of(&job.object), hubspot_outcome(&error), sentence);
            }
        }
    }
    usable.sort_by(|a, b| a.object.cmp(&b.object));
    usable
}

async fn sync_one<'j>(
    session: &Session<'_>,
    job: &'j ObjectJob,
    definitions: &BTreeMap<ObjectType, Vec<PropertyDefinition>>,
    mode: SyncMode,
) -> (&'j ObjectJob, Synced) {
    let entry = session.progress.enter(&job.object);
    let progress = &entry.progress;
    let sync = ObjectSync {
        client: &session.client,
        lake: &session.lake,
        object: &job.object,
        definitions: &definitions[&job.object],
        config: &job.config,
        always: &job.always,
        mode,
        index_lag: Duration::from_secs(session.project.config.hubspot.index_lag_secs),
        stop: &session.stop,
        progress,
    };
    let mut running = std::pin::pin!(extract::sync_object(&sync));
    let mut tick = tokio::time::interval_at(
        tokio::time::Instant::now() + PROGRESS_INTERVAL,
        PROGRESS_INTERVAL,
    );
    loop {
        tokio::select! {
            ended = &mut running => return (job, ended),
            _ = tick.tick() => tell_progress(session, job, progress),
        }
    }
}

/// Keeps the records that nobody can read in `system.rejects`, with the id to
/// quote to HubSpot's support.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn keep_unread(
    session: &Session<'_>,
    run_id: &str,
    extracted: &Extracted,
) -> Result<(), PipelineError> {
    let now = chrono::Utc::now().timestamp_micros();
    for (object, report) in &extracted.objects {
        if report.unreadable.is_empty() && !report.listed {
            continue;
        }
        let unread: Vec<UnreadRecord> = report
            .unreadable
            .iter()
            .map(|record| UnreadRecord {
                id: record.id,
                message: format!("HubSpot's answer does not parse: {}", record.problem),
                correlation_id: record.correlation_id.clone(),
            })
            .collect();
        load::keep_unread(&session.lake, object, run_id, now, &unread, report.listed).await?;
    }
    Ok(())
}

/// The line for whoever has no terminal to look at.
fn tell_progress(session: &Session<'_>, job: &ObjectJob, progress: &extract::Progress) {
    let budget = session.client.budget_use();
    tracing::info!(
        object = %job.object, records = progress.records(), of = progress.expected(),
        calls_in_10_s = budget.taken, allowed = budget.limit, left_today = budget.daily_remaining,
        "Still reading",
    );
}

fn note_sync(extracted: &mut Extracted, job: &ObjectJob, (report, error): Synced) {
    let table = table_of(&job.object);
    tracing::info!(
        object = %job.object, read = report.read, inserted = report.inserted, updated = report.updated,
        unchanged = report.unchanged, full = report.full, "Extracted",
    );
    if let Some(error) = error {
        let sentence = format!("`{}` was not read to its end: {}", job.object, chain(&error));
        extracted.fail(&table, extract_outcome(&error), sentence);
    } else if report.interrupted {
        let sentence = format!("`{}` was stopped before its end; the next run goes on", job.object);
        extracted.fail(&table, Outcome::Interrupted, sentence);
    }
    if report.rejected > 0 {
        let sentence = format!(
            "{} records of `{}` could not be read and are not stored; `hublake rejects list` names \
             those whose id is known",
            report.rejected, job.object
        );
        extracted.problems.push((Outcome::Succeeded, sentence));
    }
    extracted.objects.insert(job.object.name().to_owned(), report);
}

/// Tables that reading owners fills.
const OWNER_TABLES: &[&str] = &["hubspot.owners", "hubspot.teams"];
/// Tables that reading pipelines fills.
const PIPELINE_TABLES: &[&str] = &["hubspot.pipelines", "hubspot.pipeline_stages"];
/// The table of property definitions.
const PROPERTY_TABLES: &[&str] = &["hubspot.properties"];

/// Owners, pipelines and property definitions; what failed, by the tables that
/// it leaves behind the account.
///
/// One after another: they share tables, and a table has one writer.
async fn reference_tables(
    session: &Session<'_>,
    jobs: &[&ObjectJob],
    definitions: &BTreeMap<ObjectType, Vec<PropertyDefinition>>,
) -> Vec<(&'static [&'static str], ExtractError)> {
    let (client, lake) = (&session.client, &session.lake);
    let mut failed = Vec::new();
    if let Err(error) = extract::sync_owners(client, lake).await {
        failed.push((OWNER_TABLES, error));
    }
    for job in jobs {
        let known = &definitions[&job.object];
        if let Err(error) = extract::sync_properties(lake, &job.object, known).await {
            failed.push((PROPERTY_TABLES, error));
        }
        if has_pipelines(known)
            && let Err(error) = extract::sync_pipelines(client, lake, &job.object).await
        {
            failed.push((PIPELINE_TABLES, error));
        }
    }
    failed
}

/// Whether records of the type move through pipelines: they then have a
/// property that says through which.
fn has_pipelines(definitions: &[PropertyDefinition]) -> bool {
    definitions.iter().any(|d| matches!(d.name.as_str(), "pipeline" | "hs_pipeline"))
}

async fn associations(session: &Session<'_>, jobs: &[&ObjectJob], extracted: &mut Extracted) {
    for job in jobs {
        for target in &job.config.associations {
            if session.stop.is_cancelled() {
                return;
            }
            // `check` has refused names that are no object types.
            let Ok(to) = ObjectType::parse(target) else { continue };
            match extracted.incomplete.get(&table_of(&job.object)).cloned() {
                Some(reason) => drop(extracted.incomplete.insert(ASSOCIATED.to_owned(), reason)),
                None => associate(session, &job.object, &to, extracted).await,
            }
        }
    }
}

async fn associate(
    session: &Session<'_>,
    from: &ObjectType,
    to: &ObjectType,
    extracted: &mut Extracted,
) {
    let synced =
        extract::sync_associations(&session.client, &session.lake, from, to, &session.stop);
    match session.unless_stopped(synced).await.unwrap_or(Ok(0)) {
        Ok(calls) => {
            if let Some(report) = extracted.objects.get_mut(from.name()) {
                report.calls += calls;
            }
        }
        Err(error) => {
            let sentence =
                format!("Associations of `{from}` to `{to}` were not read: {}", chain(&error));
            extracted.fail(ASSOCIATED, extract_outcome(&error), sentence);
        }
    }
}

/// The SQL name of the associations.
const ASSOCIATED: &str = "hubspot.associations";

fn listed(tables: &[&str]) -> String {
    let quoted: Vec<String> = tables.iter().map(|table| format!("`{table}`")).collect();
    let verb = if tables.len() == 1 { "was" } else { "were" };
    format!("{} {verb}", quoted.join(" and "))
}

/// The SQL name of an object's mirror.
pub(super) fn table_of(object: &ObjectType) -> String {
    extract::mirror_table(object).to_string()
}

/// An error and its causes as one sentence, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// The objects that some pipelines extract.
///
/// A mirror is shared by every pipeline of the project, so each object is read
/// with what all of them ask of it, and with whatever their write-backs need:
/// otherwise the pipelines would take turns emptying each other's columns.
///
/// # Errors
/// An object in `only` that none of the pipelines extracts.
pub fn jobs(
    project: &Project,
    pipelines: &[&PipelineConfig],
    only: &[String],
) -> Result<Vec<ObjectJob>, PipelineError> {
    let mut jobs: BTreeMap<ObjectType, ObjectJob> = BTreeMap::new();
    for (name, config) in project.pipelines.iter().flat_map(|p| &p.extract) {
        let Ok(object) = ObjectType::parse(name) else { continue };
        jobs.entry(object.clone())
            .and_modify(|job| job.config.extend(config))
            .or_insert_with(|| ObjectJob { object, config: config.clone(), always: Vec::new() });
    }
    for write_back in project.pipelines.iter().flat_map(|p| p.write_back.values()) {
        let Ok(object) = write_back.object_type() else { continue };
        if let Some(job) = jobs.get_mut(&object) {
            job.always.extend(write_back.hubspot_properties());
        }
    }
    let named: BTreeSet<ObjectType> = pipelines
        .iter()
        .flat_map(|p| p.extract.keys())
        .filter_map(|name| ObjectType::parse(name).ok())
        .collect();
    jobs.retain(|object, _| named.contains(object));
    restrict(jobs, only)
}

fn restrict(
    mut jobs: BTreeMap<ObjectType, ObjectJob>,
    only: &[String],
) -> Result<Vec<ObjectJob>, PipelineError> {
    let known: Vec<String> = jobs.keys().map(|object| object.name().to_owned()).collect();
    let mut wanted = BTreeSet::new();
    for name in only {
        match ObjectType::parse(name) {
            Ok(object) if jobs.contains_key(&object) => wanted.insert(object),
            _ => {
                return Err(PipelineError::Unknown {
                    kind: "object under `extract:`",
                    name: name.clone(),
                    known,
                });
            }
        };
    }
    jobs.retain(|object, _| wanted.is_empty() || wanted.contains(object));
    Ok(jobs.into_values().collect())
}
