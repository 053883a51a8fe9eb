//! What comes in: bodies that may be too long, too slow or of the wrong kind.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, EXPECT};
use hyper::http::request::Parts;
use tokio::time::{Instant, timeout_at};

use super::call::Call;
use super::errors::{Refusal, Refused};
use super::paths::Edition;

/// Larger bodies are refused with 413; the true limit is not published.
pub(crate) const LARGEST_BODY: usize = 10 * 1024 * 1024;

/// As much of a body that is too large is read all the same: a client that
/// is still writing would take an early answer for a broken connection.
const READ_FOR_COURTESY: u64 = 4 * LARGEST_BODY as u64;

/// How long a body may stand still.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// How long a body may take, however lively it trickles.
const WHOLE_BODY: Duration = Duration::from_secs(300);

impl Call {
    /// A call as its head tells it, still without a body.
    pub(crate) fn of(parts: &Parts) -> Self {
        Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: Bytes::new(),
            json_wanted: accepts_json(&parts.headers),
            correlation_id: uuid::Uuid::now_v7().to_string(),
            edition: Edition::Legacy,
            names: Vec::new(),
        }
    }
}

/// Reads a body, or says why not.
pub(crate) async fn body(mut body: Incoming, headers: &HeaderMap) -> Result<Bytes, Refused> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let promised = body.size_hint().lower();
    // Who waits for a `100 Continue` has sent nothing yet.
    if promised > READ_FOR_COURTESY
        || (promised > LARGEST_BODY as u64 && headers.contains_key(EXPECT))
    {
        return Err(too_large());
    }
    let end = Instant::now() + WHOLE_BODY;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0_u64;
    loop {
        let frame = match timeout_at(end.min(Instant::now() + STALL), body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(broken()),
            Ok(None) => break,
            Err(_) => return Err(too_slow()),
        };
        let Ok(data) = frame.into_data() else { continue };
        length += data.len() as u64;
        match length {
            _ if length > READ_FOR_COURTESY => return Err(too_large()),
            _ if length > LARGEST_BODY as u64 => rest = BytesMut::new(),
            _ if first.is_empty() => first = data,
            _ => rest.extend_from_slice(&data),
        }
    }
    if length > LARGEST_BODY as u64 {
        return Err(too_large());
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

fn too_large() -> Refused {
    closing(Refusal::gateway(413))
}

fn too_slow() -> Refused {
    closing(Refusal::new(408, "Request Timeout"))
}

fn broken() -> Refused {
    closing(Refusal::new(400, "Bad Request"))
}

/// What is left of the body must not be taken for the next call.
fn closing(mut refusal: Refusal) -> Refused {
    refusal.headers.push(("Connection", "close".to_owned()));
    refusal.into()
}

/// Refuses a body that is called something the API does not read. A body
/// without a content type is taken for JSON: whether HubSpot does so is not
/// known, and some clients leave it out.
pub(crate) fn check_content_type(headers: &HeaderMap, call: &Call) -> Result<(), Refused> {
    if call.body.is_empty() || matches!(call.method.as_str(), "GET" | "HEAD" | "DELETE") {
        return Ok(());
    }
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = text.split(';').next().unwrap_or_default().trim();
    let fits = match call.path.split('/').find(|segment| !segment.is_empty()) {
        // OAuth's endpoints differ among themselves and check for themselves.
        Some("oauth") => true,
        // Imports and files come in parts.
        _ if kind == "multipart/form-data" => {
            call.path.contains("/imports") || call.path.contains("/files")
        }
        _ => kind.is_empty() || kind == "application/json" || kind.ends_with("+json"),
    };
    if fits { Ok(()) } else { Err(Refusal::new(415, "HTTP 415 Unsupported Media Type").into()) }
}

/// Whether the caller names JSON among what it accepts.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    all.any(|accept| accept.contains("json"))
}
