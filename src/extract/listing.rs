//! Which listing is under way, and how much of each of its lists is committed
//! as read.
//!
//! The stretches of ids that are read are numbers in slots, and the slots keep
//! their names from one listing to the next: whatever a name stands for, it
//! stays in the table's log for ever. A slot says something only of the
//! generation that stands beside it.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::{col, lit};
use futures::TryStreamExt;
use roaring::RoaringTreemap;

use super::error::{ExtractError, storing};
use super::mirror::{
    FULL_COMPLETED, FULL_STARTED, RECONCILE_COMPLETED, RECONCILE_STARTED, is_complete,
};
use super::object::SyncMode;
use super::ranges::{Coverage, END};
use super::register::Register;
use super::selection::next_generation;
use crate::lake::{Cursor, Table};

/// The longest a cut reconciliation is worth going on with; a full sync always
/// is.
const RECONCILE_GOES_ON: Duration = Duration::from_secs(24 * 60 * 60);
/// Rows of the mirror whose records are read again before it is settled who of them
/// is missing: half a minute at HubSpot's usual limit.
pub(super) const PIECE: u64 = 50_000;
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

    /// The pieces, by the ids they lie between, in which it is still to be found out
    /// who is missing: of `size` rows each, one after the other, to the end.
    pub(super) async fn pieces_to_settle(
        &self,
        table: &Table,
        size: u64,
    ) -> Result<Vec<(i64, i64)>, ExtractError> {
        let is_begun = table.cursor(&self.id("settled")) == Some(self.begun.value);
        let settled = self.register("settled").get(table).filter(|_| is_begun).unwrap_or(0);
        let rest = col("id").gt_eq(lit(settled));
        let mut ids = RoaringTreemap::new();
        let unreadable = |source| ExtractError::Scan { table: table.name().to_string(), source };
        let mut rows =
            table.scan(Some(&["id"]), Some(rest)).await.map_err(storing(table.name()))?;
        while let Some(batch) = rows.try_next().await.map_err(unreadable)? {
            ids.extend(
                batch.column(0).as_primitive::<Int64Type>().values().iter().map(|id| *id as u64),
            );
        }
        let starts = (1..).map_while(|piece| ids.select(piece * size)).map(|id| id as i64);
        let bounds: Vec<i64> = [settled].into_iter().chain(starts).chain([END]).collect();
        Ok(bounds
            .windows(2)
            .map(|pair| (pair[0], pair[1]))
            .filter(|(from, to)| from < to)
            .collect())
    }

    /// Says that it is settled who is missing below an id.
    pub(super) fn settled(&self, table: &Table, below: i64) -> Vec<Cursor> {
        let generation = Cursor { app_id: self.id("settled"), value: self.begun.value };
        let mut cursors = vec![generation];
        cursors.extend(self.register("settled").set(table, below));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::lake::{Changes, Lake, LakeConfig, TableName, TableSpec};

    #[tokio::test]
    async fn pieces_go_on_from_what_is_settled_of_the_same_listing() {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), folder.path()).await.expect("a lake");
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        let spec = TableSpec {
            name: TableName::hubspot("any"),
            schema: schema.clone(),
            key: vec!["id".to_owned()],
            partition_by: Vec::new(),
        };
        let mut table = lake.open_or_create(&spec).await.expect("a table");
        let list = |generation| List::new(Listing::Reconcile, generation, false);
        let pieces = async |table: &Table, generation| {
            list(generation).pieces_to_settle(table, 2).await.expect("pieces")
        };
        assert_eq!(pieces(&table, 1).await, [(0, END)]);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![50, 10, 30, 20, 40]));
        let rows = vec![RecordBatch::try_new(schema, vec![ids]).expect("rows")];
        table.upsert(Changes { rows, ..Changes::default() }, &[]).await.expect("a commit");
        assert_eq!(pieces(&table, 1).await, [(0, 30), (30, 50), (50, END)]);
        let cursors = list(1).settled(&table, 30);
        table.commit_cursors(&cursors).await.expect("a commit");
        assert_eq!(pieces(&table, 1).await, [(30, 50), (50, END)]);
        assert_eq!(pieces(&table, 2).await, [(0, 30), (30, 50), (50, END)], "another listing");
        let cursors = list(1).settled(&table, END);
        table.commit_cursors(&cursors).await.expect("a commit");
        assert_eq!(pieces(&table, 1).await, []);
    }
}
