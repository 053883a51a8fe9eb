//! Records that no list shows any more.
//!
//! A record can leave both lists without a word: purged after its time in the
//! recycle bin, or deleted for good. Its row stays and is marked with the time
//! at which it was missed; nothing is deleted. Because a record may also have
//! slipped through while the lists were read, each one missing is asked for
//! again, live and archived, before it counts as gone. A merged record is missing
//! there too, without a word; asked for alone it answers as its survivor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::{concat_batches, filter_record_batch, is_null};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::prelude::{col, lit};
use roaring::RoaringTreemap;

use super::decode::Page;
use super::error::{ExtractError, reading, storing};
use super::merges;
use super::object::{ObjectSync, Sink};
use super::pages::{PageSource, ids, is_refused, is_unreadable};
use super::ranges::Range;
use super::stored;
use crate::lake::Table;
use crate::objects::RecordId;

/// Records asked for alone at one settling, at most: a call each. Of more than these
/// nobody merges between two listings; they were deleted together.
const ASKED_ALONE: usize = 1_000;
/// Ids a batch read takes.
const BATCH: usize = 100;
/// Rows that are marked together: they are in memory then, whole.
const MARKED_AT_ONCE: usize = 10_000;

/// The ids that lists have shown, a few bytes each.
pub(super) struct Seen {
    /// None for a table that was empty: nothing can be missing from it.
    ids: Option<RoaringTreemap>,
    /// What was read in this attempt; only there can an id be missed.
    read: Option<Vec<(i64, i64)>>,
}

impl Seen {
    /// Nothing seen yet of the records of a table.
    pub(super) fn of(table: &Table) -> Self {
        Self { ids: (table.row_count() > 0).then(RoaringTreemap::new), read: None }
    }

    /// Says which ids of a list will be read now; the rest was read before a
    /// cut, and what was seen then is not known.
    pub(super) fn covered_before(&mut self, gaps: &[Range]) {
        // The live list comes first: of it alone can a live record be missed.
        self.read.get_or_insert_with(|| gaps.iter().map(|gap| (gap.next, gap.end)).collect());
    }

    /// Says that these ids will be read again, and are therefore known.
    pub(super) fn read_too(&mut self, ranges: &[Range]) {
        let read = self.read.get_or_insert_with(Vec::new);
        read.extend(ranges.iter().map(|range| (range.next, range.end)));
    }

    /// Takes in a page.
    pub(super) fn note(&mut self, page: &Page) {
        if let Some(seen) = &mut self.ids {
            seen.extend(ids(page).iter().map(|id| *id as u64));
            // One that nobody can read is there all the same.
            seen.extend(page.unreadable.iter().map(|record| record.id as u64));
        }
    }

    fn misses(&self, seen: &RoaringTreemap, id: i64) -> bool {
        let was_read = |id| {
            let mut read = self.read.iter().flatten();
            read.any(|(from, to)| (*from..*to).contains(&id))
        };
        !seen.contains(id as u64) && was_read(id)
    }
}

/// Asks again for every live record of the mirror, of those between two ids, that no
/// list has shown, and marks those that are gone.
pub(super) async fn settle(
    sync: &ObjectSync<'_>,
    source: &PageSource,
    seen: &Seen,
    between: (i64, i64),
    sink: &mut Sink<'_>,
    server_time: i64,
) -> Result<(), ExtractError> {
    let missing = missing(sink.table(), seen, between).await?;
    let mut gone = Vec::new();
    for batch in missing.chunks(BATCH) {
        let asked = sync.stop.run_until_cancelled(ask_again(source, batch, sink));
        let Some(absent) = asked.await else {
            sink.report.interrupted = true;
            break;
        };
        gone.extend(absent?);
        if sink.is_full() {
            sink.commit(Vec::new()).await?;
        }
    }
    sink.commit(Vec::new()).await?;
    let asked = sync.stop.run_until_cancelled(merged(sync, &gone, sink)).await;
    let Some(Alone { merged, there }) = asked.transpose()? else {
        sink.report.interrupted = true;
        return Ok(());
    };
    if let Some(rows) = merges::mark_all(sink.table(), &merged, source.stamp).await? {
        sink.mark(rows).await?;
    }
    gone.retain(|id| !merged.contains_key(id) && !there.contains(id));
    for part in gone.chunks(MARKED_AT_ONCE) {
        let rows = gone_rows(sink.table(), part, server_time, source.stamp).await?;
        if let Some(rows) = rows {
            sink.mark(rows).await?;
        }
    }
    Ok(())
}

/// Ids of rows that say their record is live, though no list has shown it.
async fn missing(
    table: &Table,
    seen: &Seen,
    (from, to): (i64, i64),
) -> Result<Vec<i64>, ExtractError> {
    let Some(shown) = &seen.ids else { return Ok(Vec::new()) };
    let live = col("archived")
        .is_not_true()
        .and(col("merged_into").is_null())
        .and(col("_vanished_at").is_null())
        .and(col("id").gt_eq(lit(from)))
        .and(col("id").lt(lit(to)));
    let unseen = |batch: &RecordBatch| -> BooleanArray {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        ids.values().iter().map(|id| Some(seen.misses(shown, *id))).collect()
    };
    let rows = stored::read_where(table, Some(&["id"]), Some(live), unseen).await?;
    let mut ids = rows
        .map_or(Vec::new(), |rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec());
    ids.sort_unstable();
    Ok(ids)
}

/// Reads records by id, live and archived; those in neither are returned.
async fn ask_again(
    source: &PageSource,
    asked: &[i64],
    sink: &mut Sink<'_>,
) -> Result<Vec<i64>, ExtractError> {
    let mut absent = asked.to_vec();
    for archived in [false, true] {
        if absent.is_empty() {
            break;
        }
        let page = source.read(&absent, archived).await?;
        sink.report.calls += 1;
        let found: std::collections::HashSet<i64> = ids(&page).iter().copied().collect();
        // A record that nobody can read is there all the same.
        let is_unreadable = |id: &i64| page.unreadable.iter().any(|record| record.id == *id);
        absent.retain(|id| !found.contains(id) && !is_unreadable(id));
        sink.push(page);
    }
    Ok(absent)
}

/// What missing records turned out to be when each was asked for alone.
#[derive(Default)]
struct Alone {
    /// Those that were merged, with their survivors.
    merged: BTreeMap<i64, i64>,
    /// Those that HubSpot shows after all: the next listing brings them.
    there: BTreeSet<i64>,
}

/// Asks for missing records alone. A type of which HubSpot does not show single
/// records tells of no merge.
async fn merged(
    sync: &ObjectSync<'_>,
    missing: &[i64],
    sink: &mut Sink<'_>,
) -> Result<Alone, ExtractError> {
    let mut alone = Alone::default();
    for id in missing.iter().take(ASKED_ALONE) {
        sink.report.calls += 1;
        let survivor = sync.client.survivor(sync.object, RecordId(*id)).await;
        match survivor.map_err(reading(sync.object.name())) {
            Ok(Some(found)) if found.0 == *id => drop(alone.there.insert(*id)),
            Ok(found) => alone.merged.extend(found.map(|other| (*id, other.0))),
            Err(error) if is_refused(&error) || is_unreadable(&error) => {
                tracing::warn!(object = %sync.object, %error, "Merges are not asked for");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(alone)
}

/// The stored rows of records that are gone, marked so. One whose survivor has
/// told of it meanwhile is not gone.
async fn gone_rows(
    table: &Table,
    gone: &[i64],
    server_time: i64,
    stamp: i64,
) -> Result<Option<RecordBatch>, ExtractError> {
    if gone.is_empty() {
        return Ok(None);
    }
    let key = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let keys = RecordBatch::try_new(key, vec![Arc::new(Int64Array::from(gone.to_vec()))])?;
    let rows = table.lookup(&keys).await.map_err(storing(table.name()))?;
    if rows.is_empty() {
        return Ok(None);
    }
    let rows = concat_batches(&table.schema(), &rows)?;
    let merged = rows.column_by_name("merged_into").expect("a mirror has it");
    let rows = filter_record_batch(&rows, &is_null(merged)?)?;
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let times = |micros: i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_value(micros, rows.num_rows());
        Arc::new(times.with_timezone("UTC"))
    };
    let marks = [("_vanished_at", times(server_time * 1_000)), ("_synced_at", times(stamp))];
    stored::with_columns(&rows, marks).map(Some)
}
