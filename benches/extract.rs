//! A full sync and an incremental one against an emulator in another process.
//!
//! `cargo bench --bench extract` reads 100,000 contacts without limit or
//! latency. The environment asks for more: `HUBLAKE_BENCH_CONTACTS=1000000`,
//! `HUBLAKE_BENCH_LATENCY=200ms`, `HUBLAKE_BENCH_LIMIT=190` (calls in ten
//! seconds), `HUBLAKE_BENCH_CHANGED=10000` (contacts edited, scattered over all,
//! before the incremental sync; 0 leaves it out). Ends with a line of JSON per
//! sync: CPU and memory are this process's own, the emulator's not among them.

use std::time::{Duration, Instant};

use hublake::extract::{
    Cadence, ExtractObjectConfig, ObjectReport, ObjectSync, Progress, PropertySelection, SyncMode,
    sync_object,
};
use hublake::hubspot::{Client, HubSpotConfig};
use hublake::lake::{Lake, LakeConfig};
use hublake::objects::{ObjectType, PropertyDefinition};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/process.rs"]
mod process;

use emulator::{Emulator, NO_LIMIT};
use process::{cpu_seconds, forget_peak_memory, peak_memory, stored_bytes};

const PROPERTIES: usize = 60;

fn main() {
    // Cargo lists and tests benches too: this one is for measuring only.
    if std::env::args().any(|arg| arg == "--list" || arg == "--test") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&Scenario::from_environment()));
}

struct Scenario {
    contacts: u64,
    latency: String,
    limit: u32,
    changed: u64,
}

impl Scenario {
    fn from_environment() -> Self {
        let number = |name: &str, default: u64| {
            std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        Self {
            contacts: number("HUBLAKE_BENCH_CONTACTS", 100_000),
            latency: std::env::var("HUBLAKE_BENCH_LATENCY").unwrap_or_else(|_| "0ms".to_owned()),
            limit: number("HUBLAKE_BENCH_LIMIT", NO_LIMIT.into()) as u32,
            changed: number("HUBLAKE_BENCH_CHANGED", 1_000),
        }
    }
}

async fn run(scenario: &Scenario) {
    let (contacts, limit) = (scenario.contacts.to_string(), scenario.limit.to_string());
    let emulator = Emulator::start(&[
        ["--contacts", &contacts],
        ["--latency", &scenario.latency],
        ["--limit", &limit],
        ["--companies", "1000"],
    ]);
    let settings = HubSpotConfig {
        base_url: emulator.url.clone(),
        // A limit is learned from the first answer; none has to be told.
        burst_limit: (scenario.limit == NO_LIMIT).then_some(10_000),
        ..HubSpotConfig::default()
    };
    let client = Client::new(&settings, "bench".to_owned().into()).expect("a client");
    let folder = tempfile::tempdir().expect("a folder for the lake");
    let lake = Lake::open(&LakeConfig::default(), folder.path()).await.expect("a lake");
    let object = ObjectType::CONTACTS;
    let definitions = client.properties(&object, false).await.expect("properties");
    let bench = Bench { client, lake, object, definitions };

    let full = bench.sync("full", scenario, &emulator).await;
    println!("{full}");
    if scenario.changed > 0 {
        edit_scattered(&bench, &emulator, scenario).await;
        let before = stored_bytes(folder.path());
        let mut incremental = bench.sync("incremental", scenario, &emulator).await;
        incremental["bytes_written"] = json!(stored_bytes(folder.path()).saturating_sub(before));
        println!("{incremental}");
    }
}

struct Bench {
    client: Client,
    lake: Lake,
    object: ObjectType,
    definitions: Vec<PropertyDefinition>,
}

impl Bench {
    /// Syncs once and reports what it took.
    async fn sync(&self, name: &str, scenario: &Scenario, emulator: &Emulator) -> Value {
        let names = self.definitions.iter().take(PROPERTIES).map(|d| d.name.clone());
        let config = ExtractObjectConfig {
            properties: PropertySelection::Patterns(names.collect()),
            reconcile: Some(Cadence::Never),
            ..ExtractObjectConfig::default()
        };
        emulator.control("DELETE", "log", None).await;
        forget_peak_memory();
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let sync = ObjectSync {
            client: &self.client,
            lake: &self.lake,
            object: &self.object,
            definitions: &self.definitions,
            config: &config,
            always: &[],
            mode: SyncMode::Auto,
            index_lag: Duration::ZERO,
            stop: &CancellationToken::new(),
            progress: &Progress::default(),
        };
        let (report, error) = sync_object(&sync).await;
        assert!(error.is_none(), "{error:?}");
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let log = emulator.control("GET", "log?since=1000000000", None).await;
        outcome(name, scenario, &report, seconds, cpu, &log)
    }
}

fn outcome(
    name: &str,
    scenario: &Scenario,
    report: &ObjectReport,
    seconds: f64,
    cpu: f64,
    log: &Value,
) -> Value {
    let records = report.read as f64;
    let allowed = f64::from(scenario.limit) / 10.0 * 100.0;
    let share = (scenario.limit != NO_LIMIT).then(|| records / seconds / allowed);
    json!({
        "bench": format!("extract {name}"),
        "contacts": scenario.contacts,
        "properties": PROPERTIES,
        "latency": scenario.latency,
        "limit_per_ten_seconds": share.map(|_| scenario.limit),
        "records": report.read,
        "inserted": report.inserted,
        "updated": report.updated,
        "calls": report.calls,
        "seconds": seconds,
        "records_per_second": records / seconds,
        "share_of_allowed": share,
        "refused_for_rate": log["refused_for_rate"],
        "most_in_ten_seconds": log["most_in_ten_seconds"],
        "cpu_microseconds_per_record": cpu * 1e6 / records.max(1.0),
        "peak_rss_mib": peak_memory().map(|bytes| bytes / 1024 / 1024),
    })
}

/// Edits contacts, as many as asked for, evenly spread over the account.
async fn edit_scattered(bench: &Bench, emulator: &Emulator, scenario: &Scenario) {
    let name = hublake::lake::TableName::hubspot("contacts");
    let mirror = bench.lake.table(&name).await.expect("a lake").expect("a mirror");
    let rows = mirror.scan(Some(&["id"]), None).await.expect("a scan");
    let batches: Vec<_> = futures::TryStreamExt::try_collect(rows).await.expect("ids");
    let mut ids = Vec::new();
    for batch in batches {
        let column: &arrow::array::Int64Array =
            arrow::array::AsArray::as_primitive(batch.column(0));
        ids.extend(column.values().to_vec());
    }
    ids.sort_unstable();
    let step = (ids.len() as u64 / scenario.changed).max(1) as usize;
    for id in ids.iter().step_by(step).take(scenario.changed as usize) {
        let body = json!({"properties": {"jobtitle": format!("Changed {id}")}});
        let edited =
            emulator.try_control("POST", &format!("records/contacts/{id}"), Some(body)).await;
        // Archived records cannot be edited.
        let _ = edited;
    }
}
