//! What HubSpot itself shows of the sync: properties that are stamped along with
//! every change of a record, and a part of a write-back that tells of refused
//! rows on their records.
//!
//! A stamp alone is never worth a write: a record that is as wanted keeps the
//! time at which it was last changed, and a further run writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::{
    CreateConfig, DeclaredType, GuardsConfig, InvalidWriteBack, MatchConfig, MatchKey, Mode, Nulls,
    OnAbsent, OptionConfig, Policy, PropertyConfig, WriteBackConfig, is_property_name,
};
use super::error::{LoadError, While};
use super::links::write_back_of;
use super::plan::{PlanRequest, PlanSummary, plan};
use super::properties::PropertyPlan;
use super::rejects::{RejectFilter, RejectStatus, find_rejects};
use crate::hubspot::Client;
use crate::lake::Lake;
use crate::objects::PropertyDefinition;

/// What the part is called behind the write-back's name.
const PART: &str = "status";

/// The states of a record.
const SYNCED: &str = "synced";
const REJECTED: &str = "rejected";

/// What the description of a property says that only hublake writes to.
const MARK: &str = "set by hublake";

/// Longest message that is shown on a record; the reject has all of it.
const LONGEST_MESSAGE: usize = 1_000;

/// Categories of rows whose records cannot be told anything.
const UNREACHABLE: [&str; 2] = ["OBJECT_NOT_FOUND", "OBJECT_ARCHIVED"];

/// Properties of the written records that show in HubSpot how their sync stands. Each
/// is created where the account lacks it, and written only by hublake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusConfig {
    /// The property with the time of the last change that hublake made to the record.
    pub last_synced: Option<String>,
    /// The property with `synced` or `rejected`.
    pub state: Option<String>,
    /// The property with the reason for which the record's row is refused.
    pub error: Option<String>,
    /// The group that the properties are listed under.
    #[serde(default = "group")]
    pub group: String,
}

/// A property that says where a record's values come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginConfig {
    /// The property; created as text where the account lacks it.
    pub property: String,
    /// The constant that it gets with the first change of a record, where it is empty.
    pub value: String,
    /// The group that the property is listed under.
    #[serde(default = "group")]
    pub group: String,
}

fn group() -> String {
    "hublake".to_owned()
}

/// What is stamped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    LastSynced,
    State,
    Error,
    Origin(String),
}

impl WriteBackConfig {
    /// The properties that are stamped along with a change, as they are declared.
    pub(crate) fn stamps(&self) -> Vec<(String, Stamp, CreateConfig)> {
        let mut stamps = Vec::new();
        if let Some(status) = &self.status {
            let mut push = |name: &Option<String>, stamp, create: CreateConfig| {
                stamps.extend(name.clone().map(|name| (name, stamp, create)));
            };
            let create = |kind, label: &str, description: &str| CreateConfig {
                declared_type: kind,
                field_type: None,
                group: status.group.clone(),
                label: label.to_owned(),
                description: description.to_owned(),
                options: Vec::new(),
                unique: false,
            };
            let at = "When hublake last changed this record; set by hublake";
            push(
                &status.last_synced,
                Stamp::LastSynced,
                create(DeclaredType::Datetime, "Last synced by hublake", at),
            );
            let how = "How the last sync of this record ended; set by hublake";
            let options =
                [SYNCED, REJECTED].map(|option| OptionConfig::Value(option.to_owned())).to_vec();
            let state = CreateConfig {
                options,
                ..create(DeclaredType::Enumeration, "State of the sync by hublake", how)
            };
            push(&status.state, Stamp::State, state);
            let why = "Why the values of this record cannot be written; set by hublake";
            let error = CreateConfig {
                field_type: Some("textarea".to_owned()),
                ..create(DeclaredType::String, "Error of the sync by hublake", why)
            };
            push(&status.error, Stamp::Error, error);
        }
        if let Some(origin) = &self.origin {
            let create = CreateConfig {
                declared_type: DeclaredType::String,
                field_type: None,
                group: origin.group.clone(),
                label: "Source of the data".to_owned(),
                description: "What writes to this record; set by hublake where empty".to_owned(),
                options: Vec::new(),
                unique: false,
            };
            stamps.push((origin.property.clone(), Stamp::Origin(origin.value.clone()), create));
        }
        stamps
    }

    /// The properties that show how the sync stands, each as its path in the
    /// settings and its name: of these a write-back is the only owner.
    pub fn status_properties(&self) -> Vec<(&'static str, &str)> {
        let Some(status) = &self.status else { return Vec::new() };
        let named = [
            ("status.last_synced", &status.last_synced),
            ("status.state", &status.state),
            ("status.error", &status.error),
        ];
        named.into_iter().filter_map(|(path, name)| Some((path, name.as_deref()?))).collect()
    }

    /// The first property under `status` that is somebody else's by now, with what
    /// is wrong: what stands in it would be replaced.
    pub(crate) fn taken_status_property(
        &self,
        definitions: &[PropertyDefinition],
    ) -> Option<(&'static str, String)> {
        self.status_properties().into_iter().find_map(|(path, name)| {
            let known = |known: &&PropertyDefinition| known.name == name && !known.archived;
            let found = definitions.iter().find(known)?;
            if found.hubspot_defined {
                let problem = format!(
                    "Property `{name}` is HubSpot's own, and its values would be replaced: name one that only \
                     hublake writes"
                );
                return Some((path, problem));
            }
            (!found.description.contains(MARK)).then(|| {
                let problem = format!(
                    "Property `{name}` is there already, and the values in it would be replaced: name another, or \
                     end its description in HubSpot with `{MARK}` if only hublake writes to it"
                );
                (path, problem)
            })
        })
    }

    /// What is wrong with `status` and `origin`.
    pub(crate) fn validate_stamps(&self, problems: &mut Vec<InvalidWriteBack>) {
        let mut say = |path: &str, problem: &str| {
            problems.push(InvalidWriteBack { path: path.to_owned(), problem: problem.to_owned() });
        };
        let origin =
            self.origin.as_ref().map(|origin| ("origin.property", origin.property.as_str()));
        let named: Vec<(&str, &str)> = self.status_properties().into_iter().chain(origin).collect();
        if self.status.is_some() && self.status_properties().is_empty() {
            say("status", "Name a property: `last_synced`, `state` or `error`");
        }
        if self.origin.as_ref().is_some_and(|origin| origin.value.trim().is_empty()) {
            say("origin.value", "Write the text that the property is to get");
        }
        let groups = [
            ("status.group", self.status.as_ref().map(|status| &status.group)),
            ("origin.group", self.origin.as_ref().map(|origin| &origin.group)),
        ];
        for (path, group) in groups {
            if group.is_some_and(|group| !is_property_name(group)) {
                say(
                    path,
                    "Group names are lower case letters, digits and `_`, and start with a letter",
                );
            }
        }
        let mut seen = BTreeSet::new();
        for (path, name) in &named {
            if !is_property_name(name) {
                say(
                    path,
                    "Property names are lower case letters, digits and `_`, and start with a letter",
                );
            }
            if self.properties.contains_key(*name) || !seen.insert(*name) {
                say(path, "The write-back writes something else to this property: name another");
            }
        }
        let Some((path, _)) = named.first() else { return };
        let section = path.split('.').next().unwrap_or_default();
        if self.properties.is_empty() {
            say(section, "It is stamped along with properties, and this write-back writes none");
        }
        if !self.refresh {
            say(section, "It needs `refresh: true`: what a stamp replaces must be known");
        }
    }

    /// Settings by which refused rows are told of on their records.
    fn status_write_back(&self) -> WriteBackConfig {
        let told = |(name, stamp, create): (String, Stamp, CreateConfig)| {
            let from = match stamp {
                Stamp::State => "state",
                Stamp::Error => "error",
                Stamp::LastSynced | Stamp::Origin(_) => return None,
            };
            let property = PropertyConfig {
                from: Some(from.to_owned()),
                policy: Some(Policy::Overwrite),
                create: Some(create),
                nulls: Some(Nulls::Clear),
                adopt: false,
            };
            Some((name, property))
        };
        WriteBackConfig {
            match_by: MatchConfig { key: MatchKey::RecordId, column: "record_id".to_owned() },
            mode: Mode::Update,
            properties: self.stamps().into_iter().filter_map(told).collect(),
            associate: BTreeMap::new(),
            list: None,
            event: None,
            create: None,
            partial: false,
            nulls: Nulls::Clear,
            on_absent: OnAbsent::Keep,
            guards: GuardsConfig::default(),
            on_reject: None,
            status: None,
            origin: None,
            ..self.clone()
        }
    }
}

/// The part that tells of refused rows, where the write-back has one.
pub(crate) fn status_part(write_back: &str, config: &WriteBackConfig) -> Option<String> {
    let status = config.status.as_ref()?;
    (status.state.is_some() || status.error.is_some()).then(|| format!("{write_back}.{PART}"))
}

/// The settings that a plan of this name is made and applied with, where it is one
/// of what is shown on records.
pub(crate) fn status_config(name: &str, config: &WriteBackConfig) -> Option<WriteBackConfig> {
    let part = status_part(write_back_of(name), config);
    (part.as_deref() == Some(name)).then(|| config.status_write_back())
}

/// Plans what records are to show of their refused rows: those that are refused,
/// and those that no longer are. Planned and applied as values of a model would
/// be; the write-back itself makes the properties.
///
/// # Errors
/// As [`plan`].
pub(crate) async fn plan_status(
    lake: &Lake,
    client: &Client,
    config: &WriteBackConfig,
    name: &str,
    request: PlanRequest<'_>,
) -> Result<PlanSummary, LoadError> {
    let rows = told_rows(lake, request.pipeline, write_back_of(name)).await?;
    let wanted = RecordBatchStreamAdapter::new(
        rows.schema(),
        futures::stream::iter([Ok::<_, datafusion::error::DataFusionError>(rows)]),
    );
    let request = PlanRequest { config, write_back: name, wanted: Box::pin(wanted), ..request };
    let plan = plan(lake, client, request).await?;
    Ok(PlanSummary { properties: PropertyPlan::default(), ..plan })
}

/// One row a record: `record_id`, `state`, `error`.
async fn told_rows(
    lake: &Lake,
    pipeline: &str,
    write_back: &str,
) -> Result<RecordBatch, LoadError> {
    let filter = |status| RejectFilter {
        write_back: Some(write_back.to_owned()),
        status,
        ..RejectFilter::default()
    };
    let mut told: BTreeMap<i64, Option<String>> = BTreeMap::new();
    for (status, is_open) in [(RejectStatus::Fixed, false), (RejectStatus::Open, true)] {
        for reject in find_rejects(lake, &filter(status)).await? {
            let reachable = !UNREACHABLE.contains(&reject.category.as_str());
            let Some(id) = reject.record_id.filter(|_| reachable && reject.pipeline == pipeline)
            else {
                continue;
            };
            let message = reject.message.trim().chars().take(LONGEST_MESSAGE).collect();
            told.insert(id, is_open.then_some(message));
        }
    }
    let states = told.values().map(|error| if error.is_some() { REJECTED } else { SYNCED });
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("record_id", Arc::new(Int64Array::from_iter_values(told.keys().copied())), true),
        ("state", Arc::new(states.map(Some).collect::<StringArray>()), true),
        ("error", Arc::new(told.values().map(Option::as_deref).collect::<StringArray>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).during("reading the rejects")
}

impl Stamp {
    /// What the property is to hold after a change made at `now` (µs since 1970), where
    /// it holds `held`; `None` where it stays.
    pub(crate) fn value(&self, now: i64, held: &str) -> Option<String> {
        let value = match self {
            Self::LastSynced => chrono::DateTime::from_timestamp_micros(now)?
                .to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            Self::State => SYNCED.to_owned(),
            Self::Error => String::new(),
            Self::Origin(value) if held.is_empty() => value.clone(),
            Self::Origin(_) => return None,
        };
        (value != held).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(rest: &str) -> Vec<String> {
        let yaml = format!("{{ object: contacts, match: {{ email: e }}, {rest} }}");
        let config: WriteBackConfig = serde_saphyr::from_str(&yaml).expect("readable settings");
        config.validate().into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn every_fault_of_status_and_origin_names_its_field() {
        let written = "properties: { a: { policy: max } }";
        let whole =
            "status: { last_synced: s, state: t, error: e }, origin: { property: o, value: v }";
        assert_eq!(paths(&format!("{written}, {whole}")), Vec::<String>::new());
        assert_eq!(paths(&format!("{written}, status: {{}}")), ["status"]);
        assert_eq!(paths(&format!("{written}, status: {{ state: a }}")), ["status.state"]);
        assert_eq!(
            paths(&format!("{written}, status: {{ state: s, error: s }}")),
            ["status.error"]
        );
        assert_eq!(paths(&format!("{written}, status: {{ state: S }}")), ["status.state"]);
        assert_eq!(
            paths(&format!("{written}, status: {{ state: s, group: G }}")),
            ["status.group"]
        );
        assert_eq!(
            paths(&format!("{written}, origin: {{ property: o, value: ' ' }}")),
            ["origin.value"]
        );
        assert_eq!(paths(&format!("{written}, refresh: false, {whole}")), ["status"]);
        assert_eq!(paths(&format!("mode: archive, {whole}")), ["status"]);
    }

    #[test]
    fn a_stamp_that_holds_already_is_none() {
        assert_eq!(Stamp::State.value(0, "synced"), None);
        assert_eq!(Stamp::State.value(0, "rejected").as_deref(), Some("synced"));
        assert_eq!(Stamp::Error.value(0, ""), None);
        assert_eq!(Stamp::Error.value(0, "x").as_deref(), Some(""));
        let origin = Stamp::Origin("hublake".to_owned());
        assert_eq!(origin.value(0, "").as_deref(), Some("hublake"));
        assert_eq!(origin.value(0, "a person's"), None);
        let at = Stamp::LastSynced.value(1_500, "");
        assert_eq!(at.as_deref(), Some("1970-01-01T00:00:00.001Z"));
    }
}
