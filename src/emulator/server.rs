//! From a call to its answer.
//!
//! A call passes, in this order: URL length, token, scopes, limits, faults, the
//! kind of its body, the endpoint. What gives out tokens needs none and has no
//! limit. Control calls under `/_emulator` pass none of them. How calls come in
//! and answers go out is [`super::transport`].

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::call::{Call, Reply};
use super::errors::{self, Refusal, Refused};
use super::faults::FaultAction;
use super::intake;
use super::journal::LoggedCall;
use super::limits::{Class, Entry, Exceeded, Left};
use super::oauth;
use super::paths::{Endpoint, Route, route};
use super::routes;
use super::scopes;
use super::shared::{Shared, at_length};

/// What became of a call.
pub(crate) struct Served {
    /// The answer; none when the connection is to be dropped.
    pub(crate) reply: Option<Reply>,
    /// What the sending of the answer has to know.
    pub(crate) fault: Option<FaultAction>,
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
            (act(shared, headers, endpoint, &call, fault.as_ref()).await, left, fault)
        }
        Err(refused) => (Some(Err(refused)), None, None),
    };
    let reply = outcome.map(|answer| finish(answer, left, &call.correlation_id, at));
    let status = reply.as_ref().map_or(0, |reply| reply.status);
    note(shared, headers, endpoint, at, call, status);
    Served { reply, fault }
}

/// Answers and logs a call whose body could not be read.
pub(crate) fn turn_away(
    shared: &Shared,
    headers: &HeaderMap,
    refused: Refused,
    mut call: Call,
) -> Reply {
    let endpoint = route(&mut call);
    hide_token(endpoint, &mut call);
    let at = shared.read().now();
    let reply = finish(Err(refused), None, &call.correlation_id, at);
    note(shared, headers, endpoint, at, call, reply.status);
    reply
}

fn note(shared: &Shared, headers: &HeaderMap, route: Route, at: i64, call: Call, status: u16) {
    let Call { method, path, .. } = call;
    let logged = LoggedCall { seq: 0, at, method, path, endpoint: label(route), status };
    shared.journal().note(logged, bearer(headers));
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
    // A developer's key or a token of the app: neither counts calls here.
    if matches!(route, Route::To(endpoint) if endpoint.is_developers()) {
        let key = call.query("hapikey").is_some() || bearer(headers).is_some();
        return if key { Ok(Admitted::default()) } else { Err(Refusal::no_credentials().into()) };
    }
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
    headers: &HeaderMap,
    route: Route,
    call: &Call,
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
            return Some(Err(refused(423, None, None)));
        }
        Some(FaultAction::Migrating { retry_after }) => {
            return Some(Err(refused(477, None, Some(*retry_after))));
        }
        Some(FaultAction::Drop) => return None,
        Some(FaultAction::Answer { status, body, content_type }) => {
            let kind = content_type.as_deref().unwrap_or_else(|| errors::text_kind(body));
            let reply = Reply::raw(*status, body.clone()).with("Content-Type", kind.to_owned());
            return Some(Ok(reply));
        }
        Some(FaultAction::Hold) => shared.faults.hold(&call.method, &call.path, false).await,
        _ => {}
    }
    let outcome = match route {
        Route::To(endpoint) => match intake::check_content_type(headers, call) {
            Ok(()) if is_brief(endpoint) => routes::serve(shared, endpoint, call, bearer(headers)),
            Ok(()) => at_length(|| routes::serve(shared, endpoint, call, bearer(headers))),
            Err(refused) => Err(refused),
        },
        Route::WrongMethod => Err(Refusal::new(405, "Method Not Allowed").into()),
        Route::Nowhere => Err(Refusal::not_found(call.json_wanted).into()),
    };
    match fault {
        Some(FaultAction::ApplyThen { status }) => Some(Err(refused(*status, None, None))),
        Some(FaultAction::ApplyThenAnswer { status, body }) => Some(match body {
            Some(body) => Err(Refusal::verbatim(*status, body).into()),
            None => Ok(Reply::raw(*status, Vec::new())),
        }),
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

/// Whether an endpoint never looks at more than a page of records: handing the
/// thread over would cost more than the call.
fn is_brief(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::List | Endpoint::Read | Endpoint::Create | Endpoint::Update)
}

fn refused(status: u16, body: Option<&serde_json::Value>, retry_after: Option<u64>) -> Refused {
    let mut refusal = match body {
        Some(body) => Refusal::verbatim(status, body),
        None => Refusal::usual(status),
    };
    if let Some(seconds) = retry_after {
        refusal.headers.retain(|(name, _)| *name != "Retry-After");
        refusal.headers.push(("Retry-After", seconds.to_string()));
    }
    refusal.into()
}

/// Puts the answer and the usual headers together.
pub(crate) fn finish(
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

fn label(route: Route) -> &'static str {
    match route {
        Route::To(endpoint) => endpoint.label(),
        Route::WrongMethod => "wrong_method",
        Route::Nowhere => "nowhere",
    }
}
