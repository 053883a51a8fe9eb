//! Write-back against the emulator: every row one outcome, every value as the
//! policies say, and quiet afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use chrono::Utc;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use hublake::emulator::{Control, Emulator, EmulatorConfig, Fault, FaultAction, Values};
use hublake::extract::{ExtractObjectConfig, ObjectSync, Progress, SyncMode, sync_object};
use hublake::hubspot::{Client, HubSpotConfig};
use hublake::lake::{Lake, LakeConfig, TableName};
use hublake::load::{
    self, ApplyReport, ApplyRequest, Counts, PlanRequest, PlanSummary, Store, WriteBackConfig,
};
use hublake::objects::ObjectType;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) const USAGE: &str = r#"
object: contacts
match: { record_id: id }
properties:
  usage_score: { from: score, create: { type: number, group: product_usage, label: Score } }
  jobtitle: { from: title, policy: fill_empty }
  lifecyclestage: { from: stage, policy: { forward_only: [subscriber, lead, marketingqualifiedlead, salesqualifiedlead, opportunity, customer] } }
"#;

pub(crate) const SIGN_UPS: &str = r#"
object: contacts
match: { email: id }
mode: upsert
properties:
  usage_score: { from: score, create: { type: number, group: product_usage, label: Score } }
  jobtitle: { from: title, policy: fill_empty }
"#;

pub(crate) const UPDATES: &str = "*/contacts/batch/update";
pub(crate) const CREATES: &str = "*/contacts/batch/create";

/// One row of the model.
#[derive(Clone, Default)]
pub(crate) struct Row {
    pub(crate) id: Option<String>,
    pub(crate) score: Option<f64>,
    pub(crate) title: Option<String>,
    pub(crate) stage: Option<String>,
}

pub(crate) fn row(id: impl ToString, score: f64) -> Row {
    Row { id: Some(id.to_string()), score: Some(score), ..Row::default() }
}

pub(crate) fn model(rows: &[Row]) -> SendableRecordBatchStream {
    let text = |field: fn(&Row) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(field).collect::<StringArray>())
    };
    let scores: ArrayRef = Arc::new(rows.iter().map(|row| row.score).collect::<Float64Array>());
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", text(|row| row.id.as_deref()), true),
        ("score", scores, true),
        ("title", text(|row| row.title.as_deref()), true),
        ("stage", text(|row| row.stage.as_deref()), true),
    ])
    .expect("columns of one length");
    let schema = batch.schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)])))
}

/// An account, a lake and a write-back between them.
pub(crate) struct World {
    emulator: Emulator,
    pub(crate) client: Client,
    pub(crate) lake: Lake,
    pub(crate) config: WriteBackConfig,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(write_back: &str) -> Self {
        let emulator = Emulator::start(EmulatorConfig {
            contacts: 40,
            companies: 5,
            deals: 0,
            ..Default::default()
        });
        let emulator = emulator.await.expect("a free port");
        let settings = HubSpotConfig { base_url: emulator.url(), ..Default::default() };
        let client = Client::new(&settings, "token".to_owned().into()).expect("a client");
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), folder.path()).await.expect("a lake");
        let config = serde_saphyr::from_str(write_back).expect("valid settings");
        let world = Self { emulator, client, lake, config, folder };
        world.extract().await;
        world
    }

    pub(crate) fn emulator_url(&self) -> String {
        self.emulator.url()
    }

    pub(crate) fn control(&self) -> Control {
        self.emulator.control()
    }

    pub(crate) async fn extract(&self) {
        let object = ObjectType::CONTACTS;
        let definitions = self.client.properties(&object, false).await.expect("properties");
        let sync = ObjectSync {
            client: &self.client,
            lake: &self.lake,
            object: &object,
            definitions: &definitions,
            config: &ExtractObjectConfig::default(),
            always: &[],
            mode: SyncMode::Full,
            index_lag: Duration::ZERO,
            stop: &CancellationToken::new(),
            progress: &Progress::default(),
        };
        let (_, error) = sync_object(&sync).await;
        assert!(error.is_none(), "{error:?}");
    }

    /// Ids of live contacts whose stage is `lead`, in order.
    pub(crate) async fn leads(&self) -> Vec<u64> {
        let mirror = self
            .lake
            .table(&TableName::hubspot("contacts"))
            .await
            .expect("a lake")
            .expect("a mirror");
        let filter = "lifecyclestage = 'lead' and not archived and merged_into is null";
        let context = datafusion::prelude::SessionContext::new();
        let rows = context.read_table(mirror.provider().await.expect("a table")).expect("readable");
        let filter = rows.parse_sql_expr(filter).expect("a filter");
        let ids =
            rows.filter(filter).and_then(|rows| rows.select_columns(&["id"])).expect("a query");
        let batches = ids.collect().await.expect("rows");
        let ids = batches.iter().flat_map(|batch| {
            let ids: &arrow::array::Int64Array =
                arrow::array::AsArray::as_primitive(batch.column(0));
            ids.values().to_vec()
        });
        let mut ids: Vec<u64> = ids.map(|id| id as u64).collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) async fn catch_up(&self) {
        let write_backs = [("contact_usage", &self.config)];
        load::catch_up(&self.lake, "usage", &write_backs, Utc::now().timestamp_micros())
            .await
            .expect("caught up");
    }

    pub(crate) async fn plan(&self, run_id: &str, rows: &[Row]) -> PlanSummary {
        self.plan_at(run_id, rows, Utc::now().timestamp_micros()).await
    }

    pub(crate) async fn plan_at(&self, run_id: &str, rows: &[Row], now: i64) -> PlanSummary {
        self.catch_up().await;
        let definitions =
            self.client.properties(&ObjectType::CONTACTS, false).await.expect("properties");
        let request = PlanRequest {
            run_id,
            pipeline: "usage",
            write_back: "contact_usage",
            config: &self.config,
            definitions: &definitions,
            wanted: model(rows),
            store: Store::IfSending,
            accepted: &BTreeSet::new(),
            index_lag: Duration::from_secs(60),
            now,
            stop: CancellationToken::new(),
        };
        load::plan(&self.lake, &self.client, request).await.expect("planned")
    }

    pub(crate) async fn apply(
        &self,
        run_id: &str,
        plan: &PlanSummary,
        stop: CancellationToken,
    ) -> ApplyReport {
        let definitions =
            self.client.properties(&ObjectType::CONTACTS, false).await.expect("properties");
        let request = ApplyRequest {
            run_id,
            pipeline: "usage",
            config: &self.config,
            plan,
            definitions: &definitions,
            accepted: &BTreeSet::new(),
            dry_run: false,
            stop,
            may_send: None,
        };
        load::apply(&self.lake, &self.client, request).await.expect("applied")
    }

    pub(crate) async fn run(&self, run_id: &str, rows: &[Row]) -> ApplyReport {
        let plan = self.plan(run_id, rows).await;
        assert!(plan.counts.close(), "{:?}", plan.counts);
        let report = self.apply(run_id, &plan, CancellationToken::new()).await;
        assert!(report.counts.close(), "{:?}", report.counts);
        report
    }

    pub(crate) fn value(&self, id: u64, property: &str) -> Option<String> {
        let record = self.control().record("contacts", id).expect("a record");
        record["properties"][property].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(crate) fn edit(&self, id: u64, property: &str, value: &str) {
        let values: Values = [(property.to_owned(), value.to_owned())].into();
        self.control().edit_record("contacts", id, &values).expect("edited");
    }

    pub(crate) fn fault(&self, path: &str, action: FaultAction) {
        let fault = Fault {
            method: Some("POST".into()),
            path: path.into(),
            action,
            skip: 0,
            times: Some(1),
        };
        self.control().add_fault(fault);
    }

    /// Calls of batch endpoints that write contacts.
    pub(crate) fn writes(&self) -> u64 {
        let counts = self.control().log(0).counts;
        let is_write = |endpoint: &str| {
            ["batch_create", "batch_update", "batch_upsert"]
                .iter()
                .any(|end| endpoint.ends_with(end))
        };
        counts
            .iter()
            .filter(|(endpoint, _)| is_write(endpoint))
            .flat_map(|(_, statuses)| statuses.values())
            .sum()
    }

    /// Data files of the lake.
    pub(crate) fn data_files(&self) -> BTreeSet<String> {
        fn walk(folder: &std::path::Path, found: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => walk(&path, found),
                    false => drop(
                        path.extension()
                            .is_some_and(|end| end == "parquet")
                            .then(|| found.insert(path.display().to_string())),
                    ),
                }
            }
        }
        let mut found = BTreeSet::new();
        walk(self.folder.path(), &mut found);
        found.into_iter().filter(|path| !path.contains("_delta_log")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_reach_hubspot_once_and_the_second_run_is_quiet() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let rows: Vec<Row> =
        leads.iter().enumerate().map(|(at, id)| row(id, at as f64 + 0.5)).collect();

    let first = world.run("r1", &rows).await;
    assert_eq!(first.created_properties, ["usage_score"]);
    let wanted = leads.len() as u64;
    assert_eq!(first.counts, Counts { wanted, updated: wanted, ..Counts::default() });
    assert_eq!(world.value(leads[3], "usage_score").as_deref(), Some("3.5"));

    world.extract().await;
    let (writes, files) = (world.writes(), world.data_files());
    let second = world.run("r2", &rows).await;
    assert_eq!(second.counts, Counts { wanted, unchanged: wanted, ..Counts::default() });
    assert_eq!(world.writes(), writes, "a quiet run made a write call");
    assert_eq!(world.data_files(), files, "a quiet run stored something");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_shows_what_was_written_before_any_extract() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    world.run("r1", &[row(leads[0], 7.0)]).await;
    let again = world.run("r2", &[row(leads[0], 7.0)]).await;
    assert_eq!(again.counts, Counts { wanted: 1, unchanged: 1, ..Counts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn people_keep_what_the_policies_leave_them() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let (filled, staged) = (leads[0], leads[1]);
    world.edit(filled, "jobtitle", "");
    world.edit(staged, "lifecyclestage", "customer");
    world.extract().await;
    let rows = [
        Row { title: Some("CTO".into()), ..row(filled, 1.0) },
        Row { stage: Some("opportunity".into()), ..row(staged, 1.0) },
    ];
    world.run("r1", &rows).await;
    assert_eq!(world.value(filled, "jobtitle").as_deref(), Some("CTO"));
    assert_eq!(world.value(staged, "lifecyclestage").as_deref(), Some("customer"));

    // Edited after the last extract: only the read before the decision shows it.
    world.edit(filled, "jobtitle", "Founder");
    world.edit(filled, "usage_score", "99");
    let rows = [Row { title: Some("CIO".into()), ..row(filled, 2.0) }, rows[1].clone()];
    let second = world.run("r2", &rows).await;
    assert_eq!(world.value(filled, "jobtitle").as_deref(), Some("Founder"));
    assert_eq!(world.value(filled, "usage_score").as_deref(), Some("2"));
    let expected = Counts { wanted: 2, updated: 1, kept: 1, conflicts: 1, ..Counts::default() };
    assert_eq!(second.counts, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_row_is_rejected_alone_and_with_a_sentence() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let (good, archived) = (leads[0], leads[1]);
    world.control().archive_record("contacts", archived).expect("archived");
    let rows = [
        row(good, 1.0),
        Row { score: Some(1.0), ..Row::default() },
        row("not-a-number", 1.0),
        row(4_711, 1.0),
        row(archived, 1.0),
        row(leads[2], 1.0),
        row(leads[2], 2.0),
        row(leads[3], f64::NAN),
        Row { stage: Some("no such stage".into()), ..row(leads[4], 1.0) },
        Row { title: Some("x".repeat(65_537)), ..row(leads[5], 1.0) },
    ];
    let report = world.run("r1", &rows).await;
    assert_eq!(report.counts, Counts { wanted: 10, updated: 1, rejected: 9, ..Counts::default() });
    assert_eq!(world.value(good, "usage_score").as_deref(), Some("1"));

    let rejects = load::rejects(&world.lake, true).await.expect("readable");
    let category = |key: &str| {
        rejects.iter().find(|reject| reject.match_key == key).map(|reject| reject.category.as_str())
    };
    assert_eq!(category(""), Some("NO_KEY"));
    assert_eq!(category("not-a-number"), Some("INVALID_KEY"));
    assert_eq!(category("4711"), Some("OBJECT_NOT_FOUND"));
    assert_eq!(category(&archived.to_string()), Some("OBJECT_NOT_FOUND"));
    assert_eq!(category(&leads[2].to_string()), Some("DUPLICATE_KEY"));
    assert_eq!(category(&leads[3].to_string()), Some("NOT_A_FINITE_NUMBER"));
    assert_eq!(category(&leads[4].to_string()), Some("INVALID_OPTION"));
    assert_eq!(category(&leads[5].to_string()), Some("VALUE_TOO_LONG"));

    let (writes, files) = (world.writes(), world.data_files());
    let again = world.run("r2", &rows).await;
    assert_eq!((again.counts.unchanged, again.counts.rejected), (1, 9));
    assert_eq!(
        (world.writes(), world.data_files()),
        (writes, files),
        "known rejects made a run loud"
    );

    let fixed = world.run("r3", &[row(good, 1.0), row(leads[3], 3.0)]).await;
    assert_eq!(fixed.counts, Counts { wanted: 2, unchanged: 1, updated: 1, ..Counts::default() });
    assert_eq!(load::rejects(&world.lake, true).await.expect("readable"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_resolved_by_reading() {
    for action in
        [FaultAction::ApplyThenDrop, FaultAction::ApplyThen { status: 502 }, FaultAction::Drop]
    {
        let world = World::new(USAGE).await;
        let leads = world.leads().await;
        world.run("r0", &[row(leads[9], 0.0)]).await;
        world.fault(UPDATES, action.clone());
        let report = world.run("r1", &[row(leads[0], 1.0), row(leads[1], 2.0)]).await;
        assert_eq!(
            report.counts,
            Counts { wanted: 2, updated: 2, ..Counts::default() },
            "{action:?}"
        );
        assert_eq!(world.value(leads[1], "usage_score").as_deref(), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_refused_whole_is_halved_until_the_guilty_row_stands_alone() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    world.run("r0", &[row(leads[9], 0.0)]).await;
    let body = serde_json::json!({ "status": "error", "message": "Something is wrong", "category": "VALIDATION_ERROR" });
    world.fault(UPDATES, FaultAction::Refuse { status: 400, body: Some(body), retry_after: None });
    let rows: Vec<Row> = leads[..4].iter().map(|id| row(id, 1.0)).collect();
    let report = world.run("r1", &rows).await;
    assert_eq!(report.counts, Counts { wanted: 4, updated: 4, ..Counts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_nobody_knows_of_is_ours_all_the_same() {
    let yielding = SIGN_UPS.replace("from: score,", "from: score, policy: yield,");
    let world = World::new(&yielding).await;
    world.run("r0", &[row("first@example.com", 0.0)]).await;
    let plan = world.plan("r1", &[row("new@example.com", 5.0)]).await;
    world.fault(CREATES, FaultAction::ApplyThenDrop);
    for path in ["*/contacts/batch/read", "*/contacts/search"] {
        let action = FaultAction::Refuse { status: 403, body: None, retry_after: None };
        let fault =
            Fault { method: Some("POST".into()), path: path.into(), action, skip: 0, times: None };
        world.control().add_fault(fault);
    }
    let report = world.apply("r1", &plan, CancellationToken::new()).await;
    assert_eq!(report.counts, Counts { wanted: 1, unknown: 1, ..Counts::default() });
    world.control().clear_faults();
    world.extract().await;
    let again = world.run("r2", &[row("new@example.com", 6.0)]).await;
    assert_eq!(again.counts, Counts { wanted: 1, updated: 1, ..Counts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_may_have_happened_happens_once() {
    for action in [FaultAction::ApplyThenDrop, FaultAction::Drop] {
        let world = World::new(SIGN_UPS).await;
        world.run("r0", &[row("first@example.com", 0.0)]).await;
        world.fault(CREATES, action.clone());
        let report = world.run("r1", &[row("New@Example.com", 5.0)]).await;
        assert_eq!(
            report.counts,
            Counts { wanted: 1, created: 1, ..Counts::default() },
            "{action:?}"
        );
        let again = world.run("r2", &[row("new@example.com", 5.0)]).await;
        assert_eq!(
            again.counts,
            Counts { wanted: 1, unchanged: 1, ..Counts::default() },
            "{action:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_the_mirror_had_not_seen_is_decided_by_the_policies() {
    let world = World::new(SIGN_UPS).await;
    let values: Values = [("email", "late@example.com"), ("jobtitle", "Founder")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let id = world.control().create_record("contacts", &values).expect("created");
    let wanted = Row { title: Some("CTO".into()), ..row("late@example.com", 5.0) };
    let report = world.run("r1", &[wanted]).await;
    assert_eq!(report.counts, Counts { wanted: 1, updated: 1, ..Counts::default() });
    assert_eq!(world.value(id, "jobtitle").as_deref(), Some("Founder"));
    assert_eq!(world.value(id, "usage_score").as_deref(), Some("5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_an_old_plan_survives_its_apply() {
    let mut world = World::new(USAGE).await;
    let fills = world.config.properties.get_mut("usage_score").expect("declared");
    fills.policy = Some(load::Policy::Yield);
    let leads = world.leads().await;
    let rows = [row(leads[0], 2.0), row(leads[1], 2.0)];
    let titled = |row: &Row| Row { title: Some("CTO".into()), ..row.clone() };
    let rows = rows.each_ref().map(titled);
    leads[..2].iter().for_each(|id| world.edit(*id, "jobtitle", ""));
    world.extract().await;
    let an_hour_ago = Utc::now().timestamp_micros() - 3_600_000_000;
    let plan = world.plan_at("r1", &rows, an_hour_ago).await;
    world.edit(leads[0], "jobtitle", "Founder");
    let report = world.apply("r2", &plan, CancellationToken::new()).await;
    let expected = Counts { wanted: 2, updated: 1, deferred: 1, ..Counts::default() };
    assert_eq!(report.counts, expected);
    assert_eq!(world.value(leads[0], "jobtitle").as_deref(), Some("Founder"));
    assert_eq!(world.value(leads[1], "jobtitle").as_deref(), Some("CTO"));

    let next = world.run("r3", &rows).await;
    let expected = Counts { wanted: 2, updated: 1, unchanged: 1, ..Counts::default() };
    assert_eq!(next.counts, expected, "the next plan decides anew");
    assert_eq!(world.value(leads[0], "jobtitle").as_deref(), Some("Founder"));
    assert_eq!(world.value(leads[0], "usage_score").as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_record_is_not_taken_for_a_lost_create() {
    let world = World::new(SIGN_UPS).await;
    world.run("r0", &[row("first@example.com", 0.0)]).await;
    let wanted = Row { title: Some("CTO".into()), ..row("new@example.com", 5.0) };
    let plan = world.plan("r1", &[wanted]).await;
    let values: Values = [("email", "new@example.com"), ("jobtitle", "Founder")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let id = world.control().create_record("contacts", &values).expect("created");
    world.fault(CREATES, FaultAction::Drop);
    let report = world.apply("r1", &plan, CancellationToken::new()).await;
    assert_eq!(report.counts, Counts { wanted: 1, updated: 1, ..Counts::default() });
    assert_eq!(world.value(id, "jobtitle").as_deref(), Some("Founder"));
    assert_eq!(world.value(id, "usage_score").as_deref(), Some("5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_new_keys_of_one_record_are_both_refused() {
    let world = World::new(SIGN_UPS).await;
    world.run("r0", &[row("first@example.com", 0.0)]).await;
    let values: Values =
        [("email", "main@example.com"), ("hs_additional_emails", "other@example.com")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let id = world.control().create_record("contacts", &values).expect("created");
    let rows = [row("main@example.com", 1.0), row("other@example.com", 2.0)];
    let report = world.run("r1", &rows).await;
    assert_eq!(report.counts, Counts { wanted: 2, rejected: 2, ..Counts::default() });
    assert_eq!(world.value(id, "usage_score"), None);
    let rejects = load::rejects(&world.lake, true).await.expect("readable");
    assert!(rejects.iter().all(|reject| reject.category == "DUPLICATE_KEY"), "{rejects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_record_leaves_its_email_to_a_live_one() {
    let world = World::new(SIGN_UPS).await;
    let values: Values = [("email".to_owned(), "twin@example.com".to_owned())].into();
    let archived = world.control().create_record("contacts", &values).expect("created");
    world.control().archive_record("contacts", archived).expect("archived");
    world.extract().await;
    let report = world.run("r1", &[row("twin@example.com", 1.0)]).await;
    assert_eq!(report.counts, Counts { wanted: 1, created: 1, ..Counts::default() });
    world.extract().await;
    let next = world.run("r2", &[row("twin@example.com", 2.0)]).await;
    assert_eq!(next.counts, Counts { wanted: 1, updated: 1, ..Counts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_differ_by_case_are_one_contact() {
    let world = World::new(SIGN_UPS).await;
    let report = world.run("r1", &[row("a@example.com", 1.0), row("A@Example.com", 2.0)]).await;
    assert_eq!(report.counts, Counts { wanted: 2, rejected: 2, ..Counts::default() });
    assert_eq!(world.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_a_record_merged_away_meanwhile_is_an_outcome() {
    let mut world = World::new(USAGE).await;
    world.config.refresh = false;
    let leads = world.leads().await;
    world.run("r0", &[row(leads[9], 0.0)]).await;
    let merged = world.control().merge_records("contacts", leads[0], leads[1]);
    merged.expect("merged");
    let report = world.run("r1", &[row(leads[0], 1.0), row(leads[2], 1.0)]).await;
    assert_eq!(report.counts, Counts { wanted: 2, updated: 1, rejected: 1, ..Counts::default() });
    world.extract().await;
    let again = world.run("r2", &[row(leads[0], 1.0), row(leads[2], 1.0)]).await;
    assert_eq!(
        again.counts,
        Counts { wanted: 2, updated: 1, unchanged: 1, ..Counts::default() },
        "the merge is followed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_our_own_write_does_not_look_like_a_persons() {
    let mut world = World::new(USAGE).await;
    let yields = world.config.properties.get_mut("usage_score").expect("declared");
    yields.policy = Some(load::Policy::Yield);
    let leads = world.leads().await;
    world.run("r1", &[row(leads[0], 1.0), row(leads[1], 1.0)]).await;

    let plan = world.plan("r2", &[row(leads[0], 2.0), row(leads[1], 2.0)]).await;
    world.fault(UPDATES, FaultAction::ApplyThenHold);
    let control = world.control();
    tokio::select! {
        _ = world.apply("r2", &plan, CancellationToken::new()) => panic!("the answer is held"),
        _ = control.wait_for_held() => {}
    }
    control.clear_faults();

    let third = world.run("r3", &[row(leads[0], 3.0), row(leads[1], 3.0)]).await;
    assert_eq!(third.counts, Counts { wanted: 2, updated: 2, ..Counts::default() });
    assert_eq!(world.value(leads[0], "usage_score").as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_our_own_create_does_not_look_like_a_persons() {
    let mut world = World::new(SIGN_UPS).await;
    let yields = world.config.properties.get_mut("usage_score").expect("declared");
    yields.policy = Some(load::Policy::Yield);
    world.run("r0", &[row("first@example.com", 0.0)]).await;

    let plan = world.plan("r1", &[row("New@Example.com", 2.0)]).await;
    world.fault(CREATES, FaultAction::ApplyThenHold);
    let control = world.control();
    tokio::select! {
        _ = world.apply("r1", &plan, CancellationToken::new()) => panic!("the answer is held"),
        _ = control.wait_for_held() => {}
    }
    control.clear_faults();

    world.extract().await;
    let same = world.run("r2", &[row("new@example.com", 2.0)]).await;
    assert_eq!(same.counts, Counts { wanted: 1, unchanged: 1, ..Counts::default() });
    let changed = world.run("r3", &[row("new@example.com", 3.0)]).await;
    assert_eq!(changed.counts, Counts { wanted: 1, updated: 1, ..Counts::default() });
    let again = world.run("r4", &[row("new@example.com", 4.0)]).await;
    assert_eq!(again.counts, Counts { wanted: 1, updated: 1, ..Counts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_sends_nothing_more_and_the_next_goes_on() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let rows: Vec<Row> = leads.iter().map(|id| row(id, 1.0)).collect();
    let plan = world.plan("r1", &rows).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let report = world.apply("r1", &plan, stop).await;
    assert!(report.stopped && report.counts.close());
    assert_eq!((report.counts.deferred, world.writes()), (leads.len() as u64, 0));
    let next = world.run("r2", &rows).await;
    assert_eq!(next.counts.updated, leads.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_may_not_send_any_more_leaves_its_rows_to_the_next() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let rows = [row(leads[0], 1.0), row(leads[1], 1.0)];
    let plan = world.plan("r1", &rows).await;
    let definitions =
        world.client.properties(&ObjectType::CONTACTS, false).await.expect("properties");
    let request = ApplyRequest {
        run_id: "r1",
        pipeline: "usage",
        config: &world.config,
        plan: &plan,
        definitions: &definitions,
        accepted: &BTreeSet::new(),
        dry_run: false,
        stop: CancellationToken::new(),
        may_send: Some(Arc::new(|| false)),
    };
    let report = load::apply(&world.lake, &world.client, request).await.expect("stopped");
    assert!(report.stopped);
    assert_eq!(report.counts, Counts { wanted: 2, deferred: 2, ..Counts::default() });
    assert_eq!(world.writes(), 0);
    assert_eq!(world.run("r2", &rows).await.counts.updated, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_plan_is_interrupted_and_stores_nothing() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let files = world.data_files();
    let definitions =
        world.client.properties(&ObjectType::CONTACTS, false).await.expect("properties");
    let stop = CancellationToken::new();
    stop.cancel();
    let request = PlanRequest {
        run_id: "r1",
        pipeline: "usage",
        write_back: "contact_usage",
        config: &world.config,
        definitions: &definitions,
        wanted: model(&[row(leads[0], 1.0)]),
        store: Store::Always,
        accepted: &BTreeSet::new(),
        index_lag: Duration::from_secs(60),
        now: Utc::now().timestamp_micros(),
        stop,
    };
    let error = load::plan(&world.lake, &world.client, request).await.expect_err("stopped");
    assert!(matches!(error, load::LoadError::Interrupted { .. }), "{error}");
    assert_eq!(world.data_files(), files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_walks_the_road_and_leaves_no_trace() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let plan = world.plan("r1", &[row(leads[0], 1.0)]).await;
    let files = world.data_files();
    let definitions =
        world.client.properties(&ObjectType::CONTACTS, false).await.expect("properties");
    let request = ApplyRequest {
        run_id: "r1",
        pipeline: "usage",
        config: &world.config,
        plan: &plan,
        definitions: &definitions,
        accepted: &BTreeSet::new(),
        dry_run: true,
        stop: CancellationToken::new(),
        may_send: None,
    };
    let report = load::apply(&world.lake, &world.client, request).await.expect("walked");
    assert_eq!(report.counts, Counts { wanted: 1, updated: 1, ..Counts::default() });
    assert_eq!((world.writes(), world.data_files()), (0, files));
    assert_eq!(world.value(leads[0], "usage_score"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_older_than_the_last_applied_is_out_of_date() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let old = world.plan("r1", &[row(leads[0], 1.0)]).await;
    world.run("r2", &[row(leads[0], 2.0)]).await;
    let definitions =
        world.client.properties(&ObjectType::CONTACTS, false).await.expect("properties");
    let request = ApplyRequest {
        run_id: "r3",
        pipeline: "usage",
        config: &world.config,
        plan: &old,
        definitions: &definitions,
        accepted: &BTreeSet::new(),
        dry_run: false,
        stop: CancellationToken::new(),
        may_send: None,
    };
    let error = load::apply(&world.lake, &world.client, request).await.expect_err("out of date");
    assert!(matches!(error, load::LoadError::PlanOutOfDate { .. }), "{error}");
    assert_eq!(world.value(leads[0], "usage_score").as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_plan_can_be_read_and_its_summary_kept() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let plan = world.plan("r1", &[row(leads[0], 1.0), row(leads[1], 2.0)]).await;
    let rows = load::planned_rows(&world.lake, "r1", "contact_usage", 10).await.expect("readable");
    let news: BTreeMap<_, _> =
        rows.iter().map(|row| (row.record_id, row.changes["usage_score"].new.as_str())).collect();
    assert_eq!(news, [(Some(leads[0] as i64), "1"), (Some(leads[1] as i64), "2")].into());
    let kept: Value = serde_json::to_value(&plan).expect("plain data");
    let read: PlanSummary = serde_json::from_value(kept).expect("own output");
    assert_eq!((read.counts, read.planned_at), (plan.counts, plan.planned_at));
}
