//! Reading Parquet files: footers, chosen columns, chosen rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::schema::strict_cast;

/// Rows of a batch: enough to keep decoding fast, few enough to stay small.
pub(super) const BATCH_ROWS: usize = 8192;

/// Footers of lake files fit into this; one request fetches the whole footer.
const FOOTER_HINT: usize = 64 * 1024;

/// A Parquet file whose footer has been read.
#[derive(Debug, Clone)]
pub(super) struct ParquetFile {
    reader: StoreReader,
    metadata: ArrowReaderMetadata,
}

/// Opens a file: one or two reads of its end.
pub(super) async fn open_parquet(
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
) -> ParquetResult<ParquetFile> {
    let mut reader = StoreReader { store, path, size };
    // The offset index lets a selection of rows fetch and unpack only their pages.
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::load_async(&mut reader, options).await?;
    Ok(ParquetFile { reader, metadata })
}

impl ParquetFile {
    pub(super) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// Rows of each row group, as ranges over the rows of the file.
    pub(super) fn row_groups(&self) -> Vec<Range<u64>> {
        let mut start = 0;
        let groups = self.metadata().row_groups().iter();
        groups
            .map(|group| {
                let rows = group.num_rows().max(0).unsigned_abs();
                start += rows;
                start - rows..start
            })
            .collect()
    }

    /// Streams top-level columns, those of the names that the file has.
    pub(super) fn roots(
        &self,
        names: &[&str],
    ) -> ParquetResult<BoxStream<'static, ParquetResult<RecordBatch>>> {
        self.stream(names, None)
    }

    fn stream(
        &self,
        names: &[&str],
        selection: Option<RowSelection>,
    ) -> ParquetResult<BoxStream<'static, ParquetResult<RecordBatch>>> {
        let reader = self.reader.clone();
        let builder =
            ParquetRecordBatchStreamBuilder::new_with_metadata(reader, self.metadata.clone());
        let roots = builder.parquet_schema().root_schema().get_fields().iter().enumerate();
        let roots = roots.filter(|(_, root)| names.contains(&root.name())).map(|(index, _)| index);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.collect::<Vec<_>>());
        let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        Ok(builder.build()?.boxed())
    }
}

/// A data file of a table, read in the table's own columns and types.
#[derive(Debug, Clone)]
pub(super) struct TableFile {
    pub(super) parquet: ParquetFile,
    /// Columns of the table
    pub(super) schema: SchemaRef,
    /// Partition columns with the one value they have in this file
    pub(super) constants: Vec<(String, Option<String>)>,
}

impl TableFile {
    /// Streams columns of the table, by their indices and in that order. Columns
    /// the file lacks are null. `selection` is over the rows of the file.
    pub(super) fn stream(
        &self,
        columns: &[usize],
        selection: Option<RowSelection>,
    ) -> ParquetResult<BoxStream<'static, ParquetResult<RecordBatch>>> {
        let wanted = Arc::new(self.schema.project(columns)?);
        let names: Vec<_> = wanted.fields().iter().map(|field| field.name().as_str()).collect();
        let batches = self.parquet.stream(&names, selection)?;
        let constants = self.constants.clone();
        let fitted = batches.map(move |batch| Ok(fit(&batch?, &wanted, &constants)?));
        Ok(fitted.boxed())
    }

    /// All columns of the table, in order.
    pub(super) fn all_columns(&self) -> Vec<usize> {
        (0..self.schema.fields().len()).collect()
    }

    /// The rows at these positions, in that order of the file.
    pub(super) fn rows_at(
        &self,
        columns: &[usize],
        positions: &[u64],
    ) -> ParquetResult<BoxStream<'static, ParquetResult<RecordBatch>>> {
        let total = self.parquet.row_groups().last().map_or(0, |group| group.end);
        self.stream(columns, Some(select(positions, total)))
    }
}

/// A selection of single rows, from their sorted positions.
fn select(positions: &[u64], total: u64) -> RowSelection {
    let size = |rows: u64| usize::try_from(rows).expect("a file has fewer rows than memory bytes");
    let ranges = positions.iter().map(|at| size(*at)..size(*at) + 1);
    RowSelection::from_consecutive_ranges(ranges, size(total))
}

fn fit(
    batch: &RecordBatch,
    wanted: &SchemaRef,
    constants: &[(String, Option<String>)],
) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let column = |field: &arrow::datatypes::FieldRef| {
        if let Some((_, value)) = constants.iter().find(|(name, _)| name == field.name()) {
            return constant(value.as_deref(), field.data_type(), rows);
        }
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => strict_cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), rows)),
        }
    };
    let columns = wanted.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(wanted.clone(), columns, &options)
}

/// A partition value, spelt as Delta spells it, as a column of one value.
pub(super) fn constant(
    value: Option<&str>,
    data_type: &arrow::datatypes::DataType,
    rows: usize,
) -> Result<ArrayRef, ArrowError> {
    let one: ArrayRef = Arc::new(StringArray::from(vec![value.filter(|text| !text.is_empty())]));
    let one = strict_cast(&one, data_type)?;
    take(&one, &UInt32Array::from(vec![0; rows]), None)
}

/// Reads byte ranges of one object.
#[derive(Debug, Clone)]
struct StoreReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for StoreReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let read = self.store.get_range(&self.path, range).await;
            read.map_err(|error| ParquetError::External(error.into()))
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            let read = self.store.get_ranges(&self.path, &ranges).await;
            read.map_err(|error| ParquetError::External(error.into()))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let mut reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_HINT));
            if let Some(options) = options {
                reader = reader
                    .with_metadata_options(Some(options.metadata_options().clone()))
                    .with_column_index_policy(options.column_index_policy())
                    .with_offset_index_policy(options.offset_index_policy());
            }
            let size = self.size;
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

/// The columns of a schema with these names, by index.
pub(super) fn indices_of(schema: &Schema, names: &[String]) -> Vec<usize> {
    names.iter().filter_map(|name| schema.index_of(name).ok()).collect()
}
