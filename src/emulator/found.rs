//! What searches found before: the pages of one search, and the searches that
//! walk through an account by id, look at every record only once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Searches remembered per object type.
const SEARCHES: usize = 16;
/// Ids remembered of all of them: 16 MiB.
const IDS: usize = 2_000_000;

/// A number that no other state of anything has had.
pub(crate) fn stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Which search, over which state of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The state of records and properties.
    pub(crate) state: [u64; 2],
    pub(crate) text: String,
}

/// The ids that a search found, in its order.
pub(crate) type Ids = Arc<Vec<u64>>;

/// A search, and how many there were with those that were kept; none if it was
/// only asked.
type Search = (Question, Option<(u64, Ids)>);

/// The memory. Clones share it: states tell accounts apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<VecDeque<Search>>>);

impl Memory {
    /// How many there were, and those that were kept.
    pub(crate) fn recall(&self, question: &Question) -> Option<(u64, Ids)> {
        let mut searches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = searches.iter().position(|(known, _)| known == question)?;
        // What is asked for often is forgotten last.
        let recent = searches.remove(at)?;
        let found = recent.1.clone();
        searches.push_back(recent);
        found
    }

    /// Whether the question has been put before; from now on it has.
    pub(crate) fn was_asked(&self, question: &Question) -> bool {
        let asked = {
            let searches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            searches.iter().any(|(known, _)| known == question)
        };
        if !asked {
            self.keep(question.clone(), None);
        }
        asked
    }

    /// Keeps what a search found.
    pub(crate) fn remember(&self, question: Question, total: u64, ids: Ids) {
        if ids.len() <= IDS {
            self.keep(question, Some((total, ids)));
        }
    }

    fn keep(&self, question: Question, found: Option<(u64, Ids)>) {
        let mut searches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What was found in a state that is gone is of no use to anybody.
        searches.retain(|(known, _)| *known != question && known.state == question.state);
        searches.push_back((question, found));
        let size = |searches: &VecDeque<Search>| -> usize {
            searches.iter().filter_map(|(_, found)| Some(found.as_ref()?.1.len())).sum()
        };
        while searches.len() > SEARCHES || size(&searches) > IDS {
            searches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(state: u64, text: &str) -> Question {
        Question { state: [state, 0], text: text.to_owned() }
    }

    #[test]
    fn only_the_state_that_was_searched_is_remembered() {
        let memory = Memory::default();
        assert!(!memory.was_asked(&question(1, "a")));
        assert!(memory.was_asked(&question(1, "a")));
        assert_eq!(memory.recall(&question(1, "a")), None);
        memory.remember(question(1, "a"), 9, Arc::new(vec![4, 5]));
        assert_eq!(memory.recall(&question(1, "a")), Some((9, Arc::new(vec![4, 5]))));
        assert_eq!(memory.recall(&question(2, "a")), None);
        memory.remember(question(2, "b"), 0, Arc::default());
        assert_eq!(memory.recall(&question(1, "a")), None, "the old state is forgotten");
    }

    #[test]
    fn it_does_not_grow() {
        let memory = Memory::default();
        for turn in 0..100 {
            let ids = Arc::new(vec![0; IDS / 4]);
            memory.remember(question(1, &turn.to_string()), 1, ids);
        }
        assert_eq!(memory.recall(&question(1, "90")), None);
        assert!(memory.recall(&question(1, "96")).is_some());
        memory.remember(question(1, "100"), 1, Arc::new(vec![0; IDS / 4]));
        assert!(memory.recall(&question(1, "96")).is_some(), "it was asked for last");
        assert!(memory.recall(&question(1, "99")).is_some());
    }
}
