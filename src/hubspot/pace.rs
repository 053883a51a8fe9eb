//! How fast calls may leave under one rolling limit.
//!
//! Two bounds hold together. A governor spaces calls so that its rate over the
//! window plus its burst never exceeds the limit. A ledger of recent calls
//! makes that exact on a network that delays: a call counts from the moment it
//! leaves until a full window after the latest it can have arrived, so whatever
//! the server still counts, we count too. Both bounds shrink while others use the same
//! limit.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::{Departure, Ledger};

/// The most calls that may leave back to back, and the share of the limit that
/// may: what the burst takes is lost to the rate.
const MOST_BURST: u32 = 5;
const BURST_SHARE: u32 = 40;
/// The share of the limit by which our count and the server's may differ before
/// it is put down to others.
const TOLERANCE: f64 = 0.04;
/// The weight of one answer in the mean difference: calls overtake each other
/// on the way, so a single one says little.
const WEIGHT: f64 = 0.2;
/// The share of the limit that is given up when a 429 comes unexplained.
const CONCESSION: f64 = 0.05;
/// Room that is left to others beyond what they were seen to use, as they are
/// no steadier than we are.
const ROOM: f64 = 0.1;
/// The share of the limit that is kept however busy others are.
const LEAST_SHARE: f64 = 0.1;
/// What others were seen to use is believed half as much after this long.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// The first wait after a 429 without `Retry-After`; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, asked for or not.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The gate that all calls under one limit pass, in the order they came.
pub(super) struct Pace {
    /// Held by whoever is next, so that waiters leave first come, first served.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Wakes whoever is next when the limit changed under its wait.
    changed: Notify,
}

/// What a reply's headers tell about the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) limit: u32,
    pub(super) remaining: Option<u32>,
    pub(super) window: Option<Duration>,
}

struct State {
    limit: u32,
    window: Duration,
    governor: Governor,
    /// The limit the governor was made for.
    paced_for: u32,
    ledger: Ledger,
    others: Others,
    pause: Pause,
}

/// What others were seen to use of the same limit.
struct Others {
    calls: f64,
    seen: Instant,
    /// The mean of what the server counts beyond our own calls.
    excess: f64,
}

/// The wait imposed by the last 429.
struct Pause {
    began: Instant,
    until: Instant,
    /// 429s in a row, those of one volley counted once.
    strikes: u32,
}

type Governor = RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>;

/// The runtime's clock, which tests can pause.
#[derive(Clone)]
struct RuntimeClock {
    start: Instant,
}

impl Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Pace {
    /// A gate for `limit` calls in any `window`.
    pub(super) fn new(limit: u32, window: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            limit,
            window,
            governor: governor(limit, window),
            paced_for: limit,
            ledger: Ledger::default(),
            others: Others { calls: 0.0, seen: now, excess: 0.0 },
            pause: Pause { began: now, until: now, strikes: 0 },
        };
        Self { turn: tokio::sync::Mutex::new(()), state: Mutex::new(state), changed: Notify::new() }
    }

    /// Waits until a call may leave. Dropping the future gives up the place.
    pub(super) async fn depart(&self) -> Departure {
        let _turn = self.turn.lock().await;
        loop {
            let wake = match self.state().try_depart(Instant::now()) {
                Ok(departure) => return departure,
                Err(wake) => wake,
            };
            tokio::select! {
                () = tokio::time::sleep_until(wake) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// The call was answered or given up: it arrived by now, if ever.
    pub(super) fn arrived(&self, departure: Departure) {
        let mut state = self.state();
        state.ledger.arrived(departure, Instant::now());
    }

    /// How much of the limit is taken: calls counted now, and the limit.
    pub(super) fn taken(&self) -> (usize, u32) {
        let state = self.state();
        (state.ledger.counted(Instant::now()).0, state.limit)
    }

    /// Takes over what the answer to a call says about the limit and what is
    /// left of it.
    pub(super) fn learn(&self, departure: Departure, told: Told) {
        if self.state().learn(departure, told, Instant::now()) {
            self.changed.notify_one();
        }
    }

    /// A call got through: the trouble that a 429 told of is over.
    pub(super) fn accepted(&self, departure: Departure) {
        let mut state = self.state();
        if departure.at >= state.pause.until {
            state.pause.strikes = 0;
        }
    }

    /// A call met a 429: everyone waits, not just that call.
    pub(super) fn refused(&self, departure: Departure, retry_after: Option<Duration>) {
        self.state().refused(departure, retry_after, Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a departure now, or tells when to ask again.
    fn try_depart(&mut self, now: Instant) -> Result<Departure, Instant> {
        if now < self.pause.until {
            return Err(self.pause.until);
        }
        let allowed = self.allowed(now);
        if let (counted, Some(until)) = self.ledger.counted(now)
            && counted >= allowed as usize
        {
            return Err(until);
        }
        self.repace(allowed);
        if let Err(early) = self.governor.check() {
            return Err(now + early.wait_time_from(self.governor.clock().now()));
        }
        Ok(self.ledger.depart(self.window, now))
    }

    /// Answers whether whoever waits should look again.
    fn learn(&mut self, departure: Departure, told: Told, now: Instant) -> bool {
        let window = told.window.unwrap_or(self.window);
        let changed = self.limit != told.limit || self.window != window;
        if changed {
            (self.limit, self.window) = (told.limit, window);
            self.pace_for(self.allowed(now));
        }
        if let Some(remaining) = told.remaining {
            let used = f64::from(told.limit.saturating_sub(remaining));
            let excess = used - self.ledger.expected(departure, window) as f64;
            self.others.notice(excess, f64::from(told.limit) * TOLERANCE, now);
        }
        changed
    }

    fn refused(&mut self, departure: Departure, retry_after: Option<Duration>, now: Instant) {
        let same_volley = self.pause.strikes > 0 && departure.at <= self.pause.began;
        if !same_volley {
            self.pause.strikes += 1;
            self.pause.began = now;
            let limit = f64::from(self.limit);
            let conceded = self.others.now(now) + (limit * CONCESSION).max(1.0);
            (self.others.calls, self.others.seen) = (conceded.min(limit), now);
        } else if retry_after.is_none() {
            return;
        }
        let pause = retry_after.unwrap_or_else(|| jittered(self.pause.strikes));
        self.pause.until = self.pause.until.max(now + pause.min(LONGEST_PAUSE));
    }

    /// What is ours of the limit, others' use taken off.
    fn allowed(&self, now: Instant) -> u32 {
        let limit = f64::from(self.limit);
        let ours = (limit - self.others.now(now) * (1.0 + ROOM)).max(limit * LEAST_SHARE);
        (ours as u32).max(1)
    }

    /// Makes the governor anew when it is off by more than it is worth; the
    /// ledger bounds the burst that a new one allows.
    fn repace(&mut self, allowed: u32) {
        let off = self.paced_for.abs_diff(allowed);
        if off > 0 && (off * 20 >= self.paced_for || allowed == self.limit) {
            self.pace_for(allowed);
        }
    }

    fn pace_for(&mut self, allowed: u32) {
        self.governor = governor(allowed, self.window);
        self.paced_for = allowed;
    }
}

impl Others {
    /// What an answer tells of them; less than before fades in its own time.
    fn notice(&mut self, excess: f64, tolerance: f64, now: Instant) {
        self.excess += (excess - self.excess) * WEIGHT;
        if self.excess > tolerance && self.excess > self.now(now) {
            (self.calls, self.seen) = (self.excess, now);
        }
    }

    fn now(&self, now: Instant) -> f64 {
        let half_lives = now.duration_since(self.seen).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let calls = self.calls * 0.5_f64.powf(half_lives);
        if calls < 0.5 { 0.0 } else { calls }
    }
}

/// A governor whose rate over the window plus its burst is the limit: 190 in
/// ten seconds becomes 18.6 a second with a burst of 4, 5 in one second
/// becomes 4 with a burst of 1.
fn governor(limit: u32, window: Duration) -> Governor {
    let burst = burst_of(limit);
    let period = window / limit.saturating_sub(burst).max(1);
    let quota = Quota::with_period(period.max(Duration::from_nanos(1)))
        .expect("a period above zero")
        .allow_burst(NonZeroU32::new(burst).expect("a burst of at least one"));
    RateLimiter::direct_with_clock(quota, RuntimeClock { start: Instant::now() })
}

fn burst_of(limit: u32) -> u32 {
    (limit / BURST_SHARE).clamp(1, MOST_BURST)
}

/// Anything up to 1, 2, 4 … s.
fn jittered(strikes: u32) -> Duration {
    let longest = FIRST_PAUSE * 2_u32.saturating_pow(strikes.saturating_sub(1).min(6));
    longest.min(LONGEST_PAUSE).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;
    use crate::hubspot::config::HubSpotConfig;
    use crate::hubspot::query::{ListQuery, SearchQuery};
    use crate::hubspot::scripted::{RollingServer, client};
    use crate::objects::ObjectType;

    const LIST: ListQuery = ListQuery { properties: vec![], limit: 100, archived: false };
    const SEARCH: SearchQuery =
        SearchQuery { filters: vec![], sort: None, properties: vec![], limit: 200 };

    /// Keeps 40 calls going until the runtime's clock has moved on by `span`.
    async fn keep_busy(server: &RollingServer, span: Duration, search: bool) {
        let client = client(&HubSpotConfig::default(), server.clone());
        let end = Instant::now() + span;
        let worker = || async {
            while Instant::now() < end {
                let result = match search {
                    true => client.search_page(&ObjectType::DEALS, &SEARCH).await,
                    false => client.list_page(&ObjectType::DEALS, &LIST, None).await,
                };
                result.expect("a page");
            }
        };
        join_all((0..40).map(|_| worker())).await;
    }

    /// The share of the limit that was served in the 100 s after a warm-up.
    async fn steady_share(server: &RollingServer) -> f64 {
        let client = client(&HubSpotConfig::default(), server.clone());
        let warm = Instant::now() + Duration::from_secs(20);
        let end = warm + Duration::from_secs(100);
        let served = AtomicUsize::new(0);
        let worker = || async {
            while Instant::now() < end {
                client.list_page(&ObjectType::DEALS, &LIST, None).await.expect("a page");
                if (warm..end).contains(&Instant::now()) {
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        join_all((0..60).map(|_| worker())).await;
        served.into_inner() as f64 / (server.limit as f64 * 10.0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_rolling_limit_is_used_to_95_percent_and_never_passed() {
        fastrand::seed(1);
        for limit in [100, 190, 250] {
            for road_ms in [0..=0, 100..=100, 20..=400, 500..=600, 1_000..=1_000] {
                let server = RollingServer::new(limit, road_ms.clone());
                let share = steady_share(&server).await;
                let refused = server.log.lock().expect("no panic").refused;
                assert_eq!(refused, 0, "limit {limit}, road {road_ms:?} ms");
                assert!(share >= 0.95, "limit {limit}, road {road_ms:?} ms: used {share:.4}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_limit_than_assumed_is_kept_from_the_first_answer_on() {
        let server = RollingServer::new(60, 10..=50);
        keep_busy(&server, Duration::from_secs(60), false).await;
        assert_eq!(server.log.lock().expect("no panic").refused, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn search_keeps_its_own_limit_whatever_the_road() {
        fastrand::seed(2);
        for road_ms in [0..=0, 100..=100, 20..=400] {
            let server = RollingServer::new(190, road_ms.clone());
            keep_busy(&server, Duration::from_secs(60), true).await;
            let log = server.log.lock().expect("no panic");
            assert_eq!(log.refused, 0, "road {road_ms:?} ms");
            assert!(log.served >= 60 * 3, "road {road_ms:?} ms: {} served", log.served);
            assert!(log.burst.is_empty(), "search spends nothing of the ten-second limit");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn others_who_use_the_limit_are_given_room() {
        fastrand::seed(3);
        let mut server = RollingServer::new(190, 10..=100);
        server.others = 80;
        keep_busy(&server, Duration::from_secs(100), false).await;
        let log = server.log.lock().expect("no panic");
        assert_eq!(log.refused, 0);
        assert!(log.served >= 110 * 8, "{} served", log.served);
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_leave_in_the_order_they_came_and_may_give_up() {
        let pace = Pace::new(100, Duration::from_secs(10));
        let left = Mutex::new(Vec::new());
        let waiter = |place: u32| {
            let (pace, left) = (&pace, &left);
            async move {
                pace.depart().await;
                left.lock().expect("no panic").push(place);
            }
        };
        let impatient = async {
            let waited =
                tokio::time::timeout(Duration::from_millis(50), join_all((0..9).map(waiter)));
            assert!(waited.await.is_err(), "the burst is two");
        };
        impatient.await;
        join_all((10..20).map(waiter)).await;
        let left = left.into_inner().expect("no panic");
        assert_eq!(left[..2], [0, 1]);
        assert_eq!(left[2..], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_volley_of_429s_is_one_strike() {
        let pace = Pace::new(190, Duration::from_secs(10));
        let volley = join_all((0..5).map(|_| pace.depart())).await;
        for departure in &volley {
            pace.refused(*departure, None);
        }
        assert_eq!(pace.state().pause.strikes, 1);
        let next = pace.depart().await;
        pace.refused(next, Some(Duration::from_secs(7)));
        let refused_at = Instant::now();
        assert_eq!(pace.state().pause.strikes, 2);
        let after = pace.depart().await;
        assert!(after.at >= refused_at + Duration::from_secs(7));
        pace.accepted(after);
        assert_eq!(pace.state().pause.strikes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_retry_after_is_cut() {
        let pace = Pace::new(190, Duration::from_secs(10));
        let departure = pace.depart().await;
        let before = Instant::now();
        pace.refused(departure, Some(Duration::MAX));
        pace.depart().await;
        assert_eq!(before.elapsed().as_secs(), LONGEST_PAUSE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_governor_lets_its_burst_go_and_no_more() {
        for limit in 1..=1_000 {
            let governor = governor(limit, Duration::from_secs(10));
            let mut left = 0;
            while governor.check().is_ok() {
                left += 1;
            }
            assert_eq!(left, burst_of(limit), "limit {limit}");
        }
    }
}
