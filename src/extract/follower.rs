//! How far a table derived from a mirror has followed it.
//!
//! Such a table holds what is read of each record of a mirror beside its
//! properties: associations, former values. Its cursors say up to which mirror
//! stamp (`_synced_at`) it has read. What was stored since is a *stretch* of
//! records, read in ascending order of id; where everything is due again after
//! the mirror was listed anew, the stretch is all of it. A stretch that takes
//! more than one commit notes its bounds and the last id read with its rows, and
//! a cut one is read to its end before another begins.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::{Expr, col, lit};
use datafusion::scalar::ScalarValue;

use super::config::Cadence;
use super::error::ExtractError;
use super::mirror::{FULL_COMPLETED, SYNCED, listed_at};
use super::register::Register;
use super::stored;
use crate::lake::{Cursor, Table};

/// The generation of no listing.
const NO_LISTING: i64 = 0;

/// The cursors of one derived table on one mirror.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    prefix: String,
    again: Cadence,
}

/// Records of a mirror that the derived table has not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Stored after this stamp,
    since: i64,
    /// and not after that one,
    until: i64,
    /// with an id above this one.
    reached: i64,
    /// The listing that the stretch follows, where it follows one.
    listing: Option<i64>,
    /// Its number among the stretches.
    turn: i64,
}

impl Follower {
    /// The follower whose cursors begin so, and how far apart the listings of the
    /// mirror are after which it reads everything again. After a full sync it
    /// always does.
    pub(super) fn new(prefix: String, again: Cadence) -> Self {
        Self { prefix, again }
    }

    fn id(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn cursor(&self, name: &str, value: i64) -> Cursor {
        Cursor { app_id: self.id(name), value }
    }

    /// What to read next: the rest of a cut stretch, or what is new; none where
    /// the table is as new as the mirror.
    pub(super) fn next(&self, table: &Table, mirror: &Table) -> Option<Stretch> {
        let at = |name: &str| table.cursor(&self.id(name));
        let (begun, done) = (at("begun").unwrap_or(0), at("done").unwrap_or(0));
        if begun > done {
            let is_former = at("cut") != Some(begun);
            let of_turn = |name: &str| match is_former {
                true => at(&format!("{begun}.{name}")),
                false => self.register(name).get(table),
            };
            return Some(Stretch {
                since: of_turn("since").unwrap_or(0),
                until: of_turn("until")?,
                reached: of_turn("reached").unwrap_or(i64::MIN),
                listing: of_turn("listing").filter(|listing| *listing != NO_LISTING),
                turn: begun,
            });
        }
        let until = mirror.cursor(SYNCED)?;
        let (synced, listing) = (at("synced"), listed_at(mirror));
        let is_relisted = self.is_due(at("full"), mirror);
        let is_behind = is_relisted || synced < Some(until);
        is_behind.then(|| Stretch {
            since: if is_relisted { 0 } else { synced.unwrap_or(0) },
            until,
            reached: i64::MIN,
            listing: listing.filter(|_| is_relisted),
            turn: begun + 1,
        })
    }

    /// Whether everything is to be read again, when last it was after a listing.
    fn is_due(&self, last: Option<i64>, mirror: &Table) -> bool {
        let Some(last) = last else { return listed_at(mirror).is_some() };
        let is_due = |listing: i64| listing > last && self.again.is_due(last, listing);
        mirror.cursor(FULL_COMPLETED) > Some(last) || listed_at(mirror).is_some_and(is_due)
    }

    fn register(&self, name: &str) -> Register {
        Register::new(self.id(name))
    }

    /// What a commit in the middle of a stretch says. The stretches share these
    /// names: `cut` says of which one they tell. Tables in which each stretch
    /// had names of its own are read on.
    pub(super) fn midway(&self, table: &Table, stretch: &Stretch, reached: i64) -> Vec<Cursor> {
        let mut cursors =
            vec![self.cursor("begun", stretch.turn), self.cursor("cut", stretch.turn)];
        for (name, value) in [
            ("since", stretch.since),
            ("until", stretch.until),
            ("reached", reached),
            ("listing", stretch.listing.unwrap_or(NO_LISTING)),
        ] {
            cursors.extend(self.register(name).set(table, value));
        }
        cursors
    }

    /// What the commit at the end of a stretch says.
    pub(super) fn done(&self, stretch: &Stretch) -> Vec<Cursor> {
        let mut cursors =
            vec![self.cursor("synced", stretch.until), self.cursor("done", stretch.turn)];
        // Numbers are given out once, whether a stretch was cut or not.
        cursors.push(self.cursor("begun", stretch.turn));
        cursors.extend(stretch.listing.map(|listing| self.cursor("full", listing)));
        cursors
    }
}

impl Stretch {
    /// The ids of its records for which `which` holds, ascending.
    pub(super) async fn ids(&self, mirror: &Table, which: Expr) -> Result<Vec<i64>, ExtractError> {
        let stamp =
            |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        let filter = col("_synced_at")
            .gt(stamp(self.since))
            .and(col("_synced_at").lt_eq(stamp(self.until)))
            .and(col("id").gt(lit(self.reached)))
            .and(which);
        let Some(stored) = stored::read(mirror, Some(&["id"]), Some(filter)).await? else {
            return Ok(Vec::new());
        };
        let mut ids = stored.column(0).as_primitive::<Int64Type>().values().to_vec();
        ids.sort_unstable();
        Ok(ids)
    }
}

/// Records of which HubSpot answers nothing any more.
pub(super) fn is_gone() -> Expr {
    col("archived").is_true().or(col("merged_into").is_not_null())
}
