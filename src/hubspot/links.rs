use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::api_error::BatchError;
use super::client::{Client, check_count};
use super::error::{Error, Problem};
use super::paths::Route;
use super::transport::{Answer, Effect, Request};
use super::wire::{optional_text, or_default, record_id};
use crate::objects::{AssociationCategory, AssociationType, ObjectType, RecordId};

/// Inputs of one association batch create (section 11 of the API reference).
const MOST_CREATED: usize = 2_000;
/// Inputs of one association batch archive. The guide names no limit that has
/// been seen enforced; 100 is what every other batch takes.
const MOST_ARCHIVED: usize = 100;

/// One pair of records and the ways in which they are, or shall no longer be,
/// associated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEnd {
    /// The record on the side that the call names first.
    pub from: RecordId,
    /// The record on the other side.
    pub to: RecordId,
    /// Association types by category and id, in the direction `from` → `to`.
    pub types: BTreeSet<(String, i64)>,
}

/// The reply to an association batch create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReply {
    /// The pairs that the reply shows as associated, in no order.
    pub linked: BTreeSet<(RecordId, RecordId)>,
    /// What failed; an entry seldom says which pair it is about.
    pub errors: Vec<BatchError>,
    /// The id to quote to HubSpot's support.
    pub correlation_id: Option<String>,
}

/// A label to create for a pair of object types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLabel {
    /// The internal name: no hyphen, no digit in front.
    pub name: String,
    /// What a person sees.
    pub label: String,
    /// What a person sees from the other side, where that differs.
    pub inverse_label: Option<String>,
}

impl Client {
    /// Associates up to 2,000 pairs. What is sent **replaces** the labels of a
    /// pair: send those it has too. HubSpot adds the unlabelled type itself.
    ///
    /// # Errors
    /// `Interrupted` when the batch may have been applied; anything else means
    /// that nothing was.
    pub async fn associate(
        &self,
        from: &ObjectType,
        to: &ObjectType,
        pairs: &[LinkEnd],
    ) -> Result<LinkReply, Error> {
        check_count(pairs.len(), MOST_CREATED)?;
        let request =
            self.link_request(Route::AssociationsBatchCreate, from, to, typed_body(pairs));
        self.decoded(request, |reply| {
            let correlation_id = reply.correlation_id().map(str::to_owned);
            LinkReply::decode(&reply.body, correlation_id)
        })
        .await
    }

    /// Ends the association of up to 100 pairs, whatever their labels. Pairs
    /// that are not associated, or do not exist, count as done: the answer
    /// tells of none (recorded: 204 even for ids that are not there).
    ///
    /// # Errors
    /// As [`associate`](Self::associate).
    pub async fn dissociate(
        &self,
        from: &ObjectType,
        to: &ObjectType,
        pairs: &[LinkEnd],
    ) -> Result<(), Error> {
        check_count(pairs.len(), MOST_ARCHIVED)?;
        let input = |pair: &LinkEnd| json!({"from": {"id": pair.from.to_string()}, "to": [{"id": pair.to.to_string()}]});
        let inputs: Vec<Value> = pairs.iter().map(input).collect();
        let body = json!({ "inputs": inputs });
        let request = self.link_request(Route::AssociationsBatchArchive, from, to, body);
        self.send(Request { answer: Answer::Nothing, ..request }).await.map(drop)
    }

    /// Takes labels off up to 100 pairs, which stay associated. Not to be asked
    /// for the unlabelled type: that ends the association.
    ///
    /// # Errors
    /// As [`associate`](Self::associate).
    pub async fn unlabel(
        &self,
        from: &ObjectType,
        to: &ObjectType,
        pairs: &[LinkEnd],
    ) -> Result<(), Error> {
        check_count(pairs.len(), MOST_ARCHIVED)?;
        let request =
            self.link_request(Route::AssociationLabelsArchive, from, to, typed_body(pairs));
        self.send(Request { answer: Answer::Nothing, ..request }).await.map(drop)
    }

    /// The association types between two object types, in this direction: the
    /// unlabelled ones, HubSpot's labels, the account's own.
    ///
    /// # Errors
    /// As any read.
    pub async fn association_types(
        &self,
        from: &ObjectType,
        to: &ObjectType,
    ) -> Result<Vec<AssociationType>, Error> {
        let names = [from.name(), to.name()];
        let all: Types = self.fetch(self.get(Route::AssociationLabels, &names, "")).await?;
        Ok(all.results.into_iter().map(WireType::into_type).collect())
    }

    /// Creates a label for a pair of object types, in both directions. An
    /// account may have ten of its own per pair.
    ///
    /// # Errors
    /// `Refused` when the label exists or there is no room for one more.
    pub async fn create_label(
        &self,
        from: &ObjectType,
        to: &ObjectType,
        label: &NewLabel,
    ) -> Result<(), Error> {
        let mut body = json!({"name": label.name, "label": label.label});
        if let Some(inverse) = &label.inverse_label {
            body["inverseLabel"] = json!(inverse);
        }
        let request = self.link_request(Route::AssociationLabels, from, to, body);
        self.decoded(request, |_| Ok(())).await
    }

    fn link_request(
        &self,
        route: Route,
        from: &ObjectType,
        to: &ObjectType,
        body: Value,
    ) -> Request {
        let names = [from.name(), to.name()];
        self.post(route, &names, Effect::Write, body.to_string().into_bytes())
    }
}

/// The body of a create or a label archive.
fn typed_body(pairs: &[LinkEnd]) -> Value {
    let kind = |(category, id): &(String, i64)| json!({"associationCategory": category, "associationTypeId": id});
    let input = |pair: &LinkEnd| {
        let types: Vec<Value> = pair.types.iter().map(kind).collect();
        json!({
            "from": {"id": pair.from.to_string()},
            "to": {"id": pair.to.to_string()},
            "types": types,
        })
    };
    let inputs: Vec<Value> = pairs.iter().map(input).collect();
    json!({ "inputs": inputs })
}

#[derive(Deserialize)]
struct Types {
    results: Vec<WireType>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireType {
    category: String,
    type_id: i64,
    #[serde(default, deserialize_with = "optional_text")]
    label: Option<String>,
}

impl WireType {
    fn into_type(self) -> AssociationType {
        AssociationType {
            category: AssociationCategory::from_wire(&self.category),
            type_id: self.type_id,
            label: self.label.filter(|label| !label.is_empty()),
        }
    }
}

impl LinkReply {
    fn decode(body: &[u8], correlation_id: Option<String>) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            results: Option<Vec<Linked>>,
            #[serde(default, deserialize_with = "or_default")]
            errors: Vec<Value>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Linked {
            #[serde(deserialize_with = "record_id")]
            from_object_id: RecordId,
            #[serde(deserialize_with = "record_id")]
            to_object_id: RecordId,
        }
        let wire: Wire = serde_json::from_slice(body)?;
        if wire.results.is_none() && wire.errors.is_empty() {
            return Err(Problem::Empty);
        }
        let linked = wire.results.unwrap_or_default();
        Ok(Self {
            linked: linked
                .into_iter()
                .map(|pair| (pair.from_object_id, pair.to_object_id))
                .collect(),
            errors: wire.errors.iter().map(BatchError::from_wire).collect(),
            correlation_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hubspot::ErrorKind;
    use crate::hubspot::scripted::{answer, scripted};

    fn pair(from: i64, to: i64, types: &[i64]) -> LinkEnd {
        let types = types.iter().map(|id| ("HUBSPOT_DEFINED".to_owned(), *id)).collect();
        LinkEnd { from: RecordId(from), to: RecordId(to), types }
    }

    const PAIR: (ObjectType, ObjectType) = (ObjectType::CONTACTS, ObjectType::COMPANIES);

    #[tokio::test(start_paused = true)]
    async fn a_reply_names_the_pairs_that_are_associated() {
        let body = r#"{"status":"COMPLETE","results":[{"fromObjectTypeId":"0-1","fromObjectId":1,
            "toObjectTypeId":"0-2","toObjectId":"9","labels":["Primary Company"]}],"numErrors":1,
            "errors":[{"status":"error","category":"VALIDATION_ERROR","message":"CONTACT=2 is not valid"}]}"#;
        let (client, script) = scripted([answer(207, body, &[])]);
        let pairs = [pair(1, 9, &[1, 279]), pair(2, 9, &[279])];
        let reply = client.associate(&PAIR.0, &PAIR.1, &pairs).await.expect("a reply");
        assert_eq!(reply.linked, BTreeSet::from([(RecordId(1), RecordId(9))]));
        assert_eq!(reply.errors.len(), 1);
        let sent = &script.body_of(0)["inputs"][0];
        assert_eq!(sent["from"]["id"], "1");
        assert_eq!(sent["types"][1]["associationTypeId"], 279);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_tells_nothing_leaves_the_outcome_unknown() {
        let (client, _) = scripted([answer(201, "{}", &[])]);
        let error = client.associate(&PAIR.0, &PAIR.1, &[pair(1, 9, &[279])]).await;
        assert_eq!(error.expect_err("no outcome").kind(), ErrorKind::Interrupted);
    }

    #[tokio::test(start_paused = true)]
    async fn removal_is_answered_by_nothing_or_by_an_empty_batch() {
        let (client, script) = scripted([
            answer(204, "", &[]),
            answer(200, r#"{"status":"COMPLETE","results":[]}"#, &[]),
        ]);
        client.dissociate(&PAIR.0, &PAIR.1, &[pair(1, 9, &[])]).await.expect("done");
        client.unlabel(&PAIR.0, &PAIR.1, &[pair(1, 9, &[28])]).await.expect("done");
        assert_eq!(script.body_of(0)["inputs"][0]["to"][0]["id"], "9");
        assert!(script.requests()[1].url.ends_with("/contacts/companies/batch/labels/archive"));
    }
}
