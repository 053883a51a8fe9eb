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
/// see. The ledger counts it from its departure until one window after its
/// answer (or the longest delay): at every departure it therefore counts at
/// least what the server will count when that call arrives.
#[derive(Default)]
pub(super) struct Ledger {
    calls: VecDeque<Call>,
    departures: u64,
}

/// A call that was let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    number: u64,
    pub(super) at: Instant,
}

struct Call {
    departure: Departure,
    until: Instant,
}

impl Ledger {
    /// How many calls the server may count now; when the first of them will
    /// no longer be.
    pub(super) fn counted(&self, now: Instant) -> (usize, Option<Instant>) {
        let counted = || self.calls.iter().map(|call| call.until).filter(|until| *until > now);
        (counted().count(), counted().min())
    }

    /// Enters a call that leaves now.
    pub(super) fn depart(&mut self, window: Duration, now: Instant) -> Departure {
        // Kept for a second window, to compare our count with the server's.
        self.calls.retain(|call| call.until + window > now);
        self.departures += 1;
        let departure = Departure { number: self.departures, at: now };
        self.calls.push_back(Call { departure, until: now + MOST_DELAY + window });
        departure
    }

    /// The call was answered or given up: it arrived by now, if ever.
    pub(super) fn arrived(&mut self, departure: Departure, window: Duration, now: Instant) {
        let place = self.calls.binary_search_by_key(&departure.number, |c| c.departure.number);
        if let Ok(place) = place {
            let call = &mut self.calls[place];
            call.until = call.until.min(now + window);
        }
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

    #[test]
    fn a_call_counts_until_a_window_after_its_answer() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let departure = ledger.depart(WINDOW, start);
        ledger.arrived(departure, WINDOW, start + 200 * MS);
        assert_eq!(ledger.counted(start + 10_199 * MS).0, 1);
        assert_eq!(ledger.counted(start + 10_200 * MS), (0, None));
    }

    #[test]
    fn an_answer_that_is_long_in_coming_counts_as_slow_work() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let departure = ledger.depart(WINDOW, start);
        ledger.arrived(departure, WINDOW, start + 5_000 * MS);
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
