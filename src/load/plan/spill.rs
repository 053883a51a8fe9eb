//! Rows parted into buckets by a hash of their key, in memory until they
//! outgrow it, then on disk: equal keys meet in one bucket, and memory depends
//! on the size of a bucket, not on how many rows there are.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::{DiskManager, SpillFile, SpillWriter};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use crate::load::error::{LoadError, While};

const DOING: &str = "parting rows into buckets";

/// Rows held in memory by one set of buckets before they go to disk. A plan
/// fills two sets at a time and has two buckets in hand beside them, which
/// stays far below 512 MiB.
const HELD_BYTES: usize = 48 << 20;

/// A set of buckets being filled.
pub(crate) struct Buckets {
    schema: SchemaRef,
    disk: Arc<DiskManager>,
    held: Vec<RecordBatch>,
    held_bytes: usize,
    /// Per bucket, (batch, row) of its rows among those held.
    places: Vec<Vec<(usize, usize)>>,
    files: Vec<Option<Spilling>>,
}

/// A file being written. Files are removed when their last handle is dropped.
struct Spilling {
    file: Arc<dyn SpillFile>,
    writer: StreamWriter<Box<dyn SpillWriter>>,
}

/// One bucket, ready to be read once.
pub(crate) struct Bucket {
    schema: SchemaRef,
    file: Option<Arc<dyn SpillFile>>,
    held: Arc<Vec<RecordBatch>>,
    places: Vec<(usize, usize)>,
}

impl Buckets {
    pub(crate) fn new(schema: SchemaRef, count: usize, disk: Arc<DiskManager>) -> Self {
        let files = (0..count).map(|_| None).collect();
        Self {
            schema,
            disk,
            held: Vec::new(),
            held_bytes: 0,
            places: vec![Vec::new(); count],
            files,
        }
    }

    /// Takes a batch whose row `r` belongs into the bucket of `hashes[r]`.
    pub(crate) fn push(&mut self, batch: RecordBatch, hashes: &[u64]) -> Result<(), LoadError> {
        let at = self.held.len();
        for (row, hash) in hashes.iter().enumerate() {
            let bucket = bucket_of(*hash, self.places.len());
            self.places[bucket].push((at, row));
        }
        self.held_bytes += batch.get_array_memory_size();
        self.held.push(batch);
        if self.held_bytes > HELD_BYTES { self.spill() } else { Ok(()) }
    }

    /// The buckets, in order.
    pub(crate) fn finish(mut self) -> Result<Vec<Bucket>, LoadError> {
        let held = Arc::new(std::mem::take(&mut self.held));
        let pairs =
            std::mem::take(&mut self.places).into_iter().zip(std::mem::take(&mut self.files));
        pairs
            .map(|(places, file)| Bucket::new(self.schema.clone(), file, held.clone(), places))
            .collect()
    }

    fn spill(&mut self) -> Result<(), LoadError> {
        let held: Vec<&RecordBatch> = self.held.iter().collect();
        for (places, file) in
            self.places.iter_mut().zip(&mut self.files).filter(|(places, _)| !places.is_empty())
        {
            let rows = interleave_record_batch(&held, places).during(DOING)?;
            places.clear();
            let file = match file {
                Some(file) => file,
                None => file.insert(Spilling::create(&self.disk, &self.schema)?),
            };
            file.writer.write(&rows).during(DOING)?;
        }
        self.held.clear();
        self.held_bytes = 0;
        Ok(())
    }
}

impl Spilling {
    fn create(disk: &Arc<DiskManager>, schema: &SchemaRef) -> Result<Self, LoadError> {
        let file = disk.create_tmp_file("planning a write-back").during(DOING)?;
        let writer =
            StreamWriter::try_new(file.open_writer().during(DOING)?, schema).during(DOING)?;
        Ok(Self { file, writer })
    }

    fn finish(self) -> Result<Arc<dyn SpillFile>, LoadError> {
        let mut writer = self.writer.into_inner().during(DOING)?;
        writer.finish().during(DOING)?;
        Ok(self.file)
    }
}

/// Reads a finished file back, batch by batch.
fn read(file: &dyn SpillFile) -> Result<StreamReader<BufReader<File>>, LoadError> {
    let nowhere = || std::io::Error::other("The temporary file is not on this machine");
    let file = File::open(file.path().ok_or_else(nowhere).during(DOING)?).during(DOING)?;
    StreamReader::try_new(BufReader::new(file), None).during(DOING)
}

impl Bucket {
    fn new(
        schema: SchemaRef,
        file: Option<Spilling>,
        held: Arc<Vec<RecordBatch>>,
        places: Vec<(usize, usize)>,
    ) -> Result<Self, LoadError> {
        let file =
            file.map(|mut spilled| spilled.writer.finish().map(|()| spilled.file)).transpose();
        Ok(Self { schema, file: file.during(DOING)?, held, places })
    }

    /// All rows of the bucket.
    pub(crate) fn read(self) -> Result<RecordBatch, LoadError> {
        let mut batches = Vec::new();
        if let Some(file) = &self.file {
            for batch in read(file.as_ref())? {
                batches.push(batch.during(DOING)?);
            }
        }
        if !self.places.is_empty() {
            let held: Vec<&RecordBatch> = self.held.iter().collect();
            batches.push(interleave_record_batch(&held, &self.places).during(DOING)?);
        }
        concat_batches(&self.schema, &batches).during(DOING)
    }
}

/// Batches put aside in order, in memory until they outgrow it.
pub(crate) struct Spool {
    schema: SchemaRef,
    disk: Arc<DiskManager>,
    file: Option<Spilling>,
    held: Vec<RecordBatch>,
    held_bytes: usize,
}

impl Spool {
    pub(crate) fn new(schema: SchemaRef, disk: Arc<DiskManager>) -> Self {
        Self { schema, disk, file: None, held: Vec::new(), held_bytes: 0 }
    }

    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), LoadError> {
        self.held_bytes += batch.get_array_memory_size();
        self.held.push(batch);
        if self.held_bytes <= HELD_BYTES {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(Spilling::create(&self.disk, &self.schema)?),
        };
        for batch in self.held.drain(..) {
            file.writer.write(&batch).during(DOING)?;
        }
        self.held_bytes = 0;
        Ok(())
    }

    /// The batches in the order they came.
    pub(crate) fn into_stream(self) -> Result<SendableRecordBatchStream, LoadError> {
        let file = self.file.map(Spilling::finish).transpose()?;
        let spilled = file.as_deref().map(read).transpose()?;
        let batches = spilled.into_iter().flatten().chain(self.held.into_iter().map(Ok));
        // The file lives as long as the stream that reads it.
        let batches = batches.map(move |batch| {
            let _keep = &file;
            batch.map_err(Into::into)
        });
        let batches = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema, batches)))
    }
}

/// Spreads a hash whose low bits may say little over `count` buckets.
fn bucket_of(hash: u64, count: usize) -> usize {
    ((hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize) % count
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::execution::disk_manager::DiskManagerBuilder;

    use super::*;

    fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(range))])
            .expect("one column")
    }

    fn hashes(batch: &RecordBatch) -> Vec<u64> {
        batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .map(|n| (n % 100) as u64)
            .collect()
    }

    fn disk() -> Arc<DiskManager> {
        Arc::new(DiskManagerBuilder::default().build().expect("a temporary folder"))
    }

    fn read_all(buckets: Buckets) -> Vec<Vec<i64>> {
        let buckets = buckets.finish().expect("finished");
        let read = |bucket: Bucket| bucket.read().expect("readable");
        buckets
            .into_iter()
            .map(|b| read(b).column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[test]
    fn equal_keys_meet_in_one_bucket_and_no_row_is_lost() {
        for spill_between in [false, true] {
            let mut buckets = Buckets::new(numbers(0..0).schema(), 7, disk());
            for batch in [numbers(0..500), numbers(500..1000)] {
                let hashes = hashes(&batch);
                buckets.push(batch, &hashes).expect("pushed");
                if spill_between {
                    buckets.spill().expect("spilled");
                }
            }
            let read = read_all(buckets);
            for key in 0..100 {
                let holders =
                    read.iter().filter(|rows| rows.iter().any(|n| n % 100 == key)).count();
                assert_eq!(holders, 1, "rows of key {key} are in several buckets");
            }
            let mut all: Vec<i64> = read.into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..1000).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn a_spool_keeps_the_order_across_the_disk() {
        let rows = |range: std::ops::Range<i64>| numbers(range);
        let mut spool = Spool::new(rows(0..0).schema(), disk());
        // 8 MiB a batch: the seventh goes past what is held.
        let length = 1 << 20;
        for part in 0..9 {
            spool.push(rows(part * length..(part + 1) * length)).expect("pushed");
        }
        assert!(spool.file.is_some() && !spool.held.is_empty());
        let stream = spool.into_stream().expect("readable");
        let batches: Vec<_> = futures::TryStreamExt::try_collect(stream).await.expect("rows");
        let first = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().value(0);
        assert_eq!(
            batches.iter().map(first).collect::<Vec<_>>(),
            (0..9).map(|part| part * length).collect::<Vec<_>>()
        );
    }
}
