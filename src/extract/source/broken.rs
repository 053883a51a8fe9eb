//! Files that do not parse: which they are, and reading a source without them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::ListingOptions;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::{SessionConfig, SessionContext, SessionState};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};

use super::error::told;
use super::files::Files;

/// Files looked into at once: each waits for its store.
const FILES_AT_ONCE: usize = 8;

/// A file of a source that does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// The file's path in its store.
    pub path: String,
    /// What the reader said.
    pub reason: String,
}

impl std::fmt::Display for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`: {}", self.path, self.reason)
    }
}

impl BadFile {
    fn new(file: &ObjectMeta, error: &DataFusionError) -> Self {
        Self { path: file.location.to_string(), reason: told(error) }
    }
}

/// The files of a source at the moment, and what their columns are.
pub(super) struct Surveyed {
    /// The columns of the files that parse.
    pub(super) schema: SchemaRef,
    /// The files whose columns could not be had.
    pub(super) bad: Vec<BadFile>,
}

/// Learns the columns of a source's files. Where they cannot be had of all, each is
/// asked alone.
///
/// # Errors
/// The files cannot be listed, or none of them parses.
pub(super) async fn survey(
    files: &Files,
    options: &ListingOptions,
    state: &SessionState,
    header: bool,
) -> Result<Surveyed> {
    options.validate_partitions(state, &files.url).await?;
    let store = state.runtime_env().object_store(&files.url)?;
    let all: Vec<ObjectMeta> = files
        .url
        .list_all_files(state, store.as_ref(), &options.file_extension)
        .await?
        .try_filter(|file| std::future::ready(file.size > 0))
        .try_collect()
        .await?;
    let mut bad = Vec::new();
    let schema = match options.format.infer_schema(state, &store, &all).await {
        Ok(schema) => schema,
        Err(whole) => {
            let asked =
                stream::iter(all.clone()).map(|file| infer_one(options, state, &store, file));
            let asked: Vec<_> = asked.buffered(FILES_AT_ONCE).collect().await;
            let refused =
                asked.iter().filter_map(|(file, answer)| Some((file, answer.as_ref().err()?)));
            bad.extend(refused.map(|(file, error)| BadFile::new(file, error)));
            let good: Vec<_> =
                asked.into_iter().filter_map(|(file, answer)| answer.ok().map(|_| file)).collect();
            // Files that parse one by one and not together do not belong together.
            if bad.is_empty() || good.is_empty() {
                return Err(whole);
            }
            options.format.infer_schema(state, &store, &good).await?
        }
    };
    if header && all.len() > 1 {
        let known: BTreeSet<String> = bad.iter().map(|file| file.path.clone()).collect();
        let rest = all.into_iter().filter(|file| !known.contains(file.location.as_ref()));
        bad.extend(other_headers(options, state, &store, &schema, rest).await);
    }
    Ok(Surveyed { schema, bad })
}

async fn infer_one(
    options: &ListingOptions,
    state: &SessionState,
    store: &Arc<dyn ObjectStore>,
    file: ObjectMeta,
) -> (ObjectMeta, Result<SchemaRef>) {
    let answer = options.format.infer_schema(state, store, std::slice::from_ref(&file)).await;
    (file, answer)
}

/// CSV files whose first line names other columns, or the same in another order:
/// they are read by position, so that their values would land in wrong columns.
async fn other_headers(
    options: &ListingOptions,
    state: &SessionState,
    store: &Arc<dyn ObjectStore>,
    schema: &SchemaRef,
    files: impl Iterator<Item = ObjectMeta>,
) -> Vec<BadFile> {
    let expected: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let asked = stream::iter(files).map(|file| infer_one(options, state, store, file));
    let asked: Vec<_> = asked.buffered(FILES_AT_ONCE).collect().await;
    let differs = asked.into_iter().filter_map(|(file, answer)| match answer {
        Ok(found) => {
            let found: Vec<&str> =
                found.fields().iter().map(|field| field.name().as_str()).collect();
            let reason = format!(
                "its header is `{}`, that of the others is `{}`",
                found.join(","),
                expected.join(",")
            );
            (found != expected).then(|| BadFile { path: file.location.to_string(), reason })
        }
        Err(error) => Some(BadFile::new(&file, &error)),
    });
    differs.collect()
}

/// Reads every file of a table to its end and returns those that fail.
///
/// # Errors
/// The files cannot be listed.
pub(super) async fn read_all(
    table: &Arc<dyn TableProvider>,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Vec<BadFile>> {
    let config = SessionConfig::new().with_collect_statistics(false);
    let context = SessionContext::new_with_config_rt(config, runtime.clone());
    let state = context.state();
    let plan = table.scan(&state, None, &[], None).await?;
    let Some(config) = scanned(&plan) else { return Ok(Vec::new()) };
    let files = config.file_groups.iter().flat_map(|group| group.files().to_vec());
    let read = stream::iter(files).map(|file| {
        let plan = reading(config, vec![FileGroup::new(vec![file.clone()])]);
        let rows = plan.execute(0, context.task_ctx());
        async move {
            let read = async { rows?.try_for_each(|_| std::future::ready(Ok(()))).await };
            read.await.err().map(|error| BadFile::new(&file.object_meta, &error))
        }
    });
    Ok(read.buffered(FILES_AT_ONCE).filter_map(std::future::ready).collect().await)
}

/// What a scan reads; none where it reads no file.
fn scanned(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

/// The same scan of other files.
fn reading(config: &FileScanConfig, files: Vec<FileGroup>) -> Arc<dyn ExecutionPlan> {
    let builder = FileScanConfigBuilder::from(config.clone());
    DataSourceExec::from_data_source(builder.with_file_groups(files).build())
}

/// A table of files, without some of them.
#[derive(Debug)]
pub(super) struct Without {
    table: Arc<dyn TableProvider>,
    skipped: BTreeSet<String>,
}

impl Without {
    pub(super) fn new(table: Arc<dyn TableProvider>, skipped: &[BadFile]) -> Self {
        Self { table, skipped: skipped.iter().map(|file| file.path.clone()).collect() }
    }
}

#[async_trait]
impl TableProvider for Without {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A limit, and statistics, are taken from the first files, whatever these are.
        let state = session.as_any().downcast_ref::<SessionState>();
        let config = session.config().clone().with_collect_statistics(false);
        let plain = state.map(|state| {
            SessionStateBuilder::new_from_existing(state.clone()).with_config(config).build()
        });
        let session = plain.as_ref().map_or(session, |state| state as &dyn Session);
        let plan = self.table.scan(session, projection, filters, None).await?;
        let Some(config) = scanned(&plan) else { return Ok(plan) };
        let kept = config.file_groups.iter().map(|group| {
            let files = group.files().iter();
            let kept =
                files.filter(|file| !self.skipped.contains(file.object_meta.location.as_ref()));
            FileGroup::new(kept.cloned().collect())
        });
        Ok(reading(config, kept.collect()))
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }
}
