//! Upsert of 10,000 scattered rows into a wide table, against plainly rewriting
//! the touched files in the same run.
//!
//! `cargo bench --bench upsert` takes a million rows; `HUBLAKE_BENCH_ROWS=5000000`
//! another number. Ends with one line of JSON: seconds of both, their ratio, and
//! the peak of resident memory during the upserts.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use hublake::lake::{LakeConfig, MaintenancePolicy, Table, UpsertCounts};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tokio::runtime::Runtime;

#[path = "support/process.rs"]
mod process;
#[path = "support/wide.rs"]
mod wide;

use process::{forget_peak_memory, peak_memory};
use wide::schema;

const DEFAULT_ROWS: i64 = 1_000_000;
const CHANGED_ROWS: i64 = 10_000;

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
        let table = runtime.block_on(wide::table(folder, rows));
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
        let changes = wide::changes(&ids, self.round);
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
            ..MaintenancePolicy::new(&LakeConfig::default())
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
