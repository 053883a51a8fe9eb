//! The calls that the server may still count against a rolling limit.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How late a call may arrive and still be accounted for. An answer that takes
/// longer is taken to be slow work rather than a slow road: at 500 ms a limit
/// of 190 still allows 190 / 10.5 s, over 95 %.
const MOST_DELAY: Duration = Duration::from_millis(500);

/// Recent departures in their order.
///
/// The server counts a call for one window from its arrival, which we do not
/// see. What matters is by how much one call can be longer on its way than
/// another, and that is at most by how much its answer took longer than the
/// quickest answer of late: a delay that all calls share moves the server's
/// window and leaves its length. The ledger therefore counts a call from its
/// departure for a window and that difference (or the longest delay), and so at
/// every departure at least what the server will count when that call arrives. A
/// quicker answer lengthens the difference of all calls that still count.
#[derive(Default)]
pub(super) struct Ledger {
    calls: VecDeque<Call>,
    departures: u64,
    quickest: Quickest,
}

/// The quickest answer among the last [`Self::BLOCK`] and more. Too few say
/// little about how quick one can be: until then it is taken to be none at all.
#[derive(Default)]
struct Quickest {
    /// Of the block before, which is complete.
    before: Duration,
    now: Option<Duration>,
    seen: usize,
}

impl Quickest {
    const BLOCK: usize = 50;

    fn known(&self) -> Duration {
        self.now.map_or(self.before, |now| now.min(self.before))
    }

    fn see(&mut self, took: Duration) {
        let now = self.now.map_or(took, |now| now.min(took));
        (self.now, self.seen) = (Some(now), self.seen + 1);
        if self.seen == Self::BLOCK {
            *self = Self { before: now, now: None, seen: 0 };
        }
    }
}

/// A call that was let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    number: u64,
    pub(super) at: Instant,
}

struct Call {
    departure: Departure,
    window: Duration,
    /// How long its answer took, once it is there.
    took: Option<Duration>,
}

impl Call {
    fn until(&self, quickest: Duration) -> Instant {
        let longer = self.took.map_or(MOST_DELAY, |took| took.saturating_sub(quickest));
        self.departure.at + self.window + longer.min(MOST_DELAY)
    }
}

impl Ledger {
    /// How many calls the server may count now; when the first of them will
    /// no longer be.
    pub(super) fn counted(&self, now: Instant) -> (usize, Option<Instant>) {
        let quickest = self.quickest.known();
        let ends = || self.calls.iter().map(|call| call.until(quickest));
        let counted = || ends().filter(|until| *until > now);
        (counted().count(), counted().min())
    }

    /// Enters a call that leaves now.
    pub(super) fn depart(&mut self, window: Duration, now: Instant) -> Departure {
        // Kept for a second window, to compare our count with the server's.
        self.calls.retain(|call| call.until(Duration::ZERO) + window > now);
        self.departures += 1;
        let departure = Departure { number: self.departures, at: now };
        self.calls.push_back(Call { departure, window, took: None });
        departure
    }

    /// The call was answered or given up: it arrived by now, if ever.
    pub(super) fn arrived(&mut self, departure: Departure, now: Instant) {
        let place = self.calls.binary_search_by_key(&departure.number, |c| c.departure.number);
        let Ok(place) = place else { return };
        let took = now.duration_since(departure.at);
        self.calls[place].took = Some(took);
        self.quickest.see(took);
    }

    /// What the server should have counted when this call arrived, had all
    /// calls been equally long under way and nobody else called.
    pub(super) fn expected(&self, departure: Departure, window: Duration) -> usize {
        let counted = |call: &&Call| {
            call.departure.number <= departure.number && call.departure.at + window > departure.at
        };
        self.calls.iter().filter(counted).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);
    const MS: Duration = Duration::from_millis(1);

    /// A ledger that has seen answers of 200 ms, long ago.
    fn seasoned(now: Instant) -> Ledger {
        let mut ledger = Ledger::default();
        for _ in 0..Quickest::BLOCK {
            let call = ledger.depart(WINDOW, now - 20_000 * MS);
            ledger.arrived(call, now - 19_800 * MS);
        }
        ledger
    }

    #[test]
    fn a_call_counts_until_a_window_after_its_answer_while_little_is_known() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let departure = ledger.depart(WINDOW, start);
        ledger.arrived(departure, start + 200 * MS);
        assert_eq!(ledger.counted(start + 10_199 * MS).0, 1);
        assert_eq!(ledger.counted(start + 10_200 * MS), (0, None));
    }

    #[test]
    fn a_call_counts_longer_by_what_its_answer_took_more_than_the_quickest() {
        let start = Instant::now() + 60_000 * MS;
        let mut ledger = seasoned(start);
        let (even, slow) = (ledger.depart(WINDOW, start), ledger.depart(WINDOW, start));
        ledger.arrived(even, start + 200 * MS);
        ledger.arrived(slow, start + 600 * MS);
        assert_eq!(ledger.counted(start + 9_999 * MS).0, 2);
        assert_eq!(ledger.counted(start + 10_000 * MS).0, 1);
        assert_eq!(ledger.counted(start + 10_399 * MS).0, 1);
        assert_eq!(ledger.counted(start + 10_400 * MS), (0, None));
    }

    #[test]
    fn a_quicker_answer_lengthens_what_still_counts() {
        let start = Instant::now() + 60_000 * MS;
        let mut ledger = seasoned(start);
        let (slow, quick) = (ledger.depart(WINDOW, start), ledger.depart(WINDOW, start));
        ledger.arrived(slow, start + 200 * MS);
        assert_eq!(ledger.counted(start + 9_999 * MS).0, 2);
        ledger.arrived(quick, start + 50 * MS);
        assert_eq!(ledger.counted(start + 10_149 * MS).0, 1);
        assert_eq!(ledger.counted(start + 10_150 * MS).0, 0);
    }

    #[test]
    fn an_answer_that_is_long_in_coming_counts_as_slow_work() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let departure = ledger.depart(WINDOW, start);
        ledger.arrived(departure, start + 5_000 * MS);
        assert_eq!(ledger.counted(start), (1, Some(start + 10_500 * MS)));
        assert_eq!(ledger.counted(start + 10_500 * MS).0, 0);
    }

    #[test]
    fn the_server_is_expected_to_count_what_left_before() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let first = ledger.depart(WINDOW, start);
        let second = ledger.depart(WINDOW, start + 9_000 * MS);
        let third = ledger.depart(WINDOW, start + 10_000 * MS);
        assert_eq!(ledger.expected(first, WINDOW), 1);
        assert_eq!(ledger.expected(second, WINDOW), 2);
        assert_eq!(ledger.expected(third, WINDOW), 2, "the first is out of its window");
    }
}
