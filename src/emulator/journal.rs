//! What was asked and answered. Paths and statuses only: no body, no token.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// Calls kept; older ones live on in the counts.
const KEPT: usize = 10_000;
const WINDOW: i64 = 10_000;

/// One call that came in.
#[derive(Clone, Debug, Serialize)]
pub struct LoggedCall {
    /// Its number, from 1.
    pub seq: u64,
    /// When it came, in milliseconds since 1970 on the emulator's clock.
    pub at: i64,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// What the path stands for, `objects.batch_read`.
    pub endpoint: String,
    /// What was answered; 0 when the connection was dropped.
    pub status: u16,
}

/// The log and its sums.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallLog {
    /// The calls asked for, oldest first.
    pub calls: Vec<LoggedCall>,
    /// All calls since the start, by endpoint and status.
    pub counts: BTreeMap<String, BTreeMap<u16, u64>>,
    /// All calls since the start.
    pub total: u64,
    /// Answers with status 429.
    pub refused_for_rate: u64,
    /// The most calls, searches not counted, in any ten seconds.
    pub most_in_ten_seconds: u64,
}

/// Keeps the log.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    calls: VecDeque<LoggedCall>,
    sums: CallLog,
    window: VecDeque<i64>,
}

impl Journal {
    /// Notes a call.
    pub(crate) fn note(&mut self, mut call: LoggedCall) {
        self.sums.total += 1;
        self.sums.refused_for_rate += u64::from(call.status == 429);
        let statuses = self.sums.counts.entry(call.endpoint.clone()).or_default();
        *statuses.entry(call.status).or_default() += 1;
        // Neither searches nor what has to do with tokens counts as a burst.
        if call.endpoint != "objects.search" && !call.endpoint.starts_with("oauth.") {
            self.widen(call.at);
        }
        call.seq = self.sums.total;
        self.calls.push_back(call);
        if self.calls.len() > KEPT {
            self.calls.pop_front();
        }
    }

    /// The calls after a number, with the sums.
    pub(crate) fn since(&self, seq: u64) -> CallLog {
        let calls = self.calls.iter().filter(|call| call.seq > seq).cloned().collect();
        CallLog { calls, ..self.sums.clone() }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn widen(&mut self, at: i64) {
        while self.window.front().is_some_and(|first| *first <= at - WINDOW) {
            self.window.pop_front();
        }
        self.window.push_back(at);
        let within = self.window.len() as u64;
        self.sums.most_in_ten_seconds = self.sums.most_in_ten_seconds.max(within);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at: i64, endpoint: &str, status: u16) -> LoggedCall {
        let (method, path) = ("GET".to_owned(), "/".to_owned());
        LoggedCall { seq: 0, at, method, path, endpoint: endpoint.to_owned(), status }
    }

    #[test]
    fn sums_outlive_the_calls() {
        let mut journal = Journal::default();
        for at in 0..(KEPT as i64 + 5) {
            journal.note(call(at * 100, "objects.list", if at % 2 == 0 { 200 } else { 429 }));
        }
        journal.note(call(0, "objects.search", 200));
        let log = journal.since(KEPT as u64 + 4);
        assert_eq!(log.calls.len(), 2);
        assert_eq!(log.total, KEPT as u64 + 6);
        assert_eq!(log.most_in_ten_seconds, 100);
        assert_eq!(log.refused_for_rate, KEPT as u64 / 2 + 2);
        assert_eq!(log.counts["objects.search"][&200], 1);
    }
}
