//! Evidence: recorded exchanges of the real service, sent to an account that
//! is first brought to the state the answer shows.
//!
//! An exchange matches when status, keys and JSON types are the same; ids,
//! times and other values differ by nature. Each exchange has an account of
//! its own, so that no line depends on another.

mod exchange;
mod shape;
mod staging;

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use hyper::HeaderMap;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use self::exchange::Exchange;
use self::shape::{Shape, differences};
use super::EmulatorConfig;
use super::call::Reply;
use super::computed::Era;
use super::paths::Route;
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
    /// A line is not an exchange.
    #[error("`{}` line {line} is not a recorded exchange", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        source: serde_json::Error,
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
    /// The recorded status.
    pub recorded: u16,
    /// The status the emulator gave; 0 if it gave none.
    pub got: u16,
    /// How it came out.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// All replayed exchanges of a file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReplayReport {
    /// Exchanges that came out the same.
    pub same: usize,
    /// Exchanges that differ.
    pub different: usize,
    /// Exchanges of APIs that are not imitated.
    pub not_imitated: usize,
    /// Recordings that contradict themselves.
    pub contradictory: usize,
    /// Every exchange.
    pub exchanges: Vec<Replayed>,
}

/// Replays a file of exchanges, one JSON object a line: `request` {`method`,
/// `path`, `query`, `headers`?, `body`}, `response` {`status`, `headers`?,
/// `body`}.
pub async fn replay(path: &Path) -> Result<ReplayReport, ReplayError> {
    let read_error = |source| ReplayError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(read_error)?;
    let mut report = ReplayReport::default();
    for (at, line) in io::BufReader::new(file).lines().enumerate() {
        let line = line.map_err(read_error)?;
        if line.trim().is_empty() {
            continue;
        }
        let exchange: Exchange = serde_json::from_str(&line)
            .map_err(|source| ReplayError::Line { path: path.to_owned(), line: at + 1, source })?;
        report.add(one(at + 1, &exchange).await);
    }
    Ok(report)
}

impl ReplayReport {
    fn add(&mut self, replayed: Replayed) {
        match replayed.verdict {
            Verdict::Same => self.same += 1,
            Verdict::Different { .. } => self.different += 1,
            Verdict::NotImitated => self.not_imitated += 1,
            Verdict::Contradictory { .. } => self.contradictory += 1,
        }
        self.exchanges.push(replayed);
    }
}

async fn one(line: usize, exchange: &Exchange) -> Replayed {
    let mut replayed = Replayed {
        line,
        method: exchange.request.method.clone(),
        path: exchange.request.path.clone(),
        recorded: exchange.response.status,
        got: 0,
        verdict: Verdict::NotImitated,
    };
    let mut call = exchange.call();
    let route = super::paths::route(&mut call);
    if route == Route::Nowhere {
        return replayed;
    }
    let config = EmulatorConfig { index_lag: std::time::Duration::ZERO, ..empty() };
    let shared = Shared::new(&config, chrono_tz::UTC);
    shared.write().era = Era(exchange.year());
    if let Err(reason) = staging::prepare(&shared, route, &call, exchange) {
        replayed.verdict = Verdict::Contradictory { reason };
        return replayed;
    }
    let served = server::process(&shared, &headers(exchange), exchange.uri_length(), call).await;
    let Some(reply) = served.reply else { return replayed };
    replayed.got = reply.status;
    replayed.verdict = judge(exchange, &reply);
    replayed
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

fn headers(exchange: &Exchange) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let accept = exchange.header("accept").unwrap_or("*/*").to_owned();
    headers.extend(HeaderValue::from_str(&accept).ok().map(|value| (ACCEPT, value)));
    let token = staging::token(exchange).and_then(|token| HeaderValue::from_str(&token).ok());
    headers.extend(token.map(|value| (AUTHORIZATION, value)));
    headers
}

fn judge(exchange: &Exchange, reply: &Reply) -> Verdict {
    let mut found = Vec::new();
    if reply.status != exchange.response.status {
        let recorded = exchange.response.status;
        found.push(format!("the status is {}, recorded {recorded}", reply.status));
    }
    let recorded = exchange.recorded_body();
    let got = if reply.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&reply.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&reply.body).into_owned()))
    };
    found.extend(differences(&Shape::of(&recorded), &Shape::of(&got)));
    if found.is_empty() { Verdict::Same } else { Verdict::Different { differences: found } }
}
