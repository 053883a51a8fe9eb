//! What the account lets us ask, shared by all clones of a client: a pace for
//! the ten-second limit, one for search, and the day's remaining calls.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::account::{BudgetUse, CallCounts};
use super::api_error::ApiError;
use super::auth::Authorized;
use super::config::DailyReserve;
use super::ledger::Departure;
use super::pace::{Pace, Told};
use super::transport::{Failure, Lane, Reply, Request};

/// The window of the general limit, until a header tells otherwise.
const BURST_WINDOW: Duration = Duration::from_secs(10);
/// Searches per second and account; search answers carry no rate headers, so
/// this is never learned.
const SEARCH_LIMIT: u32 = 5;
const SEARCH_WINDOW: Duration = Duration::from_secs(1);
/// A stop is believed this long; then one call asks whether a new day began.
const STOP_BELIEVED: Duration = Duration::from_secs(15 * 60);
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Spends the budget on every attempt and learns from every reply.
pub(super) struct Budgeted {
    budget: Budget,
    next: Authorized,
}

impl Budgeted {
    pub(super) fn new(budget: Budget, next: Authorized) -> Self {
        Self { budget, next }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) async fn send(&self, request: Request) -> Result<Reply, Failure> {
        let ticket = self.budget.admit(request.lane).await.map_err(Failure::Daily)?;
        let result = self.next.send(request).await;
        if let Ok(reply) = &result {
            self.budget.learn(&ticket, reply);
        }
        result
    }
}

/// The account's limits as far as they are known, and what was spent of them.
pub(super) struct Budget {
    burst: Pace,
    search: Pace,
    reserve: DailyReserve,
    day: Mutex<Day>,
    counts: Mutex<CallCounts>,
    waiting: Mutex<Waiting>,
}

/// The time in which at least one call waited for its turn.
#[derive(Default)]
struct Waiting {
    callers: usize,
    since: Option<Instant>,
    past: Duration,
}

/// A caller that waits; it no longer does when dropped.
struct Waiter<'a>(&'a Budget);

/// No call may leave today: only the reserve is left, or not even that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{remaining} calls are left today and {reserve} are kept for others")]
pub(super) struct DailyStop {
    pub(super) remaining: u64,
    pub(super) reserve: u64,
    pub(super) resets_at: Option<i64>,
}

/// An admitted call; it counts as under way until dropped.
struct Ticket<'a> {
    budget: &'a Budget,
    lane: Lane,
    departure: Departure,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.budget.pace(self.lane).arrived(self.departure);
        self.budget.day().under_way -= 1;
    }
}

/// The day's calls. An account without a daily limit (OAuth) never tells one.
struct Day {
    limit: Option<u64>,
    remaining: Option<u64>,
    told: Instant,
    under_way: u64,
    resets_at: Option<i64>,
    /// Of the account's time zone, whose midnight starts the day.
    utc_offset_ms: Option<i64>,
    /// The newest `Date` header.
    server_time: Option<i64>,
}

impl Budget {
    pub(super) fn new(burst_limit: u32, reserve: DailyReserve) -> Self {
        let day = Day {
            limit: None,
            remaining: None,
            told: Instant::now(),
            under_way: 0,
            resets_at: None,
            utc_offset_ms: None,
            server_time: None,
        };
        Self {
            burst: Pace::new(burst_limit, BURST_WINDOW),
            search: Pace::new(SEARCH_LIMIT, SEARCH_WINDOW),
            reserve,
            day: Mutex::new(day),
            counts: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// What was asked so far.
    pub(super) fn counts(&self) -> CallCounts {
        let counts = self.count().clone();
        let waited = self.waiting().total();
        let day = self.day();
        CallCounts { waited, daily_remaining: day.remaining, daily_limit: day.limit, ..counts }
    }

    /// How much of the general limit is in use.
    pub(super) fn usage(&self) -> BudgetUse {
        let (taken, limit) = self.burst.taken();
        let day = self.day();
        BudgetUse {
            taken: u32::try_from(taken).unwrap_or(u32::MAX).min(limit),
            limit,
            daily_remaining: day.remaining,
            daily_limit: day.limit,
        }
    }

    /// When the day's count starts again, as far as known.
    pub(super) fn resets_at(&self) -> Option<i64> {
        self.day().resets_at()
    }

    /// Takes over the account's time zone.
    pub(super) fn learn_offset(&self, utc_offset_ms: i64) {
        self.day().utc_offset_ms = Some(utc_offset_ms);
    }

    /// Takes over what the usage endpoint tells of the day.
    pub(super) fn learn_usage(&self, limit: u64, used: u64, resets_at: Option<i64>) {
        let mut day = self.day();
        day.resets_at = resets_at.or(day.resets_at);
        // The endpoint lags behind; headers, once seen, are better.
        if day.remaining.is_none() {
            day.tell(limit, limit.saturating_sub(used));
        }
    }

    async fn admit(&self, lane: Lane) -> Result<Ticket<'_>, DailyStop> {
        self.day().check(self.reserve)?;
        let waiter = Waiter::new(self);
        let departure = self.pace(lane).depart().await;
        drop(waiter);
        self.day().under_way += 1;
        let ticket = Ticket { budget: self, lane, departure };
        // The lock must be free again before a refused ticket is dropped.
        let spent = self.day().spend(self.reserve);
        spent?;
        self.count_attempt(lane);
        Ok(ticket)
    }

    fn learn(&self, ticket: &Ticket<'_>, reply: &Reply) {
        *self.count().by_status.entry(reply.status).or_default() += 1;
        if let (Lane::Burst, Some(told)) = (ticket.lane, told(reply)) {
            self.burst.learn(ticket.departure, told);
        }
        self.day().learn(reply);
        let pace = self.pace(ticket.lane);
        if reply.status != 429 {
            pace.accepted(ticket.departure);
        } else if ApiError::parse(429, &reply.body).is_daily_limit() {
            self.day().exhausted();
        } else {
            pace.refused(ticket.departure, reply.retry_after());
        }
    }

    fn count_attempt(&self, lane: Lane) {
        let mut counts = self.count();
        counts.total += 1;
        counts.search += u64::from(lane == Lane::Search);
    }

    fn pace(&self, lane: Lane) -> &Pace {
        match lane {
            Lane::Burst => &self.burst,
            Lane::Search => &self.search,
        }
    }

    fn day(&self) -> MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> MutexGuard<'_, CallCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Waiter<'a> {
    fn new(budget: &'a Budget) -> Self {
        let mut waiting = budget.waiting();
        waiting.callers += 1;
        waiting.since.get_or_insert_with(Instant::now);
        Self(budget)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.callers -= 1;
        if waiting.callers == 0 {
            waiting.past = waiting.total();
            waiting.since = None;
        }
    }
}

impl Waiting {
    fn total(&self) -> Duration {
        self.past + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Day {
    /// Whether a call may leave. A stop that has grown old lets one through,
    /// so that a server running past midnight finds out.
    fn check(&self, reserve: DailyReserve) -> Result<(), DailyStop> {
        let (Some(limit), Some(remaining)) = (self.limit, self.remaining) else { return Ok(()) };
        let reserve = reserve.calls(limit);
        if remaining > reserve || self.told.elapsed() >= STOP_BELIEVED {
            return Ok(());
        }
        Err(DailyStop { remaining, reserve, resets_at: self.resets_at() })
    }

    fn spend(&mut self, reserve: DailyReserve) -> Result<(), DailyStop> {
        self.check(reserve)?;
        if self.told.elapsed() >= STOP_BELIEVED {
            self.told = Instant::now();
        }
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(1));
        Ok(())
    }

    fn learn(&mut self, reply: &Reply) {
        self.server_time = self.server_time.max(reply.server_time());
        let number = |name| reply.header(name)?.parse().ok();
        let limit = number("x-hubspot-ratelimit-daily");
        let remaining = number("x-hubspot-ratelimit-daily-remaining");
        if let (Some(limit), Some(remaining)) = (limit, remaining) {
            // The calls still under way may not be in the server's count yet.
            self.tell(limit, remaining.saturating_sub(self.under_way.saturating_sub(1)));
        }
    }

    fn tell(&mut self, limit: u64, remaining: u64) {
        self.limit = Some(limit);
        self.remaining = Some(remaining);
        self.told = Instant::now();
    }

    /// A 429 of the day: nothing is left, whatever the limit is.
    fn exhausted(&mut self) {
        self.tell(self.limit.unwrap_or(0), 0);
    }

    fn resets_at(&self) -> Option<i64> {
        let now = self.server_time?;
        if let Some(told) = self.resets_at.filter(|at| *at > now) {
            return Some(told);
        }
        let offset = self.utc_offset_ms? * 1_000;
        let local = now + offset;
        Some(local - local.rem_euclid(MICROS_PER_DAY) + MICROS_PER_DAY - offset)
    }
}

/// The burst headers; absent on search and on 401.
fn told(reply: &Reply) -> Option<Told> {
    let number = |name| reply.header(name)?.parse::<u32>().ok();
    let limit = number("x-hubspot-ratelimit-max").filter(|limit| *limit > 0)?;
    let millis = number("x-hubspot-ratelimit-interval-milliseconds")
        .filter(|millis| (1_000..=60_000).contains(millis));
    Some(Told {
        limit,
        remaining: number("x-hubspot-ratelimit-remaining"),
        window: millis.map(|millis| Duration::from_millis(millis.into())),
    })
}

#[cfg(test)]
mod tests {
    use futures::future::join;

    use super::*;
    use crate::hubspot::client::Client;
    use crate::hubspot::config::HubSpotConfig;
    use crate::hubspot::error::ErrorKind;
    use crate::hubspot::query::{ListQuery, SearchQuery};
    use crate::hubspot::scripted::{PAGE, Step, answer, scripted};
    use crate::objects::ObjectType;

    const DATE: (&str, &str) = ("Date", "Mon, 08 Aug 2022 14:48:45 GMT");
    const MIDNIGHT_IN_NEW_YORK: i64 = 1_660_017_600_000_000;

    async fn read(client: &Client) -> Result<(), ErrorKind> {
        let query = ListQuery { properties: vec![], limit: 100, archived: false };
        let page = client.list_page(&ObjectType::CONTACTS, &query, None).await;
        page.map(drop).map_err(|error| error.kind())
    }

    /// An answer that tells how many calls of 1,000 are left today.
    fn page_with(remaining: &str) -> Step {
        let headers = [
            ("X-HubSpot-RateLimit-Daily", "1000"),
            ("X-HubSpot-RateLimit-Daily-Remaining", remaining),
            DATE,
        ];
        answer(200, PAGE, &headers)
    }

    #[tokio::test(start_paused = true)]
    async fn the_day_s_reserve_is_left_to_others() {
        let (client, script) = scripted((100..=102).rev().map(|left| page_with(&left.to_string())));
        for _ in 0..3 {
            read(&client).await.expect("a page");
        }
        let stopped = read(&client).await;
        assert_eq!(stopped, Err(ErrorKind::DailyLimit { resets_at: None }));
        assert_eq!(script.requests().len(), 3);
        let counts = client.counts();
        assert_eq!((counts.daily_remaining, counts.daily_limit), (Some(100), Some(1_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn searches_count_against_the_day_without_telling_so() {
        let (client, _) =
            scripted([page_with("102"), answer(200, PAGE, &[]), answer(200, PAGE, &[])]);
        read(&client).await.expect("a page");
        let search = SearchQuery { filters: vec![], sort: None, properties: vec![], limit: 1 };
        for _ in 0..2 {
            client.search_page(&ObjectType::CONTACTS, &search).await.expect("a page");
        }
        assert!(matches!(read(&client).await, Err(ErrorKind::DailyLimit { .. })));
        assert_eq!((client.counts().total, client.counts().search), (3, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_daily_429_stops_everything_until_midnight_and_is_asked_again() {
        let daily = r#"{"status":"error","message":"You have reached your daily limit.","errorType":"RATE_LIMIT","policyName":"DAILY"}"#;
        let details = r#"{"portalId":1,"timeZone":"US/Eastern","utcOffsetMilliseconds":-14400000}"#;
        let (client, script) =
            scripted([answer(200, details, &[DATE]), answer(429, daily, &[]), page_with("999")]);
        client.account().await.expect("details");
        let stopped = Err(ErrorKind::DailyLimit { resets_at: Some(MIDNIGHT_IN_NEW_YORK) });
        assert_eq!(read(&client).await, stopped);
        assert_eq!(read(&client).await, stopped, "without asking");
        assert_eq!(script.requests().len(), 2);
        tokio::time::sleep(STOP_BELIEVED).await;
        read(&client).await.expect("a new day");
    }

    #[tokio::test(start_paused = true)]
    async fn the_usage_endpoint_tells_of_the_day_before_any_header() {
        let usage = r#"{"results":[{"name":"private-apps-api-calls-daily","usageLimit":1000,"currentUsage":950,
            "fetchStatus":"SUCCESS","resetsAt":"2022-08-09T04:00:00Z"}]}"#;
        let (client, _) = scripted([answer(200, usage, &[DATE])]);
        let told = client.daily_usage().await.expect("an answer").expect("figures");
        assert_eq!((told.limit, told.used), (1_000, 950));
        let stopped = read(&client).await;
        assert_eq!(stopped, Err(ErrorKind::DailyLimit { resets_at: Some(MIDNIGHT_IN_NEW_YORK) }));
        let (client, _) = scripted([answer(403, "{}", &[])]);
        assert_eq!(client.daily_usage().await.expect("an answer"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_pauses_every_call_of_its_lane() {
        let limited = answer(429, "{}", &[("Retry-After", "3")]);
        let (client, script) = scripted([limited, answer(200, PAGE, &[]), answer(200, PAGE, &[])]);
        let start = Instant::now();
        let later = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            read(&client).await
        };
        let (first, second) = join(read(&client), later).await;
        assert_eq!((first, second), (Ok(()), Ok(())));
        let times: Vec<_> = script.times().iter().map(|at| (*at - start).as_secs()).collect();
        assert_eq!(times, [0, 3, 3]);
        assert_eq!(client.counts().by_status.get(&429), Some(&1));
        assert_eq!(client.counts().waited.as_secs(), 3, "time in which anyone waited");
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_call_is_not_under_way() {
        let (client, _) = scripted([Step::Hang, page_with("500")]);
        let abandoned = tokio::time::timeout(Duration::from_secs(1), read(&client)).await;
        assert!(abandoned.is_err());
        read(&client).await.expect("a page");
        assert_eq!(client.counts().daily_remaining, Some(500));
        assert_eq!(client.budget().day().under_way, 0);
    }

    #[test]
    fn a_header_is_read_whatever_its_case_and_nonsense_is_not() {
        let told_by = |headers: &[(&str, &str)]| match answer(200, PAGE, headers) {
            Step::Answer(reply) => told(&reply),
            _ => None,
        };
        let window = Some(Duration::from_secs(10));
        let good = [
            ("x-hubspot-ratelimit-max", "190"),
            ("X-HubSpot-RateLimit-Remaining", "189"),
            ("X-HUBSPOT-RATELIMIT-INTERVAL-MILLISECONDS", "10000"),
        ];
        assert_eq!(told_by(&good), Some(Told { limit: 190, remaining: Some(189), window }));
        let bare = [("x-hubspot-ratelimit-max", "100")];
        assert_eq!(told_by(&bare), Some(Told { limit: 100, remaining: None, window: None }));
        for nonsense in [[("x-hubspot-ratelimit-max", "0")], [("x-hubspot-ratelimit-max", "many")]]
        {
            assert_eq!(told_by(&nonsense), None);
        }
        assert_eq!(HubSpotConfig::default().assumed_burst_limit(), 100);
    }
}
