//! From a change of the account to the events that apps hear of it: section
//! 14 of the API reference.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Value, json};

use super::super::account::Account;
use super::super::associations::{Kind as AssociationKind, TypeAt};
use super::super::moment;
use super::super::object_types::ObjectType;
use super::super::record::{Source, View};
use super::super::schema::Property;
use super::super::seed::plan::Kind;
use super::super::table::Change;
use super::subscriptions::{Action, Subscription};

/// Properties that change without an event, beside the read-only ones. That
/// calculated properties are silent is `unverified`.
const SILENT: [&str; 3] =
    ["lastmodifieddate", "hs_lastmodifieddate", "num_unique_conversion_events"];

/// Whose hand a change is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// An app's, through the API.
    App,
    /// A person's.
    Person,
    /// A person's, on many records at once.
    BulkEdit,
}

impl Hand {
    /// The hand behind a source; what HubSpot does by itself makes no events.
    pub(crate) fn of(source: Source) -> Option<Self> {
        match source {
            Source::Api => Some(Self::App),
            Source::Person => Some(Self::Person),
            Source::Merge | Source::Calculated => None,
        }
    }

    fn change_source(self) -> &'static str {
        match self {
            Self::App => "INTEGRATION",
            Self::Person => "CRM_UI",
            Self::BulkEdit => "CRM_UI_BULK_ACTION",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News<'a> {
    Created,
    Deleted,
    /// Deleted for good, for privacy's sake.
    Forgotten,
    Restored,
    Changed {
        property: &'a str,
        value: &'a str,
    },
    Merged {
        primary: u64,
        other: u64,
        moved: u64,
    },
    Associated {
        from: &'a ObjectType,
        to: &'a ObjectType,
        other: u64,
        kind: &'a AssociationKind,
        removed: bool,
    },
}

/// Something that happened to a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happening<'a> {
    pub(crate) portal_id: u64,
    pub(crate) type_id: &'a str,
    pub(crate) id: u64,
    pub(crate) at: i64,
    pub(crate) hand: Hand,
    pub(crate) news: News<'a>,
}

impl Happening<'_> {
    /// The kind of event it makes.
    pub(crate) fn action(&self) -> Action {
        match self.news {
            News::Created => Action::Creation,
            News::Deleted => Action::Deletion,
            News::Forgotten => Action::PrivacyDeletion,
            News::Restored => Action::Restore,
            News::Changed { .. } => Action::PropertyChange,
            News::Merged { .. } => Action::Merge,
            News::Associated { .. } => Action::AssociationChange,
        }
    }

    /// The property that changed.
    pub(crate) fn property(&self) -> Option<&str> {
        match self.news {
            News::Changed { property, .. } => Some(property),
            _ => None,
        }
    }
}

/// An event that waits to be sent.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// JSON in two halves, between which the number of the attempt goes. A
    /// bulk edit makes many, so they are kept small.
    Made { head: Box<str>, tail: Box<str> },
    /// Somebody else's JSON.
    Given(Value),
}

impl Event {
    /// The event that a subscription hears of a happening. Writes through the
    /// API count as those of the app that hears, which is who mostly writes:
    /// they come back with its own id, as recorded.
    pub(crate) fn make(
        event_id: u64,
        app_id: u64,
        subscription: &Subscription,
        happening: &Happening<'_>,
        source_told: bool,
    ) -> Self {
        let head = format!(
            "{{\"eventId\":{event_id},\"subscriptionId\":{},\"portalId\":{},\"appId\":{app_id},\
             \"occurredAt\":{},\"subscriptionType\":\"{}\",\"attemptNumber\":",
            subscription.id,
            happening.portal_id,
            happening.at,
            subscription.event_type.text(),
        );
        let generic = subscription.event_type.is_generic();
        let mut tail = String::new();
        if !matches!(happening.news, News::Associated { .. }) {
            push(&mut tail, "objectId", happening.id);
            if generic {
                push(&mut tail, "objectTypeId", json!(happening.type_id));
            }
        }
        push_news(&mut tail, happening, generic);
        push(&mut tail, "changeSource", json!(happening.hand.change_source()));
        let told = matches!(happening.news, News::Created | News::Changed { .. } | News::Deleted);
        if told && source_told {
            let source = match happening.hand {
                Hand::App => app_id.to_string(),
                Hand::Person | Hand::BulkEdit => Source::Person.id().to_owned(),
            };
            push(&mut tail, "sourceId", json!(source));
        }
        tail.push('}');
        Self::Made { head: head.into(), tail: tail.into() }
    }

    /// Appends the event as an attempt shows it.
    pub(crate) fn push(&self, attempt: u32, out: &mut String) {
        match self {
            Self::Made { head, tail } => {
                out.push_str(head);
                moment::push_number(out, u64::from(attempt));
                out.push_str(tail);
            }
            Self::Given(value) => {
                let mut value = value.clone();
                let first = value.get("attemptNumber").and_then(Value::as_u64);
                if let Some(first) = first.filter(|_| attempt > 0) {
                    value["attemptNumber"] = json!(first + u64::from(attempt));
                }
                // Writing to a text cannot fail.
                let _ = write!(out, "{value}");
            }
        }
    }

    /// The event as an attempt shows it, parsed.
    pub(crate) fn to_json(&self, attempt: u32) -> Value {
        let mut text = String::new();
        self.push(attempt, &mut text);
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// Appends the fields that only some events have.
fn push_news(tail: &mut String, happening: &Happening<'_>, generic: bool) {
    match happening.news {
        News::Created => push(tail, "changeFlag", json!("CREATED")),
        News::Deleted | News::Forgotten => push(tail, "changeFlag", json!("DELETED")),
        News::Restored => {}
        News::Changed { property, value } => {
            push(tail, "propertyName", json!(property));
            push(tail, "propertyValue", json!(value));
            if generic {
                // The account has no sensitive properties.
                push(tail, "isSensitive", false);
            }
        }
        News::Merged { primary, other, moved } => {
            push(tail, "primaryObjectId", primary);
            push(tail, "mergedObjectIds", json!([other]));
            push(tail, "newObjectId", happening.id);
            push(tail, "numberOfPropertiesMoved", moved);
        }
        News::Associated { from, to, other, kind, removed } => {
            if !generic {
                let name = format!("{}_TO_{}", from.singular, to.singular).to_uppercase();
                push(tail, "associationType", json!(name));
            }
            push(tail, "fromObjectId", happening.id);
            if generic {
                push(tail, "fromObjectTypeId", json!(from.type_id));
            }
            push(tail, "toObjectId", other);
            if generic {
                push(tail, "toObjectTypeId", json!(to.type_id));
                push(tail, "associationTypeId", kind.id);
                push(tail, "associationCategory", json!(kind.category));
            }
            push(tail, "associationRemoved", removed);
            push(tail, "isPrimaryAssociation", kind.is_primary());
        }
    }
}

fn push(out: &mut String, key: &str, value: impl std::fmt::Display) {
    // Writing to a text cannot fail.
    let _ = write!(out, ",\"{key}\":{value}");
}

/// A value as events show it: days and times in milliseconds since 1970.
fn shown<'a>(property: &Property, value: &'a str) -> Cow<'a, str> {
    let millis = match property.kind {
        Kind::Day | Kind::Moment => moment::parse(value),
        _ => None,
    };
    millis.map_or(Cow::Borrowed(value), |millis| millis.to_string().into())
}

fn is_silent(property: &Property) -> bool {
    property.read_only || SILENT.contains(&property.name.as_str())
}

/// All of these cost one look at a flag while nobody listens, and are called
/// before the change is made.
impl Account {
    /// Tells of a record about to be created, and of its first values, which
    /// share the moment.
    pub(crate) fn tell_created(&self, at: TypeAt, id: u64, draft: &[Change], source: Source) {
        if !self.hooks.is_listening() {
            return;
        }
        let Some(hand) = Hand::of(source) else { return };
        self.tell(at, id, hand, News::Created);
        self.tell_values(at, id, hand, draft.iter());
    }

    /// Tells of the values that a draft is about to change.
    pub(crate) fn tell_changed(&self, at: TypeAt, id: u64, draft: &[Change], hand: Option<Hand>) {
        if !self.hooks.is_listening() {
            return;
        }
        let Some(hand) = hand else { return };
        let view = self.tables[at].view(id);
        let held = |slot| view.as_ref().and_then(|view: &View<'_>| view.value(slot));
        let changes = |(slot, value): &&Change| held(*slot).unwrap_or_default() != *value;
        self.tell_values(at, id, hand, draft.iter().filter(changes));
    }

    /// Tells of a record about to be archived. That its associations end is
    /// not told: whether HubSpot does is `unverified`.
    pub(crate) fn tell_deleted(&self, at: TypeAt, id: u64, hand: Hand) {
        self.tell(at, id, hand, News::Deleted);
    }

    /// Tells of an archived record about to come back.
    pub(crate) fn tell_restored(&self, at: TypeAt, id: u64, hand: Hand) {
        self.tell(at, id, hand, News::Restored);
    }

    /// Tells of a record about to be deleted for good: a privacy deletion is
    /// accompanied by a deletion, unless that was told when it was archived.
    pub(crate) fn tell_forgotten(&self, at: TypeAt, id: u64, hand: Hand) {
        if !self.hooks.is_listening() {
            return;
        }
        self.tell(at, id, hand, News::Forgotten);
        if self.tables[at].live(id).is_some() {
            self.tell(at, id, hand, News::Deleted);
        }
    }

    /// Tells of two records about to be merged into a third with these
    /// values. Whether associations that move, or the third record itself,
    /// make events is `unverified`: they do not.
    pub(crate) fn tell_merged(
        &self,
        at: TypeAt,
        id: u64,
        [primary, other]: [u64; 2],
        values: &[Change],
        hand: Hand,
    ) {
        if !self.hooks.is_listening() {
            return;
        }
        let table = &self.tables[at];
        let filled = |view: &Option<View<'_>>, slot| {
            let value = view.as_ref().and_then(|view| view.value(slot));
            value.is_some_and(|value| !value.is_empty())
        };
        let (first, second) = (table.live(primary), table.live(other));
        let moved = values
            .iter()
            .filter(|(slot, _)| !filled(&first, *slot) && filled(&second, *slot))
            .count() as u64;
        self.tell(at, id, hand, News::Merged { primary, other, moved });
    }

    /// Tells, on both sides, of the kinds that a pair is about to gain and
    /// lose; each is an event of its own.
    pub(crate) fn tell_associated(
        &self,
        from: TypeAt,
        id: u64,
        to: TypeAt,
        other: u64,
        after: &[u32],
    ) {
        if !self.hooks.is_listening() {
            return;
        }
        let before = self.pair(from, id, to, other);
        let gone = before.iter().filter(|kind| !after.contains(kind)).map(|kind| (*kind, true));
        let new = after.iter().filter(|kind| !before.contains(kind)).map(|kind| (*kind, false));
        for (kind, removed) in gone.chain(new) {
            let Some(kind) = self.associations.kind(from, to, kind) else { continue };
            self.tell_side([from, to], [id, other], kind, removed);
            if let Some(back) = self.associations.kind(to, from, kind.inverse) {
                self.tell_side([to, from], [other, id], back, removed);
            }
        }
    }

    fn tell_side(
        &self,
        [from, to]: [TypeAt; 2],
        [id, other]: [u64; 2],
        kind: &AssociationKind,
        removed: bool,
    ) {
        let of = |at: TypeAt| &self.tables[at].object_type;
        let news = News::Associated { from: of(from), to: of(to), other, kind, removed };
        // Associations are changed through the API alone.
        self.tell(from, id, Hand::App, news);
    }

    fn tell_values<'a>(
        &self,
        at: TypeAt,
        id: u64,
        hand: Hand,
        values: impl Iterator<Item = &'a Change>,
    ) {
        for (slot, value) in values {
            let property = self.tables[at].catalogue.at(*slot);
            if !is_silent(property) {
                let value = shown(property, value);
                let news = News::Changed { property: &property.name, value: &value };
                self.tell(at, id, hand, news);
            }
        }
    }

    fn tell(&self, at: TypeAt, id: u64, hand: Hand, news: News<'_>) {
        if self.hooks.is_listening() {
            let type_id = &self.tables[at].object_type.type_id;
            let (portal_id, now) = (self.portal_id, self.clock.now());
            self.hooks.tell(&Happening { portal_id, type_id, id, at: now, hand, news });
        }
    }
}
