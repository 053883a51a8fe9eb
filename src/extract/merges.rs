//! Merged records: the losers of a merge, marked in their own rows.
//!
//! A merge makes a record whose `hs_merged_object_ids` names the ids that went
//! into it; those ids vanish from list and search. Their rows stay, with
//! `merged_into` naming the survivor.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::error::{ExtractError, storing};
use super::stored::with_columns;
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
    if survivors.is_empty() {
        return Ok(None);
    }
    let ids: Int64Array = survivors.keys().copied().collect();
    let key = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let keys = RecordBatch::try_new(key, vec![Arc::new(ids)])?;
    let stored = table.lookup(&keys).await.map_err(storing(table.name()))?;
    if stored.is_empty() {
        return Ok(None);
    }
    mark(&concat_batches(&table.schema(), &stored)?, &survivors, stamp)
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

/// Rows whose `merged_into` is not yet the survivor, with it set.
fn mark(
    stored: &RecordBatch,
    survivors: &BTreeMap<i64, i64>,
    stamp: i64,
) -> Result<Option<RecordBatch>, ExtractError> {
    let ids = stored.column_by_name("id").expect("a mirror has ids").as_primitive::<Int64Type>();
    let before =
        stored.column_by_name("merged_into").expect("a mirror has it").as_primitive::<Int64Type>();
    let into: Int64Array = ids.values().iter().map(|id| survivors.get(id).copied()).collect();
    let differs: BooleanArray = (0..stored.num_rows())
        .map(|row| Some(before.is_null(row) || before.value(row) != into.value(row)))
        .collect();
    let stamps =
        TimestampMicrosecondArray::from_value(stamp, stored.num_rows()).with_timezone("UTC");
    let marks: [(&str, ArrayRef); 2] =
        [("merged_into", Arc::new(into)), ("_synced_at", Arc::new(stamps))];
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
    fn every_id_in_the_list_is_a_loser() {
        let mut survivors = BTreeMap::new();
        collect_merges(&batch(&[(9, Some("1; 2;x;9")), (3, None)]), &mut survivors);
        assert_eq!(survivors, BTreeMap::from([(1, 9), (2, 9)]));
    }
}
