//! Finding the stored rows that changes are about, and whether they differ.
//!
//! Only key columns (and `newer_by`) are read of the row groups that may hold a
//! key. Most rows are decided by that alone: a later `newer_by` is a difference.
//! The rest are read in full, at their positions only, and compared.

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::or;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::errors::Result as ParquetResult;

use super::changes::{ChangeSet, Encoder, Fate, MergeColumns};
use crate::lake::files::KeyFilter;
use crate::lake::reader::TableFile;

/// A stored row as the key pass sees it.
pub(in crate::lake) struct StoredKey<'a> {
    /// Position in the file
    pub(in crate::lake) position: u64,
    /// Encoded key
    pub(in crate::lake) key: &'a [u8],
    /// Encoded `newer_by`, if asked for and not null
    pub(in crate::lake) age: Option<&'a [u8]>,
}

/// Shows the keys of all rows of a file that may be among those of the filter; of
/// all rows where there is none.
pub(in crate::lake) async fn scan_keys(
    file: &TableFile,
    filter: Option<&KeyFilter<'_>>,
    columns: &MergeColumns,
    newer_by: Option<usize>,
    mut see: impl FnMut(StoredKey<'_>),
) -> ParquetResult<()> {
    let groups = file.parquet.row_groups();
    let kept = match filter {
        Some(filter) => filter.row_groups(&file.parquet)?,
        None => (0..groups.len()).collect(),
    };
    if kept.is_empty() {
        return Ok(());
    }
    let ranges: Vec<_> = kept.into_iter().map(|group| groups[group].clone()).collect();
    let total = groups.last().map_or(0, |group| group.end);
    let size = |rows: u64| usize::try_from(rows).expect("a file has fewer rows than memory bytes");
    let selected = ranges.iter().map(|range| size(range.start)..size(range.end));
    let selection = RowSelection::from_consecutive_ranges(selected, size(total));
    let mut positions = ranges.into_iter().flatten();

    let keys = columns.key.len();
    let read: Vec<_> = columns.key.iter().copied().chain(newer_by).collect();
    let key_encoder = Encoder::new(&columns.schema, &columns.key)?;
    let age_encoder = newer_by.map(|age| Encoder::new(&columns.schema, &[age])).transpose()?;
    let mut batches = file.stream(&read, Some(selection))?;
    while let Some(batch) = batches.try_next().await? {
        let encoded = key_encoder.encode(&batch.columns()[..keys])?;
        let ages = match &age_encoder {
            Some(encoder) => Some((encoder.encode(&batch.columns()[keys..])?, batch.column(keys))),
            None => None,
        };
        for (row, position) in (0..batch.num_rows()).zip(&mut positions) {
            let known = ages.as_ref().filter(|(_, column)| column.is_valid(row));
            let age = known.map(|(ages, _)| ages.row(row).data());
            see(StoredKey { position, key: encoded.row(row).data(), age });
        }
    }
    Ok(())
}

/// Decides the fate of every change that the file holds a row of. Returns the
/// positions of the rows that go.
pub(super) async fn match_file(
    file: &TableFile,
    filter: &KeyFilter<'_>,
    columns: &MergeColumns,
    compared: &[usize],
    changes: &mut ChangeSet,
) -> ParquetResult<Vec<u64>> {
    let mut removed = Vec::new();
    let mut undecided = Vec::new();
    let newer_by = changes.newer_by();
    let decisive = newer_by.is_some_and(|column| compared.contains(&column));
    scan_keys(file, Some(filter), columns, newer_by, |stored| {
        let Some(id) = changes.find(stored.key) else { return };
        match first_sight(changes, id, stored.age, decisive) {
            Sight::Goes => {
                changes.change_mut(id).fate = Fate::Replaced;
                removed.push(stored.position);
            }
            Sight::Stays => changes.change_mut(id).fate = Fate::Unchanged,
            Sight::Repeats => removed.push(stored.position),
            Sight::Open => {
                // Taken as unchanged until compared, so that a second row with
                // this key is seen as one.
                changes.change_mut(id).fate = Fate::Unchanged;
                undecided.push((stored.position, id));
            }
        }
    })
    .await?;
    compare(file, compared, &undecided, changes, &mut removed).await?;
    removed.sort_unstable();
    Ok(removed)
}

enum Sight {
    Goes,
    Stays,
    /// A second row with a key already met: the table held the key twice
    Repeats,
    Open,
}

fn first_sight(changes: &ChangeSet, id: u32, stored_age: Option<&[u8]>, decisive: bool) -> Sight {
    let change = changes.change(id);
    if change.fate != Fate::Absent {
        return Sight::Repeats;
    }
    if changes.is_delete(change) {
        return Sight::Goes;
    }
    match (stored_age, changes.age(change)) {
        (Some(stored), Some(new)) if stored > new => Sight::Stays,
        (Some(stored), Some(new)) if stored < new && decisive => Sight::Goes,
        _ => Sight::Open,
    }
}

/// Reads the undecided rows in full and compares them with their changes.
async fn compare(
    file: &TableFile,
    compared: &[usize],
    undecided: &[(u64, u32)],
    changes: &mut ChangeSet,
    removed: &mut Vec<u64>,
) -> ParquetResult<()> {
    if undecided.is_empty() || compared.is_empty() {
        return Ok(());
    }
    let positions: Vec<_> = undecided.iter().map(|(position, _)| *position).collect();
    let mut batches = file.rows_at(compared, &positions)?;
    let mut rest = undecided;
    while let Some(stored) = batches.try_next().await? {
        let (here, after) = rest.split_at(stored.num_rows());
        rest = after;
        let ids: Vec<_> = here.iter().map(|(_, id)| *id).collect();
        let differs = rows_differ(&stored, &changes.rows_of(&ids, compared)?)?;
        for (row, (position, id)) in here.iter().enumerate() {
            if differs.value(row) {
                changes.change_mut(*id).fate = Fate::Replaced;
                removed.push(*position);
            }
        }
    }
    Ok(())
}

/// Row by row, whether any column differs. Null equals null and NaN equals NaN.
fn rows_differ(left: &RecordBatch, right: &RecordBatch) -> Result<BooleanArray, ArrowError> {
    let mut differ = BooleanArray::from(vec![false; left.num_rows()]);
    for (left, right) in left.columns().iter().zip(right.columns()) {
        differ = or(&differ, &values_differ(left, right)?)?;
    }
    Ok(differ)
}

fn values_differ(left: &ArrayRef, right: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    if !left.data_type().is_nested() {
        return distinct(left, right);
    }
    // The comparison kernels do not look into lists, structs and maps.
    let converter = RowConverter::new(vec![SortField::new(left.data_type().clone())])?;
    let left = converter.convert_columns(std::slice::from_ref(left))?;
    let right = converter.convert_columns(std::slice::from_ref(right))?;
    Ok(left.iter().zip(right.iter()).map(|(left, right)| Some(left != right)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::builder::{MapBuilder, StringBuilder};
    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn map_of(rows: &[Option<&[(&str, &str)]>]) -> ArrayRef {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for row in rows {
            for (key, value) in row.unwrap_or_default() {
                builder.keys().append_value(key);
                builder.values().append_value(value);
            }
            builder.append(row.is_some()).expect("keys and values in step");
        }
        Arc::new(builder.finish())
    }

    #[test]
    fn nulls_and_nans_are_equal_to_themselves() {
        let floats: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(1.0), None]));
        let others: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(2.0), Some(0.0)]));
        let differ = values_differ(&floats, &others).expect("compared");
        assert_eq!(differ, BooleanArray::from(vec![false, false, true, true]));
    }

    #[test]
    fn maps_are_compared_by_what_they_hold() {
        let left = map_of(&[Some(&[("a", "1")]), None, Some(&[]), Some(&[("a", "1")])]);
        let right = map_of(&[Some(&[("a", "1")]), None, None, Some(&[("a", "2")])]);
        let differ = values_differ(&left, &right).expect("compared");
        assert_eq!(differ, BooleanArray::from(vec![false, false, true, true]));
    }

    #[test]
    fn one_differing_column_is_enough() {
        let batch = |name: &str, amount| {
            RecordBatch::try_from_iter([
                ("name", Arc::new(StringArray::from(vec![name])) as ArrayRef),
                ("amount", Arc::new(Float64Array::from(vec![amount])) as ArrayRef),
            ])
            .expect("a batch")
        };
        let same = rows_differ(&batch("a", None), &batch("a", None)).expect("compared");
        assert!(!same.value(0));
        let differ = rows_differ(&batch("a", None), &batch("a", Some(1.0))).expect("compared");
        assert!(differ.value(0));
    }
}
