//! The apps and the events that wait to be sent to them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::events::{Event, Happening};
use super::rules::WebhookRules;
use super::subscriptions::{Settings, Subscription};
use crate::emulator::seed::draw::{Draw, salt};

/// Events in one request.
const PARCEL: usize = 100;
/// Deliveries remembered.
const KEPT: usize = 1_000;
/// How far an event falls behind, and how far its double.
const REACH: u64 = 20;

const MINUTE: u64 = 60_000;
/// Pauses before the ten retries, in milliseconds; with jitter at most 24
/// hours together. How HubSpot spaces them is not published.
const PAUSES: [u64; 10] = [
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    60 * MINUTE,
    120 * MINUTE,
    180 * MINUTE,
    240 * MINUTE,
    300 * MINUTE,
    360 * MINUTE,
];
/// Jitter of a pause, in percent of it.
const JITTER: std::ops::RangeInclusive<u64> = 80..=109;

/// An app that hears of changes.
#[derive(Debug, Default)]
pub(crate) struct App {
    /// Its own secret, if it has one.
    pub(crate) secret: Option<String>,
    /// Where it is told; nothing is heard without.
    pub(crate) settings: Option<Settings>,
    pub(crate) subscriptions: BTreeMap<u64, Subscription>,
    /// What it hears of until a change comes into force.
    pub(crate) before: Option<Before>,
    /// By place in the queue, then by the order they came in.
    fresh: BTreeMap<(u64, u64), Waiting>,
    /// Since when there are fresh ones.
    since: Option<Instant>,
    /// By the time they are due, then by the order they came in.
    retries: BTreeMap<(i64, u64), Waiting>,
    /// Lists to be sent as they are.
    given: VecDeque<Vec<Waiting>>,
    flying: u32,
}

/// What an app heard of before a change.
#[derive(Debug)]
pub(crate) struct Before {
    until: i64,
    told: bool,
    subscriptions: BTreeMap<u64, Subscription>,
}

/// An event on its way.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    event: Event,
    attempt: u32,
}

/// A request to be made.
#[derive(Debug)]
pub(crate) struct Parcel {
    number: u64,
    app_id: u64,
    pub(crate) url: url::Url,
    pub(crate) secret: String,
    pub(crate) body: String,
    waiting: Vec<Waiting>,
}

/// What came of a request: the status, or why there was none.
pub(crate) type Outcome = Result<u16, String>;

/// When to look again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Next {
    /// When the batch window of fresh events closes.
    pub(crate) window: Option<Instant>,
    /// When the first retry is due, on the emulator's clock.
    pub(crate) retry: Option<i64>,
}

/// A request that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookDelivery {
    /// Its number, from 1, in the order in which answers came.
    pub number: u64,
    /// To which app.
    pub app_id: u64,
    /// When it was answered or given up, on the emulator's clock.
    pub at: i64,
    /// Events in it.
    pub events: usize,
    /// The highest number of an attempt in it, from 0.
    pub attempt: u32,
    /// What the receiver answered; none if it did not.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// When its events are tried again, on the emulator's clock; those split
    /// off may take longer.
    pub retry_at: Option<i64>,
    /// Events that will not be tried again.
    pub given_up: usize,
    /// The body as it was sent.
    pub body: String,
}

/// An event that has not arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingWebhook {
    /// To which app.
    pub app_id: u64,
    /// How often it was tried.
    pub attempt: u32,
    /// When it is tried again, on the emulator's clock; none if at once.
    pub due_at: Option<i64>,
    /// The event as it will be sent.
    pub event: Value,
}

/// All that is kept of webhooks.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) apps: BTreeMap<u64, App>,
    pub(crate) rules: WebhookRules,
    pub(crate) paused: bool,
    /// How many wait for everything due to be sent at once.
    pub(crate) hurried: u32,
    /// Nothing will be sent any more.
    pub(crate) closed: bool,
    seed: u64,
    secret: String,
    last_subscription: u64,
    last_event: u64,
    last_event_id: u64,
    last_waiting: u64,
    last_parcel: u64,
    last_delivery: u64,
    deliveries: VecDeque<WebhookDelivery>,
}

impl State {
    /// No apps and no events.
    pub(crate) fn new(seed: u64, secret: String, rules: WebhookRules) -> Self {
        Self {
            apps: BTreeMap::new(),
            rules,
            paused: false,
            hurried: 0,
            closed: false,
            seed,
            secret,
            last_subscription: 1_000_000,
            last_event: 0,
            last_event_id: 0,
            last_waiting: 0,
            last_parcel: 0,
            last_delivery: 0,
            deliveries: VecDeque::new(),
        }
    }

    /// Whether any event could be heard by anybody.
    pub(crate) fn is_listening(&self) -> bool {
        let hears = |app: &App| {
            let before = app.before.iter().flat_map(|before| before.subscriptions.values());
            let mut all = app.subscriptions.values().chain(before);
            app.settings.is_some() && all.any(|each| each.active)
        };
        self.apps.values().any(hears)
    }

    /// To be called before an app's settings or subscriptions are changed: for
    /// a while it hears of what it heard before.
    pub(crate) fn hold(&mut self, app_id: u64, now: i64) {
        let lag = self.rules.settings_lag_ms as i64;
        if lag == 0 {
            return;
        }
        let app = self.apps.entry(app_id).or_default();
        if app.before.as_ref().is_none_or(|before| before.until <= now) {
            let (told, subscriptions) = (app.settings.is_some(), app.subscriptions.clone());
            app.before = Some(Before { until: now.saturating_add(lag), told, subscriptions });
        }
    }

    /// A number no subscription has had.
    pub(crate) fn new_subscription_id(&mut self) -> u64 {
        self.last_subscription += 1;
        self.last_subscription
    }

    /// Queues the events of a happening; false if nobody hears it.
    pub(crate) fn tell(&mut self, happening: &Happening<'_>, now: Instant) -> bool {
        let (action, property) = (happening.action(), happening.property());
        let mut heard = false;
        // Apps are taken out while the counters beside them turn.
        let mut apps = std::mem::take(&mut self.apps);
        for (app_id, app) in apps.iter_mut().filter(|(_, app)| app.settings.is_some()) {
            let before = app.before.as_ref().filter(|before| happening.at < before.until);
            let hearing = before
                .map_or(&app.subscriptions, |before| &before.subscriptions)
                .values()
                .filter(|_| before.is_none_or(|before| before.told))
                .filter(|each| each.hears(happening.type_id, action, property));
            for subscription in hearing {
                heard = true;
                let chance = self.chance();
                let event_id = self.event_id(chance);
                let told = !chance.of_property(2).chance(self.rules.missing_source_percent.into());
                let event = Event::make(event_id, *app_id, subscription, happening, told);
                let late = chance.of_property(3).chance(self.rules.disorder_percent.into());
                let behind = if late { 2 + chance.of_property(4).below(REACH) } else { 0 };
                let twice = chance.of_property(5).chance(self.rules.duplicate_percent.into());
                if twice {
                    let place = self.last_event + 1 + chance.of_property(6).below(2 * REACH);
                    self.last_waiting += 1;
                    let double = Waiting { event: event.clone(), attempt: 0 };
                    app.fresh.insert((place, self.last_waiting), double);
                }
                self.last_waiting += 1;
                let place = (self.last_event + behind, self.last_waiting);
                app.fresh.insert(place, Waiting { event, attempt: 0 });
                app.since.get_or_insert(now);
            }
        }
        self.apps = apps;
        heard
    }

    /// Queues a list to be sent as it is; false if the app cannot be told.
    pub(crate) fn give(&mut self, app_id: u64, events: Vec<Value>) -> bool {
        let app = self.apps.get_mut(&app_id).filter(|app| app.settings.is_some());
        let Some(app) = app else { return false };
        let waiting = |event| Waiting { event: Event::Given(event), attempt: 0 };
        app.given.push_back(events.into_iter().map(waiting).collect());
        true
    }

    /// The requests to be made now, and when to look again.
    pub(crate) fn take_due(&mut self, now: i64, instant: Instant) -> (Vec<Parcel>, Next) {
        let (mut parcels, mut next) = (Vec::new(), Next::default());
        if self.paused {
            return (parcels, next);
        }
        let window = match self.hurried {
            0 => Duration::from_millis(self.rules.batch_window_ms),
            _ => Duration::ZERO,
        };
        for (app_id, app) in &mut self.apps {
            let Some(settings) = &app.settings else { continue };
            let (target, room) = (settings.target.clone(), settings.concurrency);
            while app.flying < room {
                let Some(waiting) = app.pack(now, instant, window) else { break };
                app.flying += 1;
                self.last_parcel += 1;
                parcels.push(Parcel {
                    number: self.last_parcel,
                    app_id: *app_id,
                    url: target.clone(),
                    secret: app.secret.as_ref().unwrap_or(&self.secret).clone(),
                    body: body(&waiting),
                    waiting,
                });
            }
            // A full house looks again when somebody leaves.
            if app.flying < room {
                next = next.or_sooner(app.since.map(|since| since + window), app.first_retry());
            }
        }
        (parcels, next)
    }

    /// Takes note of what came of a request: anything but 2xx is tried again.
    pub(crate) fn settle(&mut self, parcel: Parcel, outcome: Outcome, now: i64) {
        let Parcel { number, app_id, body, waiting, .. } = parcel;
        let arrived = matches!(outcome, Ok(200..=299));
        self.last_delivery += 1;
        let mut delivery = WebhookDelivery {
            number: self.last_delivery,
            app_id,
            at: now,
            events: waiting.len(),
            attempt: waiting.iter().map(|waiting| waiting.attempt).max().unwrap_or_default(),
            status: outcome.as_ref().ok().copied(),
            error: outcome.err(),
            retry_at: None,
            given_up: 0,
            body,
        };
        if let Some(app) = self.apps.get_mut(&app_id) {
            app.flying = app.flying.saturating_sub(1);
            if !arrived && app.settings.is_some() {
                let chance = Draw::of(self.seed, salt("webhook retry"), number);
                let last = &mut self.last_waiting;
                (delivery.retry_at, delivery.given_up) = app.retry(waiting, now, chance, last);
            }
        }
        self.deliveries.push_back(delivery);
        if self.deliveries.len() > KEPT {
            self.deliveries.pop_front();
        }
    }

    /// Whether nothing is in flight and nothing due, or nothing ever will be.
    pub(crate) fn is_quiet(&self, now: i64) -> bool {
        self.closed
            || self.paused
            || self.apps.values().all(|app| {
                let retry = app.first_retry().is_some_and(|due| due <= now);
                app.flying == 0 && app.fresh.is_empty() && app.given.is_empty() && !retry
            })
    }

    /// The requests made after a number.
    pub(crate) fn deliveries(&self, since: u64) -> Vec<WebhookDelivery> {
        self.deliveries.iter().filter(|each| each.number > since).cloned().collect()
    }

    /// The events that wait, those in flight left out.
    pub(crate) fn pending(&self) -> Vec<PendingWebhook> {
        let mut all = Vec::new();
        for (app_id, app) in &self.apps {
            let mut add = |due_at, waiting: &Waiting| {
                let Waiting { event, attempt } = waiting;
                let (app_id, attempt, event) = (*app_id, *attempt, event.to_json(*attempt));
                all.push(PendingWebhook { app_id, attempt, due_at, event });
            };
            app.given.iter().flatten().for_each(|waiting| add(None, waiting));
            app.fresh.values().for_each(|waiting| add(None, waiting));
            app.retries.iter().for_each(|((due, _), waiting)| add(Some(*due), waiting));
        }
        all
    }

    /// Forgets the events that wait for another attempt, and the others too
    /// if told so. Returns how many there were.
    pub(crate) fn drop_waiting(&mut self, fresh: bool) -> usize {
        let dropped = |app: &mut App| {
            let retries = std::mem::take(&mut app.retries).len();
            if fresh { retries + app.drop_fresh() } else { retries }
        };
        self.apps.values_mut().map(dropped).sum()
    }

    /// Forgets the requests that were made.
    pub(crate) fn forget_deliveries(&mut self) {
        self.deliveries.clear();
    }

    /// Chance for the next event.
    fn chance(&mut self) -> Draw {
        self.last_event += 1;
        Draw::of(self.seed, salt("webhook event"), self.last_event)
    }

    /// Now and then two events on two objects share an id.
    fn event_id(&mut self, chance: Draw) -> u64 {
        let shared = chance.chance(self.rules.shared_event_id_percent.into());
        if !shared || self.last_event_id == 0 {
            self.last_event_id = 1 + chance.of_property(1).below(4_000_000_000);
        }
        self.last_event_id
    }
}

impl App {
    /// Forgets what waits.
    pub(crate) fn drop_waiting(&mut self) {
        self.retries.clear();
        self.drop_fresh();
    }

    fn drop_fresh(&mut self) -> usize {
        self.since = None;
        let given: usize = std::mem::take(&mut self.given).iter().map(Vec::len).sum();
        given + std::mem::take(&mut self.fresh).len()
    }

    fn first_retry(&self) -> Option<i64> {
        self.retries.keys().next().map(|(due, _)| *due)
    }

    /// The events of the next request: retries that are due and fresh ones
    /// share it.
    fn pack(&mut self, now: i64, instant: Instant, window: Duration) -> Option<Vec<Waiting>> {
        if let Some(given) = self.given.pop_front() {
            return Some(given);
        }
        let closed = self.since.is_some_and(|since| since + window <= instant);
        let due = self.first_retry().is_some_and(|due| due <= now);
        if !closed && !due && self.fresh.len() < PARCEL {
            return None;
        }
        let mut packed = Vec::new();
        while packed.len() < PARCEL {
            let retry = self.retries.first_entry().filter(|entry| entry.key().0 <= now);
            let waiting = match retry {
                Some(retry) => retry.remove(),
                None => match self.fresh.pop_first() {
                    Some((_, fresh)) => fresh,
                    None => break,
                },
            };
            packed.push(waiting);
        }
        if self.fresh.is_empty() {
            self.since = None;
        }
        (!packed.is_empty()).then_some(packed)
    }

    /// Puts the events of a failed request back: some requests fall apart, so
    /// that the parts come back at different times. Returns when the first
    /// part is due, and how many events have been tried often enough.
    fn retry(
        &mut self,
        waiting: Vec<Waiting>,
        now: i64,
        chance: Draw,
        last: &mut u64,
    ) -> (Option<i64>, usize) {
        let split = chance.of_property(1).chance(30);
        let cut = if split { waiting.len() / 2 } else { waiting.len() };
        let (mut first, mut given_up) = (None, 0);
        for (at, Waiting { event, attempt }) in waiting.into_iter().enumerate() {
            let Some(pause) = PAUSES.get(attempt as usize) else {
                given_up += 1;
                continue;
            };
            let jitter = chance.of_property(2 + u64::from(at >= cut));
            let spread = JITTER.end() - JITTER.start() + 1;
            let pause = pause * (JITTER.start() + jitter.below(spread)) / 100;
            let due = now + pause as i64;
            first = Some(first.map_or(due, |first: i64| first.min(due)));
            *last += 1;
            self.retries.insert((due, *last), Waiting { event, attempt: attempt + 1 });
        }
        (first, given_up)
    }
}

impl Next {
    fn or_sooner(self, window: Option<Instant>, retry: Option<i64>) -> Self {
        Self {
            window: self.window.into_iter().chain(window).min(),
            retry: self.retry.into_iter().chain(retry).min(),
        }
    }
}

fn body(waiting: &[Waiting]) -> String {
    let mut body = String::with_capacity(waiting.len() * 300 + 2);
    body.push('[');
    for (turn, Waiting { event, attempt }) in waiting.iter().enumerate() {
        if turn > 0 {
            body.push(',');
        }
        event.push(*attempt, &mut body);
    }
    body.push(']');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_retries_fit_into_a_day() {
        let longest: u64 = PAUSES.iter().map(|pause| pause * JITTER.end() / 100).sum();
        assert!(longest <= 24 * 60 * MINUTE, "{longest}");
        assert!(PAUSES.is_sorted());
    }
}
