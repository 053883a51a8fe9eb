//! Evidence: recorded exchanges of the real service, sent to an account that
//! is first brought to the state the answer shows.
//!
//! An exchange matches when status, keys and JSON types are the same; ids,
//! times and other values differ by nature. Each exchange has an account of
//! its own, so that no line depends on another.
//!
//! What an account calculates by itself when a record is written differs from
//! account to account. Where a recording shows more or less of it than the
//! emulator does by itself, the account is given such properties, and the
//! exchange says so: see [`Replayed::assumed`].

mod exchange;
mod shape;
mod staging;

use std::io;
use std::path::{Path, PathBuf};

use hyper::HeaderMap;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use self::exchange::Exchange;
use self::shape::{Shape, differences};
use self::staging::Assumptions;
use super::EmulatorConfig;
use super::call::{Call, Reply};
use super::clock::Clock;
use super::paths::{Endpoint, Route};
use super::server;
use super::shared::Shared;

/// Why a file of recordings cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("Cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// How one exchange came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Same status and shape.
    Same,
    /// Something differs.
    Different {
        /// What.
        differences: Vec<String>,
    },
    /// The path belongs to no API the emulator imitates.
    NotImitated,
    /// The recorded answer cannot belong to the recorded request.
    Contradictory {
        /// Why.
        reason: String,
    },
    /// The line is no recorded exchange.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// One replayed exchange.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// The line of the file, from 1.
    pub line: usize,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What the path leads to; empty if nowhere.
    pub endpoint: String,
    /// The recorded status.
    pub recorded: u16,
    /// The status the emulator gave; 0 if it gave none.
    pub got: u16,
    /// How it came out.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Properties that the account was taken to calculate by itself on every
    /// write, or, with a `-` before them, not to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
}

/// All replayed exchanges of a file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayReport {
    /// The file.
    pub file: PathBuf,
    /// Exchanges that came out the same.
    pub same: usize,
    /// How many of those rest on what the account was taken to calculate.
    pub assuming: usize,
    /// Exchanges that differ.
    pub different: usize,
    /// Exchanges of APIs that are not imitated.
    pub not_imitated: usize,
    /// Recordings that contradict themselves, or keep too little to be sent.
    pub contradictory: usize,
    /// Lines that are no exchange.
    pub unreadable: usize,
    /// Every exchange.
    pub exchanges: Vec<Replayed>,
}

/// How the exchanges of one endpoint came out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndpointTally {
    /// The endpoint, or the path where it leads nowhere.
    pub endpoint: String,
    /// As in [`ReplayReport::same`].
    pub same: usize,
    /// As in [`ReplayReport::different`].
    pub different: usize,
    /// As in [`ReplayReport::not_imitated`].
    pub not_imitated: usize,
    /// As in [`ReplayReport::contradictory`].
    pub contradictory: usize,
    /// As in [`ReplayReport::unreadable`].
    pub unreadable: usize,
}

/// Replays a file of exchanges, one JSON object a line: `request` {`method`,
/// `path`, `query`, `headers`?, `body`}, `response` {`status`, `headers`?,
/// `body`}. A line that is none is reported, and the others still run.
pub async fn replay(path: &Path) -> Result<ReplayReport, ReplayError> {
    let read_error = |source| ReplayError::Read { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(read_error)?;
    Ok(replay_text(path, &String::from_utf8_lossy(&bytes)).await)
}

/// Replays the exchanges of a text.
pub(super) async fn replay_text(file: &Path, text: &str) -> ReplayReport {
    let mut report = ReplayReport { file: file.to_owned(), ..ReplayReport::default() };
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        report.add(match Exchange::parse(line) {
            Ok(exchange) => one(at + 1, &exchange).await,
            Err(reason) => Replayed::unreadable(at + 1, reason),
        });
    }
    report
}

impl ReplayReport {
    /// Whether anything differs or cannot be read.
    pub fn is_different(&self) -> bool {
        self.different + self.unreadable > 0
    }

    /// Whether nothing was held against anything: no exchange came out the
    /// same or differently.
    pub fn is_empty(&self) -> bool {
        self.same + self.different == 0
    }

    /// Counts by endpoint, in the order of their names.
    pub fn by_endpoint(&self) -> Vec<EndpointTally> {
        let mut tallies: std::collections::BTreeMap<&str, EndpointTally> = Default::default();
        for exchange in &self.exchanges {
            let name = match exchange.endpoint.as_str() {
                "" if exchange.path.is_empty() => "no exchange",
                "" => api_of(&exchange.path),
                endpoint => endpoint,
            };
            let tally = tallies.entry(name).or_default();
            name.clone_into(&mut tally.endpoint);
            match exchange.verdict {
                Verdict::Same => tally.same += 1,
                Verdict::Different { .. } => tally.different += 1,
                Verdict::Unreadable { .. } => tally.unreadable += 1,
                Verdict::NotImitated => tally.not_imitated += 1,
                Verdict::Contradictory { .. } => tally.contradictory += 1,
            }
        }
        tallies.into_values().collect()
    }

    fn add(&mut self, replayed: Replayed) {
        match replayed.verdict {
            Verdict::Same => {
                self.same += 1;
                self.assuming += usize::from(!replayed.assumed.is_empty());
            }
            Verdict::Different { .. } => self.different += 1,
            Verdict::NotImitated => self.not_imitated += 1,
            Verdict::Contradictory { .. } => self.contradictory += 1,
            Verdict::Unreadable { .. } => self.unreadable += 1,
        }
        self.exchanges.push(replayed);
    }
}

/// The first two segments of a path: the API and its version.
fn api_of(path: &str) -> &str {
    let end = path.match_indices('/').nth(2).map_or(path.len(), |(at, _)| at);
    path.get(..end).unwrap_or(path)
}

impl Replayed {
    fn unreadable(line: usize, reason: String) -> Self {
        Self {
            line,
            method: String::new(),
            path: String::new(),
            endpoint: String::new(),
            recorded: 0,
            got: 0,
            verdict: Verdict::Unreadable { reason },
            assumed: Vec::new(),
        }
    }
}

async fn one(line: usize, exchange: &Exchange) -> Replayed {
    let mut replayed = Replayed {
        line,
        method: exchange.method.clone(),
        path: exchange.path.clone(),
        endpoint: String::new(),
        recorded: exchange.status,
        got: 0,
        verdict: Verdict::NotImitated,
        assumed: Vec::new(),
    };
    let mut call = exchange.call();
    let route = super::paths::route(&mut call);
    match route {
        Route::Nowhere => return replayed,
        Route::To(endpoint) => endpoint.label().clone_into(&mut replayed.endpoint),
        Route::WrongMethod => {}
    }
    if let Err(reason) = exchange.complete(route, &mut call) {
        replayed.verdict = Verdict::Contradictory { reason };
        return replayed;
    }
    let assumptions = Assumptions::default();
    let outcome = run(exchange, route, &call, &assumptions).await;
    let Ok((got, gaps)) = &outcome else {
        replayed.verdict = Verdict::Contradictory { reason: outcome.err().unwrap_or_default() };
        return replayed;
    };
    replayed.got = *got;
    replayed.verdict = verdict(gaps);
    if gaps.is_empty() || !writes_records(route) {
        return replayed;
    }
    let assumptions = assumptions_of(gaps);
    if let Ok((_, gaps)) = run(exchange, route, &call, &assumptions).await
        && gaps.is_empty()
    {
        replayed.verdict = Verdict::Same;
        let withheld = assumptions.withheld.iter().map(|name| format!("-{name}"));
        replayed.assumed = assumptions.calculated.iter().cloned().chain(withheld).collect();
    }
    replayed
}

/// Sends the request of an exchange to an account of its own: the status it
/// answers with, and what differs.
async fn run(
    exchange: &Exchange,
    route: Route,
    call: &Call,
    assumptions: &Assumptions,
) -> Result<(u16, Vec<String>), String> {
    let config = EmulatorConfig { index_lag: std::time::Duration::ZERO, ..empty() };
    let shared = Shared::new(&config, chrono_tz::UTC);
    {
        let mut account = shared.write();
        account.era = exchange.era();
        if let Some(moment) = exchange.moment() {
            account.clock = Clock::resumed(moment, None);
        }
    }
    staging::prepare(&shared, route, call, exchange, assumptions)?;
    let length = exchange.uri_length(&call.query);
    let served = server::process(&shared, &headers(exchange, call), length, call.clone()).await;
    let reply = served.reply.ok_or("the emulator gave no answer")?;
    Ok((reply.status, gaps(exchange, &reply)))
}

fn verdict(gaps: &[String]) -> Verdict {
    match gaps {
        [] => Verdict::Same,
        gaps => Verdict::Different { differences: gaps.to_vec() },
    }
}

fn writes_records(route: Route) -> bool {
    use Endpoint::{BatchCreate, BatchUpdate, BatchUpsert, Create, Update};
    matches!(route, Route::To(Create | Update | BatchCreate | BatchUpdate | BatchUpsert))
}

/// What an account must calculate, or must not, for the gaps to close.
/// Properties that every account has are none of that.
fn assumptions_of(gaps: &[String]) -> Assumptions {
    const EVERYWHERE: [&str; 8] = [
        "createdate",
        "hs_createdate",
        "lastmodifieddate",
        "hs_lastmodifieddate",
        "hs_object_id",
        "hs_object_source",
        "hs_object_source_id",
        "hs_object_source_label",
    ];
    let named = |ending: &str| {
        let names = gaps.iter().filter_map(|gap| {
            let path = gap.strip_suffix(ending)?;
            let name = path.strip_prefix(".results[].properties.");
            name.or_else(|| path.strip_prefix(".properties."))
        });
        let names = names.filter(|name| !EVERYWHERE.contains(name));
        names.map(str::to_owned).collect()
    };
    Assumptions { calculated: named(shape::MISSING), withheld: named(shape::UNRECORDED) }
}

fn empty() -> EmulatorConfig {
    EmulatorConfig {
        contacts: 0,
        companies: 0,
        deals: 0,
        tickets: 0,
        wrong_totals: false,
        search_body_limit: None,
        // Recorded lists of properties pass the default limit at times.
        url_limit: 20_000,
        ..EmulatorConfig::default()
    }
}

fn headers(exchange: &Exchange, call: &Call) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name, value: Option<String>| {
        headers.extend(
            value.and_then(|value| HeaderValue::from_str(&value).ok()).map(|value| (name, value)),
        );
    };
    put(ACCEPT, Some(exchange.header("accept").unwrap_or("*/*").to_owned()));
    put(AUTHORIZATION, staging::token(exchange));
    let kind =
        exchange.header("content-type").or((!call.body.is_empty()).then_some("application/json"));
    put(CONTENT_TYPE, kind.map(str::to_owned));
    headers
}

fn gaps(exchange: &Exchange, reply: &Reply) -> Vec<String> {
    let mut found = Vec::new();
    let recorded = exchange.status;
    let masked = exchange.is_proxied() && recorded == 200 && reply.status == 201;
    if reply.status != recorded && !masked {
        found.push(format!("the status is {}, recorded {recorded}", reply.status));
    }
    let got = if reply.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&reply.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&reply.body).into_owned()))
    };
    found.extend(differences(&Shape::of(&exchange.answer), &Shape::of(&got)));
    // The bodies of the gate vary: some name the request, some do not.
    if recorded == 429 && reply.status == 429 {
        let request_id = format!(".requestId{}", shape::UNRECORDED);
        found.retain(|gap| !gap.ends_with(&request_id));
    }
    found
}
