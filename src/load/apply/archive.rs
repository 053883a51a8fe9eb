//! Records to the recycle bin. HubSpot answers an archive with nothing, so
//! that every outcome is read.

use super::deliver::{Done, MAX_SENDS, Queue, Sender, Task, halve};
use super::settle::{BatchFate, fate};
use super::writer::Kind;
use crate::load::outcome::Outcome;
use crate::objects::RecordId;

impl Sender {
    /// Archives a batch and looks whether its records are gone.
    pub(super) async fn archive(
        &self,
        mut tasks: Vec<Task>,
        queue: &mut Queue,
        done: &mut Vec<Done>,
    ) {
        let ids: Vec<RecordId> =
            tasks.iter().filter_map(|task| task.row.record_id.map(RecordId)).collect();
        tasks.iter_mut().for_each(|task| task.sends += 1);
        match self.writer.archive(&self.target.object, &ids).await {
            Ok(()) if !self.writer.writes() => {
                done.extend(tasks.into_iter().map(|task| task.end(Outcome::Archived)));
            }
            Ok(()) => self.look(tasks, queue, done).await,
            Err(error) => match fate(&error.kind(), error.api()) {
                BatchFate::Halve(refusal) if tasks.len() == 1 => {
                    done.extend(tasks.into_iter().map(|task| task.refused(refusal.clone())));
                }
                BatchFate::Halve(_) => halve(Kind::Archive, tasks, queue),
                BatchFate::Unknown => self.look(tasks, queue, done).await,
                BatchFate::Stop => {
                    self.gate.stop(error);
                    done.extend(tasks.into_iter().map(Self::left));
                }
            },
        }
    }

    /// Ends the rows whose records HubSpot shows no more; asking again for the
    /// others bears repeating.
    async fn look(&self, mut tasks: Vec<Task>, queue: &mut Queue, done: &mut Vec<Done>) {
        tasks.iter_mut().for_each(|task| task.lost = true);
        let ids = tasks.iter().filter_map(|task| task.row.record_id).collect();
        let Some(shown) = self.read(ids).await else {
            return done.extend(tasks.into_iter().map(|task| task.end(Outcome::Unknown)));
        };
        let is_shown = |task: &Task| {
            let record = task.row.record_id.and_then(|id| shown.get(&id));
            record.is_some_and(|record| !record.archived)
        };
        let (left, gone): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(is_shown);
        done.extend(gone.into_iter().map(|task| task.end(Outcome::Archived)));
        let (again, unknown): (Vec<Task>, Vec<Task>) =
            left.into_iter().partition(|task| task.sends < MAX_SENDS);
        done.extend(unknown.into_iter().map(|task| task.end(Outcome::Unknown)));
        if !again.is_empty() {
            queue.push_back((Kind::Archive, again));
        }
    }
}
