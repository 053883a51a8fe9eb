//! Which listing is under way, and how much of each of its lists is committed
//! as read.
//!
//! The stretches of ids that are read are numbers in slots, and the slots keep
//! their names from one listing to the next: whatever a name stands for, it
//! stays in the table's log for ever. A slot says something only of the
//! generation that stands beside it.

use std::time::Duration;

use super::mirror::{
    FULL_COMPLETED, FULL_STARTED, RECONCILE_COMPLETED, RECONCILE_STARTED, is_complete,
};
use super::object::SyncMode;
use super::ranges::Coverage;
use super::register::Register;
use super::selection::next_generation;
use crate::lake::{Cursor, Table};

/// The longest a cut reconciliation is worth going on with; a full sync always
/// is.
const RECONCILE_GOES_ON: Duration = Duration::from_secs(24 * 60 * 60);
/// Stretches that are noted. There are as many gaps as walks at most, fifty; what
/// would not fit is read again after a cut.
const MOST_STRETCHES: usize = 64;

/// Why everything is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Full,
    Reconcile,
}

impl Listing {
    /// The cursors of its generation, when begun and when through.
    pub(super) fn cursors(self) -> (&'static str, &'static str) {
        match self {
            Self::Full => (FULL_STARTED, FULL_COMPLETED),
            Self::Reconcile => (RECONCILE_STARTED, RECONCILE_COMPLETED),
        }
    }

    /// What the cursors of its stretches begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Full => "hublake.full",
            Self::Reconcile => "hublake.reconcile",
        }
    }

    /// The generation to go on with, or a new one.
    pub(super) fn generation(self, table: &Table, mode: SyncMode, server_time: i64) -> i64 {
        let (started, completed) = self.cursors();
        let cut = table.cursor(started).filter(|begun| table.cursor(completed) < Some(*begun));
        let goes_on = |begun: i64| match self {
            Self::Full => mode == SyncMode::Auto && !is_complete(table),
            Self::Reconcile => server_time - begun < RECONCILE_GOES_ON.as_millis() as i64,
        };
        cut.filter(|begun| goes_on(*begun))
            .unwrap_or_else(|| next_generation(table, started, server_time))
    }
}

/// One of the two lists of a listing.
pub(super) struct List {
    pub(super) archived: bool,
    begun: Cursor,
    /// What its cursors begin with.
    prefix: String,
    /// What they began with when each generation had names of its own. Tables
    /// written then are read on.
    former: String,
}

impl List {
    pub(super) fn new(listing: Listing, generation: i64, archived: bool) -> Self {
        let name = if archived { "archived" } else { "live" };
        let (started, _) = listing.cursors();
        Self {
            archived,
            begun: Cursor { app_id: started.to_owned(), value: generation },
            prefix: format!("{}.{name}", listing.name()),
            former: format!("{}.{generation}.{name}", listing.name()),
        }
    }

    fn id(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn register(&self, name: &str) -> Register {
        Register::new(self.id(name))
    }

    fn slot(&self, number: usize) -> (Register, Register) {
        let half = |name: &str| self.register(&format!("{number}.{name}"));
        (half("start"), half("reached"))
    }

    /// What is committed as read.
    pub(super) fn coverage(&self, table: &Table) -> Coverage {
        let mut coverage = Coverage::default();
        if table.cursor(&self.id("generation")) != Some(self.begun.value) {
            for (start, reached) in table.cursors_under(&format!("{}.", self.former)) {
                if let Ok(start) = start.parse() {
                    coverage.note(start, reached);
                }
            }
            return coverage;
        }
        let count = self.register("stretches").get(table).unwrap_or(0);
        for number in 0..usize::try_from(count).unwrap_or(0).min(MOST_STRETCHES) {
            let (start, reached) = self.slot(number);
            if let (Some(start), Some(reached)) = (start.get(table), reached.get(table)) {
                coverage.note(start, reached);
            }
        }
        coverage
    }

    /// What a commit in the middle says: which generation, how far.
    pub(super) fn cursors(&self, table: &Table, coverage: &Coverage) -> Vec<Cursor> {
        let mut stretches = coverage.joined();
        stretches.truncate(MOST_STRETCHES);
        let generation = Cursor { app_id: self.id("generation"), value: self.begun.value };
        let mut cursors = vec![self.begun.clone(), generation];
        cursors.extend(self.register("stretches").set(table, stretches.len() as i64));
        for (number, (start, reached)) in stretches.into_iter().enumerate() {
            let (from, to) = self.slot(number);
            cursors.extend(from.set(table, start));
            cursors.extend(to.set(table, reached));
        }
        cursors
    }

    /// Whether the list was found not to be in the order of ids: what is
    /// committed as read is then no stretch of it.
    pub(super) fn is_unordered(&self, table: &Table) -> bool {
        let former = format!("{}.unordered", self.former);
        table.cursor(&self.id("unordered")) == Some(self.begun.value)
            || table.cursor(&former).is_some()
    }

    /// Says that it is so.
    pub(super) fn unordered(&self) -> Cursor {
        Cursor { app_id: self.id("unordered"), value: self.begun.value }
    }
}
