//! A part's rows on their way: batches, halves, repeats, and one outcome a row.

use std::collections::VecDeque;
use std::sync::Arc;

use super::decide::PRIMARY_MOVES;
use super::part::Part;
use super::send::Road;
use crate::hubspot::Client;
use crate::load::apply::deliver::MAX_SENDS;
use crate::load::apply::gate::Gate;
use crate::load::apply::settle::{BatchFate, Refusal, fate};
use crate::load::outcome::Outcome;
use crate::load::plan::PlannedRow;

/// One row of a plan on its way.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) record: i64,
    /// The other record, where there is one.
    pub(crate) other: i64,
    pub(crate) property: String,
    /// What HubSpot had when the plan was made; empty for nothing.
    pub(crate) old: String,
    pub(crate) new: String,
    /// What was there before was hublake's own.
    pub(crate) held_ours: bool,
    /// An undo gives it back to whoever had made it.
    pub(crate) theirs: bool,
    pub(crate) match_key: String,
    pub(crate) trace_id: String,
    pub(crate) category: Option<String>,
    pub(crate) fingerprint: i64,
    /// What the plan counted the row as.
    pub(crate) planned: Outcome,
    /// The plan knows that another record is the primary one.
    pub(crate) overwrites: bool,
    pub(crate) sends: u32,
    /// An answer was lost: what is found later may be our own doing.
    pub(crate) lost: bool,
}

/// What an answer says about one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    /// It came to this.
    Done(Outcome),
    /// HubSpot will not have it.
    Refused(Refusal),
    /// The world moved; the sentence says how.
    Left(String),
    /// The answer does not mention it.
    Silent,
    /// The answer reports a failure without saying whose.
    Unattributed(Refusal),
}

/// A row with its outcome.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) task: Task,
    pub(crate) outcome: Outcome,
    pub(crate) refusal: Option<Refusal>,
}

/// Everything a batch needs; shared by those in flight.
pub(crate) struct Sender {
    pub(crate) client: Client,
    pub(crate) part: Part,
    pub(crate) road: Road,
    pub(crate) gate: Gate,
}

type Queue = VecDeque<Vec<Task>>;

impl Task {
    /// The row as a task; none where nothing of it is to be sent.
    pub(crate) fn new(part: &Part, row: PlannedRow) -> Option<Self> {
        let record = row.record_id?;
        let (property, change) = row.changes.into_iter().find(|(_, change)| change.is_write())?;
        let old = change.old.unwrap_or_default();
        let planned = match (row.action.as_str(), old.is_empty()) {
            ("unlink", _) => Outcome::Archived,
            (_, true) => Outcome::Created,
            (_, false) => Outcome::Updated,
        };
        Some(Self {
            record,
            other: part.other(&property).unwrap_or_default(),
            property,
            old,
            held_ours: change.last_set.as_deref().is_some_and(|last| !last.is_empty()),
            theirs: change.theirs,
            new: change.new,
            match_key: row.match_key.unwrap_or_default(),
            trace_id: row.trace_id,
            fingerprint: row.fingerprint,
            planned,
            overwrites: row.category.as_deref() == Some(PRIMARY_MOVES),
            category: row.category,
            sends: 0,
            lost: false,
        })
    }

    fn end(self, outcome: Outcome) -> Done {
        Done { task: self, outcome, refusal: None }
    }

    /// A row that cannot be sent any more: open if an answer to it was lost.
    fn left(self) -> Done {
        let outcome = if self.lost { Outcome::Unknown } else { Outcome::Deferred };
        self.end(outcome)
    }

    fn refused(self, refusal: Refusal) -> Done {
        Done { refusal: Some(refusal), ..self.end(Outcome::Rejected) }
    }
}

impl Sender {
    /// Sends one batch and whatever it falls into; every row comes back with
    /// its outcome.
    pub(crate) async fn deliver(self: Arc<Self>, unlinks: bool, tasks: Vec<Task>) -> Vec<Done> {
        let mut done = Vec::new();
        let mut queue = Queue::from([tasks]);
        while let Some(tasks) = queue.pop_front() {
            if !self.gate.is_open() {
                done.extend(tasks.into_iter().map(Task::left));
                continue;
            }
            self.send(unlinks, tasks, &mut queue, &mut done).await;
        }
        done
    }

    async fn send(
        &self,
        unlinks: bool,
        mut tasks: Vec<Task>,
        queue: &mut Queue,
        done: &mut Vec<Done>,
    ) {
        tasks.iter_mut().for_each(|task| task.sends += 1);
        match self.road.send(&self.client, &self.part, unlinks, &tasks).await {
            Ok(findings) => {
                self.gate.settled();
                let mut halves = Vec::new();
                let mut silent = Vec::new();
                for (task, finding) in tasks.into_iter().zip(findings) {
                    match finding {
                        Finding::Done(outcome) => done.push(task.end(outcome)),
                        Finding::Refused(refusal) => done.push(task.refused(refusal)),
                        Finding::Left(sentence) => done.push(left_alone(task, sentence)),
                        Finding::Silent => silent.push(task),
                        Finding::Unattributed(_) => halves.push(task),
                    }
                }
                halve(halves, queue);
                self.resolve(unlinks, silent, queue, done).await;
            }
            Err(error) => match fate(&error.kind(), error.api()) {
                BatchFate::Halve(refusal) if tasks.len() == 1 => {
                    if self.gate.refused_alone() {
                        self.gate.stop(error);
                    }
                    done.extend(tasks.into_iter().map(|task| task.refused(refusal.clone())));
                }
                BatchFate::Halve(_) => halve(tasks, queue),
                BatchFate::Unknown => {
                    tasks.iter_mut().for_each(|task| task.lost = true);
                    self.resolve(unlinks, tasks, queue, done).await;
                }
                BatchFate::Stop => {
                    self.gate.stop(error);
                    done.extend(tasks.into_iter().map(Task::left));
                }
            },
        }
    }

    /// Rows whose outcome no answer tells: HubSpot is read, which tells most.
    /// That it does not show them is no proof, so a row is sent again where
    /// that does no harm, and left open where it might.
    async fn resolve(
        &self,
        unlinks: bool,
        mut tasks: Vec<Task>,
        queue: &mut Queue,
        done: &mut Vec<Done>,
    ) {
        if tasks.is_empty() {
            return;
        }
        tasks.iter_mut().for_each(|task| task.lost = true);
        let read = self.road.is_done(&self.client, &self.part, unlinks, &tasks).await;
        let is_done = match read {
            Ok(Some(is_done)) => is_done,
            Ok(None) => vec![false; tasks.len()],
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Outcomes of a batch stay unknown: it cannot be read"
                );
                return done.extend(tasks.into_iter().map(|task| task.end(Outcome::Unknown)));
            }
        };
        let mut again = Vec::new();
        for (task, is_done) in tasks.into_iter().zip(is_done) {
            match is_done {
                true => {
                    let outcome = task.planned;
                    done.push(task.end(outcome));
                }
                false if self.road.bears_repeating() && task.sends < MAX_SENDS => again.push(task),
                false => done.push(task.end(Outcome::Unknown)),
            }
        }
        if !again.is_empty() {
            queue.push_back(again);
        }
    }
}

fn left_alone(task: Task, message: String) -> Done {
    let refusal = Refusal { category: "HUBSPOT_CHANGED".into(), message, ..Refusal::default() };
    Done { refusal: Some(refusal), ..task.end(Outcome::Deferred) }
}

fn halve(mut tasks: Vec<Task>, queue: &mut Queue) {
    if tasks.is_empty() {
        return;
    }
    let rest = tasks.split_off(tasks.len() / 2);
    queue.extend([tasks, rest].into_iter().filter(|half| !half.is_empty()));
}
