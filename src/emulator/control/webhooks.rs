//! Webhooks by hand: as the settings page of a private app would, and as a
//! test needs. From outside, under `/_emulator/webhooks`:
//!
//! | Call | Does |
//! | --- | --- |
//! | `GET` | apps, rules, whether paused, how many events wait |
//! | `POST {"target_url", "app_id"?, "client_secret"?, "max_concurrent_requests"?, "subscriptions"?}` | lets an app hear of changes; of everything without `subscriptions` (`[{"event_type", "property_name"?, "object_type_id"?, "active"?}]`) |
//! | `DELETE` | forgets all apps |
//! | `GET`, `POST …/rules` | [`WebhookRules`]; fields left out are at their default |
//! | `POST …/fire {"events", "app_id"?}` | sends a list as it is |
//! | `POST …/pause`, `POST …/resume` | holds events back, lets them go |
//! | `POST …/flush` | sends what is due and waits; `{"quiet"}` |
//! | `GET`, `DELETE …/pending` | the events that wait; forgets them |
//! | `DELETE …/retries` | forgets those that failed before |
//! | `GET …/deliveries?since=N`, `DELETE` | the requests made; forgets them |

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Control, ControlError, parse};
use crate::emulator::call::Call;
use crate::emulator::shared::Shared;
use crate::emulator::webhooks::{
    App, EventType, MOST_SUBSCRIPTIONS, PendingWebhook, Settings, Subscription, WebhookApp,
    WebhookDelivery, WebhookRules, WebhookSubscription, is_type_id, target,
};

/// The one call that waits.
pub(super) const FLUSH: &str = "/_emulator/webhooks/flush";

impl Control {
    /// Lets an app hear of changes from now on, in place of what it was told
    /// before; events that wait for it stay.
    pub fn set_webhook_app(&self, app: &WebhookApp) -> Result<(), ControlError> {
        set_app(&self.shared, app)
    }

    /// Forgets an app and all that waits for it; false if it is not known.
    pub fn remove_webhook_app(&self, app_id: u64) -> bool {
        self.shared.hooks.change(|state| state.apps.remove(&app_id).is_some())
    }

    /// Sends a list of events to an app as it is, in one request, whatever it
    /// holds. Those that do not arrive are tried again like all others.
    pub fn fire_webhooks(&self, app_id: u64, events: Vec<Value>) -> Result<(), ControlError> {
        fire(&self.shared, Some(app_id), events)
    }

    /// How webhooks are delivered.
    pub fn webhook_rules(&self) -> WebhookRules {
        self.shared.hooks.look(|state| state.rules.clone())
    }

    /// Changes how webhooks are delivered.
    pub fn set_webhook_rules(&self, rules: WebhookRules) {
        self.shared.hooks.change(|state| state.rules = rules);
    }

    /// Holds events back, or lets them go. Several changes made while they
    /// are held back share requests in the same way in every run.
    pub fn pause_webhooks(&self, paused: bool) {
        self.shared.hooks.change(|state| state.paused = paused);
    }

    /// Sends everything due at once, and waits until nothing is due and no
    /// request is in flight. Retries of a later time stay: advance the clock.
    /// False if webhooks are paused or the emulator has stopped.
    pub async fn flush_webhooks(&self) -> bool {
        self.shared.flush_hooks().await
    }

    /// The events that wait, first or again; not those in flight.
    pub fn pending_webhooks(&self) -> Vec<PendingWebhook> {
        self.shared.hooks.look(|state| state.pending())
    }

    /// The requests made after a number, oldest first; the last thousand are
    /// remembered.
    pub fn webhook_deliveries(&self, since: u64) -> Vec<WebhookDelivery> {
        self.shared.hooks.look(|state| state.deliveries(since))
    }

    /// Forgets the events that wait for another attempt, and returns how many
    /// there were.
    pub fn drop_webhook_retries(&self) -> usize {
        self.shared.hooks.change(|state| state.drop_waiting(false))
    }

    /// Forgets all events that wait, and returns how many there were.
    pub fn drop_pending_webhooks(&self) -> usize {
        self.shared.hooks.change(|state| state.drop_waiting(true))
    }
}

/// Answers a control call about webhooks; `path` is what follows the word.
pub(super) fn serve(shared: &Shared, call: &Call, path: &[&str]) -> Result<Value, ControlError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct FireRequest {
        #[serde(default)]
        app_id: Option<u64>,
        events: Vec<Value>,
    }
    let hooks = &shared.hooks;
    let done = json!({"ok": true});
    match (call.method.as_str(), path) {
        ("GET", []) => Ok(overview(shared)),
        ("POST", []) => set_app(shared, &parse(call)?).map(|()| done),
        ("DELETE", []) => {
            hooks.change(|state| state.apps.clear());
            Ok(done)
        }
        ("GET", ["rules"]) => Ok(hooks.look(|state| json!(state.rules))),
        ("POST", ["rules"]) => {
            let rules: WebhookRules = parse(call)?;
            hooks.change(|state| state.rules = rules);
            Ok(hooks.look(|state| json!(state.rules)))
        }
        ("POST", ["fire"]) => {
            let request: FireRequest = parse(call)?;
            fire(shared, request.app_id, request.events).map(|()| done)
        }
        ("POST", [change @ ("pause" | "resume")]) => {
            let paused = paused(call)?.unwrap_or(*change == "pause");
            hooks.change(|state| state.paused = paused);
            Ok(json!({"ok": true, "paused": paused}))
        }
        // By now it has been waited for.
        ("POST", ["flush"]) => {
            let now = shared.read().now();
            Ok(hooks.look(
                |state| json!({"quiet": !state.paused && !state.closed && state.is_quiet(now)}),
            ))
        }
        ("GET", ["pending"]) => Ok(hooks.look(|state| json!({"pending": state.pending()}))),
        ("DELETE", ["pending"]) => {
            Ok(json!({"dropped": hooks.change(|state| state.drop_waiting(true))}))
        }
        ("DELETE", ["retries"]) => {
            Ok(json!({"dropped": hooks.change(|state| state.drop_waiting(false))}))
        }
        ("GET", ["deliveries"]) => {
            let since = super::since(call)?;
            Ok(hooks.look(|state| json!({"deliveries": state.deliveries(since)})))
        }
        ("DELETE", ["deliveries"]) => {
            hooks.change(|state| state.forget_deliveries());
            Ok(done)
        }
        _ => Err(ControlError::Malformed(format!("{} {} is not known", call.method, call.path))),
    }
}

/// A body is not needed, but what it says holds.
fn paused(call: &Call) -> Result<Option<bool>, ControlError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request {
        paused: Option<bool>,
    }
    if call.body.is_empty() {
        return Ok(None);
    }
    parse::<Request>(call).map(|request| request.paused)
}

fn overview(shared: &Shared) -> Value {
    shared.hooks.look(|state| {
        let app = |(id, app): (&u64, &App)| {
            let subscriptions: Vec<Value> =
                app.subscriptions.values().map(Subscription::to_json).collect();
            json!({
                "app_id": id,
                "settings": app.settings.as_ref().map(Settings::to_json),
                "subscriptions": subscriptions,
            })
        };
        json!({
            "apps": state.apps.iter().map(app).collect::<Vec<Value>>(),
            "rules": state.rules,
            "paused": state.paused,
            "pending": state.pending().len(),
        })
    })
}

fn set_app(shared: &Shared, app: &WebhookApp) -> Result<(), ControlError> {
    let target = target(&app.target_url).map_err(ControlError::Refused)?;
    if app.subscriptions.len() > MOST_SUBSCRIPTIONS {
        return Err(ControlError::Refused(format!(
            "an app may have at most {MOST_SUBSCRIPTIONS} subscriptions"
        )));
    }
    if app.max_concurrent_requests == 0 {
        return Err(ControlError::Refused("an app must stand a request at a time".to_owned()));
    }
    let now = shared.read().now();
    let event_types: Result<Vec<EventType>, ControlError> =
        app.subscriptions.iter().map(event_type).collect();
    let wanted: Vec<_> = event_types?.into_iter().zip(&app.subscriptions).collect();
    shared.hooks.change(|state| {
        let subscriptions = wanted.into_iter().map(|(event_type, wanted)| {
            let subscription = Subscription {
                id: state.new_subscription_id(),
                event_type,
                property: wanted.property_name.clone(),
                object_type_id: wanted.object_type_id.clone(),
                active: wanted.active,
                created: now,
                updated: None,
            };
            (subscription.id, subscription)
        });
        let subscriptions = subscriptions.collect();
        let known = state.apps.entry(app.app_id).or_default();
        known.secret = app.client_secret.clone();
        known.subscriptions = subscriptions;
        known.before = None;
        known.settings = Some(Settings {
            target,
            concurrency: app.max_concurrent_requests,
            period: None,
            created: now,
            updated: now,
        });
    });
    Ok(())
}

fn event_type(wanted: &WebhookSubscription) -> Result<EventType, ControlError> {
    let name = &wanted.event_type;
    let event_type = EventType::parse(name).ok_or_else(|| {
        let all = EventType::all().join("`, `");
        ControlError::Refused(format!("`{name}` is not an event type: use one of `{all}`"))
    })?;
    let id = wanted.object_type_id.as_deref();
    if event_type.is_generic() != id.is_some_and(is_type_id) {
        let message = format!(
            "`{name}` with `{}` makes no sense: an object type's id, such as `0-1`, goes with \
             `object.*`",
            id.unwrap_or_default()
        );
        return Err(ControlError::Refused(message));
    }
    Ok(event_type)
}

fn fire(shared: &Shared, app_id: Option<u64>, events: Vec<Value>) -> Result<(), ControlError> {
    let given = shared.hooks.change(|state| {
        let told = |(id, app): (&u64, &App)| app.settings.is_some().then_some(*id);
        let app_id = app_id.or_else(|| state.apps.iter().find_map(told))?;
        state.give(app_id, events).then_some(())
    });
    given.ok_or_else(|| ControlError::Refused("no such app has a target URL".to_owned()))
}
