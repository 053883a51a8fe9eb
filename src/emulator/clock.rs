//! The emulator's clock: the machine's time plus what a test has added.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// As far ahead as a clock can be, in milliseconds: some six thousand years.
/// Every sum of times stays within what can be counted and written.
const FARTHEST: i64 = 200_000_000_000_000;

/// A length of time in milliseconds, no longer than a clock can be moved.
pub(crate) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(FARTHEST).min(FARTHEST)
}

/// A clock that a test can move forward or stop.
///
/// Modified dates, index lag, rate windows and the daily reset all read it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    ahead: i64,
    stopped_at: Option<i64>,
    /// The machine's time while a change is made, which has one moment.
    pinned: Option<i64>,
}

impl Clock {
    /// Milliseconds since 1970 on this clock.
    pub(crate) fn now(&self) -> i64 {
        self.stopped_at.or(self.pinned).unwrap_or_else(machine_time) + self.ahead
    }

    /// Keeps the clock from running while a change is made.
    pub(crate) fn pin(&mut self) {
        self.pinned = Some(machine_time());
    }

    /// Lets it run on.
    pub(crate) fn unpin(&mut self) {
        self.pinned = None;
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&mut self, millis: i64) {
        self.ahead = self.ahead.saturating_add(millis.max(0)).min(FARTHEST);
    }

    /// Stops the clock where it stands, or lets it run on from there.
    pub(crate) fn set_stopped(&mut self, stopped: bool) {
        match (stopped, self.stopped_at) {
            (true, None) => self.stopped_at = Some(self.pinned.unwrap_or_else(machine_time)),
            (false, Some(at)) => {
                self.ahead += at - machine_time();
                self.stopped_at = None;
            }
            _ => {}
        }
    }

    /// A clock that goes on from what another one told: as far ahead of the
    /// machine, or stopped at the same moment; never from before that moment,
    /// whatever this machine's time is.
    pub(crate) fn resumed(now: i64, ahead: Option<i64>) -> Self {
        match ahead {
            Some(ahead) => {
                let least = now.saturating_sub(machine_time());
                Self { ahead: ahead.max(least).min(FARTHEST), ..Self::default() }
            }
            None => Self { stopped_at: Some(now.min(FARTHEST)), ..Self::default() },
        }
    }

    /// How far it runs ahead of the machine, in milliseconds; none if it is
    /// stopped.
    pub(crate) fn ahead(&self) -> Option<i64> {
        self.stopped_at.is_none().then_some(self.ahead)
    }

    /// Whether it is stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }
}

fn machine_time() -> i64 {
    // A machine set before 1970 has no meaningful time: zero is as good.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_only_by_hand() {
        let mut clock = Clock::default();
        clock.set_stopped(true);
        let start = clock.now();
        clock.advance(2_500);
        assert_eq!(clock.now(), start + 2_500);
        clock.advance(-9);
        assert_eq!(clock.now(), start + 2_500);
        clock.advance(i64::MAX);
        clock.advance(i64::MAX);
        assert_eq!(clock.now(), start + FARTHEST);
        assert_eq!(millis(Duration::MAX), FARTHEST);
    }

    #[test]
    fn a_resumed_clock_goes_on_and_never_back() {
        assert_eq!(Clock::resumed(1_000, None).now(), 1_000);
        assert_eq!(Clock::resumed(1_000, Some(7)).ahead(), Some(7));
        let later = machine_time() + 3_600_000;
        assert!(Clock::resumed(later, Some(7)).now() >= later, "the machine is behind");
    }

    #[test]
    fn a_restarted_clock_does_not_jump() {
        let mut clock = Clock { stopped_at: Some(1_000), ..Clock::default() };
        clock.set_stopped(false);
        assert!((clock.now() - 1_000).abs() < 60_000);
    }
}
