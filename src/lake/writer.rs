//! Writing data files: Parquet, rolled by size, with statistics for the log.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use chrono::Utc;
use deltalake::kernel::Add;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::AsyncArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use uuid::Uuid;

use super::stats::{file_stats, indexed_columns};

/// Sizes of data files, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileSizes {
    /// A file is closed at this size: large enough that reading it is mostly
    /// reading, small enough that one changed row does not cost much to rewrite
    pub(super) target: usize,
    /// Files below this size are worth merging; above it, rewriting costs more
    /// than one file less is worth
    pub(super) compact_below: u64,
    /// What remains of a touched file this small goes into the file of changed
    /// rows instead of a new small file, so that their number does not grow
    pub(super) gather_below: u64,
}

impl Default for FileSizes {
    fn default() -> Self {
        let target = 64 * 1024 * 1024;
        Self { target, compact_below: target as u64 / 4, gather_below: target as u64 / 8 }
    }
}

/// A file is closed at this many rows, however small they are.
const TARGET_FILE_ROWS: usize = 500_000;

/// A row group is held in memory while it is written and fetched whole when read.
const ROW_GROUP_ROWS: usize = 64 * 1024;

/// Size of an upload part, and of the largest file sent in a single put.
const UPLOAD_PART_BYTES: usize = 8 * 1024 * 1024;

/// Parts under way at once; each holds its bytes in memory.
const PARALLEL_PARTS: usize = 3;

/// Partitions written at once; beyond that, files are closed early.
const OPEN_PARTITIONS: usize = 16;

/// What every file of a table is written with.
#[derive(Debug, Clone)]
pub(super) struct FileFormat {
    /// The table's own store: paths start at its root
    pub(super) store: Arc<dyn ObjectStore>,
    /// Columns of the table
    pub(super) schema: SchemaRef,
    pub(super) key: Vec<String>,
    pub(super) partition_by: Vec<String>,
    pub(super) target_bytes: usize,
}

impl FileFormat {
    /// Columns of a file: those of the table that do not part it.
    fn file_schema(&self) -> SchemaRef {
        let stored: Vec<_> = self.stored_columns();
        Arc::new(self.schema.project(&stored).expect("indices of this schema"))
    }

    fn stored_columns(&self) -> Vec<usize> {
        let fields = self.schema.fields().iter().enumerate();
        let stored = fields.filter(|(_, field)| !self.partition_by.contains(field.name()));
        stored.map(|(index, _)| index).collect()
    }

    fn properties(&self) -> WriterProperties {
        let level = ZstdLevel::try_new(1).expect("1 is a level");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk);
        let keys = self.key.iter().map(|name| ColumnPath::from(name.as_str()));
        let properties = keys.fold(properties, |properties, column| {
            properties.set_column_statistics_enabled(column, EnabledStatistics::Page)
        });
        properties.build()
    }
}

/// Writes rows into new files of a table. Nothing is visible before the adds it
/// returns are committed.
#[derive(Debug)]
pub(super) struct TableWriter {
    format: FileFormat,
    file_schema: SchemaRef,
    stored: Vec<usize>,
    open: HashMap<Vec<Option<String>>, OpenFile>,
    adds: Vec<Add>,
    rows: u64,
}

struct OpenFile {
    path: Path,
    writer: AsyncArrowWriter<BufWriter>,
    rows: usize,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TableWriter {
    pub(super) fn new(format: FileFormat) -> Self {
        let (file_schema, stored) = (format.file_schema(), format.stored_columns());
        Self { format, file_schema, stored, open: HashMap::new(), adds: Vec::new(), rows: 0 }
    }

    /// Rows written so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes a batch that has the table's columns.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> ParquetResult<()> {
        self.rows += batch.num_rows() as u64;
        if self.format.partition_by.is_empty() {
            return self.write_to(Vec::new(), batch).await;
        }
        for (partition, rows) in part(batch, &self.format.partition_by)? {
            self.write_to(partition, &rows.project(&self.stored)?).await?;
        }
        Ok(())
    }

    async fn write_to(
        &mut self,
        partition: Vec<Option<String>>,
        batch: &RecordBatch,
    ) -> ParquetResult<()> {
        let mut start = 0;
        while start < batch.num_rows() {
            let mut file = match self.open.remove(&partition) {
                Some(file) => file,
                None => self.start_file().await?,
            };
            let length = (batch.num_rows() - start).min(ROW_GROUP_ROWS);
            file.writer.write(&batch.slice(start, length)).await?;
            file.rows += length;
            start += length;
            let bytes = file.writer.bytes_written() + file.writer.in_progress_size();
            if bytes >= self.format.target_bytes || file.rows >= TARGET_FILE_ROWS {
                self.finish_file(&partition, file).await?;
            } else {
                self.open.insert(partition.clone(), file);
            }
        }
        Ok(())
    }

    async fn start_file(&mut self) -> ParquetResult<OpenFile> {
        if self.open.len() >= OPEN_PARTITIONS {
            self.finish_open_files().await?;
        }
        let path = Path::from(format!("part-{}.zstd.parquet", Uuid::now_v7()));
        let upload =
            BufWriter::with_capacity(self.format.store.clone(), path.clone(), UPLOAD_PART_BYTES)
                .with_max_concurrency(PARALLEL_PARTS);
        let properties = Some(self.format.properties());
        let writer = AsyncArrowWriter::try_new(upload, self.file_schema.clone(), properties)?;
        Ok(OpenFile { path, writer, rows: 0 })
    }

    async fn finish_file(
        &mut self,
        partition: &[Option<String>],
        mut file: OpenFile,
    ) -> ParquetResult<()> {
        let metadata = file.writer.finish().await?;
        let indexed = indexed_columns(&self.format.schema, &self.format.key);
        let stats = file_stats(&metadata, &self.file_schema, &indexed)?;
        let names = self.format.partition_by.iter().cloned();
        self.adds.push(Add {
            path: file.path.to_string(),
            partition_values: names.zip(partition.iter().cloned()).collect(),
            size: i64::try_from(file.writer.bytes_written()).expect("a file fits i64"),
            modification_time: Utc::now().timestamp_millis(),
            data_change: true,
            stats: Some(stats),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        });
        Ok(())
    }

    async fn finish_open_files(&mut self) -> ParquetResult<()> {
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_by(|left, right| left.0.cmp(&right.0));
        for (partition, file) in open {
            self.finish_file(&partition, file).await?;
        }
        Ok(())
    }

    /// Ends the files still open and returns the adds to commit.
    pub(super) async fn finish(mut self) -> ParquetResult<Vec<Add>> {
        self.finish_open_files().await?;
        Ok(std::mem::take(&mut self.adds))
    }
}

/// A writer given up: uploads under way are called off, since their parts would
/// lie in the store unseen by any listing. Whole files are left for the sweep.
impl Drop for TableWriter {
    fn drop(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let uploads: Vec<_> = self.open.drain().map(|(_, file)| file.writer.into_inner()).collect();
        runtime.spawn(async move {
            for mut upload in uploads {
                // Best effort: the store's own rules for stale uploads do the rest.
                let _ = upload.abort().await;
            }
        });
    }
}

/// Parts a batch by the values of its partition columns, spelt as Delta spells them.
fn part(
    batch: &RecordBatch,
    partition_by: &[String],
) -> ParquetResult<Vec<(Vec<Option<String>>, RecordBatch)>> {
    let missing = |name: &String| ParquetError::General(format!("No partition column `{name}`"));
    let values = partition_by
        .iter()
        .map(|name| {
            let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
            Ok(cast(column, &DataType::Utf8)?)
        })
        .collect::<ParquetResult<Vec<ArrayRef>>>()?;
    let mut parts: HashMap<Vec<Option<String>>, Vec<u32>> = HashMap::new();
    for row in 0..batch.num_rows() {
        let spelt = |column: &ArrayRef| {
            let column = column.as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned()).filter(|v| !v.is_empty())
        };
        let index = u32::try_from(row).expect("a batch has fewer rows");
        parts.entry(values.iter().map(spelt).collect()).or_default().push(index);
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort();
    let take =
        |(partition, rows)| Ok((partition, take_record_batch(batch, &UInt32Array::from(rows))?));
    parts.into_iter().map(take).collect()
}

/// Whether Delta spells values of this type as Arrow's cast to text does.
pub(super) fn can_partition_by(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(data_type, DataType::Utf8 | DataType::Boolean | DataType::Date32)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Float64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Schema};
    use object_store::memory::InMemory;
    use serde_json::{Value, json};

    use super::*;
    use crate::lake::testing::{Person, people, person_schema};

    fn format(schema: SchemaRef, partition_by: &[&str]) -> FileFormat {
        let partition_by = partition_by.iter().map(|name| (*name).to_owned()).collect();
        FileFormat {
            store: Arc::new(InMemory::new()),
            schema,
            key: vec!["id".into()],
            partition_by,
            target_bytes: FileSizes::default().target,
        }
    }

    async fn write(format: FileFormat, batches: &[RecordBatch]) -> Vec<Add> {
        let mut writer = TableWriter::new(format);
        for batch in batches {
            writer.write(batch).await.expect("written");
        }
        writer.finish().await.expect("finished")
    }

    fn stats(add: &Add) -> Value {
        serde_json::from_str(add.stats.as_deref().expect("statistics")).expect("JSON")
    }

    #[tokio::test]
    async fn statistics_are_spelt_as_delta_spells_them() {
        let long = "é".repeat(100);
        let times = TimestampMicrosecondArray::from(vec![Some(1_500_999), Some(0), None]);
        let batch = RecordBatch::try_from_iter([
            ("day", Arc::new(Date32Array::from(vec![Some(-1), None, Some(365)])) as ArrayRef),
            ("at", Arc::new(times.with_timezone("UTC"))),
            ("score", Arc::new(Float64Array::from(vec![Some(0.5), None, Some(f64::NAN)]))),
            ("name", Arc::new(StringArray::from(vec![Some("a"), Some(&long), None]))),
            ("nothing", Arc::new(StringArray::from(vec![None::<&str>; 3]))),
        ])
        .expect("a batch");
        let adds = write(format(batch.schema(), &[]), std::slice::from_ref(&batch)).await;
        let stats = stats(&adds[0]);
        assert_eq!(stats["numRecords"], 3);
        assert_eq!(stats["minValues"]["day"], "1969-12-31");
        assert_eq!(stats["maxValues"]["day"], "1971-01-01");
        assert_eq!(stats["minValues"]["at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(stats["maxValues"]["at"], "1970-01-01T00:00:01.500Z");
        assert_eq!(stats["maxValues"]["score"], 0.5);
        let greatest = stats["maxValues"]["name"].as_str().expect("a bound");
        assert!(greatest >= long.as_str(), "a shortened upper bound is still one");
        assert_eq!(
            stats["nullCount"],
            json!({"day": 1, "at": 1, "score": 1, "name": 1, "nothing": 3})
        );
        assert_eq!(stats["minValues"].get("nothing"), None);
    }

    #[tokio::test]
    async fn rows_are_parted_by_value_and_the_column_is_not_stored() {
        let rows = [Person::new(1, "x", 1), Person::new(2, "", 1), Person::new(3, "x", 1)];
        let format = format(person_schema(), &["name"]);
        let stored = format.file_schema();
        assert!(stored.field_with_name("name").is_err());
        let mut adds = write(format, &[people(&rows)]).await;
        adds.sort_by_key(|add| add.size);
        let values: Vec<_> = adds.iter().map(|add| add.partition_values["name"].clone()).collect();
        assert!(values.contains(&Some("x".into())) && values.contains(&None), "{values:?}");
        let rows: i64 = adds.iter().filter_map(|add| stats(add)["numRecords"].as_i64()).sum();
        assert_eq!(rows, 3);
    }

    #[tokio::test]
    async fn many_partitions_are_not_all_open_at_once() {
        let rows: Vec<_> = (0..40).map(|id| Person::new(id, &format!("p{}", id % 20), 1)).collect();
        let mut writer = TableWriter::new(format(person_schema(), &["name"]));
        writer.write(&people(&rows)).await.expect("written");
        assert!(writer.open.len() <= OPEN_PARTITIONS);
        assert_eq!((writer.rows(), writer.finish().await.expect("finished").len()), (40, 20));
    }

    #[tokio::test]
    async fn nothing_written_is_no_file() {
        let empty = RecordBatch::new_empty(person_schema());
        assert!(write(format(person_schema(), &[]), &[empty]).await.is_empty());
    }

    #[test]
    fn leading_trailing_and_key_columns_are_indexed() {
        let wide = (0..60).map(|n| Field::new(format!("c{n}"), DataType::Utf8, true));
        let schema = Schema::new(wide.collect::<Vec<_>>());
        let indexed = indexed_columns(&schema, &["c40".into()]);
        assert_eq!(indexed.len(), 32 + 1 + 8);
        assert!(indexed.contains(&"c40".to_owned()) && indexed.contains(&"c59".to_owned()));
    }
}
