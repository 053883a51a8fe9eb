//! Checking models without data: every mistake that planning can find.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::datasource::empty::EmptyTable;

use super::catalog::{Catalog, ModelTimes, Origin, Tables};
use super::engine::SessionSettings;
use super::models::{Models, base_table};
use super::query::TableRef;
use super::table::check_columns;
use super::{EngineConfig, Model, TransformError, VarValue, identity};
use crate::lake::TableName;

/// What checking found out about one model.
#[derive(Debug)]
pub struct ModelCheck {
    /// The model.
    pub name: String,
    /// What was found.
    pub outcome: CheckOutcome,
}

/// What checking found out.
#[derive(Debug)]
pub enum CheckOutcome {
    /// The model can be built; these are its columns.
    Sound(SchemaRef),
    /// Tables it reads are not known yet, so it is checked after the first
    /// extract.
    Waiting {
        /// Those tables.
        tables: Vec<String>,
    },
    /// It cannot be built.
    Wrong(TransformError),
}

/// Plans every model against the columns of the tables it reads. Nothing is
/// read or stored.
///
/// `schemas` holds the tables whose columns are known, from the lake or from
/// settings; a model that reads another table waits.
///
/// # Errors
/// An engine that cannot be set up.
pub async fn check(
    config: &EngineConfig,
    models: &Arc<Models>,
    vars: &BTreeMap<String, VarValue>,
    schemas: BTreeMap<TableName, SchemaRef>,
) -> Result<Vec<ModelCheck>, TransformError> {
    let session = SessionSettings::new(config)?;
    let tables = Tables {
        models: models.clone(),
        sources: BTreeMap::new(),
        vars: vars.clone(),
        times: ModelTimes::default(),
        origin: Origin::Schemas(schemas.clone()),
    };
    let catalog = Catalog::new(&session, tables);
    let mut waiting: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut checks = Vec::new();
    for model in models.in_order() {
        let tables = unknown_tables(models, model, &schemas, &waiting);
        let outcome = if tables.is_empty() {
            check_one(&catalog, model).await
        } else {
            waiting.insert(model.name(), tables.clone());
            CheckOutcome::Waiting { tables }
        };
        checks.push(ModelCheck { name: model.name().to_owned(), outcome });
    }
    Ok(checks)
}

/// The tables outside the models that a model needs and nobody knows yet.
fn unknown_tables(
    models: &Models,
    model: &Model,
    schemas: &BTreeMap<TableName, SchemaRef>,
    waiting: &BTreeMap<&str, Vec<String>>,
) -> Vec<String> {
    let own = model.query.tables.keys().filter_map(base_table);
    let own = own.filter(|table| !schemas.contains_key(table)).map(|table| table.to_string());
    let inherited = models.parents(model).filter_map(|parent| waiting.get(parent.name())).flatten();
    let mut tables: Vec<String> = own.chain(inherited.cloned()).collect();
    tables.sort();
    tables.dedup();
    tables
}

async fn check_one(catalog: &Catalog, model: &Model) -> CheckOutcome {
    match plan_one(catalog, model).await {
        Ok(schema) => CheckOutcome::Sound(schema),
        Err(error) => CheckOutcome::Wrong(error),
    }
}

async fn plan_one(catalog: &Catalog, model: &Model) -> Result<SchemaRef, TransformError> {
    let rows = catalog.plan_model(model).await?;
    let mut schema: SchemaRef = Arc::new(rows.schema().as_arrow().clone());
    if model.is_identity() {
        schema = identity::output_schema(model, &schema)?;
    }
    check_columns(model, &schema)?;
    for table in model.tables_made(&schema) {
        let name = TableRef { schema: None, name: table.0 };
        catalog.replace(&name, Arc::new(EmptyTable::new(table.1)))?;
    }
    Ok(schema)
}
