use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::client::{Client, check_count};
use super::error::{Error, Problem};
use super::lists::List;
use super::paths::Route;
use super::transport::Effect;
use super::wire::{Text, or_default};
use crate::objects::{ObjectType, RecordId};

/// Ids of one change of a list. HubSpot publishes no limit for the call; the
/// 100,000 of `add-from` is the nearest one, and this stays well below it.
const MOST_CHANGED: usize = 1_000;

/// A static list to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewList {
    /// What a person sees; unique among the lists of the type.
    pub name: String,
    /// The type of its members.
    pub object: ObjectType,
}

/// What a change of members came to, as HubSpot tells it. Members that were
/// there already, or were not, are in none of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListChange {
    /// Records that joined.
    pub added: BTreeSet<RecordId>,
    /// Records that left.
    pub removed: BTreeSet<RecordId>,
    /// Ids of no record, and, of those to be removed, of no member.
    pub missing: BTreeSet<RecordId>,
}

impl Client {
    /// Adds and removes up to 1,000 members of a static list. Both may be
    /// repeated: who is there already, or is not, is left out of the answer.
    ///
    /// # Errors
    /// `Interrupted` when the change may have been made; `Refused` where the
    /// list is not static.
    pub async fn change_members(
        &self,
        list: &str,
        add: &[RecordId],
        remove: &[RecordId],
    ) -> Result<ListChange, Error> {
        check_count(add.len() + remove.len(), MOST_CHANGED)?;
        let texts = |ids: &[RecordId]| ids.iter().map(RecordId::to_string).collect::<Vec<_>>();
        let body = json!({"recordIdsToAdd": texts(add), "recordIdsToRemove": texts(remove)});
        let request = self.put(Route::MembershipsChange, &[list], body.to_string().into_bytes());
        self.decoded(request, |reply| ListChange::decode(&reply.body)).await
    }

    /// A list by its id.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn list(&self, id: &str) -> Result<List, Error> {
        Ok(self.fetch::<One>(self.get(Route::ListById, &[id], "")).await?.list)
    }

    /// A list by its name among those of an object type.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn list_named(&self, object: &ObjectType, name: &str) -> Result<List, Error> {
        let names = [object.type_id(), name];
        Ok(self.fetch::<One>(self.get(Route::ListByName, &names, "")).await?.list)
    }

    /// Creates a static list, empty.
    ///
    /// # Errors
    /// `Refused` when the name is taken.
    pub async fn create_list(&self, list: &NewList) -> Result<List, Error> {
        let body = json!({
            "name": list.name,
            "objectTypeId": list.object.type_id(),
            "processingType": "MANUAL",
        });
        let request = self.post(Route::Lists, &[], Effect::Write, body.to_string().into_bytes());
        Ok(self.fetch::<One>(request).await?.list)
    }
}

#[derive(Deserialize)]
struct One {
    list: List,
}

impl ListChange {
    fn decode(body: &[u8]) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            // The spelling of the first has been seen both ways.
            #[serde(default, alias = "recordIdsAdded", deserialize_with = "or_default")]
            records_ids_added: Vec<Text>,
            #[serde(default, alias = "recordsIdsRemoved", deserialize_with = "or_default")]
            record_ids_removed: Vec<Text>,
            #[serde(default, alias = "recordsIdsMissing", deserialize_with = "or_default")]
            record_ids_missing: Vec<Text>,
        }
        let wire: Wire = serde_json::from_slice(body)?;
        let ids = |texts: Vec<Text>| texts.iter().filter_map(|text| text.0.parse().ok()).collect();
        Ok(Self {
            added: ids(wire.records_ids_added),
            removed: ids(wire.record_ids_removed),
            missing: ids(wire.record_ids_missing),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hubspot::scripted::{answer, scripted};

    #[tokio::test(start_paused = true)]
    async fn a_change_tells_who_joined_who_left_and_who_is_nobody() {
        let body =
            r#"{"recordsIdsAdded":["2","1"],"recordIdsRemoved":[3],"recordIdsMissing":["9"]}"#;
        let (client, script) = scripted([answer(200, body, &[]), answer(200, "{}", &[])]);
        let ids = |ids: &[i64]| ids.iter().copied().map(RecordId).collect::<Vec<_>>();
        let change =
            client.change_members("7", &ids(&[1, 2, 9]), &ids(&[3])).await.expect("a change");
        assert_eq!(change.added, BTreeSet::from([RecordId(1), RecordId(2)]));
        assert_eq!(change.removed, BTreeSet::from([RecordId(3)]));
        assert_eq!(change.missing, BTreeSet::from([RecordId(9)]));
        let again = client.change_members("7", &ids(&[1]), &[]).await.expect("a change");
        assert_eq!(again, ListChange::default());
        let sent = script.requests();
        assert_eq!(sent[0].method, reqwest::Method::PUT);
        assert!(sent[0].url.ends_with("/7/memberships/add-and-remove"), "{}", sent[0].url);
    }
}
