//! Small tables read whole each run: owners, teams, pipelines, properties.
//!
//! A row that HubSpot no longer shows stays and is marked archived, so that a
//! record's old owner or stage can still be named.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::prelude::{col, lit};

use super::error::{ExtractError, reading, storing};
use super::stored;
use crate::hubspot::{Client, List, ObjectSchema, Owner, Pipeline};
use crate::lake::{Changes, Lake, Table, TableName, TableSpec};
use crate::objects::{ObjectType, PropertyDefinition};

/// Columns of a reference table under way, all of one length.
struct Rows(Vec<(&'static str, ArrayRef)>);

impl Rows {
    fn text(mut self, name: &'static str, values: impl Iterator<Item = Option<String>>) -> Self {
        self.0.push((name, Arc::new(values.collect::<StringArray>())));
        self
    }

    fn whole(mut self, name: &'static str, values: impl Iterator<Item = Option<i64>>) -> Self {
        self.0.push((name, Arc::new(values.collect::<Int64Array>())));
        self
    }

    fn flag(mut self, name: &'static str, values: impl Iterator<Item = bool>) -> Self {
        self.0.push((name, Arc::new(values.map(Some).collect::<BooleanArray>())));
        self
    }

    fn time(mut self, name: &'static str, micros: impl Iterator<Item = Option<i64>>) -> Self {
        let times: TimestampMicrosecondArray = micros.collect();
        self.0.push((name, Arc::new(times.with_timezone("UTC"))));
        self
    }

    fn batch(self) -> Result<RecordBatch, ExtractError> {
        let rows = self.0.first().map_or(0, |(_, array)| array.len());
        let now = chrono::Utc::now().timestamp_micros();
        let stamped = self.time("_synced_at", std::iter::repeat_n(Some(now), rows));
        Ok(RecordBatch::try_from_iter_with_nullable(
            stamped.0.into_iter().map(|(name, array)| (name, array, true)),
        )?)
    }
}

/// Reads owners, archived ones included, into `hubspot.owners` and their teams
/// into `hubspot.teams`.
///
/// # Errors
/// A HubSpot or lake failure; a missing scope is one.
pub async fn sync_owners(client: &Client, lake: &Lake) -> Result<(), ExtractError> {
    let mut owners = client.owners(false).await.map_err(reading("owners"))?;
    owners.extend(client.owners(true).await.map_err(reading("owners"))?);
    store(lake, "owners", &["id"], owner_rows(&owners)?, Scope::Whole).await?;
    store(lake, "teams", &["id"], team_rows(&owners)?, Scope::Whole).await
}

fn owner_rows(owners: &[Owner]) -> Result<RecordBatch, ExtractError> {
    let team_ids =
        |o: &Owner| (!o.teams.is_empty()).then(|| join(o.teams.iter().map(|t| t.id.as_str())));
    Rows(Vec::new())
        .text("id", owners.iter().map(|o| Some(o.id.clone())))
        .text("email", owners.iter().map(|o| o.email.clone()))
        .text("type", owners.iter().map(|o| o.owner_type.clone()))
        .text("first_name", owners.iter().map(|o| o.first_name.clone()))
        .text("last_name", owners.iter().map(|o| o.last_name.clone()))
        .whole("user_id", owners.iter().map(|o| o.user_id))
        .text(
            "primary_team_id",
            owners.iter().map(|o| Some(o.teams.iter().find(|t| t.primary)?.id.clone())),
        )
        .text("team_ids", owners.iter().map(team_ids))
        .flag("archived", owners.iter().map(|o| o.archived))
        .time("created_at", owners.iter().map(|o| o.created_at))
        .time("updated_at", owners.iter().map(|o| o.updated_at))
        .batch()
}

fn team_rows(owners: &[Owner]) -> Result<RecordBatch, ExtractError> {
    let mut teams: Vec<_> = owners.iter().flat_map(|o| &o.teams).collect();
    teams.sort_by(|a, b| a.id.cmp(&b.id));
    teams.dedup_by(|a, b| a.id == b.id);
    Rows(Vec::new())
        .text("id", teams.iter().map(|t| Some(t.id.clone())))
        .text("name", teams.iter().map(|t| Some(t.name.clone())))
        .flag("archived", teams.iter().map(|_| false))
        .batch()
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(";")
}

/// Reads the pipelines of an object type into `hubspot.pipelines` and
/// `hubspot.pipeline_stages`.
///
/// # Errors
/// A HubSpot or lake failure; a missing scope is one.
pub async fn sync_pipelines(
    client: &Client,
    lake: &Lake,
    object: &ObjectType,
) -> Result<(), ExtractError> {
    let pipelines = client.pipelines(object).await.map_err(reading("pipelines"))?;
    let scope = Scope::Object(object.name());
    store(lake, "pipelines", &["object_type", "id"], pipeline_rows(object, &pipelines)?, scope)
        .await?;
    let key = ["object_type", "pipeline_id", "id"];
    store(lake, "pipeline_stages", &key, stage_rows(object, &pipelines)?, scope).await
}

/// Whether the lake holds pipelines of an object type.
///
/// # Errors
/// The lake cannot be read.
pub async fn holds_pipelines(lake: &Lake, object: &ObjectType) -> Result<bool, ExtractError> {
    let name = TableName::hubspot("pipelines");
    let Some(table) = lake.table(&name).await.map_err(storing(&name))? else { return Ok(false) };
    let of_type = col("object_type").eq(lit(object.name()));
    Ok(stored::read(&table, Some(&["id"]), Some(of_type)).await?.is_some())
}

fn pipeline_rows(object: &ObjectType, pipelines: &[Pipeline]) -> Result<RecordBatch, ExtractError> {
    Rows(Vec::new())
        .text("object_type", pipelines.iter().map(|_| Some(object.name().to_owned())))
        .text("id", pipelines.iter().map(|p| Some(p.id.clone())))
        .text("label", pipelines.iter().map(|p| Some(p.label.clone())))
        .whole("display_order", pipelines.iter().map(|p| Some(p.display_order)))
        .flag("archived", pipelines.iter().map(|p| p.archived))
        .time("created_at", pipelines.iter().map(|p| p.created_at))
        .time("updated_at", pipelines.iter().map(|p| p.updated_at))
        .batch()
}

fn stage_rows(object: &ObjectType, pipelines: &[Pipeline]) -> Result<RecordBatch, ExtractError> {
    let stages: Vec<_> =
        pipelines.iter().flat_map(|p| p.stages.iter().map(move |s| (p, s))).collect();
    let fact = |name: &'static str| stages.iter().map(move |(_, s)| s.metadata.get(name).cloned());
    Rows(Vec::new())
        .text("object_type", stages.iter().map(|_| Some(object.name().to_owned())))
        .text("pipeline_id", stages.iter().map(|(p, _)| Some(p.id.clone())))
        .text("id", stages.iter().map(|(_, s)| Some(s.id.clone())))
        .text("label", stages.iter().map(|(_, s)| Some(s.label.clone())))
        .whole("display_order", stages.iter().map(|(_, s)| Some(s.display_order)))
        .text("probability", fact("probability"))
        .text("is_closed", fact("isClosed"))
        .text("ticket_state", fact("ticketState"))
        .flag("archived", stages.iter().map(|(_, s)| s.archived))
        .time("created_at", stages.iter().map(|(_, s)| s.created_at))
        .time("updated_at", stages.iter().map(|(_, s)| s.updated_at))
        .batch()
}

/// Stores the property definitions of an object type in `hubspot.properties`.
///
/// # Errors
/// A lake failure.
pub async fn sync_properties(
    lake: &Lake,
    object: &ObjectType,
    definitions: &[PropertyDefinition],
) -> Result<(), ExtractError> {
    let rows = property_rows(object, definitions)?;
    store(lake, "properties", &["object_type", "name"], rows, Scope::Object(object.name())).await
}

fn property_rows(
    object: &ObjectType,
    definitions: &[PropertyDefinition],
) -> Result<RecordBatch, ExtractError> {
    let text = |get: fn(&PropertyDefinition) -> &str| {
        definitions.iter().map(move |d| Some(get(d).to_owned()))
    };
    let flag = |get: fn(&PropertyDefinition) -> bool| definitions.iter().map(get);
    Rows(Vec::new())
        .text("object_type", definitions.iter().map(|_| Some(object.name().to_owned())))
        .text("name", text(|d| &d.name))
        .text("label", text(|d| &d.label))
        .text("type", text(|d| d.property_type.as_str()))
        .text("field_type", text(|d| &d.field_type))
        .text("group_name", text(|d| &d.group_name))
        .text("description", text(|d| &d.description))
        .text("options", definitions.iter().map(options_json))
        .flag("calculated", flag(|d| d.calculated))
        .flag("has_unique_value", flag(|d| d.has_unique_value))
        .flag("read_only_value", flag(|d| d.read_only_value))
        .flag("hubspot_defined", flag(|d| d.hubspot_defined))
        .flag("hidden", flag(|d| d.hidden))
        .text("data_sensitivity", definitions.iter().map(|d| d.data_sensitivity.clone()))
        .flag("archived", flag(|d| d.archived))
        .time("created_at", definitions.iter().map(|d| d.created_at))
        .time("updated_at", definitions.iter().map(|d| d.updated_at))
        .batch()
}

/// The columns of a table that is read whole; none for any other.
pub(super) fn schema_of(table: &str) -> Option<SchemaRef> {
    let rows = match table {
        "owners" => owner_rows(&[]),
        "teams" => team_rows(&[]),
        "pipelines" => pipeline_rows(&ObjectType::DEALS, &[]),
        "pipeline_stages" => stage_rows(&ObjectType::DEALS, &[]),
        "properties" => property_rows(&ObjectType::CONTACTS, &[]),
        "schemas" => schema_rows(&[]),
        "lists" => list_rows(&[]),
        _ => return None,
    };
    rows.ok().map(|rows| rows.schema())
}

/// Stores the account's custom object types, archived ones included, in
/// `hubspot.schemas`.
///
/// # Errors
/// A lake failure.
pub async fn sync_schemas(lake: &Lake, schemas: &[ObjectSchema]) -> Result<(), ExtractError> {
    store(lake, "schemas", &["name"], schema_rows(schemas)?, Scope::Whole).await
}

fn schema_rows(schemas: &[ObjectSchema]) -> Result<RecordBatch, ExtractError> {
    let joined = |get: fn(&ObjectSchema) -> &[String]| {
        let texts = schemas.iter().map(get);
        texts.map(|names| (!names.is_empty()).then(|| names.join(";")))
    };
    Rows(Vec::new())
        .text("name", schemas.iter().map(|s| Some(s.fully_qualified_name.to_ascii_lowercase())))
        .text("object_type_id", schemas.iter().map(|s| s.object_type_id.clone()))
        .text("short_name", schemas.iter().map(|s| Some(s.name.clone())))
        .text("label", schemas.iter().map(|s| s.labels.singular.clone()))
        .text("plural_label", schemas.iter().map(|s| s.labels.plural.clone()))
        .text("description", schemas.iter().map(|s| s.description.clone()))
        .text(
            "primary_display_property",
            schemas.iter().map(|s| s.primary_display_property.clone()),
        )
        .text("secondary_display_properties", joined(|s| &s.secondary_display_properties))
        .text("required_properties", joined(|s| &s.required_properties))
        .text("searchable_properties", joined(|s| &s.searchable_properties))
        .flag("archived", schemas.iter().map(|s| s.archived))
        .time("created_at", schemas.iter().map(|s| s.created_at))
        .time("updated_at", schemas.iter().map(|s| s.updated_at))
        .batch()
}

/// Stores the account's lists in `hubspot.lists`.
pub(super) async fn store_lists(lake: &Lake, lists: &[List]) -> Result<(), ExtractError> {
    let rows = list_rows(lists)?;
    store(lake, LISTS, &["id"], rows, Scope::Whole).await
}

fn list_rows(lists: &[List]) -> Result<RecordBatch, ExtractError> {
    Rows(Vec::new())
        .text("id", lists.iter().map(|l| Some(l.id.clone())))
        .text("name", lists.iter().map(|l| Some(l.name.clone())))
        .text("object_type_id", lists.iter().map(|l| l.object_type_id.clone()))
        .text("processing_type", lists.iter().map(|l| l.processing_type.clone()))
        .text("processing_status", lists.iter().map(|l| l.processing_status.clone()))
        .whole("size", lists.iter().map(|l| l.size))
        .text("created_by_id", lists.iter().map(|l| l.created_by_id.clone()))
        .flag("archived", lists.iter().map(|_| false))
        .time("created_at", lists.iter().map(|l| l.created_at))
        .time("updated_at", lists.iter().map(|l| l.updated_at))
        .batch()
}

/// The name of the table of lists under `hubspot`.
pub(super) const LISTS: &str = "lists";

/// `[{"label": …, "value": …}, …]`, or null where a property has no options.
fn options_json(definition: &PropertyDefinition) -> Option<String> {
    let options = definition.options.iter();
    let list: Vec<_> =
        options.map(|o| serde_json::json!({"label": o.label, "value": o.value})).collect();
    (!list.is_empty()).then(|| serde_json::Value::Array(list).to_string())
}

/// Which stored rows a fresh reading stands for.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// All of them.
    Whole,
    /// Those whose `object_type` this is.
    Object(&'a str),
}

async fn store(
    lake: &Lake,
    name: &str,
    key: &[&str],
    fresh: RecordBatch,
    scope: Scope<'_>,
) -> Result<(), ExtractError> {
    let spec = TableSpec {
        name: TableName::hubspot(name),
        schema: fresh.schema(),
        key: key.iter().map(|column| (*column).to_owned()).collect(),
        partition_by: Vec::new(),
    };
    let mut table = lake.open_or_create(&spec).await.map_err(storing(&spec.name))?;
    let gone = vanished(&table, key, &fresh, scope).await?;
    let changes = Changes {
        rows: std::iter::once(fresh).chain(gone).collect(),
        deletes: None,
        newer_by: None,
        ignore: vec!["_synced_at".to_owned()],
    };
    table.upsert(changes, &[]).await.map_err(storing(&spec.name))?;
    Ok(())
}

/// Stored rows of the scope that the fresh reading lacks, marked archived.
async fn vanished(
    table: &Table,
    key: &[&str],
    fresh: &RecordBatch,
    scope: Scope<'_>,
) -> Result<Option<RecordBatch>, ExtractError> {
    let Some(stored) = stored::read(table, None, None).await? else { return Ok(None) };
    let mut keys = KeySet::new(fresh, key)?;
    let gone = keys.missing_from(&stored, key)?;
    let indices: arrow::array::UInt32Array = gone
        .into_iter()
        .filter(|row| in_scope(&stored, *row, scope))
        .map(|row| row as u32)
        .collect();
    if indices.is_empty() {
        return Ok(None);
    }
    let gone = take_record_batch(&stored, &indices)?;
    let archived: ArrayRef = Arc::new(BooleanArray::from(vec![true; gone.num_rows()]));
    stored::with_columns(&gone, [("archived", archived)]).map(Some)
}

fn in_scope(stored: &RecordBatch, row: usize, scope: Scope<'_>) -> bool {
    use arrow::array::AsArray;
    match scope {
        Scope::Whole => true,
        Scope::Object(object) => stored
            .column_by_name("object_type")
            .and_then(|column| column.as_string_opt::<i32>())
            .is_some_and(|types| types.value(row) == object),
    }
}

/// The keys of a batch, to ask which rows of another have none of them.
pub(super) struct KeySet {
    converter: RowConverter,
    keys: HashSet<Vec<u8>>,
}

impl KeySet {
    /// The keys in the named columns of `batch`.
    pub(super) fn new(batch: &RecordBatch, key: &[&str]) -> Result<Self, ExtractError> {
        let columns = project(batch, key)?;
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let rows = converter.convert_columns(&columns)?;
        let keys = rows.iter().map(|row| row.as_ref().to_vec()).collect();
        Ok(Self { converter, keys })
    }

    /// The rows of `other` whose key is not in the set.
    pub(super) fn missing_from(
        &mut self,
        other: &RecordBatch,
        key: &[&str],
    ) -> Result<Vec<usize>, ExtractError> {
        let rows = self.converter.convert_columns(&project(other, key)?)?;
        let missing = rows.iter().enumerate().filter(|(_, row)| !self.keys.contains(row.as_ref()));
        Ok(missing.map(|(index, _)| index).collect())
    }
}

fn project(batch: &RecordBatch, columns: &[&str]) -> Result<Vec<ArrayRef>, ExtractError> {
    let indices: Result<Vec<usize>, _> =
        columns.iter().map(|name| batch.schema().index_of(name)).collect();
    Ok(indices?.into_iter().map(|index| batch.column(index).clone()).collect())
}
