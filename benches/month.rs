//! A month of runs every 15 minutes: what a table that is edited a little all
//! the time costs to keep and to read.
//!
//! `cargo bench --bench month` edits 100,000 rows of 60 columns 2,880 times, four
//! edits in five on one row in a hundred, with upkeep after every run as `hublake
//! run` does it. History is kept for the last 672 runs, which are seven days; the
//! time they took here stands for it. `HUBLAKE_BENCH_ROWS` and
//! `HUBLAKE_BENCH_RUNS` ask for others. Ends with a line of JSON: the most bytes
//! stored and the time to read all rows, both against a table freshly written.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use hublake::lake::{LakeConfig, MaintenancePolicy, Table};

#[path = "support/process.rs"]
mod process;
#[path = "support/wide.rs"]
mod wide;

/// Edited rows a run: 10,000 and more a day.
const EDITS: usize = 120;
/// Runs in seven days.
const HISTORY_RUNS: usize = 7 * 96;
/// Reads of which the median counts.
const READS: usize = 5;

fn main() {
    // Cargo lists and tests benches too: this one is for measuring only.
    if std::env::args().any(|arg| arg == "--list" || arg == "--test") {
        return;
    }
    let number = |name: &str, default: i64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let rows = number("HUBLAKE_BENCH_ROWS", 100_000);
    let runs = number("HUBLAKE_BENCH_RUNS", 2_880);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(rows, runs));
}

async fn run(rows: i64, runs: i64) {
    let folder = tempfile::tempdir().expect("a folder for the table");
    let mut table = wide::table(folder.path(), rows).await;
    let mut began: VecDeque<Instant> = VecDeque::new();
    let mut random = fastrand::Rng::with_seed(1);
    let (started, cpu) = (Instant::now(), process::cpu_seconds());
    process::forget_peak_memory();
    let mut most_stored = 0;
    for round in 1..=runs {
        began.push_back(Instant::now());
        let ids: Vec<i64> = edited(&mut random, rows).into_iter().collect();
        table.upsert(wide::changes(&ids, round), &[]).await.expect("merged");
        let policy = MaintenancePolicy {
            history: began.front().map_or(Duration::ZERO, Instant::elapsed),
            ..MaintenancePolicy::new(&LakeConfig::default())
        };
        table.maintain(&policy).await.expect("looked after");
        if began.len() > HISTORY_RUNS {
            began.pop_front();
        }
        if round % 96 == 0 {
            most_stored = most_stored.max(process::stored_bytes(folder.path()));
        }
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), process::cpu_seconds() - cpu);
    let fresh_folder = tempfile::tempdir().expect("a folder for the other table");
    let fresh = wide::table(fresh_folder.path(), rows).await;
    let live = process::stored_bytes(fresh_folder.path());
    let (aged_read, fresh_read) = (read_time(&table).await, read_time(&fresh).await);
    let report = serde_json::json!({
        "bench": "month",
        "rows": rows,
        "runs": runs,
        "edits_per_run": EDITS,
        "stored_bytes": process::stored_bytes(folder.path()),
        "most_stored_bytes": most_stored,
        "live_bytes": live,
        "stored_to_live": most_stored as f64 / live as f64,
        "data_files": table.data_files(),
        "read_ratio": aged_read.as_secs_f64() / fresh_read.as_secs_f64(),
        "milliseconds_per_run": seconds * 1e3 / runs as f64,
        "cpu_milliseconds_per_run": cpu * 1e3 / runs as f64,
        "peak_rss_bytes": process::peak_memory(),
    });
    println!("{report}");
}

/// The rows edited in one run: most of them among the first hundredth.
fn edited(random: &mut fastrand::Rng, rows: i64) -> BTreeSet<i64> {
    let hot = (rows / 100).max(1);
    let mut ids = BTreeSet::new();
    while ids.len() < EDITS.min(rows as usize) {
        let id = if random.u8(..) % 5 < 4 { random.i64(..hot) } else { random.i64(..rows) };
        ids.insert(id);
    }
    ids
}

async fn read_time(table: &Table) -> Duration {
    let mut times = Vec::new();
    for _ in 0..READS {
        let started = Instant::now();
        let mut rows = table.scan(None, None).await.expect("a scan");
        while rows.try_next().await.expect("rows").is_some() {}
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times[READS / 2]
}
