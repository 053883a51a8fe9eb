//! The extract stage: every object a pipeline wants, then what hangs on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};

use super::error::{PipelineError, extract_outcome, hubspot_outcome};
use super::hanging;
use super::outcome::Outcome;
use super::session::Session;
use super::wanted::{ObjectJob, Schemas, Wanted};
use crate::extract::chain;
use crate::extract::{self, ExtractError, ObjectReport, ObjectSync, SyncMode};
use crate::hubspot::{self, ErrorKind};
use crate::load::{self, UnreadRecord};
use crate::objects::{ObjectType, PropertyDefinition};

/// Objects synced at once. Each walk waits for one answer at a time, so a few
/// together come nearer to the budget; more only share it out thinner.
const OBJECTS_AT_ONCE: usize = 4;
/// How often progress is told where no terminal shows it.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(30);

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
    /// The objects that the account turned out to have.
    pub jobs: Vec<ObjectJob>,
    /// Custom types that the account lacks and a write-back is to create.
    pub to_create: BTreeSet<ObjectType>,
    /// Types that were not named and that the account lacks, with the scopes
    /// that HubSpot asks for.
    absent: BTreeMap<String, Vec<String>>,
}

impl Extracted {
    pub(super) fn fail(&mut self, table: &str, outcome: Outcome, sentence: String) {
        self.incomplete.insert(table.to_owned(), sentence.clone());
        self.problems.push((outcome, sentence));
    }

    /// Notes a type that was not named and that this account does not show. It
    /// is no failure, but what was read of it once grows old: models that read
    /// it must not write.
    fn miss(&mut self, what: &str, table: &str, error: &hubspot::Error) {
        let sentence = self.note_absent(what, error);
        self.incomplete.insert(table.to_owned(), sentence);
    }

    /// Keeps in mind to tell what is absent; answers why what was read of it once
    /// grows old.
    fn note_absent(&mut self, what: &str, error: &hubspot::Error) -> String {
        let scopes = match error.kind() {
            ErrorKind::MissingScope(scopes) => scopes,
            _ => Vec::new(),
        };
        self.absent.insert(what.to_owned(), scopes);
        format!("`{what}` is not in this account or not within the token's scopes")
    }

    /// Leaves out the types that the account turned out to lack.
    fn drop_absent(&mut self) {
        let absent = &self.absent;
        self.jobs.retain(|job| job.named || !absent.contains_key(job.object.name()));
        for job in &mut self.jobs {
            job.targets.retain(|target| target.named || !absent.contains_key(target.to.name()));
        }
    }

    /// One sentence for all that the account lacks.
    fn tell_absent(&mut self) {
        let absent = std::mem::take(&mut self.absent);
        if absent.is_empty() {
            return;
        }
        let tell = |(what, scopes): (&String, &Vec<String>)| match scopes.as_slice() {
            [] => format!("`{what}`"),
            scopes => format!("`{what}` (`{}`)", scopes.join("` or `")),
        };
        let told: Vec<_> = absent.iter().map(tell).collect();
        let sentence = format!(
            "Left out, since this account lacks it or the token's scopes do not show it: {}",
            told.join(", ")
        );
        self.problems.push((Outcome::Succeeded, sentence));
    }
}

/// Whether HubSpot says that the account has no such type, or the token no right
/// to see it.
pub fn is_absence(error: &hubspot::Error) -> bool {
    match error.kind() {
        ErrorKind::MissingScope(_) => true,
        ErrorKind::Refused => {
            error.api().is_some_and(|api| api.message.starts_with("Unable to infer object type"))
        }
        _ => false,
    }
}

/// What a sync did, and why it ended early where it did.
type Synced = (ObjectReport, Option<ExtractError>);

/// Extracts everything wanted; an object that fails leaves the others alone.
pub async fn extract(session: &Session<'_>, wanted: &Wanted, mode: SyncMode) -> Extracted {
    let mut extracted = Extracted::default();
    discover(session, wanted, &mut extracted).await;
    let jobs = extracted.jobs.clone();
    let syncs = stream::iter(&jobs).map(|job| sync_one(session, job, &extracted.definitions, mode));
    let ended: Vec<_> = syncs.buffer_unordered(OBJECTS_AT_ONCE).collect().await;
    for (job, report) in ended {
        note_sync(&mut extracted, job, report);
    }
    schemas(session, wanted, &mut extracted).await;
    extracted.drop_absent();
    let read = reference_tables(session, &extracted.jobs, &extracted.definitions);
    let (failed, hidden) = session.unless_stopped(read).await.unwrap_or_default();
    for (object, error) in hidden {
        miss_pipelines(session, &mut extracted, &object, &error).await;
    }
    extracted.tell_absent();
    for (tables, error) in failed {
        let sentence = format!("{} not read: {}", listed(tables), chain(&error));
        extracted.problems.push((extract_outcome(&error), sentence.clone()));
        extracted
            .incomplete
            .extend(tables.iter().map(|table| ((*table).to_owned(), sentence.clone())));
    }
    hanging::extract(session, wanted, &mut extracted).await;
    extracted
}

/// Reads only the properties of each object, for a plan on the lake as it is.
pub(super) async fn definitions_only(session: &Session<'_>, wanted: &Wanted) -> Extracted {
    let mut extracted = Extracted::default();
    discover(session, wanted, &mut extracted).await;
    extracted.drop_absent();
    extracted.tell_absent();
    extracted
}

/// Reads the properties of each object; those that cannot be read drop out.
async fn discover(session: &Session<'_>, wanted: &Wanted, extracted: &mut Extracted) {
    let asked: FuturesUnordered<_> = wanted
        .jobs
        .iter()
        .map(async |job| (job, session.client.properties(&job.object, false).await))
        .collect();
    let answers: Vec<_> = session.unless_stopped(asked.collect()).await.unwrap_or_default();
    for (job, answer) in answers {
        match answer {
            Ok(definitions) => {
                extracted.definitions.insert(job.object.clone(), definitions);
                extracted.jobs.push(job.clone());
            }
            Err(error) if is_absence(&error) && is_declared(session, &job.object) => {
                extracted.to_create.insert(job.object.clone());
            }
            Err(error) if !job.named && is_absence(&error) => {
                extracted.miss(job.object.name(), &table_of(&job.object), &error);
            }
            Err(error) => {
                let sentence = format!("`{}` was not read: {}", job.object, chain(&error));
                extracted.incomplete.insert(PROPERTY_TABLES[0].to_owned(), sentence.clone());
                extracted.fail(&table_of(&job.object), hubspot_outcome(&error), sentence);
            }
        }
    }
    extracted.jobs.sort_by(|a, b| a.object.cmp(&b.object));
}

/// Whether a write-back creates the type.
fn is_declared(session: &Session<'_>, object: &ObjectType) -> bool {
    let mut all =
        session.project.pipelines.iter().flat_map(|pipeline| pipeline.write_back.values());
    all.any(|write_back| {
        write_back.create.is_some() && write_back.object_type().is_ok_and(|one| one == *object)
    })
}

/// Stores the account's custom object types where they were asked for. Where
/// they cannot be had, custom objects that `all` brought in once are not as new
/// as the account.
async fn schemas(session: &Session<'_>, wanted: &Wanted, extracted: &mut Extracted) {
    match &wanted.schemas {
        Schemas::NotAsked => {}
        Schemas::Read(schemas) => {
            let stored = extract::sync_schemas(&session.lake, schemas);
            if let Some(Err(error)) = session.unless_stopped(stored).await {
                let sentence = format!("`{SCHEMAS}` was not stored: {}", chain(&error));
                extracted.fail(SCHEMAS, extract_outcome(&error), sentence);
            }
        }
        Schemas::Failed { error, needed } if *needed || !is_absence(error) => {
            let sentence = format!("Custom object types were not read: {}", chain(error));
            extracted.fail(SCHEMAS, hubspot_outcome(error), sentence.clone());
            distrust_customs(session, wanted, extracted, &sentence).await;
        }
        Schemas::Failed { error, .. } => {
            extracted.miss("custom objects", SCHEMAS, error);
            let reason = extracted.incomplete[SCHEMAS].clone();
            distrust_customs(session, wanted, extracted, &reason).await;
        }
    }
}

async fn distrust_customs(
    session: &Session<'_>,
    wanted: &Wanted,
    extracted: &mut Extracted,
    reason: &str,
) {
    if !wanted.is_all {
        return;
    }
    let is_named = |object: &ObjectType| {
        session.project.pipelines.iter().any(|pipeline| pipeline.extract.names(object))
    };
    // A lake that cannot be listed fails the stages that follow.
    for table in session.lake.tables().await.unwrap_or_default() {
        let object = ObjectType::parse(table.name());
        let is_left = object.is_ok_and(|object| object.is_custom() && !is_named(&object));
        if table.schema() == "hubspot" && is_left {
            extracted.incomplete.insert(table.to_string(), reason.to_owned());
        }
    }
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
                message: format!("HubSpot's answer cannot be used: {}", record.problem),
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
    let absence = error.as_ref().and_then(ExtractError::hubspot).filter(|e| is_absence(e));
    if let (Some(absence), false) = (absence, job.named) {
        extracted.miss(job.object.name(), &table, absence);
        return;
    }
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
/// The table of custom object types.
const SCHEMAS: &str = "hubspot.schemas";
/// The table of property definitions.
const PROPERTY_TABLES: &[&str] = &["hubspot.properties"];

/// What failed, by the tables that it leaves behind the account.
type FailedTables = Vec<(&'static [&'static str], ExtractError)>;
/// Types whose pipelines the account does not show, though it shows the type.
type HiddenPipelines = Vec<(ObjectType, hubspot::Error)>;

/// Notes pipelines of a type that nobody named and that the token may not see.
/// Those read once are old now; where there are none, nothing is.
async fn miss_pipelines(
    session: &Session<'_>,
    extracted: &mut Extracted,
    object: &ObjectType,
    error: &hubspot::Error,
) {
    let what = format!("pipelines of {object}");
    let is_old = extract::holds_pipelines(&session.lake, object).await;
    let reason = extracted.note_absent(&what, error);
    // A lake that cannot be read fails the stages that follow.
    if is_old.unwrap_or(true) {
        let behind = PIPELINE_TABLES.iter().map(|table| ((*table).to_owned(), reason.clone()));
        extracted.incomplete.extend(behind);
    }
}

/// Owners, pipelines and property definitions; what failed, and whose pipelines
/// are hidden.
///
/// One after another: they share tables, and a table has one writer.
async fn reference_tables(
    session: &Session<'_>,
    jobs: &[ObjectJob],
    definitions: &BTreeMap<ObjectType, Vec<PropertyDefinition>>,
) -> (FailedTables, HiddenPipelines) {
    let (client, lake) = (&session.client, &session.lake);
    let (mut failed, mut hidden) = (FailedTables::new(), HiddenPipelines::new());
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
            match error {
                ExtractError::HubSpot { source, .. } if !job.named && is_absence(&source) => {
                    hidden.push((job.object.clone(), *source));
                }
                error => failed.push((PIPELINE_TABLES, error)),
            }
        }
    }
    (failed, hidden)
}

/// Whether records of the type move through pipelines: they then have a
/// property that says through which.
fn has_pipelines(definitions: &[PropertyDefinition]) -> bool {
    definitions.iter().any(|d| matches!(d.name.as_str(), "pipeline" | "hs_pipeline"))
}

fn listed(tables: &[&str]) -> String {
    let quoted: Vec<String> = tables.iter().map(|table| format!("`{table}`")).collect();
    let verb = if tables.len() == 1 { "was" } else { "were" };
    format!("{} {verb}", quoted.join(" and "))
}

/// The SQL name of an object's mirror.
pub(super) fn table_of(object: &ObjectType) -> String {
    extract::mirror_table(object).to_string()
}
