//! What a project holds, for people who read about it: tables and columns with
//! HubSpot's own words, models, tests, write-backs, and what reads what.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;

use super::asking::ask;
use super::checking::check_models;
use super::discovering::type_name;
use super::error::PipelineError;
use super::history::{PastRun, past_runs};
use super::known::{Definitions, known_tables};
use super::settings::Project;
use super::sources::open_sources;
use crate::extract::{chain, fresh_until, is_complete};
use crate::lake::{Lake, TableName};
use crate::load::WriteBackConfig;
use crate::transform::{Engine, Model};

/// A project's tables and what is made of them.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Every table that a query can name, in order of name.
    pub tables: Vec<CatalogueTable>,
    /// Every write-back.
    pub write_backs: Vec<CatalogueWriteBack>,
    /// Mistakes that `hublake check --offline` finds, each with its place.
    pub problems: Vec<String>,
    /// The newest run on record.
    pub last_run: Option<PastRun>,
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableKind {
    /// A table of the user's own.
    Source,
    /// What HubSpot holds.
    Mirror,
    /// A model, or a table stored beside one.
    Model,
    /// What hublake notes of its own work.
    System,
}

/// One table.
#[derive(Clone, Debug)]
pub struct CatalogueTable {
    /// Its SQL name.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// What a row is, as far as anybody said.
    pub about: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<CatalogueColumn>,
    /// Why its columns are not known.
    pub unreadable: Option<String>,
    /// Rows stored; none for what is computed when it is read.
    pub rows: Option<u64>,
    /// Up to when it holds every change (µs since 1970 UTC, HubSpot's clock);
    /// mirrors alone.
    pub fresh_until: Option<i64>,
    /// Whether a mirror has been read to its end.
    pub complete: Option<bool>,
    /// What makes it, if a model does.
    pub model: Option<CatalogueModel>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub column_type: String,
    /// What people in HubSpot see it called.
    pub label: Option<String>,
    /// What HubSpot says about it.
    pub description: Option<String>,
}

/// A model: how a table is made.
#[derive(Clone, Debug)]
pub struct CatalogueModel {
    /// The file, relative to the project.
    pub file: String,
    /// Its text.
    pub sql: String,
    /// `view`, `table`, …
    pub materialization: String,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// The tables it reads itself.
    pub reads: Vec<String>,
    /// Its tests.
    pub tests: Vec<CatalogueTest>,
}

/// One test of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueTest {
    /// Its name, or its rule.
    pub name: String,
    /// What a failure means: `error`, `warn`.
    pub severity: String,
    /// Rows that broke it when it last ran; none where it holds, or never ran.
    pub failing: Option<u64>,
}

/// What is written to HubSpot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueWriteBack {
    /// The pipeline.
    pub pipeline: String,
    /// The model that is written.
    pub model: String,
    /// The object type written to.
    pub object: String,
    /// `update`, `upsert`, …
    pub mode: String,
    /// What finds the record, and the model's column that holds it.
    pub matched_by: (String, String),
    /// Property, the model's column, and who wins, in words.
    pub properties: Vec<(String, String, String)>,
}

/// What HubSpot says of a property: label and description.
type Words = BTreeMap<(String, String), (Option<String>, Option<String>)>;

/// Reads everything there is to say about a project; HubSpot is not asked.
///
/// # Errors
/// The lake cannot be read. A table whose columns cannot be had is told of in
/// its entry.
pub async fn catalogue(project: &Project, lake: &Lake) -> Result<Catalogue, PipelineError> {
    let opened = open_sources(project, lake, |_| true).await?;
    let engine = &opened.engine;
    let words = words(engine).await;
    let failing = failing(engine).await;
    let mut names: BTreeSet<String> = engine.tables().await?.into_iter().collect();
    names.extend(opened.missing.keys().map(ToString::to_string));
    names.extend(engine.models().names().map(str::to_owned));
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        let missing = opened.missing.iter().find(|(table, _)| table.to_string() == name);
        let missing = missing.map(|(_, reason)| reason.clone());
        tables.push(table(project, lake, engine, &words, &failing, name, missing).await?);
    }
    let write_backs = project.pipelines.iter().flat_map(|pipeline| {
        pipeline.write_back.iter().map(|(model, config)| write_back(&pipeline.name, model, config))
    });
    let last_run = past_runs(lake).await?.into_iter().next();
    let definitions = Definitions::new();
    let known = known_tables(project, &definitions, true).await?;
    let checked = check_models(project, &known, &definitions).await?;
    let problems = checked.problems.iter().map(ToString::to_string).collect();
    Ok(Catalogue { tables, write_backs: write_backs.collect(), problems, last_run })
}

async fn table(
    project: &Project,
    lake: &Lake,
    engine: &Engine,
    words: &Words,
    failing: &BTreeMap<(String, String), u64>,
    name: String,
    missing: Option<String>,
) -> Result<CatalogueTable, PipelineError> {
    let (kind, stored) = match name.split_once('.') {
        Some(("hubspot", rest)) => (TableKind::Mirror, TableName::hubspot(rest)),
        Some(("usage", rest)) => (TableKind::Source, TableName::usage(rest)),
        Some(("system", rest)) => (TableKind::System, TableName::system(rest)),
        _ => (TableKind::Model, TableName::model(&name)),
    };
    let model = engine.models().get(&name);
    let text = model.and_then(|model| Some(project.models.get(model.name())?.sql.as_str()));
    let objects = match kind {
        TableKind::Mirror => vec![stored.name().to_owned()],
        TableKind::Model => objects_behind(engine, &name),
        TableKind::Source | TableKind::System => Vec::new(),
    };
    let (columns, unreadable) = match missing {
        Some(reason) => (Vec::new(), Some(reason)),
        None => columns(engine, words, &objects, &name).await,
    };
    let stored = lake.table(&stored).await?;
    Ok(CatalogueTable {
        kind,
        about: text.and_then(opening),
        columns,
        unreadable,
        rows: stored.as_ref().map(|table| table.row_count()),
        fresh_until: stored.as_ref().and_then(fresh_until),
        complete: stored.as_ref().filter(|table| fresh_until(table).is_some()).map(is_complete),
        model: model.map(|model| catalogue_model(model, text.unwrap_or_default(), failing)),
        name,
    })
}

fn catalogue_model(
    model: &Model,
    sql: &str,
    failing: &BTreeMap<(String, String), u64>,
) -> CatalogueModel {
    let config = model.config();
    let test = |test: &crate::transform::ModelTest| {
        let name = test.name.clone().unwrap_or_else(|| test.rule.to_string());
        let failing = failing.get(&(model.name().to_owned(), name.clone())).copied();
        CatalogueTest { name, severity: test.severity.to_string(), failing }
    };
    CatalogueModel {
        file: model.file().display().to_string(),
        sql: sql.to_owned(),
        materialization: word(&config.materialize),
        key: config.key.clone(),
        reads: model.tables_named().collect(),
        tests: config.tests.iter().map(test).collect(),
    }
}

/// Mirrors whose rows a model is made of: a column of the same name as one of
/// their properties is likely that property.
fn objects_behind(engine: &Engine, model: &str) -> Vec<String> {
    let read = engine.models().tables_read(model);
    let mirrors = read.into_iter().filter(|table| table.schema() == "hubspot");
    mirrors.map(|table| table.name().to_owned()).collect()
}

async fn columns(
    engine: &Engine,
    words: &Words,
    objects: &[String],
    name: &str,
) -> (Vec<CatalogueColumn>, Option<String>) {
    let rows = match engine.query(&format!("select * from {name} limit 0"), None).await {
        Ok(rows) => rows,
        Err(error) => return (Vec::new(), Some(chain(&error))),
    };
    let schema = rows.schema();
    let column = |name: &str, data_type: &DataType| {
        let said = |object: &String| words.get(&(object.clone(), name.to_owned()));
        let (label, description) = objects.iter().find_map(said).cloned().unwrap_or_default();
        let column_type = type_name(data_type);
        CatalogueColumn { name: name.to_owned(), column_type, label, description }
    };
    let fields = schema.fields().iter();
    (fields.map(|field| column(field.name(), field.data_type())).collect(), None)
}

/// What HubSpot says of every property; nothing before the first sync.
async fn words(engine: &Engine) -> Words {
    let sql = "select object_type, name, label, description from hubspot.properties";
    let rows = ask(engine, sql).await.unwrap_or_default();
    let known = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    rows.iter()
        .filter_map(|row| {
            Some(((row[0].clone()?, row[1].clone()?), (known(&row[2]), known(&row[3]))))
        })
        .collect()
}

/// How many rows broke a test when it last ran, by model and test.
async fn failing(engine: &Engine) -> BTreeMap<(String, String), u64> {
    let sql = "select model, test, max(rows_found) from system.test_failures group by 1, 2";
    // The table is there once a test has failed.
    let rows = ask(engine, sql).await.unwrap_or_default();
    rows.iter()
        .filter_map(|row| {
            Some(((row[0].clone()?, row[1].clone()?), row[2].as_ref()?.parse().ok()?))
        })
        .collect()
}

/// The comment that a model's file opens with, as one paragraph.
fn opening(sql: &str) -> Option<String> {
    let lines = sql.trim_start().lines().map_while(|line| line.trim().strip_prefix("--"));
    let text = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn write_back(pipeline: &str, model: &str, config: &WriteBackConfig) -> CatalogueWriteBack {
    let properties = config.properties.iter().map(|(name, property)| {
        let policy = property.policy().map_or("overwrite".to_owned(), word);
        (name.clone(), property.column(name).to_owned(), policy)
    });
    CatalogueWriteBack {
        pipeline: pipeline.to_owned(),
        model: model.to_owned(),
        object: config.object.clone(),
        mode: config.mode.name().to_owned(),
        matched_by: (config.match_by.key.name().to_owned(), config.match_by.column.clone()),
        properties: properties.collect(),
    }
}

/// A setting as it is written in YAML, on one line.
fn word(setting: &impl serde::Serialize) -> String {
    match serde_json::to_value(setting) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(map)) => {
            let parts = map.iter().map(|(name, value)| match value {
                serde_json::Value::Array(values) => {
                    let values: Vec<_> = values.iter().filter_map(|value| value.as_str()).collect();
                    format!("{name}: {}", values.join(" → "))
                }
                value => format!("{name}: {value}"),
            });
            parts.collect::<Vec<_>>().join(", ")
        }
        Ok(value) => value.to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Policy;

    #[test]
    fn a_model_s_opening_is_one_paragraph() {
        let sql = "-- One row: a person,\n--   as known.\n\nselect 1 -- one\n";
        assert_eq!(opening(sql).as_deref(), Some("One row: a person, as known."));
        assert_eq!(opening("select 1"), None);
    }

    #[test]
    fn a_policy_reads_as_its_setting() {
        let forward = Policy::ForwardOnly(vec!["lead".into(), "customer".into()]);
        assert_eq!(word(&forward), "forward_only: lead → customer");
        assert_eq!(word(&Policy::FillEmpty), "fill_empty");
    }
}
