//! Many updates at HubSpot's limit: `hublake apply` of a stored plan, as a user
//! runs it, against an emulator in another process.
//!
//! `cargo bench --bench write_back` updates 20,000 contacts at 200 ms and 190 calls
//! in ten seconds. The environment asks for more: `HUBLAKE_BENCH_CONTACTS=200000`,
//! `HUBLAKE_BENCH_LATENCY=800ms`, `HUBLAKE_BENCH_LIMIT=250`. Ends with a line of
//! JSON: batch updates and the batch reads that refresh before them, counted apart;
//! the share is of both, from the first such call to the last.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[path = "support/emulator.rs"]
mod emulator;

use emulator::{Emulator, NO_LIMIT};

const SETTINGS: &str =
    "lake: { url: ./lake }\nhubspot:\n  base_url: URL\n  token: { file: token }\n";

const PIPELINE: &str = "extract:
  contacts: { properties: [email, jobtitle] }
models:
  wanted: { materialize: table, key: [contact_id] }
write_back:
  wanted:
    object: contacts
    match: { record_id: contact_id }
    properties:
      product_score: { from: score, create: { type: number, group: product, label: Score } }
";

const MODEL: &str = "-- One row: the score of one contact.
select id as contact_id, cast(id % 97 + 1 as double) as score from hubspot.contacts
";

fn main() {
    // Cargo lists and tests benches too: this one is for measuring only.
    if std::env::args().any(|arg| arg == "--list" || arg == "--test") {
        return;
    }
    let told = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let contacts: u64 = told("HUBLAKE_BENCH_CONTACTS", "20000").parse().expect("a number");
    let latency = told("HUBLAKE_BENCH_LATENCY", "200ms");
    let limit: u32 = told("HUBLAKE_BENCH_LIMIT", "190").parse().expect("a number");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(contacts, &latency, limit));
}

async fn run(contacts: u64, latency: &str, limit: u32) {
    let (contacts_text, no_limit) = (contacts.to_string(), NO_LIMIT.to_string());
    let emulator = Emulator::start(&[
        ["--contacts", &contacts_text],
        ["--limit", &no_limit],
        ["--companies", "0"],
    ]);
    let folder = tempfile::tempdir().expect("a folder for the project");
    let project = folder.path();
    fs::create_dir_all(project.join("pipelines")).expect("a folder");
    fs::create_dir_all(project.join("sql")).expect("a folder");
    let settings = SETTINGS.replace("URL", &emulator.url);
    for (file, text) in [
        ("hublake.yml", settings.as_str()),
        ("token", "bench"),
        ("pipelines/scores.yml", PIPELINE),
        ("sql/wanted.sql", MODEL),
    ] {
        fs::write(project.join(file), text).expect("a file");
    }
    hublake(project, &["properties", "apply"]);
    hublake(project, &["plan"]);
    let limits = json!({"per_ten_seconds": limit, "latency": latency});
    emulator.control("POST", "limits", Some(limits)).await;
    emulator.control("DELETE", "log", None).await;
    // What was called without a limit counts towards the new one for ten seconds.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let started = Instant::now();
    hublake(project, &["apply"]);
    let seconds = started.elapsed().as_secs_f64();
    let log = emulator.control("GET", "log?since=0", None).await;
    println!("{}", outcome(contacts, latency, limit, seconds, &log));
}

fn outcome(contacts: u64, latency: &str, limit: u32, seconds: f64, log: &Value) -> Value {
    let of = |endpoint: &str| -> Vec<i64> {
        let calls = log["calls"].as_array().expect("calls").iter();
        let mut times: Vec<i64> = calls
            .filter(|call| call["endpoint"] == endpoint)
            .filter_map(|call| call["at"].as_i64())
            .collect();
        times.sort_unstable();
        times
    };
    let (reads, writes) = (of("objects.batch_read"), of("objects.batch_update"));
    let per_second = |times: &[i64]| match times {
        [first, .., last] => Some(times.len() as f64 * 1_000.0 / (last - first).max(1) as f64),
        _ => None,
    };
    let mut both = [reads.as_slice(), writes.as_slice()].concat();
    both.sort_unstable();
    let allowed = f64::from(limit) / 10.0;
    let share = |times: &[i64]| per_second(times).map(|rate| rate / allowed);
    json!({
        "bench": "apply",
        "updates": contacts,
        "latency": latency,
        "limit_per_ten_seconds": limit,
        "reads": reads.len(),
        "writes": writes.len(),
        "share_of_allowed": share(&both),
        "share_while_writing": share(&both[both.partition_point(|at| Some(at) < writes.first())..]),
        "counts": log["counts"],
        "refused_for_rate": log["refused_for_rate"],
        "most_in_ten_seconds": log["most_in_ten_seconds"],
        "seconds": seconds,
    })
}

fn hublake(project: &Path, args: &[&str]) {
    let project = project.to_str().expect("a path of text");
    let status = Command::new(env!("CARGO_BIN_EXE_hublake"))
        .args(["--project", project, "-q"])
        .args(args)
        .stdout(Stdio::null())
        .status();
    let status = status.expect("hublake can be run");
    assert!(status.success(), "{args:?}: {status}");
}
