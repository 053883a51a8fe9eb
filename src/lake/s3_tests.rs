//! A lake on S3, spoken over HTTP to a stand-in on the loopback: commits by
//! conditional put, ranged reads, listings, leases.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::testing::{Person, people, person_spec, stored_people};
use super::{Changes, Cursor, Lake, LakeConfig, OptionValue, TableName};

const LAST_MODIFIED: &str = "Tue, 01 Jul 2025 10:00:00 GMT";

/// Objects by `bucket/key`.
type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

async fn answer(State(objects): State<Objects>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let path = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let name = path.trim_start_matches('/').to_owned();
    let mut objects = objects.lock().expect("no test panics while it holds the objects");
    match parts.method {
        Method::GET if query.contains_key("list-type") => list(&objects, &name, &query),
        Method::POST if query.contains_key("delete") => delete_many(&mut objects, &name, &body),
        Method::GET | Method::HEAD => get(&objects, &name, &parts.headers),
        Method::PUT => put(&mut objects, name, body, &parts.headers),
        Method::DELETE => {
            objects.remove(&name);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}

fn get(objects: &BTreeMap<String, Bytes>, name: &str, headers: &HeaderMap) -> Response {
    let Some(object) = objects.get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let tags = [(header::ETAG, "\"tag\""), (header::LAST_MODIFIED, LAST_MODIFIED)];
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        return (tags, object.clone()).into_response();
    };
    let first: usize = first.parse().expect("a first byte");
    let last = last.parse().unwrap_or(usize::MAX).min(object.len() - 1);
    let content = format!("bytes {first}-{last}/{}", object.len());
    let part = object.slice(first..=last);
    (StatusCode::PARTIAL_CONTENT, tags, [(header::CONTENT_RANGE, content)], part).into_response()
}

fn put(
    objects: &mut BTreeMap<String, Bytes>,
    name: String,
    body: Bytes,
    headers: &HeaderMap,
) -> Response {
    if headers.contains_key(header::IF_NONE_MATCH) && objects.contains_key(&name) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    objects.insert(name, body);
    ([(header::ETAG, "\"tag\"")], StatusCode::OK).into_response()
}

fn delete_many(objects: &mut BTreeMap<String, Bytes>, bucket: &str, body: &[u8]) -> Response {
    let text = String::from_utf8_lossy(body);
    let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
    let mut deleted = String::new();
    for (key, _) in keys {
        objects.remove(&format!("{bucket}/{key}"));
        deleted += &format!("<Deleted><Key>{key}</Key></Deleted>");
    }
    format!("<DeleteResult>{deleted}</DeleteResult>").into_response()
}

fn list(
    objects: &BTreeMap<String, Bytes>,
    bucket: &str,
    query: &BTreeMap<String, String>,
) -> Response {
    let asked = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let (mut contents, mut folders) = (String::new(), Vec::new());
    for (name, object) in objects {
        let Some(key) = name.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        let Some(rest) = key.strip_prefix(asked("prefix")) else { continue };
        if key <= asked("start-after") {
            continue;
        }
        match rest.split_once('/') {
            Some((folder, _)) if asked("delimiter") == "/" => {
                folders.push(format!("{}{folder}/", asked("prefix")));
            }
            _ => {
                let size = object.len();
                contents += &format!(
                    "<Contents><Key>{key}</Key><Size>{size}</Size>\
                     <LastModified>2025-07-01T10:00:00.000Z</LastModified></Contents>"
                );
            }
        }
    }
    folders.dedup();
    let folders: String = folders
        .iter()
        .map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"))
        .collect();
    format!("<ListBucketResult>{contents}{folders}</ListBucketResult>").into_response()
}

/// A lake in a bucket of its own, and the objects in it.
async fn s3_lake() -> (Lake, Objects) {
    let objects = Objects::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let app = Router::new().fallback(answer).with_state(objects.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let text = |text: &str| OptionValue::Text(text.to_owned());
    let config = LakeConfig {
        url: "s3://bucket/some/lake".into(),
        options: BTreeMap::from([
            ("aws_endpoint".into(), text(&format!("http://127.0.0.1:{port}"))),
            ("aws_region".into(), text("eu-central-1")),
            ("aws_allow_http".into(), OptionValue::Flag(true)),
            ("aws_skip_signature".into(), OptionValue::Flag(true)),
        ]),
        ..LakeConfig::default()
    };
    let lake = Lake::open(&config, std::path::Path::new(".")).await.expect("a lake");
    (lake, objects)
}

#[tokio::test]
async fn tables_live_on_s3() {
    let (lake, objects) = s3_lake().await;
    lake.check_writable().await.expect("writable");
    assert!(objects.lock().expect("objects").is_empty(), "the probe is gone");
    let mut table = lake.open_or_create(&person_spec()).await.expect("made");
    let mut other = table.clone();
    let rows = |rows: &[Person]| Changes { rows: vec![people(rows)], ..Changes::default() };
    let cursor = [Cursor { app_id: "people".into(), value: 1 }];
    table.upsert(rows(&[Person::new(1, "Ada", 1)]), &cursor).await.expect("merged");
    // This handle has not seen that commit; its put of the same version is refused.
    other.upsert(rows(&[Person::new(2, "Bob", 1)]), &[]).await.expect("merged after it");
    let found = lake.table(table.name()).await.expect("readable").expect("there");
    assert_eq!(stored_people(&found).await, [Person::new(1, "Ada", 1), Person::new(2, "Bob", 1)]);
    assert_eq!((found.version(), found.cursor("people")), (2, Some(1)));
    assert_eq!(lake.tables().await.expect("listed"), [TableName::hubspot("people")]);
    let log = "bucket/some/lake/hubspot/people/_delta_log/00000000000000000002.json";
    assert!(objects.lock().expect("objects").contains_key(log));
}

#[tokio::test]
async fn a_lease_on_s3_is_given_back() {
    let (lake, _) = s3_lake().await;
    let lock = lake.lock("usage").await.expect("free");
    assert!(lock.still_held(Duration::from_secs(60)));
    lock.release().await.expect("given back");
    let again = lake.lock("usage").await.expect("free again");
    again.release().await.expect("given back");
}
