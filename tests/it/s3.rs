//! An S3 small enough to read: one bucket in memory, on loopback.
//!
//! It serves what `object_store` asks of S3 (conditional puts included) and can
//! hold the n-th write that matches, before or after it has been applied, so
//! that a test can end a process at exactly that point.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const BUCKET: &str = "lake";

/// When a held write is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The process dies before the store has the object.
    Before,
    /// The store has the object, the process never hears of it.
    After,
}

#[derive(Default)]
struct Account {
    objects: BTreeMap<String, Bytes>,
    uploads: HashMap<String, BTreeMap<u32, Bytes>>,
    next_upload: u64,
    /// Keys of commits, in the order in which they were written.
    commits: Vec<String>,
    hold: Option<(usize, Hold)>,
    refuses_writes: bool,
}

/// The server; it ends when dropped.
pub(crate) struct S3 {
    account: Arc<Mutex<Account>>,
    held: Arc<Notify>,
    endpoint: String,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Served {
    account: Arc<Mutex<Account>>,
    held: Arc<Notify>,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let account = Arc::new(Mutex::new(Account::default()));
        let held = Arc::new(Notify::new());
        let served = Served { account: account.clone(), held: held.clone() };
        let app = Router::new().fallback(any(answer)).with_state(served);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let task =
            tokio::spawn(
                async move { axum::serve(listener, app).await.expect("serving on loopback") },
            );
        Self { account, held, endpoint, task }
    }

    /// The `lake:` section that keeps a lake here.
    pub(crate) fn settings(&self) -> String {
        format!(
            "lake:\n  url: s3://{BUCKET}/root\n  options:\n    aws_endpoint: \"{}\"\n    aws_allow_http: \"true\"\n    \
             aws_access_key_id: test\n    aws_secret_access_key: {{ env: TEST_S3_SECRET }}\n    aws_region: us-east-1\n",
            self.endpoint
        )
    }

    /// The Delta commits made so far, by key, in order.
    pub(crate) fn commits(&self) -> Vec<String> {
        self.account.lock().expect("no test panics while holding it").commits.clone()
    }

    /// What is stored, by key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.account.lock().expect("no test panics while holding it").objects.clone()
    }

    /// Holds the commit that comes `nth` from now, counted from 0.
    pub(crate) fn hold_commit(&self, nth: usize, when: Hold) {
        let mut account = self.account.lock().expect("no test panics while holding it");
        account.hold = Some((account.commits.len() + nth, when));
    }

    /// Waits until the commit asked for is held.
    pub(crate) async fn wait_held(&self) {
        self.held.notified().await;
    }

    /// Forgets the hold: requests held so far were of a dead process.
    pub(crate) fn release(&self) {
        self.account.lock().expect("no test panics while holding it").hold = None;
    }

    /// Answers every write with 403 from now on, or no longer.
    pub(crate) fn refuse_writes(&self, refuses: bool) {
        self.account.lock().expect("no test panics while holding it").refuses_writes = refuses;
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(served): State<Served>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = percent_encoding::percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
    let key =
        path.trim_start_matches('/').trim_start_matches(BUCKET).trim_start_matches('/').to_owned();
    let is_write = !matches!(method, Method::GET | Method::HEAD);
    if is_write && served.account.lock().expect("unpoisoned").refuses_writes {
        return error(StatusCode::FORBIDDEN, "AccessDenied");
    }
    if method != Method::PUT || query.contains_key("partNumber") {
        let mut account = served.account.lock().expect("unpoisoned");
        return account.answer(&method, &key, &query, &headers, body);
    }
    put(&served, &key, &query, &headers, body).await
}

/// A put, held where a test asked for it.
async fn put(
    served: &Served,
    key: &str,
    query: &HashMap<String, String>,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let is_commit = key.contains("/_delta_log/") && key.ends_with(".json");
    let hold = {
        let account = served.account.lock().expect("unpoisoned");
        account
            .hold
            .filter(|(nth, _)| is_commit && account.commits.len() == *nth)
            .map(|(_, when)| when)
    };
    if hold == Some(Hold::Before) {
        served.held.notify_one();
        std::future::pending::<()>().await;
    }
    let answer = {
        let mut account = served.account.lock().expect("unpoisoned");
        account.answer(&Method::PUT, key, query, headers, body)
    };
    if hold == Some(Hold::After) && answer.status().is_success() {
        served.held.notify_one();
        std::future::pending::<()>().await;
    }
    answer
}

impl Account {
    fn answer(
        &mut self,
        method: &Method,
        key: &str,
        query: &HashMap<String, String>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<Body> {
        match method.as_str() {
            "GET" if key.is_empty() => self.list(query),
            "GET" | "HEAD" => self.get(key, headers, method == Method::HEAD),
            "PUT" if query.contains_key("partNumber") => self.part(query, body),
            "PUT" => self.put(key, headers, body),
            "POST" if query.contains_key("uploads") => self.begin_upload(key),
            "POST" if query.contains_key("uploadId") => self.end_upload(key, query),
            "POST" if query.contains_key("delete") => self.delete_many(&body),
            "DELETE" => {
                self.objects.remove(key);
                status(StatusCode::NO_CONTENT)
            }
            _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    fn put(&mut self, key: &str, headers: &HeaderMap, body: Bytes) -> Response<Body> {
        let is_create = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*");
        if is_create && self.objects.contains_key(key) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let expected = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
        if expected
            .is_some_and(|tag| self.objects.get(key).is_none_or(|object| etag(object) != tag))
        {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        if key.contains("/_delta_log/") && key.ends_with(".json") {
            self.commits.push(key.to_owned());
        }
        let tag = etag(&body);
        self.objects.insert(key.to_owned(), body);
        respond(StatusCode::OK, &[("etag", tag)], Body::empty())
    }

    fn get(&self, key: &str, headers: &HeaderMap, is_head: bool) -> Response<Body> {
        let Some(object) = self.objects.get(key) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let range = headers
            .get(header::RANGE)
            .and_then(|value| byte_range(value.to_str().ok()?, object.len()));
        let (code, slice) = match range.clone() {
            Some(range) => (StatusCode::PARTIAL_CONTENT, object.slice(range)),
            None => (StatusCode::OK, object.clone()),
        };
        let mut fields = vec![
            ("etag", etag(object)),
            ("last-modified", "Mon, 23 Nov 2026 09:00:00 GMT".to_owned()),
            ("content-length", slice.len().to_string()),
        ];
        if let Some(range) = range {
            fields.push((
                "content-range",
                format!("bytes {}-{}/{}", range.start, range.end - 1, object.len()),
            ));
        }
        respond(code, &fields, if is_head { Body::empty() } else { Body::from(slice) })
    }

    fn list(&self, query: &HashMap<String, String>) -> Response<Body> {
        let prefix = query.get("prefix").map_or("", String::as_str);
        let after = query.get("start-after").map_or("", String::as_str);
        let delimiter = query.get("delimiter").filter(|text| !text.is_empty());
        let (mut contents, mut folders) = (String::new(), std::collections::BTreeSet::new());
        for (key, object) in
            self.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after)
        {
            match delimiter.and_then(|mark| key[prefix.len()..].find(mark.as_str())) {
                Some(at) => {
                    folders.insert(&key[..=prefix.len() + at]);
                }
                None => {
                    let _ = write!(
                        contents,
                        "<Contents><Key>{key}</Key><LastModified>2026-11-23T09:00:00.000Z</LastModified>\
                         <ETag>{}</ETag><Size>{}</Size></Contents>",
                        etag(object).replace('"', "&quot;"),
                        object.len()
                    );
                }
            }
        }
        let folders: String = folders
            .into_iter()
            .map(|f| format!("<CommonPrefixes><Prefix>{f}</Prefix></CommonPrefixes>"))
            .collect();
        xml(&format!(
            "<ListBucketResult><IsTruncated>false</IsTruncated>{contents}{folders}</ListBucketResult>"
        ))
    }

    fn begin_upload(&mut self, key: &str) -> Response<Body> {
        self.next_upload += 1;
        let id = format!("upload-{}", self.next_upload);
        self.uploads.insert(id.clone(), BTreeMap::new());
        xml(&format!(
            "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>\
             </InitiateMultipartUploadResult>"
        ))
    }

    fn part(&mut self, query: &HashMap<String, String>, body: Bytes) -> Response<Body> {
        let number = query["partNumber"].parse().expect("a part number");
        let tag = etag(&body);
        match query.get("uploadId").and_then(|id| self.uploads.get_mut(id)) {
            Some(parts) => {
                parts.insert(number, body);
                respond(StatusCode::OK, &[("etag", tag)], Body::empty())
            }
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        }
    }

    fn end_upload(&mut self, key: &str, query: &HashMap<String, String>) -> Response<Body> {
        let Some(parts) = self.uploads.remove(&query["uploadId"]) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let whole: Vec<u8> = parts.into_values().flatten().collect();
        let tag = etag(&whole).replace('"', "&quot;");
        self.objects.insert(key.to_owned(), whole.into());
        xml(&format!(
            "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><ETag>{tag}</ETag>\
             </CompleteMultipartUploadResult>"
        ))
    }

    fn delete_many(&mut self, body: &[u8]) -> Response<Body> {
        let text = String::from_utf8_lossy(body);
        let mut deleted = String::new();
        for part in text.split("<Key>").skip(1) {
            let key = part.split("</Key>").next().unwrap_or_default();
            self.objects.remove(key);
            let _ = write!(deleted, "<Deleted><Key>{key}</Key></Deleted>");
        }
        xml(&format!("<DeleteResult>{deleted}</DeleteResult>"))
    }
}

fn byte_range(text: &str, length: usize) -> Option<Range<usize>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    if from.is_empty() {
        return Some(length.saturating_sub(to.parse().ok()?)..length);
    }
    let start = from.parse().ok()?;
    let end = if to.is_empty() { length } else { to.parse::<usize>().ok()? + 1 };
    Some(start..end.min(length))
}

fn etag(object: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    object.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

fn respond(code: StatusCode, fields: &[(&str, String)], body: Body) -> Response<Body> {
    let builder = fields
        .iter()
        .fold(Response::builder().status(code), |b, (name, value)| b.header(*name, value));
    builder.body(body).expect("header names and values are ASCII")
}

fn status(code: StatusCode) -> Response<Body> {
    respond(code, &[], Body::empty())
}

fn xml(text: &str) -> Response<Body> {
    respond(
        StatusCode::OK,
        &[("content-type", "application/xml".to_owned())],
        Body::from(text.to_owned()),
    )
}

fn error(code: StatusCode, name: &str) -> Response<Body> {
    let body = format!("<Error><Code>{name}</Code><Message>{name}</Message></Error>");
    respond(code, &[("content-type", "application/xml".to_owned())], Body::from(body))
}
