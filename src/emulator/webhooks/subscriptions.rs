//! What an app may subscribe to, and where it may be told.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Host, Url};

use super::super::moment;

/// Subscriptions an app may have.
pub(crate) const MOST: usize = 1_000;
/// Requests in flight to an app that does not say how many it stands.
pub(crate) const CONCURRENCY: u32 = 10;

/// Whose events a subscription hears, by its name in event types, and the
/// object type behind it.
const SUBJECTS: [(&str, Option<&str>); 9] = [
    ("contact", Some("0-1")),
    ("company", Some("0-2")),
    ("deal", Some("0-3")),
    ("ticket", Some("0-5")),
    ("product", Some("0-7")),
    ("line_item", Some("0-8")),
    ("object", None),
    ("conversation", None),
    ("event", None),
];

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Creation,
    Deletion,
    PrivacyDeletion,
    Merge,
    Restore,
    PropertyChange,
    AssociationChange,
    /// Of conversations only, which the emulator does not have.
    NewMessage,
    /// Of custom events only, which the emulator does not have.
    Completed,
}

impl Action {
    const ALL: [(&'static str, Self); 9] = [
        ("creation", Self::Creation),
        ("deletion", Self::Deletion),
        ("privacyDeletion", Self::PrivacyDeletion),
        ("merge", Self::Merge),
        ("restore", Self::Restore),
        ("propertyChange", Self::PropertyChange),
        ("associationChange", Self::AssociationChange),
        ("newMessage", Self::NewMessage),
        ("completed", Self::Completed),
    ];

    fn is_known_of(self, subject: &str) -> bool {
        match subject {
            "conversation" => matches!(
                self,
                Self::Creation
                    | Self::Deletion
                    | Self::PrivacyDeletion
                    | Self::PropertyChange
                    | Self::NewMessage
            ),
            "event" => self == Self::Completed,
            _ => match self {
                Self::NewMessage | Self::Completed => false,
                Self::PrivacyDeletion => subject == "contact",
                Self::AssociationChange => subject != "product",
                _ => true,
            },
        }
    }
}

/// An event type, such as `contact.creation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventType {
    subject: &'static str,
    type_id: Option<&'static str>,
    pub(crate) action: Action,
    name: &'static str,
}

impl EventType {
    /// The event type of a name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (subject, action) = text.split_once('.')?;
        let (subject, type_id) = SUBJECTS.into_iter().find(|(known, _)| *known == subject)?;
        let (name, action) = Action::ALL.into_iter().find(|(known, _)| *known == action)?;
        action.is_known_of(subject).then_some(Self { subject, type_id, action, name })
    }

    /// All there are, for messages.
    pub(crate) fn all() -> Vec<String> {
        let of = |(subject, _): (&'static str, _)| {
            let actions =
                Action::ALL.into_iter().filter(move |(_, action)| action.is_known_of(subject));
            actions.map(move |(name, _)| format!("{subject}.{name}"))
        };
        SUBJECTS.into_iter().flat_map(of).collect()
    }

    /// Its name, `contact.creation`.
    pub(crate) fn text(&self) -> String {
        format!("{}.{}", self.subject, self.name)
    }

    /// Whether it is one of those that need an object type's id.
    pub(crate) fn is_generic(&self) -> bool {
        self.subject == "object"
    }

    /// Whether only newer descriptions know it.
    pub(crate) fn is_new(&self) -> bool {
        self.subject == "event"
    }
}

/// What an app wants to hear of.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) id: u64,
    pub(crate) event_type: EventType,
    /// For property changes: of which property. None hears all, which only
    /// the control API can ask for.
    pub(crate) property: Option<String>,
    pub(crate) object_type_id: Option<String>,
    pub(crate) active: bool,
    pub(crate) created: i64,
    pub(crate) updated: Option<i64>,
}

impl Subscription {
    /// Whether it hears of an action on a type's records.
    pub(crate) fn hears(&self, type_id: &str, action: Action, property: Option<&str>) -> bool {
        let wanted = match self.event_type.is_generic() {
            true => self.object_type_id.as_deref(),
            false => self.event_type.type_id,
        };
        self.active
            && self.event_type.action == action
            && wanted == Some(type_id)
            && (self.property.is_none() || self.property.as_deref() == property)
    }

    /// Whether both hear of the same.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.event_type == other.event_type
            && self.property == other.property
            && self.object_type_id == other.object_type_id
    }

    /// The subscription as the API answers it.
    pub(crate) fn to_json(&self) -> Value {
        let mut body = json!({
            "id": self.id.to_string(),
            "createdAt": moment::exact(self.created),
            "eventType": self.event_type.text(),
            "active": self.active,
        });
        if let Some(updated) = self.updated {
            body["updatedAt"] = json!(moment::exact(updated));
        }
        if let Some(property) = &self.property {
            body["propertyName"] = json!(property);
        }
        if let Some(id) = &self.object_type_id {
            body["objectTypeId"] = json!(id);
        }
        body
    }
}

/// Whether a text looks like `0-1` or `2-3604285`.
pub(crate) fn is_type_id(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(meta, number)| digits(meta) && digits(number))
}

/// Where an app is told, and how fast.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) target: Url,
    pub(crate) concurrency: u32,
    /// Older descriptions have it; it means nothing here.
    pub(crate) period: Option<String>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
}

impl Settings {
    /// The settings as the API answers them.
    pub(crate) fn to_json(&self) -> Value {
        let mut throttling = json!({"maxConcurrentRequests": self.concurrency});
        if let Some(period) = &self.period {
            throttling["period"] = json!(period);
        }
        json!({
            "targetUrl": self.target.as_str(),
            "throttling": throttling,
            "createdAt": moment::exact(self.created),
            "updatedAt": moment::exact(self.updated),
        })
    }
}

/// A target URL, which must lead to this machine: the emulator never calls
/// out. HubSpot takes `https` only; nobody has that on a loopback address.
pub(crate) fn target(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if here && matches!(url.scheme(), "http" | "https") {
        return Ok(url);
    }
    Err(format!(
        "The emulator never calls out, and `{text}` is not on this machine: use a target such as \
         `http://127.0.0.1:3000/hubspot`"
    ))
}

impl FromStr for WebhookApp {
    type Err = String;

    /// An app that hears of everything, at a target URL on this machine.
    fn from_str(text: &str) -> Result<Self, String> {
        target(text).map(|_| Self::new(text))
    }
}

/// A subscription as the control API takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSubscription {
    /// The event type, `contact.propertyChange`.
    pub event_type: String,
    /// Of a property change, which property; none hears of all, which
    /// HubSpot itself does not offer.
    #[serde(default)]
    pub property_name: Option<String>,
    /// For `object.*`, the id of the object type, `0-1`.
    #[serde(default)]
    pub object_type_id: Option<String>,
    /// Whether it is in force.
    #[serde(default = "yes")]
    pub active: bool,
}

impl WebhookSubscription {
    /// An active subscription to an event type.
    pub fn to(event_type: &str) -> Self {
        Self {
            event_type: event_type.to_owned(),
            property_name: None,
            object_type_id: None,
            active: true,
        }
    }

    /// The same for one property.
    pub fn property(mut self, name: &str) -> Self {
        self.property_name = Some(name.to_owned());
        self
    }

    /// The same for one object type, by its id.
    pub fn of_type(mut self, type_id: &str) -> Self {
        self.object_type_id = Some(type_id.to_owned());
        self
    }

    /// Everything that happens to contacts, companies, deals, tickets,
    /// products and line items.
    pub fn everything() -> Vec<Self> {
        let happens = |name: &String| {
            EventType::parse(name).is_some_and(|event_type| event_type.type_id.is_some())
        };
        EventType::all().iter().filter(|name| happens(name)).map(|name| Self::to(name)).collect()
    }
}

/// An app as the control API takes it, in the way of a private app, whose
/// webhooks are set up by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookApp {
    /// The app's id.
    #[serde(default = "default_app_id")]
    pub app_id: u64,
    /// The secret it signs with; none takes that of
    /// [`EmulatorConfig::webhook_secret`](super::super::EmulatorConfig::webhook_secret).
    #[serde(default)]
    pub client_secret: Option<String>,
    /// Where it is told, on this machine.
    pub target_url: String,
    /// Requests that may be in flight at once.
    #[serde(default = "default_concurrency")]
    pub max_concurrent_requests: u32,
    /// What it hears of; everything when left out.
    #[serde(default = "WebhookSubscription::everything")]
    pub subscriptions: Vec<WebhookSubscription>,
}

impl WebhookApp {
    /// An app that hears of everything.
    pub fn new(target_url: &str) -> Self {
        Self {
            app_id: default_app_id(),
            client_secret: None,
            target_url: target_url.to_owned(),
            max_concurrent_requests: CONCURRENCY,
            subscriptions: WebhookSubscription::everything(),
        }
    }

    /// The same with these subscriptions alone.
    pub fn subscribed(mut self, subscriptions: Vec<WebhookSubscription>) -> Self {
        self.subscriptions = subscriptions;
        self
    }
}

/// The app behind property history's `sourceId`.
fn default_app_id() -> u64 {
    1_024_738
}

fn default_concurrency() -> u32 {
    CONCURRENCY
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_are_those_of_the_reference() {
        let all = EventType::all();
        // 47 of the published enumeration, and the newer `event.completed`.
        assert_eq!(all.len(), 48);
        for name in &all {
            assert_eq!(EventType::parse(name).map(|parsed| parsed.text()).as_ref(), Some(name));
        }
        for name in [
            "product.associationChange",
            "company.privacyDeletion",
            "contact.newMessage",
            "conversation.merge",
            "quote.creation",
            "contact",
            "contact.Creation",
        ] {
            assert_eq!(EventType::parse(name), None, "{name}");
        }
    }

    #[test]
    fn only_this_machine_is_called() {
        for text in [
            "http://127.0.0.1:3000/hubspot",
            "http://localhost/",
            "https://localhost:8443/x?y=1",
            "http://[::1]:9/",
            "http://127.9.9.9/",
        ] {
            assert!(target(text).is_ok(), "{text}");
        }
        for text in [
            "https://example.com/hook",
            "http://127.0.0.1.example.com/",
            "http://localhost@example.com/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
            "file:///etc/hosts",
            "hubspot",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
