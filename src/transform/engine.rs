//! The SQL engine: DataFusion inside a memory limit, over the lake.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionConfig;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use super::catalog::{Catalog, ModelTimes, Origin, Tables};
use super::explain::{Explain, without_explain};
use super::models::Models;
use super::parameters::{literals, name_in_sql};
use super::query::Query;
use super::{EngineConfig, TransformError, VarValue};
use crate::lake::Lake;

/// How many consumers of memory an error names when the limit is reached.
const NAMED_CONSUMERS: std::num::NonZeroUsize =
    std::num::NonZeroUsize::new(3).expect("three is not zero");

/// What a query by hand is called in errors.
const BY_HAND: &str = "query";

/// A project's SQL engine. Tables are opened when a query names them, never
/// before.
///
/// One engine serves one process: every query shares its memory limit.
#[derive(Debug)]
pub struct Engine {
    pub(super) lake: Lake,
    pub(super) models: Arc<Models>,
    pub(super) sources: BTreeMap<String, Arc<dyn TableProvider>>,
    pub(super) vars: BTreeMap<String, VarValue>,
    /// What the times of a run are for each model, once a build has said so.
    pub(super) times: ModelTimes,
    session: SessionSettings,
}

/// What every session of an engine has in common.
#[derive(Clone, Debug)]
pub(super) struct SessionSettings {
    pub(super) config: SessionConfig,
    pub(super) runtime: Arc<RuntimeEnv>,
}

impl SessionSettings {
    pub(super) fn new(config: &EngineConfig) -> Result<Self, TransformError> {
        let pool = FairSpillPool::new(config.memory_limit.bytes());
        let disk = DiskManagerBuilder::default()
            .with_mode(spill_mode(config)?)
            .with_max_temp_directory_size(config.spill_limit.bytes() as u64);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, NAMED_CONSUMERS)))
            .with_disk_manager_builder(disk)
            // Files come and go while a shell or a server lives; the cache of lists never
            // looks again.
            .with_object_list_cache_limit(0)
            .build_arc()
            .map_err(|error| TransformError::running("The SQL engine", error))?;
        Ok(Self { config: session_config(config), runtime })
    }
}

/// Where the engine puts what does not fit in memory.
fn spill_mode(config: &EngineConfig) -> Result<DiskManagerMode, TransformError> {
    let Some(folder) = &config.spill_folder else { return Ok(DiskManagerMode::OsTmpDirectory) };
    std::fs::create_dir_all(folder)
        .map_err(|source| TransformError::SpillFolder { folder: folder.clone(), source })?;
    Ok(DiskManagerMode::Directories(vec![folder.clone()]))
}

fn session_config(config: &EngineConfig) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.thread_count())
        .with_default_catalog_and_schema(super::catalog::CATALOG, super::query::MODELS)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = session.options_mut();
    // Errors then know their line.
    options.sql_parser.collect_spans = true;
    // HubSpot's times are UTC, and so are ours.
    options.execution.time_zone = Some("UTC".into());
    session
}

impl Engine {
    /// An engine over a lake and the models of a project.
    ///
    /// # Errors
    /// A temporary folder that cannot be used.
    pub fn new(
        config: &EngineConfig,
        lake: Lake,
        models: Arc<Models>,
        vars: BTreeMap<String, VarValue>,
    ) -> Result<Self, TransformError> {
        let session = SessionSettings::new(config)?;
        Ok(Self {
            lake,
            models,
            sources: BTreeMap::new(),
            vars,
            times: ModelTimes::default(),
            session,
        })
    }

    /// The runtime that queries run in; stores of URLs are registered with it.
    pub fn runtime(&self) -> Arc<RuntimeEnv> {
        self.session.runtime.clone()
    }

    /// Makes a table known as `usage.<name>`.
    pub fn register_source(&mut self, name: &str, table: Arc<dyn TableProvider>) {
        self.sources.insert(name.to_owned(), table);
    }

    /// The sources it knows and their columns, by the name after `usage.`.
    pub fn source_schemas(&self) -> impl Iterator<Item = (&str, SchemaRef)> {
        self.sources.iter().map(|(name, table)| (name.as_str(), table.schema()))
    }

    /// The models it knows.
    pub fn models(&self) -> &Arc<Models> {
        &self.models
    }

    /// The tables that a query can name: those of the lake, the sources, the models.
    ///
    /// # Errors
    /// The lake cannot be listed.
    pub async fn tables(&self) -> Result<Vec<String>, TransformError> {
        Ok(self.catalog(None).known_tables().await?.into_iter().collect())
    }

    /// Runs one `select` over the newest tables, or over the lake as it stood
    /// at a time (µs since 1970 UTC; usage sources have no past and stay as
    /// they are). `explain` before it answers the plan instead. The schema is that of the stream.
    ///
    /// # Errors
    /// SQL that is wrong or not a `select`, tables that are not there, and
    /// what the first rows meet; what later rows meet comes in the stream.
    pub async fn query(
        &self,
        sql: &str,
        as_of: Option<i64>,
    ) -> Result<SendableRecordBatchStream, TransformError> {
        let (sql, explain) = without_explain(sql);
        let query = Query::parse(Path::new(BY_HAND), &sql)?;
        let catalog = self.catalog(as_of);
        let mut frame = catalog.plan(&query, &literals(&self.vars, None)).await?;
        if let Some(Explain { analyze, verbose }) = explain {
            let explained = frame.explain(verbose, analyze);
            frame = explained.map_err(|error| TransformError::running("The query", error))?;
        }
        let rows = frame.execute_stream().await;
        let rows = rows.map_err(|error| TransformError::running("The query", error))?;
        Ok(without_values(rows))
    }

    /// The rows of a model as it was last built, or of a view as it is now.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn read_model(
        &self,
        name: &str,
    ) -> Result<SendableRecordBatchStream, TransformError> {
        self.query(&format!("select * from {}", name_in_sql(name)), None).await
    }

    /// The columns of a model that has been built, or of a view.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn model_schema(&self, name: &str) -> Result<SchemaRef, TransformError> {
        Ok(self.read_model(name).await?.schema())
    }

    /// A fresh view of the tables. Models keep the times of the last build, so
    /// that a view read after it sees the same run.
    pub(super) fn catalog(&self, as_of: Option<i64>) -> Catalog {
        let origin = Origin::Lake { lake: self.lake.clone(), as_of };
        Catalog::new(
            &self.session,
            Tables {
                models: self.models.clone(),
                sources: self.sources.clone(),
                vars: self.vars.clone(),
                times: self.times.clone(),
                origin,
            },
        )
    }
}

/// The same rows, with errors that do not quote values.
fn without_values(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = rows.map_err(|error| {
        DataFusionError::External(Box::new(TransformError::running("The query", error)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}
