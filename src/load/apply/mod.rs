//! A committed plan to HubSpot: batches of 100, several in flight, one outcome
//! per row in the ledger.

mod archive;
pub(crate) mod deliver;
mod edits;
pub(crate) mod gate;
pub(crate) mod settle;
pub(crate) mod stored;
mod taken;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::Utc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::catch_up::catch_up;
use super::config::WriteBackConfig;
use super::error::{LoadError, While};
use super::guards::{self, Guard, GuardVerdict};
use super::ledger::{self, Entry, Ledger, WrittenProperty};
use super::links::{apply_part, create_schema, write_back_of};
use super::outcome::{Counts, Outcome};
use super::plan::{PlanCursors, PlanSummary, PlannedChange, rows};
use super::rejects::{Refused, RejectBook};
use super::status::status_config;
use super::target::Target;
use super::{properties, restoring};
use crate::hubspot::{Client, Error};
use crate::lake::Lake;
use crate::objects::PropertyDefinition;
use deliver::{Done, Sender, Task};
use gate::Gate;
use stored::{StoredPlan, StoredRows};
use writer::{DryRun, Kind, Writer};

const DOING: &str = "applying a plan";

/// Most inputs of a batch (objects guide).
const BATCH: usize = 100;

/// The actions of a plan's rows that are sent.
const SENT: [&str; 3] = ["create", "update", "archive"];

/// Batches in flight: enough to fill 19 calls a second at nearly a second's
/// latency. The client's budget sets the pace.
const IN_FLIGHT: usize = 16;

/// Says whether a batch may still be sent.
pub type MaySend = Arc<dyn Fn() -> bool + Send + Sync>;

/// What to apply.
pub struct ApplyRequest<'a> {
    /// The run that applies; with `hublake apply`, another than the plan's.
    pub run_id: &'a str,
    /// The pipeline.
    pub pipeline: &'a str,
    /// The write-back's settings.
    pub config: &'a WriteBackConfig,
    /// The plan, whose rows are stored.
    pub plan: &'a PlanSummary,
    /// The properties of its object, as the account has them.
    pub definitions: &'a [PropertyDefinition],
    /// Guards that may be passed this once.
    pub accepted: &'a BTreeSet<Guard>,
    /// Walk the whole road and write nothing, to HubSpot or to the lake.
    pub dry_run: bool,
    /// When cancelled, nothing more is sent; what is in flight is finished and kept.
    pub stop: CancellationToken,
    /// Asked before each batch; `false` stops the sending as `stop` does, for
    /// good. For what may be lost meanwhile, as the lake's lock.
    pub may_send: Option<MaySend>,
}

/// What became of a plan.
#[derive(Debug)]
pub struct ApplyReport {
    /// The write-back.
    pub write_back: String,
    /// Rows by outcome; they close.
    pub counts: Counts,
    /// Properties created first.
    pub created_properties: Vec<String>,
    /// Why sending stopped early, if HubSpot was the reason.
    pub stopped_by: Option<Error>,
    /// Whether sending stopped early, for whatever reason.
    pub stopped: bool,
    /// Guards that were passed because somebody accepted it, with their figures.
    pub accepted: Vec<GuardVerdict>,
}

/// Applies a stored plan: at-least-once, each row under a key or id that makes
/// repeating it harmless, rows in no particular order. When it returns, every
/// outcome is in `system.writes`, and `system.written`, `system.rejects` and
/// the mirror have taken them.
///
/// A plan with nothing stored is applied by counting it.
///
/// # Errors
/// A guard refuses, the plan is out of date, a property cannot be created, the
/// lake fails. Rows that HubSpot refuses are no error; HubSpot being
/// unavailable ends the sending and is in the report.
pub async fn apply(
    lake: &Lake,
    client: &Client,
    request: ApplyRequest<'_>,
) -> Result<ApplyReport, LoadError> {
    let plan = request.plan;
    if let Some(config) = status_config(&plan.write_back, request.config) {
        return apply_records(lake, client, ApplyRequest { config: &config, ..request }).await;
    }
    match write_back_of(&plan.write_back) == plan.write_back {
        true => apply_records(lake, client, request).await,
        false => apply_part(lake, client, request).await,
    }
}

async fn apply_records(
    lake: &Lake,
    client: &Client,
    request: ApplyRequest<'_>,
) -> Result<ApplyReport, LoadError> {
    let plan = request.plan;
    let verdicts = guards::evaluate(
        &request.config.guards,
        &plan.counts,
        plan.rows(),
        plan.written_before,
        request.accepted,
    );
    if let Some(verdict) = verdicts.iter().find(|verdict| verdict.refuses()).cloned() {
        return Err(LoadError::Guard { write_back: plan.write_back.clone(), verdict });
    }
    let accepted: Vec<GuardVerdict> =
        verdicts.into_iter().filter(|verdict| !verdict.passed).collect();
    if !plan.sends() {
        return Ok(ApplyReport {
            write_back: plan.write_back.clone(),
            counts: plan.counts,
            created_properties: Vec::new(),
            stopped_by: None,
            stopped: false,
            accepted,
        });
    }
    let target = Arc::new(Target::new(&plan.write_back, request.config, request.definitions)?);
    let report = Applying { lake, client, request, target }.run().await?;
    Ok(ApplyReport { accepted, ..report })
}

struct Applying<'a> {
    lake: &'a Lake,
    client: &'a Client,
    request: ApplyRequest<'a>,
    target: Arc<Target>,
}

impl Applying<'_> {
    async fn run(self) -> Result<ApplyReport, LoadError> {
        let cursors = PlanCursors::new(self.request.pipeline, &self.request.plan.write_back);
        self.stored().check_current(&cursors, self.target.object.name()).await?;
        let created = self.create_properties().await?;
        if !self.request.plan.sends_rows() {
            return Ok(self.report(Sent::nothing(self.request.plan.counts), created));
        }
        if self.request.dry_run {
            let sent = self.send(created.clone(), None, None).await?;
            return Ok(self.report(sent, created));
        }
        self.stored().begin(&cursors).await?;
        let mut book = self.stored().book().await?;
        let ledger = Ledger::open(self.lake, self.stored().heading()).await?;
        let sent = self.send(created.clone(), Some(&ledger), Some(&mut book)).await;
        // Whatever happened, the outcomes that are known are kept.
        ledger.close().await?;
        let sent = sent?;
        book.store(self.lake).await?;
        self.end(&cursors, &sent).await?;
        Ok(self.report(sent, created))
    }

    fn stored(&self) -> StoredPlan<'_> {
        StoredPlan { lake: self.lake, request: &self.request }
    }

    async fn create_properties(&self) -> Result<BTreeSet<String>, LoadError> {
        let request = &self.request;
        let plan = properties::plan(&request.plan.write_back, request.config, request.definitions)?
            .only(&request.plan.properties);
        let is_new_type = !request.plan.definitions.is_empty();
        if request.dry_run || (plan.is_empty() && !is_new_type) {
            return Ok(BTreeSet::new());
        }
        let (client, object) = (self.client, &self.target.object);
        if is_new_type {
            let created = create_schema(client, &request.plan.write_back, request.config).await?;
            properties::add_columns(self.lake, object, request.config, &created).await?;
            return Ok(created);
        }
        properties::make_properties(self.lake, client, object, request.config, &plan).await
    }

    /// Says that every row has its outcome, and lets the derived tables take them. Where
    /// some are unknown the plan stays open until what it meant has been kept.
    async fn end(&self, cursors: &PlanCursors, sent: &Sent) -> Result<(), LoadError> {
        if let Some(mut plans) = self.lake.table(&rows::spec().name).await.during(DOING)? {
            if sent.restores {
                let plan = self.request.plan;
                let (pipeline, stamp) = (self.request.pipeline, plan.planned_at);
                let writes = self.lake.table(&ledger::spec().name).await.during(DOING)?;
                let name = &plan.write_back;
                let (writes, ended) = (writes.as_ref(), restoring::Apply::Ended);
                restoring::keep(self.lake, &plans, writes, pipeline, name, stamp, ended).await?;
            }
            let planned_at = self.request.plan.planned_at;
            let mut noted = vec![cursors.ended(planned_at)];
            noted.extend((sent.counts.unknown == 0).then(|| cursors.applied(planned_at)));
            plans.commit_cursors(&noted).await.during(DOING)?;
        }
        let write_back = (self.request.plan.write_back.as_str(), self.request.config);
        catch_up(self.lake, self.request.pipeline, &[write_back], now()).await
    }

    /// Sends every row of the plan.
    async fn send(
        &self,
        created: BTreeSet<String>,
        ledger: Option<&Ledger>,
        book: Option<&mut RejectBook>,
    ) -> Result<Sent, LoadError> {
        let sender = Arc::new(Sender {
            writer: self.writer(),
            client: self.client.clone(),
            target: self.target.clone(),
            created,
            planned_at: self.request.plan.planned_at,
            gate: Gate::of(&self.request),
            taken: Mutex::new(Vec::new()),
        });
        let counts = self.request.plan.counts;
        let mut keeping = Keeping { applying: self, counts, ledger, book, restores: false };
        let rows = self.stored().rows(&SENT).await?;
        let mut batches = Batches { rows, waiting: Default::default(), ended: false };
        let mut flying = JoinSet::new();
        loop {
            while flying.len() < IN_FLIGHT
                && let Some((kind, tasks)) = batches.next().await?
            {
                if ledger.is_some_and(Ledger::has_failed) {
                    sender.gate.close();
                }
                flying.spawn(sender.clone().deliver(kind, tasks));
            }
            let Some(done) = flying.join_next().await else { break };
            keeping.take(done.during(DOING)?).await;
        }
        keeping.take(sender.settle_taken().await).await;
        let stopped_by = sender.gate.stopped_by();
        let (counts, restores) = (keeping.counts, keeping.restores);
        Ok(Sent { counts, stopped: sender.gate.is_closed(), stopped_by, restores })
    }

    fn writer(&self) -> Arc<dyn Writer> {
        if self.request.dry_run {
            Arc::new(DryRun::default())
        } else {
            Arc::new(self.client.clone())
        }
    }

    fn note(&self, book: &mut RejectBook, row: &Done) {
        let key = row.task.row.match_key.as_deref().unwrap_or("");
        match (row.outcome, &row.refusal) {
            (Outcome::Rejected, Some(refusal)) => {
                let refused = Refused {
                    record_id: row.task.row.record_id,
                    by_hubspot: true,
                    message: refusal.message.clone(),
                    category: refusal.category.clone(),
                    correlation_id: refusal.correlation_id.clone(),
                    fingerprint: row.task.row.fingerprint,
                };
                book.refuse(key, refused, true);
            }
            (
                Outcome::Created
                | Outcome::Updated
                | Outcome::Unchanged
                | Outcome::Kept
                | Outcome::Archived,
                _,
            ) => book.fixed(key),
            _ => {}
        }
    }

    fn report(&self, sent: Sent, created: BTreeSet<String>) -> ApplyReport {
        debug_assert!(sent.counts.close(), "the counts do not close: {:?}", sent.counts);
        ApplyReport {
            write_back: self.request.plan.write_back.clone(),
            counts: sent.counts,
            created_properties: created.into_iter().collect(),
            stopped: sent.stopped,
            stopped_by: sent.stopped_by,
            accepted: Vec::new(),
        }
    }
}

/// Where outcomes go.
struct Keeping<'a, 'b> {
    applying: &'a Applying<'b>,
    counts: Counts,
    ledger: Option<&'a Ledger>,
    book: Option<&'a mut RejectBook>,
    /// Whether a value had to be emptied before it could be written.
    restores: bool,
}

impl Keeping<'_, '_> {
    async fn take(&mut self, done: Vec<Done>) {
        for row in &done {
            self.restores |= row.task.row.changes.values().any(PlannedChange::clears_first);
            if row.is_step {
                continue;
            }
            self.counts.turn(row.task.planned, row.outcome);
            if let Some(book) = self.book.as_deref_mut() {
                self.applying.note(book, row);
            }
        }
        if let Some(ledger) = self.ledger {
            // A row that was not sent has an entry where there is more to say than that.
            let told = done.into_iter().filter(|row| row.sent || row.refusal.is_some());
            ledger.write(told.map(entry).collect()).await;
        }
    }
}

/// What the sending came to.
struct Sent {
    counts: Counts,
    stopped: bool,
    stopped_by: Option<Error>,
    restores: bool,
}

impl Sent {
    fn nothing(counts: Counts) -> Self {
        Self { counts, stopped: false, stopped_by: None, restores: false }
    }
}

/// The rows of a stored plan in batches of one kind.
struct Batches {
    rows: StoredRows,
    waiting: BTreeMap<Kind, Vec<Task>>,
    ended: bool,
}

impl Batches {
    async fn next(&mut self) -> Result<Option<(Kind, Vec<Task>)>, LoadError> {
        loop {
            for (kind, tasks) in &mut self.waiting {
                if tasks.len() >= BATCH || (self.ended && !tasks.is_empty()) {
                    return Ok(Some((*kind, std::mem::take(tasks))));
                }
            }
            if self.ended {
                return Ok(None);
            }
            match self.rows.next().await? {
                None => self.ended = true,
                Some(row) => {
                    let (kind, task) = Task::new(row);
                    self.waiting.entry(kind).or_default().push(task);
                }
            }
        }
    }
}

/// The ledger's entry of a row that was sent.
fn entry(done: Done) -> Entry {
    let sent = |(name, old, new): (&str, Option<&str>, &str)| {
        let (old, new) = (old.map(str::to_owned), Some(new.to_owned()));
        let change = done.task.row.changes.get(name);
        let held_ours = change.is_some_and(PlannedChange::held_ours);
        let theirs = change.is_some_and(|change| change.theirs);
        (name.to_owned(), WrittenProperty { old, new, returned: None, held_ours, theirs })
    };
    let mut properties: BTreeMap<String, WrittenProperty> = done.task.writes().map(sent).collect();
    let row = done.task.row;
    for (name, value) in done.record.iter().flat_map(|record| &record.properties) {
        properties.entry(name.clone()).or_default().returned =
            Some(value.clone().unwrap_or_default());
    }
    let (category, message, correlation_id) = match done.refusal {
        Some(refusal) => (Some(refusal.category), Some(refusal.message), refusal.correlation_id),
        None => (None, None, None),
    };
    Entry {
        record_id: done.record.as_ref().map(|record| record.id.0).or(row.record_id),
        match_key: row.match_key,
        outcome: if done.is_step { ledger::CLEARED } else { done.outcome.name() }.to_owned(),
        properties,
        trace_id: row.trace_id,
        correlation_id,
        category,
        message,
        created_at: done.record.as_ref().and_then(|record| record.created_at),
        updated_at: done.record.as_ref().and_then(|record| record.updated_at),
        // A step comes before the end that follows it, within the same microsecond too.
        written_at: now() - i64::from(done.is_step),
    }
}

fn now() -> i64 {
    Utc::now().timestamp_micros()
}
