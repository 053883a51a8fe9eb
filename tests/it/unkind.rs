//! Answers that the emulator does not give, from a server made for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::TryStreamExt;
use hublake::extract::{
    Cadence, ExtractError, ExtractObjectConfig, ObjectReport, ObjectSync, Progress, SyncMode,
    sync_object,
};
use hublake::hubspot::{Client, HubSpotConfig};
use hublake::lake::{Lake, LakeConfig, Table};
use hublake::objects::ObjectType;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How a server's list behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One record's JSON is broken, wherever it comes.
    BrokenRecord(i64),
    /// The list cannot be entered in the middle: an id as a cursor is taken for
    /// the beginning.
    EnteredAtTheBeginning,
    /// Cursors are words, and an id is refused.
    OpaqueCursors,
    /// The type cannot be searched.
    NoSearch,
    /// One record's JSON is broken in the list, and a batch read of it and of
    /// others says that it failed for now.
    HalfAnswered(i64),
    /// Cursors count records, and ids are a thousand apart.
    Counted,
    /// No page goes beyond one record, and a page that comes to it names no next
    /// one.
    EndsAt(i64),
    /// Cursors are words, and what a cursor is answered first names no next page.
    Forgetful,
    /// The list shows no record and always names another page.
    EmptyForEver,
    /// Cursors are words and lead back to the beginning.
    Circle,
    /// The records of a search have no ids.
    SearchWithoutIds,
    /// One record goes into another after the first list, and no property tells.
    /// Where both are one, lists and batch reads leave it out, and it is there.
    Merged { loser: i64, survivor: i64 },
    /// One record is nowhere any more after the first list.
    Gone(i64),
    /// The records from one id to another are in no page, but their places are.
    Hole(i64, i64),
}

/// Contacts 1 to `count`, in pages of 100.
struct Server {
    kind: Kind,
    count: i64,
    lists: Mutex<Vec<String>>,
    /// How often the archived records were listed: last in every listing.
    archived_lists: AtomicUsize,
    /// The call for a list that is refused, the first being 1.
    refused: Option<usize>,
}

type Shared = State<Arc<Server>>;

#[derive(serde::Deserialize)]
struct ListParameters {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    properties: String,
    #[serde(default)]
    archived: bool,
}

impl Server {
    async fn start(kind: Kind, count: i64) -> (Arc<Self>, String) {
        Self::refusing(kind, count, None).await
    }

    async fn refusing(kind: Kind, count: i64, refused: Option<usize>) -> (Arc<Self>, String) {
        let server = Arc::new(Self {
            kind,
            count,
            lists: Mutex::default(),
            archived_lists: AtomicUsize::new(0),
            refused,
        });
        let objects = "/crm/objects/2026-03/contacts";
        let app = Router::new()
            .route(objects, get(list))
            .route(&format!("{objects}/batch/read"), post(batch_read))
            .route(&format!("{objects}/search"), post(search))
            .route(&format!("{objects}/{{id}}"), get(record))
            .route("/crm/properties/2026-03/contacts", get(properties))
            .with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (server, url)
    }

    /// The id of the record at a place, the first being 1.
    fn id(&self, place: i64) -> i64 {
        if self.kind == Kind::Counted { place * 1_000 } else { place }
    }

    /// One record as JSON text, broken if it is the one that is.
    fn record(&self, id: i64, whole: bool) -> String {
        let time = "2026-01-01T00:00:00.000Z";
        let text = json!({
            "id": id.to_string(),
            "properties": {"hs_object_id": id.to_string(), "firstname": format!("Person {id}")},
            "createdAt": time, "updatedAt": time, "archived": false,
        });
        let text = text.to_string();
        match self.kind == Kind::BrokenRecord(id) && whole {
            true => text.replace("Person", "\u{1}\\x"),
            false => text,
        }
    }

    /// Where a page begins, or that the cursor makes no sense.
    fn first(&self, after: Option<&str>) -> Option<i64> {
        let Some(after) = after else { return Some(1) };
        match self.kind {
            Kind::EnteredAtTheBeginning => match after.strip_prefix("own-") {
                Some(id) => id.parse().ok(),
                None => Some(1),
            },
            Kind::OpaqueCursors | Kind::Forgetful | Kind::Circle => {
                after.strip_prefix("word-")?.parse().ok()
            }
            _ => after.parse().ok(),
        }
    }

    fn cursor(&self, next: i64) -> String {
        match self.kind {
            Kind::EnteredAtTheBeginning => format!("own-{next}"),
            Kind::OpaqueCursors | Kind::Forgetful => format!("word-{next}"),
            Kind::Circle => format!("word-{}", if next > 200 { 1 } else { next }),
            _ => next.to_string(),
        }
    }

    /// Whether lists and batch reads do not show the record, or no longer.
    fn is_left_out(&self, id: i64) -> bool {
        let is_later = self.archived_lists.load(Ordering::Relaxed) > 0;
        match self.kind {
            Kind::Merged { loser: gone, .. } | Kind::Gone(gone) => is_later && gone == id,
            Kind::Hole(first, last) => (first..=last).contains(&id),
            _ => false,
        }
    }
}

fn answer(body: String) -> axum::response::Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().expect("a type"));
    let correlation = HeaderName::from_static("x-hubspot-correlation-id");
    headers.insert(correlation, "0190-test".parse().expect("an id"));
    (headers, body).into_response()
}

fn refuse(message: &str) -> axum::response::Response {
    let body = json!({"status": "error", "message": message, "category": "VALIDATION_ERROR"});
    (axum::http::StatusCode::BAD_REQUEST, Json(body)).into_response()
}

async fn list(State(server): Shared, Query(asked): Query<ListParameters>) -> impl IntoResponse {
    let (nth, is_first) = {
        let mut lists = server.lists.lock().expect("no panic");
        let after = asked.after.clone().unwrap_or_default();
        let is_first = !lists.contains(&after);
        lists.push(after);
        (lists.len(), is_first)
    };
    if server.refused == Some(nth) {
        return refuse("Not now");
    }
    if asked.archived {
        server.archived_lists.fetch_add(1, Ordering::Relaxed);
        return answer(r#"{"results":[]}"#.to_owned());
    }
    let Some(first) = server.first(asked.after.as_deref()) else {
        return refuse("The paging cursor is wrong");
    };
    if server.kind == Kind::EmptyForEver {
        return answer(format!(
            r#"{{"results":[],"paging":{{"next":{{"after":"{}"}}}}}}"#,
            first + 1
        ));
    }
    let mut last = (first + 99).min(server.count);
    if let Kind::EndsAt(end) = server.kind
        && first <= end
    {
        last = last.min(end);
    }
    let whole = asked.properties.contains("firstname");
    let listed = (first..=last).map(|place| server.id(place)).filter(|id| !server.is_left_out(*id));
    let records: Vec<String> = listed
        .map(|id| match server.kind == Kind::HalfAnswered(id) && whole {
            true => server.record(id, whole).replace("Person", "\u{1}"),
            false => server.record(id, whole),
        })
        .collect();
    let forgets = match server.kind {
        Kind::EndsAt(end) => last == end && first < end,
        Kind::Forgetful => is_first,
        _ => false,
    };
    let paging = match last < server.count && !forgets {
        true => format!(r#","paging":{{"next":{{"after":"{}"}}}}"#, server.cursor(last + 1)),
        false => String::new(),
    };
    answer(format!(r#"{{"results":[{}]{paging}}}"#, records.join(",")))
}

async fn batch_read(State(server): Shared, Json(asked): Json<Value>) -> impl IntoResponse {
    let inputs = asked["inputs"].as_array().cloned().unwrap_or_default();
    let ids = inputs.iter().filter_map(|input| input["id"].as_str()?.parse().ok());
    let ids = ids.filter(|id| !server.is_left_out(*id));
    let fails = |id: &i64| server.kind == Kind::HalfAnswered(*id) && inputs.len() > 1;
    let (failed, read): (Vec<i64>, Vec<i64>) = ids.partition(fails);
    let records: Vec<String> = read.into_iter().map(|id| server.record(id, true)).collect();
    if !failed.is_empty() {
        let body = format!(
            r#"{{"status":"COMPLETE","numErrors":1,"results":[{}],"errors":[{{"status":"error",
                "category":"INTERNAL_ERROR","message":"Later","context":{{"ids":["{}"]}}}}]}}"#,
            records.join(","),
            failed[0]
        );
        return (axum::http::StatusCode::MULTI_STATUS, answer(body)).into_response();
    }
    answer(format!(r#"{{"status":"COMPLETE","results":[{}]}}"#, records.join(",")))
}

async fn search(State(server): Shared) -> impl IntoResponse {
    if server.kind == Kind::NoSearch {
        return refuse("There was a problem with the request.");
    }
    if server.kind == Kind::SearchWithoutIds {
        return answer(r#"{"total":1,"results":[{"properties":{"firstname":"A"}}]}"#.to_owned());
    }
    if matches!(server.kind, Kind::Merged { .. } | Kind::Gone(_)) {
        return answer(r#"{"total":0,"results":[]}"#.to_owned());
    }
    let record = server.record(server.id(server.count), false);
    answer(format!(r#"{{"total":{},"results":[{record}]}}"#, server.count))
}

/// One record by its id: a merged one answers as the one it went into.
async fn record(State(server): Shared, Path(id): Path<i64>) -> axum::response::Response {
    match server.kind {
        Kind::Merged { survivor, .. } if server.is_left_out(id) => {
            answer(server.record(survivor, true))
        }
        _ => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

async fn properties() -> impl IntoResponse {
    let property = |name: &str| {
        json!({"name": name, "label": name, "type": "string", "fieldType": "text",
            "groupName": "contactinformation", "description": "", "options": []})
    };
    Json(json!({"results": [property("hs_object_id"), property("firstname")]}))
}

/// A full sync into a fresh lake, and the rows it left.
async fn full_sync(url: &str) -> (ObjectReport, u64) {
    sync_as(url, &[SyncMode::Full]).await
}

/// Syncs one after another into a fresh lake, each to its end: the last report,
/// and the rows.
async fn sync_as(url: &str, modes: &[SyncMode]) -> (ObjectReport, u64) {
    let synced = try_sync_as(url, modes, None).await;
    assert!(synced.failures.is_empty(), "{:?}", synced.failures);
    (synced.report, synced.mirror.row_count())
}

/// What syncs one after another came to.
struct Synced {
    /// Of the last one.
    report: ObjectReport,
    failures: Vec<ExtractError>,
    mirror: Table,
    _folder: tempfile::TempDir,
}

/// As [`sync_as`], whatever becomes of the syncs, with a cadence.
async fn try_sync_as(url: &str, modes: &[SyncMode], reconcile: Option<Cadence>) -> Synced {
    let settings = HubSpotConfig {
        base_url: url.to_owned(),
        burst_limit: Some(10_000),
        ..HubSpotConfig::default()
    };
    let client = Client::new(&settings, "token".to_owned().into()).expect("a client");
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::open(&LakeConfig::default(), folder.path()).await.expect("a lake");
    let object = ObjectType::CONTACTS;
    let definitions = client.properties(&object, false).await.expect("properties");
    let (mut last, mut failures) = (ObjectReport::default(), Vec::new());
    for mode in modes {
        let sync = ObjectSync {
            client: &client,
            lake: &lake,
            object: &object,
            definitions: &definitions,
            config: &ExtractObjectConfig { reconcile, ..ExtractObjectConfig::default() },
            always: &[],
            mode: *mode,
            index_lag: Duration::ZERO,
            stop: &CancellationToken::new(),
            progress: &Progress::default(),
        };
        let (report, error) = sync_object(&sync).await;
        failures.extend(error);
        last = report;
    }
    let name = hublake::lake::TableName::hubspot("contacts");
    let mirror = lake.table(&name).await.expect("a lake").expect("a mirror");
    Synced { report: last, failures, mirror, _folder: folder }
}

#[tokio::test]
async fn a_record_that_does_not_parse_is_named_and_the_others_are_stored() {
    let (_, url) = Server::start(Kind::BrokenRecord(250), 900).await;
    let (report, rows) = full_sync(&url).await;
    assert_eq!((rows, report.rejected), (899, 1));
    let [unreadable] = report.unreadable.as_slice() else { panic!("{report:?}") };
    assert_eq!((unreadable.id, unreadable.correlation_id.as_deref()), (250, Some("0190-test")));
    assert_eq!(report.read, report.inserted + report.updated + report.unchanged + report.rejected);
}

#[tokio::test]
async fn a_list_that_cannot_be_entered_in_the_middle_is_walked_from_its_beginning() {
    for kind in [Kind::EnteredAtTheBeginning, Kind::OpaqueCursors] {
        let (server, url) = Server::start(kind, 3_000).await;
        let (report, rows) = full_sync(&url).await;
        assert_eq!(rows, 3_000, "{report:?}");
        let lists = server.lists.lock().expect("no panic");
        let entered = |cursor: &&String| cursor.parse::<i64>().is_ok();
        let last_words = lists.iter().rev().take(20).filter(entered).count();
        assert_eq!(last_words, 0, "it is given up");
    }
}

#[tokio::test]
async fn a_list_whose_cursors_count_records_is_read_whole() {
    let (_, url) = Server::start(Kind::Counted, 3_000).await;
    let (report, rows) = full_sync(&url).await;
    assert_eq!(rows, 3_000, "{report:?}");
}

#[tokio::test]
async fn a_cut_walk_through_a_list_out_of_order_begins_anew() {
    let (_, url) = Server::refusing(Kind::Counted, 3_000, Some(12)).await;
    let synced = try_sync_as(&url, &[SyncMode::Full, SyncMode::Auto], None).await;
    assert_eq!((synced.failures.len(), synced.mirror.row_count()), (1, 3_000));
}

#[tokio::test]
async fn a_record_that_a_batch_read_leaves_out_for_now_is_read_again() {
    let (_, url) = Server::start(Kind::HalfAnswered(250), 900).await;
    let (report, rows) = full_sync(&url).await;
    assert_eq!((rows, report.rejected), (900, 0), "{report:?}");
}

#[tokio::test]
async fn a_type_that_cannot_be_searched_is_listed_each_time() {
    let (_, url) = Server::start(Kind::NoSearch, 450).await;
    let (report, rows) = sync_as(&url, &[SyncMode::Auto, SyncMode::Auto]).await;
    assert_eq!((rows, report.read, report.unchanged), (450, 450, 450), "{report:?}");
}

#[tokio::test]
async fn a_type_that_cannot_be_searched_may_be_as_old_as_reconcile_says() {
    let (_, url) = Server::start(Kind::NoSearch, 450).await;
    let modes = [SyncMode::Auto, SyncMode::Auto];
    let synced = try_sync_as(&url, &modes, Some(Cadence::Hourly)).await;
    assert!(synced.failures.is_empty(), "{:?}", synced.failures);
    assert_eq!((synced.mirror.row_count(), synced.report.read), (450, 0), "{:?}", synced.report);
}

#[tokio::test]
async fn an_end_that_the_list_only_seems_to_have_come_to_is_looked_behind() {
    for (end, count) in [(100, 450), (300, 450), (300, 3_000)] {
        let (server, url) = Server::start(Kind::EndsAt(end), count).await;
        let (report, rows) = full_sync(&url).await;
        assert_eq!(rows, count as u64, "{end}: {report:?}");
        let pages = server.lists.lock().expect("no panic").len() as i64;
        assert!(pages < count / 100 + 60, "{pages} calls");
    }
}

#[tokio::test]
async fn a_page_that_forgets_to_name_the_next_one_is_asked_again() {
    let (_, url) = Server::start(Kind::Forgetful, 1_000).await;
    let (report, rows) = full_sync(&url).await;
    assert_eq!(rows, 1_000, "{report:?}");
}

#[tokio::test]
async fn a_full_page_at_the_very_end_costs_one_call_more() {
    let (server, url) = Server::start(Kind::NoSearch, 100).await;
    let (report, rows) = full_sync(&url).await;
    assert_eq!(rows, 100, "{report:?}");
    // The clock, the page, the look behind it, the archived ones.
    assert_eq!(server.lists.lock().expect("no panic").len(), 4);
}

#[tokio::test]
async fn lists_without_end_are_named() {
    for (kind, words) in [
        (Kind::EmptyForEver, "none of them shows a record"),
        (Kind::Circle, "does not go on from its cursor `word-"),
    ] {
        let (server, url) = Server::start(kind, 1_000).await;
        let synced = try_sync_as(&url, &[SyncMode::Full], None).await;
        let [error] = synced.failures.as_slice() else { panic!("{:?}", synced.failures) };
        let error = error.to_string();
        assert!(error.contains(words) && error.contains("`contacts`"), "{error}");
        // As many as there are walks, fifty empty pages each.
        assert!(server.lists.lock().expect("no panic").len() < 1_000);
    }
}

#[tokio::test]
async fn a_search_without_ids_is_named_and_not_taken_for_its_end() {
    let (_, url) = Server::start(Kind::SearchWithoutIds, 150).await;
    let modes = [SyncMode::Full, SyncMode::Auto];
    let synced = try_sync_as(&url, &modes, Some(Cadence::Never)).await;
    let [error] = synced.failures.as_slice() else { panic!("{:?}", synced.failures) };
    assert!(error.to_string().contains("records without ids after `0`"), "{error}");
    let full = synced.mirror.cursor("hublake.full.completed");
    assert_eq!(synced.mirror.cursor("hublake.watermark"), full, "what changed is still to be read");
}

#[tokio::test]
async fn a_merged_record_has_not_vanished_though_no_property_tells_of_it() {
    let (_, url) = Server::start(Kind::Merged { loser: 250, survivor: 251 }, 450).await;
    let modes = [SyncMode::Full, SyncMode::Auto];
    let synced = try_sync_as(&url, &modes, Some(Cadence::EveryRun)).await;
    assert!(synced.failures.is_empty(), "{:?}", synced.failures);
    assert_eq!(marks(&synced.mirror).await, ["250 into 251"]);
}

/// The records that are marked as merged or vanished.
async fn marks(mirror: &Table) -> Vec<String> {
    let columns = ["id", "merged_into", "_vanished_at"];
    let rows = mirror.scan(Some(&columns), None).await.expect("a scan");
    let rows: Vec<_> = rows.try_collect().await.expect("readable rows");
    let mut marks = Vec::new();
    for batch in rows {
        let number = |column: usize| batch.column(column).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let id = number(0).value(row);
            if number(1).is_valid(row) {
                marks.push(format!("{id} into {}", number(1).value(row)));
            }
            if batch.column(2).is_valid(row) {
                marks.push(format!("{id} vanished"));
            }
        }
    }
    marks
}

#[tokio::test]
async fn a_record_that_is_there_when_asked_for_alone_has_not_vanished() {
    let (_, url) = Server::start(Kind::Merged { loser: 250, survivor: 250 }, 450).await;
    let modes = [SyncMode::Full, SyncMode::Auto];
    let synced = try_sync_as(&url, &modes, Some(Cadence::EveryRun)).await;
    assert!(synced.failures.is_empty(), "{:?}", synced.failures);
    assert_eq!(marks(&synced.mirror).await, Vec::<String>::new());
    let (_, url) = Server::start(Kind::Gone(250), 450).await;
    let synced = try_sync_as(&url, &modes, Some(Cadence::EveryRun)).await;
    assert_eq!(marks(&synced.mirror).await, ["250 vanished"]);
}

#[tokio::test]
async fn who_vanished_before_a_listing_was_cut_is_found_when_it_goes_on() {
    let modes = [SyncMode::Full, SyncMode::Auto, SyncMode::Auto];
    let mut cut = 0;
    // Wherever the second listing is refused: its calls begin with the ninth or so.
    for refused in 8..=18 {
        let (_, url) = Server::refusing(Kind::Gone(50), 650, Some(refused)).await;
        let synced = try_sync_as(&url, &modes, Some(Cadence::EveryRun)).await;
        assert!(synced.failures.len() <= 1, "{:?}", synced.failures);
        cut += synced.failures.len();
        assert_eq!(marks(&synced.mirror).await, ["50 vanished"], "refused at call {refused}");
    }
    assert!(cut >= 5, "{cut} listings were cut");
}

#[tokio::test]
async fn pages_without_records_in_the_middle_end_nothing() {
    for (first, last) in [(1, 400), (301, 420), (310, 999), (2_001, 2_999)] {
        let (_, url) = Server::start(Kind::Hole(first, last), 3_000).await;
        let (report, rows) = full_sync(&url).await;
        assert_eq!(rows as i64, 3_000 - (last - first + 1), "{first} to {last}: {report:?}");
    }
}
