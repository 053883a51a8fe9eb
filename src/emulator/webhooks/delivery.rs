//! The courier: sends what is due, and takes note of the answers.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Hub;
use super::queue::{Next, Outcome, Parcel};
use super::rules::{WebhookRules, WebhookSignatures};
use super::signature::{sign_v1, sign_v3};
use crate::emulator::shared::Shared;

/// As recorded deliveries have it.
const AGENT: &str = "HubSpot Connect 2.0 (http://dev.hubspot.com/) (namespace: \
                     webhooks-nio-http-client) - WebhooksExecutorDaemon-executor";
/// As recorded, though an answer is due sooner.
const TIMEOUT: &str = "10000";

/// Delivers until told to stop; what is then in flight is dropped.
pub(crate) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut flights: JoinSet<(Parcel, Outcome)> = JoinSet::new();
    // Made when first needed: most emulators never call anybody.
    let mut client = None;
    loop {
        let (now, stopped) = clock(&shared);
        let (parcels, next) = shared.hooks.lock().take_due(now, Instant::now());
        let rules = shared.hooks.look(|state| state.rules.clone());
        for parcel in parcels {
            let client = client.get_or_insert_with(client_of_loopback).clone();
            let timestamp = timestamp(&rules, now);
            flights.spawn(send(client, parcel, rules.clone(), timestamp));
        }
        let nap = nap(next, now, stopped);
        tokio::select! {
            _ = stop.changed() => break,
            () = shared.hooks.work.notified() => {}
            Some(landed) = flights.join_next(), if !flights.is_empty() => match landed {
                Ok((parcel, outcome)) => {
                    let (now, _) = clock(&shared);
                    shared.hooks.lock().settle(parcel, outcome, now);
                    shared.hooks.progress.notify_waiters();
                }
                Err(error) => tracing::error!(%error, "A webhook was lost"),
            },
            () = sleep(nap.unwrap_or_default()), if nap.is_some() => {}
        }
    }
    flights.shutdown().await;
    shared.hooks.change(|state| state.closed = true);
}

fn clock(shared: &Shared) -> (i64, bool) {
    let account = shared.read();
    (account.now(), account.clock.is_stopped())
}

/// How long there is nothing to do: until a batch window closes, or a retry
/// is due on a clock that runs.
fn nap(next: Next, now: i64, stopped: bool) -> Option<Duration> {
    let window = next.window.map(|closes| closes.saturating_duration_since(Instant::now()));
    let until = |due: i64| Duration::from_millis(due.saturating_sub(now).max(1) as u64);
    let retry = next.retry.filter(|_| !stopped).map(until);
    window.into_iter().chain(retry).min()
}

fn timestamp(rules: &WebhookRules, now: i64) -> i64 {
    let machine = || {
        let age = SystemTime::now().duration_since(UNIX_EPOCH);
        // A machine set before 1970 has no meaningful time.
        age.map_or(0, |age| age.as_millis() as i64)
    };
    let base = if rules.timestamp_by_emulator_clock { now } else { machine() };
    base.saturating_add(rules.timestamp_skew_ms)
}

/// A client for receivers on this machine: no proxy, and whatever certificate
/// they made themselves.
fn client_of_loopback() -> Result<Client, String> {
    let here = [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .user_agent(AGENT)
        .resolve_to_addrs("localhost", &here)
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|error| error.to_string())
}

async fn send(
    client: Result<Client, String>,
    parcel: Parcel,
    rules: WebhookRules,
    timestamp: i64,
) -> (Parcel, Outcome) {
    let outcome = match client {
        Ok(client) => post(&client, &parcel, &rules, timestamp).await,
        Err(error) => Err(error),
    };
    (parcel, outcome)
}

async fn post(client: &Client, parcel: &Parcel, rules: &WebhookRules, timestamp: i64) -> Outcome {
    let (secret, body) = (parcel.secret.as_str(), parcel.body.as_bytes());
    let mut request = client
        .post(parcel.url.clone())
        .header("Content-Type", "application/json")
        .header("X-HubSpot-Timeout-Millis", TIMEOUT)
        .body(parcel.body.clone());
    if rules.signatures != WebhookSignatures::V3 {
        request = request
            .header("X-HubSpot-Signature", sign_v1(secret, body))
            .header("X-HubSpot-Signature-Version", "v1");
    }
    if rules.signatures != WebhookSignatures::V1 {
        let signature = sign_v3(secret, "POST", parcel.url.as_str(), body, timestamp);
        request = request
            .header("X-HubSpot-Request-Timestamp", timestamp.to_string())
            .header("X-HubSpot-Signature-v3", signature);
    }
    let patience = Duration::from_millis(rules.answer_within_ms);
    match timeout(patience, request.send()).await {
        Ok(Ok(response)) => Ok(response.status().as_u16()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("No answer within {} ms", rules.answer_within_ms)),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// One who waits hurries everybody, for as long as she waits.
struct Hurry<'a>(&'a Hub);

impl<'a> Hurry<'a> {
    fn up(hub: &'a Hub) -> Self {
        hub.change(|state| state.hurried += 1);
        Self(hub)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.hurried = state.hurried.saturating_sub(1));
    }
}

impl Shared {
    /// Sends everything due at once, and waits until nothing is; true if so,
    /// false if delivery is paused or has ended. Retries of a later time stay.
    pub(crate) async fn flush_hooks(&self) -> bool {
        let hurry = Hurry::up(&self.hooks);
        loop {
            let progress = self.hooks.progress.notified();
            tokio::pin!(progress);
            // From here on no progress is missed.
            progress.as_mut().enable();
            let now = self.read().now();
            if self.hooks.look(|state| state.is_quiet(now)) {
                break;
            }
            progress.await;
        }
        drop(hurry);
        self.hooks.look(|state| !state.paused && !state.closed)
    }
}
