//! Custom events: what happened to a record, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::moment;

/// One occurrence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    /// What makes it one and the same when it is sent twice.
    pub(crate) id: String,
    pub(crate) name: String,
    /// The plural name of the object type.
    pub(crate) of: String,
    pub(crate) record: u64,
    pub(crate) at: i64,
    pub(crate) properties: Map<String, Value>,
}

/// What an account says of one kind of event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) description: Option<String>,
    pub(crate) primary_object: String,
    pub(crate) properties: Vec<Value>,
    pub(crate) created: i64,
}

/// All that was sent, oldest first, and the kinds that were defined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Events {
    pub(crate) all: Vec<Event>,
    pub(crate) definitions: BTreeMap<String, Definition>,
}

impl Events {
    /// Whether nothing was ever sent or defined.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.definitions.is_empty()
    }

    /// Keeps an event; one that was sent before counts once.
    pub(crate) fn add(&mut self, event: Event) {
        if self.all.iter().all(|other| other.id != event.id) {
            self.all.push(event);
        }
    }
}

impl Event {
    /// The event as the events API answers it.
    pub(crate) fn to_json(&self, object_type: &str) -> Value {
        json!({
            "objectType": object_type,
            "objectId": self.record.to_string(),
            "eventType": self.name,
            "occurredAt": moment::exact(self.at),
            "id": self.id,
            "properties": self.properties,
        })
    }
}

impl Definition {
    /// The definition as the events API answers it.
    pub(crate) fn to_json(&self, fully_qualified: &str) -> Value {
        json!({
            "name": self.name,
            "fullyQualifiedName": fully_qualified,
            "label": self.label,
            "description": self.description,
            "primaryObject": self.primary_object,
            "properties": self.properties,
            "createdAt": moment::exact(self.created),
            "archived": false,
        })
    }
}
