//! Identity resolution: which records are one person or one company.
//!
//! A model that is materialised as `identity` selects edges: a record, a kind
//! of identifier, and the identifier it bears. Records that share an identifier,
//! directly or through others, form a cluster, and each cluster has an id that
//! lasts: on a merge the oldest id survives; on a split it stays with the part
//! that keeps most of the records. Identifiers are equal or not; nothing is
//! guessed.
//!
//! The result does not depend on the order of the edges. The ids depend on the
//! table's last version and on nothing else, so a run that died leaves nothing
//! to mend: the next one begins from what was committed.

mod assign;
mod config;
mod edges;
mod graph;
mod resolve;
mod tables;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;

use super::catalog::Catalog;
use super::changes::APPLIED;
use super::models::Model;
use super::query::TableRef;
use super::table::{TableBuild, TableOutcome};
use super::{BuildOptions, Materialization, ModelConfig, TransformError};
use crate::lake::{Cursor, Lake, LakeError, Table, TableName, TableSpec};

use assign::Assignment;
pub use config::IdentityConfig;
pub(super) use edges::check as check_edges;
use resolve::Resolution;

/// Cursor of the clusters' table: the highest id ever given, so that the id of
/// a cluster that is no more does not come back as another one's.
const LAST_ID: &str = "hublake.identity.last_id";

/// Columns of the clusters' table.
const RECORD: &str = "record";
const CLUSTER_ID: &str = "cluster_id";

/// The table of edges that were left out.
const EXCLUDED: &str = "excluded";
/// The table of ids that moved: merges, splits, clusters that are no more.
const MOVES: &str = "moves";
/// The table of clusters that hold more than they should.
const CONFLICTS: &str = "conflicts";

/// The key of every clusters' table.
pub(super) fn key() -> Vec<String> {
    vec![RECORD.to_owned()]
}

fn side_table(model: &str, what: &str) -> String {
    format!("{model}_{what}")
}

/// The name of the table that records merges and splits.
pub(super) fn moves_name(model: &str) -> String {
    side_table(model, MOVES)
}

/// The tables that a model makes besides its clusters, with their columns.
pub(super) fn side_tables(model: &str) -> Vec<(String, SchemaRef)> {
    vec![
        (side_table(model, EXCLUDED), tables::excluded_schema()),
        (side_table(model, CONFLICTS), tables::conflicts_schema()),
        (moves_name(model), tables::moves_schema()),
    ]
}

/// Those of them that every build writes anew from its edges.
pub(super) fn rewritten_tables(model: &str) -> [String; 2] {
    [EXCLUDED, CONFLICTS].map(|what| side_table(model, what))
}

/// The columns of a model's clusters, if its `select` gives edges.
///
/// # Errors
/// Columns that are no edges.
pub(super) fn output_schema(model: &Model, edges: &SchemaRef) -> Result<SchemaRef, TransformError> {
    check_edges(model, edges)?;
    Ok(tables::clusters_schema())
}

/// Builds one such model.
pub(super) struct IdentityBuild<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) lake: &'a Lake,
    pub(super) model: &'a Model,
    pub(super) options: &'a BuildOptions,
}

/// The clusters as they were: cluster ids by record.
type Former = HashMap<String, i64>;

impl IdentityBuild<'_> {
    /// Resolves the edges and stores what differs: the clusters first, in one
    /// commit with the highest id given; what was left out and the conflicts
    /// after them, and last the moves, which are derived from the versions of
    /// the clusters' table.
    pub(super) async fn run(&self) -> Result<TableOutcome, TransformError> {
        let config = self.model.config().identity.clone().unwrap_or_default();
        let (mut graph, memory) = edges::read(self.catalog, self.model).await?;
        graph.sort();
        let resolution = Resolution::new(&graph, &config);
        let stored = self.lake.table(&self.name()).await.map_err(|error| self.lake_error(error))?;
        let former = match &stored {
            // A table of that name that held something else before knows no clusters.
            Some(table) if table.schema().index_of(CLUSTER_ID).is_ok() => {
                self.clusters_of(table, &memory).await?
            }
            _ => Former::new(),
        };
        let highest = stored.as_ref().and_then(|table| table.cursor(LAST_ID)).unwrap_or(0);
        let assignment = Assignment::new(&graph, &resolution, &former, highest);
        let cursors = [Cursor { app_id: LAST_ID.to_owned(), value: assignment.highest }];
        let clusters =
            tables::clusters(&graph, &assignment).map_err(|error| self.running(error.into()))?;
        let outcome = self.store(self.model, &clusters, &cursors).await?;
        let excluded = tables::excluded(&graph, &resolution);
        let excluded = excluded.map_err(|error| self.running(error.into()))?;
        self.store(&self.side_model(EXCLUDED), &[excluded], &[]).await?;
        let conflicts = tables::conflicts(&graph, &resolution, &assignment, &config);
        let conflicts = conflicts.map_err(|error| self.running(error.into()))?;
        self.store(&self.side_model(CONFLICTS), &[conflicts], &[]).await?;
        drop(graph);
        self.record_moves(stored.as_ref(), former, &memory).await?;
        Ok(outcome)
    }

    fn name(&self) -> TableName {
        TableName::model(self.model.name())
    }

    fn lake_error(&self, error: LakeError) -> TransformError {
        TransformError::lake(self.model.name(), error)
    }

    fn running(&self, error: DataFusionError) -> TransformError {
        TransformError::running(&format!("Model `{}`", self.model.name()), error)
    }

    /// A table beside the clusters, stored as any table without key: written
    /// anew when its content differs.
    fn side_model(&self, what: &str) -> Model {
        let config = ModelConfig { materialize: Materialization::Table, ..ModelConfig::default() };
        Model { name: side_table(self.model.name(), what), config, ..self.model.clone() }
    }

    async fn store(
        &self,
        model: &Model,
        rows: &[RecordBatch],
        cursors: &[Cursor],
    ) -> Result<TableOutcome, TransformError> {
        let running = |error| self.running(error);
        let schema = rows[0].schema();
        let table = MemTable::try_new(schema, vec![rows.to_vec()]).map_err(running)?;
        let frame = self.catalog.context.read_table(Arc::new(table)).map_err(running)?;
        let Self { catalog, lake, options, .. } = *self;
        TableBuild { catalog, lake, model, options, cursors }.store(frame).await
    }

    /// The clusters of a version of the table.
    async fn clusters_of(
        &self,
        table: &Table,
        memory: &MemoryReservation,
    ) -> Result<Former, TransformError> {
        // The map's slot and the allocation of a text.
        const PER_RECORD: usize = 64;
        let rows = table.scan(Some(&[RECORD, CLUSTER_ID]), None).await;
        let mut rows = rows.map_err(|error| self.lake_error(error))?;
        let mut former = Former::new();
        while let Some(batch) = rows.try_next().await.map_err(|error| self.running(error))? {
            let records = batch.column_by_name(RECORD).map(|column| column.as_string::<i32>());
            let ids = batch.column_by_name(CLUSTER_ID).map(|ids| ids.as_primitive::<Int64Type>());
            let (Some(records), Some(ids)) = (records, ids) else { continue };
            let bytes = batch.num_rows() * PER_RECORD + records.value_data().len();
            memory.try_grow(bytes).map_err(|error| self.running(error))?;
            let rows = records.iter().zip(ids).filter_map(|(record, id)| record.zip(id));
            former.extend(rows.map(|(record, id)| (record.to_owned(), id)));
        }
        Ok(former)
    }

    /// Brings the table of moves up to the clusters' version, the moves of a
    /// run that died before it could record them included.
    async fn record_moves(
        &self,
        before: Option<&Table>,
        former: Former,
        memory: &MemoryReservation,
    ) -> Result<(), TransformError> {
        let name = moves_name(self.model.name());
        let spec = TableSpec {
            name: TableName::model(name.as_str()),
            schema: tables::moves_schema(),
            key: Vec::new(),
            partition_by: Vec::new(),
        };
        let lake_error = |error| self.lake_error(error);
        let mut moves = self.lake.open_or_create(&spec).await.map_err(lake_error)?;
        let table = self.lake.table(&self.name()).await.map_err(lake_error)?;
        let table = table.expect("the clusters have just been stored");
        let version = i64::try_from(table.version()).expect("versions count commits one by one");
        let applied = moves.cursor(APPLIED);
        if applied < Some(version) {
            let old = match (applied, before) {
                // Nothing was ever recorded: there was nothing before, or a first run died.
                (None, _) => Some(former),
                (Some(applied), Some(before)) if Ok(before.version()) == u64::try_from(applied) => {
                    Some(former)
                }
                (Some(applied), _) => self.clusters_at(&table, applied, memory).await?,
            };
            let cursor = [Cursor { app_id: APPLIED.to_owned(), value: version }];
            let recorded = match old {
                Some(old) => {
                    let new = self.clusters_of(&table, memory).await?;
                    let rows = tables::moves(&assign::moves(&old, &new), self.options, version)
                        .map_err(|error| self.running(error.into()))?;
                    moves.append(&[rows], &cursor).await
                }
                None => moves.commit_cursors(&cursor).await,
            };
            recorded.map_err(lake_error)?;
        }
        let provider = moves.provider().await.map_err(lake_error)?;
        self.catalog.replace(&TableRef { schema: None, name }, provider)
    }

    /// The clusters of an older version; none when it can no longer be read.
    async fn clusters_at(
        &self,
        table: &Table,
        version: i64,
        memory: &MemoryReservation,
    ) -> Result<Option<Former>, TransformError> {
        let older = u64::try_from(version).unwrap_or_default();
        match table.at_version(older).await {
            Ok(table) => self.clusters_of(&table, memory).await.map(Some),
            Err(LakeError::NoSuchVersion { .. }) => {
                tracing::warn!(
                    model = self.model.name(),
                    version,
                    "The version whose moves were recorded last is gone: merges and splits since then are not recorded"
                );
                Ok(None)
            }
            Err(error) => Err(self.lake_error(error)),
        }
    }
}
