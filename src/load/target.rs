//! A write-back's settings met with the account's property definitions:
//! everything a row's decision needs, worked out once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::config::{MatchKey, Mode, Nulls, OnAbsent, Policy, PropertyConfig, WriteBackConfig};
use super::error::LoadError;
use super::form::{Form, Refusal};
use super::mirror;
use super::policy::Rule;
use super::properties;
use super::status::Stamp;
use crate::objects::{ObjectType, PropertyDefinition, PropertyType};

/// Where a write-back's rows go, and how each is decided.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) write_back: String,
    pub(crate) object: ObjectType,
    pub(crate) key: MatchKey,
    /// The model's column that holds the key.
    pub(crate) key_column: String,
    /// The form of the key's values; record ids are plain text.
    pub(crate) key_form: Form,
    pub(crate) mode: Mode,
    pub(crate) on_absent: OnAbsent,
    pub(crate) partial: bool,
    pub(crate) refresh: bool,
    pub(crate) properties: Vec<TargetProperty>,
    /// What is written along with any of these.
    pub(crate) stamps: Vec<(Stamp, TargetProperty)>,
    /// Changes when a property's definition does, so that a refused row is
    /// tried again.
    pub(crate) definitions_hash: u64,
}

/// One property the write-back owns.
#[derive(Clone, Debug)]
pub(crate) struct TargetProperty {
    pub(crate) name: String,
    /// The model's column.
    pub(crate) column: String,
    /// The mirror's column.
    pub(crate) held_column: String,
    pub(crate) form: Form,
    pub(crate) rule: Rule,
    pub(crate) nulls: Nulls,
    /// Why no value at all can be written, where that is so.
    pub(crate) refusal: Option<Refusal>,
}

impl Target {
    /// Meets the settings with the definitions of the object's properties.
    /// A declared property that the account lacks counts as already created.
    ///
    /// # Errors
    /// Settings that are invalid, or that this account cannot serve: a match
    /// property that is not unique.
    pub(crate) fn new(
        write_back: &str,
        config: &WriteBackConfig,
        definitions: &[PropertyDefinition],
    ) -> Result<Self, LoadError> {
        let fault = |path: &str, problem: String| LoadError::Settings {
            write_back: write_back.to_owned(),
            path: path.to_owned(),
            problem,
        };
        if let Some(first) = config.validate().into_iter().next() {
            return Err(fault(&first.path, first.problem));
        }
        let object = config.object_type().map_err(|error| fault("object", error.to_string()))?;
        if let Some((path, problem)) = config.taken_status_property(definitions) {
            return Err(fault(path, problem));
        }
        let known = properties::with_declared(config, definitions);
        for name in config.properties.keys() {
            if let Some(problem) = misplaced(config, name, &known) {
                return Err(fault(&format!("properties.{name}.policy"), problem));
            }
        }
        let properties = config
            .properties
            .iter()
            .map(|(name, settings)| target_property(config, name, settings, &known));
        let stamps = config.stamps().into_iter().map(|(name, stamp, create)| {
            let settings = PropertyConfig { create: Some(create), ..PropertyConfig::default() };
            (stamp, target_property(config, &name, &settings, &known))
        });
        Ok(Self {
            write_back: write_back.to_owned(),
            key: config.match_by.key.clone(),
            key_column: config.match_by.column.clone(),
            key_form: key_form(&config.match_by.key, &known)
                .map_err(|problem| fault("match", problem))?,
            mode: config.mode,
            on_absent: config.on_absent,
            partial: config.partial,
            refresh: config.refresh,
            properties: properties.collect(),
            // One that cannot be written is left out: it is no reason to refuse a row.
            stamps: stamps.filter(|(_, property)| property.refusal.is_none()).collect(),
            definitions_hash: definitions_hash(config, &known),
            object,
        })
    }

    /// The property that identifies a record that is created.
    pub(crate) fn key_property(&self) -> Option<&str> {
        match &self.key {
            MatchKey::RecordId => None,
            MatchKey::Email => Some("email"),
            MatchKey::Unique(property) => Some(property),
        }
    }

    /// All that may be sent: properties and stamps.
    pub(crate) fn written(&self) -> impl Iterator<Item = &TargetProperty> {
        self.properties.iter().chain(self.stamps.iter().map(|(_, property)| property))
    }

    /// The properties to ask for when a record is read before it is decided.
    pub(crate) fn read_properties(&self) -> Vec<String> {
        let mut names: Vec<String> = self.written().map(|property| property.name.clone()).collect();
        names.extend(
            self.key_property()
                .filter(|key| !names.iter().any(|name| name == key))
                .map(str::to_owned),
        );
        names
    }
}

fn target_property(
    config: &WriteBackConfig,
    name: &str,
    settings: &PropertyConfig,
    known: &HashMap<String, PropertyDefinition>,
) -> TargetProperty {
    let definition = known.get(name);
    let form = definition.map_or_else(Form::text, Form::of);
    TargetProperty {
        column: settings.column(name).to_owned(),
        held_column: mirror::column_name(name),
        rule: Rule {
            // Validated settings name a policy for every property.
            policy: settings.policy().cloned().unwrap_or(Policy::FillEmpty),
            adopt: settings.adopt,
            order: form.order(),
        },
        nulls: settings.nulls.unwrap_or(config.nulls),
        refusal: unwritable(name, definition),
        name: name.to_owned(),
        form,
    }
}

/// Why a property's policy cannot mean anything for its type.
fn misplaced(
    config: &WriteBackConfig,
    name: &str,
    known: &HashMap<String, PropertyDefinition>,
) -> Option<String> {
    use PropertyType::{Date, DateTime, Number};
    let definition = known.get(name)?;
    let held = definition.property_type.as_str();
    match config.properties[name].policy()? {
        Policy::Append if !definition.is_multi_select() => Some(format!(
            "`append` adds options to a multi-select, and the property is of type `{held}`"
        )),
        Policy::Max | Policy::Min
            if !matches!(definition.property_type, Number | Date | DateTime) =>
        {
            Some(format!(
                "`max` and `min` compare numbers and dates, and the property is of type `{held}`"
            ))
        }
        _ => None,
    }
}

fn unwritable(name: &str, definition: Option<&PropertyDefinition>) -> Option<Refusal> {
    match definition {
        None => Some(Refusal {
            code: "PROPERTY_DOESNT_EXIST",
            sentence: format!(
                "Property `{name}` does not exist in HubSpot, and the settings do not declare it"
            ),
        }),
        Some(definition) if !definition.is_writable() => Some(Refusal {
            code: "READ_ONLY_VALUE",
            sentence: format!("Property `{name}` is calculated or read-only in HubSpot"),
        }),
        Some(_) => None,
    }
}

fn key_form(key: &MatchKey, known: &HashMap<String, PropertyDefinition>) -> Result<Form, String> {
    match key {
        MatchKey::RecordId => Ok(Form::text()),
        MatchKey::Email => Ok(Form::email()),
        MatchKey::Unique(property) => match known.get(property) {
            None => Err(format!("Property `{property}` does not exist in HubSpot")),
            Some(found) if !found.has_unique_value => Err(format!(
                "Property `{property}` is not unique in HubSpot, so it cannot tell one record from another: match by \
                 record id, email, or a property created with `unique: true`"
            )),
            Some(found) if found.property_type == PropertyType::DateTime => {
                Err(format!("Property `{property}` holds points in time, which are no keys"))
            }
            Some(found) => Ok(Form::of(found)),
        },
    }
}

fn definitions_hash(config: &WriteBackConfig, known: &HashMap<String, PropertyDefinition>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for definition in config.properties.keys().filter_map(|name| known.get(name)) {
        (&definition.name, definition.property_type.as_str(), &definition.field_type)
            .hash(&mut hasher);
        (definition.read_only_value, definition.archived, definition.calculated).hash(&mut hasher);
        // Another property of the same name is another property.
        definition.created_at.hash(&mut hasher);
        definition.options.iter().for_each(|option| option.value.hash(&mut hasher));
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of_fault(yaml: &str) -> String {
        let config: WriteBackConfig = serde_saphyr::from_str(yaml).expect("readable settings");
        match Target::new("w", &config, &[]).expect_err("a fault") {
            LoadError::Settings { path, .. } => path,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn policies_that_mean_nothing_for_a_type_are_refused() {
        for policy in ["append", "max", "min"] {
            let yaml = format!(
                "{{ object: contacts, match: {{ record_id: id }}, properties: {{ p: {{ policy: {policy}, \
                 create: {{ type: string, group: g, label: P }} }} }} }}"
            );
            assert_eq!(path_of_fault(&yaml), "properties.p.policy", "{policy}");
        }
    }

    #[test]
    fn only_a_unique_property_is_a_key() {
        let shared =
            "{ object: companies, match: { domain: d }, properties: { p: { policy: overwrite } } }";
        assert_eq!(path_of_fault(shared), "match");
        let declared = "{ object: companies, match: { account_key: k }, mode: upsert, properties: { account_key: \
                        { create: { type: string, group: g, label: K, unique: true } } } }";
        let config: WriteBackConfig = serde_saphyr::from_str(declared).expect("readable settings");
        let target = Target::new("w", &config, &[]).expect("a unique property");
        assert_eq!(target.key_property(), Some("account_key"));
    }

    #[test]
    fn a_property_nobody_declared_refuses_its_values() {
        let yaml = "{ object: contacts, match: { record_id: id }, properties: { nope: { policy: overwrite } } }";
        let config: WriteBackConfig = serde_saphyr::from_str(yaml).expect("readable settings");
        let target = Target::new("w", &config, &[]).expect("rows are refused, not settings");
        assert_eq!(
            target.properties[0].refusal.as_ref().map(|why| why.code),
            Some("PROPERTY_DOESNT_EXIST")
        );
    }
}
