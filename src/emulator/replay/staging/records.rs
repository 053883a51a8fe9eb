//! Records as reads and searches show them.

use serde_json::{Map, Value};

use super::{LONG_AGO, Stager, id_of, list, number, path_id, text_of, texts};
use crate::emulator::associations::TypeAt;
use crate::emulator::moment;
use crate::emulator::paths::Endpoint;
use crate::emulator::record::Source;
use crate::emulator::schema::Slot;

/// Records beside the shown ones that are put in place at most.
const MOST_OTHERS: u64 = 500;

impl Stager<'_> {
    pub(super) fn records(&mut self, endpoint: Endpoint, of: TypeAt) {
        let records: Vec<Value> = self.results().cloned().collect();
        let request = self.request();
        let mut asked = self.call.query_list("properties");
        asked.extend(self.call.query_list("propertiesWithHistory"));
        asked.extend(texts(&request["properties"]));
        asked.extend(texts(&request["propertiesWithHistory"]));
        self.lack_what_is_not_shown(of, &asked, &records);
        for record in &records {
            self.import(of, record, None);
            self.inline_associations(of, record);
        }
        let by_query = self.call.query("idProperty");
        let key = by_query.or_else(|| request["idProperty"].as_str().map(str::to_owned));
        match (endpoint, key.filter(|key| key != "hs_object_id"), records.first()) {
            (Endpoint::Read, Some(key), Some(record)) => {
                let value = self.call.name(1).to_owned();
                self.key(of, &key, &value, id_of(record));
            }
            (Endpoint::BatchRead, Some(key), _) => {
                for record in &records {
                    let value = record["properties"][&key].as_str().unwrap_or_default().to_owned();
                    self.key(of, &key, &value, id_of(record));
                }
            }
            (Endpoint::Read, None, Some(record)) => self.merged(of, record),
            _ => {}
        }
        let limit = self.call.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10);
        if self.recorded["paging"]["next"].is_object() {
            self.others(of, &records, limit);
        }
    }

    /// A record that answers to another id than its own was merged.
    fn merged(&mut self, of: TypeAt, record: &Value) {
        let asked = path_id(self.call.name(1));
        if let (Some(asked), Some(id)) = (asked, id_of(record))
            && asked != id
        {
            self.bare(of, asked);
            self.account.tables[of].set_merged(asked, id, LONG_AGO);
        }
    }

    /// Records like the last one, so that a page of a size is full and
    /// another follows.
    fn others(&mut self, of: TypeAt, records: &[Value], limit: u64) {
        let Some(last) = records.last() else { return };
        let last_id = records.iter().filter_map(id_of).max().unwrap_or_default();
        let lacking = limit.saturating_sub(records.len() as u64).min(MOST_OTHERS) + 1;
        for turn in 1..=lacking {
            self.import(of, last, Some(last_id + turn * 7));
        }
    }

    /// Properties that were asked for and that no record shows, not even as
    /// null, the account does not have.
    fn lack_what_is_not_shown(&mut self, of: TypeAt, asked: &[String], records: &[Value]) {
        if records.is_empty() {
            return;
        }
        for name in asked {
            let shown = records.iter().any(|record| {
                ["properties", "propertiesWithHistory"]
                    .iter()
                    .any(|member| record[*member].get(name).is_some())
            });
            if !shown {
                self.lack(of, name);
            }
        }
    }

    /// Makes a property one that can stand for an id, held by a record.
    pub(super) fn key(&mut self, of: TypeAt, name: &str, value: &str, id: Option<u64>) {
        let slot = self.property(of, name, Some(value));
        if let Some(property) = self.account.tables[of].catalogue.find_mut(name) {
            property.unique = true;
        }
        let Some(id) = id else { return };
        let table = &mut self.account.tables[of];
        let held = table.view(id).and_then(|view| view.value(slot));
        if held.is_none() {
            table.apply(id, vec![(slot, value.to_owned())], LONG_AGO, Source::Api, false);
        }
        table.remember(slot, held.unwrap_or_else(|| value.to_owned()).to_lowercase(), id);
        table.remember(slot, value.to_lowercase(), id);
    }

    /// Puts a record in place, under another id if one is given.
    pub(super) fn import(&mut self, of: TypeAt, record: &Value, id: Option<u64>) {
        let Some(own) = id.or_else(|| id_of(record)) else { return };
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
        if let Some(histories) = record["propertiesWithHistory"].as_object() {
            for (name, versions) in histories {
                let text = versions[0]["value"].as_str();
                let slot = self.property(of, name, text);
                let known = values.iter().any(|(other, _)| *other == slot);
                values.extend(text.filter(|_| !known).map(|text| (slot, text.to_owned())));
            }
        }
        let time = |name: &str| record[name].as_str().and_then(moment::parse);
        let created = time("createdAt").unwrap_or(LONG_AGO);
        let modified = time("updatedAt").unwrap_or(created);
        // Copies under other ids hold no unique value.
        let unique = self.unique(of, &values);
        let values = if id.is_some() { without(values, &unique) } else { values };
        let table = &mut self.account.tables[of];
        table.import(own, values, created, modified);
        if id.is_none() {
            for (slot, value) in unique {
                for part in value.split(';') {
                    table.remember(slot, part.to_lowercase(), own);
                }
            }
        }
        if record["archived"].as_bool() == Some(true) {
            let at = time("archivedAt").unwrap_or(modified);
            table.set_archived(own, Some(at), modified);
        }
    }

    fn unique(&self, of: TypeAt, values: &[(Slot, String)]) -> Vec<(Slot, String)> {
        let catalogue = &self.account.tables[of].catalogue;
        let unique = values.iter().filter(|(slot, _)| catalogue.at(*slot).unique);
        unique.filter(|(_, value)| !value.is_empty()).cloned().collect()
    }

    pub(super) fn inline_associations(&mut self, of: TypeAt, record: &Value) {
        let Some(id) = id_of(record) else { return };
        for (name, associates) in record["associations"].as_object().into_iter().flatten() {
            // Two words stand with a blank in the key, with a `_` in the path.
            let to = self.custom_type(&name.replace(' ', "_"));
            for other in list(&associates["results"]).iter().filter_map(id_of) {
                self.bare(to, other);
                self.account.associate(of, id, to, other, &[]);
            }
        }
    }

    /// Records that match: what a filter asks for and the answer does not
    /// show is filled in.
    pub(super) fn search(&mut self, of: TypeAt) {
        let mut records: Vec<Value> = self.results().cloned().collect();
        let request = self.request();
        let mut filters: Vec<Value> = list(&request["filters"]);
        for group in list(&request["filterGroups"]) {
            filters.extend(list(&group["filters"]));
        }
        let sorts = list(&request["sorts"]);
        let sorted =
            sorts.iter().filter_map(|sort| sort.as_str().or_else(|| sort["propertyName"].as_str()));
        let names = filters.iter().filter_map(|filter| filter["propertyName"].as_str());
        for name in names.chain(sorted).filter(|name| !name.starts_with("associations.")) {
            self.property(of, name.trim_start_matches('-'), None);
        }
        self.lack_what_is_not_shown(of, &texts(&request["properties"]), &records);
        for record in &mut records {
            for filter in &filters {
                fill(record, filter);
            }
            self.import(of, record, None);
            self.hide_change(of, record, &filters);
        }
        self.match_query(of, &records, &request);
        let shown = records.len() as u64;
        let before = number(&request["after"]);
        let total = self.recorded["total"].as_u64().unwrap_or(shown);
        if let Some(first) = records.first() {
            let first_id = id_of(first).unwrap_or(1_000);
            for at in 1..=before.min(MOST_OTHERS) {
                self.import(of, first, Some(first_id.saturating_sub(at)));
            }
        }
        let more = self.recorded["paging"]["next"].is_object();
        let limit = if request["limit"].is_null() { 10 } else { number(&request["limit"]) };
        let lacking = if more { limit.saturating_sub(shown) + 1 } else { 0 };
        if let Some(last) = records.last() {
            let last_id = id_of(last).unwrap_or_default();
            let others = total.saturating_sub(before + shown).max(lacking).min(MOST_OTHERS);
            for at in 1..=others {
                let id = last_id + at * 1_000;
                self.import(of, last, Some(id));
            }
        }
        self.search_associates(of, &filters);
    }

    /// A record that does not have what the search asked for had it until
    /// moments ago: the index has not seen the change.
    fn hide_change(&mut self, of: TypeAt, record: &Value, filters: &[Value]) {
        let Some(id) = id_of(record) else { return };
        for filter in filters.iter().filter(|filter| filter["operator"] == "EQ") {
            let Some(name) = filter["propertyName"].as_str() else { continue };
            let Some(shown) = record["properties"][name].as_str() else { continue };
            let wanted = text_of(&filter["value"]);
            let Some((slot, property)) = self.account.tables[of].catalogue.find(name) else {
                continue;
            };
            let texts = property.kind == crate::emulator::seed::plan::Kind::Text;
            if !texts || shown.eq_ignore_ascii_case(&wanted) {
                continue;
            }
            let now = self.account.now();
            self.account.index_lag = self.account.index_lag.max(60_000);
            let table = &mut self.account.tables[of];
            table.import(id, vec![(slot, wanted)], LONG_AGO, LONG_AGO);
            let properties = record["properties"].as_object().into_iter().flatten();
            let known: Vec<(Slot, String)> = properties
                .filter_map(|(name, value)| {
                    let (slot, _) = table.catalogue.find(name)?;
                    Some((slot, value.as_str()?.to_owned()))
                })
                .collect();
            table.apply(id, known, now, Source::Api, true);
        }
    }

    /// Gives records that show nothing of the searched words those words.
    fn match_query(&mut self, of: TypeAt, records: &[Value], request: &Value) {
        let Some(query) = request["query"].as_str().filter(|query| !query.is_empty()) else {
            return;
        };
        let Some(name) = self.account.tables[of].object_type.searchable.last().cloned() else {
            return;
        };
        let slot = self.property(of, &name, None);
        for record in records {
            let shown = record["properties"].to_string().to_lowercase();
            if let (Some(id), false) = (id_of(record), shown.contains(&query.to_lowercase())) {
                let table = &mut self.account.tables[of];
                table.apply(id, vec![(slot, query.to_owned())], LONG_AGO, Source::Api, false);
            }
        }
    }

    fn search_associates(&mut self, of: TypeAt, filters: &[Value]) {
        for filter in filters {
            let name =
                filter["propertyName"].as_str().and_then(|name| name.strip_prefix("associations."));
            let Some(to) = name.and_then(|name| self.account.type_at(name)) else { continue };
            let one = [filter["value"].clone()];
            let many = filter["values"].as_array().map_or(one.as_slice(), Vec::as_slice);
            for other in many.iter().map(number) {
                self.bare(to, other);
                let ids: Vec<u64> = self.account.tables[of].walk(0).map(|view| view.id).collect();
                for id in ids {
                    self.account.associate(of, id, to, other, &[]);
                }
            }
        }
    }
}

fn without(values: Vec<(Slot, String)>, dropped: &[(Slot, String)]) -> Vec<(Slot, String)> {
    let kept = |(slot, _): &(Slot, String)| !dropped.iter().any(|(other, _)| other == slot);
    values.into_iter().filter(kept).collect()
}

/// Gives a record what a filter asks for and the answer does not show.
fn fill(record: &mut Value, filter: &Value) {
    let Some(name) = filter["propertyName"].as_str() else { return };
    if name.starts_with("associations.") || record["properties"][name].is_string() {
        return;
    }
    let value = match filter["operator"].as_str() {
        Some("EQ" | "GTE" | "LTE" | "BETWEEN" | "CONTAINS_TOKEN") => &filter["value"],
        Some("GT" | "LT") => {
            let Some(beyond) = beside(filter) else { return };
            put(record, name, &beyond);
            return;
        }
        Some("IN") => &filter["values"][0],
        Some("HAS_PROPERTY") => &Value::Null,
        _ => return,
    };
    put(record, name, &text_of(value).replace('*', ""));
}

/// A number next to the bound of a filter, on the side it asks for.
fn beside(filter: &Value) -> Option<String> {
    let text = text_of(&filter["value"]);
    let bound = text.parse::<i64>().ok().or_else(|| moment::parse(&text))?;
    let step = if filter["operator"] == "GT" { 1 } else { -1 };
    Some((bound + step).to_string())
}

fn put(record: &mut Value, name: &str, text: &str) {
    if let Some(properties) = record.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(name.to_owned(), Value::String(text.to_owned()));
    }
}
