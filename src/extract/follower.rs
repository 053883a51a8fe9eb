//! How far a table derived from a mirror has followed it.
//!
//! Such a table holds what is read of each record of a mirror beside its
//! properties: associations, former values. Its cursors say up to which mirror
//! stamp (`_synced_at`) it has read. What was stored since is a *stretch* of
//! records, read in ascending order of id; after the mirror has been listed
//! anew, the stretch is all of it. A stretch that takes more than one commit
//! notes its bounds and the last id read with its rows, and a cut one is read
//! to its end before another begins.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::{Expr, col, lit};
use datafusion::scalar::ScalarValue;

use super::error::ExtractError;
use super::mirror::{SYNCED, listed_at};
use super::stored;
use crate::lake::{Cursor, Table};

/// The cursors of one derived table on one mirror.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    prefix: String,
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
    /// The follower whose cursors begin so.
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix }
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
            let of_turn = |name: &str| at(&format!("{begun}.{name}"));
            return Some(Stretch {
                since: of_turn("since").unwrap_or(0),
                until: of_turn("until")?,
                reached: of_turn("reached").unwrap_or(i64::MIN),
                listing: of_turn("listing"),
                turn: begun,
            });
        }
        let until = mirror.cursor(SYNCED)?;
        let (synced, listing) = (at("synced"), listed_at(mirror));
        let is_relisted = listing > at("full");
        let is_behind = is_relisted || synced < Some(until);
        is_behind.then(|| Stretch {
            since: if is_relisted { 0 } else { synced.unwrap_or(0) },
            until,
            reached: i64::MIN,
            listing: listing.filter(|_| is_relisted),
            turn: begun + 1,
        })
    }

    /// What a commit in the middle of a stretch says.
    pub(super) fn midway(&self, stretch: &Stretch, reached: i64) -> Vec<Cursor> {
        let of_turn = |name: &str, value| self.cursor(&format!("{}.{name}", stretch.turn), value);
        let mut cursors = vec![
            self.cursor("begun", stretch.turn),
            of_turn("since", stretch.since),
            of_turn("until", stretch.until),
            of_turn("reached", reached),
        ];
        cursors.extend(stretch.listing.map(|listing| of_turn("listing", listing)));
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
