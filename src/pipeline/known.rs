//! The columns of every table a project may read, as far as they are known:
//! from the lake, from the account, from the settings, from the sources.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;

use super::error::PipelineError;
use super::settings::Project;
use super::wanted;
use crate::extract::chain;
use crate::extract::source::{Source, SourceConfig};
use crate::extract::{ExpectedMirror, expected_mirror, mirror_table, other_table_schema};
use crate::lake::{Changes, Lake, Table, TableName, TableSpec};
use crate::objects::{ObjectType, PropertyDefinition};
use crate::transform::{Engine, KnownTable};

/// The table under `system` that remembers the columns of sources.
const SOURCE_COLUMNS: &str = "source_columns";

/// The properties of an account, by object type.
pub type Definitions = BTreeMap<ObjectType, Vec<PropertyDefinition>>;

/// What is known, and what is not.
#[derive(Debug, Default)]
pub struct Known {
    /// Tables outside the models.
    pub tables: BTreeMap<TableName, KnownTable>,
    /// What could not be looked at, one sentence each.
    pub notes: Vec<String>,
}

/// Gathers the columns of every table that models may read.
///
/// `definitions` are the account's properties where they have been read.
/// `offline` keeps away from the network: a lake or source that is not on this
/// machine is then not looked at, and its last known columns are taken.
///
/// # Errors
/// The lake cannot be read; a property named in the settings that the account
/// does not have.
pub async fn known_tables(
    project: &Project,
    definitions: &Definitions,
    offline: bool,
) -> Result<Known, PipelineError> {
    let mut known = Known::default();
    let lake = if offline && is_remote(&project.config.lake.url) {
        let note = format!("{} is not looked at offline", project.config.lake.url);
        known.notes.push(note);
        None
    } else {
        Some(Lake::open(&project.config.lake, &project.dir).await?)
    };
    if let Some(lake) = &lake {
        for name in lake.tables().await? {
            if let Some(table) = lake.table(&name).await? {
                known.tables.insert(name, KnownTable::sure(table.schema()));
            }
        }
    }
    known.add_mirrors(project, definitions)?;
    known.add_others(project);
    known.add_sources(project, lake.as_ref(), offline).await?;
    Ok(known)
}

impl Known {
    /// Mirrors as the lake has them, and what extracts will add.
    fn add_mirrors(
        &mut self,
        project: &Project,
        definitions: &Definitions,
    ) -> Result<(), PipelineError> {
        let pipelines: Vec<_> = project.pipelines.iter().collect();
        for (object, job) in wanted::jobs(project, &pipelines, &[]) {
            let read = definitions.get(&object).map(Vec::as_slice);
            let expected = expected_mirror(&object, &job.config.properties, &job.always, read)?;
            let name = mirror_table(&object);
            let known = match self.tables.get(&name) {
                Some(stored) => together(stored, &expected),
                None => KnownTable {
                    schema: expected.schema,
                    names_are_sure: expected.names_are_sure,
                    types_are_sure: expected.types_are_sure,
                },
            };
            self.tables.insert(name, known);
        }
        Ok(())
    }

    /// Tables that hang on the mirrors, and those that are read whole.
    fn add_others(&mut self, project: &Project) {
        let models = project.graph.in_order();
        let read = models.flat_map(|model| model.tables_of("hubspot").map(|(table, _)| table));
        for table in read {
            let name = TableName::hubspot(table);
            if let Some(schema) = other_table_schema(table) {
                self.tables.entry(name).or_insert_with(|| KnownTable::sure(schema));
            }
        }
    }

    async fn add_sources(
        &mut self,
        project: &Project,
        lake: Option<&Lake>,
        offline: bool,
    ) -> Result<(), PipelineError> {
        let runtime = Arc::new(RuntimeEnv::default());
        let mut remembered = match lake {
            Some(lake) => remembered_sources(lake).await?,
            None => BTreeMap::new(),
        };
        for (name, config) in &project.config.sources {
            let table = TableName::usage(name);
            // A copy has the columns it was made with; before there is one, the source's.
            if config.copy.is_some() && self.tables.contains_key(&table) {
                continue;
            }
            let told = if offline && !is_local(config) {
                format!("`{table}` is not on this machine and not looked at offline")
            } else {
                match Source::open(name, config, &project.dir, runtime.clone()).await {
                    Ok(source) => {
                        self.tables.insert(table, KnownTable::sure(source.schema()));
                        continue;
                    }
                    Err(error) => format!(
                        "{}; its write-backs will not run ({})",
                        chain(&error),
                        error.advice()
                    ),
                }
            };
            match remembered.remove(name) {
                Some(schema) => {
                    self.notes.push(format!("{told}; its columns are taken as they were last"));
                    self.tables.insert(table, KnownTable::sure(schema));
                }
                None => self.notes.push(told),
            }
        }
        Ok(())
    }
}

/// The columns that are stored, and those that the next extract adds. What the
/// account has is known since the last one, so that nothing else is expected.
fn together(stored: &KnownTable, expected: &ExpectedMirror) -> KnownTable {
    let new = expected.schema.fields().iter();
    let new: Vec<_> =
        new.filter(|field| stored.schema.field_with_name(field.name()).is_err()).cloned().collect();
    // Of properties that HubSpot gives every account, one that the account did
    // not show is one that it does not have.
    if !expected.names_are_sure {
        return stored.clone();
    }
    let types_are_sure = new.is_empty() || expected.types_are_sure;
    let fields: Vec<_> = stored.schema.fields().iter().cloned().chain(new).collect();
    KnownTable { schema: Arc::new(Schema::new(fields)), names_are_sure: true, types_are_sure }
}

/// Whether an address leads off this machine.
fn is_remote(url: &str) -> bool {
    url.contains("://") && !url.starts_with("file://")
}

fn is_local(config: &SourceConfig) -> bool {
    config.address().is_some_and(|address| !is_remote(address))
}

/// Notes the columns of the sources that an engine has open, for the day when
/// one cannot be reached. The same columns again write nothing.
///
/// # Errors
/// The lake cannot be read or written.
pub(super) async fn remember_sources(lake: &Lake, engine: &Engine) -> Result<(), PipelineError> {
    let sources: BTreeMap<String, SchemaRef> =
        engine.source_schemas().map(|(name, schema)| (name.to_owned(), schema)).collect();
    if sources.is_empty() {
        return Ok(());
    }
    let before = remembered_sources(lake).await?;
    let is_known = |(name, schema): (&String, &SchemaRef)| {
        before.get(name).is_some_and(|known| same_columns(known, schema))
    };
    if sources.iter().all(is_known) {
        return Ok(());
    }
    let mut table = lake.open_or_create(&source_spec()).await?;
    let rows = source_rows(&sources);
    let gone =
        before.iter().filter(|(name, _)| sources.contains_key(*name)).flat_map(|(name, schema)| {
            let left = sources[name].fields().len()..schema.fields().len();
            left.map(move |position| (name.clone(), position as i64))
        });
    let gone: Vec<_> = gone.collect();
    let deletes = (!gone.is_empty()).then(|| key_rows(&gone));
    table.upsert(Changes { rows: vec![rows], deletes, ..Changes::default() }, &[]).await?;
    Ok(())
}

fn same_columns(one: &Schema, other: &Schema) -> bool {
    let columns = |schema: &Schema| -> Vec<(String, String)> {
        let fields = schema.fields().iter();
        fields.map(|field| (field.name().clone(), field.data_type().to_string())).collect()
    };
    columns(one) == columns(other)
}

fn source_spec() -> TableSpec {
    TableSpec {
        name: TableName::system(SOURCE_COLUMNS),
        schema: source_rows(&BTreeMap::new()).schema(),
        key: vec!["source".to_owned(), "position".to_owned()],
        partition_by: Vec::new(),
    }
}

fn source_rows(sources: &BTreeMap<String, SchemaRef>) -> RecordBatch {
    let columns = sources.iter().flat_map(|(name, schema)| {
        schema.fields().iter().enumerate().map(move |(at, field)| (name, at, field))
    });
    let columns: Vec<_> = columns.collect();
    let text = |of: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..columns.len()).map(of)))
    };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("source", text(&|row| columns[row].0.clone()), true),
        (
            "position",
            Arc::new(Int64Array::from_iter_values(columns.iter().map(|c| c.1 as i64))) as ArrayRef,
            true,
        ),
        ("column", text(&|row| columns[row].2.name().clone()), true),
        ("data_type", text(&|row| columns[row].2.data_type().to_string()), true),
    ]);
    batch.expect("every column has one value for every row")
}

fn key_rows(keys: &[(String, i64)]) -> RecordBatch {
    let names = StringArray::from_iter_values(keys.iter().map(|(name, _)| name));
    let positions = Int64Array::from_iter_values(keys.iter().map(|(_, position)| *position));
    RecordBatch::try_from_iter_with_nullable([
        ("source", Arc::new(names) as ArrayRef, true),
        ("position", Arc::new(positions) as ArrayRef, true),
    ])
    .expect("both columns have one value for every key")
}

/// The columns that sources had when a build last opened them.
async fn remembered_sources(lake: &Lake) -> Result<BTreeMap<String, SchemaRef>, PipelineError> {
    let Some(table) = lake.table(&TableName::system(SOURCE_COLUMNS)).await? else {
        return Ok(BTreeMap::new());
    };
    let mut columns: BTreeMap<String, BTreeMap<i64, Field>> = BTreeMap::new();
    for batch in scanned(&table).await? {
        note_columns(&batch, &mut columns);
    }
    let schema = |fields: BTreeMap<i64, Field>| {
        Arc::new(Schema::new(fields.into_values().collect::<Vec<_>>())) as SchemaRef
    };
    Ok(columns.into_iter().map(|(source, fields)| (source, schema(fields))).collect())
}

async fn scanned(table: &Table) -> Result<Vec<RecordBatch>, PipelineError> {
    let rows = table.scan(Some(&["source", "position", "column", "data_type"]), None).await?;
    rows.try_collect().await.map_err(|source| PipelineError::History { source: Box::new(source) })
}

/// Takes in what one batch says. A type that this version cannot name says
/// nothing of its column.
fn note_columns(batch: &RecordBatch, columns: &mut BTreeMap<String, BTreeMap<i64, Field>>) {
    let text = |at: usize| cast(batch.column(at), &DataType::Utf8).ok();
    let (Some(sources), Some(names), Some(types)) = (text(0), text(2), text(3)) else { return };
    let positions = batch.column(1).as_primitive::<Int64Type>();
    for row in 0..batch.num_rows() {
        let value = |column: &ArrayRef| column.as_string::<i32>().value(row).to_owned();
        let Ok(data_type) = DataType::from_str(&value(&types)) else { continue };
        let field = Field::new(value(&names), data_type, true);
        columns.entry(value(&sources)).or_default().insert(positions.value(row), field);
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn a_source_s_columns_survive_being_written_down() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("workspace", DataType::Utf8View, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
            Field::new("seats", DataType::Decimal128(10, 2), true),
            Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
        ]));
        let rows = source_rows(&BTreeMap::from([("events".to_owned(), schema.clone())]));
        let mut columns = BTreeMap::new();
        note_columns(&rows, &mut columns);
        let fields: Vec<_> = columns.remove("events").expect("its columns").into_values().collect();
        assert!(same_columns(&Schema::new(fields), &schema));
    }

    #[test]
    fn only_addresses_with_a_scheme_lead_away() {
        for (url, away) in [
            ("./lake", false),
            ("/data/usage", false),
            ("file:///data", false),
            ("s3://acme/lake", true),
            ("https://example.com/events.csv", true),
        ] {
            assert_eq!(is_remote(url), away, "{url}");
        }
    }
}
