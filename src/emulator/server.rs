//! From a socket to an answer.
//!
//! A call passes, in this order: URL length, token, scopes, limits, faults, the
//! endpoint, latency. What gives out tokens needs none and has no limit.
//! Control calls under `/_emulator` pass none of them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::call::{Call, Reply};
use super::control;
use super::errors::{Refusal, Refused};
use super::faults::FaultAction;
use super::journal::LoggedCall;
use super::limits::{Class, Entry, Exceeded, Left};
use super::oauth;
use super::paths::{Edition, Endpoint, Route, route};
use super::routes;
use super::scopes;
use super::shared::Shared;

/// Larger bodies are refused with 413; the true limit is not published.
const LARGEST_BODY: usize = 10 * 1024 * 1024;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A connection closed on purpose, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("The connection was dropped by a fault")]
struct Dropped;

/// Accepts connections until told to stop, then closes those that are open.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, shared.clone()));
                }
                Err(error) => tracing::warn!(%error, "A connection could not be accepted"),
            },
            // Connections that ended are taken out as they end.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = stop.changed() => break,
        }
    }
    connections.shutdown().await;
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers must not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { answer(&shared, request).await }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(1024 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log_end(peer, &error);
    }
}

fn log_end(peer: Option<SocketAddr>, error: &hyper::Error) {
    tracing::debug!(?peer, %error, "A connection ended early");
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let arrived = Instant::now();
    let (parts, body) = request.into_parts();
    let uri_length = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let collected = Limited::new(body, LARGEST_BODY).collect().await;
    let mut call = Call {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: Bytes::new(),
        json_wanted: accepts_json(&parts.headers),
        correlation_id: uuid::Uuid::now_v7().to_string(),
        edition: Edition::Legacy,
        names: Vec::new(),
    };
    let too_large = collected.is_err();
    if let Ok(collected) = collected {
        call.body = collected.to_bytes();
    }
    if call.path.starts_with(control::PREFIX) {
        return Ok(respond(control::answer(shared, &call).await));
    }
    let served = match too_large {
        true => Served::refused(shared, Refusal::new(413, "Request entity too large"), &call),
        false => process(shared, &parts.headers, uri_length, call).await,
    };
    let wait = shared.next_wait();
    if !wait.is_zero() {
        tokio::time::sleep_until(arrived + wait).await;
    }
    served.reply.map(|reply| send(reply, served.fault.as_ref())).ok_or(Dropped)
}

/// What became of a call.
pub(crate) struct Served {
    /// The answer; none when the connection is to be dropped.
    pub(crate) reply: Option<Reply>,
    fault: Option<FaultAction>,
}

impl Served {
    fn refused(shared: &Shared, refusal: Refusal, call: &Call) -> Self {
        let now = shared.read().now();
        let reply = finish(Err(refusal.into()), None, &call.correlation_id, now);
        Self { reply: Some(reply), fault: None }
    }
}

/// Takes a call through everything but sockets and latency, and logs it.
pub(crate) async fn process(
    shared: &Shared,
    headers: &HeaderMap,
    uri_length: usize,
    mut call: Call,
) -> Served {
    let endpoint = route(&mut call);
    hide_token(endpoint, &mut call);
    let at = shared.read().now();
    let passed = match uri_length > shared.url_limit {
        true => Err(Refusal::url_too_long().into()),
        false if is_open(endpoint) => Ok(Admitted::default()),
        false => admit(shared, headers, endpoint, at, &call),
    };
    let (outcome, left, fault) = match passed {
        Ok(Admitted { left, forbidden: Some(refused) }) => (Some(Err(refused)), left, None),
        Ok(Admitted { left, forbidden: None }) => {
            let fault = shared.faults.strike(&call.method, &call.path);
            let token = bearer(headers);
            (act(shared, endpoint, &call, token, fault.as_ref()).await, left, fault)
        }
        Err(refused) => (Some(Err(refused)), None, None),
    };
    let reply = outcome.map(|answer| finish(answer, left, &call.correlation_id, at));
    shared.journal().note(LoggedCall {
        seq: 0,
        at,
        method: call.method,
        path: call.path,
        endpoint: label(endpoint).to_owned(),
        status: reply.as_ref().map_or(0, |reply| reply.status),
    });
    Served { reply, fault }
}

/// Whether a call needs no token and counts against no limit: what gives out
/// tokens and tells of them.
fn is_open(route: Route) -> bool {
    label(route).starts_with("oauth.")
}

/// Takes a token out of the path: the log and the faults show paths.
fn hide_token(route: Route, call: &mut Call) {
    let hidden = matches!(
        route,
        Route::To(
            Endpoint::AccessTokenInfo | Endpoint::RefreshTokenInfo | Endpoint::RefreshTokenDelete
        )
    );
    if let Some(end) = call.path.trim_end_matches('/').rfind('/').filter(|_| hidden) {
        call.path.replace_range(end + 1.., "*");
    }
}

/// A call that has been counted.
#[derive(Default)]
struct Admitted {
    left: Option<Left>,
    /// Set where permission is denied only after counting.
    forbidden: Option<Refused>,
}

/// Checks the token, what it may do, and limits.
fn admit(
    shared: &Shared,
    headers: &HeaderMap,
    route: Route,
    now: i64,
    call: &Call,
) -> Result<Admitted, Refused> {
    let token = bearer(headers).ok_or_else(Refusal::no_credentials)?;
    let caller = shared.tokens().caller(token, now)?;
    let scopes = caller.scopes.as_deref();
    let forbidden =
        scopes.and_then(|scopes| scopes::forbidden(&shared.read(), label(route), call, scopes));
    let forbidden = match forbidden {
        Some(forbidden) if !forbidden.counted => return Err(forbidden.refusal.into()),
        forbidden => forbidden.map(|forbidden| forbidden.refusal.into()),
    };
    let class = match route {
        Route::To(Endpoint::Search) => Class::Search,
        Route::To(_) if label(route).starts_with("associations.batch") => Class::AssociationBatch,
        _ => Class::Other,
    };
    let entry = Entry { budget: &caller.budget, oauth: caller.oauth, class };
    let mut gate = shared.gate();
    match gate.pass(entry, now) {
        Ok(left) => Ok(Admitted { left, forbidden }),
        Err(exceeded) => {
            let wait = gate.limits.retry_after.then(|| gate.wait(entry, exceeded, now));
            Err(too_many(exceeded, entry, wait, call))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// 429: `errorType` and `policyName`, and for searches `category` (recorded);
/// no `Retry-After` unless asked for.
fn too_many(exceeded: Exceeded, entry: Entry<'_>, wait: Option<i64>, call: &Call) -> Refused {
    let (message, policy) = match exceeded {
        Exceeded::TenSecondly => {
            ("You have reached your ten_secondly_rolling limit.", "TEN_SECONDLY_ROLLING")
        }
        Exceeded::Secondly => ("You have reached your secondly limit.", "SECONDLY"),
        Exceeded::Daily => ("You have reached your daily limit.", "DAILY"),
    };
    let mut refusal = Refusal::new(429, message);
    if let Some(wait) = wait {
        refusal.headers.push(("Retry-After", oauth::seconds(wait).to_string()));
    }
    if entry.class == Class::Search && exceeded == Exceeded::Secondly {
        return refusal.category("RATE_LIMITS").into();
    }
    // The name for OAuth apps is a guess.
    let group = match entry.oauth {
        true => "publicapi:public-apps-api-calls",
        false => "publicapi:private-apps-api-calls",
    };
    refusal
        .field("errorType", "RATE_LIMIT".into())
        .field("policyName", policy.into())
        .field("groupName", group.into())
        .field("requestId", call.correlation_id.clone().into())
        .into()
}

/// Serves the call, or does what a fault orders; none drops the connection.
async fn act(
    shared: &Shared,
    route: Route,
    call: &Call,
    token: Option<&str>,
    fault: Option<&FaultAction>,
) -> Option<Result<Reply, Refused>> {
    match fault {
        Some(FaultAction::Refuse { status, body, retry_after }) => {
            return Some(Err(refused(*status, body.as_ref(), *retry_after)));
        }
        Some(FaultAction::ScopesMissing { scopes }) => {
            return Some(Err(Refusal::missing_scopes(scopes).into()));
        }
        Some(FaultAction::Locked) => {
            return Some(Err(Refusal::new(423, "The resource is locked").into()));
        }
        Some(FaultAction::Migrating { retry_after }) => {
            let mut refusal = Refusal::new(477, "The account is being migrated");
            refusal.headers.push(("Retry-After", retry_after.to_string()));
            return Some(Err(refusal.into()));
        }
        Some(FaultAction::Drop) => return None,
        Some(FaultAction::Hold) => shared.faults.hold(&call.method, &call.path, false).await,
        _ => {}
    }
    let outcome = match route {
        Route::To(endpoint) => routes::serve(shared, endpoint, call, token),
        Route::WrongMethod => Err(Refusal::new(405, "Method Not Allowed").into()),
        Route::Nowhere => Err(Refusal::not_found(call.json_wanted).into()),
    };
    match fault {
        Some(FaultAction::ApplyThen { status }) => Some(Err(refused(*status, None, None))),
        Some(FaultAction::ApplyThenDrop) => None,
        Some(FaultAction::ApplyThenHold) => {
            shared.faults.hold(&call.method, &call.path, true).await;
            Some(outcome)
        }
        Some(FaultAction::Late { ms }) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            Some(outcome)
        }
        _ => Some(outcome),
    }
}

fn refused(status: u16, body: Option<&serde_json::Value>, retry_after: Option<u64>) -> Refused {
    let mut refusal = match body {
        Some(body) => Refusal::verbatim(status, body),
        None if status >= 500 => Refusal::gateway(status),
        None => Refusal::new(status, format!("Refused with {status}")),
    };
    if let Some(seconds) = retry_after {
        refusal.headers.push(("Retry-After", seconds.to_string()));
    }
    refusal.into()
}

/// Puts the answer and the usual headers together.
fn finish(
    outcome: Result<Reply, Refused>,
    left: Option<Left>,
    correlation_id: &str,
    now: i64,
) -> Reply {
    let counted = !outcome.as_ref().is_err_and(|refusal| refusal.is_uncounted());
    let mut reply = match outcome {
        Ok(reply) => reply,
        Err(refusal) => {
            let (body, content_type) = refusal.render(correlation_id);
            Reply {
                status: refusal.status,
                body: body.into(),
                content_type,
                headers: refusal.headers,
            }
        }
    };
    reply.headers.push(("X-HubSpot-Correlation-Id", correlation_id.to_owned()));
    // Clients take the server's time from here: it is the emulator's clock.
    reply.headers.push(("Date", http_date(now)));
    if let Some(left) = left.filter(|_| counted) {
        rate_headers(&mut reply, left);
    }
    reply
}

/// The rate headers of everything but searches, which have none.
fn rate_headers(reply: &mut Reply, left: Left) {
    let mut push = |name, value: u64| reply.headers.push((name, value.to_string()));
    if let Some((remaining, limit)) = left.daily {
        push("X-HubSpot-RateLimit-Daily", limit);
        push("X-HubSpot-RateLimit-Daily-Remaining", remaining);
    }
    push("X-HubSpot-RateLimit-Interval-Milliseconds", 10_000);
    push("X-HubSpot-RateLimit-Max", u64::from(left.burst_limit));
    push("X-HubSpot-RateLimit-Remaining", u64::from(left.burst));
    let secondly = u64::from(left.burst_limit / 10);
    push("X-HubSpot-RateLimit-Secondly", secondly);
    push("X-HubSpot-RateLimit-Secondly-Remaining", secondly.saturating_sub(1));
}

fn http_date(now: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(now).unwrap_or_default();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn send(reply: Reply, fault: Option<&FaultAction>) -> Response<Body> {
    match fault {
        Some(FaultAction::Truncate) => truncated(reply),
        Some(FaultAction::SlowBody { ms }) => slow(reply, Duration::from_millis(*ms)),
        Some(FaultAction::WrongContentType) => {
            respond(Reply { content_type: "text/html", ..reply })
        }
        _ => respond(reply),
    }
}

fn respond(reply: Reply) -> Response<Body> {
    let body = Full::new(reply.body.clone()).map_err(never).boxed_unsync();
    with_head(&reply, body)
}

/// Promises the whole body, sends half of it, and closes.
fn truncated(reply: Reply) -> Response<Body> {
    let half = reply.body.slice(..reply.body.len() / 2);
    let frames = [Ok(Frame::data(half)), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    let mut response =
        with_head(&reply, StreamBody::new(futures::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert(CONTENT_LENGTH, reply.body.len().into());
    response
}

/// Sends the body in eight pieces with pauses between them.
fn slow(reply: Reply, pause: Duration) -> Response<Body> {
    let size = (reply.body.len() / 8).max(1);
    let pieces: Vec<Bytes> = (0..reply.body.len())
        .step_by(size)
        .map(|start| reply.body.slice(start..(start + size).min(reply.body.len())))
        .collect();
    let frames = futures::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let piece = pieces.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, io::Error>(Frame::data(piece)), pieces))
    });
    with_head(&reply, StreamBody::new(frames).boxed_unsync())
}

fn with_head(reply: &Reply, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if reply.status != 204 {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    }
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    response
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("json"))
}

fn label(route: Route) -> &'static str {
    match route {
        Route::To(endpoint) => endpoint.label(),
        Route::WrongMethod => "wrong_method",
        Route::Nowhere => "nowhere",
    }
}

fn never(error: Infallible) -> io::Error {
    match error {}
}
