//! Extraction against the emulator: after whatever happened to the account, the
//! network and the reader, a settled sync leaves a mirror equal to the account,
//! row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::TryStreamExt;
use hublake::emulator::{Control, Emulator, EmulatorConfig, Fault, FaultAction, Values};
use hublake::extract::{
    Cadence, ExtractError, ExtractObjectConfig, ObjectReport, ObjectSync, Progress,
    PropertySelection, SyncMode, sync_object,
};
use hublake::hubspot::{Client, HubSpotConfig, ListQuery};
use hublake::lake::{Cursor, Lake, LakeConfig, Table, TableName};
use hublake::objects::ObjectType;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// How far search lags behind, on the emulator's clock.
const LAG: Duration = Duration::from_secs(3);

/// An account, a lake, and nobody's business but ours.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) client: Client,
    pub(crate) lake: Lake,
    pub(crate) config: ExtractObjectConfig,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(contacts: u64) -> Self {
        let settings = EmulatorConfig {
            contacts,
            companies: 5,
            deals: 0,
            tickets: 0,
            index_lag: LAG,
            limit_per_ten_seconds: 10_000,
            searches_per_second: 10_000,
            ..EmulatorConfig::default()
        };
        let emulator = Emulator::start(settings).await.expect("a free port");
        emulator.control().stop_clock(true);
        let settings = HubSpotConfig {
            base_url: emulator.url(),
            burst_limit: Some(10_000),
            ..HubSpotConfig::default()
        };
        let client = Client::new(&settings, "token".to_owned().into()).expect("a client");
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), folder.path()).await.expect("a lake");
        let config = ExtractObjectConfig {
            properties: PropertySelection::Patterns(
                ["email", "firstname", "jobtitle", "num_notes"].map(str::to_owned).into(),
            ),
            commit_rows: 150,
            ..ExtractObjectConfig::default()
        };
        Self { emulator, client, lake, config, _folder: folder }
    }

    pub(crate) fn control(&self) -> Control {
        self.emulator.control()
    }

    async fn sync(
        &self,
        mode: SyncMode,
        reconcile: Cadence,
        stop: &CancellationToken,
    ) -> (ObjectReport, Option<ExtractError>) {
        let object = ObjectType::CONTACTS;
        let definitions = match self.client.properties(&object, false).await {
            Ok(definitions) => definitions,
            // A fault met the definitions: nothing was begun.
            Err(_) => return (ObjectReport::default(), None),
        };
        let sync = ObjectSync {
            client: &self.client,
            lake: &self.lake,
            object: &object,
            definitions: &definitions,
            config: &ExtractObjectConfig { reconcile: Some(reconcile), ..self.config.clone() },
            always: &[],
            mode,
            index_lag: Duration::from_secs(60),
            stop,
            progress: &Progress::default(),
        };
        let (report, error) = sync_object(&sync).await;
        let stored = report.inserted + report.updated + report.unchanged + report.rejected;
        assert_eq!(report.read, stored, "counts close: {report:?}");
        (report, error)
    }

    /// A sync that must succeed.
    pub(crate) async fn settled(&self, mode: SyncMode, reconcile: Cadence) -> ObjectReport {
        let (report, error) = self.sync(mode, reconcile, &CancellationToken::new()).await;
        assert!(error.is_none(), "{error:?}");
        assert!(!report.interrupted);
        report
    }

    async fn mirror(&self) -> Table {
        let name = TableName::hubspot("contacts");
        self.lake.table(&name).await.expect("a lake").expect("a mirror")
    }

    /// The ids that the API's lists show.
    pub(crate) async fn listed(&self, archived: bool) -> Vec<u64> {
        let query = ListQuery { properties: vec![], limit: 100, archived };
        let (mut ids, mut after) = (Vec::new(), None::<String>);
        loop {
            let body = self
                .client
                .list_page(&ObjectType::CONTACTS, &query, after.as_deref())
                .await
                .expect("a page");
            let page: Value = serde_json::from_slice(&body.bytes).expect("JSON");
            let results = page["results"].as_array().expect("results");
            ids.extend(results.iter().filter_map(|r| r["id"].as_str()?.parse::<u64>().ok()));
            match page["paging"]["next"]["after"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return ids,
            }
        }
    }

    /// Every row of the mirror by id, values as text, nulls left out.
    async fn rows(&self) -> BTreeMap<u64, BTreeMap<String, String>> {
        let mirror = self.mirror().await;
        let batches: Vec<_> = mirror
            .scan(None, None)
            .await
            .expect("a scan")
            .try_collect()
            .await
            .expect("readable rows");
        let mut rows = BTreeMap::new();
        for batch in batches {
            let ids = batch.column_by_name("id").expect("ids").as_primitive::<Int64Type>();
            let schema = batch.schema();
            for (at, id) in ids.values().iter().enumerate() {
                let row: &mut BTreeMap<_, _> = rows.entry(*id as u64).or_default();
                assert!(row.is_empty(), "record {id} is stored twice");
                for (field, column) in schema.fields().iter().zip(batch.columns()) {
                    if field.name() == "_rescued" || column.is_null(at) {
                        continue;
                    }
                    let text = cast(&column.slice(at, 1), &DataType::Utf8).expect("text");
                    row.insert(field.name().clone(), text.as_string::<i32>().value(0).to_owned());
                }
            }
        }
        rows
    }

    /// Compares the mirror with the account, record by record.
    async fn assert_equal(&self, known: &BTreeSet<u64>) {
        let rows = self.rows().await;
        let strangers: Vec<_> = rows.keys().filter(|id| !known.contains(id)).collect();
        assert!(strangers.is_empty(), "rows of no record: {strangers:?}");
        for id in known {
            let Ok(record) = self.control().record("contacts", *id) else { continue };
            let row = rows.get(id);
            let place = format!("contact {id}: {record} against {row:?}");
            let column = |name: &str| row.and_then(|row| row.get(name)).map(String::as_str);
            let is_archived = !record["archived_at"].is_null();
            if record["purged"] == true {
                let gone = row.is_none() || column("_vanished_at").is_some();
                assert!(gone || column("archived") == Some("true"), "{place}");
                continue;
            }
            if let Some(survivor) = record["merged_into"].as_str() {
                let marked = column("merged_into").is_some_and(|to| self.leads_to(survivor, to));
                assert!(row.is_none() || marked, "{place}");
                assert_eq!(column("_vanished_at"), None, "{place}");
                continue;
            }
            assert!(row.is_some(), "not stored, {place}");
            assert_eq!(
                column("archived"),
                Some(if is_archived { "true" } else { "false" }),
                "{place}"
            );
            assert_eq!(column("merged_into"), None, "{place}");
            assert_eq!(column("_vanished_at"), None, "{place}");
            for name in ["email", "firstname", "jobtitle"] {
                let wanted = record["properties"][name].as_str().filter(|text| !text.is_empty());
                assert_eq!(column(name), wanted, "`{name}` of {place}");
            }
            let wanted = record["properties"]["num_notes"].as_str();
            let number = |text: &str| text.parse::<f64>().ok();
            assert_eq!(column("num_notes").and_then(number), wanted.and_then(number), "{place}");
        }
    }

    /// As a person asks HubSpot to forget somebody.
    async fn purge(&self, id: u64) {
        let url = format!("{}/crm/v3/objects/contacts/gdpr-delete", self.emulator.url());
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let body = serde_json::json!({"objectId": id.to_string()}).to_string();
        let request = client.post(url).bearer_auth("person").body(body);
        let request = request.header("Content-Type", "application/json");
        // A fault may meet this call instead of the sync's.
        let _ = request.send().await;
    }

    /// Whether following merges from one record reaches another.
    fn leads_to(&self, from: &str, to: &str) -> bool {
        let mut at = from.to_owned();
        for _ in 0..20 {
            if at == to {
                return true;
            }
            let Some(id) = at.parse().ok() else { return false };
            let Ok(record) = self.control().record("contacts", id) else { return false };
            match record["merged_into"].as_str() {
                Some(next) => at = next.to_owned(),
                None => return false,
            }
        }
        false
    }
}

pub(crate) fn values(name: &str, value: impl ToString) -> Values {
    [(name.to_owned(), value.to_string())].into()
}

/// The names of a table's cursors that carry a number: an id, a time or a count,
/// of which there is no end. Slots are few.
pub(crate) fn numbered(table: &Table) -> Vec<String> {
    let is_number = |part: &str| part.parse::<u64>().is_ok_and(|number| number >= 64);
    let names = table.cursors_under("hublake.").map(|(name, _)| name);
    names.filter(|name| name.split('.').any(is_number)).map(str::to_owned).collect()
}

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Step {
    Edit(usize, u8),
    Create,
    Archive(usize),
    Restore(usize),
    Merge(usize, usize),
    BulkEdit(u8, u8),
    Recalculate(usize, u8),
    Purge(usize),
    Pass(u8),
    /// A fault at the n-th matching call of the next sync.
    Fault(u8, u8),
    Sync,
    Reconcile,
    Full,
    /// A sync whose process dies at its n-th call.
    Kill(u8, bool),
    /// A sync that is asked to stop at its n-th call.
    Stop(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0_usize..1_000;
    prop_oneof![
        4 => (at.clone(), any::<u8>()).prop_map(|(at, value)| Step::Edit(at, value)),
        2 => Just(Step::Create),
        2 => at.clone().prop_map(Step::Archive),
        1 => at.clone().prop_map(Step::Restore),
        1 => (at.clone(), at.clone()).prop_map(|(one, other)| Step::Merge(one, other)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(count, value)| Step::BulkEdit(count, value)),
        2 => (at.clone(), any::<u8>()).prop_map(|(at, value)| Step::Recalculate(at, value)),
        1 => at.prop_map(Step::Purge),
        2 => (0_u8..90).prop_map(Step::Pass),
        1 => (0_u8..6, 0_u8..5).prop_map(|(skip, kind)| Step::Fault(skip, kind)),
        3 => Just(Step::Sync),
        1 => Just(Step::Reconcile),
        1 => Just(Step::Full),
        2 => (0_u8..12, any::<bool>()).prop_map(|(call, full)| Step::Kill(call, full)),
        1 => (0_u8..12, any::<bool>()).prop_map(|(call, full)| Step::Stop(call, full)),
    ]
}

/// A world and the records anybody has heard of.
struct Story {
    world: World,
    known: BTreeSet<u64>,
    made: u64,
}

impl Story {
    async fn new() -> Self {
        let world = World::new(420).await;
        let mut known = BTreeSet::new();
        for archived in [false, true] {
            known.extend(world.listed(archived).await);
        }
        Self { world, known, made: 0 }
    }

    fn pick(&self, at: usize) -> u64 {
        *self.known.iter().nth(at % self.known.len()).expect("somebody")
    }

    /// Does one thing. What the account refuses (an edit of an archived record,
    /// a merge with itself) simply does not happen.
    async fn take(&mut self, step: &Step) {
        let control = self.world.control();
        match *step {
            Step::Edit(at, value) => {
                let _ = control.edit_record("contacts", self.pick(at), &values("jobtitle", value));
            }
            Step::Create => {
                self.made += 1;
                let email = values("email", format!("made-{}@stories.example", self.made));
                self.known.extend(control.create_record("contacts", &email).ok());
            }
            Step::Archive(at) => drop(control.archive_record("contacts", self.pick(at))),
            Step::Restore(at) => drop(control.restore_record("contacts", self.pick(at))),
            Step::Merge(one, other) if self.pick(one) != self.pick(other) => {
                let merged = control.merge_records("contacts", self.pick(one), self.pick(other));
                self.known.extend(merged.ok());
            }
            Step::Merge(..) => {}
            Step::BulkEdit(count, value) => {
                let edited =
                    control.bulk_edit("contacts", count.into(), &values("jobtitle", value));
                edited.expect("a bulk edit");
            }
            Step::Recalculate(at, value) => {
                let _ = control.recalculate("contacts", self.pick(at), &values("num_notes", value));
            }
            Step::Purge(at) => self.world.purge(self.pick(at)).await,
            Step::Pass(seconds) => control.advance_clock(Duration::from_secs(seconds.into())),
            Step::Fault(skip, kind) => control.add_fault(fault(skip, kind)),
            Step::Sync => {
                self.world.sync(SyncMode::Auto, Cadence::Never, &CancellationToken::new()).await;
            }
            Step::Reconcile => {
                self.world.sync(SyncMode::Auto, Cadence::EveryRun, &CancellationToken::new()).await;
            }
            Step::Full => {
                self.world.sync(SyncMode::Full, Cadence::Never, &CancellationToken::new()).await;
            }
            Step::Kill(call, full) => self.cut(call, full, true).await,
            Step::Stop(call, full) => self.cut(call, full, false).await,
        }
    }

    /// Holds the n-th call of a sync, and there ends it: dead, or orderly.
    async fn cut(&self, call: u8, full: bool, dead: bool) {
        let control = self.world.control();
        control.add_fault(Fault {
            method: None,
            path: "*/objects/*contacts*".into(),
            action: FaultAction::Hold,
            skip: call.into(),
            times: Some(1),
        });
        let stop = CancellationToken::new();
        let mode = if full { SyncMode::Full } else { SyncMode::Auto };
        let sync = self.world.sync(mode, Cadence::EveryRun, &stop);
        tokio::pin!(sync);
        tokio::select! {
            // It needed fewer calls than that.
            _ = &mut sync => {}
            _ = control.wait_for_held() => {
                if !dead {
                    stop.cancel();
                    sync.await;
                }
            }
        }
        control.clear_faults();
    }

    /// One settled sync, after which mirror and account are the same and nothing
    /// is left to do.
    async fn end(&self) {
        let world = &self.world;
        world.control().clear_faults();
        // Past the index lag: what search did not show yet, it shows now.
        world.control().advance_clock(Duration::from_secs(600));
        world.settled(SyncMode::Auto, Cadence::EveryRun).await;
        world.assert_equal(&self.known).await;
        let rows = world.mirror().await.row_count();
        let again = world.settled(SyncMode::Auto, Cadence::EveryRun).await;
        assert_eq!((again.inserted, again.updated, again.vanished), (0, 0, 0), "{again:?}");
        assert_eq!(world.mirror().await.row_count(), rows);
    }
}

fn fault(skip: u8, kind: u8) -> Fault {
    let action = match kind {
        0 => FaultAction::Refuse { status: 502, body: None, retry_after: None },
        1 => FaultAction::Truncate,
        2 => FaultAction::Drop,
        3 => FaultAction::WrongContentType,
        _ => FaultAction::Refuse {
            status: 400,
            body: Some(serde_json::json!({"status": "error", "message": "no"})),
            retry_after: None,
        },
    };
    Fault {
        method: None,
        path: "*/objects/*contacts*".into(),
        action,
        skip: skip.into(),
        times: Some(1),
    }
}

async fn tell(steps: &[Step]) {
    let mut story = Story::new().await;
    for step in steps {
        story.take(step).await;
    }
    story.end().await;
}

/// Stories told per run; `HUBLAKE_STORIES` asks for more.
fn stories() -> u32 {
    std::env::var("HUBLAKE_STORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[test]
fn after_any_story_the_mirror_equals_the_account() {
    let config = Config { cases: stories(), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let told = runner.run(&proptest::collection::vec(step(), 1..25), |steps| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(tell(&steps));
        Ok(())
    });
    if let Err(error) = told {
        panic!("{error}");
    }
}

/// What changed between the two halves of a first listing, by a person or by a
/// calculation, is in the mirror when the second is through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_listing_that_goes_on_brings_what_changed_meanwhile() {
    for dead in [false, true] {
        let mut story = Story::new().await;
        // The first stretch is read; 420 records take five pages.
        story.cut(5, false, dead).await;
        story.take(&Step::Edit(0, 0)).await;
        story.take(&Step::Recalculate(1, 77)).await;
        story.take(&Step::Archive(2)).await;
        story.end().await;
    }
}

/// A listing that is cut, and cut again while what was read before is read once more,
/// still finds who is missing and what was calculated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_is_cut_while_it_goes_on_misses_nobody() {
    for calls in [[8, 5], [10, 7]] {
        let mut story = Story::new().await;
        story.take(&Step::Sync).await;
        story.take(&Step::Purge(0)).await;
        story.cut(calls[0], false, true).await;
        story.take(&Step::Recalculate(1, 77)).await;
        story.cut(calls[1], false, true).await;
        story.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_reuse_the_names_of_their_cursors() {
    let world = World::new(420).await;
    world.settled(SyncMode::Auto, Cadence::Never).await;
    for call in 0..6 {
        // Stopped in the middle, so that there is something to note.
        let hold = FaultAction::Hold;
        let path = "*/objects/*contacts".to_owned();
        let control = world.control();
        control.advance_clock(Duration::from_secs(48 * 3_600));
        control.add_fault(Fault { method: None, path, action: hold, skip: 3, times: Some(1) });
        let stop = CancellationToken::new();
        let mode = if call % 2 == 0 { SyncMode::Full } else { SyncMode::Auto };
        let sync = world.sync(mode, Cadence::EveryRun, &stop);
        let ((report, error), ()) = tokio::join!(sync, async {
            control.wait_for_held().await;
            stop.cancel();
        });
        assert!(error.is_none() && report.interrupted, "{report:?} {error:?}");
        control.clear_faults();
        world.settled(SyncMode::Auto, Cadence::EveryRun).await;
        assert_eq!(numbered(&world.mirror().await), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_sync_cut_under_the_former_names_goes_on() {
    let world = World::new(420).await;
    let ids = world.listed(false).await;
    let control = world.control();
    control.add_fault(Fault {
        method: None,
        path: "*/objects/*contacts".into(),
        action: FaultAction::Hold,
        skip: 1,
        times: Some(1),
    });
    let stop = CancellationToken::new();
    {
        let sync = world.sync(SyncMode::Auto, Cadence::Never, &stop);
        tokio::pin!(sync);
        tokio::select! {
            _ = &mut sync => panic!("it cannot end"),
            _ = control.wait_for_held() => {}
        }
    }
    control.clear_faults();
    let mut mirror = world.mirror().await;
    assert_eq!(mirror.row_count(), 0, "nothing was read");
    // As a table looks that an earlier version has left behind.
    let generation = control.now();
    let cursor = |app_id: String, value| Cursor { app_id, value };
    let former = [
        cursor("hublake.full.started".to_owned(), generation),
        cursor(format!("hublake.full.{generation}.live.0"), ids[300] as i64),
    ];
    mirror.commit_cursors(&former).await.expect("a commit");
    let report = world.settled(SyncMode::Auto, Cadence::Never).await;
    let live = report.read - report.archived;
    assert!(live <= ids.len() as u64 - 299, "{live} of {}", ids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_merges_leads_to_its_end() {
    let world = World::new(60).await;
    let ids = world.listed(false).await;
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let control = world.control();
    let mut last = ids[5];
    for other in [ids[6], ids[7]] {
        control.advance_clock(Duration::from_secs(600));
        last = control.merge_records("contacts", last, other).expect("two live contacts");
        world.settled(SyncMode::Auto, Cadence::EveryRun).await;
    }
    let rows = world.rows().await;
    for id in &ids[5..8] {
        let into = rows[id].get("merged_into").map(String::as_str);
        assert_eq!(into, Some(last.to_string().as_str()), "contact {id}");
        assert_eq!(rows[id].get("_vanished_at"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_missing_is_found_though_the_listing_was_cut_after_it_was_read() {
    let world = World::new(120).await;
    let id = world.listed(false).await[30];
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let control = world.control();
    control.advance_clock(Duration::from_secs(3_600));
    world.purge(id).await;
    control.add_fault(Fault {
        method: None,
        path: "*/objects/*contacts/batch/read".into(),
        action: FaultAction::ScopesMissing { scopes: vec!["crm.some.read".to_owned()] },
        skip: 0,
        times: Some(1),
    });
    let (_, error) = world.sync(SyncMode::Auto, Cadence::EveryRun, &CancellationToken::new()).await;
    assert!(error.is_some(), "everything was listed, and then it failed");
    let next = world.settled(SyncMode::Auto, Cadence::EveryRun).await;
    assert_eq!(next.vanished, 1, "{next:?}");
    assert!(world.rows().await[&id].contains_key("_vanished_at"));
}
