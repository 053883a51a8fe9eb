//! What was asked and answered. Paths and statuses only: no body, no token.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;

use super::seed::draw::salt;

/// Calls kept; older ones live on in the counts.
const KEPT: usize = 10_000;
/// Tokens told apart; a caller that makes up a token for every call must not
/// fill the memory.
const TOKENS: usize = 10_000;
const TEN_SECONDS: i64 = 10_000;
const SECOND: i64 = 1_000;
/// Searches have a limit of their own and do not count as calls.
const SEARCH: &str = "objects.search";

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
    pub endpoint: &'static str,
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
    /// The most searches in any second.
    pub most_searches_in_a_second: u64,
    /// The same by token. A token is shown by eight digits made from it, from
    /// which it cannot be had back.
    pub tokens: BTreeMap<String, TokenCalls>,
}

/// The calls made with one token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenCalls {
    /// All of them since the start.
    pub total: u64,
    /// The most, searches not counted, in any ten seconds.
    pub most_in_ten_seconds: u64,
}

/// Counts what falls into a rolling window.
#[derive(Debug, Default)]
struct Rolling {
    times: VecDeque<i64>,
    most: u64,
}

impl Rolling {
    fn note(&mut self, at: i64, window: i64) {
        while self.times.front().is_some_and(|first| *first <= at - window) {
            self.times.pop_front();
        }
        self.times.push_back(at);
        self.most = self.most.max(self.times.len() as u64);
    }
}

#[derive(Debug, Default)]
struct OfToken {
    total: u64,
    calls: Rolling,
}

/// Keeps the log.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    kept: VecDeque<LoggedCall>,
    total: u64,
    refused_for_rate: u64,
    /// Few: they are searched from the front.
    counts: Vec<(&'static str, u16, u64)>,
    calls: Rolling,
    searches: Rolling,
    tokens: HashMap<u64, OfToken>,
}

impl Journal {
    /// Notes a call and the token it came with.
    pub(crate) fn note(&mut self, mut call: LoggedCall, token: Option<&str>) {
        self.total += 1;
        self.refused_for_rate += u64::from(call.status == 429);
        self.count(call.endpoint, call.status);
        // Neither searches nor what has to do with tokens counts as a burst.
        let search = call.endpoint == SEARCH;
        let burst = !search && !call.endpoint.starts_with("oauth.");
        if search {
            self.searches.note(call.at, SECOND);
        } else if burst {
            self.calls.note(call.at, TEN_SECONDS);
        }
        let mark = token.map(salt);
        let known = mark.is_some_and(|mark| self.tokens.contains_key(&mark));
        if let Some(mark) = mark.filter(|_| known || self.tokens.len() < TOKENS) {
            let of_token = self.tokens.entry(mark).or_default();
            of_token.total += 1;
            if burst {
                of_token.calls.note(call.at, TEN_SECONDS);
            }
        }
        call.seq = self.total;
        self.kept.push_back(call);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// The calls after a number, with the sums.
    pub(crate) fn since(&self, seq: u64) -> CallLog {
        // Numbers have no gaps.
        let first = self.total - self.kept.len() as u64;
        let skipped = seq.saturating_sub(first).min(self.kept.len() as u64);
        let mut counts: BTreeMap<String, BTreeMap<u16, u64>> = BTreeMap::new();
        for (endpoint, status, count) in &self.counts {
            *counts.entry((*endpoint).to_owned()).or_default().entry(*status).or_default() += count;
        }
        let tokens = self.tokens.iter().map(|(mark, of_token)| {
            let calls =
                TokenCalls { total: of_token.total, most_in_ten_seconds: of_token.calls.most };
            (format!("{:08x}", mark >> 32), calls)
        });
        CallLog {
            calls: self.kept.iter().skip(skipped as usize).cloned().collect(),
            counts,
            total: self.total,
            refused_for_rate: self.refused_for_rate,
            most_in_ten_seconds: self.calls.most,
            most_searches_in_a_second: self.searches.most,
            tokens: tokens.collect(),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn count(&mut self, endpoint: &'static str, status: u16) {
        let same = |(other, code, _): &&mut (&'static str, u16, u64)| {
            *code == status && *other == endpoint
        };
        match self.counts.iter_mut().find(same) {
            Some((_, _, count)) => *count += 1,
            None => self.counts.push((endpoint, status, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at: i64, endpoint: &'static str, status: u16) -> LoggedCall {
        let (method, path) = ("GET".to_owned(), "/".to_owned());
        LoggedCall { seq: 0, at, method, path, endpoint, status }
    }

    #[test]
    fn sums_outlive_the_calls() {
        let mut journal = Journal::default();
        for at in 0..(KEPT as i64 + 5) {
            let status = if at % 2 == 0 { 200 } else { 429 };
            journal.note(call(at * 100, "objects.list", status), None);
        }
        journal.note(call(0, SEARCH, 200), None);
        let log = journal.since(KEPT as u64 + 4);
        assert_eq!(log.calls.len(), 2);
        assert_eq!(log.calls[0].seq, KEPT as u64 + 5);
        assert_eq!(log.total, KEPT as u64 + 6);
        assert_eq!(log.most_in_ten_seconds, 100);
        assert_eq!(log.refused_for_rate, KEPT as u64 / 2 + 2);
        assert_eq!(log.counts[SEARCH][&200], 1);
        assert_eq!(journal.since(0).calls.len(), KEPT);
        assert!(journal.since(u64::MAX).calls.is_empty());
    }

    #[test]
    fn tokens_and_searches_have_windows_of_their_own() {
        let mut journal = Journal::default();
        for at in [0, 9_999, 10_000, 10_001] {
            journal.note(call(at, "objects.list", 200), Some("first"));
        }
        journal.note(call(10_001, "objects.list", 200), Some("second"));
        for at in [20_000, 20_500, 20_999, 21_000] {
            journal.note(call(at, SEARCH, 200), Some("second"));
        }
        let log = journal.since(0);
        assert_eq!((log.most_in_ten_seconds, log.most_searches_in_a_second), (4, 3));
        let first = TokenCalls { total: 4, most_in_ten_seconds: 3 };
        let second = TokenCalls { total: 5, most_in_ten_seconds: 1 };
        assert!(log.tokens.values().any(|calls| *calls == first), "{:?}", log.tokens);
        assert!(log.tokens.values().any(|calls| *calls == second), "{:?}", log.tokens);
        assert!(log.tokens.keys().all(|mark| mark.len() == 8 && mark != "first"));
    }

    #[test]
    fn made_up_tokens_do_not_fill_the_memory() {
        let mut journal = Journal::default();
        for turn in 0..TOKENS + 10 {
            journal.note(call(0, "objects.list", 200), Some(&turn.to_string()));
        }
        journal.note(call(0, "objects.list", 200), Some("0"));
        assert_eq!(journal.tokens.len(), TOKENS);
        assert_eq!(journal.tokens[&salt("0")].total, 2);
    }
}
