use std::collections::BTreeMap;

use serde::Serialize;

use super::client::{Client, check_count};
use super::error::Error;
use super::paths::Route;
use super::transport::{Answer, Effect, Request};

/// Events of one batch (section 13 of the API reference).
const MOST_EVENTS: usize = 500;

/// One occurrence of a custom event.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomEvent {
    /// The event's full name, `pe123456_my_event`.
    pub event_name: String,
    /// The record it happened to.
    pub object_id: String,
    /// When it happened, ISO 8601; the time of sending when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// The same for the same occurrence, however often it is sent.
    pub uuid: String,
    /// Values by internal name.
    pub properties: BTreeMap<String, String>,
}

impl Client {
    /// Sends up to 500 events. That HubSpot takes them does not say that it
    /// knows the record or the event: the answer is empty.
    ///
    /// # Errors
    /// `Interrupted` when they may have been taken; anything else means that
    /// none was.
    pub async fn send_events(&self, events: &[CustomEvent]) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Inputs<'a> {
            inputs: &'a [CustomEvent],
        }
        check_count(events.len(), MOST_EVENTS)?;
        let body =
            serde_json::to_vec(&Inputs { inputs: events }).expect("texts always become JSON");
        let request = self.post(Route::EventsSendBatch, &[], Effect::Write, body);
        self.send(Request { answer: Answer::Nothing, ..request }).await.map(drop)
    }
}

impl std::fmt::Debug for CustomEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("CustomEvent")
            .field("event_name", &self.event_name)
            .field("uuid", &self.uuid)
            .field("properties", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hubspot::scripted::{answer, scripted};

    #[tokio::test(start_paused = true)]
    async fn events_are_sent_with_an_id_of_their_own() {
        let (client, script) = scripted([answer(204, "", &[])]);
        let event = CustomEvent {
            event_name: "pe1_signed_in".into(),
            object_id: "51".into(),
            occurred_at: Some("2026-01-01T00:00:00Z".into()),
            uuid: "u-1".into(),
            properties: BTreeMap::from([("plan".into(), "s3cret".into())]),
        };
        assert!(!format!("{event:?}").contains("s3cret"));
        client.send_events(&[event]).await.expect("taken");
        let sent = &script.body_of(0)["inputs"][0];
        assert_eq!(sent["eventName"], "pe1_signed_in");
        assert_eq!(sent["uuid"], "u-1");
        assert_eq!(sent["properties"]["plan"], "s3cret");
    }
}
