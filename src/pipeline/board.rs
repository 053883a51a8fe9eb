use std::sync::{Arc, Mutex, PoisonError};

use crate::extract::Progress;
use crate::objects::ObjectType;

/// An object's name and its count.
type Line = (String, Arc<Progress>);

/// The objects being read and how far each has come. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct ProgressBoard(Arc<Mutex<Vec<Line>>>);

impl ProgressBoard {
    /// Puts an object on the board; it leaves when the entry is dropped.
    pub(super) fn enter(&self, object: &ObjectType) -> BoardEntry {
        let progress = Arc::new(Progress::default());
        self.lock().push((object.to_string(), progress.clone()));
        BoardEntry { board: self.clone(), progress }
    }

    /// Each object under way with the records read of it so far.
    pub fn lines(&self) -> Vec<(String, u64)> {
        self.lock().iter().map(|(name, progress)| (name.clone(), progress.records())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        // Names and counters stay whole whatever panicked beside them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
