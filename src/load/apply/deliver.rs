//! One batch to one outcome per row: sent, settled, halved, resolved by
//! reading, planned again, until nothing is open.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::gate::Gate;
use super::settle::{BatchFate, Finding, Refusal, fate, finding_of_one, settle};
use super::taken::Taken;
use super::writer::{Kind, Writer};
use crate::hubspot::{Client, Record, WriteInput};
use crate::load::outcome::Outcome;
use crate::load::plan::refresh::records;
use crate::load::plan::{PlannedChange, PlannedRow};
use crate::load::target::Target;

/// How often a row is sent before its outcome is left unknown to the next run.
pub(crate) const MAX_SENDS: u32 = 4;

/// How often a row is sent to a property just created, which HubSpot lets rows
/// use 250 to 700 ms after it answered.
const MAX_WAITS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// One row on its way.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) row: PlannedRow,
    /// What the plan counted the row as.
    pub(crate) planned: Outcome,
    pub(super) sends: u32,
    waits: u32,
    /// An answer was lost: what is found later may be our own doing.
    pub(super) lost: bool,
}

/// A row with its outcome.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) task: Task,
    pub(crate) outcome: Outcome,
    /// The record as HubSpot answered it.
    pub(crate) record: Option<Record>,
    pub(crate) refusal: Option<Refusal>,
    /// Whether the row was sent at all.
    pub(crate) sent: bool,
    /// A step of the row, not its end: values emptied so that they can be written.
    pub(crate) is_step: bool,
}

/// Everything a batch needs; shared by the batches in flight.
pub(crate) struct Sender {
    pub(crate) writer: Arc<dyn Writer>,
    /// For reading what a write left unclear.
    pub(crate) client: Client,
    pub(crate) target: Arc<Target>,
    /// Properties created by this run.
    pub(crate) created: BTreeSet<String>,
    /// When the plan was made, µs since 1970.
    pub(crate) planned_at: i64,
    pub(crate) gate: Gate,
    /// Creates whose key turned out to be taken.
    pub(super) taken: Mutex<Vec<Taken>>,
}

impl Task {
    pub(crate) fn new(row: PlannedRow) -> (Kind, Self) {
        let (kind, planned) = match row.action.as_str() {
            "create" => (Kind::Create, Outcome::Created),
            "archive" => (Kind::Archive, Outcome::Archived),
            _ => (Kind::Update, Outcome::Updated),
        };
        (kind, Self { row, planned, sends: 0, waits: 0, lost: false })
    }

    /// A row that is left to the next run.
    pub(crate) fn deferred(self) -> Done {
        self.end(Outcome::Deferred)
    }

    pub(super) fn end(self, outcome: Outcome) -> Done {
        let sent = self.sends > 0;
        Done { task: self, outcome, record: None, refusal: None, sent, is_step: false }
    }

    pub(super) fn refused(self, refusal: Refusal) -> Done {
        Done { refusal: Some(refusal), ..self.end(Outcome::Rejected) }
    }

    /// Whether the next request only empties what must be empty before it is
    /// written.
    pub(crate) fn clears(&self) -> bool {
        self.row.changes.values().any(must_clear)
    }

    /// What the next request sends: property, value held before, value.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&str, Option<&str>, &str)> {
        let clears = self.clears();
        let sent = move |change: &PlannedChange| match clears {
            true => must_clear(change),
            false => change.is_write(),
        };
        self.row.changes.iter().filter(move |(_, change)| sent(change)).map(
            move |(name, change)| {
                let new = if clears { "" } else { change.new.as_str() };
                (name.as_str(), change.old.as_deref(), new)
            },
        )
    }

    /// The row after what it empties first is empty.
    fn cleared(mut self) -> Self {
        let emptied = self.row.changes.values_mut().filter(|change| must_clear(change));
        emptied.for_each(|change| change.old = None);
        self
    }

    fn input(&self, kind: Kind) -> WriteInput {
        WriteInput {
            id: self.row.record_id.filter(|_| kind == Kind::Update).map(|id| id.to_string()),
            id_property: None,
            properties: self
                .writes()
                .map(|(name, _, new)| (name.to_owned(), new.to_owned()))
                .collect(),
            trace_id: match self.clears() {
                true => format!("{}-c", self.row.trace_id),
                false => self.row.trace_id.clone(),
            },
        }
    }
}

/// Whether a value has to be emptied before it can be written.
fn must_clear(change: &PlannedChange) -> bool {
    change.clears_first() && change.old.as_deref().is_some_and(|old| !old.is_empty())
}

/// A batch's rows, sorted by what has to happen next.
#[derive(Default)]
struct Sorted {
    lost: Vec<Task>,
    halves: Vec<Task>,
    waiting: Vec<Task>,
    /// Emptied, to be written next.
    cleared: Vec<Task>,
}

pub(super) type Queue = VecDeque<(Kind, Vec<Task>)>;

impl Sender {
    /// Sends one batch of at most 100 rows and returns them with their outcomes;
    /// those whose key is taken wait for [`Sender::settle_taken`].
    pub(crate) async fn deliver(self: Arc<Self>, kind: Kind, tasks: Vec<Task>) -> Vec<Done> {
        let mut done = Vec::new();
        self.work_off([(kind, tasks)].into(), &mut done).await;
        done
    }

    /// Sends batches until no row of them is open.
    pub(super) async fn work_off(&self, mut queue: Queue, done: &mut Vec<Done>) {
        while let Some((kind, tasks)) = queue.pop_front() {
            if !self.gate.is_open() {
                done.extend(tasks.into_iter().map(Self::left));
                continue;
            }
            self.send(kind, tasks, &mut queue, done).await;
        }
    }

    /// A row that cannot be sent any more: open if an answer to it was lost.
    pub(super) fn left(task: Task) -> Done {
        if task.lost { task.end(Outcome::Unknown) } else { task.deferred() }
    }

    async fn send(
        &self,
        kind: Kind,
        mut tasks: Vec<Task>,
        queue: &mut Queue,
        done: &mut Vec<Done>,
    ) {
        if kind != Kind::Create {
            tasks = self.hold_back_edited(kind, tasks, done).await;
        }
        if tasks.is_empty() {
            return;
        }
        if kind == Kind::Archive {
            return self.archive(tasks, queue, done).await;
        }
        let inputs: Vec<WriteInput> = tasks.iter().map(|task| task.input(kind)).collect();
        tasks.iter_mut().for_each(|task| task.sends += 1);
        let key = self.target.key_property().filter(|_| kind == Kind::Create);
        match self.writer.write(kind, &self.target.object, &inputs).await {
            Ok(reply) => {
                self.gate.settled();
                let findings = settle(&inputs, &reply, key);
                self.sort(kind, tasks.into_iter().zip(findings).collect(), queue, done).await;
            }
            Err(error) => match fate(&error.kind(), error.api()) {
                BatchFate::Halve(refusal) if tasks.len() == 1 => {
                    let finding = finding_of_one(error.api(), refusal, key);
                    if matches!(finding, Finding::Refused(_)) && self.gate.refused_alone() {
                        self.gate.stop(error);
                    }
                    self.sort(kind, tasks.into_iter().zip([finding]).collect(), queue, done).await;
                }
                BatchFate::Halve(_) => halve(kind, tasks, queue),
                BatchFate::Unknown => self.resolve(kind, tasks, queue, done).await,
                BatchFate::Stop => {
                    self.gate.stop(error);
                    done.extend(tasks.into_iter().map(Self::left));
                }
            },
        }
    }

    async fn sort(
        &self,
        kind: Kind,
        found: Vec<(Task, Finding)>,
        queue: &mut Queue,
        done: &mut Vec<Done>,
    ) {
        let mut sorted = Sorted::default();
        for (mut task, finding) in found {
            match finding {
                Finding::Written(record) => {
                    sorted.cleared.extend(self.settled(task, record, done));
                }
                Finding::Refused(refusal)
                    if task.waits < MAX_WAITS && refusal.awaits(&self.created) =>
                {
                    task.waits += 1;
                    sorted.waiting.push(task);
                }
                Finding::Refused(refusal) => done.push(task.refused(refusal)),
                Finding::Conflict { existing, refusal } if kind == Kind::Create => {
                    let existing = existing.map(|id| id.0);
                    let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                    taken.push(Taken { task, existing, refusal });
                }
                Finding::Conflict { refusal, .. } => done.push(task.refused(refusal)),
                Finding::Silent => sorted.lost.push(task),
                Finding::Unattributed(_) => sorted.halves.push(task),
            }
        }
        if !sorted.waiting.is_empty() {
            let waits = sorted.waiting.iter().map(|task| task.waits).max().unwrap_or(1);
            tokio::time::sleep(FIRST_WAIT * 2u32.pow(waits - 1)).await;
            queue.push_back((kind, sorted.waiting));
        }
        if !sorted.cleared.is_empty() {
            queue.push_back((kind, sorted.cleared));
        }
        halve(kind, sorted.halves, queue);
        self.resolve(kind, sorted.lost, queue, done).await;
    }

    /// Ends a row whose record came back, or takes its next step: the row is
    /// returned when it is to be sent again with its values.
    fn settled(&self, task: Task, record: Record, done: &mut Vec<Done>) -> Option<Task> {
        let clears = task.clears();
        let end = self.written(task, record);
        if !clears || end.outcome != Outcome::Updated {
            done.push(end);
            return None;
        }
        let next = end.task.clone().cleared();
        done.push(Done { is_step: true, ..end });
        Some(next)
    }

    /// The outcome of a row whose record came back.
    pub(super) fn written(&self, task: Task, record: Record) -> Done {
        let was_ignored = |name: &str, old: Option<&str>, new: &str| {
            let now = self.returned(name, &record);
            now.is_some_and(|now| now != new && Some(now.as_str()) == Some(old.unwrap_or("")))
        };
        let ignored = task.writes().filter(|(name, old, new)| was_ignored(name, *old, new));
        let ignored: Vec<&str> = ignored.map(|(name, ..)| name).collect();
        let is_kept = !ignored.is_empty() && ignored.len() == task.writes().count();
        let refusal = (!ignored.is_empty()).then(|| Refusal {
            category: "VALUE_IGNORED".into(),
            message: format!(
                "HubSpot accepted the write and kept its own value of `{}`",
                ignored.join("`, `")
            ),
            ..Refusal::default()
        });
        let outcome = match (is_kept, task.row.record_id) {
            (true, _) => Outcome::Kept,
            (false, None) => Outcome::Created,
            (false, Some(_)) => Outcome::Updated,
        };
        Done { record: Some(record), refusal, ..task.end(outcome) }
    }

    /// What HubSpot answered for a property, in comparable form.
    pub(super) fn returned(&self, name: &str, record: &Record) -> Option<String> {
        let text = record.properties.get(name)?.as_deref().unwrap_or("");
        let property = self.target.written().find(|property| property.name == name);
        let key_form =
            || Some(&self.target.key_form).filter(|_| self.target.key_property() == Some(name));
        Some(match property.map(|property| &property.form).or_else(key_form) {
            Some(form) if !text.is_empty() => form.held(text).into_owned(),
            _ => text.to_owned(),
        })
    }

    /// Rows whose outcome no answer tells. Updates are read: what is there
    /// tells most, though a read that does not show a write is no proof, so a
    /// row is sent again only over the value it was planned over, which bears
    /// repeating. Creates are sent again: their unique key makes a record that
    /// was created after all show as a conflict.
    async fn resolve(
        &self,
        kind: Kind,
        mut tasks: Vec<Task>,
        queue: &mut Queue,
        done: &mut Vec<Done>,
    ) {
        if tasks.is_empty() {
            return;
        }
        tasks.iter_mut().for_each(|task| task.lost = true);
        let found = match kind {
            Kind::Create => HashMap::new(),
            Kind::Update | Kind::Archive => {
                let ids = tasks.iter().filter_map(|task| task.row.record_id).collect();
                match self.read(ids).await {
                    Some(found) => found,
                    None => {
                        return done
                            .extend(tasks.into_iter().map(|task| task.end(Outcome::Unknown)));
                    }
                }
            }
        };
        let mut again = Vec::new();
        for task in tasks {
            match self.judge(kind, &task, &found) {
                Judgement::Written(record) => again.extend(self.settled(task, record, done)),
                Judgement::Gone => done.push(task.refused(gone())),
                Judgement::SendAgain if task.sends < MAX_SENDS => again.push(task),
                Judgement::SendAgain | Judgement::Open => done.push(task.end(Outcome::Unknown)),
            }
        }
        if !again.is_empty() {
            queue.push_back((kind, again));
        }
    }

    fn judge(&self, kind: Kind, task: &Task, found: &HashMap<i64, Record>) -> Judgement {
        if kind == Kind::Create {
            return Judgement::SendAgain;
        }
        let Some(record) = task.row.record_id.and_then(|id| found.get(&id)) else {
            return Judgement::Gone;
        };
        let now = |name: &str| self.returned(name, record).unwrap_or_default();
        if task.writes().all(|(name, _, new)| now(name) == new) {
            return Judgement::Written(record.clone());
        }
        let is_untouched = |name: &str, old: Option<&str>, new: &str| {
            let now = now(name);
            now == new || now == old.unwrap_or("")
        };
        match task.writes().all(|(name, old, new)| is_untouched(name, old, new)) {
            true => Judgement::SendAgain,
            false => Judgement::Open,
        }
    }

    /// The records by id; `None` when they cannot be read, which the log tells.
    pub(super) async fn read(&self, ids: Vec<i64>) -> Option<HashMap<i64, Record>> {
        if ids.is_empty() {
            return Some(HashMap::new());
        }
        let texts = ids.iter().map(i64::to_string).collect();
        match records(&self.client, &self.target, texts, None).await {
            Ok(found) => Some(found.into_iter().map(|record| (record.id.0, record)).collect()),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Outcomes of a batch stay unknown: it cannot be read"
                );
                None
            }
        }
    }
}

/// What a read says about a row whose answer was lost.
enum Judgement {
    Written(Record),
    SendAgain,
    /// Somebody else wrote meanwhile: the next run decides.
    Open,
    Gone,
}

fn gone() -> Refusal {
    Refusal {
        category: "OBJECT_NOT_FOUND".into(),
        message: "HubSpot no longer shows this record: it was merged into another or deleted. The next extract tells \
                  which"
            .into(),
        ..Refusal::default()
    }
}

pub(super) fn halve(kind: Kind, mut tasks: Vec<Task>, queue: &mut Queue) {
    if tasks.is_empty() {
        return;
    }
    let rest = tasks.split_off(tasks.len() / 2);
    queue
        .extend([tasks, rest].into_iter().filter(|half| !half.is_empty()).map(|half| (kind, half)));
}
