//! How many calls are let through.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// The window of the burst limit.
const WINDOW: i64 = 10_000;
const SECOND: i64 = 1_000;

/// The numbers that can be changed while the emulator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Limits {
    /// Calls in any ten seconds, per token.
    pub per_ten_seconds: u32,
    /// Calls in any ten seconds, per app that was given tokens by OAuth.
    pub oauth_per_ten_seconds: u32,
    /// Searches in any second, per account.
    pub searches_per_second: u32,
    /// Calls from midnight to midnight, per account; those of OAuth apps are
    /// neither counted nor refused.
    pub daily: u64,
    /// Association batches in any ten seconds, per account, and then outside
    /// `per_ten_seconds`. HubSpot names both a budget of their own and an
    /// exemption (section 3); without a number they count as any other call.
    pub association_batches_per_ten_seconds: Option<u32>,
    /// Whether a 429 carries `Retry-After`, in seconds, which HubSpot does not
    /// promise.
    pub retry_after: bool,
}

/// What a call is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Search,
    AssociationBatch,
    Other,
}

/// Why a call is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    TenSecondly,
    Secondly,
    Daily,
}

/// A call that wants to be let through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// Under what it counts: a token, or an app.
    pub(crate) budget: &'a str,
    pub(crate) oauth: bool,
    pub(crate) class: Class,
}

/// What is left, as the headers tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) burst: u32,
    pub(crate) burst_limit: u32,
    /// Of the day and its limit; OAuth apps have none.
    pub(crate) daily: Option<(u64, u64)>,
}

/// Counts calls against the limits.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) limits: Limits,
    zone: Tz,
    bursts: HashMap<String, VecDeque<i64>>,
    searches: VecDeque<i64>,
    association_batches: VecDeque<i64>,
    day_ends: i64,
    used_today: u64,
}

impl Gate {
    /// A gate nobody has gone through.
    pub(crate) fn new(limits: Limits, zone: Tz) -> Self {
        Self {
            limits,
            zone,
            bursts: HashMap::new(),
            searches: VecDeque::new(),
            association_batches: VecDeque::new(),
            day_ends: i64::MIN,
            used_today: 0,
        }
    }

    /// Lets a call through and says what is left (nothing is told of
    /// searches), or which limit is reached. A refused call does not count.
    pub(crate) fn pass(&mut self, entry: Entry<'_>, now: i64) -> Result<Option<Left>, Exceeded> {
        self.turn_day(now);
        let limits = self.limits;
        if !entry.oauth && self.used_today >= limits.daily {
            return Err(Exceeded::Daily);
        }
        let burst_limit = self.burst_limit(entry.oauth);
        let burst = match (entry.class, limits.association_batches_per_ten_seconds) {
            (Class::Search, _) => {
                let limit = limits.searches_per_second as usize;
                enter(&mut self.searches, SECOND, limit, now).ok_or(Exceeded::Secondly)?;
                None
            }
            (Class::AssociationBatch, Some(limit)) => {
                let entered = enter(&mut self.association_batches, WINDOW, limit as usize, now);
                entered.ok_or(Exceeded::TenSecondly)?;
                None
            }
            _ => {
                let calls = match self.bursts.get_mut(entry.budget) {
                    Some(calls) => calls,
                    None => self.bursts.entry(entry.budget.to_owned()).or_default(),
                };
                let burst = enter(calls, WINDOW, burst_limit as usize, now);
                Some(burst.ok_or(Exceeded::TenSecondly)?)
            }
        };
        self.used_today += u64::from(!entry.oauth);
        let used = self.used_today;
        Ok(burst.map(|burst| Left {
            burst,
            burst_limit,
            daily: (!entry.oauth).then(|| (limits.daily - used, limits.daily)),
        }))
    }

    /// Milliseconds until a call that was refused would be let through, if
    /// nobody else comes before.
    pub(crate) fn wait(&mut self, entry: Entry<'_>, exceeded: Exceeded, now: i64) -> i64 {
        let (calls, window) = match (exceeded, entry.class) {
            (Exceeded::Daily, _) => return self.resets_at(now) - now,
            (Exceeded::Secondly, _) => (Some(&self.searches), SECOND),
            (_, Class::AssociationBatch)
                if self.limits.association_batches_per_ten_seconds.is_some() =>
            {
                (Some(&self.association_batches), WINDOW)
            }
            _ => (self.bursts.get(entry.budget), WINDOW),
        };
        calls.and_then(VecDeque::front).map_or(window, |first| first + window - now)
    }

    fn burst_limit(&self, oauth: bool) -> u32 {
        if oauth { self.limits.oauth_per_ten_seconds } else { self.limits.per_ten_seconds }
    }

    /// Calls since midnight.
    pub(crate) fn used_today(&mut self, now: i64) -> u64 {
        self.turn_day(now);
        self.used_today
    }

    /// The next midnight of the account's zone.
    pub(crate) fn resets_at(&mut self, now: i64) -> i64 {
        self.turn_day(now);
        self.day_ends
    }

    fn turn_day(&mut self, now: i64) {
        if now >= self.day_ends {
            self.used_today = 0;
            self.day_ends = next_midnight(now, self.zone);
        }
    }
}

/// Counts a call in a rolling window; none if the window is full. Returns how
/// many more would fit.
fn enter(calls: &mut VecDeque<i64>, window: i64, limit: usize, now: i64) -> Option<u32> {
    while calls.front().is_some_and(|at| *at <= now - window) {
        calls.pop_front();
    }
    if calls.len() >= limit {
        return None;
    }
    calls.push_back(now);
    Some((limit - calls.len()) as u32)
}

fn next_midnight(now: i64, zone: Tz) -> i64 {
    let today =
        DateTime::<Utc>::from_timestamp_millis(now).unwrap_or_default().with_timezone(&zone);
    let tomorrow = today.date_naive().succ_opt().unwrap_or(today.date_naive());
    // Where clocks are put forward at midnight, the day begins later.
    let midnight = (0..4).find_map(|hour| {
        let time = tomorrow.and_hms_opt(hour, 0, 0)?;
        zone.from_local_datetime(&time).earliest()
    });
    midnight.map_or(now + 86_400_000, |at| at.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let limits = Limits {
            per_ten_seconds: 3,
            oauth_per_ten_seconds: 1,
            searches_per_second: 2,
            daily: 10,
            association_batches_per_ten_seconds: None,
            retry_after: false,
        };
        Gate::new(limits, chrono_tz::Europe::Berlin)
    }

    fn entry(budget: &str, class: Class) -> Entry<'_> {
        Entry { budget, oauth: false, class }
    }

    #[test]
    fn the_window_rolls() {
        let mut gate = gate();
        let start = 1_790_000_000_000;
        for at in [0, 4_000, 9_000] {
            assert!(gate.pass(entry("a", Class::Other), start + at).is_ok());
        }
        assert_eq!(gate.pass(entry("a", Class::Other), start + 9_999), Err(Exceeded::TenSecondly));
        assert!(gate.pass(entry("b", Class::Other), start + 9_999).is_ok(), "per token");
        assert!(gate.pass(entry("a", Class::Other), start + 10_000).is_ok(), "the first has left");
        assert_eq!(gate.pass(entry("a", Class::Other), start + 10_001), Err(Exceeded::TenSecondly));
    }

    #[test]
    fn searches_have_their_own_second() {
        let mut gate = gate();
        let start = 1_790_000_000_000;
        assert!(gate.pass(entry("a", Class::Search), start).is_ok());
        assert!(gate.pass(entry("b", Class::Search), start + 1).is_ok());
        assert_eq!(gate.pass(entry("a", Class::Search), start + 999), Err(Exceeded::Secondly));
        assert!(gate.pass(entry("a", Class::Search), start + 1_000).is_ok());
        let left = gate.pass(entry("a", Class::Other), start + 1_000).ok().flatten();
        assert_eq!(left.map(|left| (left.burst, left.daily)), Some((2, Some((6, 10)))));
    }

    #[test]
    fn the_day_ends_at_the_accounts_midnight() {
        let mut gate = gate();
        // 2026-09-21T14:13:20Z, a summer day in Berlin.
        let now = 1_790_000_000_000;
        assert_eq!(gate.resets_at(now), 1_790_028_000_000);
        gate.limits.daily = 1;
        assert!(gate.pass(entry("a", Class::Other), now).is_ok());
        assert_eq!(gate.pass(entry("a", Class::Other), now + 60_000), Err(Exceeded::Daily));
        assert!(gate.pass(entry("a", Class::Other), 1_790_028_000_000).is_ok());
    }

    #[test]
    fn oauth_apps_have_a_limit_of_their_own_and_no_day() {
        let mut gate = gate();
        gate.limits.daily = 0;
        let app = Entry { oauth: true, ..entry("app", Class::Other) };
        let left = gate.pass(app, 0).ok().flatten();
        assert_eq!(left, Some(Left { burst: 0, burst_limit: 1, daily: None }));
        assert_eq!(gate.pass(app, 1), Err(Exceeded::TenSecondly));
        assert_eq!(gate.wait(app, Exceeded::TenSecondly, 1), 9_999);
        assert_eq!(gate.used_today(1), 0);
        assert_eq!(gate.pass(entry("a", Class::Other), 1), Err(Exceeded::Daily));
    }

    #[test]
    fn association_batches_may_have_a_budget_of_their_own() {
        let mut gate = gate();
        gate.limits.per_ten_seconds = 1;
        let batch = entry("a", Class::AssociationBatch);
        assert!(gate.pass(batch, 0).is_ok_and(|left| left.is_some()), "as any other call");
        assert_eq!(gate.pass(batch, 0), Err(Exceeded::TenSecondly));
        gate.limits.association_batches_per_ten_seconds = Some(1);
        assert_eq!(gate.pass(batch, 0), Ok(None));
        assert_eq!(gate.pass(entry("b", Class::AssociationBatch), 1), Err(Exceeded::TenSecondly));
        assert_eq!(gate.wait(batch, Exceeded::TenSecondly, 1), 9_999);
        assert_eq!(gate.used_today(1), 2);
    }
}
