//! What there is: the account's objects and properties, the sources' columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use futures::StreamExt;
use futures::stream;

use super::error::{PipelineError, hubspot_outcome};
use super::extracting::{is_absence, table_of};
use super::outcome::Outcome;
use super::session::Session;
use super::settings::Project;
use super::wanted::{ObjectJob, Schemas, wanted};
use crate::extract::chain;
use crate::extract::source::{ColumnType, Source};
use crate::extract::{self, CustomObject, ExtractAllConfig, ExtractConfig};
use crate::lake::{Changes, Lake, TableName, TableSpec};
use crate::objects::{ObjectType, PropertyDefinition};
use crate::transform::Engine;

/// Objects asked for their properties at once.
const OBJECTS_AT_ONCE: usize = 4;

/// One column that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredColumn {
    /// The table it is in, or would be: `hubspot.contacts`, `usage.events`.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Its type in SQL.
    pub sql_type: String,
    /// What HubSpot or the source calls its type.
    pub declared: String,
    /// What a person calls it in HubSpot.
    pub label: Option<String>,
    /// The options of a property, as a JSON array of values.
    pub options: Option<String>,
    /// Whether the settings have it read.
    pub selected: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Discovered {
    /// Every column.
    pub columns: Vec<DiscoveredColumn>,
    /// The types that were guessed of a source's columns and are not pinned, by source.
    pub guessed: BTreeMap<String, Vec<(String, ColumnType)>>,
    /// What could not be read: how grave that is, and the sentence that tells of it.
    pub problems: Vec<(Outcome, String)>,
}

impl Discovered {
    /// The columns as a table.
    pub fn batch(&self) -> RecordBatch {
        let text = |get: fn(&DiscoveredColumn) -> Option<&str>| {
            Arc::new(self.columns.iter().map(get).collect::<StringArray>()) as ArrayRef
        };
        let selected: BooleanArray = self.columns.iter().map(|c| Some(c.selected)).collect();
        let columns = [
            ("table", text(|c| Some(&c.table))),
            ("column", text(|c| Some(&c.column))),
            ("type", text(|c| Some(&c.sql_type))),
            ("declared", text(|c| Some(&c.declared))),
            ("label", text(|c| c.label.as_deref())),
            ("options", text(|c| c.options.as_deref())),
            ("selected", Arc::new(selected) as ArrayRef),
        ];
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
    }
}

/// Reads the definitions of every property of every object type that the account
/// shows, extracted or not, and stores them in `hubspot.properties` and
/// `hubspot.schemas`.
///
/// # Errors
/// The lake cannot be written.
pub async fn discover_hubspot(
    session: &Session<'_>,
    found: &mut Discovered,
) -> Result<(), PipelineError> {
    let (project, client) = (session.project, &session.client);
    let pipelines: Vec<_> = project.pipelines.iter().collect();
    let wanted = wanted(project, client, &pipelines, &[]).await?;
    let jobs: BTreeMap<ObjectType, ObjectJob> =
        wanted.jobs.into_iter().map(|job| (job.object.clone(), job)).collect();
    let customs = customs(session, wanted.schemas, found).await?;
    let all = ExtractConfig { all: Some(ExtractAllConfig::default()), ..ExtractConfig::default() };
    let mut objects: Vec<ObjectType> =
        all.wanted(&customs).into_iter().map(|wanted| wanted.object).collect();
    objects.extend(jobs.keys().cloned());
    objects.sort();
    objects.dedup();
    let asked = stream::iter(objects).map(async |object| {
        let answer = client.properties(&object, false).await;
        (object, answer)
    });
    let answers: Vec<_> = session
        .unless_stopped(asked.buffered(OBJECTS_AT_ONCE).collect())
        .await
        .ok_or(PipelineError::Interrupted)?;
    for (object, answer) in answers {
        match answer {
            Ok(definitions) => {
                extract::sync_properties(&session.lake, &object, &definitions).await?;
                let job = jobs.get(&object);
                found.columns.extend(properties(&object, &definitions, job, &mut found.problems));
            }
            Err(error) if is_absence(&error) && jobs.get(&object).is_none_or(|job| !job.named) => {}
            Err(error) => {
                let sentence = format!("`{object}` was not read: {}", chain(&error));
                found.problems.push((hubspot_outcome(&error), sentence));
            }
        }
    }
    Ok(())
}

/// The account's own types, stored; asked for where nothing has done so yet.
async fn customs(
    session: &Session<'_>,
    known: Schemas,
    found: &mut Discovered,
) -> Result<Vec<CustomObject>, PipelineError> {
    let schemas = match known {
        Schemas::NotAsked => Schemas::read(&session.client, false).await,
        known => known,
    };
    match &schemas {
        Schemas::Read(read) => extract::sync_schemas(&session.lake, read).await?,
        Schemas::Failed { error, .. } if is_absence(error) => {}
        Schemas::Failed { error, .. } => {
            let sentence = format!("Custom object types were not read: {}", chain(error));
            found.problems.push((hubspot_outcome(error), sentence));
        }
        Schemas::NotAsked => {}
    }
    Ok(schemas.customs())
}

fn properties(
    object: &ObjectType,
    definitions: &[PropertyDefinition],
    job: Option<&ObjectJob>,
    problems: &mut Vec<(Outcome, String)>,
) -> Vec<DiscoveredColumn> {
    let selected = match job {
        None => Vec::new(),
        Some(job) => {
            let chosen =
                extract::selected_properties(object, &job.config, &job.always, definitions);
            chosen.unwrap_or_else(|error| {
                problems.push((Outcome::Settings, chain(&error)));
                Vec::new()
            })
        }
    };
    let mut columns: Vec<_> = definitions
        .iter()
        .map(|definition| {
            let values: Vec<&str> = definition.options.iter().map(|o| o.value.as_str()).collect();
            let options = serde_json::to_string(&values).expect("texts are always JSON");
            DiscoveredColumn {
                table: table_of(object),
                column: definition.name.clone(),
                sql_type: type_name(&definition.property_type.arrow_type()),
                declared: format!(
                    "{}/{}",
                    definition.property_type.as_str(),
                    definition.field_type
                ),
                label: Some(definition.label.clone()),
                options: (!values.is_empty()).then_some(options),
                selected: selected.iter().any(|chosen| chosen.name == definition.name),
            }
        })
        .collect();
    columns.sort_by(|a, b| a.column.cmp(&b.column));
    columns
}

/// The name of a type as the settings and SQL have it.
pub(super) fn type_name(data_type: &DataType) -> String {
    ColumnType::of(data_type).map_or_else(|| data_type.to_string(), |known| known.to_string())
}

/// Opens every source and learns its columns, and stores them in `system.sources`.
///
/// # Errors
/// The lake cannot be written.
pub async fn discover_sources(
    project: &Project,
    lake: &Lake,
    found: &mut Discovered,
) -> Result<(), PipelineError> {
    let config = &project.config;
    let engine =
        Engine::new(&config.engine, lake.clone(), project.graph.clone(), config.vars.clone())?;
    let mut rows = Rows::default();
    let mut is_whole = true;
    for (name, settings) in &config.sources {
        let source = match Source::open(name, settings, &project.dir, engine.runtime()).await {
            Ok(source) => source,
            Err(error) => {
                is_whole = false;
                let sentence = format!("{}; {}", chain(&error), error.advice());
                found.problems.push((Outcome::Failed, sentence));
                continue;
            }
        };
        for file in source.skipped() {
            let sentence =
                format!("Source `{name}` is read without a file that does not parse: {file}");
            found.problems.push((Outcome::Succeeded, sentence));
        }
        let partitions: Vec<String> =
            settings.partition_by.iter().filter_map(|column| column.name()).collect();
        for (position, field) in source.schema().fields().iter().enumerate() {
            let pinned = settings.types.contains_key(field.name());
            let sql_type = type_name(field.data_type());
            rows.push(&source, position, field.name(), &sql_type, pinned, settings.copy.is_some());
            if source.is_guessed()
                && !pinned
                && !partitions.contains(field.name())
                && let Some(guessed) = ColumnType::of(field.data_type())
            {
                found
                    .guessed
                    .entry(name.clone())
                    .or_default()
                    .push((field.name().clone(), guessed));
            }
            found.columns.push(DiscoveredColumn {
                table: TableName::usage(name).to_string(),
                column: field.name().clone(),
                sql_type,
                declared: declared(&source, field),
                label: None,
                options: None,
                selected: true,
            });
        }
    }
    rows.store(lake, is_whole).await
}

/// What the source itself calls a column's type, where it says.
fn declared(source: &Source, field: &arrow::datatypes::Field) -> String {
    let own = field.metadata().get("source_type");
    own.cloned().unwrap_or_else(|| source.kind().to_owned())
}

/// Rows of `system.sources`: one column of one source.
#[derive(Default)]
struct Rows {
    source: Vec<String>,
    kind: Vec<String>,
    location: Vec<String>,
    position: Vec<i32>,
    column: Vec<String>,
    sql_type: Vec<String>,
    pinned: Vec<bool>,
    copied: Vec<bool>,
}

impl Rows {
    fn push(
        &mut self,
        source: &Source,
        position: usize,
        column: &str,
        sql_type: &str,
        pinned: bool,
        copied: bool,
    ) {
        self.source.push(source.name().to_owned());
        self.kind.push(source.kind().to_owned());
        self.location.push(source.location().to_owned());
        self.position.push(i32::try_from(position).unwrap_or(i32::MAX));
        self.column.push(column.to_owned());
        self.sql_type.push(sql_type.to_owned());
        self.pinned.push(pinned);
        self.copied.push(copied);
    }

    /// Stores them; columns that are not among them go, if all sources were read.
    async fn store(self, lake: &Lake, is_whole: bool) -> Result<(), PipelineError> {
        let now = chrono::Utc::now().timestamp_micros();
        let times = TimestampMicrosecondArray::from(vec![now; self.source.len()]);
        let columns: [(&str, ArrayRef); 9] = [
            ("source", Arc::new(StringArray::from(self.source))),
            ("kind", Arc::new(StringArray::from(self.kind))),
            ("location", Arc::new(StringArray::from(self.location))),
            ("position", Arc::new(Int32Array::from(self.position))),
            ("column", Arc::new(StringArray::from(self.column))),
            ("type", Arc::new(StringArray::from(self.sql_type))),
            ("pinned", Arc::new(BooleanArray::from(self.pinned))),
            ("copied", Arc::new(BooleanArray::from(self.copied))),
            ("discovered_at", Arc::new(times.with_timezone("UTC"))),
        ];
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let rows =
            RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length");
        let spec = TableSpec {
            name: TableName::system("sources"),
            schema: rows.schema(),
            key: vec!["source".to_owned(), "column".to_owned()],
            partition_by: Vec::new(),
        };
        let mut table = lake.open_or_create(&spec).await?;
        let mut merge = table.merge()?;
        let ignore = vec!["discovered_at".to_owned()];
        merge.push(Changes { rows: vec![rows], ignore, ..Changes::default() }).await?;
        if is_whole {
            merge.delete_others().await?;
        }
        merge.commit(&[]).await?;
        Ok(())
    }
}
