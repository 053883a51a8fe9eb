//! The other side of the emulator: what a person or a test does to the
//! account. In-process through [`Control`], from outside as JSON under
//! `/_emulator`; neither counts against any limit.

mod credentials;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::account::Account;
use super::associations::TypeAt;
use super::call::{Call, Reply};
use super::clock;
use super::errors::Refusal;
use super::faults::{Fault, FaultState, HeldCall};
use super::journal::CallLog;
use super::latency::Latency;
use super::limits::Limits;
use super::moment;
use super::record::Source;
use super::shared::Shared;
use super::table::Found;
use super::webhooks::Hand;
use super::write;

mod edge;
mod seed;
mod webhooks;

pub use seed::Sowing;

/// Where control calls live.
pub(crate) const PREFIX: &str = "/_emulator";

/// Why a control call did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The object type is unknown.
    #[error("`{0}` is not an object type of the account")]
    UnknownType(String),
    /// There is no such live record.
    #[error("There is no live record `{id}` among `{object_type}`")]
    NoRecord {
        /// The object type as named by the caller.
        object_type: String,
        /// The id.
        id: u64,
    },
    /// A value would be refused by HubSpot too.
    #[error("The account refuses the values: {0}")]
    Refused(String),
    /// The request cannot be understood.
    #[error("The control call cannot be understood: {0}")]
    Malformed(String),
}

/// A handle on a running emulator; cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) shared: Arc<Shared>,
}

/// Property values by name.
pub type Values = BTreeMap<String, String>;

impl Control {
    /// Creates a record as a person would, and returns its id.
    pub fn create_record(&self, object_type: &str, values: &Values) -> Result<u64, ControlError> {
        create(&mut self.shared.write(), object_type, &as_map(values))
    }

    /// Changes a record as a person would: the modified date moves.
    pub fn edit_record(
        &self,
        object_type: &str,
        id: u64,
        values: &Values,
    ) -> Result<(), ControlError> {
        edit(&mut self.shared.write(), object_type, id, &as_map(values), true)
    }

    /// Changes a record as HubSpot does when it recalculates a property: even
    /// read-only ones, and the modified date stays.
    pub fn recalculate(
        &self,
        object_type: &str,
        id: u64,
        values: &Values,
    ) -> Result<(), ControlError> {
        edit(&mut self.shared.write(), object_type, id, &as_map(values), false)
    }

    /// Archives a record.
    pub fn archive_record(&self, object_type: &str, id: u64) -> Result<(), ControlError> {
        archive(&mut self.shared.write(), object_type, id)
    }

    /// Brings an archived record back.
    pub fn restore_record(&self, object_type: &str, id: u64) -> Result<(), ControlError> {
        restore(&mut self.shared.write(), object_type, id)
    }

    /// Merges two records and returns the id of the new one.
    pub fn merge_records(
        &self,
        object_type: &str,
        primary: u64,
        other: u64,
    ) -> Result<u64, ControlError> {
        merge(&mut self.shared.write(), object_type, primary, other)
    }

    /// All that is known of a record, whatever has become of it.
    pub fn record(&self, object_type: &str, id: u64) -> Result<Value, ControlError> {
        describe(&self.shared.read(), object_type, id)
    }

    /// Stamps many records, in the order of their ids, with one value and one
    /// millisecond, as a bulk edit does. Returns how many there were.
    pub fn bulk_edit(
        &self,
        object_type: &str,
        first: u64,
        values: &Values,
    ) -> Result<u64, ControlError> {
        bulk_edit(&mut self.shared.write(), object_type, first, &as_map(values))
    }

    /// Keeps the account as it is, to go back to.
    pub fn take_snapshot(&self) {
        self.shared.take_snapshot();
    }

    /// Puts the account back as it was when the snapshot was taken; the clock
    /// does not go back, and apps and tokens stay as they are.
    pub fn restore_snapshot(&self) -> Result<(), ControlError> {
        restored(&self.shared)
    }

    /// Milliseconds since 1970 on the emulator's clock.
    pub fn now(&self) -> i64 {
        self.shared.read().clock.now()
    }

    /// Moves the clock forward.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.write().clock.advance(clock::millis(by));
        self.shared.hooks.wake();
    }

    /// Stops the clock, or lets it run on.
    pub fn stop_clock(&self, stopped: bool) {
        self.shared.write().clock.set_stopped(stopped);
        self.shared.hooks.wake();
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.shared.gate().limits
    }

    /// Changes the limits.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.gate().limits = limits;
    }

    /// Changes how long answers take: a [`Duration`] for all, or a [`Latency`].
    pub fn set_latency(&self, latency: impl Into<Latency>) {
        self.shared.set_latency(latency.into());
    }

    /// Changes how long a change stays unseen by search.
    pub fn set_index_lag(&self, lag: Duration) {
        self.shared.write().index_lag = clock::millis(lag);
    }

    /// Orders a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// The faults in force.
    pub fn faults(&self) -> Vec<FaultState> {
        self.shared.faults.rules()
    }

    /// The calls being held.
    pub fn held(&self) -> Vec<HeldCall> {
        self.shared.faults.held()
    }

    /// Waits until at least one call is held.
    pub async fn wait_for_held(&self) -> Vec<HeldCall> {
        self.shared.faults.wait_for_held().await
    }

    /// Removes all faults and lets go of the calls they hold.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// The calls after a number, and the sums of all.
    pub fn log(&self, since: u64) -> CallLog {
        self.shared.journal().since(since)
    }

    /// Forgets all calls and their sums.
    pub fn clear_log(&self) {
        self.shared.journal().clear();
    }
}

/// Answers a control call.
pub(crate) async fn answer(shared: &Shared, call: &Call) -> Reply {
    if call.path == "/_emulator/faults" && call.query_flag("wait") {
        shared.faults.wait_for_held().await;
    }
    if (call.method.as_str(), call.path.as_str()) == ("POST", webhooks::FLUSH) {
        shared.flush_hooks().await;
    }
    match serve(shared, call) {
        Ok(body) => Reply::json(200, &body),
        Err(error) => {
            let status = match error {
                ControlError::NoRecord { .. } => 404,
                _ => 400,
            };
            let (body, _) = Refusal::new(status, error.to_string()).render(&call.correlation_id);
            Reply::raw(status, body)
        }
    }
}

fn serve(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    let path: Vec<&str> = call.path.trim_matches('/').split('/').skip(1).collect();
    let done = json!({"ok": true});
    match (call.method.as_str(), path.as_slice()) {
        ("GET", ["health"]) => Ok(health(shared)),
        ("GET", ["record" | "records", of, id]) => describe(&shared.read(), of, number(id)?),
        ("POST", ["records", of]) => {
            let id = create(&mut shared.write(), of, &edit_request(call)?.properties)?;
            Ok(json!({"id": id.to_string()}))
        }
        ("POST", ["records", of, id]) => {
            let request = edit_request(call)?;
            edit(&mut shared.write(), of, number(id)?, &request.properties, request.touch)?;
            Ok(done)
        }
        ("DELETE", ["records", of, id]) => {
            archive(&mut shared.write(), of, number(id)?).map(|()| done)
        }
        ("POST", ["restore", of, id]) => {
            restore(&mut shared.write(), of, number(id)?).map(|()| done)
        }
        ("POST", ["bulk-edit", of]) => {
            let request: BulkRequest = parse(call)?;
            let edited = bulk_edit(&mut shared.write(), of, request.first, &request.properties)?;
            Ok(json!({"edited": edited}))
        }
        ("POST", ["merge", of]) => {
            let request: MergeRequest = parse(call)?;
            let id = merge(&mut shared.write(), of, request.primary, request.other)?;
            Ok(json!({"id": id.to_string()}))
        }
        ("POST", ["snapshot"]) => {
            shared.take_snapshot();
            Ok(done)
        }
        ("POST", ["snapshot", "restore"]) => restored(shared).map(|()| done),
        (_, ["clock"]) => clock_call(shared, call),
        (_, ["limits"]) => limits(shared, call),
        (_, ["faults"]) => faults(shared, call),
        ("GET" | "POST", ["seed"]) => seed::seed(shared, call),
        (_, ["rules"]) => rules::rules(shared, call),
        (_, ["webhooks", rest @ ..]) => webhooks::serve(shared, call, rest),
        (_, ["credentials"]) => credentials::credentials(shared, call),
        ("GET", ["log"]) => {
            let since = call.query("since").and_then(|since| since.parse().ok()).unwrap_or(0);
            Ok(json!(shared.journal().since(since)))
        }
        ("DELETE", ["log"]) => {
            shared.journal().clear();
            Ok(done)
        }
        _ => edge::serve(shared, call, &path),
    }
}

fn restored(shared: &Shared) -> Result<(), ControlError> {
    let missing = || ControlError::Malformed("no snapshot has been taken".to_owned());
    shared.restore_snapshot().then_some(()).ok_or_else(missing)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditRequest {
    properties: Map<String, Value>,
    #[serde(default = "yes")]
    touch: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkRequest {
    first: u64,
    properties: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeRequest {
    primary: u64,
    other: u64,
}

fn edit_request(call: &Call) -> Result<EditRequest, ControlError> {
    parse(call)
}

fn parse<T: serde::de::DeserializeOwned>(call: &Call) -> Result<T, ControlError> {
    serde_json::from_slice(&call.body).map_err(|error| ControlError::Malformed(error.to_string()))
}

fn number(text: &str) -> Result<u64, ControlError> {
    text.parse().map_err(|_| ControlError::Malformed(format!("`{text}` is not an id")))
}

fn as_map(values: &Values) -> Map<String, Value> {
    values.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
}

fn health(shared: &Shared) -> Value {
    let account = shared.read();
    let changed: usize = account.tables.iter().map(|table| table.changed_count()).sum();
    json!({
        "status": "ok",
        "portal_id": account.portal_id,
        "now": moment::exact(account.clock.now()),
        "changed_records": changed,
        "latency_ms": shared.latency().median().as_millis() as u64,
        "index_lag_ms": account.index_lag,
    })
}

fn clock_call(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    #[derive(Deserialize)]
    #[serde(default, deny_unknown_fields)]
    #[derive(Default)]
    struct Request {
        advance_ms: i64,
        stopped: Option<bool>,
        index_lag_ms: Option<u64>,
        property_lag_ms: Option<u64>,
    }
    let mut account = shared.write();
    if call.method == "POST" {
        let request: Request = parse(call)?;
        if let Some(stopped) = request.stopped {
            account.clock.set_stopped(stopped);
        }
        if let Some(lag) = request.index_lag_ms {
            account.index_lag = clock::millis(Duration::from_millis(lag));
        }
        if let Some(lag) = request.property_lag_ms {
            account.property_lag = clock::millis(Duration::from_millis(lag));
        }
        account.clock.advance(request.advance_ms);
        shared.hooks.wake();
    }
    let now = account.clock.now();
    Ok(json!({
        "now": moment::exact(now),
        "now_ms": now,
        "stopped": account.clock.is_stopped(),
        "index_lag_ms": account.index_lag,
        "property_lag_ms": account.property_lag,
    }))
}

fn limits(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request {
        per_ten_seconds: Option<u32>,
        searches_per_second: Option<u32>,
        daily: Option<u64>,
        oauth_per_ten_seconds: Option<u32>,
        /// `null` takes their budget away again.
        #[serde(default, deserialize_with = "given")]
        association_batches_per_ten_seconds: Option<Option<u32>>,
        retry_after: Option<bool>,
        latency_ms: Option<u64>,
        latency: Option<Value>,
    }
    if call.method == "POST" {
        let request: Request = parse(call)?;
        let latency = request.latency.or(request.latency_ms.map(Value::from));
        if let Some(latency) = latency {
            let latency = Latency::from_json(&latency);
            shared
                .set_latency(latency.map_err(|error| ControlError::Malformed(error.to_string()))?);
        }
        let limits = &mut shared.gate().limits;
        limits.per_ten_seconds = request.per_ten_seconds.unwrap_or(limits.per_ten_seconds);
        limits.searches_per_second =
            request.searches_per_second.unwrap_or(limits.searches_per_second);
        limits.daily = request.daily.unwrap_or(limits.daily);
        limits.oauth_per_ten_seconds =
            request.oauth_per_ten_seconds.unwrap_or(limits.oauth_per_ten_seconds);
        limits.association_batches_per_ten_seconds = request
            .association_batches_per_ten_seconds
            .unwrap_or(limits.association_batches_per_ten_seconds);
        limits.retry_after = request.retry_after.unwrap_or(limits.retry_after);
    }
    let now = shared.read().clock.now();
    let mut gate = shared.gate();
    let used = gate.used_today(now);
    let mut body = json!(gate.limits);
    body["used_today"] = json!(used);
    let latency = shared.latency();
    body["latency_ms"] = json!(latency.median().as_millis() as u64);
    body["latency"] = latency.to_json();
    Ok(body)
}

/// Tells a `null` from what is not there.
fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn faults(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    match call.method.as_str() {
        "POST" => {
            let one_or_more: Value = parse(call)?;
            let list = match one_or_more {
                Value::Array(list) => list,
                one => vec![one],
            };
            let parsed: Result<Vec<Fault>, String> =
                list.into_iter().map(Fault::from_json).collect();
            for fault in parsed.map_err(ControlError::Malformed)? {
                shared.faults.add(fault);
            }
        }
        "DELETE" => shared.faults.clear(),
        _ => {}
    }
    Ok(json!({"faults": shared.faults.rules(), "held": shared.faults.held()}))
}

fn type_at(account: &Account, object_type: &str) -> Result<TypeAt, ControlError> {
    let unknown = || ControlError::UnknownType(object_type.to_owned());
    account.type_at(object_type).ok_or_else(unknown)
}

fn live(account: &Account, at: TypeAt, id: u64) -> Result<u64, ControlError> {
    let missing = || ControlError::NoRecord {
        object_type: account.tables[at].object_type.plural.clone(),
        id,
    };
    account.tables[at].live(id).map(|view| view.id).ok_or_else(missing)
}

/// The account's own words for why it does not take values.
fn refused(account: &Account, at: TypeAt, fault: &write::Fault) -> ControlError {
    ControlError::Refused(fault.refusal(account, at).message().to_owned())
}

fn create(
    account: &mut Account,
    object_type: &str,
    values: &Map<String, Value>,
) -> Result<u64, ControlError> {
    let at = type_at(account, object_type)?;
    let draft = account.draft_create(at, values).map_err(|fault| refused(account, at, &fault))?;
    Ok(account.create(at, draft, Source::Person))
}

fn edit(
    account: &mut Account,
    object_type: &str,
    id: u64,
    values: &Map<String, Value>,
    touch: bool,
) -> Result<(), ControlError> {
    let at = type_at(account, object_type)?;
    live(account, at, id)?;
    if !touch {
        return recalculate(account, at, id, values);
    }
    // A person may move a stage back in the user interface; the API may not.
    let stage = account.tables[at].catalogue.find("lifecyclestage").map(|(slot, _)| slot);
    let back = values.get("lifecyclestage").and_then(Value::as_str).map(str::to_owned);
    let view = account.tables[at]
        .live(id)
        .ok_or_else(|| ControlError::NoRecord { object_type: object_type.to_owned(), id })?;
    let mut draft =
        account.draft_update(at, &view, values).map_err(|fault| refused(account, at, &fault))?;
    if let (Some(slot), Some(stage)) = (stage, back) {
        draft.retain(|(other, _)| *other != slot);
        draft.push((slot, stage));
    }
    account.update(at, id, draft, Source::Person);
    account.refresh_counts();
    Ok(())
}

fn recalculate(
    account: &mut Account,
    at: TypeAt,
    id: u64,
    values: &Map<String, Value>,
) -> Result<(), ControlError> {
    let catalogue = &account.tables[at].catalogue;
    let change = |(name, value): (&String, &Value)| {
        let unknown = || ControlError::Refused(format!("Property `{name}` does not exist"));
        let (slot, _) = catalogue.find(name).ok_or_else(unknown)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok((slot, text))
    };
    let changes: Result<Vec<_>, ControlError> = values.iter().map(change).collect();
    let now = account.clock.now();
    account.tables[at].apply(id, changes?, now, Source::Calculated, false);
    Ok(())
}

fn bulk_edit(
    account: &mut Account,
    object_type: &str,
    first: u64,
    values: &Map<String, Value>,
) -> Result<u64, ControlError> {
    let at = type_at(account, object_type)?;
    let live = account.tables[at].walk(0).filter(|view| view.is_live());
    let ids: Vec<u64> = live.take(first as usize).map(|view| view.id).collect();
    let Some(one) = ids.first().and_then(|id| account.tables[at].live(*id)) else { return Ok(0) };
    let draft =
        account.draft_update(at, &one, values).map_err(|fault| refused(account, at, &fault))?;
    let now = account.clock.now();
    for id in &ids {
        account.tell_changed(at, *id, &draft, Some(Hand::BulkEdit));
        account.tables[at].apply(*id, draft.clone(), now, Source::Person, true);
    }
    Ok(ids.len() as u64)
}

fn archive(account: &mut Account, object_type: &str, id: u64) -> Result<(), ControlError> {
    let at = type_at(account, object_type)?;
    live(account, at, id)?;
    account.archive_by(at, id, Hand::Person);
    account.refresh_counts();
    Ok(())
}

fn restore(account: &mut Account, object_type: &str, id: u64) -> Result<(), ControlError> {
    let at = type_at(account, object_type)?;
    let now = account.clock.now();
    match account.tables[at].find(id) {
        Found::Archived(view) if !account.is_past_recycling(&view) => {
            account.tell_restored(at, id, Hand::Person);
            account.tables[at].set_archived(id, None, now);
            account.mark_associates_stale(at, id);
            account.refresh_counts();
            Ok(())
        }
        _ => Err(ControlError::NoRecord { object_type: object_type.to_owned(), id }),
    }
}

fn merge(
    account: &mut Account,
    object_type: &str,
    primary: u64,
    other: u64,
) -> Result<u64, ControlError> {
    let at = type_at(account, object_type)?;
    let (primary, other) = (live(account, at, primary)?, live(account, at, other)?);
    if primary == other {
        return Err(ControlError::Refused("a record cannot be merged with itself".to_owned()));
    }
    Ok(account.merge_by(at, primary, other, Hand::Person))
}

/// Everything known of a record: properties without a value are left out.
fn describe(account: &Account, object_type: &str, id: u64) -> Result<Value, ControlError> {
    let at = type_at(account, object_type)?;
    let table = &account.tables[at];
    let missing = || ControlError::NoRecord { object_type: object_type.to_owned(), id };
    let view = table.view(id).ok_or_else(missing)?;
    let mut properties = Map::new();
    for (slot, property) in table.catalogue.iter() {
        if let Some(value) = view.value(slot) {
            properties.insert(property.name.clone(), json!(value));
        }
    }
    let record = view.record;
    Ok(json!({
        "id": id.to_string(),
        "properties": properties,
        "created_at": moment::exact(view.created()),
        "updated_at": moment::exact(view.modified()),
        "archived_at": view.archived().map(moment::exact),
        "merged_into": record.and_then(|record| record.merged_into).map(|id| id.to_string()),
        "purged": record.is_some_and(|record| record.purged),
        "changed": record.is_some(),
    }))
}
