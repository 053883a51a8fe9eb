//! Bringing an account to the state in which a recorded answer was given.
//!
//! Nothing here looks at how the emulator will answer: it reads the recording
//! and puts in place the records, properties, pairs and limits that the
//! service must have had. No recorded answer is kept to be given back.

mod definitions;
mod failures;
mod links;
mod records;
mod surroundings;
mod writes;

use serde_json::Value;

use super::exchange::Exchange;
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::Call;
use crate::emulator::moment;
use crate::emulator::object_types::{Custom, ObjectType};
use crate::emulator::paths::{Endpoint, Route};
use crate::emulator::schema::{Choice, Property, Slot};
use crate::emulator::seed::plan::Kind;
use crate::emulator::shared::Shared;

/// No id is larger: JavaScript counts no further.
const LARGEST_ID: u64 = 1 << 53;

/// A long time ago, for what a recording gives no time of.
const LONG_AGO: i64 = 1_500_000_000_000;

pub(super) use failures::token;

/// Properties that the account calculates on a write, or does not, against
/// the emulator's own habits.
#[derive(Debug, Default)]
pub(super) struct Assumptions {
    pub(super) calculated: Vec<String>,
    pub(super) withheld: Vec<String>,
}

/// Brings the account to the state of an exchange, or says why the recorded
/// answer cannot belong to the recorded request.
pub(super) fn prepare(
    shared: &Shared,
    route: Route,
    call: &Call,
    exchange: &Exchange,
    assumptions: &Assumptions,
) -> Result<(), String> {
    let Route::To(endpoint) = route else { return Ok(()) };
    if failures::order(shared, call, exchange) {
        return Ok(());
    }
    let mut account = shared.write();
    // Of two readings of a rule, a recording shows which one is true.
    account.rules.deals_name_their_pipeline = false;
    account.rules.epoch_filter_fails = false;
    let recorded = &exchange.answer;
    let mut stage = Stager { account: &mut account, call, recorded, exchange };
    stage.contradiction(endpoint)?;
    stage.add_custom_types(endpoint);
    stage.set(endpoint);
    stage.assume(assumptions);
    Ok(())
}

struct Stager<'a> {
    account: &'a mut Account,
    call: &'a Call,
    recorded: &'a Value,
    exchange: &'a Exchange,
}

impl Stager<'_> {
    /// A page that begins before the cursor it was asked for was not the
    /// answer to that question.
    fn contradiction(&self, endpoint: Endpoint) -> Result<(), String> {
        let after: Option<u64> = self.call.query("after").and_then(|after| after.parse().ok());
        if let (Endpoint::List, Some(after)) = (endpoint, after)
            && let Some(early) = self.results().filter_map(id_of).find(|id| *id < after)
        {
            return Err(format!("record {early} lies before the cursor {after}"));
        }
        Ok(())
    }

    /// Object types of the path that a fresh account does not have.
    fn add_custom_types(&mut self, endpoint: Endpoint) {
        let message = self.recorded["message"].as_str().unwrap_or_default();
        let unknown = message.starts_with("Unable to infer object type");
        let area = endpoint.label().split('.').next().unwrap_or_default();
        let places: &[usize] = match (area, self.call.path.contains("/associations/")) {
            ("associations", true) if self.call.path.contains("/objects/") => &[0, 2],
            ("associations", true) => &[0, 1],
            ("objects" | "properties" | "pipelines" | "schemas", _) => &[0],
            _ => &[],
        };
        let names: Vec<String> =
            places.iter().filter_map(|at| self.call.names.get(*at)).cloned().collect();
        for name in names {
            if !unknown && (is_custom(&name) || self.is_success()) {
                self.custom_type(&name);
            }
        }
    }

    /// The type of a name, made if the account lacks it.
    fn custom_type(&mut self, name: &str) -> TypeAt {
        if let Some(at) = self.account.type_at(name) {
            return at;
        }
        let custom = Custom {
            labels: Value::Null,
            description: None,
            primary: None,
            secondary: Vec::new(),
            created: LONG_AGO,
            archived: None,
        };
        let type_id = if name.starts_with("2-") { name.to_owned() } else { self.free_type_id() };
        let singular = match name.split_once('_') {
            Some((_, own)) if is_custom(name) => own,
            _ => name,
        };
        self.account.add_type(ObjectType::custom(name, singular, &type_id, Vec::new(), custom))
    }

    fn free_type_id(&self) -> String {
        format!("2-{}", self.account.tables.len())
    }

    fn set(&mut self, endpoint: Endpoint) {
        let of = self.call.names.first().and_then(|name| self.account.type_at(name));
        let label = endpoint.label();
        match (endpoint, of) {
            (Endpoint::List | Endpoint::Read | Endpoint::BatchRead, Some(of)) => {
                self.records(endpoint, of);
            }
            (Endpoint::Search, Some(of)) => self.search(of),
            (Endpoint::Create | Endpoint::BatchCreate, Some(of)) => self.create(of),
            (Endpoint::Update | Endpoint::BatchUpdate | Endpoint::BatchUpsert, Some(of)) => {
                self.update(of);
            }
            (Endpoint::Merge, Some(of)) => self.merge(of),
            (Endpoint::Owners | Endpoint::OwnerRead, _) => self.owners(),
            (Endpoint::AccountDetails, _) => self.details(),
            (_, Some(from)) if label.starts_with("associations.") => self.links(endpoint, from),
            (_, Some(of)) if label.starts_with("pipelines.") => self.pipelines(of, label),
            (_, Some(of)) if label.starts_with("properties.") => self.definitions(endpoint, of),
            _ if label.starts_with("schemas.") => self.schemas(endpoint),
            _ if label.starts_with("lists.") => self.lists(endpoint),
            _ => {}
        }
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.exchange.status)
    }

    /// The records of the answer: a list, or the one it is.
    fn results(&self) -> impl Iterator<Item = &Value> {
        let many = self.recorded["results"].as_array().into_iter().flatten();
        let one = self.recorded.get("id").is_some().then_some(self.recorded);
        many.chain(one)
    }

    /// The property of a name, made if the type lacks it; its kind is read off
    /// the value.
    fn property(&mut self, of: TypeAt, name: &str, value: Option<&str>) -> Slot {
        let table = &mut self.account.tables[of];
        if let Some((slot, _)) = table.catalogue.find(name) {
            return slot;
        }
        let moment = value.is_some_and(|text| text.contains('T') && moment::parse(text).is_some());
        let kind = if moment { Kind::Moment } else { Kind::Text };
        let group = table.object_type.group();
        table.catalogue.add(Property::new(name, kind, "text", &group, LONG_AGO))
    }

    /// Takes a property away, if there is one.
    fn lack(&mut self, of: TypeAt, name: &str) {
        let catalogue = &mut self.account.tables[of].catalogue;
        let [created, modified, id] = catalogue.always;
        let slot = catalogue.find(name).map(|(slot, _)| slot);
        if slot.is_some_and(|slot| ![created, modified, id].contains(&slot))
            && let Some(property) = catalogue.find_mut(name)
        {
            property.archived = Some(LONG_AGO);
        }
    }

    /// Makes a value one of a property's options.
    fn allow(&mut self, of: TypeAt, slot: Slot, text: &str) {
        let property = self.account.tables[of].catalogue.at(slot);
        if property.kind != Kind::Choice || property.owner {
            return;
        }
        let name = property.name.clone();
        let values: Vec<&str> =
            if property.holds_many() { text.split(';').collect() } else { vec![text] };
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            let Some(property) = self.account.tables[of].catalogue.find_mut(&name) else { return };
            if property.options.iter().all(|option| option.value != value) {
                property.options.push(choice(value));
            }
        }
    }

    /// A record of which nothing is known but its id.
    fn bare(&mut self, of: TypeAt, id: u64) {
        if (1..=LARGEST_ID).contains(&id) && self.account.tables[of].view(id).is_none() {
            self.account.tables[of].import(id, Vec::new(), LONG_AGO, LONG_AGO);
        }
    }

    fn request(&self) -> Value {
        serde_json::from_slice(&self.call.body).unwrap_or_default()
    }

    /// The inputs of a batch, or the body as the only one.
    fn inputs(&self) -> Vec<Value> {
        let request = self.request();
        match request["inputs"].as_array() {
            Some(inputs) => inputs.clone(),
            None => vec![request],
        }
    }
}

fn is_custom(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (name.strip_prefix("2-"), name.strip_prefix('p').and_then(|rest| rest.split_once('_'))) {
        (Some(number), _) => digits(number),
        (None, Some((hub, _))) => hub.is_empty() || digits(hub),
        (None, None) => false,
    }
}

fn id_of(record: &Value) -> Option<u64> {
    let id = match &record["id"] {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    id.filter(|id| *id <= LARGEST_ID)
}

/// A number or a text that holds one; nought for anything else.
fn number(value: &Value) -> u64 {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    number.filter(|number| *number <= LARGEST_ID).unwrap_or_default()
}

/// An id in the path.
fn path_id(text: &str) -> Option<u64> {
    text.parse().ok().filter(|id| *id <= LARGEST_ID)
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// The texts of a list.
fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn choice(value: &str) -> Choice {
    Choice {
        label: value.to_owned(),
        value: value.to_owned(),
        description: String::new(),
        hidden: false,
    }
}
