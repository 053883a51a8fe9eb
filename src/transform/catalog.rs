//! The tables that queries of one occasion see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, TableProvider,
};
use datafusion::common::TableReference;
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::DataFrame;
use futures::future::BoxFuture;

use super::diagnosis::{located_error, planning_error, sql_error};
use super::engine::SessionSettings;
use super::error::listed;
use super::models::{Model, Models, base_table};
use super::nearest::nearest;
use super::normalise::normalised;
use super::parameters::{RunTimes, literals};
use super::query::{MODELS, Query, SqlPlace, TableRef};
use super::{TransformError, VarValue, functions};
use crate::lake::{Lake, TableName};

/// The one catalog there is.
pub(super) const CATALOG: &str = "hublake";

/// The schemas of tables that are not models.
const SCHEMAS: [&str; 3] = ["hubspot", "system", "usage"];

/// Where tables come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// The lake, now or as it stood at a time (µs since 1970 UTC).
    Lake { lake: Lake, as_of: Option<i64> },
    /// Nowhere: only their columns are known, to check SQL without data.
    Schemas(BTreeMap<TableName, SchemaRef>),
}

/// What `$run_started_at` and `$last_run_at` mean, by model.
#[derive(Clone, Debug, Default)]
pub(super) struct ModelTimes(Arc<Mutex<BTreeMap<String, RunTimes>>>);

impl ModelTimes {
    pub(super) fn set(&self, model: &str, times: RunTimes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned(), times);
    }

    /// The times of a model; outside any run, the run starts now.
    pub(super) fn get(&self, model: &str) -> RunTimes {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied();
        known.unwrap_or_else(|| RunTimes {
            run_started_at: chrono::Utc::now().timestamp_micros(),
            last_run_at: None,
        })
    }
}

/// What tables there are, and what their parameters mean.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) models: Arc<Models>,
    pub(super) sources: BTreeMap<String, Arc<dyn TableProvider>>,
    pub(super) vars: BTreeMap<String, VarValue>,
    pub(super) times: ModelTimes,
    pub(super) origin: Origin,
}

/// The tables that the queries of one occasion see: each is opened when first
/// named and then stays at that version, so that all of them agree.
pub(super) struct Catalog {
    pub(super) context: SessionContext,
    pub(super) tables: Tables,
}

impl Catalog {
    pub(super) fn new(session: &SessionSettings, tables: Tables) -> Self {
        let context =
            SessionContext::new_with_config_rt(session.config.clone(), session.runtime.clone());
        let catalog = MemoryCatalogProvider::new();
        for schema in SCHEMAS.into_iter().chain([MODELS]) {
            catalog
                .register_schema(schema, Arc::new(MemorySchemaProvider::new()))
                .expect("a catalog in memory takes any schema");
        }
        context.register_catalog(CATALOG, Arc::new(catalog));
        functions::register(&context);
        Self { context, tables }
    }

    /// Plans a query, opening the tables it names.
    pub(super) async fn plan(
        &self,
        query: &Query,
        values: &BTreeMap<String, String>,
    ) -> Result<DataFrame, TransformError> {
        for (table, place) in &query.tables {
            self.open(query, table, *place).await?;
        }
        match self.analysed(query, values).await {
            Err(TransformError::Sql { origin, place: None, problem, source }) => {
                let place = self.culprit(query, values).await.or(query.start());
                Err(TransformError::Sql { origin, place, problem, source })
            }
            planned => planned,
        }
    }

    /// The plan of a model as it is written, before types are settled, once the
    /// model has been planned.
    pub(super) async fn model_as_written(
        &self,
        model: &Model,
    ) -> Result<LogicalPlan, TransformError> {
        self.as_written(&model.query, &self.model_literals(model)).await
    }

    async fn as_written(
        &self,
        query: &Query,
        values: &BTreeMap<String, String>,
    ) -> Result<LogicalPlan, TransformError> {
        let statement = query.with_values(values)?;
        let state = self.context.state();
        let read_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let plan = state.statement_to_plan(statement).await;
        let plan = plan.and_then(|plan| read_only.verify_plan(&plan).map(|()| plan));
        plan.map_err(|error| located_error(query, None, error))
    }

    /// Plans a query whose tables are open.
    pub(super) async fn analysed(
        &self,
        query: &Query,
        values: &BTreeMap<String, String>,
    ) -> Result<DataFrame, TransformError> {
        let plan = self.as_written(query, values).await?;
        let state = self.context.state();
        // Types are settled by the analyzer, which so far has not run: let it find mistakes now,
        // while they can still be told from failures on data.
        let analyser = state.analyzer();
        let analysed = analyser.execute_and_check(plan.clone(), state.config_options(), |_, _| {});
        let plan = analysed.map_err(|error| located_error(query, Some(&plan), error))?;
        Ok(DataFrame::new(state, plan))
    }

    /// Plans a model: its parameters filled in, its columns normalised.
    pub(super) async fn plan_model(&self, model: &Model) -> Result<DataFrame, TransformError> {
        let frame = self.plan(&model.query, &self.model_literals(model)).await?;
        let (state, plan) = frame.into_parts();
        Ok(DataFrame::new(state, normalised(model, plan)?))
    }

    fn model_literals(&self, model: &Model) -> BTreeMap<String, String> {
        literals(&self.tables.vars, Some(self.tables.times.get(model.name())))
    }

    /// Opens the table of a reference, unless it is open.
    fn open<'a>(
        &'a self,
        query: &'a Query,
        table: &'a TableRef,
        place: Option<SqlPlace>,
    ) -> BoxFuture<'a, Result<(), TransformError>> {
        Box::pin(async move {
            if table.schema.as_deref().is_some_and(|schema| !SCHEMAS.contains(&schema)) {
                return Err(self.unknown_table(query, table, place).await);
            }
            let name = reference(table);
            let open = self.context.table_exist(name.clone());
            if open.map_err(|error| planning_error(query.origin(), error))? {
                return Ok(());
            }
            match self.find(table).await? {
                Some(provider) => self.register(name, provider),
                None => Err(self.unknown_table(query, table, place).await),
            }
        })
    }

    async fn find(
        &self,
        table: &TableRef,
    ) -> Result<Option<Arc<dyn TableProvider>>, TransformError> {
        if let Some(model) = self.tables.models.get(&table.name).filter(|_| table.schema.is_none())
            && !model.is_stored()
        {
            return self.view(model).await.map(Some);
        }
        let name = match (&table.schema, base_table(table)) {
            (None, _) => TableName::model(&table.name),
            (Some(_), Some(name)) => name,
            (Some(_), None) => return Ok(None),
        };
        if table.schema.as_deref() == Some("usage")
            && let Some(source) = self.tables.sources.get(&table.name)
        {
            return Ok(Some(source.clone()));
        }
        self.stored(&name).await
    }

    async fn view(&self, model: &Model) -> Result<Arc<dyn TableProvider>, TransformError> {
        let plan = self.plan_model(model).await?.into_unoptimized_plan();
        Ok(Arc::new(ViewTable::new(plan, None)))
    }

    async fn stored(
        &self,
        name: &TableName,
    ) -> Result<Option<Arc<dyn TableProvider>>, TransformError> {
        let lake_error = |error| TransformError::lake(&name.to_string(), error);
        match &self.tables.origin {
            Origin::Schemas(schemas) => Ok(schemas
                .get(name)
                .map(|schema| Arc::new(EmptyTable::new(schema.clone())) as Arc<dyn TableProvider>)),
            Origin::Lake { lake, as_of } => {
                let Some(table) = lake.table(name).await.map_err(lake_error)? else {
                    return Ok(None);
                };
                let table = match as_of {
                    Some(micros) => table.at_time(*micros).await.map_err(lake_error)?,
                    None => table,
                };
                table.provider().await.map(Some).map_err(lake_error)
            }
        }
    }

    /// Puts a table in the place of whatever has that name.
    pub(super) fn replace(
        &self,
        table: &TableRef,
        provider: Arc<dyn TableProvider>,
    ) -> Result<(), TransformError> {
        let name = reference(table);
        self.context
            .deregister_table(name.clone())
            .map_err(|error| TransformError::running("The catalog", error))?;
        self.register(name, provider)
    }

    fn register(
        &self,
        name: TableReference,
        provider: Arc<dyn TableProvider>,
    ) -> Result<(), TransformError> {
        self.context
            .register_table(name, provider)
            .map(drop)
            .map_err(|error| TransformError::running("The catalog", error))
    }

    /// What is wrong with the tables of a query that no run will make: those of
    /// an unknown schema, and those that are neither stored nor of any model.
    /// Mirrors and sources are held against the settings by whoever has them.
    pub(super) async fn impossible_tables(
        &self,
        query: &Query,
    ) -> Result<Vec<TransformError>, TransformError> {
        let mut wrong = Vec::new();
        for (table, place) in &query.tables {
            let can_be = match table.schema.as_deref() {
                Some(schema) => SCHEMAS.contains(&schema),
                None => {
                    self.tables.models.owner(table).is_some()
                        || self.stored(&TableName::model(&table.name)).await?.is_some()
                }
            };
            if !can_be {
                wrong.push(self.unknown_table(query, table, *place).await);
            }
        }
        Ok(wrong)
    }

    /// What to say of a table that is not there: the ones that are.
    async fn unknown_table(
        &self,
        query: &Query,
        table: &TableRef,
        place: Option<SqlPlace>,
    ) -> TransformError {
        let known = match self.known_tables().await {
            Ok(known) => known,
            Err(error) => return error,
        };
        let names: Vec<String> = known.into_iter().collect();
        let wanted = table.to_string();
        let meant = nearest(&wanted, names.iter().map(String::as_str));
        let hint = meant.map_or(String::new(), |name| format!("did you mean `{name}`? "));
        let problem = match table.schema.as_deref() {
            Some("hubspot") => format!(
                "Table `{wanted}` is not in the lake: {hint}extract it first, or correct the name; {}",
                listed(&names)
            ),
            None if self.tables.models.owner(table).is_some() => {
                format!("Table `{wanted}` has not been built yet: run `hublake build`")
            }
            _ => format!("Unknown table `{wanted}`: {hint}{}", listed(&names)),
        };
        sql_error(query.origin(), place, problem)
    }

    /// Every table that a query can name.
    pub(super) async fn known_tables(&self) -> Result<BTreeSet<String>, TransformError> {
        let stored = match &self.tables.origin {
            Origin::Schemas(schemas) => schemas.keys().cloned().collect(),
            Origin::Lake { lake, .. } => {
                lake.tables().await.map_err(|error| TransformError::lake("tables", error))?
            }
        };
        let sources = self.tables.sources.keys().map(|name| format!("usage.{name}"));
        let models = self.tables.models.names().map(str::to_owned);
        Ok(stored.iter().map(TableName::to_string).chain(sources).chain(models).collect())
    }
}

fn reference(table: &TableRef) -> TableReference {
    TableReference::full(CATALOG, table.schema.as_deref().unwrap_or(MODELS), table.name.as_str())
}
