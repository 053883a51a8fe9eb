//! What hangs on the mirrors: associations, former values, lists. Whatever the
//! reader met on its way, a settled sync leaves what an undisturbed one leaves.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use hublake::emulator::{Fault, FaultAction};
use hublake::extract::{
    AssociationSync, AssociationTarget, Cadence, ExtractError, ExtractObjectConfig, HistoryReport,
    HistorySync, ListsConfig, ListsReport, PairOutcome, PropertySelection, SyncMode,
    are_memberships_current, associations_behind, is_history_current, sync_associations,
    sync_history, sync_lists,
};
use hublake::hubspot::ErrorKind;
use hublake::lake::TableName;
use hublake::objects::ObjectType;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::extract::{World, values};

fn fault(path: &str, action: FaultAction, skip: u64, times: Option<u64>) -> Fault {
    Fault { method: None, path: path.to_owned(), action, skip, times }
}

fn no_scope() -> FaultAction {
    FaultAction::ScopesMissing { scopes: vec!["crm.some.read".to_owned()] }
}

impl World {
    /// Every row of a table as text, `_synced_at` left out; sorted, so that two
    /// lakes can be compared.
    async fn texts(&self, table: &str) -> BTreeSet<Vec<String>> {
        let Some(table) = self.lake.table(&TableName::hubspot(table)).await.expect("a lake") else {
            return BTreeSet::new();
        };
        let stream = table.scan(None, None).await.expect("a scan");
        let batches: Vec<_> = stream.try_collect().await.expect("readable rows");
        let mut rows = BTreeSet::new();
        for batch in batches {
            let schema = batch.schema();
            let columns: Vec<_> = schema
                .fields()
                .iter()
                .zip(batch.columns())
                .filter(|(field, _)| field.name() != "_synced_at")
                .map(|(_, column)| cast(column, &DataType::Utf8).expect("text"))
                .collect();
            for row in 0..batch.num_rows() {
                let text = |column: &arrow::array::ArrayRef| match column.is_null(row) {
                    true => "-".to_owned(),
                    false => column.as_string::<i32>().value(row).to_owned(),
                };
                assert!(rows.insert(columns.iter().map(text).collect()), "a row is stored twice");
            }
        }
        rows
    }

    async fn version(&self, table: &str) -> u64 {
        let name = TableName::hubspot(table);
        self.lake.table(&name).await.expect("a lake").expect("a table").version()
    }

    /// Whatever was cut and went on, the table's cursors have names that come again.
    async fn assert_unnumbered(&self, table: &str) {
        let name = TableName::hubspot(table);
        let table = self.lake.table(&name).await.expect("a lake").expect("a table");
        let cut = table.cursors_under("hublake.").any(|(name, _)| name.ends_with(".cut"));
        assert!(cut, "a stretch was cut");
        assert_eq!(small_numbered(&table), Vec::<String>::new());
    }

    fn with_history(&self, names: &[&str]) -> ExtractObjectConfig {
        let history = names.iter().map(|name| (*name).to_owned()).collect();
        ExtractObjectConfig { history: PropertySelection::Patterns(history), ..self.config.clone() }
    }

    async fn history(
        &self,
        names: &[&str],
        stop: &CancellationToken,
    ) -> (HistoryReport, Option<ExtractError>) {
        let object = ObjectType::CONTACTS;
        let definitions = self.client.properties(&object, false).await.expect("definitions");
        let config = self.with_history(names);
        let sync = HistorySync {
            client: &self.client,
            lake: &self.lake,
            object: &object,
            definitions: &definitions,
            config: &config,
            stop,
        };
        let (report, error) = sync_history(&sync).await;
        let current = is_history_current(&self.lake, &object, &definitions, &config).await;
        let is_through = error.is_none() && !report.interrupted;
        assert_eq!(current.unwrap_or(false), is_through, "the gate knows: {error:?}");
        (report, error)
    }

    async fn settled_history(&self, names: &[&str]) -> HistoryReport {
        let (report, error) = self.history(names, &CancellationToken::new()).await;
        assert!(error.is_none(), "{error:?}");
        report
    }

    async fn associate(
        &self,
        targets: &[AssociationTarget],
        stop: &CancellationToken,
    ) -> (Vec<PairOutcome>, u64) {
        let sync = AssociationSync {
            client: &self.client,
            lake: &self.lake,
            from: &ObjectType::CONTACTS,
            targets,
            commit_rows: self.config.commit_rows,
            stop,
        };
        let (outcomes, calls) = sync_associations(&sync).await.expect("a lake");
        (outcomes.into_iter().map(|(_, outcome)| outcome).collect(), calls)
    }

    async fn lists(&self, reconcile: Cadence) -> Result<ListsReport, ExtractError> {
        let config = ListsConfig { memberships: true, reconcile };
        sync_lists(&self.client, &self.lake, config, &CancellationToken::new()).await
    }

    /// A call of a person's.
    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("{}{path}", self.emulator.url());
        let method = method.parse().expect("a method");
        let request = client.request(method, url).bearer_auth("person").body(body.to_string());
        let request = request.header("Content-Type", "application/json");
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let bytes = answer.bytes().await.expect("a body");
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }

    async fn make_list(&self, name: &str, members: &[u64]) -> String {
        let body = json!({"name": name, "objectTypeId": "0-1", "processingType": "MANUAL"});
        let made = self.call("POST", "/crm/v3/lists", body).await;
        let id = made["list"]["listId"].as_str().expect("an id").to_owned();
        self.join(&id, members).await;
        id
    }

    async fn join(&self, list: &str, members: &[u64]) {
        self.change("add", list, members).await;
    }

    async fn leave(&self, list: &str, members: &[u64]) {
        self.change("remove", list, members).await;
    }

    async fn change(&self, verb: &str, list: &str, members: &[u64]) {
        let ids: Vec<_> = members.iter().map(u64::to_string).collect();
        self.call("PUT", &format!("/crm/v3/lists/{list}/memberships/{verb}"), json!(ids)).await;
    }

    /// The stored members, by list.
    async fn members(&self) -> BTreeSet<(String, u64)> {
        let rows = self.texts("list_memberships").await;
        rows.into_iter().map(|row| (row[0].clone(), row[2].parse().expect("an id"))).collect()
    }

    fn calls(&self, name: &str) -> u64 {
        let counts = self.control().log(0).counts;
        counts.get(name).map_or(0, |by_status| by_status.values().sum())
    }
}

/// The names of cursors that carry any number, a turn's included.
fn small_numbered(table: &hublake::lake::Table) -> Vec<String> {
    let has_number = |name: &str| name.split('.').any(|part| part.parse::<u64>().is_ok());
    let names = table.cursors_under("hublake.").map(|(name, _)| name);
    names.filter(|name| has_number(name)).map(str::to_owned).collect()
}

fn pairs(list: &str, members: &[u64]) -> BTreeSet<(String, u64)> {
    members.iter().map(|id| (list.to_owned(), *id)).collect()
}

fn target(name: &str, named: bool) -> AssociationTarget {
    AssociationTarget { to: ObjectType::parse(name).expect("an object type"), named }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn former_values_are_kept_longer_than_hubspot_keeps_them() {
    let world = World::new(30).await;
    let id = world.listed(false).await[3];
    let edit = async |value: usize| {
        world.control().advance_clock(std::time::Duration::from_secs(60));
        let edited = world.control().edit_record("contacts", id, &values("jobtitle", value));
        edited.expect("a live contact");
    };
    for value in 0..15 {
        edit(value).await;
    }
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let first = world.settled_history(&["jobtitle", "lifecycle*"]).await;
    assert!(first.inserted > 15 && first.calls > 0, "{first:?}");
    let before = world.texts("property_history").await;
    for value in 15..45 {
        edit(value).await;
        if value % 10 == 0 {
            world.control().advance_clock(std::time::Duration::from_secs(600));
            world.settled(SyncMode::Auto, Cadence::Never).await;
            world.settled_history(&["jobtitle", "lifecycle*"]).await;
        }
    }
    world.control().advance_clock(std::time::Duration::from_secs(600));
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let last = world.settled_history(&["jobtitle", "lifecycle*"]).await;
    assert_eq!(last.calls, 1, "only the changed record is asked for again: {last:?}");
    let after = world.texts("property_history").await;
    assert!(before.is_subset(&after), "a row once seen stays");
    let of_title = after.iter().filter(|row| row[1] == id.to_string() && row[2] == "jobtitle");
    let kept: BTreeSet<_> = of_title.map(|row| row[4].clone()).collect();
    assert!((0..45).all(|value| kept.contains(&value.to_string())), "{kept:?}");
    // Nothing has changed: nothing is asked, nothing written.
    let version = world.version("property_history").await;
    assert_eq!(world.settled_history(&["jobtitle", "lifecycle*"]).await.calls, 0);
    assert_eq!(world.version("property_history").await, version);
    // Another property means all records once more.
    let wider = world.settled_history(&["jobtitle", "lifecycle*", "email"]).await;
    assert!(wider.calls > 0 && wider.inserted > 0, "{wider:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_times_keep_both_values() {
    let world = World::new(5).await;
    let id = world.listed(false).await[0];
    // The clock stands still: three values at one time.
    for value in ["a", "b", ""] {
        let edited = world.control().edit_record("contacts", id, &values("jobtitle", value));
        edited.expect("a live contact");
    }
    world.settled(SyncMode::Auto, Cadence::Never).await;
    world.settled_history(&["jobtitle"]).await;
    let rows = world.texts("property_history").await;
    let kept: BTreeSet<_> =
        rows.iter().filter(|row| row[1] == id.to_string()).map(|row| row[4].as_str()).collect();
    assert!(["a", "b", ""].iter().all(|value| kept.contains(value)), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_read_in_many_batches_at_once_and_survives_a_kill() {
    let whole = World::new(420).await;
    whole.settled(SyncMode::Auto, Cadence::Never).await;
    let undisturbed = whole.settled_history(&["jobtitle"]).await;

    let world = World::new(420).await;
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let control = world.control();
    control.add_fault(fault("*/contacts/batch/read", FaultAction::Hold, 0, None));
    {
        let stop = CancellationToken::new();
        let sync = world.history(&["jobtitle"], &stop);
        tokio::pin!(sync);
        let all_at_once = async {
            while control.held().len() < 8 {
                control.wait_for_held().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut sync => panic!("it cannot end"),
            () = all_at_once => {}
        }
    }
    control.clear_faults();
    // The last but one batch is held; whatever is committed before it stays.
    control.add_fault(fault("*/contacts/batch/read", FaultAction::Hold, 7, Some(1)));
    {
        let stop = CancellationToken::new();
        let sync = world.history(&["jobtitle"], &stop);
        tokio::pin!(sync);
        let committed = async {
            while world.texts("property_history").await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut sync => panic!("it cannot end"),
            () = committed => {}
        }
    }
    control.clear_faults();
    let rest = world.settled_history(&["jobtitle"]).await;
    assert!(rest.calls < undisturbed.calls, "{rest:?} of {undisturbed:?}");
    assert_eq!(world.texts("property_history").await, whole.texts("property_history").await);
    world.assert_unnumbered("property_history").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_without_its_scope_fails_and_goes_on_when_it_is_granted() {
    let world = World::new(120).await;
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let control = world.control();
    control.add_fault(fault("*/contacts/batch/read", no_scope(), 1, None));
    let (_, error) = world.history(&["jobtitle"], &CancellationToken::new()).await;
    let kind = error.as_ref().and_then(ExtractError::hubspot).map(hublake::hubspot::Error::kind);
    assert!(matches!(kind, Some(ErrorKind::MissingScope(_))), "{error:?}");
    control.clear_faults();
    let rest = world.settled_history(&["jobtitle"]).await;
    assert!(rest.calls > 0, "{rest:?}");
    let (_, misspelt) = world.history(&["jobtitel"], &CancellationToken::new()).await;
    let misspelt = misspelt.expect("no such property").to_string();
    assert!(misspelt.contains("did you mean `jobtitle`"), "{misspelt}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_pair_leaves_the_others_alone() {
    let world = World::new(60).await;
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let control = world.control();
    control.add_fault(fault("*/associations/*/contacts/deals/*", no_scope(), 0, None));
    let stop = CancellationToken::new();
    let by_name = [target("deals", true), target("companies", true)];
    let (outcomes, _) = world.associate(&by_name, &stop).await;
    assert!(matches!(outcomes[..], [PairOutcome::Refused(_), PairOutcome::Read]), "{outcomes:?}");
    assert!(!world.texts("associations").await.is_empty());
    let contacts = ObjectType::CONTACTS;
    let behind = associations_behind(&world.lake, &contacts, &by_name).await.expect("a lake");
    assert_eq!(behind, Some(ObjectType::DEALS));
    // Under `all` it is given up until the mirror changes.
    let under_all = [target("deals", false), target("companies", false)];
    let (outcomes, calls) = world.associate(&under_all, &stop).await;
    assert!(matches!(outcomes[..], [PairOutcome::Refused(_), PairOutcome::Read]), "{outcomes:?}");
    assert_eq!(calls, 1);
    let behind = associations_behind(&world.lake, &contacts, &under_all).await.expect("a lake");
    assert_eq!(behind, None);
    let version = world.version("associations").await;
    assert_eq!(world.associate(&under_all, &stop).await.1, 0, "a quiet run asks nothing");
    assert_eq!(world.version("associations").await, version);
    control.clear_faults();
    control.advance_clock(std::time::Duration::from_secs(60));
    world.settled(SyncMode::Auto, Cadence::EveryRun).await;
    let (outcomes, calls) = world.associate(&under_all, &stop).await;
    assert!(matches!(outcomes[..], [PairOutcome::Read, PairOutcome::Read]), "{outcomes:?}");
    assert_eq!(calls, 2, "after a listing everything is asked for again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn associations_are_read_in_several_batches_at_once_and_survive_a_kill() {
    let whole = World::new(3_500).await;
    whole.settled(SyncMode::Auto, Cadence::Never).await;
    let stop = CancellationToken::new();
    let companies = [target("companies", true)];
    let (_, undisturbed) = whole.associate(&companies, &stop).await;

    let world = World::new(3_500).await;
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let control = world.control();
    control.add_fault(fault("*/associations/*", FaultAction::Hold, 0, None));
    {
        let sync = world.associate(&companies, &stop);
        tokio::pin!(sync);
        let all_at_once = async {
            while control.held().len() < 4 {
                control.wait_for_held().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut sync => panic!("it cannot end"),
            () = all_at_once => {}
        }
    }
    control.clear_faults();
    control.add_fault(fault("*/associations/*", FaultAction::Hold, 3, Some(1)));
    {
        let sync = world.associate(&companies, &stop);
        tokio::pin!(sync);
        let committed = async {
            control.wait_for_held().await;
            while world.texts("associations").await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut sync => panic!("it cannot end"),
            () = committed => {}
        }
    }
    control.clear_faults();
    let (outcomes, rest) = world.associate(&companies, &stop).await;
    assert!(matches!(outcomes[..], [PairOutcome::Read]), "{outcomes:?}");
    assert!(rest < undisturbed, "{rest} of {undisturbed}");
    assert_eq!(world.texts("associations").await, whole.texts("associations").await);
    world.assert_unnumbered("associations").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_and_leave_and_only_changed_lists_are_read() {
    let world = World::new(600).await;
    let ids = world.listed(false).await;
    let (large, small) =
        (world.make_list("Large", &ids[..520]).await, world.make_list("Small", &ids[..3]).await);
    let first = world.lists(Cadence::Never).await.expect("lists");
    assert!(first.read >= 2 && first.refused.is_empty(), "{first:?}");
    assert!(are_memberships_current(&world.lake).await.expect("a lake"));
    let mut expected = pairs(&large, &ids[..520]);
    expected.extend(pairs(&small, &ids[..3]));
    assert_eq!(world.members().await, expected, "three pages of 250, and none twice");
    assert!(world.texts("lists").await.iter().any(|row| row[0] == large && row[5] == "520"));

    // Quiet: no list is read, nothing is written.
    let versions = (world.version("lists").await, world.version("list_memberships").await);
    world.control().clear_log();
    let quiet = world.lists(Cadence::Never).await.expect("lists");
    assert_eq!((quiet.read, world.calls("lists.memberships")), (0, 0));
    assert_eq!(versions, (world.version("lists").await, world.version("list_memberships").await));

    // One leaves: the row goes, and only that list is read.
    world.leave(&small, &ids[..1]).await;
    let changed = world.lists(Cadence::Never).await.expect("lists");
    assert_eq!((changed.read, changed.left), (1, 1), "{changed:?}");
    expected.remove(&(small.clone(), ids[0]));
    assert_eq!(world.members().await, expected);

    // One for another: the size stays, and only the cadence finds it.
    world.leave(&small, &ids[1..2]).await;
    world.join(&small, &ids[5..6]).await;
    world.lists(Cadence::Never).await.expect("lists");
    assert_eq!(world.members().await, expected, "nothing tells of it");
    world.lists(Cadence::EveryRun).await.expect("lists");
    expected.remove(&(small.clone(), ids[1]));
    expected.insert((small.clone(), ids[5]));
    assert_eq!(world.members().await, expected);

    // A list that goes takes its members along.
    world.call("DELETE", &format!("/crm/v3/lists/{large}"), Value::Null).await;
    world.lists(Cadence::Never).await.expect("lists");
    assert_eq!(world.members().await, pairs(&small, &[ids[2], ids[5]]));
    let gone = world.texts("lists").await;
    assert!(gone.iter().any(|row| row[0] == large && row[7] == "true"), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_list_is_named_and_the_others_are_read() {
    let world = World::new(20).await;
    let ids = world.listed(false).await;
    let (hidden, shown) =
        (world.make_list("Hidden", &ids[..4]).await, world.make_list("Shown", &ids[..2]).await);
    let control = world.control();
    control.add_fault(fault(&format!("*/lists/*{hidden}/memberships"), no_scope(), 0, None));
    let report = world.lists(Cadence::Never).await.expect("lists");
    assert_eq!(report.refused.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), [&hidden]);
    assert_eq!(world.members().await, pairs(&shown, &ids[..2]));
    assert!(!are_memberships_current(&world.lake).await.expect("a lake"));
    control.clear_faults();
    control.add_fault(fault("*/lists/*search", no_scope(), 0, None));
    let error = world.lists(Cadence::Never).await.expect_err("no scope");
    let kind = error.hubspot().map(hublake::hubspot::Error::kind);
    assert!(matches!(kind, Some(ErrorKind::MissingScope(_))), "{error:?}");
    control.clear_faults();
    let rest = world.lists(Cadence::Never).await.expect("lists");
    assert_eq!(rest.read, 1, "only the list that is left: {rest:?}");
    assert_eq!(world.members().await.len(), 6);
    assert!(are_memberships_current(&world.lake).await.expect("a lake"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_between_lists_the_next_sync_reads_the_rest() {
    let world = World::new(40).await;
    let ids = world.listed(false).await;
    let mut expected = BTreeSet::new();
    for number in 0..12 {
        let members = &ids[number..number + 3];
        let list = world.make_list(&format!("List {number}"), members).await;
        expected.extend(pairs(&list, members));
    }
    let control = world.control();
    control.add_fault(fault("*/lists/*/memberships", FaultAction::Hold, 9, None));
    let stop = CancellationToken::new();
    let config = ListsConfig { memberships: true, reconcile: Cadence::Never };
    let sync = sync_lists(&world.client, &world.lake, config, &stop);
    let (report, ()) = tokio::join!(sync, async {
        while control.held().len() < 3 {
            control.wait_for_held().await;
            tokio::task::yield_now().await;
        }
        stop.cancel();
    });
    let report = report.expect("lists");
    assert!(report.interrupted && report.read > 0, "{report:?}");
    assert!(!are_memberships_current(&world.lake).await.expect("a lake"));
    control.clear_faults();
    let rest = world.lists(Cadence::Never).await.expect("lists");
    assert_eq!(rest.read + report.read, rest.lists, "{rest:?}");
    assert_eq!(world.members().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_has_only_changed_histories_read_again_until_it_is_time_for_all() {
    let world = World::new(120).await;
    let id = world.listed(false).await[3];
    world.settled(SyncMode::Auto, Cadence::Never).await;
    let all = world.settled_history(&["jobtitle"]).await.calls;
    assert!(all > 1, "{all}");
    let day = std::time::Duration::from_secs(24 * 3_600);
    for listing in 0..6 {
        world.control().advance_clock(day);
        let edited = world.control().edit_record("contacts", id, &values("jobtitle", listing));
        edited.expect("a live contact");
        world.control().advance_clock(std::time::Duration::from_secs(60));
        world.settled(SyncMode::Auto, Cadence::EveryRun).await;
        let read = world.settled_history(&["jobtitle"]).await.calls;
        assert_eq!(read, 1, "one record has changed before listing {listing}");
    }
    world.control().advance_clock(2 * day);
    world.settled(SyncMode::Auto, Cadence::EveryRun).await;
    assert_eq!(world.settled_history(&["jobtitle"]).await.calls, all, "a week has passed");
    world.control().advance_clock(std::time::Duration::from_secs(60));
    world.settled(SyncMode::Full, Cadence::Never).await;
    assert_eq!(world.settled_history(&["jobtitle"]).await.calls, all, "it was asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_there_and_whose_members_are_not_found_is_a_failure() {
    let world = World::new(20).await;
    let ids = world.listed(false).await;
    let (lost, shown) =
        (world.make_list("Lost", &ids[..4]).await, world.make_list("Shown", &ids[..2]).await);
    let not_found = FaultAction::Refuse { status: 404, body: None, retry_after: None };
    let path = format!("*/lists/*{lost}/memberships");
    world.control().add_fault(fault(&path, not_found, 0, None));
    let report = world.lists(Cadence::Never).await.expect("lists");
    assert_eq!(report.refused.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), [&lost]);
    assert_eq!(world.members().await, pairs(&shown, &ids[..2]));
    assert!(!are_memberships_current(&world.lake).await.expect("a lake"));
}
