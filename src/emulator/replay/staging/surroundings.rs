//! Owners, pipelines, lists, and the account itself.

use serde_json::Value;

use super::{LONG_AGO, Stager, list, number, path_id, texts};
use crate::emulator::associations::TypeAt;
use crate::emulator::lists::{List, Processing};
use crate::emulator::paths::Endpoint;
use crate::emulator::people::Owner;
use crate::emulator::pipelines::{Pipeline, Stage};

impl Stager<'_> {
    pub(super) fn owners(&mut self) {
        let email = self.call.query("email").unwrap_or_default();
        let by_user = self.call.query("idProperty").is_some_and(|name| name == "userId");
        let asked = path_id(self.call.name(0));
        let owner = |value: &Value| {
            let own = number(&value["id"]);
            let user = [&value["userIdIncludingInactive"], &value["userId"]];
            let user = user.into_iter().map(number).find(|id| *id > 0).unwrap_or(own);
            Owner {
                id: own,
                user_id: asked.filter(|_| by_user).unwrap_or(user),
                email: value["email"].as_str().unwrap_or(&email).to_lowercase(),
                first_name: String::new(),
                last_name: String::new(),
                team: value["teams"].is_array().then_some(0),
                created: LONG_AGO,
                updated: LONG_AGO,
                archived: value["archived"].as_bool().unwrap_or(false),
            }
        };
        let mut owners: Vec<Owner> = self.results().map(owner).collect();
        if let (true, Some(last)) = (self.recorded["paging"].is_object(), owners.last().cloned()) {
            let limit = self.call.query("limit").and_then(|limit| limit.parse().ok());
            let lacking = limit.unwrap_or(100_u64).saturating_sub(owners.len() as u64) + 1;
            let highest = owners.iter().map(|owner| owner.id).max().unwrap_or_default();
            for turn in 1..=lacking.min(500) {
                owners.push(Owner { id: highest + turn, ..last.clone() });
            }
        }
        self.account.owners = owners;
    }

    pub(super) fn details(&mut self) {
        self.account.currencies = texts(&self.recorded["additionalCurrencies"]);
    }

    pub(super) fn pipelines(&mut self, of: TypeAt, label: &str) {
        if !self.is_success() {
            return;
        }
        let stage = |(order, stage): (usize, &Value)| {
            let id = stage["id"].as_str().unwrap_or("1");
            Stage::new(id, id, order as i64, stage["metadata"].clone(), LONG_AGO)
        };
        let of_stages = label.contains("stage");
        let shown: Vec<Value> = self.results().cloned().collect();
        let named = self.call.name(1).to_owned();
        let pipelines: Vec<Pipeline> = match (of_stages, label.contains("create")) {
            (true, _) => {
                let mut stages: Vec<Stage> = shown.iter().enumerate().map(stage).collect();
                if !self.call.name(2).is_empty() && stages.is_empty() {
                    let id = self.call.name(2);
                    let metadata = serde_json::json!({"probability": "0.2", "ticketState": "OPEN"});
                    stages.push(Stage::new(id, id, 0, metadata, LONG_AGO));
                }
                vec![Pipeline::new(&named, &named, 0, stages, LONG_AGO)]
            }
            (false, true) => return,
            (false, false) if shown.is_empty() && !named.is_empty() => {
                vec![Pipeline::new(&named, &named, 0, Vec::new(), LONG_AGO)]
            }
            (false, false) => {
                let pipeline = |value: &Value| {
                    let stages = list(&value["stages"]);
                    let stages = stages.iter().enumerate().map(stage).collect();
                    let id = value["id"].as_str().unwrap_or("1");
                    Pipeline::new(id, id, 0, stages, LONG_AGO)
                };
                shown.iter().map(pipeline).collect()
            }
        };
        self.account.pipelines[of] = pipelines;
        self.account.refresh_stage_options(of);
    }

    pub(super) fn lists(&mut self, endpoint: Endpoint) {
        let status = self.exchange.status;
        let named = path_id(self.call.name(0)).filter(|_| status != 404);
        let mut shown = list(&self.recorded["lists"]);
        shown.extend(
            ["list", "updatedList"].iter().filter_map(|name| self.recorded.get(*name)).cloned(),
        );
        if endpoint != Endpoint::ListCreate {
            for value in &shown {
                self.list(number(&value["listId"]), value);
            }
        } else if status >= 400 && self.recorded.to_string().contains("DUPLICATE") {
            let request = self.request();
            self.list(1, &request);
        }
        if endpoint == Endpoint::ListsOfRecord {
            self.lists_of_record();
            return;
        }
        let known = named.is_some_and(|id| self.account.lists.contains_key(&id));
        if let Some(id) = named.filter(|_| !known) {
            let processing = if status == 400 { "DYNAMIC" } else { "MANUAL" };
            self.list(id, &serde_json::json!({"processingType": processing}));
        }
        if self.recorded["hasMore"].as_bool() == Some(true) {
            let last = shown.iter().map(|value| number(&value["listId"])).max().unwrap_or(1);
            let like = shown.last().cloned().unwrap_or_default();
            for turn in 1..=20 {
                self.list(last + turn, &like);
            }
        }
        self.members(named);
    }

    fn lists_of_record(&mut self) {
        let id = path_id(self.call.name(1)).unwrap_or(1);
        let of = self.account.type_at(self.call.name(0)).unwrap_or_default();
        self.bare(of, id);
        for value in list(&self.recorded["results"]) {
            let list_id = number(&value["listId"]);
            self.list(list_id, &value);
            if let Some(list) = self.account.lists.get_mut(&list_id) {
                list.of = of;
                list.members.insert(id, LONG_AGO);
            }
        }
    }

    fn members(&mut self, named: Option<u64>) {
        let of = named.and_then(|id| self.account.lists.get(&id)).map(|list| list.of);
        let of = of.or_else(|| self.account.type_at("contacts")).unwrap_or_default();
        let joined = list(&self.recorded["results"]);
        let more = self.recorded["paging"].is_object().then_some(u64::MAX);
        let ids = joined.iter().map(|entry| number(&entry["recordId"]));
        let removed = list(&self.recorded["recordIdsRemoved"]);
        let there = ids.chain(removed.iter().map(number)).chain(more);
        let mut there: Vec<u64> = there.collect();
        if more.is_some() {
            // A page of a size must be full for another to follow.
            let limit = self.call.query("limit").and_then(|limit| limit.parse().ok());
            let lacking = limit.unwrap_or(100_u64).saturating_sub(joined.len() as u64);
            let highest = joined.iter().map(|entry| number(&entry["recordId"])).max();
            there.extend((1..=lacking.min(250)).map(|turn| highest.unwrap_or_default() + turn));
        }
        let added: Vec<u64> = list(&self.recorded["recordsIdsAdded"]).iter().map(number).collect();
        let missing: Vec<u64> =
            list(&self.recorded["recordIdsMissing"]).iter().map(number).collect();
        let request = self.request();
        let mut asked: Vec<u64> = list(&request).iter().map(number).collect();
        asked.extend(list(&request["recordIdsToAdd"]).iter().map(number));
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

    /// A list as a description tells of it.
    fn list(&mut self, id: u64, like: &Value) {
        let type_id = like["objectTypeId"].as_str().unwrap_or("0-1");
        let of = self.custom_type(type_id);
        let name = like["name"].as_str().map_or_else(|| format!("list {id}"), str::to_owned);
        let processing = like["processingType"].as_str().and_then(Processing::of_wire);
        let list = List {
            id,
            name,
            of,
            type_id: type_id.to_owned(),
            processing: processing.unwrap_or(Processing::Manual),
            filter_branch: like.get("filterBranch").filter(|branch| branch.is_object()).cloned(),
            created: LONG_AGO,
            updated: LONG_AGO,
            members: Default::default(),
        };
        self.account.lists.insert(id, list);
    }
}
