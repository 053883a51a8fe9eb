use std::sync::{Arc, Mutex, PoisonError};

use crate::extract::Progress;
use crate::hubspot::{BudgetUse, Client};
use crate::objects::ObjectType;

/// An object's name and its count.
type Line = (String, Arc<Progress>);

/// The objects being read and how far each has come, and what that costs.
/// Clones show the same.
#[derive(Clone)]
pub struct ProgressBoard {
    lines: Arc<Mutex<Vec<Line>>>,
    client: Client,
}

/// How far one object has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressLine {
    /// The object type.
    pub object: String,
    /// Records read so far.
    pub records: u64,
    /// Records there will be, about, where that is known.
    pub expected: Option<u64>,
}

impl ProgressBoard {
    /// An empty board of what this client reads.
    pub(super) fn new(client: &Client) -> Self {
        Self { lines: Arc::default(), client: client.clone() }
    }

    /// Puts an object on the board; it leaves when the entry is dropped.
    pub(super) fn enter(&self, object: &ObjectType) -> BoardEntry {
        let progress = Arc::new(Progress::default());
        self.lock().push((object.to_string(), progress.clone()));
        BoardEntry { board: self.clone(), progress }
    }

    /// Each object under way.
    pub fn lines(&self) -> Vec<ProgressLine> {
        let line = |(name, progress): &Line| ProgressLine {
            object: name.clone(),
            records: progress.records(),
            expected: progress.expected(),
        };
        self.lock().iter().map(line).collect()
    }

    /// How much of the account's budget is in use.
    pub fn budget(&self) -> BudgetUse {
        self.client.budget_use()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        // Names and counters stay whole whatever panicked beside them.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One object on the board.
pub(super) struct BoardEntry {
    board: ProgressBoard,
    pub(super) progress: Arc<Progress>,
}

impl Drop for BoardEntry {
    fn drop(&mut self) {
        self.board.lock().retain(|(_, progress)| !Arc::ptr_eq(progress, &self.progress));
    }
}
