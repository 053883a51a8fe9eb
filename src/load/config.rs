use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::links::{AssociateConfig, EventConfig, ListConfig, ObjectCreateConfig};
use super::status::{OriginConfig, StatusConfig};
use crate::objects::{ObjectType, ObjectTypeError, PropertyType};

/// One entry of a pipeline's `write_back:` section; its key there is the
/// model whose rows are wanted in HubSpot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteBackConfig {
    /// The object type whose records are written: `contacts`, `companies`, a custom object's name.
    pub object: String,
    /// How a row finds its record: `{ record_id: COLUMN }`, `{ email: COLUMN }` (contacts only), or
    /// `{ PROPERTY: COLUMN }` with a property that HubSpot keeps unique.
    #[serde(rename = "match")]
    pub match_by: MatchConfig,
    /// What may happen to a row without a record.
    #[serde(default)]
    pub mode: Mode,
    /// The properties this write-back owns, by internal name; none with `mode: archive`, or
    /// where it only associates, keeps a list or sends events.
    #[serde(default)]
    pub properties: BTreeMap<String, PropertyConfig>,
    /// The other records that a row's record is associated with, by their object type.
    #[serde(default)]
    pub associate: BTreeMap<String, AssociateConfig>,
    /// A static list that has the rows' records as members.
    #[serde(default)]
    pub list: Option<ListConfig>,
    /// A custom event that each row is one occurrence of.
    #[serde(default)]
    pub event: Option<EventConfig>,
    /// Declares the custom object type that `object` names: it is created when the account lacks it.
    #[serde(default)]
    pub create: Option<ObjectCreateConfig>,
    /// Write a row's good values although HubSpot would refuse another value of the same row.
    #[serde(default)]
    pub partial: bool,
    /// What a null in the model means, unless a property says otherwise.
    #[serde(default)]
    pub nulls: Nulls,
    /// What happens to a record whose row has left the model.
    #[serde(default)]
    pub on_absent: OnAbsent,
    /// Limits past which nothing is sent.
    #[serde(default)]
    pub guards: GuardsConfig,
    /// What tells people in HubSpot of refused rows.
    pub on_reject: Option<OnRejectConfig>,
    /// Properties of the records that show in HubSpot when and how they were last synced.
    #[serde(default)]
    pub status: Option<StatusConfig>,
    /// A property of the records that says where their values come from.
    #[serde(default)]
    pub origin: Option<OriginConfig>,
    /// Read the touched records from HubSpot before deciding, so that no decision rests on a stale mirror.
    #[serde(default = "yes")]
    pub refresh: bool,
}

/// One property a write-back owns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PropertyConfig {
    /// The model's column; the property's own name when absent.
    pub from: Option<String>,
    /// Who wins when HubSpot holds another value. Required unless `create` is given (then `overwrite`).
    pub policy: Option<Policy>,
    /// Declares the property: it is created when the account lacks it.
    pub create: Option<CreateConfig>,
    /// What a null in the column means; the write-back's `nulls` when absent.
    pub nulls: Option<Nulls>,
    /// With `yield`: take over a value that hublake has never set.
    #[serde(default)]
    pub adopt: bool,
}

/// Who wins when HubSpot holds another value than the one wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Policy {
    /// The model wins; a person's edit that is lost is counted as a conflict.
    Overwrite,
    /// A person's edit wins; hublake goes on updating only what it set itself.
    Yield,
    /// Only an empty property is written, and only once.
    FillEmpty,
    /// The value moves forward along this list, never back.
    ForwardOnly(Vec<String>),
    /// The larger number or later date wins.
    Max,
    /// The smaller number or earlier date wins.
    Min,
    /// Options are added to a multi-select, none is taken away.
    Append,
}

/// What may happen to a row without a record in HubSpot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Rejected: nothing is created.
    #[default]
    Update,
    /// Created.
    Upsert,
    /// Created; a row whose record is there changes nothing.
    Create,
    /// A row is a record to archive, where hublake created it; any other is left alone.
    Archive,
}

/// What a null in the model means for a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// Nothing: HubSpot keeps what it holds.
    #[default]
    Skip,
    /// The property is emptied: under `overwrite` always, under any other policy only while
    /// HubSpot still holds the value that hublake set.
    Clear,
}

/// What happens to a record whose row has left the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnAbsent {
    /// Nothing.
    #[default]
    Keep,
    /// The values that hublake set and nobody changed since are emptied.
    Clear,
}

/// Declares a property that hublake creates when the account lacks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateConfig {
    /// The type of its values.
    #[serde(rename = "type")]
    pub declared_type: DeclaredType,
    /// How a form shows it (`text`, `textarea`, `select`, `checkbox`, …); the type's usual one when absent.
    pub field_type: Option<String>,
    /// The group it is listed under, created when absent.
    pub group: String,
    /// What a person sees.
    pub label: String,
    /// What it is for, and who fills it.
    #[serde(default)]
    pub description: String,
    /// The allowed values of an enumeration.
    #[serde(default)]
    pub options: Vec<OptionConfig>,
    /// No two records may hold the same value. HubSpot allows ten such properties per object.
    #[serde(default)]
    pub unique: bool,
}

/// The types a property can be created with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeclaredType {
    /// Text.
    String,
    /// A decimal number.
    Number,
    /// `true` or `false`.
    Bool,
    /// One of `options`, or several with `field_type: checkbox`.
    Enumeration,
    /// A calendar day.
    Date,
    /// A point in time.
    Datetime,
}

/// One allowed value: the value alone, or `{ value, label }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OptionConfig {
    /// A value that is its own label.
    Value(String),
    /// A value and what a person sees.
    Labelled(LabelledOption),
}

/// An allowed value and what a person sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelledOption {
    /// What records hold.
    pub value: String,
    /// What a person sees.
    pub label: String,
}

/// Limits past which a write-back sends nothing. One that is absent allows any number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardsConfig {
    /// Most records changed, as a share of the records this write-back has written before: `30%`.
    pub max_changed: Option<Percent>,
    /// Most records created.
    pub max_creates: Option<u64>,
    /// Most rows rejected.
    pub max_rejects: Option<u64>,
    /// Fewest rows the model must have.
    pub min_rows: Option<u64>,
    /// Most records archived; none where this is absent.
    pub max_archives: Option<u64>,
}

/// What tells people in HubSpot of refused rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnRejectConfig {
    /// One task a run that refused something new, with the list.
    pub task: TaskConfig,
}

/// The task that lists refused rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// The email of the owner it is assigned to.
    pub owner: String,
}

/// How a row finds its record: one key and the model's column that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchConfig {
    /// What the column holds.
    pub key: MatchKey,
    /// The model's column.
    pub column: String,
}

/// What identifies a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchKey {
    /// HubSpot's record id; merged-away ids are followed.
    RecordId,
    /// A contact's primary or additional address, in any case.
    Email,
    /// A property that HubSpot keeps unique (`hasUniqueValue`).
    Unique(String),
}

/// A share between 0 % and 100 %, written `30%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent(f64);

/// What is wrong with a write-back's settings, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {problem}")]
pub struct InvalidWriteBack {
    /// The field, from the write-back down: `properties.jobtitle.policy`.
    pub path: String,
    /// What is wrong with it, and what to write instead.
    pub problem: String,
}

fn yes() -> bool {
    true
}

impl WriteBackConfig {
    /// The object type named by `object`.
    ///
    /// # Errors
    /// A name that is no object type.
    pub fn object_type(&self) -> Result<ObjectType, ObjectTypeError> {
        ObjectType::parse(&self.object)
    }

    /// Everything that is wrong with these settings and can be said without the account or the model.
    pub fn validate(&self) -> Vec<InvalidWriteBack> {
        let mut problems = self.validate_shape();
        for (name, property) in &self.properties {
            property.validate(name, &mut problems);
        }
        self.validate_links(&mut problems);
        self.validate_stamps(&mut problems);
        problems
    }

    fn validate_shape(&self) -> Vec<InvalidWriteBack> {
        let mut problems = Vec::new();
        let mut say = |path: &str, problem: String| problems.push(invalid(path, problem));
        match self.object_type() {
            Err(error) => say("object", error.to_string()),
            Ok(object) => {
                if self.match_by.key == MatchKey::Email && object != ObjectType::CONTACTS {
                    say("match.email", format!("Only contacts are matched by email, not {object}"));
                }
            }
        }
        if self.mode.creates() && self.match_by.key == MatchKey::RecordId {
            say(
                "mode",
                format!(
                    "`{}` needs email or a unique property under `match`: only a unique key makes a \
                     create safe to repeat",
                    self.mode.name()
                ),
            );
        }
        match (self.mode, self.properties.is_empty()) {
            (Mode::Archive, false) => {
                say("properties", "`mode: archive` writes no values: leave `properties` out".into())
            }
            (Mode::Update | Mode::Upsert | Mode::Create, true) if !self.hangs() => say(
                "properties",
                "Name at least one property to write, or an association, list or event".into(),
            ),
            _ => {}
        }
        if let Some(on_reject) = &self.on_reject
            && !on_reject.task.owner.contains('@')
        {
            say("on_reject.task.owner", "Write the email of a HubSpot user".into());
        }
        if self.on_absent == OnAbsent::Clear {
            if !matches!(self.mode, Mode::Update | Mode::Upsert) {
                say(
                    "on_absent",
                    format!(
                        "`clear` changes records, and `mode: {}` changes none: write `keep`, or \
                         `mode: update` or `upsert`",
                        self.mode.name()
                    ),
                );
            }
            if self.guards.min_rows.is_none() && self.guards.max_changed.is_none() {
                say(
                    "on_absent",
                    "`clear` needs `guards.min_rows` or `guards.max_changed`: a model that comes \
                     out empty by mistake would empty every record"
                        .into(),
                );
            }
        }
        problems
    }
}

impl WriteBackConfig {
    /// Whether something is to hang on its records.
    fn hangs(&self) -> bool {
        !self.associate.is_empty() || self.list.is_some() || self.event.is_some()
    }

    /// The columns of the model that the write-back reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let read = self.properties.iter().map(|(name, property)| property.column(name));
        std::iter::once(self.match_by.column.as_str())
            .chain(read)
            .chain(self.link_columns().map(|(_, column)| column))
    }

    /// The properties that planning must see in the mirror: those that are
    /// written or stamped and, where records are matched by one, the key.
    pub fn hubspot_properties(&self) -> impl Iterator<Item = String> {
        let key = match &self.match_by.key {
            MatchKey::Unique(property) => Some(property.clone()),
            MatchKey::RecordId | MatchKey::Email => None,
        };
        let stamped = self.stamps().into_iter().map(|(name, ..)| name);
        self.properties.keys().cloned().chain(key).chain(stamped)
    }
}

impl PropertyConfig {
    /// The model's column that feeds the property called `name`.
    pub fn column<'a>(&'a self, name: &'a str) -> &'a str {
        self.from.as_deref().unwrap_or(name)
    }

    /// The policy in force: the one named, else `overwrite` for a property declared here.
    /// `None` where settings must name one ([`WriteBackConfig::validate`] says so).
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref().or(self.create.as_ref().map(|_| &Policy::Overwrite))
    }

    fn validate(&self, name: &str, problems: &mut Vec<InvalidWriteBack>) {
        let at = |field: &str| format!("properties.{name}{field}");
        if !is_property_name(name) {
            let rule =
                "Property names are lower case letters, digits and `_`, and start with a letter";
            problems.push(invalid(&at(""), rule.into()));
        }
        match self.policy() {
            None => problems.push(invalid(
                &at(".policy"),
                "Name a policy (`overwrite`, `yield`, `fill_empty`, `forward_only`, `max`, `min` or \
                 `append`): the property is not declared with `create`, so others may write to it"
                    .into(),
            )),
            Some(Policy::ForwardOnly(order)) => check_order(order, &at(".policy"), problems),
            Some(_) => {}
        }
        if self.adopt && self.policy() != Some(&Policy::Yield) {
            problems.push(invalid(&at(".adopt"), "Only `policy: yield` can adopt values".into()));
        }
        if let Some(create) = &self.create {
            create.validate(&at(".create"), problems);
        }
    }
}

impl CreateConfig {
    /// The declared type as the object model knows it.
    pub fn property_type(&self) -> PropertyType {
        match self.declared_type {
            DeclaredType::String => PropertyType::String,
            DeclaredType::Number => PropertyType::Number,
            DeclaredType::Bool => PropertyType::Bool,
            DeclaredType::Enumeration => PropertyType::Enumeration,
            DeclaredType::Date => PropertyType::Date,
            DeclaredType::Datetime => PropertyType::DateTime,
        }
    }

    /// The form field, the type's usual one unless named.
    pub fn field_type(&self) -> &str {
        self.field_type.as_deref().unwrap_or(match self.declared_type {
            DeclaredType::String => "text",
            DeclaredType::Number => "number",
            DeclaredType::Bool => "booleancheckbox",
            DeclaredType::Enumeration => "select",
            DeclaredType::Date | DeclaredType::Datetime => "date",
        })
    }

    fn validate(&self, path: &str, problems: &mut Vec<InvalidWriteBack>) {
        let mut say = |field: &str, problem: &str| {
            problems.push(invalid(&format!("{path}.{field}"), problem.to_owned()));
        };
        let is_list = self.declared_type == DeclaredType::Enumeration;
        if is_list && self.options.is_empty() {
            say("options", "An enumeration needs its options");
        }
        if !is_list && !self.options.is_empty() {
            say("options", "Only an enumeration has options");
        }
        if self.label.trim().is_empty() {
            say("label", "A property needs a label");
        }
        if !is_property_name(&self.group) {
            say(
                "group",
                "Group names are lower case letters, digits and `_`, and start with a letter",
            );
        }
    }
}

impl OptionConfig {
    /// What records hold.
    pub fn value(&self) -> &str {
        match self {
            Self::Value(value) => value,
            Self::Labelled(option) => &option.value,
        }
    }

    /// What a person sees.
    pub fn label(&self) -> &str {
        match self {
            Self::Value(value) => value,
            Self::Labelled(option) => &option.label,
        }
    }
}

fn check_order(order: &[String], path: &str, problems: &mut Vec<InvalidWriteBack>) {
    let mut seen = std::collections::BTreeSet::new();
    if order.len() < 2 {
        problems.push(invalid(path, "`forward_only` needs at least two values in order".into()));
    }
    for value in order.iter().filter(|value| !seen.insert(value.as_str())) {
        problems.push(invalid(path, format!("`{value}` stands twice in `forward_only`")));
    }
}

fn invalid(path: &str, problem: String) -> InvalidWriteBack {
    InvalidWriteBack { path: path.to_owned(), problem }
}

/// HubSpot's rule for internal names (properties guide).
pub(crate) fn is_property_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl Mode {
    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Create => "create",
            Self::Archive => "archive",
        }
    }

    /// Whether a row without a record makes one.
    pub fn creates(self) -> bool {
        matches!(self, Self::Upsert | Self::Create)
    }
}

impl MatchKey {
    fn from_name(name: &str) -> Self {
        match name {
            "record_id" => Self::RecordId,
            "email" => Self::Email,
            property => Self::Unique(property.to_owned()),
        }
    }

    /// The key's name in settings: `record_id`, `email`, or the property.
    pub fn name(&self) -> &str {
        match self {
            Self::RecordId => "record_id",
            Self::Email => "email",
            Self::Unique(property) => property,
        }
    }
}

impl Serialize for MatchConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.key.name(), &self.column)])
    }
}

impl<'de> Deserialize<'de> for MatchConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = BTreeMap::<String, String>::deserialize(deserializer)?;
        let mut entries = entries.into_iter();
        match (entries.next(), entries.next()) {
            (Some((key, column)), None) => Ok(Self { key: MatchKey::from_name(&key), column }),
            _ => Err(serde::de::Error::custom(
                "`match` takes exactly one key: `record_id`, `email` or a unique property, and the \
                 model's column that holds it",
            )),
        }
    }
}

impl JsonSchema for MatchConfig {
    fn schema_name() -> Cow<'static, str> {
        "MatchConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "`record_id`, `email` or a unique property, and the model's column that holds it",
            "additionalProperties": { "type": "string" },
            "minProperties": 1,
            "maxProperties": 1,
        })
    }
}

impl Percent {
    /// The share as a fraction of one.
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.strip_suffix('%')
            .and_then(|number| number.trim_end().parse().ok())
            .filter(|share| (0.0..=100.0).contains(share))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a share: write a number from 0 to 100 and `%`"))
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^\d+(\.\d+)?\s*%$", "examples": ["30%"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTACT_USAGE: &str = r#"
object: contacts
match: { record_id: contact_id }
mode: update
properties:
  usage_active_days_28: { from: active_days_28, create: { type: number, group: product_usage, label: "Active days (28)", description: "Days with product activity" } }
  lifecyclestage: { from: stage, policy: { forward_only: [lead, opportunity, customer] } }
  jobtitle: { policy: fill_empty }
guards: { max_changed: 30%, max_creates: 0, min_rows: 1 }
"#;

    fn parse(yaml: &str) -> WriteBackConfig {
        serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
    }

    fn paths(yaml: &str) -> Vec<String> {
        parse(yaml).validate().into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn the_documented_example_reads_as_meant() {
        let config = parse(CONTACT_USAGE);
        assert_eq!(config.validate(), []);
        assert_eq!(config.match_by.key, MatchKey::RecordId);
        let usage = &config.properties["usage_active_days_28"];
        assert_eq!(usage.policy(), Some(&Policy::Overwrite));
        assert_eq!(usage.column("usage_active_days_28"), "active_days_28");
        let title = &config.properties["jobtitle"];
        assert_eq!(
            (title.policy(), title.column("jobtitle")),
            (Some(&Policy::FillEmpty), "jobtitle")
        );
        assert_eq!(config.guards.max_changed.map(Percent::fraction), Some(0.3));
        assert!(config.refresh && !config.partial);
    }

    #[test]
    fn settings_survive_a_round_trip() {
        let config = parse(CONTACT_USAGE);
        let text = serde_json::to_string(&config).expect("settings are plain data");
        assert_eq!(serde_json::from_str::<WriteBackConfig>(&text).expect("own output"), config);
    }

    #[test]
    fn every_problem_names_its_field() {
        let yaml = r#"
object: companies
match: { email: email }
on_absent: clear
properties:
  Bad-Name: { policy: overwrite }
  name: {}
  stage: { policy: { forward_only: [a, a] }, adopt: true }
  tier: { create: { type: enumeration, group: "Product Usage", label: "" } }
"#;
        assert_eq!(
            paths(yaml),
            [
                "match.email",
                "on_absent",
                "properties.Bad-Name",
                "properties.name.policy",
                "properties.stage.policy",
                "properties.stage.adopt",
                "properties.tier.create.options",
                "properties.tier.create.label",
                "properties.tier.create.group",
            ]
        );
    }

    #[test]
    fn a_create_needs_a_unique_key() {
        let yaml = "{ object: contacts, match: { record_id: id }, mode: MODE, properties: { a: { policy: max } } }";
        for mode in ["upsert", "create"] {
            assert_eq!(paths(&yaml.replace("MODE", mode)), ["mode"]);
        }
    }

    #[test]
    fn every_mode_says_what_it_cannot_do() {
        let of =
            |rest: &str| paths(&format!("{{ object: contacts, match: {{ email: e }}, {rest} }}"));
        let written = "properties: { a: { policy: max } }";
        let guarded = "guards: { min_rows: 1 }";
        assert_eq!(of("mode: archive"), Vec::<String>::new());
        assert_eq!(of(&format!("mode: archive, {written}")), ["properties"]);
        assert_eq!(of("mode: create"), ["properties"]);
        assert_eq!(of(&format!("mode: create, {written}")), Vec::<String>::new());
        assert_eq!(
            of(&format!("mode: create, on_absent: clear, {guarded}, {written}")),
            ["on_absent"]
        );
        assert_eq!(of(&format!("on_absent: clear, {written}")), ["on_absent"]);
        assert_eq!(of(&format!("on_absent: clear, {guarded}, {written}")), Vec::<String>::new());
    }

    #[test]
    fn unknown_keys_and_two_keys_are_refused() {
        for yaml in [
            "{ object: contacts, match: { email: e, record_id: i }, properties: {} }",
            "{ object: contacts, match: { email: e }, properties: {}, colour: red }",
            "{ object: contacts, match: { email: e }, properties: {}, guards: { max_changed: 0.3 } }",
            "{ object: contacts, match: { email: e }, properties: { a: { policy: sometimes } } }",
        ] {
            assert!(serde_saphyr::from_str::<WriteBackConfig>(yaml).is_err(), "{yaml} was taken");
        }
    }
}
