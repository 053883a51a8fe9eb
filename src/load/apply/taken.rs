//! Creates whose key turns out to be taken: once every batch is answered, the
//! records are read and the policies decide as for any record.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::deliver::{Done, Queue, Sender, Task};
use super::settle::Refusal;
use super::writer::Kind;
use crate::hubspot::Record;
use crate::load::config::{MatchKey, Mode};
use crate::load::outcome::Outcome;
use crate::load::plan::refresh::{BATCH, records};
use crate::load::plan::{PlannedChange, again};
use crate::load::policy::Kept;

/// A row that was to be created and whose key is taken.
pub(super) struct Taken {
    pub(super) task: Task,
    /// The record that has it, where HubSpot says so.
    pub(super) existing: Option<i64>,
    pub(super) refusal: Refusal,
}

/// A taken key, planned again.
enum Decided {
    Done(Box<Done>),
    Send(Box<Task>),
}

impl Sender {
    /// Ends the rows whose keys are taken. To be called when no batch is in
    /// flight: only then is it known which of them mean the same record, and
    /// of those none is written.
    pub(super) async fn settle_taken(&self) -> Vec<Done> {
        let taken: Vec<Taken> =
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        let mut done = Vec::new();
        let mut found = Vec::new();
        let mut taken = taken.into_iter().peekable();
        while taken.peek().is_some() {
            let some: Vec<Taken> = taken.by_ref().take(BATCH).collect();
            self.find(some, &mut found, &mut done).await;
        }
        let mut uses: HashMap<i64, u32> = HashMap::new();
        found.iter().for_each(|(_, record)| *uses.entry(record.id.0).or_insert(0) += 1);
        let mut updates = Vec::new();
        for (task, record) in found {
            match uses[&record.id.0] {
                1 => match self.decide(task, record) {
                    Decided::Done(end) => done.push(*end),
                    Decided::Send(task) => updates.push(*task),
                },
                _ => done.push(several(task, &record)),
            }
        }
        let mut queue: Queue = Queue::new();
        while !updates.is_empty() {
            let rest = updates.split_off(updates.len().min(BATCH));
            queue.push_back((Kind::Update, std::mem::replace(&mut updates, rest)));
        }
        self.work_off(queue, &mut done).await;
        done
    }

    /// Reads the records that have the keys of up to 100 rows.
    async fn find(&self, taken: Vec<Taken>, found: &mut Vec<(Task, Record)>, done: &mut Vec<Done>) {
        let known = taken.iter().filter_map(|taken| taken.existing).collect();
        let read = if self.gate.is_open() { self.read(known).await } else { None };
        let Some(records) = read else {
            return done.extend(taken.into_iter().map(|taken| Self::left(taken.task)));
        };
        for Taken { task, existing, refusal } in taken {
            let record = match existing {
                Some(id) => records.get(&id).cloned(),
                None => self.read_by_key(&task).await,
            };
            match record.filter(|record| self.has_key(&task, record)) {
                Some(record) => found.push((task, record)),
                None => done.push(task.refused(refusal)),
            }
        }
    }

    /// Whether the record is the one that the row means, and not one that only
    /// shares another unique value with it. An email may be one of several.
    fn has_key(&self, task: &Task, record: &Record) -> bool {
        match &self.target.key {
            MatchKey::Unique(property) => {
                let wanted = task.row.changes.get(property).map(|change| change.new.as_str());
                self.returned(property, record).as_deref() == wanted
            }
            MatchKey::Email | MatchKey::RecordId => true,
        }
    }

    fn decide(&self, mut task: Task, record: Record) -> Decided {
        if self.is_ours(&task, &record) {
            return Decided::Done(Box::new(self.written(task, record)));
        }
        let mut changes = again(&self.target, &task.row, &record, self.planned_at);
        if self.target.mode == Mode::Create {
            changes.values_mut().for_each(left_alone);
        }
        task.row.record_id = Some(record.id.0);
        let outcome = match changes.values().any(|change| change.is_write()) {
            true => None,
            false if changes.is_empty() => Some(Outcome::Unchanged),
            false => Some(Outcome::Kept),
        };
        task.row.changes = changes;
        match outcome {
            None => Decided::Send(Box::new(task)),
            Some(outcome) => {
                Decided::Done(Box::new(Done { record: Some(record), ..task.end(outcome) }))
            }
        }
    }

    /// Whether the record is our own create, the answer to which was lost: made
    /// since the plan, and with every value as it was sent. Anything else may be
    /// somebody else's, whose values the policies guard.
    fn is_ours(&self, task: &Task, record: &Record) -> bool {
        let is_new = record.created_at.is_some_and(|created| created >= self.planned_at);
        let mut writes = task.row.changes.iter().filter(|(_, change)| change.is_write());
        task.lost
            && is_new
            && writes
                .all(|(name, change)| self.returned(name, record).as_ref() == Some(&change.new))
    }

    async fn read_by_key(&self, task: &Task) -> Option<Record> {
        let property = self.target.key_property()?;
        let key = task.row.changes.get(property)?.new.clone();
        let found =
            records(&self.client, &self.target, vec![key], Some(property.to_owned())).await.ok()?;
        found.into_iter().next()
    }
}

/// `mode: create` changes no record that is there.
fn left_alone(change: &mut PlannedChange) {
    change.decision = "keep".to_owned();
    change.reason = Some(Kept::Exists.sentence().to_owned());
}

fn several(task: Task, record: &Record) -> Done {
    let refusal = Refusal {
        category: "DUPLICATE_KEY".into(),
        message: format!(
            "Several rows of the model mean record {}, by different keys: which one is right?",
            record.id
        ),
        ..Refusal::default()
    };
    task.refused(refusal)
}
