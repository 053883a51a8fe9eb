//! Answers that the emulator does not give, from a server made for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use hublake::extract::{
    ExtractObjectConfig, ObjectReport, ObjectSync, Progress, SyncMode, sync_object,
};
use hublake::hubspot::{Client, HubSpotConfig};
use hublake::lake::{Lake, LakeConfig};
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
}

/// Contacts 1 to `count`, in pages of 100.
struct Server {
    kind: Kind,
    count: i64,
    lists: Mutex<Vec<String>>,
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
        let server = Arc::new(Self { kind, count, lists: Mutex::default(), refused });
        let objects = "/crm/objects/2026-03/contacts";
        let app = Router::new()
            .route(objects, get(list))
            .route(&format!("{objects}/batch/read"), post(batch_read))
            .route(&format!("{objects}/search"), post(search))
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
            Kind::BrokenRecord(_) | Kind::NoSearch | Kind::HalfAnswered(_) | Kind::Counted => {
                after.parse().ok()
            }
            Kind::EnteredAtTheBeginning => match after.strip_prefix("own-") {
                Some(id) => id.parse().ok(),
                None => Some(1),
            },
            Kind::OpaqueCursors => after.strip_prefix("word-")?.parse().ok(),
        }
    }

    fn cursor(&self, next: i64) -> String {
        match self.kind {
            Kind::BrokenRecord(_) | Kind::NoSearch | Kind::HalfAnswered(_) | Kind::Counted => {
                next.to_string()
            }
            Kind::EnteredAtTheBeginning => format!("own-{next}"),
            Kind::OpaqueCursors => format!("word-{next}"),
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
    let nth = {
        let mut lists = server.lists.lock().expect("no panic");
        lists.push(asked.after.clone().unwrap_or_default());
        lists.len()
    };
    if server.refused == Some(nth) {
        return refuse("Not now");
    }
    if asked.archived {
        return answer(r#"{"results":[]}"#.to_owned());
    }
    let Some(first) = server.first(asked.after.as_deref()) else {
        return refuse("The paging cursor is wrong");
    };
    let last = (first + 99).min(server.count);
    let whole = asked.properties.contains("firstname");
    let listed = (first..=last).map(|place| server.id(place));
    let records: Vec<String> = listed
        .map(|id| match server.kind == Kind::HalfAnswered(id) && whole {
            true => server.record(id, whole).replace("Person", "\u{1}"),
            false => server.record(id, whole),
        })
        .collect();
    let paging = match last < server.count {
        true => format!(r#","paging":{{"next":{{"after":"{}"}}}}"#, server.cursor(last + 1)),
        false => String::new(),
    };
    answer(format!(r#"{{"results":[{}]{paging}}}"#, records.join(",")))
}

async fn batch_read(State(server): Shared, Json(asked): Json<Value>) -> impl IntoResponse {
    let inputs = asked["inputs"].as_array().cloned().unwrap_or_default();
    let ids = inputs.iter().filter_map(|input| input["id"].as_str()?.parse().ok());
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
    let record = server.record(server.id(server.count), false);
    answer(format!(r#"{{"total":{},"results":[{record}]}}"#, server.count))
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
    let (report, failures, rows) = try_sync_as(url, modes).await;
    assert_eq!(failures, 0, "{report:?}");
    (report, rows)
}

/// As [`sync_as`], with how many of the syncs failed.
async fn try_sync_as(url: &str, modes: &[SyncMode]) -> (ObjectReport, usize, u64) {
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
    let (mut last, mut failures) = (ObjectReport::default(), 0);
    for mode in modes {
        let sync = ObjectSync {
            client: &client,
            lake: &lake,
            object: &object,
            definitions: &definitions,
            config: &ExtractObjectConfig::default(),
            always: &[],
            mode: *mode,
            index_lag: Duration::ZERO,
            stop: &CancellationToken::new(),
            progress: &Progress::default(),
        };
        let (report, error) = sync_object(&sync).await;
        failures += usize::from(error.is_some());
        last = report;
    }
    let name = hublake::lake::TableName::hubspot("contacts");
    let mirror = lake.table(&name).await.expect("a lake").expect("a mirror");
    (last, failures, mirror.row_count())
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
    let (report, failures, rows) = try_sync_as(&url, &[SyncMode::Full, SyncMode::Auto]).await;
    assert_eq!((failures, rows), (1, 3_000), "{report:?}");
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
