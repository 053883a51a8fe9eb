//! Custom events: sending them, reading them back, defining them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Batch, type_of};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply, Text};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::events::{Definition, Event};
use crate::emulator::moment;

const MOST_SENT: usize = 500;
const MOST_PROPERTIES: usize = 50;
const LONGEST: usize = 256;
/// Of a URL and a referrer.
const LONGEST_ADDRESS: usize = 1_024;
const PAGE: u64 = 20;
const MOST_DEFINITIONS: usize = 500;

/// An event as it is sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    event_name: String,
    #[serde(default)]
    object_id: Option<Text>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    occurred_at: Option<Text>,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    properties: Map<String, Value>,
}

/// `POST /events/v3/send`: 204, matched or not.
pub(super) fn send(account: &mut Account, call: &Call) -> Answer {
    let sent: Sent = call.json()?;
    check(&sent)?;
    keep(account, sent);
    Ok(Reply::nothing())
}

/// `POST /events/v3/send/batch`: all or none.
pub(super) fn send_batch(account: &mut Account, call: &Call) -> Answer {
    let batch: Batch<Sent> = call.json()?;
    if batch.inputs.len() > MOST_SENT {
        let message = format!("At most {MOST_SENT} events can be sent at once");
        return Err(Refusal::invalid(message).into());
    }
    batch.inputs.iter().try_for_each(check)?;
    for sent in batch.inputs {
        keep(account, sent);
    }
    Ok(Reply::nothing())
}

/// What is too much for an event; the words are not published.
fn check(sent: &Sent) -> Result<(), Refused> {
    if sent.properties.len() > MOST_PROPERTIES {
        let message = format!("An event has at most {MOST_PROPERTIES} properties");
        return Err(Refusal::invalid(message).into());
    }
    for (name, value) in &sent.properties {
        let longest = match name.as_str() {
            "hs_url" | "hs_referrer" => LONGEST_ADDRESS,
            _ => LONGEST,
        };
        if value.as_str().is_some_and(|text| text.chars().count() > longest) {
            let message = format!("{name} is longer than {longest} characters");
            return Err(Refusal::invalid(message).context("propertyName", [name]).into());
        }
    }
    match &sent.occurred_at {
        Some(at) if moment::parse(&at.0).is_none() => {
            Err(Refusal::invalid(format!("{} is not a time", at.0)).into())
        }
        _ => Ok(()),
    }
}

/// Keeps an event of a record that there is; any other is lost without a word.
fn keep(account: &mut Account, sent: Sent) {
    let Some((of, record)) = record_of(account, &sent) else { return };
    let at = sent.occurred_at.and_then(|at| moment::parse(&at.0));
    let of = account.tables[of].object_type.plural.clone();
    let id = sent.uuid.unwrap_or_else(|| account.throw().number().to_string());
    let at = at.unwrap_or_else(|| account.now());
    let (name, properties) = (sent.event_name, sent.properties);
    account.events.add(Event { id, name, of, record, at, properties });
}

fn record_of(account: &Account, sent: &Sent) -> Option<(TypeAt, u64)> {
    let definition = account.events.definitions.get(&sent.event_name);
    let primary = definition.map_or("contacts", |definition| &definition.primary_object);
    let of = account.type_at(primary)?;
    if let Some(id) = &sent.object_id {
        return Some((of, account.live_id(of, &id.0)?));
    }
    let (slot, _) = account.tables[of].catalogue.find("email")?;
    let view = account.holder(of, slot, sent.email.as_deref()?)?;
    Some((of, view.id))
}

/// `GET /events/v3/events`: newest first; the cursor inside the JSON is
/// percent-encoded already (recorded).
pub(super) fn list(account: &Account, call: &Call) -> Answer {
    let of = match call.query("objectType") {
        Some(name) => Some(type_of(account, &name)?),
        None => None,
    };
    let of_name = of.map(|of| account.tables[of].object_type.plural.as_str());
    let record = call.query_number("objectId")?;
    let name = call.query("eventType");
    let after = time(call, "occurredAfter")?;
    let before = time(call, "occurredBefore")?;
    let ids: Vec<String> = call.query_list("id");
    let wanted = |event: &&Event| {
        of_name.is_none_or(|of| event.of == of)
            && record.is_none_or(|id| event.record == id)
            && name.as_ref().is_none_or(|name| event.name == *name)
            && after.is_none_or(|after| event.at >= after)
            && before.is_none_or(|before| event.at <= before)
            && (ids.is_empty() || ids.contains(&event.id))
    };
    let mut found: Vec<&Event> = account.events.all.iter().filter(wanted).collect();
    found.sort_by_key(|event| event.at);
    if call.query("sort").is_none_or(|sort| !sort.eq_ignore_ascii_case("occurredAt")) {
        found.reverse();
    }
    // How many are the most is not known.
    let limit = call.query_limit(PAGE, u64::MAX)? as usize;
    let from = match call.query("after") {
        Some(after) => cursor_place(&after)?,
        None => 0,
    };
    let shown = found.iter().skip(from).take(limit);
    let results: Vec<Value> = shown.map(|event| event_json(account, event)).collect();
    let mut body = json!({"results": results});
    if from.saturating_add(limit) < found.len() {
        let after = cursor(from + limit);
        let link = format!("https://api.hubapi.com/events/v3/events?after={after}");
        body["paging"] = json!({"next": {"after": after, "link": link}});
    }
    Ok(Reply::json(200, &body))
}

fn event_json(account: &Account, event: &Event) -> Value {
    let of = account.type_at(&event.of);
    event.to_json(&of.map_or_else(String::new, |of| account.tables[of].object_type.shouted()))
}

fn time(call: &Call, key: &str) -> Result<Option<i64>, Refused> {
    let Some(text) = call.query(key) else { return Ok(None) };
    let refusal = || Refusal::invalid(format!("Unable to parse value for query parameter: {key}"));
    Ok(Some(moment::parse(&text).ok_or_else(refusal)?))
}

fn cursor(place: usize) -> String {
    utf8_percent_encode(&format!("{place}=="), NON_ALPHANUMERIC).to_string()
}

fn cursor_place(after: &str) -> Result<usize, Refused> {
    let place = after.strip_suffix("==").and_then(|place| place.parse().ok());
    place.ok_or_else(|| Refusal::invalid(format!("Invalid paging cursor: {after}")).into())
}

/// `GET /events/v3/events/event-types`
pub(super) fn types(account: &Account) -> Answer {
    let sent = account.events.all.iter().map(|event| event.name.as_str());
    let defined = account.events.definitions.keys().map(String::as_str);
    let names: std::collections::BTreeSet<&str> = sent.chain(defined).collect();
    Ok(Reply::json(200, &json!({"eventTypes": names})))
}

/// `GET /events/v3/event-definitions`
pub(super) fn definitions(account: &Account) -> Answer {
    let all = account.events.definitions.iter();
    let results: Vec<Value> = all.map(|(full, definition)| definition.to_json(full)).collect();
    Ok(Reply::json(200, &json!({"total": results.len(), "results": results})))
}

/// `POST /events/v3/event-definitions`
pub(super) fn define(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        label: String,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        description: Option<String>,
        #[serde(default)]
        primary_object: Option<String>,
        #[serde(default)]
        property_definitions: Vec<Value>,
    }
    let request: Request = call.json()?;
    let name = request.name.unwrap_or_else(|| request.label.to_lowercase().replace(' ', "_"));
    let primary = request.primary_object.unwrap_or_else(|| "CONTACT".to_owned());
    let of = type_of(account, &primary)?;
    let full = format!("pe{}_{name}", account.portal_id);
    if account.events.definitions.contains_key(&full) {
        let message = format!("An event definition named '{name}' already exists.");
        return Err(Refusal::new(409, message).category("OBJECT_ALREADY_EXISTS").into());
    }
    if account.events.definitions.len() >= MOST_DEFINITIONS {
        let message = format!("An account has at most {MOST_DEFINITIONS} event definitions");
        return Err(Refusal::invalid(message).into());
    }
    if request.property_definitions.len() > MOST_PROPERTIES {
        let message = format!("An event has at most {MOST_PROPERTIES} properties");
        return Err(Refusal::invalid(message).into());
    }
    let definition = Definition {
        name,
        label: request.label,
        description: request.description,
        primary_object: account.tables[of].object_type.plural.clone(),
        properties: request.property_definitions,
        created: account.now(),
    };
    let body = definition.to_json(&full);
    account.events.definitions.insert(full, definition);
    Ok(Reply::json(201, &body))
}

/// `GET /events/v3/event-definitions/{eventName}`
pub(super) fn definition(account: &Account, call: &Call) -> Answer {
    let full = call.name(0);
    match account.events.definitions.get(full) {
        Some(definition) => Ok(Reply::json(200, &definition.to_json(full))),
        None => Err(undefined(full)),
    }
}

/// `DELETE /events/v3/event-definitions/{eventName}`
pub(super) fn undefine(account: &mut Account, call: &Call) -> Answer {
    let full = call.name(0);
    account.events.definitions.remove(full).ok_or_else(|| undefined(full))?;
    Ok(Reply::nothing())
}

fn undefined(name: &str) -> Refused {
    Refusal::missing(format!("Event definition {name} does not exist")).into()
}
