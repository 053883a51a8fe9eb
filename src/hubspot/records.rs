use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::api_error::BatchError;
use super::error::{Error, Problem, Reason};
use super::wire::{Text, optional_micros, optional_text, or_default, record_id};
use crate::objects::RecordId;

/// A raw answer: JSON bytes as HubSpot sent them.
#[derive(Clone)]
pub struct Body {
    /// The JSON text.
    pub bytes: Bytes,
    /// 200, or 207 when some inputs of a batch read were not found.
    pub status: u16,
    /// The `Date` header (µs since 1970, UTC).
    pub server_time: Option<i64>,
    /// The id to quote to HubSpot's support.
    pub correlation_id: Option<String>,
}

impl Body {
    /// Decodes the body of a list, a search or a batch read.
    ///
    /// # Errors
    /// `BadResponse` when the body is no page of records.
    pub fn records(&self) -> Result<BatchReply, Error> {
        BatchReply::decode(self.status, &self.bytes, self.correlation_id.clone()).map_err(
            |problem| {
                let correlation_id = self.correlation_id.clone();
                Error::new(Reason::Misshapen { status: self.status, problem, correlation_id })
            },
        )
    }

    /// Why a batch read left out a record that may well be there: a 207 can
    /// say so beside its results. Records that are not there are no failure.
    pub fn refusal(&self) -> Option<Error> {
        #[derive(Deserialize)]
        struct Errors {
            #[serde(default, deserialize_with = "or_default")]
            errors: Vec<Value>,
        }
        if self.status != 207 {
            return None;
        }
        // A body that does not parse fails where its records are decoded.
        let reply: Errors = serde_json::from_slice(&self.bytes).ok()?;
        let refusal =
            reply.errors.iter().map(BatchError::from_wire).find(|error| !error.is_not_found())?;
        let mut api = refusal.into_api_error(self.status);
        api.correlation_id.clone_from(&self.correlation_id);
        Some(Error::new(Reason::Answered { api: Box::new(api), retry_after: None }))
    }
}

/// One input of a batch write.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteInput {
    /// The record's id, or its value of `id_property`; absent on create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The unique property that `id` is a value of; the record id when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_property: Option<String>,
    /// Values by internal name; `""` clears.
    pub properties: BTreeMap<String, String>,
    /// Unique within the batch; comes back with the input's outcome. Only
    /// when every input has one does a bad input not sink the whole batch.
    #[serde(rename = "objectWriteTraceId")]
    pub trace_id: String,
}

/// A page of records, or the reply to a batch.
///
/// Results are in no particular order and not every input need be in them:
/// match by trace id or id, never by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchReply {
    /// 200, 201 or 207.
    pub status: u16,
    /// The records that were read or written.
    pub results: Vec<Record>,
    /// The inputs that failed, possibly several to an entry.
    pub errors: Vec<BatchError>,
    /// The id to quote to HubSpot's support.
    pub correlation_id: Option<String>,
}

impl BatchReply {
    pub(super) fn decode(
        status: u16,
        body: &[u8],
        correlation_id: Option<String>,
    ) -> Result<Self, Problem> {
        let wire: WireReply = serde_json::from_slice(body)?;
        if wire.results.is_none() && wire.errors.is_empty() {
            // `{}` and the like: a success that tells of no input.
            return Err(Problem::Empty);
        }
        Ok(Self {
            status,
            results: wire.results.unwrap_or_default(),
            errors: wire.errors.iter().map(BatchError::from_wire).collect(),
            correlation_id,
        })
    }
}

#[derive(Deserialize)]
struct WireReply {
    #[serde(default)]
    results: Option<Vec<Record>>,
    #[serde(default, deserialize_with = "or_default")]
    errors: Vec<Value>,
}

/// One record as the API answers it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The record's id; that of the survivor when the one asked for was merged.
    #[serde(deserialize_with = "record_id")]
    pub id: RecordId,
    /// Values by internal name; after a write only what was sent and what
    /// HubSpot computed with it.
    #[serde(default, deserialize_with = "values")]
    pub properties: BTreeMap<String, Option<String>>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub created_at: Option<i64>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub updated_at: Option<i64>,
    /// Whether it lies in the recycle bin.
    #[serde(default, deserialize_with = "or_default")]
    pub archived: bool,
    /// The input it answers, where HubSpot echoes it.
    #[serde(default, rename = "objectWriteTraceId", deserialize_with = "optional_text")]
    pub trace_id: Option<String>,
    /// After an upsert: whether it was created.
    #[serde(default, rename = "new")]
    pub is_new: Option<bool>,
}

/// Property values: strings or null, and whatever else as its text.
fn values<'de, D>(deserializer: D) -> Result<BTreeMap<String, Option<String>>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Visitor;

    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = BTreeMap<String, Option<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("values by property name")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, Option<Text>>()? {
                values.insert(name, value.map(|text| text.0));
            }
            Ok(values)
        }
    }

    deserializer.deserialize_any(Visitor)
}

/// The body of a batch create, update or upsert.
pub(super) fn write_body(inputs: &[WriteInput]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        inputs: &'a [WriteInput],
    }
    serde_json::to_vec(&Inputs { inputs }).expect("texts always become JSON")
}

/// The body of a batch archive.
pub(super) fn archive_body(ids: &[RecordId]) -> Vec<u8> {
    let inputs: Vec<_> = ids.iter().map(|id| serde_json::json!({ "id": id.to_string() })).collect();
    serde_json::json!({ "inputs": inputs }).to_string().into_bytes()
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("status", &self.status)
            .field("length", &self.bytes.len())
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WriteInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteInput")
            .field("trace_id", &self.trace_id)
            .field("id_property", &self.id_property)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("properties", &self.properties.keys())
            .field("updated_at", &self.updated_at)
            .field("archived", &self.archived)
            .field("trace_id", &self.trace_id)
            .field("is_new", &self.is_new)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decode(status: u16, body: &Value) -> Result<BatchReply, Problem> {
        BatchReply::decode(status, body.to_string().as_bytes(), None)
    }

    #[test]
    fn a_record_is_read_in_every_shape() {
        let reply = decode(
            200,
            &json!({"status": "COMPLETE", "results": [
                {"id": "51854903510", "properties": {"email": "a@b.co", "phone": null, "n": 1, "b": true},
                 "createdAt": "2022-06-01T14:31:48.469Z", "updatedAt": "2025-07-07T20:27:17Z",
                 "archived": false, "new": true, "objectWriteTraceId": "t-1", "url": "https://x"},
                {"id": 7, "properties": null, "createdAt": null, "archived": null},
                {"id": "8"},
            ]}),
        )
        .expect("a reply");
        let [full, bare, barest] = reply.results.as_slice() else { panic!("three records") };
        assert_eq!(full.id, RecordId(51_854_903_510));
        assert_eq!(full.properties["email"].as_deref(), Some("a@b.co"));
        assert_eq!(full.properties["phone"], None);
        assert_eq!(full.properties["n"].as_deref(), Some("1"));
        assert_eq!(full.properties["b"].as_deref(), Some("true"));
        assert_eq!(full.created_at, Some(1_654_093_908_469_000));
        assert_eq!((full.trace_id.as_deref(), full.is_new), (Some("t-1"), Some(true)));
        assert_eq!((bare.id, bare.properties.len(), bare.archived), (RecordId(7), 0, false));
        assert_eq!(barest.updated_at, None);
        assert!(!format!("{reply:?}").contains("a@b.co"));
    }

    #[test]
    fn a_partial_failure_keeps_both_halves() {
        let reply = decode(
            207,
            &json!({"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [
                {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "m", "context": {"ids": ["123"]}}
            ]}),
        )
        .expect("a reply");
        assert!(reply.results.is_empty());
        assert_eq!(reply.errors[0].ids(), ["123"]);
    }

    #[test]
    fn a_success_that_tells_nothing_is_no_reply() {
        assert_eq!(decode(200, &json!({})), Err(Problem::Empty));
        assert_eq!(decode(200, &json!({"status": "COMPLETE"})), Err(Problem::Empty));
        assert!(matches!(decode(200, &json!({"results": [{}]})), Err(Problem::Shape { .. })));
        assert_eq!(BatchReply::decode(200, b"{\"results\":[", None), Err(Problem::Truncated));
    }

    #[test]
    fn an_input_carries_only_what_it_has() {
        let create = WriteInput {
            id: None,
            id_property: None,
            properties: BTreeMap::from([("email".into(), "a@b.co".into())]),
            trace_id: "t".into(),
        };
        let body: Value =
            serde_json::from_slice(&write_body(std::slice::from_ref(&create))).expect("JSON");
        assert_eq!(
            body,
            json!({"inputs": [{"properties": {"email": "a@b.co"}, "objectWriteTraceId": "t"}]})
        );
        let upsert =
            WriteInput { id: Some("a@b.co".into()), id_property: Some("email".into()), ..create };
        let body: Value = serde_json::from_slice(&write_body(&[upsert])).expect("JSON");
        assert_eq!(body["inputs"][0]["idProperty"], "email");
        let body: Value = serde_json::from_slice(&archive_body(&[RecordId(5)])).expect("JSON");
        assert_eq!(body, json!({"inputs": [{"id": "5"}]}));
    }
}
