//! Stand-ins for the network: one that answers from a script, one that keeps
//! HubSpot's rolling limits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use tokio::time::Instant;

use super::client::Client;
use super::config::HubSpotConfig;
use super::transport::{Failure, Lane, Reply, Request, Transport};

/// The token of every test; it may turn up nowhere but in a header.
pub(super) const TOKEN: &str = "pat-test-s3cret";
pub(super) const PAGE: &str = r#"{"results":[]}"#;

/// A client whose requests go to `transport`.
pub(super) fn client(config: &HubSpotConfig, transport: impl Transport + 'static) -> Client {
    Client::layered(config, &SecretString::from(TOKEN), Box::new(transport))
        .expect("a token that headers can carry")
}

/// A client whose requests are answered by a script, and the script.
pub(super) fn scripted(steps: impl IntoIterator<Item = Step>) -> (Client, Arc<Script>) {
    let script =
        Arc::new(Script { steps: Mutex::new(steps.into_iter().collect()), seen: Mutex::default() });
    (client(&HubSpotConfig::default(), Scripted(script.clone())), script)
}

/// What the network does to one request.
pub(super) enum Step {
    Answer(Reply),
    Fail(Failure),
    /// Never answers.
    Hang,
}

/// The steps to come and the requests that came.
pub(super) struct Script {
    steps: Mutex<VecDeque<Step>>,
    seen: Mutex<Vec<(Instant, Request)>>,
}

pub(super) struct Scripted(Arc<Script>);

impl Script {
    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen.lock().expect("no panic").iter().map(|(_, request)| request.clone()).collect()
    }

    /// When each request came.
    pub(super) fn times(&self) -> Vec<Instant> {
        self.seen.lock().expect("no panic").iter().map(|(at, _)| *at).collect()
    }

    pub(super) fn body_of(&self, place: usize) -> serde_json::Value {
        let body = self.requests()[place].body.clone().expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }
}

impl Transport for Scripted {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        async move {
            self.0.seen.lock().expect("no panic").push((Instant::now(), request));
            let step = self.0.steps.lock().expect("no panic").pop_front();
            match step.expect("the script to foresee every request") {
                Step::Answer(reply) => Ok(reply),
                Step::Fail(failure) => Err(failure),
                Step::Hang => std::future::pending().await,
            }
        }
        .boxed()
    }
}

/// An answer with a body and `name: value` headers.
pub(super) fn answer(status: u16, body: &str, headers: &[(&str, &str)]) -> Step {
    Step::Answer(reply(status, body, headers))
}

pub(super) fn reply(status: u16, body: &str, headers: &[(&str, &str)]) -> Reply {
    let mut map = HeaderMap::new();
    if body.starts_with('{') {
        map.insert("content-type", HeaderValue::from_static("application/json;charset=utf-8"));
    }
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a header name");
        map.insert(name, value.parse().expect("a header value"));
    }
    Reply { status, headers: map, body: Bytes::copy_from_slice(body.as_bytes()) }
}

pub(super) fn lost() -> Step {
    Step::Fail(Failure::Lost("connection reset".into()))
}

pub(super) fn refused() -> Step {
    Step::Fail(Failure::Refused("connection refused".into()))
}

pub(super) fn timed_out() -> Step {
    Step::Fail(Failure::TimedOut("deadline".into()))
}

/// A server that keeps true rolling windows, at the end of a road that delays
/// each request and each answer by its own amount.
#[derive(Clone)]
pub(super) struct RollingServer {
    pub(super) limit: usize,
    /// Bounds of a request's way, in milliseconds.
    pub(super) road_ms: std::ops::RangeInclusive<u64>,
    /// What others use of the limit in any window.
    pub(super) others: usize,
    pub(super) log: Arc<Mutex<ServerLog>>,
}

#[derive(Default)]
pub(super) struct ServerLog {
    pub(super) burst: VecDeque<Instant>,
    pub(super) search: VecDeque<Instant>,
    pub(super) served: usize,
    pub(super) refused: usize,
}

impl RollingServer {
    pub(super) fn new(limit: usize, road_ms: std::ops::RangeInclusive<u64>) -> Self {
        Self { limit, road_ms, others: 0, log: Arc::default() }
    }

    async fn road(&self) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(self.road_ms.clone()))).await;
    }

    fn arrive(&self, lane: Lane) -> Reply {
        let mut log = self.log.lock().expect("no panic");
        let now = Instant::now();
        let (calls, limit, window, policy) = match lane {
            Lane::Burst => {
                let limit = self.limit - self.others;
                (&mut log.burst, limit, Duration::from_secs(10), "TEN_SECONDLY_ROLLING")
            }
            Lane::Search => (&mut log.search, 5, Duration::from_secs(1), "SECONDLY"),
        };
        while calls.front().is_some_and(|at| now.duration_since(*at) >= window) {
            calls.pop_front();
        }
        if calls.len() >= limit {
            log.refused += 1;
            let body = format!(r#"{{"status":"error","policyName":"{policy}"}}"#);
            return reply(429, &body, &[]);
        }
        calls.push_back(now);
        let remaining = (limit - calls.len()).to_string();
        log.served += 1;
        let max = self.limit.to_string();
        let headers = [
            ("X-HubSpot-RateLimit-Max", max.as_str()),
            ("X-HubSpot-RateLimit-Remaining", remaining.as_str()),
            ("X-HubSpot-RateLimit-Interval-Milliseconds", "10000"),
        ];
        let shown = if lane == Lane::Search { &[][..] } else { &headers[..] };
        reply(200, PAGE, shown)
    }
}

impl Transport for RollingServer {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        async move {
            self.road().await;
            let reply = self.arrive(request.lane);
            self.road().await;
            Ok(reply)
        }
        .boxed()
    }
}
