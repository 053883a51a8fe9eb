//! Room for writes: the properties they name, the records they change, and
//! what stands in their way.

use serde_json::{Map, Value};

use super::{Assumptions, LONG_AGO, Stager, id_of, list, number, path_id, text_of, texts};
use crate::emulator::associations::TypeAt;
use crate::emulator::schema::Property;
use crate::emulator::seed::plan::Kind;

/// A property value that the service refused.
struct Problem {
    name: String,
    code: String,
}

impl Stager<'_> {
    /// Room for records to be created: their properties, and whom they are
    /// associated with.
    pub(super) fn create(&mut self, of: TypeAt) {
        let inputs = self.inputs();
        self.refusals(of);
        for input in &inputs {
            self.writable(of, &input["properties"]);
            self.product(of, input);
            if self.exchange.status < 400 {
                self.linked(of, input);
            }
        }
        let message = self.recorded["message"].as_str().unwrap_or_default();
        let existing = message.strip_prefix("Contact already exists");
        if let (Some(existing), Some(input)) = (existing, inputs.first()) {
            let id = existing.rsplit(' ').next().and_then(path_id).unwrap_or(51);
            self.holder_of(of, input, id);
        }
        for error in list(&self.recorded["errors"]) {
            let id = error["context"]["existingId"][0].as_str().and_then(path_id);
            let trace = &error["context"]["objectWriteTraceId"][0];
            let input =
                inputs.iter().find(|input| text_of(&input["objectWriteTraceId"]) == text_of(trace));
            if let (Some(id), Some(input)) = (id, input) {
                self.holder_of(of, input, id);
            }
        }
    }

    /// A record that holds the unique values which an input wants.
    fn holder_of(&mut self, of: TypeAt, input: &Value, id: u64) {
        let mut holder = Map::new();
        holder.insert("id".to_owned(), id.to_string().into());
        let wanted = input["properties"].as_object().cloned().unwrap_or_default();
        let kept = wanted.into_iter().filter(|(name, _)| {
            let found = self.account.tables[of].catalogue.find(name);
            found.is_some_and(|(_, property)| property.unique)
        });
        holder.insert("properties".to_owned(), Value::Object(kept.collect()));
        self.import(of, &Value::Object(holder), None);
    }

    /// The product a line item is made from, as the line item shows it.
    fn product(&mut self, of: TypeAt, input: &Value) {
        let id = number(&input["properties"]["hs_product_id"]);
        let Some(products) = self.account.type_at("products").filter(|at| *at != of && id > 0)
        else {
            return;
        };
        const OWN: [&str; 5] =
            ["name", "price", "description", "hs_sku", "hs_recurring_billing_period"];
        let made: Vec<Map<String, Value>> =
            self.results().filter_map(|record| record["properties"].as_object().cloned()).collect();
        for shown in made {
            let of_product = |name: &str| {
                OWN.contains(&name)
                    || (!name.starts_with("hs_")
                        && self.account.tables[of].catalogue.find(name).is_none())
            };
            let taken: Map<String, Value> = shown
                .into_iter()
                .filter(|(name, _)| input["properties"].get(name).is_none() && of_product(name))
                .collect();
            for name in taken.keys() {
                self.property(of, name, None);
            }
            let product = serde_json::json!({"id": id.to_string(), "properties": taken});
            self.import(products, &product, None);
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

    /// Records as they were before an update: without what it writes.
    pub(super) fn update(&mut self, of: TypeAt) {
        let inputs = self.inputs();
        self.refusals(of);
        for input in &inputs {
            self.writable(of, &input["properties"]);
        }
        let records: Vec<Value> = self.results().cloned().collect();
        let plural = self.account.tables[of].object_type.plural.clone();
        let quiet = self.account.era.is_quiet_about(&plural);
        for record in records.iter().filter(|record| record["new"].as_bool() != Some(true)) {
            let input = input_of(&inputs, record);
            let written = input["properties"].as_object().cloned().unwrap_or_default();
            let unmoved = quiet && record["properties"].get("lastmodifieddate").is_none();
            let mut before = record.clone();
            if let Some(properties) =
                before.get_mut("properties").and_then(Value::as_object_mut).filter(|_| !unmoved)
            {
                properties.retain(|name, _| !written.contains_key(name));
                // A domain that brings no website along found one there.
                if plural == "companies"
                    && written.contains_key("domain")
                    && record["properties"].get("website").is_none()
                {
                    properties.insert("website".to_owned(), "recorded.example".into());
                }
            }
            self.import(of, &before, None);
            let key = input["idProperty"].as_str().map(str::to_owned);
            let key = key.or_else(|| self.call.query("idProperty"));
            let named = match self.call.name(1) {
                "" => text_of(&input["id"]),
                name => name.to_owned(),
            };
            match key.filter(|key| key != "hs_object_id") {
                Some(key) => self.key(of, &key, &named, id_of(record)),
                None => self.moved(of, path_id(&named).unwrap_or_default(), record),
            }
        }
        let keys: Vec<String> = inputs
            .iter()
            .filter_map(|input| input["idProperty"].as_str())
            .map(str::to_owned)
            .collect();
        if self.is_success() {
            for key in keys.iter().filter(|key| *key != "hs_object_id") {
                self.key(of, key, "", None);
            }
        }
        self.clash(of);
        let id = path_id(self.call.name(1));
        if self.exchange.status == 400 {
            let named = inputs.iter().filter_map(id_of).chain(id);
            for id in named.collect::<Vec<u64>>() {
                self.bare(of, id);
            }
        }
        self.silent(of, &inputs, &records);
    }

    /// A record that answers under another id than it was asked by.
    fn moved(&mut self, of: TypeAt, asked: u64, record: &Value) {
        if let Some(id) = id_of(record)
            && asked > 0
            && asked != id
        {
            self.bare(of, asked);
            self.account.tables[of].set_merged(asked, id, LONG_AGO);
        }
    }

    /// Ids that a batch passes over without a word were merged away.
    fn silent(&mut self, of: TypeAt, inputs: &[Value], records: &[Value]) {
        let into = records.iter().find_map(id_of);
        if self.exchange.status != 200 || self.recorded["errors"].is_array() {
            return;
        }
        for id in inputs.iter().filter(|input| input["idProperty"].is_null()).filter_map(id_of) {
            if !records.iter().filter_map(id_of).any(|other| other == id) {
                let into = into.unwrap_or(id + 1);
                self.bare(of, into);
                self.bare(of, id);
                self.account.tables[of].set_merged(id, into, LONG_AGO);
            }
        }
    }

    /// A unique value that another record holds, as the message tells.
    fn clash(&mut self, of: TypeAt) {
        let told = self.recorded.to_string();
        let between = |from: &str, to: &str| {
            let rest = told.split_once(from)?.1;
            Some(rest.split_once(to)?.0.to_owned())
        };
        let Some(name) = between("propertyName=", ",") else { return };
        let (Some(value), Some(ids)) = (between("value=", "} on "), between("} on ", " already"))
        else {
            return;
        };
        let mut ids = ids.split(". ").filter_map(|id| path_id(id.trim()));
        let (Some(writer), Some(holder)) = (ids.next(), ids.next()) else { return };
        self.bare(of, writer);
        self.bare(of, holder);
        self.key(of, &name, &value, Some(holder));
    }

    /// Both records of a merge, as the survivor shows them.
    pub(super) fn merge(&mut self, of: TypeAt) {
        let request = self.request();
        if !self.is_success() {
            return;
        }
        let survivor = self.results().next().cloned().unwrap_or_default();
        for (name, full) in [("primaryObjectId", true), ("objectIdToMerge", false)] {
            let id = number(&request[name]);
            if full {
                self.import(of, &survivor, Some(id));
            }
            self.bare(of, id);
        }
    }

    /// Properties that a write names: there unless the answer says they are
    /// not, with the options it took.
    fn writable(&mut self, of: TypeAt, properties: &Value) {
        let Some(properties) = properties.as_object() else { return };
        let problems = self.problems();
        for (name, value) in properties {
            if problems.iter().any(|problem| problem.name == *name) {
                continue;
            }
            let echoed = self.results().find_map(|record| record["properties"][name].as_str());
            let echoed = echoed.map(str::to_owned);
            let slot = self.property(of, name, echoed.as_deref());
            self.allow(of, slot, &text_of(value));
            if let Some(property) = self.account.tables[of].catalogue.find_mut(name) {
                property.read_only = false;
                property.usable_from = LONG_AGO;
            }
        }
        if self.is_success() {
            let given: Vec<String> = properties.keys().cloned().collect();
            self.account.tables[of].object_type.required.retain(|name| given.contains(name));
        }
    }

    /// Makes the properties that a refusal names such that the values must be
    /// refused.
    fn refusals(&mut self, of: TypeAt) {
        for Problem { name, code } in self.problems() {
            if code == "PROPERTY_DOESNT_EXIST" {
                self.lack(of, &name);
                continue;
            }
            let group = self.account.tables[of].object_type.group();
            let plain = Property::new(&name, Kind::Text, "text", &group, LONG_AGO);
            let catalogue = &mut self.account.tables[of].catalogue;
            let found = catalogue.find(&name).map(|(_, property)| property.clone());
            let mut property = found.unwrap_or(plain);
            match code.as_str() {
                "READ_ONLY_VALUE" => property.read_only = true,
                "INVALID_OPTION" if property.kind == Kind::Flag => {}
                "INVALID_OPTION" => property.kind = Kind::Choice,
                "INVALID_INTEGER" | "LEADING_TRAILING_WHITESPACE" => property.kind = Kind::Number,
                "INVALID_LONG" => property.kind = Kind::Moment,
                "INVALID_DATE" => property.kind = Kind::Day,
                _ => {}
            }
            if code != "READ_ONLY_VALUE" {
                property.read_only = false;
            }
            catalogue.add(property);
        }
        let message = self.recorded["message"].as_str().unwrap_or_default();
        if message.contains("required properties were not set") {
            let missing = texts(&self.recorded["context"]["properties"]);
            for name in &missing {
                self.property(of, name, None);
            }
            self.account.tables[of].object_type.required = missing;
        }
    }

    /// The refused values, wherever the answer lists them.
    fn problems(&self) -> Vec<Problem> {
        let entries = list(&self.recorded["errors"]);
        let messages = entries.iter().map(|entry| &entry["message"]);
        let messages = messages.chain([&self.recorded["message"]]).filter_map(Value::as_str);
        let listed = messages
            .filter_map(|message| message.strip_prefix("Property values were not valid: "))
            .filter_map(|text| serde_json::from_str::<Value>(text).ok())
            .flat_map(|problems| list(&problems));
        let of = |name: &Value, code: &Value| {
            Some(Problem { name: name.as_str()?.to_owned(), code: code.as_str()?.to_owned() })
        };
        let mut found: Vec<Problem> =
            listed.filter_map(|problem| of(&problem["name"], &problem["error"])).collect();
        let coded = entries
            .iter()
            .filter_map(|entry| of(&entry["context"]["propertyName"][0], &entry["code"]));
        found.extend(coded);
        found
    }

    /// What the account calculates on a write, or does not.
    pub(super) fn assume(&mut self, assumptions: &Assumptions) {
        let of = self.call.names.first().and_then(|name| self.account.type_at(name));
        let Some(of) = of else { return };
        for name in &assumptions.withheld {
            self.lack(of, name);
        }
        for name in &assumptions.calculated {
            let shown = self.results().find_map(|record| record["properties"][name].as_str());
            let value = shown.filter(|value| !value.is_empty()).unwrap_or("0").to_owned();
            let slot = self.property(of, name, Some(&value));
            self.allow(of, slot, &value);
            if let Some(property) = self.account.tables[of].catalogue.find_mut(name) {
                property.filled_in = Some(value);
            }
        }
    }
}

/// The input that a record answers: by trace, by id, by the key it was named
/// with, or the only one.
fn input_of<'a>(inputs: &'a [Value], record: &Value) -> &'a Value {
    let same_trace = |input: &&Value| {
        record["objectWriteTraceId"].is_string()
            && record["objectWriteTraceId"] == input["objectWriteTraceId"]
    };
    let same_id = |input: &&Value| match input["idProperty"].as_str() {
        None | Some("hs_object_id") => id_of(input).is_some() && id_of(input) == id_of(record),
        Some(key) => {
            let held = record["properties"][key].as_str().unwrap_or_default();
            held.eq_ignore_ascii_case(&text_of(&input["id"]))
        }
    };
    let found = inputs.iter().find(same_trace).or_else(|| inputs.iter().find(same_id));
    found.or(inputs.first()).unwrap_or(&Value::Null)
}
