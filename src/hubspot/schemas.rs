use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::definitions::NewProperty;
use super::error::Error;
use super::paths::Route;
use super::transport::Effect;
use super::wire::{optional_micros, optional_text, or_default};

/// A custom object type of the account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectSchema {
    /// `2-3453932`.
    #[serde(default, deserialize_with = "optional_text")]
    pub object_type_id: Option<String>,
    /// `p1234567_licence`, the name that paths take.
    pub fully_qualified_name: String,
    /// `licence`.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// What a person sees.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: SchemaLabels,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// The property that stands for a record.
    #[serde(default)]
    pub primary_display_property: Option<String>,
    /// Properties shown beside it.
    #[serde(default, deserialize_with = "or_default")]
    pub secondary_display_properties: Vec<String>,
    /// Properties that every record must have.
    #[serde(default, deserialize_with = "or_default")]
    pub required_properties: Vec<String>,
    /// Properties that a search looks into.
    #[serde(default, deserialize_with = "or_default")]
    pub searchable_properties: Vec<String>,
    /// Whether the type has been deleted.
    #[serde(default, deserialize_with = "or_default")]
    pub archived: bool,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub created_at: Option<i64>,
    /// µs since 1970, UTC.
    #[serde(default, deserialize_with = "optional_micros")]
    pub updated_at: Option<i64>,
}

/// The labels of an [`ObjectSchema`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SchemaLabels {
    /// Of one record.
    #[serde(default)]
    pub singular: Option<String>,
    /// Of several.
    #[serde(default)]
    pub plural: Option<String>,
}

/// A custom object type to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchema {
    /// The internal name, without the account's prefix; cannot change later.
    pub name: String,
    /// What a person sees of one record.
    pub singular: String,
    /// What a person sees of several.
    pub plural: String,
    /// What it is for.
    pub description: String,
    /// The property that stands for a record; one of `properties`.
    pub primary_display_property: String,
    /// Properties that every record must have.
    pub required_properties: Vec<String>,
    /// Its properties; their group is HubSpot's own.
    pub properties: Vec<NewProperty>,
    /// Object types that its records can be associated with, by name.
    pub associated_objects: Vec<String>,
}

impl Client {
    /// Creates a custom object type with its properties and associations.
    ///
    /// # Errors
    /// `MissingScope` where the tier has no custom objects, `Refused` when the
    /// name is taken.
    pub async fn create_schema(&self, schema: &NewSchema) -> Result<ObjectSchema, Error> {
        let properties: Vec<Value> = schema.properties.iter().map(NewProperty::to_schema).collect();
        let body = json!({
            "name": schema.name,
            "labels": {"singular": schema.singular, "plural": schema.plural},
            "description": schema.description,
            "primaryDisplayProperty": schema.primary_display_property,
            "requiredProperties": schema.required_properties,
            "searchableProperties": [schema.primary_display_property],
            "properties": properties,
            "associatedObjects": schema.associated_objects,
        });
        let body = body.to_string().into_bytes();
        self.fetch(self.post(Route::Schemas, &[], Effect::Write, body)).await
    }

    /// The account's custom object types, archived ones instead of present ones
    /// when asked.
    ///
    /// # Errors
    /// `MissingScope` where the account's tier has no custom objects; otherwise
    /// as any read.
    pub async fn schemas(&self, archived: bool) -> Result<Vec<ObjectSchema>, Error> {
        #[derive(Deserialize)]
        struct Schemas {
            results: Vec<ObjectSchema>,
        }
        let query = format!("archived={archived}");
        let all: Schemas = self.fetch(self.get(Route::Schemas, &[], &query)).await?;
        let mark = |schema| ObjectSchema { archived, ..schema };
        Ok(all.results.into_iter().map(mark).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::hubspot::scripted::{answer, scripted};

    #[tokio::test(start_paused = true)]
    async fn schemas_are_read_full_and_bare() {
        let body = r#"{"results":[
            {"objectTypeId":"2-3453932","fullyQualifiedName":"p1_licence","name":"licence","archived":null,
             "labels":{"singular":"Licence","plural":"Licences"},"requiredProperties":["key"],
             "createdAt":"2024-01-01T00:00:00Z","associations":[],"properties":[]},
            {"fullyQualifiedName":"p1_x"}]}"#;
        let (client, script) = scripted([answer(200, body, &[])]);
        let schemas = client.schemas(true).await.expect("schemas");
        assert!(
            script.requests()[0].url.ends_with("/crm-object-schemas/2026-03/schemas?archived=true")
        );
        assert_eq!(schemas[0].labels.plural.as_deref(), Some("Licences"));
        assert_eq!(schemas[0].required_properties, ["key"]);
        assert!(schemas.iter().all(|schema| schema.archived));
        assert_eq!(schemas[1].object_type_id, None);
    }
}
