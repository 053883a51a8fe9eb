//! One account, one project, one lake: what an integration test plays with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use hublake::emulator::{
    Control, Emulator, EmulatorConfig, SeededContact, Values, seeded_contacts,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::recorded;

/// The file of the project's folder that keeps what hublake and HubSpot said.
const EXCHANGES: &str = "exchanges.jsonl";

const PIPELINE: &str = r#"
extract:
  contacts:
    properties: [email, firstname, jobtitle, lifecyclestage]
    associations: [companies]
    commit_rows: 100
  companies: { properties: [name, domain] }
models:
  wanted: { materialize: table, key: [contact_id], tests: [{ unique: [contact_id] }, { not_null: [score] }] }
write_back:
  wanted:
    object: contacts
    match: { record_id: contact_id }
    properties:
      product_score: { from: score, create: { type: number, group: product, label: "Score", description: "Test" } }
      jobtitle: { from: title, policy: fill_empty }
      lifecyclestage: { from: stage, policy: { forward_only: [subscriber, lead, opportunity, customer] } }
"#;

const MODEL: &str = "-- One row: what HubSpot should hold about one scored contact.
select contacts.id as contact_id, scores.score, scores.title, scores.stage
from hubspot.contacts as contacts
inner join usage.scores as scores on lower(contacts.email) = scores.email
where contacts.archived is not true and contacts.merged_into is null
";

/// An account with 300 contacts, its project and its lake.
pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) emulator: Emulator,
    config: EmulatorConfig,
    dir: TempDir,
}

/// What a `hublake` process came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Ends a process as `kill -9` does.
pub(crate) async fn kill(mut child: Child) {
    child.kill().expect("the process is there to be ended");
    let ended = tokio::task::spawn_blocking(move || child.wait()).await;
    ended.expect("no panic").expect("an ended process");
}

impl World {
    /// The account and a project that keeps its lake in a folder.
    pub(crate) async fn new() -> Self {
        Self::with_lake("lake: { url: ./lake }\n").await
    }

    /// The same with the `lake:` section given.
    pub(crate) async fn with_lake(lake: &str) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let config = EmulatorConfig {
            record: Some(dir.path().join(EXCHANGES)),
            contacts: 300,
            companies: 60,
            deals: 20,
            tickets: 0,
            seed: 11,
            token: Some("test-token".to_owned()),
            limit_per_ten_seconds: 10_000,
            searches_per_second: 1_000,
            index_lag: Duration::ZERO,
            ..EmulatorConfig::default()
        };
        let emulator = Emulator::start(config.clone()).await.expect("an emulator on a free port");
        let world = Self { control: emulator.control(), emulator, config, dir };
        let settings = format!(
            "{lake}hubspot:\n  base_url: {}\n  token: {{ file: token }}\n  burst_limit: 10000\n\
             sources:\n  scores: {{ csv: ./scores.csv }}\n",
            world.emulator.url()
        );
        world.write("hublake.yml", &settings);
        world.write("token", "test-token");
        world.write("pipelines/scores.yml", PIPELINE);
        world.write("sql/wanted.sql", MODEL);
        world.write_scores(|_| Some("lead"));
        world
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file has a folder"))
            .expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    /// Puts text where a marker begins in the pipeline's file, before it.
    pub(crate) fn extend_pipeline(&self, marker: &str, text: &str) {
        let file = "pipelines/scores.yml";
        let pipeline = fs::read_to_string(self.path(file)).expect("the pipeline's file");
        assert!(pipeline.contains(marker), "{marker}");
        self.write(file, &pipeline.replacen(marker, &format!("{text}{marker}"), 1));
    }

    /// Scores for every contact with an email, with the stage that `stage` gives
    /// for its place in the account.
    pub(crate) fn write_scores(&self, stage: impl Fn(usize) -> Option<&'static str>) {
        let mut csv = String::from("email,score,title,stage\n");
        for (place, contact) in self.contacts().iter().enumerate() {
            let email = contact.email.as_deref().unwrap_or_default();
            csv.push_str(&format!(
                "{email},{},Engineer,{}\n",
                place % 50,
                stage(place).unwrap_or_default()
            ));
        }
        self.write("scores.csv", &csv);
    }

    /// The seeded live contacts that have an email.
    pub(crate) fn contacts(&self) -> Vec<SeededContact> {
        seeded_contacts(&self.config).filter(|contact| contact.email.is_some()).collect()
    }

    /// A `hublake` process for this project, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hublake"));
        command.arg("--project").arg(self.dir.path()).args(args);
        command
            .env_remove("HUBSPOT_ACCESS_TOKEN")
            .env_remove("HUBLAKE_HUBSPOT_BASE_URL")
            .env_remove("HUBLAKE_PROJECT");
        command.env("TEST_S3_SECRET", "test");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts `hublake` without waiting for it.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("hublake can be started")
    }

    /// Runs `hublake` to its end.
    pub(crate) async fn hublake(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        let output =
            tokio::task::spawn_blocking(move || command.output().expect("hublake can be run"));
        Ran::from(output.await.expect("waiting does not panic"))
    }

    /// `hublake run`, which must succeed; its results.
    pub(crate) async fn run(&self) -> Value {
        let ran = self.hublake(&["run"]).await;
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        self.results()
    }

    /// `target/run_results.json`.
    pub(crate) fn results(&self) -> Value {
        let text = fs::read_to_string(self.path("target/run_results.json"))
            .expect("a run writes its results");
        serde_json::from_str(&text).expect("the results are JSON")
    }

    /// A query's answer as CSV lines, header first.
    pub(crate) async fn query(&self, sql: &str) -> Vec<String> {
        let ran = self.hublake(&["query", sql, "--output", "csv"]).await;
        assert_eq!(ran.code, 0, "{sql}: {}", ran.stderr);
        ran.stdout.lines().map(str::to_owned).collect()
    }

    /// The one value that a query answers.
    pub(crate) async fn value(&self, sql: &str) -> String {
        self.query(sql).await.get(1).cloned().unwrap_or_default()
    }

    /// Writes that reached HubSpot since the log was last cleared.
    pub(crate) fn write_calls(&self) -> u64 {
        let log = self.control.log(0);
        log.calls.iter().filter(|call| is_write(&call.method, &call.path)).count() as u64
    }

    /// Every live contact's values, as HubSpot holds them, by id.
    pub(crate) fn account(&self) -> BTreeMap<u64, Value> {
        let ids = self.contacts().into_iter().map(|contact| contact.id);
        ids.map(|id| {
            (
                id,
                self.control.record("contacts", id).expect("a seeded contact")["properties"]
                    .clone(),
            )
        })
        .collect()
    }

    /// Live contacts in the account, counted by walking its list.
    pub(crate) async fn count_contacts(&self) -> usize {
        let client = reqwest::Client::new();
        let (mut count, mut after) = (0, String::new());
        loop {
            let url = format!("{}/crm/v3/objects/contacts?limit=100{after}", self.emulator.url());
            let answer = client.get(url).bearer_auth("test-token").send().await.expect("an answer");
            let page: Value =
                serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
            count += page["results"].as_array().expect("records").len();
            match page["paging"]["next"]["after"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return count,
            }
        }
    }

    /// An edit as a person makes it, seen by search at once.
    pub(crate) fn edit(&self, id: u64, property: &str, value: &str) {
        let values = Values::from([(property.to_owned(), value.to_owned())]);
        self.control.edit_record("contacts", id, &values).expect("a seeded contact");
        self.control.advance_clock(Duration::from_secs(5));
    }

    /// Data files under a folder of the lake.
    pub(crate) fn data_files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect_parquet(&self.path("lake").join(folder), &mut files);
        files.sort();
        files
    }
}

impl Drop for World {
    /// Whatever hublake was answered has to be what HubSpot describes.
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        self.control.flush_recording().expect("exchanges can be written");
        let (_, mistakes) = recorded::mistakes(&self.path(EXCHANGES));
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    }
}

/// Batch reads and searches are posts that write nothing.
fn is_write(method: &str, path: &str) -> bool {
    let reads = ["/search", "/batch/read"];
    method != "GET" && !reads.iter().any(|read| path.contains(read))
}

/// Adds the data files under a folder; the log's are none.
pub(crate) fn collect_parquet(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "_delta_log" {
            collect_parquet(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
