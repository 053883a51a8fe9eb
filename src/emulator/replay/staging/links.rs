//! Who is associated with whom, and under which label.

use serde_json::Value;

use super::{Stager, id_of, list, number, path_id, text_of};
use crate::emulator::associations::TypeAt;
use crate::emulator::paths::Endpoint;

impl Stager<'_> {
    pub(super) fn links(&mut self, endpoint: Endpoint, from: TypeAt) {
        let other = if self.call.path.contains("/objects/") { 2 } else { 1 };
        let Some(to) = self.account.type_at(self.call.name(other)) else { return };
        match endpoint {
            Endpoint::RecordAssociations => self.associates(from, to),
            Endpoint::AssociationsRead => self.batch_associates(from, to),
            Endpoint::AssociationsCreate | Endpoint::AssociationsDefault => {
                self.associable(from, to);
            }
            Endpoint::PairCreate | Endpoint::PairDefault | Endpoint::PairCreateNamed => {
                self.pair(from, to);
            }
            Endpoint::Labels => {
                for entry in list(&self.recorded["results"]) {
                    self.kind(from, to, number(&entry["typeId"]) as u32, entry["label"].as_str());
                }
            }
            _ => {}
        }
    }

    fn associates(&mut self, from: TypeAt, to: TypeAt) {
        if !self.is_success() {
            return;
        }
        let id = path_id(self.call.name(1)).unwrap_or(1);
        self.bare(from, id);
        let results = list(&self.recorded["results"]);
        self.pairs(from, id, to, &results);
        if self.recorded["paging"]["next"].is_object() {
            let limit = self.call.query("limit").and_then(|limit| limit.parse().ok());
            self.more(from, id, to, &results, limit.unwrap_or(500));
        }
    }

    fn batch_associates(&mut self, from: TypeAt, to: TypeAt) {
        for result in list(&self.recorded["results"]) {
            let id = number(&result["from"]["id"]);
            self.bare(from, id);
            let entries = list(&result["to"]);
            self.pairs(from, id, to, &entries);
            if result["paging"]["next"].is_object() {
                self.more(from, id, to, &entries, 500);
            }
        }
    }

    /// Associates beyond those shown, until a page of a size is full and
    /// another follows.
    fn more(&mut self, from: TypeAt, id: u64, to: TypeAt, entries: &[Value], limit: usize) {
        let Some(last) = entries.iter().max_by_key(|entry| associate_of(entry)) else { return };
        let lacking = limit.saturating_sub(entries.len()).min(500) as u64 + 1;
        for turn in 1..=lacking {
            let other = associate_of(last) + turn;
            self.bare(to, other);
            self.account.associate(from, id, to, other, &[]);
        }
    }

    fn pairs(&mut self, from: TypeAt, id: u64, to: TypeAt, entries: &[Value]) {
        for entry in entries {
            let other = associate_of(entry);
            self.bare(to, other);
            let mut kinds = Vec::new();
            for kind in list(&entry["associationTypes"]) {
                let type_id = number(&kind["typeId"]) as u32;
                self.kind(from, to, type_id, kind["label"].as_str());
                kinds.push(type_id);
            }
            match kinds.is_empty() {
                // Version 3 names the kind instead, and the default has all.
                true => self.account.associate(from, id, to, other, &[]),
                false => self.account.associations.set(from, id, to, other, kinds),
            };
        }
    }

    /// A kind of association, made if there is none of that id.
    fn kind(&mut self, from: TypeAt, to: TypeAt, type_id: u32, label: Option<&str>) {
        if self.account.associations.kind(from, to, type_id).is_none() {
            let ids = [type_id, type_id.wrapping_add(100_000)];
            self.account.associations.add_pair(from, to, ids, "USER_DEFINED", "recorded", label);
        }
    }

    /// Both sides of every input, but those the answer calls invalid.
    fn associable(&mut self, from: TypeAt, to: TypeAt) {
        let told = self.recorded.to_string();
        for input in self.inputs() {
            for (at, side) in [(from, "from"), (to, "to")] {
                let text = text_of(&input[side]["id"]);
                let shouted = self.account.tables[at].object_type.shouted();
                let refused =
                    [format!("{shouted}={text} is not valid"), format!("{text} is not a valid ID")];
                let missing = list(&self.recorded["errors"]).iter().any(|error| {
                    let key = if side == "from" { "fromObjectId" } else { "toObjectId" };
                    let not_found = error["subCategory"]
                        .as_str()
                        .is_some_and(|sub| sub.ends_with("OBJECT_NOT_FOUND"));
                    not_found && error["context"][key].to_string().contains(&text)
                });
                if !missing && !refused.iter().any(|refused| told.contains(refused)) {
                    self.bare(at, number(&input[side]["id"]));
                }
            }
            for kind in list(&input["types"]) {
                let type_id = number(&kind["associationTypeId"]) as u32;
                let made =
                    self.results().find(|made| made["toObjectId"] == number(&input["to"]["id"]));
                let label = made.and_then(|made| made["labels"][0].as_str()).map(str::to_owned);
                if self.is_success() && type_id > 0 {
                    self.kind(from, to, type_id, label.as_deref());
                }
            }
        }
    }

    fn pair(&mut self, from: TypeAt, to: TypeAt) {
        if self.is_success() {
            self.bare(from, path_id(self.call.name(1)).unwrap_or(1));
            self.bare(to, path_id(self.call.name(3)).unwrap_or(1));
            let label = self.recorded["labels"][0].as_str().map(str::to_owned);
            for kind in list(&self.request()) {
                let type_id = number(&kind["associationTypeId"]) as u32;
                self.kind(from, to, type_id, label.as_deref());
            }
        }
    }
}

/// The other record of an entry: `toObjectId` in version 4, `id` in version 3.
fn associate_of(entry: &Value) -> u64 {
    match &entry["toObjectId"] {
        Value::Null => id_of(entry).unwrap_or_default(),
        id => number(id),
    }
}
