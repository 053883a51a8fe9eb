//! Merged records: the losers of a merge, marked in their own rows.
//!
//! A merge makes a record whose `hs_merged_object_ids` names the ids that went
//! into it; those ids vanish from list and search. Their rows stay, with
//! `merged_into` naming the survivor: the last one, where one survivor went into
//! another.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::prelude::col;

use super::error::{ExtractError, storing};
use super::stored::{self, with_columns};
use crate::lake::Table;

/// The stored rows that the records in `rows` have swallowed, marked so; none
/// where every such row is marked already or not stored.
pub(super) async fn losers(
    table: &Table,
    rows: &[RecordBatch],
    stamp: i64,
) -> Result<Option<RecordBatch>, ExtractError> {
    let mut survivors = BTreeMap::new();
    for batch in rows {
        collect_merges(batch, &mut survivors);
    }
    for batch in rows {
        for id in batch.column(0).as_primitive::<Int64Type>().values() {
            survivors.remove(id);
        }
    }
    mark_all(table, &survivors, stamp).await
}

/// The stored rows of these losers, marked with their survivors, and with them
/// the rows that had gone into one of the losers before.
pub(super) async fn mark_all(
    table: &Table,
    survivors: &BTreeMap<i64, i64>,
    stamp: i64,
) -> Result<Option<RecordBatch>, ExtractError> {
    if survivors.is_empty() {
        return Ok(None);
    }
    let survivors: BTreeMap<i64, i64> =
        survivors.keys().map(|loser| (*loser, last_of_chain(survivors, *loser))).collect();
    let ids: Int64Array = survivors.keys().copied().collect();
    let key = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let keys = RecordBatch::try_new(key, vec![Arc::new(ids)])?;
    let stored = table.lookup(&keys).await.map_err(storing(table.name()))?;
    if stored.is_empty() {
        return Ok(None);
    }
    let marked = mark(&concat_batches(&table.schema(), &stored)?, "id", &survivors, stamp)?;
    let Some(marked) = marked else { return Ok(None) };
    let fresh: HashSet<i64> = id_column(&marked, "id").values().iter().copied().collect();
    let went_before = |batch: &RecordBatch| -> BooleanArray {
        let (ids, into) = (id_column(batch, "id"), id_column(batch, "merged_into"));
        let goes_on = |row| fresh.contains(&into.value(row)) && !fresh.contains(&ids.value(row));
        (0..batch.num_rows()).map(|row| Some(goes_on(row))).collect()
    };
    let is_merged = col("merged_into").is_not_null();
    let earlier = stored::read_where(table, None, Some(is_merged), went_before).await?;
    let earlier = match earlier {
        Some(earlier) => mark(&earlier, "merged_into", &survivors, stamp)?,
        None => None,
    };
    let rows: Vec<_> = std::iter::once(marked).chain(earlier).collect();
    Ok(Some(concat_batches(&table.schema(), &rows)?))
}

/// Where a chain of merges ends; one that bites its tail is left where it began.
fn last_of_chain(survivors: &BTreeMap<i64, i64>, loser: i64) -> i64 {
    let mut at = survivors[&loser];
    for _ in 0..survivors.len() {
        match survivors.get(&at) {
            Some(next) if *next != loser => at = *next,
            _ => break,
        }
    }
    at
}

fn id_column<'b>(batch: &'b RecordBatch, name: &str) -> &'b Int64Array {
    batch.column_by_name(name).expect("a mirror has it").as_primitive::<Int64Type>()
}

/// Adds (loser → survivor) of every record in the batch that has merged ids.
fn collect_merges(batch: &RecordBatch, survivors: &mut BTreeMap<i64, i64>) {
    let Some(merged) =
        batch.column_by_name("hs_merged_object_ids").and_then(|array| array.as_string_opt::<i32>())
    else {
        return;
    };
    let ids = batch.column(0).as_primitive::<Int64Type>();
    for (row, list) in merged.iter().enumerate() {
        let losers = list.into_iter().flat_map(merged_ids);
        survivors.extend(
            losers.filter(|loser| *loser != ids.value(row)).map(|loser| (loser, ids.value(row))),
        );
    }
}

/// The ids in a `;` list; what is no id is passed over.
fn merged_ids(list: &str) -> impl Iterator<Item = i64> {
    list.split(';').filter_map(|part| part.trim().parse().ok())
}

/// Rows whose `merged_into` is not yet the survivor that their column `by` leads
/// to, with it set. What was merged has not vanished.
fn mark(
    stored: &RecordBatch,
    by: &str,
    survivors: &BTreeMap<i64, i64>,
    stamp: i64,
) -> Result<Option<RecordBatch>, ExtractError> {
    let before = id_column(stored, "merged_into");
    let losers = id_column(stored, by).values();
    let into: Int64Array = losers.iter().map(|id| survivors.get(id).copied()).collect();
    let vanished = stored.column_by_name("_vanished_at").expect("a mirror has it");
    let differs: BooleanArray = (0..stored.num_rows())
        .map(|row| {
            let is_marked = before.is_valid(row) && before.value(row) == into.value(row);
            Some(!is_marked || vanished.is_valid(row))
        })
        .collect();
    let not_vanished = new_null_array(vanished.data_type(), stored.num_rows());
    let stamps =
        TimestampMicrosecondArray::from_value(stamp, stored.num_rows()).with_timezone("UTC");
    let marks: [(&str, ArrayRef); 3] = [
        ("merged_into", Arc::new(into)),
        ("_vanished_at", not_vanished),
        ("_synced_at", Arc::new(stamps)),
    ];
    let marked = with_columns(stored, marks)?;
    let marked = filter_record_batch(&marked, &differs)?;
    Ok((marked.num_rows() > 0).then_some(marked))
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn batch(rows: &[(i64, Option<&str>)]) -> RecordBatch {
        let ids: Int64Array = rows.iter().map(|(id, _)| Some(*id)).collect();
        let merged: StringArray = rows.iter().map(|(_, list)| *list).collect();
        RecordBatch::try_from_iter([
            ("id", Arc::new(ids) as ArrayRef),
            ("hs_merged_object_ids", Arc::new(merged) as ArrayRef),
        ])
        .expect("two columns of one length")
    }

    #[test]
    fn a_chain_leads_to_its_end() {
        let survivors = BTreeMap::from([(1, 2), (2, 3), (7, 8), (8, 7)]);
        let ends = [1, 2, 7, 8].map(|loser| last_of_chain(&survivors, loser));
        assert_eq!(ends, [3, 3, 8, 7]);
    }

    #[test]
    fn every_id_in_the_list_is_a_loser() {
        let mut survivors = BTreeMap::new();
        collect_merges(&batch(&[(9, Some("1; 2;x;9")), (3, None)]), &mut survivors);
        assert_eq!(survivors, BTreeMap::from([(1, 9), (2, 9)]));
    }
}
