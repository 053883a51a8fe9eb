use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api_error::BatchError;
use super::client::{Client, check_count};
use super::directory::Paging;
use super::error::{Error, Problem, Reason};
use super::paging::MOST_EMPTY_PAGES;
use super::paths::Route;
use super::transport::Effect;
use super::wire::{or_default, record_id};
use crate::objects::{AssociationCategory, AssociationType, ObjectType, RecordId};

/// Inputs of one association batch read, enforced since 10 February 2025.
const MOST_INPUTS: usize = 1_000;

/// One way in which one record is associated with another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Association {
    /// The record asked about.
    pub from: RecordId,
    /// The record on the other side.
    pub to: RecordId,
    /// How they are associated; one pair can carry several types.
    pub association: AssociationType,
}

impl Client {
    /// All associations from up to 1,000 records to records of another type,
    /// every page of every record. Records that have none, or are gone, are
    /// absent; the order is HubSpot's and not stable.
    ///
    /// # Errors
    /// As any read; a failure on any page fails the whole.
    pub async fn associations(
        &self,
        from: &ObjectType,
        to: &ObjectType,
        ids: &[RecordId],
    ) -> Result<Vec<Association>, Error> {
        check_count(ids.len(), MOST_INPUTS)?;
        let distinct: BTreeSet<_> = ids.iter().copied().collect();
        let mut inputs: Vec<_> = distinct.into_iter().map(|id| Input::new(id, None)).collect();
        let (mut all, mut empty) = (Vec::new(), 0);
        while !inputs.is_empty() {
            let page = self.association_page(from, to, &inputs, empty >= MOST_EMPTY_PAGES).await?;
            empty = if page.associations.is_empty() { empty + 1 } else { 0 };
            all.extend(page.associations);
            inputs = page.next;
        }
        Ok(all)
    }

    async fn association_page(
        &self,
        from: &ObjectType,
        to: &ObjectType,
        inputs: &[Input],
        must_show: bool,
    ) -> Result<Page, Error> {
        let names = [from.name(), to.name()];
        let body = serde_json::to_vec(&Inputs { inputs }).expect("texts always become JSON");
        let request = self.post(Route::AssociationsBatchRead, &names, Effect::Read, body);
        let name = request.name.clone();
        let (status, wire) = self
            .decoded(request, |reply| {
                let wire: WireReply = serde_json::from_slice(&reply.body)?;
                wire.check_progress(inputs)?;
                if must_show && wire.shows_nothing_and_goes_on() {
                    return Err(Problem::Endless);
                }
                Ok((reply.status, wire))
            })
            .await?;
        wire.into_page().map_err(|refusal| {
            let api = Box::new(refusal.into_api_error(status));
            Error::of_call(name, Effect::Read, 1, Reason::Answered { api, retry_after: None })
        })
    }
}

#[derive(Serialize)]
struct Inputs<'a> {
    inputs: &'a [Input],
}

#[derive(Serialize)]
struct Input {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl Input {
    fn new(id: RecordId, after: Option<String>) -> Self {
        Self { id: id.to_string(), after }
    }
}

/// What one call brought, and what it left to ask for.
struct Page {
    associations: Vec<Association>,
    next: Vec<Input>,
}

#[derive(Deserialize)]
struct WireReply {
    #[serde(default)]
    results: Option<Vec<WireResult>>,
    #[serde(default, deserialize_with = "or_default")]
    errors: Vec<Value>,
}

#[derive(Deserialize)]
struct WireResult {
    from: WireFrom,
    #[serde(default, deserialize_with = "or_default")]
    to: Vec<WireTo>,
    #[serde(default)]
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct WireFrom {
    #[serde(deserialize_with = "record_id")]
    id: RecordId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTo {
    /// A JSON number on the wire, a string by description.
    #[serde(deserialize_with = "record_id")]
    to_object_id: RecordId,
    #[serde(default, deserialize_with = "or_default")]
    association_types: Vec<WireType>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireType {
    category: String,
    type_id: i64,
    #[serde(default)]
    label: Option<String>,
}

impl WireReply {
    /// Whether the answer tells of its inputs, and goes on: a record whose next
    /// page is the one just read would be read for ever.
    fn check_progress(&self, inputs: &[Input]) -> Result<(), Problem> {
        if self.results.is_none() && self.errors.is_empty() {
            // `{}` and the like: it must not read as no associations.
            return Err(Problem::Empty);
        }
        let asked: BTreeMap<&str, Option<&str>> =
            inputs.iter().map(|input| (input.id.as_str(), input.after.as_deref())).collect();
        let stuck = self.results.iter().flatten().any(|result| {
            let next = result.paging.as_ref().and_then(Paging::next_cursor);
            next.is_some() && asked.get(result.from.id.to_string().as_str()) == Some(&next)
        });
        if stuck { Err(Problem::Circular) } else { Ok(()) }
    }

    fn shows_nothing_and_goes_on(&self) -> bool {
        let mut results = self.results.iter().flatten();
        let cursor = |result: &WireResult| {
            result.paging.as_ref().and_then(Paging::next_cursor).map(str::to_owned)
        };
        results.clone().all(|result| result.to.is_empty())
            && results.any(|result| cursor(result).is_some())
    }

    fn into_page(self) -> Result<Page, BatchError> {
        for error in self.errors.iter().map(BatchError::from_wire) {
            if !tells_of_no_associations(&error) {
                return Err(error);
            }
        }
        let mut page = Page { associations: Vec::new(), next: Vec::new() };
        for result in self.results.into_iter().flatten() {
            let from = result.from.id;
            page.associations.extend(result.to.into_iter().flat_map(|to| to.into_all(from)));
            if let Some(after) = result.paging.and_then(Paging::cursor) {
                page.next.push(Input::new(from, Some(after)));
            }
        }
        Ok(page)
    }
}

impl WireTo {
    fn into_all(self, from: RecordId) -> impl Iterator<Item = Association> {
        let to = self.to_object_id;
        self.association_types.into_iter().map(move |wire| Association {
            from,
            to,
            association: AssociationType {
                category: AssociationCategory::from_wire(&wire.category),
                type_id: wire.type_id,
                // The unlabelled type reads `null`; some answers have `""`.
                label: wire.label.filter(|label| !label.is_empty()),
            },
        })
    }
}

/// A record without associations is an error of its own on the wire, and so is
/// one deleted since its id was read.
fn tells_of_no_associations(error: &BatchError) -> bool {
    let sub_category = error.sub_category.as_deref().unwrap_or_default();
    sub_category.ends_with("NO_ASSOCIATIONS_FOUND")
        || sub_category.ends_with("FROM_OBJECT_NOT_FOUND")
        || (sub_category.is_empty() && error.category.as_deref() == Some("OBJECT_NOT_FOUND"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(body: Value) -> Result<Page, BatchError> {
        serde_json::from_value::<WireReply>(body).expect("a reply").into_page()
    }

    #[tokio::test(start_paused = true)]
    async fn pages_that_show_no_association_for_ever_end() {
        use crate::hubspot::ErrorKind;
        use crate::hubspot::scripted::{answer, scripted};

        let page = |at: u32| {
            let results =
                json!([{"from": {"id": "1"}, "to": [], "paging": {"next": {"after": at}}}]);
            json!({"status": "COMPLETE", "results": results}).to_string()
        };
        let (client, script) = scripted((0..200).map(|at| answer(200, &page(at), &[])));
        let (from, to) = (ObjectType::CONTACTS, ObjectType::DEALS);
        let read = client.associations(&from, &to, &[RecordId(1)]).await;
        let error = read.expect_err("no end");
        assert_eq!(error.kind(), ErrorKind::BadResponse);
        assert!(error.to_string().contains("shows nothing"), "{error}");
        assert_eq!(script.requests().len(), 51);
    }

    #[test]
    fn a_pair_has_one_row_per_type_and_pages_per_record() {
        let page = page(json!({"status": "COMPLETE", "results": [
            {"from": {"id": "33451"}, "to": [{"toObjectId": 5790939450_i64, "associationTypes": [
                {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
                {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": null},
                {"category": "USER_DEFINED", "typeId": 28, "label": "Billing contact"}]}],
             "paging": {"next": {"after": "NTc%3D", "link": "x"}}},
            {"from": {"id": 2}, "to": [{"toObjectId": "3", "associationTypes": [
                {"category": "WORK", "typeId": 9, "label": ""}]}]},
        ]}))
        .expect("a page");
        assert_eq!(page.associations.len(), 4);
        assert_eq!(page.associations[0].to, RecordId(5_790_939_450));
        assert_eq!(page.associations[1].association.label, None);
        assert_eq!(
            page.associations[3].association.category,
            AssociationCategory::Other("WORK".into())
        );
        assert_eq!(page.next.len(), 1);
        assert_eq!(page.next[0].after.as_deref(), Some("NTc%3D"));
    }

    #[test]
    fn none_is_an_empty_answer_and_a_bad_id_an_error() {
        let none = json!({"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [
            {"status": "error", "category": "OBJECT_NOT_FOUND",
             "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
             "message": "No company is associated with contact 1.",
             "context": {"fromObjectId": ["1"], "fromObjectType": ["contact"], "toObjectType": ["company"]}}]});
        assert!(page(none).expect("a page").associations.is_empty());
        let bad = json!({"results": [], "errors": [
            {"category": "VALIDATION_ERROR", "subCategory": "crm.associations.INVALID_IDENTIFIER", "message": "m"}]});
        assert!(page(bad).is_err());
    }

    #[test]
    fn a_cursor_that_does_not_move_is_refused() {
        let reply: WireReply = serde_json::from_value(
            json!({"results": [{"from": {"id": "1"}, "to": [], "paging": {"next": {"after": "7"}}}]}),
        )
        .expect("a reply");
        assert!(reply.check_progress(&[Input::new(RecordId(1), None)]).is_ok());
        let stuck = reply.check_progress(&[Input::new(RecordId(1), Some("7".into()))]);
        assert_eq!(stuck, Err(Problem::Circular));
    }

    #[test]
    fn an_answer_that_tells_nothing_is_not_one_of_no_associations() {
        for body in [json!({}), json!({"status": "COMPLETE"}), json!({"results": null})] {
            let reply: WireReply = serde_json::from_value(body).expect("a reply");
            assert_eq!(reply.check_progress(&[]), Err(Problem::Empty));
        }
    }
}
