//! A part's committed plan to HubSpot: what is to be made, then what is to be
//! taken back, one outcome per row in the ledger.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::decide::LABEL_ONLY;
use super::deliver::{Done, Sender, Task};
use super::held;
use super::part::{Kind, Part};
use super::plan::verdicts;
use super::send::Road;
use super::types::{resolved_list, resolved_type};
use crate::hubspot::{Client, Error};
use crate::lake::Lake;
use crate::load::apply::gate::Gate;
use crate::load::apply::settle::Refusal;
use crate::load::apply::stored::{StoredPlan, StoredRows};
use crate::load::apply::{ApplyReport, ApplyRequest};
use crate::load::catch_up::catch_up;
use crate::load::error::{LoadError, While};
use crate::load::ledger::{Entry, Ledger, WrittenProperty};
use crate::load::links::write_back_of;
use crate::load::outcome::{Counts, Outcome};
use crate::load::plan::PlanCursors;
use crate::load::rejects::{Refused, RejectBook};

const DOING: &str = "applying a plan";

/// Batches in flight. Each is large, and the client's budget sets the pace.
const IN_FLIGHT: usize = 8;

/// Pairs taken out of the mirror by one commit.
const FORGOTTEN_AT_ONCE: usize = 8_192;

/// How old a plan may be, in µs, before pairs are read again that it found
/// unassociated.
const FRESH: i64 = 60 * 1_000_000;

/// Applies a part's stored plan, as [`crate::load::apply()`] does for records.
pub(crate) async fn apply_part(
    lake: &Lake,
    client: &Client,
    request: ApplyRequest<'_>,
) -> Result<ApplyReport, LoadError> {
    let plan = request.plan;
    let part = Part::find(&plan.write_back, request.config)?;
    let (guards, made) = (&request.config.guards, plan.written_before);
    let verdicts = verdicts(&part, guards, &plan.counts, plan.rows(), made, request.accepted);
    if let Some(verdict) = verdicts.iter().find(|verdict| verdict.refuses()).cloned() {
        return Err(LoadError::Guard { write_back: plan.write_back.clone(), verdict });
    }
    let accepted = verdicts.into_iter().filter(|verdict| !verdict.passed).collect();
    let report = match plan.sends() {
        true => Applying { lake, client, request, part }.run().await?,
        false => report(&request, plan.counts, false, None),
    };
    Ok(ApplyReport { accepted, ..report })
}

fn report(
    request: &ApplyRequest<'_>,
    counts: Counts,
    stopped: bool,
    stopped_by: Option<Error>,
) -> ApplyReport {
    debug_assert!(counts.close(), "the counts do not close: {counts:?}");
    ApplyReport {
        write_back: request.plan.write_back.clone(),
        counts,
        created_properties: Vec::new(),
        stopped,
        stopped_by,
        accepted: Vec::new(),
    }
}

struct Applying<'a> {
    lake: &'a Lake,
    client: &'a Client,
    request: ApplyRequest<'a>,
    part: Part,
}

impl Applying<'_> {
    async fn run(self) -> Result<ApplyReport, LoadError> {
        let cursors = PlanCursors::new(self.request.pipeline, &self.request.plan.write_back);
        let stored = self.stored();
        stored.check_current(&cursors, &self.part.ledger_object()).await?;
        let sender = Arc::new(self.sender().await?);
        if !self.request.plan.sends_rows() {
            return Ok(report(&self.request, self.request.plan.counts, false, None));
        }
        if self.request.dry_run {
            let counts = self.send(&sender, None, None).await?;
            return Ok(self.ended(&sender, counts));
        }
        let planned_at = self.request.plan.planned_at;
        stored.begin(&cursors).await?;
        self.forget_unlinked().await?;
        let mut book = stored.book().await?;
        let ledger = Ledger::open(self.lake, stored.heading()).await?;
        let counts = self.send(&sender, Some(&ledger), Some(&mut book)).await;
        // Whatever happened, the outcomes that are known are kept.
        ledger.close().await?;
        let counts = counts?;
        book.store(self.lake).await?;
        stored.table().await?.commit_cursors(&[cursors.applied(planned_at)]).await.during(DOING)?;
        let name = write_back_of(&self.request.plan.write_back);
        let write_back = [(name, self.request.config)];
        catch_up(self.lake, self.request.pipeline, &write_back, now()).await?;
        Ok(self.ended(&sender, counts))
    }

    fn ended(&self, sender: &Sender, counts: Counts) -> ApplyReport {
        report(&self.request, counts, sender.gate.is_closed(), sender.gate.stopped_by())
    }

    fn stored(&self) -> StoredPlan<'_> {
        StoredPlan { lake: self.lake, request: &self.request }
    }

    /// The road to HubSpot, with labels and lists created that it needs.
    async fn sender(&self) -> Result<Sender, LoadError> {
        let (client, part, dry) = (self.client, &self.part, self.request.dry_run);
        let plan = self.request.plan;
        let read_first = now().saturating_sub(plan.planned_at) >= FRESH;
        let road = match &part.kind {
            Kind::Associate { to, .. } => {
                let kind = resolved_type(client, part, &plan.definitions, dry).await?;
                Road::Associations { to: to.clone(), kind, read_first }
            }
            Kind::List(list) => Road::Members(resolved_list(client, part, list, dry).await?),
            Kind::Event(event) => Road::Events(event.name.clone()),
        };
        Ok(Sender {
            client: client.clone(),
            part: part.clone(),
            road: if dry { Road::Nobody } else { road },
            gate: Gate::of(&self.request),
        })
    }

    /// Sends every row: first all that is to be made. What is to be taken back
    /// comes only then, and not of a record of which something could not be
    /// made: it would be left with less than either the old or the new.
    async fn send(
        &self,
        sender: &Arc<Sender>,
        ledger: Option<&Ledger>,
        book: Option<&mut RejectBook>,
    ) -> Result<Counts, LoadError> {
        let counts = self.request.plan.counts;
        let mut keeping = Keeping { counts, ledger, book, failed: HashSet::new() };
        for unlinks in [false, true] {
            let action = if unlinks { "unlink" } else { "link" };
            let mut rows = self.stored().rows(&[action]).await?;
            let size = self.part.batch(unlinks);
            let mut flying = JoinSet::new();
            loop {
                while flying.len() < IN_FLIGHT
                    && let Some(tasks) = self.batch(&mut rows, size).await?
                {
                    if ledger.is_some_and(Ledger::has_failed) {
                        sender.gate.close();
                    }
                    let (tasks, left) = keeping.sift(tasks, unlinks);
                    keeping.take(left).await;
                    if !tasks.is_empty() {
                        flying.spawn(sender.clone().deliver(unlinks, tasks));
                    }
                }
                let Some(done) = flying.join_next().await else { break };
                keeping.take(done.during(DOING)?).await;
            }
        }
        Ok(keeping.counts)
    }

    /// Takes out of the mirror what is about to be taken back. Before anything is
    /// sent, since a kill may follow at once: what the mirror shows a plan believes,
    /// and what it does not show is read before it is decided.
    async fn forget_unlinked(&self) -> Result<(), LoadError> {
        let Kind::Associate { to, .. } = &self.part.kind else { return Ok(()) };
        let Some(mut mirror) = held::mirror(self.lake).await? else { return Ok(()) };
        let from = &self.part.object;
        let mut rows = self.stored().rows(&["unlink"]).await?;
        while let Some(tasks) = self.batch(&mut rows, FORGOTTEN_AT_ONCE).await? {
            let pairs = |is_meant: fn(&Task) -> bool| {
                let meant = tasks.iter().filter(|task| is_meant(task));
                meant.map(|task| (task.record, task.other)).collect::<HashSet<_>>()
            };
            let keeps_pair = |task: &Task| task.category.as_deref() == Some(LABEL_ONLY);
            let goes = |task: &Task| task.category.as_deref() != Some(LABEL_ONLY);
            let gone = pairs(goes);
            held::forget(&mut mirror, (from, to), &gone, None).await?;
            let other_way = gone.into_iter().map(|(record, other)| (other, record)).collect();
            held::forget(&mut mirror, (to, from), &other_way, None).await?;
            let label = self.part.label();
            held::forget(&mut mirror, (from, to), &pairs(keeps_pair), label).await?;
        }
        Ok(())
    }

    /// The next batch of at most `size` rows; none at the end.
    async fn batch(
        &self,
        rows: &mut StoredRows,
        size: usize,
    ) -> Result<Option<Vec<Task>>, LoadError> {
        let mut tasks = Vec::new();
        while tasks.len() < size
            && let Some(row) = rows.next().await?
        {
            tasks.extend(Task::new(&self.part, row));
        }
        Ok((!tasks.is_empty()).then_some(tasks))
    }
}

/// Where outcomes go.
struct Keeping<'a> {
    counts: Counts,
    ledger: Option<&'a Ledger>,
    book: Option<&'a mut RejectBook>,
    /// Records of which something could not be made: as many as failed.
    failed: HashSet<i64>,
}

impl Keeping<'_> {
    /// The tasks that may be sent, and those that are left to the next run.
    fn sift(&self, tasks: Vec<Task>, unlinks: bool) -> (Vec<Task>, Vec<Done>) {
        let (left, sent): (Vec<Task>, Vec<Task>) =
            tasks.into_iter().partition(|task| unlinks && self.failed.contains(&task.record));
        let done = |task: Task| {
            Done {
            task,
            outcome: Outcome::Deferred,
            refusal: Some(Refusal {
                category: "OTHER_NOT_MADE".to_owned(),
                message: "What the record is to have instead could not be made, so this stays until it can".to_owned(),
                ..Refusal::default()
            }),
        }
        };
        (sent, left.into_iter().map(done).collect())
    }

    async fn take(&mut self, done: Vec<Done>) {
        for row in &done {
            self.counts.turn(row.task.planned, row.outcome);
            let made = matches!(
                row.outcome,
                Outcome::Created | Outcome::Updated | Outcome::Archived | Outcome::Unchanged
            );
            if !made {
                self.failed.insert(row.task.record);
            }
            if let Some(book) = self.book.as_deref_mut() {
                note(book, row, made);
            }
        }
        if let Some(ledger) = self.ledger {
            let told = done.into_iter().filter(|row| row.task.sends > 0 || row.refusal.is_some());
            ledger.write(told.map(entry).collect()).await;
        }
    }
}

fn note(book: &mut RejectBook, row: &Done, made: bool) {
    match (row.outcome, &row.refusal) {
        (Outcome::Rejected, Some(refusal)) => {
            let refused = Refused {
                record_id: Some(row.task.record),
                by_hubspot: true,
                message: refusal.message.clone(),
                category: refusal.category.clone(),
                correlation_id: refusal.correlation_id.clone(),
                fingerprint: row.task.fingerprint,
            };
            book.refuse(&row.task.match_key, refused, true);
        }
        _ if made => book.fixed(&row.task.match_key),
        _ => {}
    }
}

/// The ledger's entry of a row.
fn entry(done: Done) -> Entry {
    let task = done.task;
    let written = WrittenProperty {
        old: Some(task.old).filter(|old| !old.is_empty()),
        new: Some(task.new),
        held_ours: task.held_ours,
        theirs: task.theirs,
        ..WrittenProperty::default()
    };
    let (category, message, correlation_id) = match done.refusal {
        Some(refusal) => (Some(refusal.category), Some(refusal.message), refusal.correlation_id),
        None => (None, None, None),
    };
    Entry {
        record_id: Some(task.record),
        match_key: Some(task.match_key),
        outcome: done.outcome.name().to_owned(),
        properties: BTreeMap::from([(task.property, written)]),
        trace_id: task.trace_id,
        correlation_id,
        category,
        message,
        created_at: None,
        updated_at: None,
        written_at: now(),
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}
