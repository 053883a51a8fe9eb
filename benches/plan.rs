//! The three-way plan over a large account: wall time and peak memory.
//!
//! `HUBLAKE_BENCH_ROWS` sets the records (1,000,000), `HUBLAKE_BENCH_CHANGED`
//! the share of rows that differ, in percent (10). Each record has ten
//! properties, each set by hublake before, so that the ledger's table has ten
//! times as many rows. Nothing is read from HubSpot.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use criterion::{Criterion, criterion_group, criterion_main};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use hublake::hubspot::{Client, HubSpotConfig};
use hublake::lake::{Lake, LakeConfig, TableName, TableSpec};
use hublake::load::{self, PlanRequest, PlanSummary, Store, WriteBackConfig};
use hublake::objects::{PropertyDefinition, PropertyType};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: i64 = 65_536;
const NUMBERS: i64 = 5;
const TEXTS: i64 = 5;

type Make = fn(std::ops::Range<i64>) -> RecordBatch;

fn setting(name: &str, default: i64) -> i64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn number(id: i64, property: i64, version: i64) -> f64 {
    (id * 31 + property * 7) as f64 / 8.0 + version as f64
}

fn text(id: i64, property: i64, version: i64) -> String {
    format!("value {property} of {} v{version}", id % 10_000)
}

fn times(length: usize) -> ArrayRef {
    Arc::new(
        TimestampMicrosecondArray::from(vec![1_700_000_000_000_000; length]).with_timezone("UTC"),
    )
}

/// The ten property columns of a range of records.
fn properties(ids: std::ops::Range<i64>, version: impl Fn(i64) -> i64) -> Vec<(String, ArrayRef)> {
    let numbers = (0..NUMBERS).map(|at| {
        let values = ids.clone().map(|id| number(id, at, version(id)));
        (format!("usage_number_{at}"), Arc::new(Float64Array::from_iter_values(values)) as ArrayRef)
    });
    let texts = (0..TEXTS).map(|at| {
        let values = ids.clone().map(|id| text(id, at, version(id)));
        (format!("usage_text_{at}"), Arc::new(StringArray::from_iter_values(values)) as ArrayRef)
    });
    numbers.chain(texts).collect()
}

fn mirrored(ids: std::ops::Range<i64>) -> RecordBatch {
    let length = (ids.end - ids.start) as usize;
    let mut columns: Vec<(String, ArrayRef)> =
        vec![("id".into(), Arc::new(Int64Array::from_iter_values(ids.clone())))];
    columns.extend(properties(ids, |_| 0));
    columns.push(("updated_at".into(), times(length)));
    columns.push(("archived".into(), Arc::new(BooleanArray::from(vec![false; length]))));
    columns.push(("merged_into".into(), Arc::new(Int64Array::new_null(length))));
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn last_set(ids: std::ops::Range<i64>) -> RecordBatch {
    let length = (ids.end - ids.start) as usize * (NUMBERS + TEXTS) as usize;
    let names = || {
        (0..NUMBERS)
            .map(|at| format!("usage_number_{at}"))
            .chain((0..TEXTS).map(|at| format!("usage_text_{at}")))
    };
    let values = |id: i64| {
        let numbers = (0..NUMBERS).map(move |at| number(id, at, 0).to_string());
        numbers.chain((0..TEXTS).map(move |at| text(id, at, 0)))
    };
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; length])) };
    let record_ids = ids.clone().flat_map(|id| std::iter::repeat_n(id, (NUMBERS + TEXTS) as usize));
    let nothing = || -> ArrayRef { Arc::new(StringArray::new_null(length)) };
    RecordBatch::try_from_iter([
        ("object", same("contacts")),
        ("record_id", Arc::new(record_ids.map(Some).collect::<Int64Array>())),
        (
            "property",
            Arc::new(ids.clone().flat_map(|_| names()).map(Some).collect::<StringArray>()),
        ),
        ("state", same("written")),
        ("value", Arc::new(ids.flat_map(values).map(Some).collect::<StringArray>())),
        ("returned", nothing()),
        ("before", nothing()),
        ("written_at", times(length)),
        ("updated_at", times(length)),
        ("run_id", same("earlier")),
    ])
    .expect("columns of one length")
}

fn stream(
    rows: i64,
    make: impl Fn(std::ops::Range<i64>) -> RecordBatch + Send + 'static,
) -> SendableRecordBatchStream {
    let schema: SchemaRef = make(0..0).schema();
    let starts = (0..rows).step_by(BATCH as usize);
    let batches =
        futures::stream::iter(starts.map(move |start| Ok(make(start..(start + BATCH).min(rows)))));
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

/// The model's rows: every 100th to `changed` per cent of them differ from HubSpot.
fn wanted(rows: i64, changed: i64) -> SendableRecordBatchStream {
    stream(rows, move |ids| {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(ids.clone()));
        let columns = properties(ids, |id| i64::from(id % 100 < changed));
        RecordBatch::try_from_iter(std::iter::once(("contact_id".to_owned(), keys)).chain(columns))
            .expect("columns")
    })
}

fn definition(name: &str, property_type: PropertyType) -> PropertyDefinition {
    PropertyDefinition {
        name: name.to_owned(),
        label: name.to_owned(),
        property_type,
        field_type: "text".to_owned(),
        group_name: "usage".to_owned(),
        description: String::new(),
        options: Vec::new(),
        calculated: false,
        external_options: false,
        has_unique_value: false,
        read_only_value: false,
        hubspot_defined: false,
        hidden: false,
        archived: false,
        data_sensitivity: None,
        created_at: None,
        updated_at: None,
    }
}

struct Account {
    lake: Lake,
    client: Client,
    config: WriteBackConfig,
    definitions: Vec<PropertyDefinition>,
    _folder: tempfile::TempDir,
}

async fn account(rows: i64) -> Account {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::open(&LakeConfig::default(), folder.path()).await.expect("a lake");
    for (name, key, make) in [
        (TableName::hubspot("contacts"), vec!["id"], mirrored as Make),
        (
            TableName::system("written"),
            vec!["object", "record_id", "property", "state"],
            last_set as Make,
        ),
    ] {
        let key = key.into_iter().map(String::from).collect();
        let spec = TableSpec { name, schema: make(0..0).schema(), key, partition_by: Vec::new() };
        let mut table = lake.open_or_create(&spec).await.expect("a table");
        table.append_stream(stream(rows, make), &[]).await.expect("rows");
    }
    let numbers =
        (0..NUMBERS).map(|at| definition(&format!("usage_number_{at}"), PropertyType::Number));
    let texts = (0..TEXTS).map(|at| definition(&format!("usage_text_{at}"), PropertyType::String));
    let definitions: Vec<_> = numbers.chain(texts).collect();
    let properties: Vec<_> = definitions
        .iter()
        .map(|known| format!("  {}: {{ policy: overwrite }}", known.name))
        .collect();
    let yaml = format!(
        "object: contacts\nmatch: {{ record_id: contact_id }}\nrefresh: false\nproperties:\n{}\n",
        properties.join("\n")
    );
    let config = serde_saphyr::from_str(&yaml).expect("valid settings");
    let settings =
        HubSpotConfig { base_url: "http://127.0.0.1:9".to_owned(), ..Default::default() };
    let client = Client::new(&settings, "unused".to_owned().into()).expect("a client");
    Account { lake, client, config, definitions, _folder: folder }
}

async fn plan(account: &Account, rows: i64, changed: i64, run: i64) -> PlanSummary {
    let request = PlanRequest {
        run_id: &format!("run-{run}"),
        pipeline: "bench",
        write_back: "contact_usage",
        config: &account.config,
        definitions: &account.definitions,
        wanted: wanted(rows, changed),
        store: Store::IfSending,
        accepted: &BTreeSet::new(),
        index_lag: Duration::from_secs(60),
        now: 1_800_000_000_000_000 + run,
        stop: CancellationToken::new(),
    };
    load::plan(&account.lake, &account.client, request).await.expect("planned")
}

/// The most memory this process ever held, in MiB (Linux).
fn peak_mebibytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes / 1024)
}

/// Forgets the peak so far, so that making the tables does not count.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn three_way_plan(criterion: &mut Criterion) {
    let rows = setting("HUBLAKE_BENCH_ROWS", 1_000_000);
    let changed = setting("HUBLAKE_BENCH_CHANGED", 10);
    let runtime = Runtime::new().expect("a runtime");
    let account = runtime.block_on(account(rows));
    forget_peak();
    let mut run = 0;
    let mut group = criterion.benchmark_group("three_way_plan");
    group.sample_size(10).measurement_time(Duration::from_secs(60));
    group.bench_function(format!("{rows}_rows_{changed}_percent_changed"), |bencher| {
        bencher.iter(|| {
            run += 1;
            let summary = runtime.block_on(plan(&account, rows, changed, run));
            assert_eq!(summary.counts.wanted, rows as u64);
            black_box(summary)
        });
    });
    group.finish();
    if let Some(peak) = peak_mebibytes() {
        println!("three_way_plan: peak memory {peak} MiB");
    }
}

criterion_group!(benches, three_way_plan);
criterion_main!(benches);
