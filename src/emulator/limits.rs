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
    /// Searches in any second, per account.
    pub searches_per_second: u32,
    /// Calls from midnight to midnight, per account.
    pub daily: u64,
}

/// What a call is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Search,
    Other,
}

/// Why a call is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    TenSecondly,
    Secondly,
    Daily,
}

/// What is left, as the headers tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) burst: u32,
    pub(crate) burst_limit: u32,
    pub(crate) daily: u64,
    pub(crate) daily_limit: u64,
}

/// Counts calls against the limits.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) limits: Limits,
    zone: Tz,
    bursts: HashMap<String, VecDeque<i64>>,
    searches: VecDeque<i64>,
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
            day_ends: i64::MIN,
            used_today: 0,
        }
    }

    /// Lets a call through and says what is left (nothing is told of
    /// searches), or which limit is reached. A refused call does not count.
    pub(crate) fn pass(
        &mut self,
        token: &str,
        class: Class,
        now: i64,
    ) -> Result<Option<Left>, Exceeded> {
        self.turn_day(now);
        let Limits { per_ten_seconds, searches_per_second, daily } = self.limits;
        if self.used_today >= daily {
            return Err(Exceeded::Daily);
        }
        let left = match class {
            Class::Search => {
                enter(&mut self.searches, SECOND, searches_per_second as usize, now)
                    .ok_or(Exceeded::Secondly)?;
                None
            }
            Class::Other => {
                let calls = self.bursts.entry(token.to_owned()).or_default();
                let burst = enter(calls, WINDOW, per_ten_seconds as usize, now);
                Some(burst.ok_or(Exceeded::TenSecondly)?)
            }
        };
        self.used_today += 1;
        let used = self.used_today;
        Ok(left.map(|burst| Left {
            burst,
            burst_limit: per_ten_seconds,
            daily: daily - used,
            daily_limit: daily,
        }))
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
        let limits = Limits { per_ten_seconds: 3, searches_per_second: 2, daily: 10 };
        Gate::new(limits, chrono_tz::Europe::Berlin)
    }

    #[test]
    fn the_window_rolls() {
        let mut gate = gate();
        let start = 1_790_000_000_000;
        for at in [0, 4_000, 9_000] {
            assert!(gate.pass("a", Class::Other, start + at).is_ok());
        }
        assert_eq!(gate.pass("a", Class::Other, start + 9_999), Err(Exceeded::TenSecondly));
        assert!(gate.pass("b", Class::Other, start + 9_999).is_ok(), "per token");
        assert!(gate.pass("a", Class::Other, start + 10_000).is_ok(), "the first has left");
        assert_eq!(gate.pass("a", Class::Other, start + 10_001), Err(Exceeded::TenSecondly));
    }

    #[test]
    fn searches_have_their_own_second() {
        let mut gate = gate();
        let start = 1_790_000_000_000;
        assert!(gate.pass("a", Class::Search, start).is_ok());
        assert!(gate.pass("b", Class::Search, start + 1).is_ok());
        assert_eq!(gate.pass("a", Class::Search, start + 999), Err(Exceeded::Secondly));
        assert!(gate.pass("a", Class::Search, start + 1_000).is_ok());
        let left = gate.pass("a", Class::Other, start + 1_000).ok().flatten();
        assert_eq!(left.map(|left| (left.burst, left.daily)), Some((2, 6)));
    }

    #[test]
    fn the_day_ends_at_the_accounts_midnight() {
        let mut gate = gate();
        // 2026-09-21T14:13:20Z, a summer day in Berlin.
        let now = 1_790_000_000_000;
        assert_eq!(gate.resets_at(now), 1_790_028_000_000);
        gate.limits.daily = 1;
        assert!(gate.pass("a", Class::Other, now).is_ok());
        assert_eq!(gate.pass("a", Class::Other, now + 60_000), Err(Exceeded::Daily));
        assert!(gate.pass("a", Class::Other, 1_790_028_000_000).is_ok());
    }
}
