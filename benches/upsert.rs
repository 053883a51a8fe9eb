//! Upsert of 10,000 scattered rows into a wide table, against plainly rewriting
//! the touched files in the same run.
//!
//! `cargo bench --bench upsert` takes a million rows; `HUBLAKE_BENCH_ROWS=5000000`
//! another number. Ends with one line of JSON: seconds of both, their ratio, and
//! the peak of resident memory during the upserts.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use criterion::{Criterion, SamplingMode};
use hublake::lake::{
    Changes, Lake, LakeConfig, MaintenancePolicy, Table, TableName, TableSpec, UpsertCounts,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tokio::runtime::Runtime;

const DEFAULT_ROWS: i64 = 1_000_000;
const CHANGED_ROWS: i64 = 10_000;
const TEXT_COLUMNS: usize = 34;
const NUMBER_COLUMNS: usize = 15;
const FLAG_COLUMNS: usize = 6;
const BATCH_ROWS: i64 = 50_000;

fn main() {
    let rows = std::env::var("HUBLAKE_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok());
    let rows: i64 = rows.unwrap_or(DEFAULT_ROWS);
    let folder = tempfile::tempdir().expect("a folder for the table");
    let runtime = Runtime::new().expect("a runtime");
    let mut bench = Bench::build(&runtime, folder.path(), rows);
    let mut criterion = Criterion::default().configure_from_args();
    let rewrites = measure(&mut criterion, rows, "rewrite", || bench.rewrite_files());
    forget_peak_memory();
    let upserts = measure(&mut criterion, rows, "upsert", || bench.upsert(&runtime));
    report(rows, median(&upserts), median(&rewrites));
}

/// Times of one routine, measured by criterion.
fn measure(
    criterion: &mut Criterion,
    rows: i64,
    name: &str,
    mut run: impl FnMut() -> Duration,
) -> Vec<Duration> {
    let times = RefCell::new(Vec::new());
    let mut group = criterion.benchmark_group(format!("{CHANGED_ROWS} of {rows} rows"));
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let time = run();
                times.borrow_mut().push(time);
                total += time;
            }
            total
        });
    });
    group.finish();
    times.into_inner()
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn report(rows: i64, upsert: Option<Duration>, rewrite: Option<Duration>) {
    // Criterion runs neither when it is asked only to list or test its benches.
    let (Some(upsert), Some(rewrite)) = (upsert, rewrite) else { return };
    let report = serde_json::json!({
        "bench": "upsert",
        "rows": rows,
        "columns": schema().fields().len(),
        "changed_rows": CHANGED_ROWS,
        "upsert_seconds": upsert.as_secs_f64(),
        "rewrite_seconds": rewrite.as_secs_f64(),
        "ratio": upsert.as_secs_f64() / rewrite.as_secs_f64(),
        "peak_rss_bytes": peak_memory(),
    });
    println!("{report}");
}

/// A wide table on disk, and a count that makes every round's changes new.
struct Bench {
    table: Table,
    data: PathBuf,
    rows: i64,
    round: i64,
}

impl Bench {
    fn build(runtime: &Runtime, folder: &Path, rows: i64) -> Self {
        let spec = TableSpec {
            name: TableName::hubspot("contacts"),
            schema: schema(),
            key: vec!["id".into()],
            partition_by: Vec::new(),
        };
        let table = runtime.block_on(async {
            let lake = Lake::open(&LakeConfig::default(), folder).await.expect("a lake");
            let mut table = lake.open_or_create(&spec).await.expect("a table");
            let mut merge = table.merge().expect("a keyed table");
            for start in (0..rows).step_by(usize::try_from(BATCH_ROWS).expect("a batch")) {
                let ids: Vec<_> = (start..rows.min(start + BATCH_ROWS)).collect();
                let changes = Changes { rows: vec![contacts(&ids, 0)], ..Changes::default() };
                merge.push(changes).await.expect("rows");
            }
            merge.commit(&[]).await.expect("a commit");
            table
        });
        Self { table, data: folder.join("lake/hubspot/contacts"), rows, round: 0 }
    }

    /// Reads and writes every data file, as a copy that changes nothing would.
    fn rewrite_files(&mut self) -> Duration {
        let files = parquet_files(&self.data);
        let start = Instant::now();
        let copy = self.data.with_extension("copy");
        for file in &files {
            rewrite(file, &copy);
        }
        let time = start.elapsed();
        fs::remove_file(copy).expect("the copy was written");
        time
    }

    fn upsert(&mut self, runtime: &Runtime) -> Duration {
        self.round += 1;
        let step = self.rows / CHANGED_ROWS;
        let ids: Vec<_> = (0..CHANGED_ROWS).map(|id| id * step + self.round % step).collect();
        let changes = Changes {
            rows: vec![contacts(&ids, self.round)],
            deletes: None,
            newer_by: Some("updated_at".into()),
            ignore: vec!["_synced_at".into()],
        };
        let start = Instant::now();
        let counts = runtime.block_on(self.table.upsert(changes, &[])).expect("merged");
        let time = start.elapsed();
        let changed = u64::try_from(CHANGED_ROWS).expect("positive");
        assert_eq!(counts, UpsertCounts { updated: changed, ..UpsertCounts::default() });
        // Old files would otherwise fill the disk: here no history is kept.
        let now = MaintenancePolicy {
            history: Duration::ZERO,
            compact_after_files: usize::MAX,
            checkpoint_every: 1,
        };
        runtime.block_on(self.table.maintain(&now)).expect("swept");
        time
    }
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the table's folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")).collect()
}

fn rewrite(file: &Path, copy: &Path) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).expect("a file"));
    let reader = reader.expect("Parquet").with_batch_size(8192).build().expect("a reader");
    let level = ZstdLevel::try_new(1).expect("a level");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(64 * 1024))
        .build();
    let out = File::create(copy).expect("a file");
    let mut writer = ArrowWriter::try_new(out, schema(), Some(properties)).expect("a writer");
    for batch in reader {
        writer.write(&batch.expect("rows")).expect("written");
    }
    writer.close().expect("closed");
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![Field::new("id", DataType::Int64, true)];
    let mut add = |kind: &str, count, data_type: &DataType| {
        fields
            .extend((0..count).map(|n| Field::new(format!("{kind}_{n}"), data_type.clone(), true)));
    };
    add("text", TEXT_COLUMNS, &DataType::Utf8);
    add("number", NUMBER_COLUMNS, &DataType::Float64);
    add("flag", FLAG_COLUMNS, &DataType::Boolean);
    for name in ["created_at", "updated_at", "_vanished_at", "_synced_at"] {
        fields.push(Field::new(name, time.clone(), true));
    }
    Arc::new(Schema::new(fields))
}

/// Made-up contacts: some columns full, some of few values, some mostly empty.
fn contacts(ids: &[i64], round: i64) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.to_vec()))];
    let value = |id: i64, column: usize| {
        let seed = id.unsigned_abs().wrapping_mul(64) + column as u64;
        fastrand::Rng::with_seed(seed ^ round.unsigned_abs() << 48).u64(..)
    };
    for column in 0..TEXT_COLUMNS {
        let text = |id: &i64| match (column % 4, value(*id, column)) {
            (0, value) => Some(format!("{value:x}")),
            (1, value) => Some(format!("option {}", value % 20)),
            (2, value) => {
                (value % 3 == 0).then(|| format!("person.{}@example.com", value % 99_991))
            }
            (_, value) => (value % 20 == 0).then(|| format!("note {value}")),
        };
        columns.push(Arc::new(ids.iter().map(text).collect::<StringArray>()));
    }
    for column in 0..NUMBER_COLUMNS {
        let number = |id: &i64| {
            let value = value(*id, TEXT_COLUMNS + column);
            (value % 2 == 0).then(|| (value % 100_000) as f64 / 4.0)
        };
        columns.push(Arc::new(ids.iter().map(number).collect::<Float64Array>()));
    }
    for column in 0..FLAG_COLUMNS {
        let flag = |id: &i64| Some(value(*id, TEXT_COLUMNS + NUMBER_COLUMNS + column) % 5 == 0);
        columns.push(Arc::new(ids.iter().map(flag).collect::<BooleanArray>()));
    }
    let start = 1_700_000_000_000_000;
    let times = |time: &dyn Fn(i64) -> Option<i64>| -> ArrayRef {
        let times = ids.iter().map(|id| time(*id)).collect::<TimestampMicrosecondArray>();
        Arc::new(times.with_timezone("UTC"))
    };
    columns.push(times(&|id| Some(start + id * 1_000_000)));
    columns.push(times(&|id| Some(start + id * 1_000_000 + round)));
    columns.push(times(&|_| None));
    columns.push(times(&|_| Some(start + round)));
    RecordBatch::try_new(schema(), columns).expect("columns of the schema")
}

/// Makes the kernel count the peak of memory from now on (Linux; elsewhere the
/// peak of the whole run is reported, where it is known at all).
fn forget_peak_memory() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}
