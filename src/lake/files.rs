//! The data files of a table version, and which of them may hold given keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar};
use arrow::compute::kernels::cmp::{gt_eq, lt_eq};
use arrow::compute::{and, cast};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use deltalake::kernel::{Action, LogicalFileView};
use deltalake::table::state::DeltaTableState;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::Result as ParquetResult;

use super::reader::{ParquetFile, TableFile, constant, open_parquet};
use super::stats::is_coarse;

/// One data file of a table version.
#[derive(Clone)]
pub(super) struct DataFile {
    view: LogicalFileView,
    pub(super) path: Path,
    pub(super) size: u64,
    /// Partition columns with their value in this file
    pub(super) partition: Vec<(String, Option<String>)>,
}

impl DataFile {
    fn new(view: LogicalFileView, partition_by: &[String]) -> Self {
        let values = view.partition_values_map();
        let value = |name: &String| (name.clone(), values.get(name).cloned().flatten());
        Self {
            path: view.object_store_path(),
            size: view.size().max(0).unsigned_abs(),
            partition: partition_by.iter().map(value).collect(),
            view,
        }
    }

    /// Rows of the file as the log tells, if it does.
    pub(super) fn rows(&self) -> Option<u64> {
        self.view.num_records().map(|rows| rows as u64)
    }

    /// The action that takes the file out of the table.
    pub(super) fn remove(&self, data_change: bool) -> Action {
        Action::Remove(self.view.remove_action(data_change))
    }

    pub(super) async fn open(
        &self,
        store: &Arc<dyn ObjectStore>,
        schema: &SchemaRef,
    ) -> ParquetResult<TableFile> {
        let parquet = open_parquet(store.clone(), self.path.clone(), self.size).await?;
        Ok(TableFile { parquet, schema: schema.clone(), constants: self.partition.clone() })
    }
}

/// The files of a table version.
pub(super) fn data_files(state: &DeltaTableState, partition_by: &[String]) -> Vec<DataFile> {
    state.log_data().iter().map(|view| DataFile::new(view, partition_by)).collect()
}

/// Decides from bounds whether a file, or a part of one, may hold any of a set
/// of keys. A bound that is not known holds everything.
#[derive(Debug)]
pub(super) struct KeyFilter<'a> {
    /// Key columns, one row per key
    keys: &'a RecordBatch,
}

/// Least and greatest value of one key column over many files or row groups;
/// null where not known.
struct Bounds {
    column: usize,
    least: ArrayRef,
    greatest: ArrayRef,
}

impl<'a> KeyFilter<'a> {
    pub(super) fn new(keys: &'a RecordBatch) -> Self {
        Self { keys }
    }

    /// The files that may hold one of the keys, judged by the log alone.
    pub(super) fn files(
        &self,
        state: &DeltaTableState,
        partition_by: &[String],
    ) -> Result<Vec<DataFile>, deltalake::DeltaTableError> {
        let files = data_files(state, partition_by);
        let mut kept = Vec::with_capacity(files.len());
        let mut files = files.into_iter();
        // The log answers bounds for its files in batches, in the order of the files.
        for batch in state.add_actions_batches(true)? {
            let bounds = self.logged_bounds(&batch);
            let paths = batch.column_by_name("path").and_then(|paths| paths.as_string_opt::<i32>());
            for row in 0..batch.num_rows() {
                let Some(file) = files.next() else { break };
                let known = self.partition_bounds(&file)?;
                // Bounds of another file would hide rows: better read one too many.
                let is_it = paths.is_some_and(|paths| paths.value(row) == file.path.as_ref());
                if self.may_hold(&known, 0)? && (!is_it || self.may_hold(&bounds, row)?) {
                    kept.push(file);
                }
            }
        }
        kept.extend(files);
        Ok(kept)
    }

    /// The row groups of a file that may hold one of the keys.
    pub(super) fn row_groups(&self, file: &ParquetFile) -> ParquetResult<Vec<usize>> {
        let groups = file.metadata().row_groups();
        let mut bounds = Vec::new();
        let schema = self.keys.schema();
        for column in self.bounded_columns() {
            let field = schema.field(column);
            let descriptor = file.metadata().file_metadata().schema_descr();
            let converter = StatisticsConverter::try_new(field.name(), file.schema(), descriptor);
            if let Ok(converter) = converter
                && converter.arrow_field().data_type() == field.data_type()
            {
                let (least, greatest) =
                    (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
                bounds.push(Bounds { column, least, greatest });
            }
        }
        let mut kept = Vec::new();
        for group in 0..groups.len() {
            if self.may_hold(&bounds, group)? {
                kept.push(group);
            }
        }
        Ok(kept)
    }

    /// Key columns whose bounds hold all their values. Those of floats leave out NaN.
    fn bounded_columns(&self) -> impl Iterator<Item = usize> {
        let columns = self.keys.columns().iter().enumerate();
        columns.filter(|(_, column)| !column.data_type().is_floating()).map(|(index, _)| index)
    }

    fn logged_bounds(&self, batch: &RecordBatch) -> Vec<Bounds> {
        let schema = self.keys.schema();
        let bounds = self.bounded_columns().filter_map(|column| {
            let field = schema.field(column);
            let logged = |kind: &str| {
                let bound = batch.column_by_name(&format!("{kind}.{}", field.name()))?;
                cast(bound, field.data_type()).ok()
            };
            let (least, greatest) = (logged("min")?, logged("max")?);
            let greatest =
                if is_coarse(field.data_type()) { widened(&greatest)? } else { greatest };
            Some(Bounds { column, least, greatest })
        });
        bounds.collect()
    }

    fn partition_bounds(&self, file: &DataFile) -> Result<Vec<Bounds>, ArrowError> {
        let schema = self.keys.schema();
        let mut bounds = Vec::new();
        for (name, value) in &file.partition {
            let Ok(column) = schema.index_of(name) else { continue };
            let value = constant(value.as_deref(), schema.field(column).data_type(), 1)?;
            bounds.push(Bounds { column, least: value.clone(), greatest: value });
        }
        Ok(bounds)
    }

    /// Whether any key lies within all bounds at `row`.
    fn may_hold(&self, bounds: &[Bounds], row: usize) -> Result<bool, ArrowError> {
        let mut within: Option<BooleanArray> = None;
        for bound in bounds {
            if bound.least.is_null(row) || bound.greatest.is_null(row) {
                continue;
            }
            let key = self.keys.column(bound.column);
            let above = gt_eq(key, &Scalar::new(bound.least.slice(row, 1)))?;
            let below = lt_eq(key, &Scalar::new(bound.greatest.slice(row, 1)))?;
            let inside = and(&above, &below)?;
            within = Some(match within {
                Some(before) => and(&before, &inside)?,
                None => inside,
            });
        }
        Ok(within.is_none_or(|within| within.true_count() > 0))
    }
}

/// Upper bounds that were cut to the millisecond, raised past what was cut.
fn widened(bounds: &ArrayRef) -> Option<ArrayRef> {
    use arrow::datatypes::TimestampMicrosecondType as Micros;
    let DataType::Timestamp(TimeUnit::Microsecond, zone) = bounds.data_type() else {
        return None;
    };
    let raised = bounds.as_primitive::<Micros>().unary::<_, Micros>(|at| at.saturating_add(999));
    Some(Arc::new(raised.with_timezone_opt(zone.clone())))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::lake::testing::{ids, memory_lake};
    use crate::lake::{Table, TableName, TableSpec};

    fn rows(kind: &str, values: &[i64]) -> RecordBatch {
        let times = TimestampMicrosecondArray::from(values.to_vec()).with_timezone("UTC");
        RecordBatch::try_from_iter([
            ("kind", Arc::new(StringArray::from(vec![kind; values.len()])) as ArrayRef),
            ("id", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef),
            ("at", Arc::new(times) as ArrayRef),
        ])
        .expect("a batch")
    }

    /// A file of each kind and each of two ranges of ids.
    async fn table() -> Table {
        let fields = rows("a", &[1]).schema().fields().iter().cloned().collect::<Vec<_>>();
        let spec = TableSpec {
            name: TableName::usage("events"),
            schema: Arc::new(Schema::new(fields)),
            key: vec!["kind".into(), "id".into(), "at".into()],
            partition_by: vec!["kind".into()],
        };
        let mut table = memory_lake().open_or_create(&spec).await.expect("a table");
        for kind in ["a", "b"] {
            for range in [[1, 10], [20, 30]] {
                table.append(&[rows(kind, &range)], &[]).await.expect("rows");
            }
        }
        table
    }

    fn kept(table: &Table, keys: &RecordBatch) -> usize {
        let files = KeyFilter::new(keys).files(table.state(), table.partition_by());
        files.expect("bounds that compare").len()
    }

    #[tokio::test]
    async fn files_are_passed_over_by_range_and_partition() {
        let table = table().await;
        assert_eq!(kept(&table, &ids(&[5])), 2);
        assert_eq!(kept(&table, &ids(&[15])), 0);
        assert_eq!(kept(&table, &ids(&[10, 20])), 4);
        assert_eq!(kept(&table, &rows("a", &[5])), 1);
        assert_eq!(kept(&table, &rows("c", &[5])), 0);
        // Columns are judged together: no key has this kind and this id.
        let apart = rows("a", &[15]).project(&[0, 1]).expect("kind and id");
        assert_eq!(kept(&table, &apart), 0);
    }

    #[tokio::test]
    async fn times_cut_to_the_millisecond_still_find_their_file() {
        let mut table = table().await;
        table.append(&[rows("z", &[1_000_999])], &[]).await.expect("rows");
        let keys = rows("z", &[1_000_999]).project(&[2]).expect("the time");
        assert_eq!(kept(&table, &keys), 1);
    }

    #[test]
    fn a_bound_that_is_not_known_holds_everything() {
        let keys = ids(&[5]);
        let unknown: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
        let bounds = [Bounds { column: 0, least: unknown.clone(), greatest: unknown }];
        assert!(KeyFilter::new(&keys).may_hold(&bounds, 0).expect("compared"));
    }

    #[test]
    fn only_row_groups_that_may_hold_a_key_are_kept() {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        let keys = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![7, 25]))]);
        let keys = keys.expect("a batch");
        let least: ArrayRef = Arc::new(Int64Array::from(vec![0, 10, 20]));
        let greatest: ArrayRef = Arc::new(Int64Array::from(vec![9, 19, 29]));
        let bounds = [Bounds { column: 0, least, greatest }];
        let filter = KeyFilter::new(&keys);
        let kept = [0, 1, 2].map(|group| filter.may_hold(&bounds, group).expect("compared"));
        assert_eq!(kept, [true, false, true]);
    }
}
