//! Bringing an account to the state in which a recorded answer was given.
//!
//! Nothing here looks at how the emulator will answer: it reads the recording
//! and puts in place the records, properties, pairs and limits that the
//! service must have had.

use serde_json::{Map, Value};

use super::exchange::Exchange;
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::Call;
use crate::emulator::faults::{Fault, FaultAction};
use crate::emulator::lists::{List, Processing};
use crate::emulator::moment;
use crate::emulator::object_types::{Custom, ObjectType};
use crate::emulator::paths::{Endpoint, Route};
use crate::emulator::people::Owner;
use crate::emulator::pipelines::{Pipeline, Stage};
use crate::emulator::schema::{Choice, Group, Property, Slot};
use crate::emulator::seed::plan::Kind;
use crate::emulator::shared::Shared;

/// A long time ago, for what a recording gives no time of.
const LONG_AGO: i64 = 1_500_000_000_000;

/// The credentials to send: what the recording had, if it had any.
pub(super) fn token(exchange: &Exchange) -> Option<String> {
    match exchange.header("authorization") {
        Some(token) => Some(token.to_owned()),
        None if exchange.has_headers() && exchange.response.status == 401 => None,
        None => Some("Bearer recorded".to_owned()),
    }
}

/// Brings the account to the state of an exchange, or says why the recorded
/// answer cannot belong to the recorded request.
pub(super) fn prepare(
    shared: &Shared,
    route: Route,
    call: &Call,
    exchange: &Exchange,
) -> Result<(), String> {
    let recorded = exchange.recorded_body();
    if order_failure(shared, call, exchange.response.status, &recorded) {
        return Ok(());
    }
    let Route::To(endpoint) = route else { return Ok(()) };
    let mut account = shared.write();
    // Of two readings of a rule, a recording shows which one is true.
    account.rules.deals_name_their_pipeline = false;
    account.rules.epoch_filter_fails = false;
    let mut stage = Stager { account: &mut account, call, recorded: &recorded, exchange };
    stage.contradiction(endpoint)?;
    stage.add_custom_types();
    stage.set(endpoint);
    Ok(())
}

/// Failures that do not hang on the account's records. Returns whether the
/// status is one.
fn order_failure(shared: &Shared, call: &Call, status: u16, recorded: &Value) -> bool {
    let action = match status {
        429 => {
            let mut gate = shared.gate();
            match recorded["policyName"].as_str() {
                Some("DAILY") => gate.limits.daily = 0,
                _ => (gate.limits.per_ten_seconds, gate.limits.searches_per_second) = (0, 0),
            }
            return true;
        }
        403 => FaultAction::ScopesMissing { scopes: scopes(recorded) },
        423 | 477 | 500.. => FaultAction::Refuse { status, body: None, retry_after: None },
        401 => return true,
        _ => return false,
    };
    let path = call.path.clone();
    shared.faults.add(Fault { method: None, path, action, skip: 0, times: None });
    true
}

fn scopes(recorded: &Value) -> Vec<String> {
    let listed = &recorded["errors"][0]["context"]["requiredGranularScopes"];
    let texts = listed.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
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
    fn add_custom_types(&mut self) {
        let unknown = self.recorded["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("Unable to infer object type"));
        let names: Vec<String> =
            self.call.names.iter().filter(|name| is_custom(name)).cloned().collect();
        for name in names {
            if unknown || self.account.type_at(&name).is_some() {
                continue;
            }
            let custom = Custom {
                labels: Value::Null,
                description: None,
                primary: None,
                secondary: Vec::new(),
                created: LONG_AGO,
                archived: None,
            };
            let type_id = if name.starts_with("2-") { name.as_str() } else { "2-1" };
            let singular = name.rsplit('_').next().unwrap_or(&name);
            self.account.add_type(ObjectType::custom(&name, singular, type_id, Vec::new(), custom));
        }
    }

    fn set(&mut self, endpoint: Endpoint) {
        let of = self.call.names.first().and_then(|name| self.account.type_at(name));
        match (endpoint, of) {
            (Endpoint::List | Endpoint::Read | Endpoint::BatchRead, Some(of)) => self.records(of),
            (Endpoint::Search, Some(of)) => self.search(of),
            (Endpoint::Create | Endpoint::BatchCreate, Some(of)) => self.create(of),
            (Endpoint::Update | Endpoint::BatchUpdate | Endpoint::BatchUpsert, Some(of)) => {
                self.update(of);
            }
            (Endpoint::RecordAssociations, Some(from)) => self.associates(from),
            (Endpoint::AssociationsRead, Some(from)) => self.batch_associates(from),
            (Endpoint::AssociationsCreate | Endpoint::AssociationsDefault, Some(from)) => {
                self.associable(from);
            }
            (
                Endpoint::PairCreate | Endpoint::PairDefault | Endpoint::PairCreateNamed,
                Some(from),
            ) => self.pair(from),
            (Endpoint::Owners | Endpoint::OwnerRead, _) => self.owners(),
            (Endpoint::Pipelines | Endpoint::PipelineRead, Some(of)) => self.pipelines(of),
            (Endpoint::Properties | Endpoint::PropertyRead, Some(of)) => self.properties(of),
            (Endpoint::PropertyCreate | Endpoint::PropertyBatchCreate, Some(of)) => {
                self.property_room(of);
            }
            (Endpoint::PropertyUpdate | Endpoint::PropertyArchive, Some(of))
                if self.is_success() =>
            {
                let name = self.call.name(1).to_owned();
                self.property(of, &name, None);
                if let Some(property) = self.account.tables[of].catalogue.find_mut(&name) {
                    property.custom = true;
                }
            }
            _ if endpoint.label().starts_with("lists.") => self.lists(endpoint),
            _ => {}
        }
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.exchange.response.status)
    }

    /// The records of the answer: a list, or the one it is.
    fn results(&self) -> impl Iterator<Item = &Value> {
        let many = self.recorded["results"].as_array().into_iter().flatten();
        let one = self.recorded.get("id").is_some().then_some(self.recorded);
        many.chain(one)
    }

    fn records(&mut self, of: TypeAt) {
        let records: Vec<Value> = self.results().cloned().collect();
        for record in &records {
            self.import(of, record, None);
            self.inline_associations(of, record);
        }
        let more = self.recorded["paging"]["next"].is_object();
        if let (true, Some(last)) = (more, records.last()) {
            self.import(of, last, id_of(last).map(|id| id + 7));
        }
    }

    /// Puts a record in place, under another id if one is given.
    fn import(&mut self, of: TypeAt, record: &Value, id: Option<u64>) {
        let Some(id) = id.or_else(|| id_of(record)) else { return };
        let empty = Map::new();
        let properties = record["properties"].as_object().unwrap_or(&empty);
        let mut values = Vec::new();
        for (name, value) in properties {
            let text = value.as_str();
            let slot = self.property(of, name, text);
            if let Some(text) = text {
                self.allow(of, slot, text);
                values.push((slot, text.to_owned()));
            }
        }
        let time = |name: &str| record[name].as_str().and_then(moment::parse);
        let created = time("createdAt").unwrap_or(LONG_AGO);
        let modified = time("updatedAt").unwrap_or(created);
        let table = &mut self.account.tables[of];
        table.import(id, values, created, modified);
        if record["archived"].as_bool() == Some(true) {
            let at = time("archivedAt").unwrap_or(modified);
            table.set_archived(id, Some(at), modified);
        }
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

    /// Records that match: what a filter asks for and the answer does not
    /// show is filled in.
    fn search(&mut self, of: TypeAt) {
        let mut records: Vec<Value> = self.results().cloned().collect();
        let request = self.request();
        let mut filters: Vec<Value> = list(&request["filters"]);
        for group in list(&request["filterGroups"]) {
            filters.extend(list(&group["filters"]));
        }
        let names = filters.iter().filter_map(|filter| filter["propertyName"].as_str());
        for name in names.filter(|name| !name.starts_with("associations.")) {
            self.property(of, name, None);
        }
        for record in &mut records {
            for filter in &filters {
                fill(record, filter);
            }
            self.import(of, record, None);
        }
        let shown = records.len() as u64;
        let before = number(&request["after"]);
        let total = self.recorded["total"].as_u64().unwrap_or(shown);
        if let Some(first) = records.first() {
            let first_id = id_of(first).unwrap_or(1_000);
            for at in 1..=before.min(500) {
                self.import(of, first, Some(first_id.saturating_sub(at)));
            }
        }
        if let Some(last) = records.last() {
            let last_id = id_of(last).unwrap_or_default();
            for at in 1..=total.saturating_sub(before + shown).min(500) {
                self.import(of, last, Some(last_id + at * 1_000));
            }
        }
        self.search_associates(of, &filters);
    }

    fn search_associates(&mut self, of: TypeAt, filters: &[Value]) {
        for filter in filters {
            let name =
                filter["propertyName"].as_str().and_then(|name| name.strip_prefix("associations."));
            let Some(to) = name.and_then(|name| self.account.type_at(name)) else { continue };
            let other = number(&filter["value"]);
            self.bare(to, other);
            let ids: Vec<u64> = self.account.tables[of].walk(0).map(|view| view.id).collect();
            for id in ids {
                self.account.associate(of, id, to, other, &[]);
            }
        }
    }

    /// Room for records to be created: their properties, and whom they are
    /// associated with.
    fn create(&mut self, of: TypeAt) {
        let inputs = self.inputs();
        for input in &inputs {
            self.writable(of, &input["properties"]);
            if self.is_success() {
                self.linked(of, input);
            }
        }
        let message = self.recorded["message"].as_str().unwrap_or_default();
        let existing = message.strip_prefix("Contact already exists");
        if let (Some(existing), Some(input)) = (existing, inputs.first()) {
            let id = existing.rsplit(' ').next().and_then(|id| id.parse().ok()).unwrap_or(51);
            self.import(of, input, Some(id));
        }
        for error in list(&self.recorded["errors"]) {
            let id = error["context"]["existingId"][0].as_str().and_then(|id| id.parse().ok());
            let trace = &error["context"]["objectWriteTraceId"][0];
            let input = inputs.iter().find(|input| &input["objectWriteTraceId"] == trace);
            if let (Some(id), Some(input)) = (id, input) {
                self.import(of, input, Some(id));
            }
        }
    }

    /// The targets of a create's associations.
    fn linked(&mut self, of: TypeAt, input: &Value) {
        for link in list(&input["associations"]) {
            let kinds: Vec<u32> = list(&link["types"])
                .iter()
                .map(|kind| number(&kind["associationTypeId"]) as u32)
                .collect();
            let known = |to: &TypeAt| {
                kinds.iter().all(|kind| self.account.associations.kind(of, *to, *kind).is_some())
            };
            if let Some(to) = (0..self.account.tables.len()).find(known) {
                self.bare(to, number(&link["to"]["id"]));
            }
        }
    }

    fn update(&mut self, of: TypeAt) {
        let inputs = self.inputs();
        for input in &inputs {
            self.writable(of, &input["properties"]);
        }
        let records: Vec<Value> = self.results().cloned().collect();
        for record in records.iter().filter(|record| record["new"].as_bool() != Some(true)) {
            self.import(of, record, None);
        }
        let refused = self.exchange.response.status == 400;
        let id: Option<u64> = self.call.name(1).parse().ok();
        match id {
            Some(id) if refused => self.bare(of, id),
            _ => {}
        }
        if refused {
            for id in inputs.iter().filter_map(id_of) {
                self.bare(of, id);
            }
        }
    }

    /// Properties that a write names, as the answer shows them: there unless
    /// it says they are not, with the options it took.
    fn writable(&mut self, of: TypeAt, properties: &Value) {
        let Some(properties) = properties.as_object() else { return };
        let told = self.recorded.to_string();
        for (name, value) in properties {
            if told.contains(&format!("Property \\\\\\\"{name}\\\\\\\" does not exist"))
                || told.contains(&format!("Property \\\"{name}\\\" does not exist"))
            {
                continue;
            }
            let echoed = self.results().find_map(|record| record["properties"][name].as_str());
            let echoed = echoed.map(str::to_owned);
            let slot = self.property(of, name, echoed.as_deref());
            let text = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
            if self.is_success() {
                self.allow(of, slot, &text);
                let table = &mut self.account.tables[of];
                if let Some(property) = table.catalogue.find_mut(name) {
                    property.read_only = false;
                }
            } else if told.contains("was not a valid long") {
                // Only a time is parsed so.
                if let Some(property) = self.account.tables[of].catalogue.find_mut(name)
                    && told.contains(name.as_str())
                {
                    property.kind = Kind::Moment;
                }
            }
        }
        if self.is_success() {
            let given: Vec<String> = properties.keys().cloned().collect();
            self.account.tables[of].object_type.required.retain(|name| given.contains(name));
        }
    }

    fn inline_associations(&mut self, of: TypeAt, record: &Value) {
        let Some(id) = id_of(record) else { return };
        for (name, associates) in record["associations"].as_object().into_iter().flatten() {
            let Some(to) = self.account.type_at(name) else { continue };
            for other in list(&associates["results"]).iter().filter_map(id_of) {
                self.bare(to, other);
                self.account.associate(of, id, to, other, &[]);
            }
        }
    }

    fn associates(&mut self, from: TypeAt) {
        if !self.is_success() {
            return;
        }
        let Some(to) = self.account.type_at(self.call.name(2)) else { return };
        let id = self.call.name(1).parse().unwrap_or(1);
        self.bare(from, id);
        self.pairs(from, id, to, &list(&self.recorded["results"]));
    }

    fn batch_associates(&mut self, from: TypeAt) {
        let Some(to) = self.account.type_at(self.call.name(1)) else { return };
        for result in list(&self.recorded["results"]) {
            let id = number(&result["from"]["id"]);
            self.bare(from, id);
            self.pairs(from, id, to, &list(&result["to"]));
        }
    }

    fn pairs(&mut self, from: TypeAt, id: u64, to: TypeAt, entries: &[Value]) {
        for entry in entries {
            let other = number(&entry["toObjectId"]);
            self.bare(to, other);
            let mut kinds = Vec::new();
            for kind in list(&entry["associationTypes"]) {
                let type_id = number(&kind["typeId"]) as u32;
                if self.account.associations.kind(from, to, type_id).is_none() {
                    let label = kind["label"].as_str();
                    let ids = [type_id, type_id + 100_000];
                    self.account.associations.add_pair(
                        from,
                        to,
                        ids,
                        "USER_DEFINED",
                        "recorded",
                        label,
                    );
                }
                kinds.push(type_id);
            }
            self.account.associations.set(from, id, to, other, kinds);
        }
    }

    /// Both sides of every input, but those the answer calls invalid.
    fn associable(&mut self, from: TypeAt) {
        let Some(to) = self.account.type_at(self.call.name(1)) else { return };
        let told = self.recorded.to_string();
        for input in self.inputs() {
            for (at, side) in [(from, "from"), (to, "to")] {
                let id = number(&input[side]["id"]);
                let shouted = self.account.tables[at].object_type.shouted();
                if !told.contains(&format!("{shouted}={id} is not valid")) {
                    self.bare(at, id);
                }
            }
        }
    }

    fn pair(&mut self, from: TypeAt) {
        let Some(to) = self.account.type_at(self.call.name(2)) else { return };
        if self.is_success() {
            self.bare(from, self.call.name(1).parse().unwrap_or(1));
            self.bare(to, self.call.name(3).parse().unwrap_or(1));
        }
    }

    fn owners(&mut self) {
        let email = self.call.query("email").unwrap_or_default();
        let owner = |value: &Value| Owner {
            id: number(&value["id"]),
            user_id: number(&value["userIdIncludingInactive"]),
            email: value["email"].as_str().unwrap_or(&email).to_owned(),
            first_name: String::new(),
            last_name: String::new(),
            team: value["teams"].is_array().then_some(0),
            created: LONG_AGO,
            updated: LONG_AGO,
            archived: value["archived"].as_bool().unwrap_or(false),
        };
        let mut owners: Vec<Owner> = self.results().map(owner).collect();
        if let (true, Some(last)) = (self.recorded["paging"].is_object(), owners.last().cloned()) {
            owners.push(Owner { id: last.id + 1, ..last });
        }
        self.account.owners = owners;
    }

    fn pipelines(&mut self, of: TypeAt) {
        let pipeline = |value: &Value| {
            let stages = list(&value["stages"]);
            let stages = stages.iter().enumerate().map(|(order, stage)| {
                let id = stage["id"].as_str().unwrap_or("1");
                Stage::new(id, id, order as i64, stage["metadata"].clone(), LONG_AGO)
            });
            let id = value["id"].as_str().unwrap_or("1");
            Pipeline::new(id, id, 0, stages.collect(), LONG_AGO)
        };
        if self.is_success() {
            self.account.pipelines[of] = self.results().map(pipeline).collect();
        }
    }

    fn properties(&mut self, of: TypeAt) {
        let mut definitions = list(&self.recorded["results"]);
        definitions.extend(self.recorded.get("name").map(|_| self.recorded.clone()));
        for definition in definitions {
            let Some(name) = definition["name"].as_str() else { continue };
            let kind = definition["type"].as_str().and_then(Kind::of_wire).unwrap_or(Kind::Text);
            let group = definition["groupName"].as_str().unwrap_or("recorded");
            let mut property = Property::new(name, kind, "text", group, LONG_AGO);
            let values = list(&definition["options"]);
            property.options =
                values.iter().filter_map(|option| option["value"].as_str()).map(choice).collect();
            property.custom = definition["hubspotDefined"].as_bool() != Some(true);
            property.owner = definition["referencedObjectType"] == "OWNER";
            self.account.tables[of].catalogue.add(property);
        }
    }

    /// The group that a new property names; and the property, if the answer
    /// says there is one.
    fn property_room(&mut self, of: TypeAt) {
        for input in self.inputs() {
            let told = self.recorded.to_string();
            if let (Some(name), true) =
                (input["name"].as_str(), told.contains("PROPERTY_WITH_NAME_EXISTS"))
            {
                self.property(of, name, None);
            }
            if let (Some(group), true) = (input["groupName"].as_str(), self.is_success()) {
                let groups = &mut self.account.tables[of].catalogue.groups;
                let (name, label) = (group.to_owned(), group.to_owned());
                groups.push(Group { name, label, display_order: 0, archived: false });
            }
        }
    }

    fn lists(&mut self, endpoint: Endpoint) {
        let named =
            self.call.name(0).parse::<u64>().ok().filter(|_| self.exchange.response.status != 404);
        let mut shown = list(&self.recorded["lists"]);
        shown.extend(
            ["list", "updatedList"].iter().filter_map(|name| self.recorded.get(*name)).cloned(),
        );
        if endpoint != Endpoint::ListCreate {
            for value in &shown {
                self.list(number(&value["listId"]), value["processingType"].as_str());
            }
        }
        if let Some(id) = named {
            let closed = self.exchange.response.status == 400;
            self.list(id, closed.then_some("DYNAMIC"));
        }
        if self.recorded["hasMore"].as_bool() == Some(true) {
            let last = shown.iter().map(|value| number(&value["listId"])).max().unwrap_or(1);
            self.list(last + 1, None);
        }
        let of = self.account.type_at("contacts").unwrap_or_default();
        let joined = list(&self.recorded["results"]);
        let more = self.recorded["paging"].is_object().then_some(u64::MAX);
        let ids = joined.iter().map(|entry| number(&entry["recordId"]));
        let removed = list(&self.recorded["recordIdsRemoved"]);
        let there = ids.chain(removed.iter().map(number)).chain(more);
        let there: Vec<u64> = there.collect();
        let added: Vec<u64> = list(&self.recorded["recordsIdsAdded"]).iter().map(number).collect();
        let missing: Vec<u64> =
            list(&self.recorded["recordIdsMissing"]).iter().map(number).collect();
        let asked: Vec<u64> = list(&self.request()).iter().map(number).collect();
        for id in added.iter().chain(&there).chain(&asked).filter(|id| !missing.contains(id)) {
            if *id != u64::MAX {
                self.bare(of, *id);
            }
        }
        // Asked for, not added, not missing: they were on the list already.
        let already = asked.iter().filter(|id| !added.contains(id) && !missing.contains(id));
        let members: Vec<u64> = there.iter().chain(already).copied().collect();
        if let Some(list) = named.and_then(|id| self.account.lists.get_mut(&id)) {
            list.members.extend(members.into_iter().map(|id| (id, LONG_AGO)));
        }
    }

    fn list(&mut self, id: u64, processing: Option<&str>) {
        let of = self.account.type_at("contacts").unwrap_or_default();
        let list = List {
            id,
            name: format!("list {id}"),
            of,
            type_id: "0-1".to_owned(),
            processing: processing.and_then(Processing::of_wire).unwrap_or(Processing::Manual),
            filter_branch: None,
            created: LONG_AGO,
            updated: LONG_AGO,
            members: Default::default(),
        };
        self.account.lists.insert(id, list);
    }

    /// A record of which nothing is known but its id.
    fn bare(&mut self, of: TypeAt, id: u64) {
        if self.account.tables[of].view(id).is_none() {
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

/// Gives a record what an equality asks for and the answer does not show.
fn fill(record: &mut Value, filter: &Value) {
    let Some(name) = filter["propertyName"].as_str() else { return };
    if name.starts_with("associations.") || record["properties"][name].is_string() {
        return;
    }
    let value = match filter["operator"].as_str() {
        Some("EQ" | "GTE" | "LTE" | "BETWEEN" | "CONTAINS_TOKEN") => &filter["value"],
        Some("IN") => &filter["values"][0],
        Some("HAS_PROPERTY") => &Value::Null,
        _ => return,
    };
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(properties) = record["properties"].as_object_mut() {
        properties.insert(name.to_owned(), Value::String(text.replace('*', "")));
    }
}

fn is_custom(name: &str) -> bool {
    name.starts_with("2-")
        || (name.starts_with('p') && name.contains('_') && name[1..2].parse::<u8>().is_ok())
}

fn id_of(record: &Value) -> Option<u64> {
    match &record["id"] {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap_or_default(),
        Value::Number(number) => number.as_u64().unwrap_or_default(),
        _ => 0,
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn choice(value: &str) -> Choice {
    Choice {
        label: value.to_owned(),
        value: value.to_owned(),
        description: String::new(),
        hidden: false,
    }
}
