//! Settings of what a write-back does beside properties: associations, a static
//! list, custom events.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::load::config::{InvalidWriteBack, MatchKey, Mode, WriteBackConfig};
use crate::objects::ObjectType;

/// The label of the associate that comes first; HubSpot's own.
pub(crate) const PRIMARY: &str = "Primary";

/// One entry of `associate:`; its key there is the other object type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssociateConfig {
    /// The model's column that holds the other record's id; merged-away ids are followed.
    pub by: String,
    /// The label of the association: one that the account has (`Primary` is HubSpot's own), or
    /// `{ name, label }` to have it created. Without one the two are associated, no more.
    pub label: Option<LabelConfig>,
    /// Take back associations that hublake made for a record of the model and that the model no longer wants.
    #[serde(default)]
    pub exclusive: bool,
    /// Who wins when somebody took away an association that hublake made, or made another record the primary one.
    #[serde(default)]
    pub policy: LinkPolicy,
}

/// A label that the account has, or one to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LabelConfig {
    /// The label as a person sees it.
    Known(String),
    /// A label that is created when the account lacks it.
    Declared(DeclaredLabel),
}

/// A label to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclaredLabel {
    /// The internal name: lower case letters, digits and `_`.
    pub name: String,
    /// What a person sees.
    pub label: String,
    /// What a person sees from the other side, where that differs.
    pub inverse_label: Option<String>,
}

/// Who wins when a person undid what hublake did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkPolicy {
    /// The person.
    #[default]
    Yield,
    /// The model; what is lost is counted as a conflict.
    Overwrite,
}

/// A static list whose members are the records of the model's rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListConfig {
    /// The list's id in HubSpot. Either this or `name`.
    pub id: Option<String>,
    /// The list's name among the lists of the object type.
    pub name: Option<String>,
    /// Create the list, by its name, when the account lacks it.
    #[serde(default)]
    pub create: bool,
    /// Remove every member that no row wants, not only those that hublake added.
    #[serde(default)]
    pub exact: bool,
    /// Who wins when somebody removed a member that hublake added.
    #[serde(default)]
    pub policy: LinkPolicy,
}

/// What the ledger puts before a name that would pass for an id.
const NAMED: &str = "named ";

impl ListConfig {
    /// What the ledger calls the list: its id, or else its name.
    pub(crate) fn ledger_name(&self) -> String {
        match (&self.id, self.name.as_deref().unwrap_or_default()) {
            (Some(id), _) => id.clone(),
            (None, name) if is_number(name) => format!("{NAMED}{name}"),
            (None, name) => name.to_owned(),
        }
    }

    /// The list that the ledger calls so.
    pub(crate) fn of_ledger(name: &str) -> Self {
        let (id, name) = match name.strip_prefix(NAMED).filter(|name| is_number(name)) {
            Some(named) => (None, Some(named)),
            None if is_number(name) => (Some(name), None),
            None => (None, Some(name)),
        };
        Self {
            id: id.map(str::to_owned),
            name: name.map(str::to_owned),
            create: false,
            exact: false,
            policy: LinkPolicy::default(),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A custom event; every row is one occurrence of it, sent once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventConfig {
    /// The event's full name in HubSpot, `pe1234567_name`.
    pub name: String,
    /// The model's column that tells the occurrences of one record apart, for ever: two rows of a record with one key are one event.
    pub key: String,
    /// The model's column that says when it happened; the time of sending when absent.
    pub occurred_at: Option<String>,
    /// The event's properties, by internal name, and the model's columns that hold them.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

/// What of HubSpot's own definitions a write-back makes when the account lacks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectCreateConfig {
    /// The custom object type that `object` names.
    pub schema: SchemaConfig,
}

/// A custom object type. Its properties are those that the write-back declares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaConfig {
    /// What a person sees of one record.
    pub singular: String,
    /// What a person sees of several.
    pub plural: String,
    /// What it is for, and who fills it.
    #[serde(default)]
    pub description: String,
    /// The property that stands for a record, one that the write-back declares.
    pub display: String,
    /// Object types that its records can be associated with, besides those under `associate`.
    #[serde(default)]
    pub associate: Vec<String>,
}

/// Longest value of an event's property (section 13 of the API reference).
pub(crate) const LONGEST_EVENT_VALUE: usize = 256;
/// Longest value of the two that hold addresses.
pub(crate) const LONGEST_EVENT_ADDRESS: usize = 1_024;
/// Most properties of an event.
const MOST_EVENT_PROPERTIES: usize = 50;

impl LabelConfig {
    /// The label as a person sees it.
    pub fn label(&self) -> &str {
        match self {
            Self::Known(label) => label,
            Self::Declared(declared) => &declared.label,
        }
    }
}

impl EventConfig {
    /// The columns it reads, each with its path in the settings.
    fn columns(&self) -> impl Iterator<Item = (String, &str)> {
        let key = ("event.key".to_owned(), self.key.as_str());
        let at = self.occurred_at.as_deref().map(|at| ("event.occurred_at".to_owned(), at));
        let values = self.properties.iter();
        let values =
            values.map(|(name, column)| (format!("event.properties.{name}"), column.as_str()));
        std::iter::once(key).chain(at).chain(values)
    }
}

impl WriteBackConfig {
    /// The columns of the model that associations and events read, each with its
    /// path in the settings.
    pub(crate) fn link_columns(&self) -> impl Iterator<Item = (String, &str)> {
        let by = self.associate.iter();
        let by = by.map(|(name, one)| (format!("associate.{name}.by"), one.by.as_str()));
        by.chain(self.event.iter().flat_map(EventConfig::columns))
    }

    /// The object types whose associations with the object must be known.
    pub fn associated_types(&self) -> impl Iterator<Item = ObjectType> {
        self.associate.keys().filter_map(|name| ObjectType::parse(name).ok())
    }

    /// What hangs on records by this write-back, each as its path in the settings
    /// and a text that is the same for the same thing.
    pub fn links(&self) -> Vec<(String, String)> {
        let Ok(object) = self.object_type() else { return Vec::new() };
        let associate = self.associate.iter().filter_map(|(name, associate)| {
            let to = ObjectType::parse(name).ok()?;
            let label = associate.label.as_ref().map_or("", LabelConfig::label);
            // From either side it is the same association.
            let (one, other) = if object <= to { (&object, &to) } else { (&to, &object) };
            Some((format!("associate.{name}"), format!("{one} {other} {label}")))
        });
        let list = self.list.iter().map(|list| {
            let name = list.id.as_deref().or(list.name.as_deref()).unwrap_or_default();
            ("list".to_owned(), format!("list {object} {name}"))
        });
        // Several write-backs may send one event: its keys tell whose it is.
        associate.chain(list).collect()
    }

    /// Whether records themselves are written, and not only what hangs on them.
    pub fn writes_records(&self) -> bool {
        !self.properties.is_empty() || self.mode == Mode::Archive
    }

    /// What is wrong with the settings of this file.
    pub(crate) fn validate_links(&self, problems: &mut Vec<InvalidWriteBack>) {
        let mut say = |path: String, problem: String| {
            problems.push(InvalidWriteBack { path, problem });
        };
        for (name, associate) in &self.associate {
            if let Err(error) = ObjectType::parse(name) {
                say(format!("associate.{name}"), error.to_string());
            }
            if let Some(LabelConfig::Declared(declared)) = &associate.label {
                check_label(declared, &format!("associate.{name}.label"), &mut say);
            }
        }
        if let Some(list) = &self.list {
            check_list(list, &mut say);
        }
        if let Some(event) = &self.event {
            check_event(event, &mut say);
        }
        if let Some(create) = &self.create {
            self.check_schema(&create.schema, &mut say);
        }
    }

    fn check_schema(&self, schema: &SchemaConfig, say: &mut impl FnMut(String, String)) {
        if !is_qualified(&self.object) {
            say(
                "object".into(),
                "A custom object type to create is named in full, `p1234567_product_usage`: the account's id \
                 and the type's own name"
                    .into(),
            );
        }
        let declares = |name: &str| self.properties.get(name).is_some_and(|p| p.create.is_some());
        if !declares(&schema.display) {
            say(
                "create.schema.display".into(),
                format!(
                    "`{}` is no property that this write-back declares with `create`",
                    schema.display
                ),
            );
        }
        if let MatchKey::Unique(key) = &self.match_by.key
            && !declares(key)
        {
            say(
                "match".into(),
                format!("Declare `{key}` with `create`, as the type does not exist yet"),
            );
        }
        for (at, name) in schema.associate.iter().enumerate() {
            if let Err(error) = ObjectType::parse(name) {
                say(format!("create.schema.associate[{at}]"), error.to_string());
            }
        }
        for (field, text) in [("singular", &schema.singular), ("plural", &schema.plural)] {
            if text.trim().is_empty() {
                say(format!("create.schema.{field}"), "An object type needs both labels".into());
            }
        }
    }
}

/// Whether a name is a custom type's full one.
fn is_qualified(name: &str) -> bool {
    let own = name.strip_prefix('p').and_then(|rest| rest.split_once('_'));
    own.is_some_and(|(account, name)| {
        !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty()
    })
}

fn check_label(label: &DeclaredLabel, path: &str, say: &mut impl FnMut(String, String)) {
    let is_name = label.name.starts_with(|c: char| c.is_ascii_alphabetic())
        && label.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        let rule = "Label names are letters, digits and `_`, and start with a letter";
        say(format!("{path}.name"), rule.into());
    }
    if label.label.trim().is_empty() {
        say(format!("{path}.label"), "A label needs a text".into());
    }
    if label.label == PRIMARY {
        let why = "`Primary` is HubSpot's own label: write `label: Primary`";
        say(format!("{path}.label"), why.into());
    }
}

fn check_list(list: &ListConfig, say: &mut impl FnMut(String, String)) {
    match (&list.id, &list.name) {
        (Some(_), Some(_)) => say("list.id".into(), "Name the list by `id` or by `name`".into()),
        (None, None) => say("list".into(), "Name the list: `id` or `name`".into()),
        (Some(id), None) if list.create || id.is_empty() => {
            say("list.create".into(), "A list is created by its `name`; ids are HubSpot's".into());
        }
        _ => {}
    }
}

fn check_event(event: &EventConfig, say: &mut impl FnMut(String, String)) {
    if !event.name.starts_with("pe") || !event.name.contains('_') {
        let why = "An event is named in full, `pe1234567_name`, as HubSpot shows it among its custom events";
        say("event.name".into(), why.into());
    }
    if event.properties.len() > MOST_EVENT_PROPERTIES {
        let why = format!("HubSpot takes {MOST_EVENT_PROPERTIES} properties of an event at most");
        say("event.properties".into(), why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_tells_a_list_s_id_from_a_name_that_looks_like_one() {
        let id = ListConfig { id: Some("2024".to_owned()), ..ListConfig::of_ledger("x") };
        let named =
            |name: &str| ListConfig { name: Some(name.to_owned()), ..ListConfig::of_ledger("x") };
        assert_eq!(id.ledger_name(), "2024");
        for list in [named("2024"), named("Active in 2024"), ListConfig { name: None, ..id }] {
            let again = ListConfig::of_ledger(&list.ledger_name());
            assert_eq!((again.id, again.name), (list.id, list.name));
        }
    }
}
