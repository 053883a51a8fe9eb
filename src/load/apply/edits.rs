//! What somebody changed between a plan and its sending is left alone.

use std::collections::HashMap;

use super::deliver::{Done, Sender, Task};
use super::settle::Refusal;
use super::writer::Kind;
use crate::hubspot::Record;
use crate::load::error::LoadError;
use crate::load::outcome::Outcome;
use crate::load::plan::refresh::records;

/// How old a plan may be, in µs, before its records are read again. A run
/// applies its own plan within seconds of reading them; a plan that a person
/// looked at first, or the end of a long one, has had time to go stale.
const FRESH: i64 = 60 * 1_000_000;

impl Sender {
    /// Takes out the rows whose records no longer hold what they were planned
    /// over, or which are to be archived and were touched at all: the next plan
    /// decides them anew. Rows sent before are left in, as what changed may be our
    /// own doing. Without `refresh`, a write-back reads nothing.
    pub(super) async fn hold_back_edited(
        &self,
        kind: Kind,
        tasks: Vec<Task>,
        done: &mut Vec<Done>,
    ) -> Vec<Task> {
        let is_fresh = super::now().saturating_sub(self.planned_at) < FRESH;
        if is_fresh || !self.target.refresh {
            return tasks;
        }
        let ids: Vec<String> = tasks
            .iter()
            .filter(|task| task.sends == 0)
            .filter_map(|task| Some(task.row.record_id?.to_string()))
            .collect();
        if ids.is_empty() {
            return tasks;
        }
        let found = match records(&self.client, &self.target, ids, None).await {
            Ok(found) => found,
            Err(error) => {
                if let LoadError::HubSpot { source, .. } = error {
                    self.gate.stop(source);
                }
                done.extend(tasks.into_iter().map(Self::left));
                return Vec::new();
            }
        };
        let found: HashMap<i64, Record> =
            found.into_iter().map(|record| (record.id.0, record)).collect();
        let mut unchanged = Vec::with_capacity(tasks.len());
        for task in tasks {
            let record = task.row.record_id.and_then(|id| found.get(&id));
            match record.and_then(|record| Some((self.edited(kind, &task, record)?, record))) {
                Some((what, record)) => done.push(held_back(task, &what, record)),
                None => unchanged.push(task),
            }
        }
        unchanged
    }

    /// What of a record is no longer as the row was planned over.
    fn edited(&self, kind: Kind, task: &Task, record: &Record) -> Option<String> {
        if task.sends > 0 {
            return None;
        }
        if kind == Kind::Archive {
            let is_touched = record.updated_at.is_some_and(|at| at > self.planned_at);
            return (is_touched && !record.archived).then(|| "The record".to_owned());
        }
        let was_edited = |name: &str, old: Option<&str>| {
            self.returned(name, record).unwrap_or_default() != old.unwrap_or("")
        };
        let mut writes = task.row.changes.iter().filter(|(_, change)| change.is_write());
        writes
            .find(|(name, change)| was_edited(name, change.old.as_deref()))
            .map(|(name, _)| format!("Property `{name}`"))
    }
}

fn held_back(task: Task, what: &str, record: &Record) -> Done {
    let refusal = Refusal {
        category: "HUBSPOT_CHANGED".into(),
        message: format!(
            "{what} was changed in HubSpot after the plan was made: the next plan decides"
        ),
        ..Refusal::default()
    };
    Done { record: Some(record.clone()), refusal: Some(refusal), ..task.end(Outcome::Deferred) }
}
