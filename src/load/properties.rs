//! The properties a write-back declares: planned against the account, then
//! created before any row needs them.

use std::collections::{BTreeSet, HashMap};

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use super::config::{CreateConfig, WriteBackConfig};
use super::error::{LoadError, While};
use super::{audit, mirror};
use crate::hubspot::{Client, NewProperty, PropertyGroup};
use crate::lake::Lake;
use crate::objects::{ObjectType, PropertyDefinition, PropertyOption};

/// What has to be made before the rows can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyPlan {
    /// Properties to create, each with its group.
    pub creates: Vec<PlannedProperty>,
    /// Options to add to properties that exist. Options are never removed.
    pub options: Vec<PlannedOptions>,
}

/// A property to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedProperty {
    /// Its internal name.
    pub name: String,
    /// Its label.
    pub label: String,
    /// Its declared type, in HubSpot's words.
    #[serde(rename = "type")]
    pub property_type: String,
    /// The group it is listed under.
    pub group: String,
}

/// Options to add to a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedOptions {
    /// The property's internal name.
    pub property: String,
    /// The values to add.
    pub values: Vec<String>,
}

impl PropertyPlan {
    /// Whether the account already has everything.
    pub fn is_empty(&self) -> bool {
        self.creates.is_empty() && self.options.is_empty()
    }

    /// The part of this that is in `shown` too: what somebody read is what is
    /// made, whatever the settings say since.
    pub(crate) fn only(mut self, shown: &Self) -> Self {
        self.creates.retain(|new| shown.creates.contains(new));
        self.options.retain_mut(|new| {
            let shown = shown.options.iter().find(|options| options.property == new.property);
            new.values.retain(|value| shown.is_some_and(|shown| shown.values.contains(value)));
            !new.values.is_empty()
        });
        self
    }
}

/// Compares what a write-back declares with what the account has.
///
/// # Errors
/// A declared property that exists with another type, or that cannot be
/// written: nothing a run may change.
pub(crate) fn plan(
    write_back: &str,
    config: &WriteBackConfig,
    definitions: &[PropertyDefinition],
) -> Result<PropertyPlan, LoadError> {
    if let Some((path, problem)) = config.taken_status_property(definitions) {
        let (write_back, path) = (write_back.to_owned(), path.to_owned());
        return Err(LoadError::Settings { write_back, path, problem });
    }
    let mut plan = PropertyPlan::default();
    for (name, create) in declared(config) {
        match definitions.iter().find(|found| found.name == name && !found.archived) {
            None => plan.creates.push(planned(&name, &create)),
            Some(found) => {
                if let Some(problem) = clash(&create, found) {
                    let path = path_of(config, &name);
                    return Err(LoadError::Settings {
                        write_back: write_back.to_owned(),
                        path,
                        problem,
                    });
                }
                plan.options.extend(missing_options(&name, &create, found));
            }
        }
    }
    Ok(plan)
}

/// Compares what a write-back declares with what the account has.
///
/// # Errors
/// A declared property that exists with another type, or that cannot be
/// written.
pub fn plan_properties(
    write_back: &str,
    config: &WriteBackConfig,
    definitions: &[PropertyDefinition],
) -> Result<PropertyPlan, LoadError> {
    plan(write_back, config, definitions)
}

/// What the declarations of a write-back leave to be wished for: property,
/// sentence.
pub fn property_advice(config: &WriteBackConfig) -> Vec<(String, String)> {
    declared(config)
        .flat_map(|(name, create)| {
            let said = audit::lint(&name, &create.description);
            said.into_iter().map(move |sentence| (name.clone(), sentence))
        })
        .collect()
}

/// Makes what is planned, and its columns in the mirror, so that what is
/// written shows at once. Returns the names of the properties created.
///
/// # Errors
/// HubSpot refuses, or the lake fails.
pub async fn make_properties(
    lake: &Lake,
    client: &Client,
    object: &ObjectType,
    config: &WriteBackConfig,
    plan: &PropertyPlan,
) -> Result<BTreeSet<String>, LoadError> {
    let created = create(client, object, config, plan).await?;
    add_columns(lake, object, config, &created).await?;
    Ok(created)
}

/// Gives the mirror a column for each property just created.
pub(crate) async fn add_columns(
    lake: &Lake,
    object: &ObjectType,
    config: &WriteBackConfig,
    created: &BTreeSet<String>,
) -> Result<(), LoadError> {
    let mut columns = declared_columns(config);
    columns.retain(|(name, _)| created.contains(name));
    mirror::add_columns(lake, object, &columns).await
}

/// Creates what is planned: groups, then properties, then options. Returns the
/// names of the properties created, which HubSpot needs up to a second to let
/// rows use.
async fn create(
    client: &Client,
    object: &ObjectType,
    config: &WriteBackConfig,
    plan: &PropertyPlan,
) -> Result<BTreeSet<String>, LoadError> {
    create_groups(client, object, plan).await?;
    let mut created = BTreeSet::new();
    for (name, create) in
        declared(config).filter(|(name, _)| plan.creates.iter().any(|new| new.name == *name))
    {
        client
            .create_property(object, &new_property(&name, &create))
            .await
            .during("creating a property")?;
        created.insert(name.clone());
    }
    for (name, create) in declared(config) {
        if let Some(missing) = plan.options.iter().find(|missing| missing.property == name) {
            let options: Vec<_> = options(&create)
                .into_iter()
                .filter(|option| missing.values.contains(&option.value))
                .collect();
            client
                .add_property_options(object, &name, &options)
                .await
                .during("adding options to a property")?;
        }
    }
    Ok(created)
}

async fn create_groups(
    client: &Client,
    object: &ObjectType,
    plan: &PropertyPlan,
) -> Result<(), LoadError> {
    if plan.creates.is_empty() {
        return Ok(());
    }
    let present = client.property_groups(object).await.during("listing property groups")?;
    let wanted: BTreeSet<&str> = plan.creates.iter().map(|new| new.group.as_str()).collect();
    for name in wanted.into_iter().filter(|name| !present.iter().any(|group| group.name == *name)) {
        let group = PropertyGroup { name: name.to_owned(), label: label_of(name) };
        client.create_property_group(object, &group).await.during("creating a property group")?;
    }
    Ok(())
}

/// The account's definitions by name, with every declared property in them as
/// if it had been created and its options added.
pub(crate) fn with_declared(
    config: &WriteBackConfig,
    definitions: &[PropertyDefinition],
) -> HashMap<String, PropertyDefinition> {
    let live = definitions.iter().filter(|definition| !definition.archived);
    let mut known: HashMap<String, PropertyDefinition> =
        live.map(|definition| (definition.name.clone(), definition.clone())).collect();
    for (name, create) in declared(config) {
        let definition = known.entry(name.clone()).or_insert_with(|| definition(&name, &create));
        for option in options(&create) {
            if !definition.options.iter().any(|known| known.value == option.value) {
                definition.options.push(option);
            }
        }
    }
    known
}

/// Every property that a write-back declares, as it is created.
pub(crate) fn declared_properties(config: &WriteBackConfig) -> Vec<NewProperty> {
    declared(config).map(|(name, create)| new_property(&name, &create)).collect()
}

/// Every property that a write-back declares, with the type of its column.
pub(crate) fn declared_columns(config: &WriteBackConfig) -> Vec<(String, DataType)> {
    declared(config).map(|(name, create)| (name, create.property_type().arrow_type())).collect()
}

/// Those of `properties`, and those that are stamped along with them.
fn declared(config: &WriteBackConfig) -> impl Iterator<Item = (String, CreateConfig)> {
    let stamped = config.stamps().into_iter().map(|(name, _, create)| (name, create));
    let own = config.properties.iter();
    own.filter_map(|(name, property)| Some((name.clone(), property.create.clone()?))).chain(stamped)
}

/// Where the settings declare a property.
fn path_of(config: &WriteBackConfig, name: &str) -> String {
    let status = config.status_properties().into_iter().find(|(_, named)| *named == name);
    match status {
        Some((path, _)) => path.to_owned(),
        None if config.properties.contains_key(name) => format!("properties.{name}.create"),
        None => "origin.property".to_owned(),
    }
}

fn planned(name: &str, create: &CreateConfig) -> PlannedProperty {
    PlannedProperty {
        name: name.to_owned(),
        label: create.label.clone(),
        property_type: create.property_type().as_str().to_owned(),
        group: create.group.clone(),
    }
}

fn clash(create: &CreateConfig, found: &PropertyDefinition) -> Option<String> {
    let declared = create.property_type();
    if found.property_type != declared {
        return Some(format!(
            "It is declared as `{}` and exists in HubSpot as `{}`; HubSpot cannot change a type: declare that type or \
             choose another name",
            declared.as_str(),
            found.property_type.as_str()
        ));
    }
    if !found.is_writable() {
        return Some(
            "It exists in HubSpot and is calculated or read-only: choose another name".to_owned(),
        );
    }
    (create.unique && !found.has_unique_value).then(|| {
        "It is declared unique and exists in HubSpot as not unique, which HubSpot sets at creation only: choose \
         another name"
            .to_owned()
    })
}

fn missing_options(
    name: &str,
    create: &CreateConfig,
    found: &PropertyDefinition,
) -> Option<PlannedOptions> {
    let wanted = create.options.iter().map(|option| option.value());
    let values: Vec<String> = wanted
        .filter(|value| !found.options.iter().any(|known| known.value == *value))
        .map(str::to_owned)
        .collect();
    (!values.is_empty()).then(|| PlannedOptions { property: name.to_owned(), values })
}

fn options(create: &CreateConfig) -> Vec<PropertyOption> {
    let option = |value: &str, label: &str| PropertyOption {
        label: label.to_owned(),
        value: value.to_owned(),
        hidden: false,
    };
    if create.property_type().as_str() == "bool" {
        // HubSpot refuses a bool without exactly these two (properties guide).
        return vec![option("true", "Yes"), option("false", "No")];
    }
    create.options.iter().map(|known| option(known.value(), known.label())).collect()
}

fn new_property(name: &str, create: &CreateConfig) -> NewProperty {
    NewProperty {
        name: name.to_owned(),
        label: create.label.clone(),
        property_type: create.property_type(),
        field_type: create.field_type().to_owned(),
        group_name: create.group.clone(),
        description: create.description.clone(),
        options: options(create),
        has_unique_value: create.unique,
    }
}

fn definition(name: &str, create: &CreateConfig) -> PropertyDefinition {
    PropertyDefinition {
        name: name.to_owned(),
        label: create.label.clone(),
        property_type: create.property_type(),
        field_type: create.field_type().to_owned(),
        group_name: create.group.clone(),
        description: create.description.clone(),
        options: options(create),
        calculated: false,
        external_options: false,
        has_unique_value: create.unique,
        read_only_value: false,
        hubspot_defined: false,
        hidden: false,
        archived: false,
        data_sensitivity: None,
        created_at: None,
        updated_at: None,
    }
}

/// `product_usage` → `Product usage`.
fn label_of(group: &str) -> String {
    let words = group.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::PropertyType;

    fn config() -> WriteBackConfig {
        serde_saphyr::from_str(
            r#"
object: contacts
match: { record_id: id }
properties:
  score: { create: { type: number, group: product_usage, label: Score } }
  tier: { create: { type: enumeration, group: product_usage, label: Tier, options: [gold, { value: s, label: Silver }] } }
  jobtitle: { policy: fill_empty }
"#,
        )
        .expect("valid settings")
    }

    fn existing(name: &str, property_type: PropertyType) -> PropertyDefinition {
        let declared = &config().properties["score"].create.clone().expect("declared");
        PropertyDefinition { property_type, ..definition(name, declared) }
    }

    #[test]
    fn what_is_missing_is_planned_once() {
        let plan = plan("w", &config(), &[]).expect("a plan");
        let names: Vec<_> = plan
            .creates
            .iter()
            .map(|new| (new.name.as_str(), new.property_type.as_str()))
            .collect();
        assert_eq!(names, [("score", "number"), ("tier", "enumeration")]);

        let account: Vec<_> = with_declared(&config(), &[]).into_values().collect();
        assert!(super::plan("w", &config(), &account).expect("a plan").is_empty());
    }

    #[test]
    fn options_are_added_to_a_property_that_exists() {
        let mut account: Vec<_> = with_declared(&config(), &[]).into_values().collect();
        let tier =
            account.iter_mut().find(|definition| definition.name == "tier").expect("declared");
        tier.options.retain(|option| option.value != "s");
        let plan = plan("w", &config(), &account).expect("a plan");
        assert_eq!(
            plan.options,
            [PlannedOptions { property: "tier".into(), values: vec!["s".into()] }]
        );
        assert!(plan.creates.is_empty());
    }

    #[test]
    fn another_type_is_refused() {
        let error =
            plan("w", &config(), &[existing("score", PropertyType::String)]).expect_err("a clash");
        assert!(error.to_string().contains("`properties.score.create`"), "{error}");
    }

    #[test]
    fn an_archived_property_is_created_again() {
        let archived =
            PropertyDefinition { archived: true, ..existing("score", PropertyType::Number) };
        assert_eq!(plan("w", &config(), &[archived]).expect("a plan").creates.len(), 2);
    }

    #[test]
    fn groups_are_labelled_in_words() {
        assert_eq!(label_of("product_usage"), "Product usage");
    }
}
