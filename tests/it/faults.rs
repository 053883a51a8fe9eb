//! Every fault the emulator can script, at every endpoint that an extraction
//! calls. Whatever happens, the run ends by itself with a code that is
//! documented, its counts close, and either the lake is what an undisturbed run
//! makes of it or the failure is told; the next run completes the lake.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use hublake::emulator::{Emulator, EmulatorConfig, Fault, FaultAction, Values};
use hublake::lake::{Lake, LakeConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Of how many cases one is tried, unless `HUBLAKE_FAULTS` asks for `all` or names an
/// endpoint.
/// Each endpoint still meets every third fault, each fault every third endpoint.
const ONE_OF: usize = 3;
/// Accounts with a project and a lake each, that work side by side.
const WORKERS: usize = 4;

const SETTINGS: &str = "  token: { file: token }\n  burst_limit: 10000\n  \
                        request_timeout_secs: 2\n  index_lag_secs: 0\n";

const PIPELINE: &str = "
extract:
  contacts:
    properties: [email, firstname, jobtitle]
    associations: [companies]
    history: [jobtitle]
    reconcile: every_run
    commit_rows: 60
  companies: { properties: [name, domain] }
  deals: { properties: [dealname, pipeline] }
  p24680135_licence: {}
  lists: { memberships: true, reconcile: every_run }
";

/// What an extraction calls: a name, the method, the path, and how many such
/// calls pass before the fault.
const ENDPOINTS: [(&str, &str, &str, u64); 16] = [
    ("account details", "GET", "*/account-info/*details", 0),
    ("properties", "GET", "*/crm/properties/*/contacts", 0),
    ("schemas", "GET", "*/crm-object-schemas/*", 0),
    ("the clock", "GET", "*/crm/objects/*/contacts", 0),
    ("list", "GET", "*/crm/objects/*/contacts", 1),
    ("list's second page", "GET", "*/crm/objects/*/contacts", 2),
    ("search", "POST", "*/crm/objects/*/contacts/search", 0),
    ("record", "GET", "*/crm/objects/*/contacts/*", 0),
    ("batch read", "POST", "*/crm/objects/*/contacts/batch/read", 0),
    ("history", "POST", "*/crm/objects/*/contacts/batch/read", 2),
    ("associations", "POST", "*/crm/associations/*/batch/read", 0),
    ("owners", "GET", "*/crm/owners/*", 0),
    ("pipelines", "GET", "*/crm/pipelines/*", 0),
    ("lists", "POST", "*/crm/lists/*search", 0),
    ("members", "GET", "*/crm/lists/*/memberships", 0),
    ("members of another list", "GET", "*/crm/lists/*/memberships", 1),
];

fn refuse(status: u16) -> FaultAction {
    FaultAction::Refuse { status, body: None, retry_after: None }
}

fn answer(body: &str, content_type: &str) -> FaultAction {
    FaultAction::Answer {
        status: 200,
        body: body.to_owned(),
        content_type: Some(content_type.to_owned()),
    }
}

fn told(body: Value) -> FaultAction {
    FaultAction::ApplyThenAnswer { status: 200, body: Some(body) }
}

/// What goes wrong, and how often: none is always. What is tried again for a
/// minute and more happens once.
fn faults() -> Vec<(FaultAction, Option<u64>)> {
    let scopes = FaultAction::ScopesMissing { scopes: vec!["crm.some.read".to_owned()] };
    let error = json!({"status": "error", "message": "No", "category": "VALIDATION_ERROR"});
    let retried = FaultAction::Refuse { status: 503, body: None, retry_after: Some(1) };
    let limited = FaultAction::Refuse { status: 429, body: None, retry_after: Some(1) };
    let once = [
        refuse(400),
        refuse(401),
        refuse(404),
        refuse(500),
        refuse(502),
        retried,
        limited,
        scopes.clone(),
        FaultAction::Locked,
        FaultAction::Migrating { retry_after: 1 },
        FaultAction::ApplyThen { status: 524 },
        FaultAction::ApplyThenDrop,
        FaultAction::ApplyThenHold,
        FaultAction::Drop,
        FaultAction::Hold,
        FaultAction::Late { ms: 200 },
        FaultAction::Truncate,
        FaultAction::SlowBody { ms: 20 },
        FaultAction::WrongContentType,
        answer("<html>", "text/html"),
        answer("", "application/json"),
        told(json!({})),
        told(error.clone()),
    ];
    let always = [refuse(400), refuse(404), scopes, told(json!({})), told(error)];
    let once = once.into_iter().map(|action| (action, Some(1)));
    once.chain(always.into_iter().map(|action| (action, None))).collect()
}

/// An account, its project and a lake from before the last edits.
struct Bench {
    emulator: Emulator,
    dir: TempDir,
    /// What the lake is when nothing goes wrong.
    expected: Tables,
}

type Tables = BTreeMap<String, BTreeSet<Vec<String>>>;

struct Ran {
    code: Option<i32>,
    stderr: String,
}

impl Bench {
    async fn new() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let config = EmulatorConfig {
            contacts: 230,
            companies: 20,
            deals: 5,
            tickets: 0,
            activities: 0,
            seed: 11,
            token: Some("test-token".to_owned()),
            limit_per_ten_seconds: 10_000,
            searches_per_second: 1_000,
            index_lag: Duration::ZERO,
            ..EmulatorConfig::default()
        };
        let emulator = Emulator::start(config).await.expect("an emulator on a free port");
        let settings = format!(
            "lake: {{ url: ./lake }}\nhubspot:\n  base_url: {}\n{SETTINGS}",
            emulator.url()
        );
        fs::create_dir_all(dir.path().join("pipelines")).expect("a folder");
        fs::write(dir.path().join("hublake.yml"), settings).expect("a file");
        fs::write(dir.path().join("token"), "test-token").expect("a file");
        fs::write(dir.path().join("pipelines/all.yml"), PIPELINE).expect("a file");
        let mut bench = Self { emulator, dir, expected: Tables::new() };
        bench.populate().await;
        let first = bench.hublake().await;
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        bench.edit().await;
        fs::rename(bench.dir.path().join("lake"), bench.dir.path().join("before")).expect("a move");
        bench.restore();
        let undisturbed = bench.hublake().await;
        assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.stderr);
        bench.expected = bench.tables().await;
        bench
    }

    /// A call of a person's.
    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let method = method.parse().expect("a method");
        let request = client.request(method, format!("{}{path}", self.emulator.url()));
        let request = request.bearer_auth("test-token").body(body.to_string());
        let request = request.header("Content-Type", "application/json");
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or(Value::Null)
    }

    async fn contacts(&self) -> Vec<String> {
        let page = self.call("GET", "/crm/v3/objects/contacts?limit=100", Value::Null).await;
        let records = page["results"].as_array().expect("records").iter();
        records.map(|record| record["id"].as_str().expect("an id").to_owned()).collect()
    }

    async fn populate(&self) {
        let schema = json!({
            "name": "licence", "labels": {"singular": "licence", "plural": "licences"},
            "primaryDisplayProperty": "title", "requiredProperties": [],
            "searchableProperties": [], "secondaryDisplayProperties": [],
            "properties": [{"name": "title", "label": "T", "type": "string", "fieldType": "text"}],
            "associatedObjects": ["CONTACT"],
        });
        self.call("POST", "/crm-object-schemas/v3/schemas", schema).await;
        let contacts = self.contacts().await;
        for (name, members) in [("A", &contacts[..5]), ("B", &contacts[3..9])] {
            let list = json!({"name": name, "objectTypeId": "0-1", "processingType": "MANUAL"});
            let made = self.call("POST", "/crm/v3/lists", list).await;
            let id = made["list"]["listId"].as_str().expect("an id").to_owned();
            let path = format!("/crm/v3/lists/{id}/memberships/add");
            self.call("PUT", &path, json!(members)).await;
        }
    }

    /// Something for every endpoint: values, members, and records that went.
    async fn edit(&self) {
        let control = self.emulator.control();
        control.advance_clock(Duration::from_secs(3_600));
        let contacts = self.contacts().await;
        let id = |at: usize| contacts[at].parse::<u64>().expect("an id");
        for at in 10..70 {
            let values = Values::from([("jobtitle".to_owned(), format!("Title {at}"))]);
            control.edit_record("contacts", id(at), &values).expect("a live contact");
        }
        control.merge_records("contacts", id(80), id(81)).expect("two live contacts");
        control.archive_record("contacts", id(82)).expect("a live contact");
        let purge = json!({"objectId": contacts[83]});
        self.call("POST", "/crm/v3/objects/contacts/gdpr-delete", purge).await;
        control.advance_clock(Duration::from_secs(60));
        control.stop_clock(true);
    }

    /// Brings the lake back that was there before the edits.
    fn restore(&self) {
        let lake = self.dir.path().join("lake");
        let _ = fs::remove_dir_all(&lake);
        copy(&self.dir.path().join("before"), &lake);
    }

    async fn hublake(&self) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hublake"));
        command.arg("--project").arg(self.dir.path()).arg("extract");
        for name in ["HUBSPOT_ACCESS_TOKEN", "HUBLAKE_HUBSPOT_BASE_URL", "HUBLAKE_PROJECT"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("hublake can be run");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ran { code: output.status.code(), stderr }
    }

    /// Every table of the account, as text; times of our own left out.
    async fn tables(&self) -> Tables {
        let config: LakeConfig =
            serde_json::from_value(json!({"url": "./lake"})).expect("a lake's settings");
        let lake = Lake::open(&config, self.dir.path()).await.expect("a lake");
        let mut tables = Tables::new();
        for name in lake.tables().await.expect("tables") {
            if name.schema() != "hubspot" {
                continue;
            }
            let table = lake.table(&name).await.expect("a lake").expect("a table");
            let rows = table.scan(None, None).await.expect("a scan");
            let batches: Vec<_> = rows.try_collect().await.expect("readable rows");
            let mut texts = BTreeSet::new();
            for batch in batches {
                let schema = batch.schema();
                let columns: Vec<(&str, ArrayRef)> = schema
                    .fields()
                    .iter()
                    .zip(batch.columns())
                    .filter(|(field, _)| {
                        !["_synced_at", "_rescued"].contains(&field.name().as_str())
                    })
                    .map(|(field, column)| {
                        (field.name().as_str(), cast(column, &DataType::Utf8).expect("text"))
                    })
                    .collect();
                for row in 0..batch.num_rows() {
                    let text = |(name, column): &(&str, ArrayRef)| match column.is_null(row) {
                        true => "-".to_owned(),
                        false if *name == "_vanished_at" => "then".to_owned(),
                        false => column.as_string::<i32>().value(row).to_owned(),
                    };
                    texts.insert(columns.iter().map(text).collect());
                }
            }
            tables.insert(name.to_string(), texts);
        }
        tables
    }

    /// Tables that are not what they should be.
    async fn differences(&self) -> Vec<String> {
        let tables = self.tables().await;
        let names: BTreeSet<_> = tables.keys().chain(self.expected.keys()).collect();
        let differs = |name: &&&String| tables.get(**name) != self.expected.get(**name);
        names.iter().filter(differs).map(|name| (*name).clone()).collect()
    }

    /// One run with the fault and, where it did not come to its end, one without;
    /// what is wrong with them.
    async fn try_one(
        &self,
        endpoint: usize,
        (action, times): &(FaultAction, Option<u64>),
    ) -> Vec<String> {
        let (_, method, path, skip) = ENDPOINTS[endpoint];
        let control = self.emulator.control();
        self.restore();
        control.clear_log();
        control.add_fault(Fault {
            method: Some(method.to_owned()),
            path: path.to_owned(),
            action: action.clone(),
            skip,
            times: *times,
        });
        let running = tokio::time::timeout(Duration::from_secs(180), self.hublake());
        let Ok(ran) = running.await else { return vec!["it does not end".to_owned()] };
        let met = control.faults().iter().map(|fault| fault.fired).sum::<u64>();
        control.clear_faults();
        for held in control.held() {
            control.release_held(held.id);
        }
        let mut wrong = Vec::new();
        if met == 0 {
            wrong.push(format!("no call met the fault: {}", ran.stderr));
        }
        let results = self.results();
        wrong.extend(unclosed(&results));
        match ran.code {
            Some(0) => {
                let differ = self.differences().await;
                if !differ.is_empty() {
                    wrong.push(format!("ended well, but differs: {differ:?}\n{}", ran.stderr));
                }
                return wrong;
            }
            Some(1 | 75 | 77) => {
                if !is_told(&ran.stderr) {
                    wrong.push(format!("not told: {}", ran.stderr));
                }
            }
            code => wrong.push(format!("ended with {code:?}: {}", ran.stderr)),
        }
        let next = self.hublake().await;
        if next.code != Some(0) {
            wrong.push(format!("the next run ended with {:?}: {}", next.code, next.stderr));
        }
        let differ = self.differences().await;
        if !differ.is_empty() {
            wrong.push(format!("the next run left differences: {differ:?}\n{}", ran.stderr));
        }
        wrong
    }

    fn results(&self) -> Value {
        let text = fs::read_to_string(self.dir.path().join("target/run_results.json"));
        text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null)
    }
}

/// Objects whose counts do not close.
fn unclosed(results: &Value) -> Vec<String> {
    let objects = results["objects"].as_object().into_iter().flatten();
    let count = |object: &Value, name: &str| object[name].as_u64().unwrap_or(0);
    let closes = |object: &Value| {
        let parts = ["inserted", "updated", "unchanged", "rejected"];
        count(object, "read") == parts.iter().map(|name| count(object, name)).sum::<u64>()
    };
    let open = objects.filter(|(_, object)| !closes(object));
    open.map(|(name, object)| format!("{name} does not close: {object}")).collect()
}

/// Whether the failure is told in words that name the call or the thing.
fn is_told(stderr: &str) -> bool {
    let words = ["HubSpot", "was not read", "were not read", "is not shown"];
    words.iter().any(|word| stderr.contains(word))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_at_whatever_endpoint_the_lake_is_right_or_the_failure_is_told() {
    let faults = faults();
    let only = std::env::var("HUBLAKE_FAULTS").ok();
    let is_all = only.is_some();
    let only = only.filter(|only| only != "all");
    let cases: Vec<(usize, usize)> = (0..ENDPOINTS.len())
        .filter(|at| only.as_deref().is_none_or(|only| ENDPOINTS[*at].0 == only))
        .flat_map(|at| (0..faults.len()).map(move |fault| (at, fault)))
        .filter(|(at, fault)| is_all || (at + fault) % ONE_OF == 0)
        .collect();
    let next = AtomicUsize::new(0);
    let work = async || {
        let bench = Bench::new().await;
        let mut wrong = Vec::new();
        while let Some((at, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = bench.try_one(*at, &faults[*fault]).await;
            let case = format!("{}: {:?}", ENDPOINTS[*at].0, faults[*fault]);
            for what in found {
                eprintln!("{case}: {what}");
                wrong.push(format!("{case}: {what}"));
            }
        }
        wrong
    };
    let found = futures::future::join_all((0..WORKERS).map(|_| work())).await;
    let wrong: Vec<String> = found.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}
