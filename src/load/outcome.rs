//! What became of rows, and the counts that must close.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What became of one wanted row. A 2xx answer is no outcome: an id or a trace
/// id in the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// HubSpot already held everything.
    Unchanged,
    /// A record was created.
    Created,
    /// A record was changed.
    Updated,
    /// A record was archived.
    Archived,
    /// A policy left what HubSpot holds, or HubSpot kept it itself.
    Kept,
    /// The row cannot be written as it is.
    Rejected,
    /// Not decided or not sent this time; the next run does.
    Deferred,
    /// Sent, and whether it was applied could not be found out.
    Unknown,
}

impl Outcome {
    /// The name in `system.writes`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Archived => "archived",
            Self::Kept => "kept",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
            Self::Unknown => "unknown",
        }
    }
}

/// Rows by outcome; of a plan, by the outcome expected.
///
/// `wanted = unchanged + created + updated + archived + kept + rejected +
/// deferred + unknown`; conflicts are counted per property, beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows of the model.
    pub wanted: u64,
    /// Rows HubSpot already held.
    pub unchanged: u64,
    /// Records created.
    pub created: u64,
    /// Records changed.
    pub updated: u64,
    /// Records archived.
    pub archived: u64,
    /// Rows a policy left alone.
    pub kept: u64,
    /// Rows that cannot be written as they are.
    pub rejected: u64,
    /// Rows left to the next run.
    pub deferred: u64,
    /// Rows whose write may have happened.
    pub unknown: u64,
    /// Properties that somebody edited and the model wants otherwise.
    pub conflicts: u64,
}

impl Counts {
    /// Counts one row.
    pub(crate) fn add(&mut self, outcome: Outcome) {
        *self.slot(outcome) += 1;
    }

    /// Moves a row from the outcome that was planned to the one that came.
    pub(crate) fn turn(&mut self, planned: Outcome, came: Outcome) {
        *self.slot(planned) -= 1;
        *self.slot(came) += 1;
    }

    /// Whether every wanted row has exactly one outcome.
    pub fn close(&self) -> bool {
        let outcomes = [
            self.unchanged,
            self.created,
            self.updated,
            self.archived,
            self.kept,
            self.rejected,
            self.deferred,
            self.unknown,
        ];
        self.wanted == outcomes.iter().sum::<u64>()
    }

    fn slot(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Created => &mut self.created,
            Outcome::Updated => &mut self.updated,
            Outcome::Archived => &mut self.archived,
            Outcome::Kept => &mut self.kept,
            Outcome::Rejected => &mut self.rejected,
            Outcome::Deferred => &mut self.deferred,
            Outcome::Unknown => &mut self.unknown,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.wanted += other.wanted;
        self.unchanged += other.unchanged;
        self.created += other.created;
        self.updated += other.updated;
        self.archived += other.archived;
        self.kept += other.kept;
        self.rejected += other.rejected;
        self.deferred += other.deferred;
        self.unknown += other.unknown;
        self.conflicts += other.conflicts;
    }
}
