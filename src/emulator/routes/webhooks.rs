//! Webhook settings and subscriptions of an app.
//!
//! What is not described of their refusals is strict here; the words are the
//! emulator's own.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Batch;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::moment;
use crate::emulator::paths::{Edition, Endpoint};
use crate::emulator::shared::Shared;
use crate::emulator::webhooks::{
    Action, App, EventType, MOST_SUBSCRIPTIONS, Settings, Subscription, is_type_id, target,
};

/// Inputs of a batch, as everywhere.
const MOST_INPUTS: usize = 100;
/// An app must stand more requests at once than this.
const CONCURRENCY_ABOVE: u32 = 5;

impl Endpoint {
    /// Whether it is a developer's, and serves with a developer's key too.
    pub(crate) fn is_developers(self) -> bool {
        matches!(
            self,
            Self::WebhookSettings
                | Self::WebhookSettingsPut
                | Self::WebhookSettingsDelete
                | Self::WebhookSubscriptions
                | Self::WebhookSubscribe
                | Self::WebhookBatchUpdate
                | Self::WebhookSubscription
                | Self::WebhookUpdate
                | Self::WebhookUnsubscribe
        )
    }
}

/// `GET …/settings`
pub(super) fn settings(shared: &Shared, call: &Call) -> Answer {
    let id = app_id(call)?;
    let found = shared.hooks.look(|state| {
        let settings = state.apps.get(&id).and_then(|app| app.settings.as_ref());
        settings.map(Settings::to_json)
    });
    let missing = || Refusal::missing(format!("No webhook settings found for app {id}"));
    Ok(Reply::json(200, &found.ok_or_else(missing)?))
}

/// `PUT …/settings`
pub(super) fn configure(shared: &Shared, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Throttling {
        max_concurrent_requests: u32,
        #[serde(default)]
        period: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        throttling: Throttling,
        target_url: String,
    }
    let id = app_id(call)?;
    let Request { throttling, target_url } = call.json()?;
    let target = target(&target_url).map_err(Refusal::invalid)?;
    let concurrency = throttling.max_concurrent_requests;
    if concurrency <= CONCURRENCY_ABOVE {
        let message = format!(
            "maxConcurrentRequests must be greater than {CONCURRENCY_ABOVE}, was {concurrency}"
        );
        return Err(Refusal::invalid(message).into());
    }
    let known = |period: &str| matches!(period, "SECONDLY" | "ROLLING_MINUTE");
    if let Some(period) = throttling.period.as_deref().filter(|period| !known(period)) {
        return Err(Refusal::invalid(format!("Unknown throttling period: {period}")).into());
    }
    let now = shared.read().now();
    let body = shared.hooks.change(|state| {
        state.hold(id, now);
        let app = state.apps.entry(id).or_default();
        let created = app.settings.as_ref().map_or(now, |settings| settings.created);
        let settings =
            Settings { target, concurrency, period: throttling.period, created, updated: now };
        app.settings.insert(settings).to_json()
    });
    Ok(Reply::json(200, &body))
}

/// `DELETE …/settings`: nothing is sent until there are new ones.
pub(super) fn clear(shared: &Shared, call: &Call) -> Answer {
    let id = app_id(call)?;
    shared.hooks.change(|state| {
        if let Some(app) = state.apps.get_mut(&id) {
            app.settings = None;
            app.drop_waiting();
        }
    });
    Ok(Reply::nothing())
}

/// `GET …/subscriptions`
pub(super) fn list(shared: &Shared, call: &Call) -> Answer {
    let id = app_id(call)?;
    let results: Vec<Value> = shared.hooks.look(|state| {
        let all = state.apps.get(&id).into_iter().flat_map(|app| app.subscriptions.values());
        all.map(Subscription::to_json).collect()
    });
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `POST …/subscriptions`
pub(super) fn subscribe(shared: &Shared, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        event_type: String,
        #[serde(default)]
        property_name: Option<String>,
        #[serde(default)]
        object_type_id: Option<String>,
        #[serde(default)]
        active: Option<bool>,
    }
    let id = app_id(call)?;
    let request: Request = call.json()?;
    let event_type = event_type(&request.event_type, call.edition)?;
    let property = request.property_name.filter(|name| !name.is_empty());
    let object_type_id = request.object_type_id.filter(|id| !id.is_empty());
    check_property(event_type, property.as_deref())?;
    check_object_type(event_type, object_type_id.as_deref())?;
    let now = shared.read().now();
    let added = shared.hooks.change(|state| {
        state.hold(id, now);
        let subscription = Subscription {
            id: state.new_subscription_id(),
            event_type,
            property,
            object_type_id,
            // Not in force unless told so.
            active: request.active.unwrap_or(false),
            created: now,
            updated: None,
        };
        add(state.apps.entry(id).or_default(), subscription)
    });
    Ok(Reply::json(201, &added?))
}

/// `GET …/subscriptions/{id}`
pub(super) fn read(shared: &Shared, call: &Call) -> Answer {
    let (app, id) = (app_id(call)?, call.name(1));
    let found = shared.hooks.look(|state| {
        let found = state.apps.get(&app)?.subscriptions.get(&id.parse().ok()?)?;
        Some(found.to_json())
    });
    Ok(Reply::json(200, &found.ok_or_else(|| no_subscription(id))?))
}

/// `PATCH …/subscriptions/{id}`: only whether it is in force.
pub(super) fn update(shared: &Shared, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Request {
        #[serde(default)]
        active: Option<bool>,
    }
    let (app, id) = (app_id(call)?, call.name(1));
    let request: Request = call.json()?;
    let changed = id.parse().ok().and_then(|id| set_active(shared, app, id, request.active));
    Ok(Reply::json(200, &changed.ok_or_else(|| no_subscription(id))?))
}

/// `DELETE …/subscriptions/{id}`
pub(super) fn unsubscribe(shared: &Shared, call: &Call) -> Answer {
    let (app, id) = (app_id(call)?, call.name(1));
    let now = shared.read().now();
    let gone = shared.hooks.change(|state| {
        state.hold(app, now);
        state.apps.get_mut(&app)?.subscriptions.remove(&id.parse().ok()?)
    });
    gone.map(|_| Reply::nothing()).ok_or_else(|| no_subscription(id))
}

/// `POST …/subscriptions/batch/update`
pub(super) fn batch_update(shared: &Shared, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Input {
        id: u64,
        active: bool,
    }
    let app = app_id(call)?;
    let request: Batch<Input> = call.json()?;
    if request.inputs.len() > MOST_INPUTS {
        return Err(Refusal::invalid(format!(
            "The maximum number of inputs supported in a batch request is {MOST_INPUTS}. Please \
             reduce the number of items and try again"
        ))
        .into());
    }
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        match set_active(shared, app, input.id, Some(input.active)) {
            Some(changed) => results.push(changed),
            None => missing.push(input.id.to_string()),
        }
    }
    let now = moment::exact(shared.read().now());
    let mut body = json!({"status": "COMPLETE", "results": results});
    let status = if missing.is_empty() { 200 } else { 207 };
    if !missing.is_empty() {
        body["numErrors"] = json!(1);
        body["errors"] = json!([{
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": "Some subscriptions were not found.",
            "context": {"ids": missing},
            "links": {},
            "errors": [],
        }]);
    }
    body["startedAt"] = json!(now);
    body["completedAt"] = json!(now);
    Ok(Reply::json(status, &body))
}

/// `…/webhooks-journal/…`
pub(super) fn journal() -> Answer {
    let message = "The emulator does not imitate the webhooks journal: have events pushed instead, \
                   by a subscription under /webhooks/v3 or by POST /_emulator/webhooks";
    Err(Refusal::new(501, message).into())
}

fn app_id(call: &Call) -> Result<u64, Refused> {
    call.name(0).parse().map_err(|_| Refusal::not_found(call.json_wanted).into())
}

fn event_type(text: &str, edition: Edition) -> Result<EventType, Refused> {
    let found = EventType::parse(text);
    let found = found.filter(|found| edition != Edition::Legacy || !found.is_new());
    let unknown = || {
        let all = EventType::all().join(", ");
        Refusal::invalid(format!("Unknown event type: {text}. Must be one of: [{all}]"))
    };
    found.ok_or_else(|| unknown().into())
}

fn check_property(event_type: EventType, property: Option<&str>) -> Result<(), Refused> {
    let message = match (event_type.action == Action::PropertyChange, property) {
        (true, None) => "propertyName is required for propertyChange subscriptions",
        (false, Some(_)) => "propertyName is only allowed for propertyChange subscriptions",
        _ => return Ok(()),
    };
    Err(Refusal::invalid(message).context("eventType", [event_type.text()]).into())
}

fn check_object_type(event_type: EventType, id: Option<&str>) -> Result<(), Refused> {
    let message = match (event_type.is_generic(), id) {
        (true, None) => "objectTypeId is required for object subscriptions".to_owned(),
        // Whether others refuse it or overlook it is `unverified`.
        (false, Some(_)) => "objectTypeId is only allowed for object subscriptions".to_owned(),
        (true, Some(id)) if !is_type_id(id) => format!("Invalid objectTypeId: {id}"),
        _ => return Ok(()),
    };
    Err(Refusal::invalid(message).context("eventType", [event_type.text()]).into())
}

fn add(app: &mut App, subscription: Subscription) -> Result<Value, Refused> {
    if app.subscriptions.len() >= MOST_SUBSCRIPTIONS {
        let message = format!("An app may have at most {MOST_SUBSCRIPTIONS} subscriptions");
        return Err(Refusal::invalid(message).into());
    }
    if let Some(other) = app.subscriptions.values().find(|other| other.is_like(&subscription)) {
        let message = format!("The app is subscribed to this already: subscription {}", other.id);
        return Err(Refusal::invalid(message).into());
    }
    let body = subscription.to_json();
    app.subscriptions.insert(subscription.id, subscription);
    Ok(body)
}

fn set_active(shared: &Shared, app: u64, id: u64, active: Option<bool>) -> Option<Value> {
    let now = shared.read().now();
    shared.hooks.change(|state| {
        state.hold(app, now);
        let subscription = state.apps.get_mut(&app)?.subscriptions.get_mut(&id)?;
        if let Some(active) = active {
            subscription.active = active;
            subscription.updated = Some(now);
        }
        Some(subscription.to_json())
    })
}

fn no_subscription(id: &str) -> Refused {
    Refusal::missing(format!("No webhook subscription found with id {id}"))
        .context("id", [id])
        .into()
}
