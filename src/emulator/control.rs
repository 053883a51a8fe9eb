//! The other side of the emulator: what a person or a test does to the
//! account. In-process through [`Control`], from outside as JSON under
//! `/_emulator`; neither counts against any limit.

mod credentials;
mod rules;

use std::collections::BTreeMap;
use std::sync::{Arc, TryLockError};
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
use super::shared::{Shared, at_length};
use super::table::Found;
use super::webhooks::Hand;
use super::write;

mod edge;
mod faults;
mod index;
mod seed;
mod webhooks;

pub use seed::Sowing;

/// Where control calls live.
pub(crate) const PREFIX: &str = "/_emulator";

const HEALTH: &str = "/_emulator/health";

/// How often health looks whether the account is free, 5 ms apart.
const HEALTH_TRIES: usize = 20;

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
    /// There is no such control call.
    #[error("There is no control call `{path}`; under `/_emulator` there are: `{known}`")]
    UnknownCall {
        /// The path.
        path: String,
        /// The calls there are.
        known: String,
    },
    /// The control call has other methods.
    #[error("`{path}` does not take {method}: use `{taken}`")]
    WrongMethod {
        /// The method.
        method: String,
        /// The path.
        path: String,
        /// The methods it takes.
        taken: String,
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
    let outcome = match call.path.trim_end_matches('/') == HEALTH {
        true => Ok(health(shared).await),
        false => at_length(|| serve(shared, call)),
    };
    match outcome {
        Ok(body) => Reply::json(200, &body),
        Err(error) => {
            let status = match error {
                ControlError::NoRecord { .. } | ControlError::UnknownCall { .. } => 404,
                ControlError::WrongMethod { .. } => 405,
                _ => 400,
            };
            let (body, _) = Refusal::new(status, error.to_string()).render(&call.correlation_id);
            Reply::raw(status, body)
        }
    }
}

fn serve(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    let path: Vec<&str> = call.path.trim_matches('/').split('/').skip(1).collect();
    index::check(call, &path)?;
    let done = json!({"ok": true});
    match (call.method.as_str(), path.as_slice()) {
        ("GET", []) => Ok(index::index()),
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
        (_, ["faults"]) => faults::faults(shared, call),
        ("GET" | "POST", ["seed"]) => seed::seed(shared, call),
        (_, ["rules"]) => rules::rules(shared, call),
        (_, ["webhooks", rest @ ..]) => webhooks::serve(shared, call, rest),
        (_, ["credentials"]) => credentials::credentials(shared, call),
        ("GET", ["log"]) => Ok(json!(shared.journal().since(since(call)?))),
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
    #[serde(deserialize_with = "id")]
    primary: u64,
    #[serde(deserialize_with = "id")]
    other: u64,
}

/// An id as answers have it, a text, or as a number.
fn id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| serde::de::Error::custom(format!("`{value}` is not an id")))
}

/// The number after which a list begins; from the start unless told.
fn since(call: &Call) -> Result<u64, ControlError> {
    let Some(since) = call.query("since") else { return Ok(0) };
    let wrong = || ControlError::Malformed(format!("`since` is a number, not `{since}`"));
    since.parse().map_err(|_| wrong())
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

/// Whether the emulator is up: answered, with less to tell, while somebody
/// has the account for long.
async fn health(shared: &Shared) -> Value {
    for _ in 0..HEALTH_TRIES {
        if let Some(health) = health_now(shared) {
            return health;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    json!({
        "status": "ok",
        "busy": true,
        "latency_ms": shared.latency().median().as_millis() as u64,
    })
}

/// None while somebody has the account.
fn health_now(shared: &Shared) -> Option<Value> {
    match shared.account.try_read() {
        Ok(account) => Some(health_of(shared, &account)),
        Err(TryLockError::Poisoned(poisoned)) => Some(health_of(shared, &poisoned.into_inner())),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn health_of(shared: &Shared, account: &Account) -> Value {
    let changed: usize = account.tables.iter().map(|table| table.changed_count()).sum();
    json!({
        "status": "ok",
        "busy": false,
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
        if request.advance_ms < 0 {
            return Err(ControlError::Refused("The clock does not go back".to_owned()));
        }
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
        /// Told by `GET`; nobody can set it.
        #[serde(rename = "used_today")]
        _used_today: Option<Value>,
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
        Found::Live(_) => Err(ControlError::Refused(format!("Record `{id}` is live already"))),
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
