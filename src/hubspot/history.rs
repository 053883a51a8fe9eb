use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use super::api_error::BatchError;
use super::client::{Client, check_count};
use super::error::{Error, Reason};
use super::paths::Route;
use super::transport::Effect;
use super::wire::{optional_micros, optional_text, or_default, record_id};
use crate::objects::{ObjectType, RecordId};

/// Inputs of a batch read that asks for histories; above it HubSpot answers 400.
const MOST_INPUTS: usize = 50;

/// A value that a property of a record had from some moment on.
#[derive(Clone, PartialEq, Eq)]
pub struct PropertyVersion {
    /// The record.
    pub id: RecordId,
    /// The property's internal name.
    pub property: String,
    /// The value; `None` where it was cleared.
    pub value: Option<String>,
    /// Since when (µs since 1970, UTC).
    pub timestamp: i64,
    /// What set it: `CRM_UI`, `IMPORT`, `INTEGRATION`, …
    pub source_type: Option<String>,
    /// Which one of these.
    pub source_id: Option<String>,
    /// What a person sees of it.
    pub source_label: Option<String>,
    /// The user behind it.
    pub updated_by_user_id: Option<i64>,
}

impl fmt::Debug for PropertyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropertyVersion")
            .field("id", &self.id)
            .field("property", &self.property)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// The versions that HubSpot still shows of some properties of up to 50
    /// live records. Records that are gone are absent; the depth is capped.
    ///
    /// # Errors
    /// As any read.
    pub async fn property_history(
        &self,
        object: &ObjectType,
        ids: &[RecordId],
        properties: &[String],
    ) -> Result<Vec<PropertyVersion>, Error> {
        check_count(ids.len(), MOST_INPUTS)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let inputs: Vec<_> = ids.iter().map(|id| json!({ "id": id.to_string() })).collect();
        let body = json!({
            "properties": ["hs_object_id"],
            "propertiesWithHistory": properties,
            "inputs": inputs,
        });
        let body = body.to_string().into_bytes();
        let request = self.post(Route::BatchRead, &[object.name()], Effect::Read, body);
        let name = request.name.clone();
        let (status, reply) = self
            .decoded(request, |reply| {
                let wire: WireReply = serde_json::from_slice(&reply.body)?;
                Ok((reply.status, wire))
            })
            .await?;
        let refusal =
            reply.errors.iter().map(BatchError::from_wire).find(|error| !error.is_not_found());
        if let Some(refusal) = refusal {
            let api = Box::new(refusal.into_api_error(status));
            let reason = Reason::Answered { api, retry_after: None };
            return Err(Error::of_call(name, Effect::Read, 1, reason));
        }
        Ok(reply.results.into_iter().flat_map(WireRecord::into_versions).collect())
    }
}

#[derive(Deserialize)]
struct WireReply {
    results: Vec<WireRecord>,
    #[serde(default, deserialize_with = "or_default")]
    errors: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRecord {
    #[serde(deserialize_with = "record_id")]
    id: RecordId,
    #[serde(default, deserialize_with = "or_default")]
    properties_with_history: BTreeMap<String, Vec<WireVersion>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireVersion {
    #[serde(default, deserialize_with = "optional_text")]
    value: Option<String>,
    #[serde(default, deserialize_with = "optional_micros")]
    timestamp: Option<i64>,
    #[serde(default, deserialize_with = "optional_text")]
    source_type: Option<String>,
    #[serde(default, deserialize_with = "optional_text")]
    source_id: Option<String>,
    #[serde(default, deserialize_with = "optional_text")]
    source_label: Option<String>,
    #[serde(default, deserialize_with = "optional_text")]
    updated_by_user_id: Option<String>,
}

impl WireRecord {
    fn into_versions(self) -> impl Iterator<Item = PropertyVersion> {
        let id = self.id;
        self.properties_with_history.into_iter().flat_map(move |(property, versions)| {
            versions.into_iter().map(move |wire| PropertyVersion {
                id,
                property: property.clone(),
                value: wire.value.filter(|value| !value.is_empty()),
                // A version without a time is as old as time is.
                timestamp: wire.timestamp.unwrap_or(0),
                source_type: wire.source_type,
                source_id: wire.source_id,
                source_label: wire.source_label,
                updated_by_user_id: wire.updated_by_user_id.and_then(|id| id.parse().ok()),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::hubspot::ErrorKind;
    use crate::hubspot::scripted::{answer, scripted};
    use crate::objects::{ObjectType, RecordId};

    #[tokio::test(start_paused = true)]
    async fn versions_are_read_and_missing_records_are_no_failure() {
        let body = json!({"status": "COMPLETE", "results": [{"id": "1", "properties": {},
            "propertiesWithHistory": {"stage": [
                {"value": "b", "timestamp": "2024-01-02T00:00:00Z", "sourceType": "CRM_UI",
                 "sourceId": "userId:7", "updatedByUserId": 7},
                {"value": "", "timestamp": "1970-01-01T00:00:00Z", "sourceType": "API"}]}}],
            "errors": [{"category": "OBJECT_NOT_FOUND", "message": "m", "context": {"ids": ["2"]}}]});
        let (client, script) = scripted([answer(207, &body.to_string(), &[])]);
        let ids = [RecordId(1), RecordId(2)];
        let contacts = ObjectType::CONTACTS;
        let read = client.property_history(&contacts, &ids, &["stage".into()]).await;
        let read = read.expect("versions");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].value.as_deref(), read[0].updated_by_user_id), (Some("b"), Some(7)));
        assert_eq!((read[1].value.as_deref(), read[1].timestamp), (None, 0));
        assert_eq!(script.body_of(0)["propertiesWithHistory"], json!(["stage"]));
        assert!(!format!("{read:?}").contains("userId:7"));
        let many: Vec<_> = (0..51).map(RecordId).collect();
        let error = client.property_history(&contacts, &many, &[]).await.expect_err("too many");
        assert_eq!(error.kind(), ErrorKind::Refused);
    }
}
