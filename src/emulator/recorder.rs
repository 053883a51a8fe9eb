//! What passes through the emulator, kept as recordings that
//! [`replay`](super::replay()) reads and other tools can check: one exchange a
//! line, secrets replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply, decode};

/// What stands in the place of a secret.
const MASK: &str = "recorded";

/// The request headers worth keeping; no other leaves the caller's machine by
/// way of a recording.
const KEPT: [hyper::header::HeaderName; 5] =
    [ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT];

/// Members and fields of OAuth bodies that are secret.
const SECRET: [&str; 11] = [
    "access_token",
    "client_secret",
    "code",
    "code_verifier",
    "id_token",
    "refresh_token",
    "signature",
    "signed_access_token",
    "token",
    "tokenKey",
    "hapikey",
];

/// Why exchanges are not recorded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("Cannot record to `{}`", path.display())]
pub struct RecordError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: Arc<io::Error>,
}

/// Writes exchanges to a file.
#[derive(Debug)]
pub(crate) struct Recorder {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    out: BufWriter<File>,
    exchanges: u64,
    /// The first failure; nothing is written after it, so that the file ends
    /// with what was kept and not with holes.
    failure: Option<RecordError>,
}

/// A request, kept until its answer is known.
#[derive(Debug)]
pub(crate) struct Asked {
    method: String,
    path: String,
    query: String,
    headers: Map<String, Value>,
    json: bool,
    body: Bytes,
}

impl Asked {
    /// The request as it came in.
    pub(crate) fn of(call: &Call, headers: &HeaderMap) -> Self {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Self {
            method: call.method.clone(),
            path: call.path.clone(),
            query: call.query.clone(),
            headers: kept_headers(headers),
            json: content_type.is_none_or(|content_type| content_type.contains("json")),
            body: call.body.clone(),
        }
    }
}

impl Recorder {
    /// Opens the file; exchanges go behind those already in it.
    pub(crate) fn open(path: &Path) -> Result<Self, RecordError> {
        let file = match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) if !folder.is_dir() => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "There is no such folder: make it first",
            )),
            _ => OpenOptions::new().create(true).append(true).open(path),
        };
        let file = file.map_err(|source| RecordError::new(path, source))?;
        let out = BufWriter::with_capacity(256 * 1024, file);
        let state = Mutex::new(State { out, exchanges: 0, failure: None });
        Ok(Self { path: path.to_owned(), state })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one exchange. A failure is kept for [`Self::flush`] to tell.
    pub(crate) fn note(&self, asked: &Asked, reply: &Reply) {
        let secret = is_secret_path(&asked.path);
        let request = json!({
            "method": asked.method,
            "path": masked_path(&asked.path),
            "query": query(&asked.query, secret),
            "headers": asked.headers,
        });
        let response = json!({"status": reply.status, "headers": reply_headers(reply, secret)});
        let asked_body = body(&asked.body, asked.json, secret);
        let told_body = body(&reply.body, reply.content_type.contains("json"), secret);
        let mut state = self.lock();
        if state.failure.is_some() {
            return;
        }
        // The bodies are put in as they are: a page of records is not made
        // into a tree only to be written out again.
        let written = writeln!(
            state.out,
            "{{\"source\":\"hublake emulator\",\"request\":{},\"body\":{asked_body}}},\"response\":{},\"body\":{told_body}}}}}",
            opened(&request.to_string()),
            opened(&response.to_string()),
        );
        match written {
            Ok(()) => state.exchanges += 1,
            Err(source) => state.fail(RecordError::new(&self.path, source)),
        }
    }

    /// Hands everything to the system and says how many exchanges there are,
    /// or why there are not more.
    pub(crate) fn flush(&self) -> Result<u64, RecordError> {
        let mut state = self.lock();
        if state.failure.is_none()
            && let Err(source) = state.out.flush()
        {
            state.fail(RecordError::new(&self.path, source));
        }
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(state.exchanges),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail(&mut self, failure: RecordError) {
        tracing::error!(error = %failure, cause = %failure.source, "Recording has ended");
        self.failure = Some(failure);
    }
}

impl RecordError {
    fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), source: Arc::new(source) }
    }
}

/// An object's text without its last brace, to be gone on with.
fn opened(object: &str) -> &str {
    object.strip_suffix('}').unwrap_or(object)
}

fn kept_headers(headers: &HeaderMap) -> Map<String, Value> {
    let kept = headers.iter().filter(|(name, _)| KEPT.contains(name));
    kept.map(|(name, value)| {
        let text = match *name == AUTHORIZATION {
            true => masked_credentials(value.as_bytes()),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        (name.as_str().to_owned(), Value::String(text))
    })
    .collect()
}

/// The scheme stays, for it decides the answer.
fn masked_credentials(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    match text.split_once(' ') {
        Some((scheme, rest)) if !rest.trim().is_empty() => format!("{scheme} {MASK}"),
        _ if text.eq_ignore_ascii_case("bearer") => text.into_owned(),
        _ => MASK.to_owned(),
    }
}

fn reply_headers(reply: &Reply, secret: bool) -> Map<String, Value> {
    let mut all = Map::new();
    if reply.status != 204 {
        all.insert("content-type".to_owned(), json!(reply.content_type));
    }
    for (name, value) in &reply.headers {
        // A redirect back from the authorize page carries the code.
        let value = match secret && name.eq_ignore_ascii_case("location") {
            true => masked_location(value),
            false => value.clone(),
        };
        all.insert(name.to_ascii_lowercase(), Value::String(value));
    }
    all
}

fn masked_location(location: &str) -> String {
    match location.split_once('?') {
        Some((page, query)) => format!("{page}?{}", masked_form(query)),
        None => location.to_owned(),
    }
}

/// Whether a path belongs to OAuth, whose bodies are made of secrets.
fn is_secret_path(path: &str) -> bool {
    path.split('/').any(|segment| segment == "oauth")
}

/// A path, without the token that some of OAuth's have in them.
fn masked_path(path: &str) -> String {
    let mut hide = false;
    let segments = path.split('/').map(|segment| {
        let shown = if hide && !segment.is_empty() { MASK } else { segment };
        hide = matches!(segment, "access-tokens" | "refresh-tokens");
        shown
    });
    segments.collect::<Vec<&str>>().join("/")
}

fn is_secret(name: &str) -> bool {
    SECRET.contains(&name)
}

/// The query as an object: a text each, or an array where a name repeats.
fn query(query: &str, secret: bool) -> Map<String, Value> {
    let mut all = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name).into_owned(), decode(value).into_owned());
        let hidden = name == "hapikey" || name == "access_token" || (secret && is_secret(&name));
        let value = Value::String(if hidden { MASK.to_owned() } else { value });
        match all.get_mut(&name) {
            None => {
                all.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    all
}

/// A body as the text of a JSON value on one line: JSON as it is, anything
/// else as a text, nothing as null.
fn body(body: &Bytes, is_json: bool, secret: bool) -> String {
    if body.is_empty() {
        return "null".to_owned();
    }
    // A text among the recordings stands for a raw body: JSON that is only a
    // text must be one too, quotes included.
    let raw = is_json.then(|| serde_json::from_slice::<&RawValue>(body).ok()).flatten();
    let raw = raw.map(RawValue::get).filter(|raw| !raw.starts_with('"'));
    if let Some(raw) = raw {
        if secret && let Ok(mut value) = serde_json::from_str::<Value>(raw) {
            mask(&mut value);
            return value.to_string();
        }
        // Line ends in JSON are white space between tokens, never in them.
        return match raw.contains(['\n', '\r']) {
            true => raw.replace(['\n', '\r'], " "),
            false => raw.to_owned(),
        };
    }
    let text = String::from_utf8_lossy(body);
    let text = if secret { masked_form(&text) } else { text.into_owned() };
    Value::String(text).to_string()
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::Null => {}
                    // Its parts keep their shape.
                    Value::Object(_) | Value::Array(_) => mask(member),
                    _ if is_secret(name) => *member = json!(MASK),
                    _ => {}
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask),
        _ => {}
    }
}

fn masked_form(form: &str) -> String {
    let fields = form.split('&').map(|field| match field.split_once('=') {
        Some((name, value)) if is_secret(&decode(name)) && !value.is_empty() => {
            format!("{name}={MASK}")
        }
        _ => field.to_owned(),
    });
    fields.collect::<Vec<String>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_values_texts_or_null() {
        let of = |text: &'static str, json| body(&Bytes::from(text), json, false);
        assert_eq!(of("", true), "null");
        assert_eq!(of("{\n \"a\": 1.0}", true), "{  \"a\": 1.0}");
        assert_eq!(of("{\"a\"", true), "\"{\\\"a\\\"\"");
        assert_eq!(of("<html>", false), "\"<html>\"");
        assert_eq!(of("\"text\"", true), "\"\\\"text\\\"\"");
    }

    #[test]
    fn secrets_are_masked() {
        let form = "grant_type=refresh_token&client_secret=s3&refresh%5Ftoken=r4&code=";
        assert_eq!(
            masked_form(form),
            "grant_type=refresh_token&client_secret=recorded&refresh%5Ftoken=recorded&code="
        );
        let told =
            Bytes::from("{\"access_token\":\"a\",\"expires_in\":1800,\"x\":[{\"token\":\"t\"}]}");
        assert_eq!(
            body(&told, true, true),
            "{\"access_token\":\"recorded\",\"expires_in\":1800,\"x\":[{\"token\":\"recorded\"}]}"
        );
        assert_eq!(masked_path("/oauth/v1/access-tokens/abc"), "/oauth/v1/access-tokens/recorded");
        assert_eq!(query("hapikey=k&a=1&a=2%20", false)["hapikey"], "recorded");
        assert_eq!(query("hapikey=k&a=1&a=2%20", false)["a"], json!(["1", "2 "]));
        assert_eq!(masked_credentials(b"Bearer pat-na1-1"), "Bearer recorded");
        assert_eq!(masked_credentials(b"pat-na1-1"), "recorded");
        assert_eq!(
            masked_location("https://x/cb?code=1&state=2"),
            "https://x/cb?code=recorded&state=2"
        );
    }
}
