//! Two versions of a table side by side, in memory that depends on neither.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{or, take_record_batch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, TryStreamExt};

use super::staging::row_converter;

/// Two 64-bit numbers nearer than this, relative to their size, are the same:
/// sums over parallel partitions differ in their last bits from run to run. What
/// is stored is compared, not what was last computed, so differences cannot
/// add up unseen.
const SAME_F64: f64 = 1e-12;

/// The same for 32-bit numbers, which have 24 bits to begin with.
const SAME_F32: f32 = 1e-6;

/// What differs between a stretch of the old rows and a stretch of the new.
#[derive(Debug)]
pub(super) struct Diff {
    /// New rows whose key is new.
    pub(super) inserted: RecordBatch,
    /// Old rows whose key is gone.
    pub(super) deleted: RecordBatch,
    /// Rows that changed, as they were.
    pub(super) before: RecordBatch,
    /// The same rows, as they are.
    pub(super) after: RecordBatch,
    /// By column: in which of the changed rows it differs.
    pub(super) changed: Vec<BooleanArray>,
}

impl Diff {
    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// The same without the rows that are gone; none when nothing is left.
    pub(super) fn without_deletes(self) -> Option<Self> {
        let deleted = self.deleted.slice(0, 0);
        Some(Self { deleted, ..self }).filter(|diff| !diff.is_empty())
    }

    /// Rows that were inserted, deleted or changed.
    pub(super) fn rows(&self) -> usize {
        self.inserted.num_rows() + self.deleted.num_rows() + self.after.num_rows()
    }
}

/// A walk along two streams of rows, both in ascending order of the same key,
/// nulls first, and with the same columns.
pub(super) struct Comparison {
    converter: RowConverter,
    old: Side,
    new: Side,
}

impl Comparison {
    /// Compares rows by `key`. With a key that does not identify rows, equal
    /// keys are paired one to one.
    pub(super) fn new(
        old: SendableRecordBatchStream,
        new: SendableRecordBatchStream,
        key: &[String],
    ) -> Result<Self, DataFusionError> {
        let schema = new.schema();
        let columns =
            key.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let converter = row_converter(&schema, &columns)?;
        let side = |rows| Side { rows, columns: columns.clone(), loaded: None };
        Ok(Self { converter, old: side(old), new: side(new) })
    }

    /// The next differences, in order of key; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Diff>, DataFusionError> {
        loop {
            self.old.load(&self.converter).await?;
            self.new.load(&self.converter).await?;
            if self.old.loaded.is_none() && self.new.loaded.is_none() {
                return Ok(None);
            }
            let diff = self.advance()?;
            if !diff.is_empty() {
                return Ok(Some(diff));
            }
        }
    }

    /// All differences, in order of key.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Diff, DataFusionError>> + Send {
        futures::stream::try_unfold(self, |mut comparison| async move {
            let diff = comparison.next().await?;
            Ok(diff.map(|diff| (diff, comparison)))
        })
    }

    /// Walks to the end of whichever batch ends first.
    fn advance(&mut self) -> Result<Diff, ArrowError> {
        let mut found = Positions::default();
        loop {
            match (self.old.key(), self.new.key()) {
                (Some(old), Some(new)) => match old.cmp(&new) {
                    Ordering::Less => found.deleted.push(self.old.step()),
                    Ordering::Greater => found.inserted.push(self.new.step()),
                    Ordering::Equal => {
                        found.before.push(self.old.step());
                        found.after.push(self.new.step());
                    }
                },
                (Some(_), None) if self.new.loaded.is_none() => found.deleted.push(self.old.step()),
                (None, Some(_)) if self.old.loaded.is_none() => {
                    found.inserted.push(self.new.step())
                }
                _ => break,
            }
        }
        found.diff(&self.old, &self.new)
    }
}

/// Rows of the two current batches, by position.
#[derive(Default)]
struct Positions {
    inserted: Vec<u32>,
    deleted: Vec<u32>,
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Positions {
    fn diff(self, old: &Side, new: &Side) -> Result<Diff, ArrowError> {
        let before = old.take(self.before)?;
        let after = new.take(self.after)?;
        let mut changed = Vec::with_capacity(after.num_columns());
        let mut any = BooleanArray::from(vec![false; after.num_rows()]);
        for (before, after) in before.columns().iter().zip(after.columns()) {
            let differs = differs(before, after)?;
            any = or(&any, &differs)?;
            changed.push(differs);
        }
        let keep = |batch: &RecordBatch| arrow::compute::filter_record_batch(batch, &any);
        Ok(Diff {
            inserted: new.take(self.inserted)?,
            deleted: old.take(self.deleted)?,
            before: keep(&before)?,
            after: keep(&after)?,
            changed: changed
                .iter()
                .map(|column| Ok(arrow::compute::filter(column, &any)?.as_boolean().clone()))
                .collect::<Result<_, ArrowError>>()?,
        })
    }
}

/// One of the two streams, and the batch of it being walked.
struct Side {
    rows: SendableRecordBatchStream,
    columns: Vec<usize>,
    loaded: Option<Loaded>,
}

struct Loaded {
    batch: RecordBatch,
    keys: Rows,
    position: usize,
}

impl Side {
    /// Makes sure that there is a row to look at, unless the stream is over.
    async fn load(&mut self, converter: &RowConverter) -> Result<(), DataFusionError> {
        while self.loaded.as_ref().is_none_or(|loaded| loaded.position == loaded.batch.num_rows()) {
            let Some(batch) = self.rows.try_next().await? else {
                self.loaded = None;
                return Ok(());
            };
            let keys: Vec<ArrayRef> =
                self.columns.iter().map(|index| Arc::clone(batch.column(*index))).collect();
            let keys = converter.convert_columns(&keys)?;
            self.loaded = Some(Loaded { batch, keys, position: 0 });
        }
        Ok(())
    }

    fn key(&self) -> Option<arrow::row::Row<'_>> {
        let loaded = self.loaded.as_ref()?;
        (loaded.position < loaded.batch.num_rows()).then(|| loaded.keys.row(loaded.position))
    }

    /// The current row's position; moves to the next.
    fn step(&mut self) -> u32 {
        let loaded = self.loaded.as_mut().expect("a row was looked at before stepping");
        let position = loaded.position;
        loaded.position += 1;
        u32::try_from(position).expect("batches are far shorter than four billion rows")
    }

    fn take(&self, positions: Vec<u32>) -> Result<RecordBatch, ArrowError> {
        match &self.loaded {
            Some(loaded) => take_record_batch(&loaded.batch, &UInt32Array::from(positions)),
            None => Ok(RecordBatch::new_empty(self.schema())),
        }
    }

    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

/// In which rows two columns differ; null equals null.
fn differs(before: &ArrayRef, after: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let exact = match before.data_type() {
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => {
            return nested_differs(before, after);
        }
        _ => distinct(before, after)?,
    };
    let near: BooleanArray = match before.data_type() {
        DataType::Float64 => near(
            before.as_primitive::<Float64Type>().iter().zip(after.as_primitive::<Float64Type>()),
            |a, b| (a - b).abs() <= SAME_F64 * a.abs().max(b.abs()),
        ),
        DataType::Float32 => near(
            before.as_primitive::<Float32Type>().iter().zip(after.as_primitive::<Float32Type>()),
            |a, b| (a - b).abs() <= SAME_F32 * a.abs().max(b.abs()),
        ),
        _ => return Ok(exact),
    };
    arrow::compute::and_not(&exact, &near)
}

fn near<T>(
    pairs: impl Iterator<Item = (Option<T>, Option<T>)>,
    same: impl Fn(T, T) -> bool,
) -> BooleanArray {
    pairs.map(|(a, b)| Some(a.zip(b).is_some_and(|(a, b)| same(a, b)))).collect()
}

fn nested_differs(before: &ArrayRef, after: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let converter = RowConverter::new(vec![SortField::new(before.data_type().clone())])?;
    let before = converter.convert_columns(std::slice::from_ref(before))?;
    let after = converter.convert_columns(std::slice::from_ref(after))?;
    Ok(before.iter().zip(&after).map(|(before, after)| Some(before != after)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::{Field, Int64Type, Schema};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use proptest::prelude::*;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("plan", DataType::Utf8, true),
            Field::new("score", DataType::Float64, true),
        ]))
    }

    type Row = (i64, Option<&'static str>, Option<f64>);

    fn stream(rows: &[Row], batch_rows: usize) -> SendableRecordBatchStream {
        let batches: Vec<_> = rows
            .chunks(batch_rows)
            .map(|rows| {
                let columns: Vec<ArrayRef> = vec![
                    Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
                    Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
                    Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
                ];
                Ok(RecordBatch::try_new(schema(), columns)?)
            })
            .collect();
        Box::pin(RecordBatchStreamAdapter::new(schema(), futures::stream::iter(batches)))
    }

    fn ids(batch: &RecordBatch) -> Vec<i64> {
        batch.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        inserted: Vec<i64>,
        deleted: Vec<i64>,
        updated: Vec<(i64, Vec<bool>)>,
    }

    async fn compare(old: &[Row], new: &[Row], batch_rows: usize) -> Seen {
        let key = ["id".to_owned()];
        let mut comparison =
            Comparison::new(stream(old, batch_rows), stream(new, 3), &key).expect("a key");
        let mut seen = Seen::default();
        while let Some(diff) = comparison.next().await.expect("streams without errors") {
            seen.inserted.extend(ids(&diff.inserted));
            seen.deleted.extend(ids(&diff.deleted));
            assert_eq!(ids(&diff.before), ids(&diff.after));
            for (position, id) in ids(&diff.after).into_iter().enumerate() {
                let columns = diff.changed.iter().map(|column| column.value(position)).collect();
                seen.updated.push((id, columns));
            }
        }
        seen
    }

    #[tokio::test]
    async fn every_difference_is_found_with_its_columns() {
        let old =
            [(1, Some("a"), None), (2, None, Some(1.0)), (3, Some("c"), None), (5, None, None)];
        let new = [
            (2, Some("b"), Some(2.0)),
            (3, Some("c"), None),
            (4, None, None),
            (5, None, Some(0.0)),
        ];
        let seen = compare(&old, &new, 2).await;
        let updated = vec![(2, vec![false, true, true]), (5, vec![false, false, true])];
        assert_eq!(seen, Seen { inserted: vec![4], deleted: vec![1], updated });
    }

    #[tokio::test]
    async fn sums_that_differ_in_their_last_bits_are_the_same() {
        let old = [(1, None, Some(0.1 + 0.2)), (2, None, Some(1.0)), (3, None, Some(f64::NAN))];
        let new = [(1, None, Some(0.3)), (2, None, Some(1.000_000_1)), (3, None, Some(f64::NAN))];
        let seen = compare(&old, &new, 8).await;
        assert_eq!(seen.updated, [(2, vec![false, false, true])]);
    }

    #[test]
    fn lists_are_compared_by_what_they_hold() {
        let list = |rows: Vec<Option<Vec<Option<i64>>>>| -> ArrayRef {
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
        };
        let before = list(vec![Some(vec![Some(1)]), None, Some(vec![])]);
        let after = list(vec![Some(vec![Some(2)]), None, Some(vec![None])]);
        let found = differs(&before, &after).expect("lists can be compared");
        assert_eq!(found, BooleanArray::from(vec![true, false, true]));
    }

    proptest! {
        #[test]
        fn applying_the_differences_to_the_old_gives_the_new(
            old in prop::collection::btree_map(0_i64..40, prop::option::of(0_u8..3), 0..40),
            new in prop::collection::btree_map(0_i64..40, prop::option::of(0_u8..3), 0..40),
            batch_rows in 1_usize..6,
        ) {
            let rows = |table: &BTreeMap<i64, Option<u8>>| -> Vec<Row> {
                table.iter().map(|(id, score)| (*id, None, score.map(f64::from))).collect()
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let seen = runtime.block_on(compare(&rows(&old), &rows(&new), batch_rows));
            let mut patched = old.clone();
            for id in &seen.deleted {
                prop_assert!(patched.remove(id).is_some());
            }
            for id in &seen.inserted {
                prop_assert!(patched.insert(*id, new[id]).is_none());
            }
            for (id, _) in &seen.updated {
                prop_assert!(patched.insert(*id, new[id]) != Some(new[id]));
            }
            prop_assert_eq!(patched, new);
        }
    }
}
