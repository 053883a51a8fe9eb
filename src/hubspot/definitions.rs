use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::error::{Error, Problem};
use super::paths::Route;
use super::transport::Effect;
use super::wire::{optional_micros, or_default, text_field};
use crate::objects::{ObjectType, PropertyDefinition, PropertyOption, PropertyType};

/// A property to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProperty {
    /// The internal name: lower case letters, digits and underscores.
    pub name: String,
    /// What a person sees.
    pub label: String,
    /// The type of its values.
    pub property_type: PropertyType,
    /// How a form shows it: `text`, `number`, `select`, `checkbox`, …
    pub field_type: String,
    /// The group it is listed under; must exist.
    pub group_name: String,
    /// What it is for.
    pub description: String,
    /// The options of an enumeration, in order.
    pub options: Vec<PropertyOption>,
    /// No two records may hold the same value; cannot be changed later.
    pub has_unique_value: bool,
}

/// A group that properties are listed under.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PropertyGroup {
    /// The internal name.
    pub name: String,
    /// What a person sees.
    pub label: String,
}

impl Client {
    /// All property definitions of an object type; archived ones instead of
    /// present ones when asked.
    ///
    /// # Errors
    /// As any read.
    pub async fn properties(
        &self,
        object: &ObjectType,
        archived: bool,
    ) -> Result<Vec<PropertyDefinition>, Error> {
        let query = format!("archived={archived}");
        let all: Results<WireProperty> =
            self.fetch(self.get(Route::Properties, &[object.name()], &query)).await?;
        Ok(all.results.into_iter().map(PropertyDefinition::from).collect())
    }

    /// Creates a property. Values can be written to it only after 250 to 700 ms;
    /// creating an archived name restores that property.
    ///
    /// # Errors
    /// `Refused` with `OBJECT_ALREADY_EXISTS` when the name is taken.
    pub async fn create_property(
        &self,
        object: &ObjectType,
        property: &NewProperty,
    ) -> Result<PropertyDefinition, Error> {
        let body = json_bytes(&property.to_wire());
        let request = self.post(Route::Properties, &[object.name()], Effect::Write, body);
        let created: WireProperty = self.fetch(request).await?;
        Ok(created.into())
    }

    /// The groups that properties of an object type are listed under.
    ///
    /// # Errors
    /// As any read.
    pub async fn property_groups(&self, object: &ObjectType) -> Result<Vec<PropertyGroup>, Error> {
        let all: Results<PropertyGroup> =
            self.fetch(self.get(Route::PropertyGroups, &[object.name()], "")).await?;
        Ok(all.results)
    }

    /// Creates a property group.
    ///
    /// # Errors
    /// `Refused` when the name is taken.
    pub async fn create_property_group(
        &self,
        object: &ObjectType,
        group: &PropertyGroup,
    ) -> Result<(), Error> {
        let body = json!({ "name": group.name, "label": group.label, "displayOrder": -1 });
        let names = [object.name()];
        let request = self.post(Route::PropertyGroups, &names, Effect::Write, json_bytes(&body));
        self.decoded(request, |_| Ok(())).await
    }

    /// Adds options to an enumeration; those whose value it has already stay
    /// as they are, and nothing is sent when it has them all.
    ///
    /// HubSpot replaces the whole list, so it is read first: an option that
    /// someone adds in between is lost.
    ///
    /// # Errors
    /// `NotFound` when the property does not exist.
    pub async fn add_property_options(
        &self,
        object: &ObjectType,
        name: &str,
        options: &[PropertyOption],
    ) -> Result<(), Error> {
        let names = [object.name(), name];
        let present = self
            .decoded(self.get(Route::Property, &names, ""), |reply| options_of(&reply.body))
            .await?;
        let Some(merged) = merged_options(present, options) else { return Ok(()) };
        let body = json_bytes(&json!({ "options": merged }));
        self.decoded(self.patch(Route::Property, &names, body), |_| Ok(())).await
    }
}

impl NewProperty {
    /// As a property of a new custom object type: its group does not exist yet
    /// and goes without saying.
    pub(super) fn to_schema(&self) -> Value {
        let mut wire = self.to_wire();
        if let Some(fields) = wire.as_object_mut() {
            fields.remove("groupName");
        }
        wire
    }

    fn to_wire(&self) -> Value {
        let options: Vec<Value> =
            self.options.iter().enumerate().map(|(i, option)| wire_option(option, i)).collect();
        let mut wire = json!({
            "name": self.name,
            "label": self.label,
            "type": self.property_type.as_str(),
            "fieldType": self.field_type,
            "groupName": self.group_name,
            "description": self.description,
            "hasUniqueValue": self.has_unique_value,
        });
        if !options.is_empty() {
            wire["options"] = options.into();
        }
        wire
    }
}

fn wire_option(option: &PropertyOption, place: usize) -> Value {
    json!({
        "label": option.label,
        "value": option.value,
        "displayOrder": place,
        "hidden": option.hidden,
    })
}

/// The options of a property with everything HubSpot keeps about them.
fn options_of(body: &[u8]) -> Result<Vec<Value>, Problem> {
    #[derive(Deserialize)]
    struct Property {
        #[serde(default, deserialize_with = "or_default")]
        options: Vec<Value>,
    }
    let property: Property = serde_json::from_slice(body)?;
    Ok(property.options)
}

/// The present options with the missing ones behind them; `None` when none is
/// missing.
fn merged_options(mut present: Vec<Value>, wanted: &[PropertyOption]) -> Option<Vec<Value>> {
    let before = present.len();
    for option in wanted {
        let same = |one: &Value| one.get("value").and_then(Value::as_str) == Some(&option.value);
        if !present.iter().any(same) {
            present.push(wire_option(option, present.len()));
        }
    }
    (present.len() > before).then_some(present)
}

fn json_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[derive(Deserialize)]
struct Results<T> {
    results: Vec<T>,
}

/// A definition as the API answers it. By description seven fields are always
/// there; on the wire nothing but the name is sure.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProperty {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    label: String,
    #[serde(rename = "type")]
    property_type: String,
    #[serde(default, deserialize_with = "or_default")]
    field_type: String,
    #[serde(default, deserialize_with = "or_default")]
    group_name: String,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
    #[serde(default, deserialize_with = "or_default")]
    options: Vec<Map<String, Value>>,
    #[serde(default, deserialize_with = "or_default")]
    calculated: bool,
    #[serde(default, deserialize_with = "or_default")]
    external_options: bool,
    #[serde(default, deserialize_with = "or_default")]
    has_unique_value: bool,
    #[serde(default, deserialize_with = "or_default")]
    modification_metadata: WireModification,
    #[serde(default, deserialize_with = "or_default")]
    hubspot_defined: bool,
    #[serde(default, deserialize_with = "or_default")]
    hidden: bool,
    #[serde(default, deserialize_with = "or_default")]
    archived: bool,
    #[serde(default)]
    data_sensitivity: Option<String>,
    #[serde(default, deserialize_with = "optional_micros")]
    created_at: Option<i64>,
    #[serde(default, deserialize_with = "optional_micros")]
    updated_at: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireModification {
    #[serde(default, deserialize_with = "or_default")]
    read_only_value: bool,
}

impl From<WireProperty> for PropertyDefinition {
    fn from(wire: WireProperty) -> Self {
        Self {
            property_type: PropertyType::from_wire(&wire.property_type),
            options: wire.options.iter().filter_map(option_from).collect(),
            read_only_value: wire.modification_metadata.read_only_value,
            name: wire.name,
            label: wire.label,
            field_type: wire.field_type,
            group_name: wire.group_name,
            description: wire.description,
            calculated: wire.calculated,
            external_options: wire.external_options,
            has_unique_value: wire.has_unique_value,
            hubspot_defined: wire.hubspot_defined,
            hidden: wire.hidden,
            archived: wire.archived,
            data_sensitivity: wire.data_sensitivity,
            created_at: wire.created_at,
            updated_at: wire.updated_at,
        }
    }
}

/// An option without a value can be held by no record.
fn option_from(wire: &Map<String, Value>) -> Option<PropertyOption> {
    let value = text_field(wire, "value")?;
    Some(PropertyOption {
        label: text_field(wire, "label").unwrap_or_else(|| value.clone()),
        hidden: wire.get("hidden").and_then(Value::as_bool).unwrap_or(false),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(value: &str) -> PropertyOption {
        PropertyOption { label: value.to_uppercase(), value: value.into(), hidden: false }
    }

    #[test]
    fn a_definition_is_read_full_and_bare() {
        let full: WireProperty = serde_json::from_str(
            r#"{"name":"favorite_food","label":"Favorite Food","type":"enumeration","fieldType":"select","groupName":"contactinformation",
                "description":"","displayOrder":-1,"hidden":false,"formField":true,"hasUniqueValue":false,
                "options":[{"label":"Pizza","value":"pizza","displayOrder":0,"hidden":false,"description":""}],
                "calculated":false,"calculationFormula":null,"externalOptions":false,"referencedObjectType":null,"hubspotDefined":false,
                "modificationMetadata":{"archivable":true,"readOnlyDefinition":false,"readOnlyValue":true,"readOnlyOptions":false},
                "createdAt":"2022-06-01T14:31:48.469Z","updatedAt":null,"archived":false,"dataSensitivity":"non_sensitive"}"#,
        )
        .expect("a definition");
        let full = PropertyDefinition::from(full);
        assert_eq!(full.property_type, PropertyType::Enumeration);
        assert_eq!(full.options, [PropertyOption { label: "Pizza".into(), ..option("pizza") }]);
        assert!(full.read_only_value && full.created_at.is_some() && full.updated_at.is_none());
        let bare: WireProperty =
            serde_json::from_str(r#"{"name":"x","type":"json"}"#).expect("a definition");
        let bare = PropertyDefinition::from(bare);
        assert_eq!(bare.property_type, PropertyType::Other("json".into()));
        assert!(bare.is_writable() && !bare.archived);
    }

    #[test]
    fn options_are_added_and_none_is_changed() {
        let present =
            vec![json!({"label": "Old", "value": "a", "displayOrder": 4, "description": "kept"})];
        let merged = merged_options(present.clone(), &[option("a"), option("b"), option("b")]);
        let merged = merged.expect("one is missing");
        assert_eq!(merged.len(), 2);
        assert_eq!(merged[0], present[0]);
        assert_eq!(
            merged[1],
            json!({"label": "B", "value": "b", "displayOrder": 1, "hidden": false})
        );
        assert_eq!(merged_options(present, &[option("a")]), None);
    }
}
