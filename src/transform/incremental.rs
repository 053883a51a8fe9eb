//! A model that is added to: the rows that are new since its last build
//! replace those with their keys, and the rest of the table stays.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::JoinType;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, ident};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::DataFrame;

use super::TransformError;
use super::compare::Diff;
use super::staging::Staged;
use super::table::{TableBuild, TableOutcome, sorted, with_spilling_joins};
use crate::lake::{Cursor, Table};

/// Cursor of an incremental model: when the run started that last built it (µs
/// since 1970 UTC), moved in the commit that holds what that run added. A table
/// that is not there has none, and is built from the beginning.
pub(super) const BUILT: &str = "hublake.built_at";

/// Up to this many new rows, the stored rows with their keys are found by
/// keeping the new keys in memory; past it, the whole table is walked in order.
const KEYS_IN_MEMORY: u64 = 500_000;

impl TableBuild<'_> {
    /// Adds the staged rows; what they replaced too, if it is little.
    pub(super) async fn add(
        &self,
        table: &mut Table,
        staged: &Arc<Staged>,
        schema: &SchemaRef,
    ) -> Result<(TableOutcome, Option<Vec<Diff>>), TransformError> {
        let cursor = [self.built(table)];
        let mut outcome = TableOutcome::default();
        if table.row_count() == 0 {
            outcome.inserted = staged.rows;
            let added = table.append_stream(staged.stream()?, &cursor).await;
            added.map_err(|error| self.lake_error(error))?;
            outcome.rows = table.row_count();
            return Ok((outcome, None));
        }
        let stored = self.rows_with_keys(table, staged, schema).await?;
        // What the model computes no more stays.
        let merged =
            self.merge(table, stored, staged, &cursor, Diff::without_deletes, &mut outcome).await?;
        if !merged.is_done {
            let rows = self.whole(table, staged, schema).await?;
            let replaced = table.replace(rows, &cursor).await;
            replaced.map_err(|error| self.lake_error(error))?;
        }
        outcome.rows = table.row_count();
        Ok((outcome, merged.differences))
    }

    /// That this run built the table. A clock that went back moves nothing.
    pub(super) fn built(&self, table: &Table) -> Cursor {
        let before = table.cursor(BUILT).unwrap_or(i64::MIN);
        Cursor { app_id: BUILT.to_owned(), value: self.options.run_started_at.max(before) }
    }

    /// The stored rows whose keys are among the staged ones, in order of key.
    async fn rows_with_keys(
        &self,
        table: &Table,
        staged: &Arc<Staged>,
        schema: &SchemaRef,
    ) -> Result<SendableRecordBatchStream, TransformError> {
        let key = &self.model.config.key;
        if staged.rows > KEYS_IN_MEMORY {
            return self.stored_rows(table, schema, key).await;
        }
        let stored = self.stored_frame(table).await?;
        let found = self.staged_frame(staged).and_then(|new| {
            // Only the left side of a join is held in memory.
            let found =
                new.select(renamed(key))?.join_on(stored, JoinType::RightSemi, same(key))?;
            sorted(found, schema, key)
        });
        let found = found.map_err(|error| self.running(error))?;
        found.execute_stream().await.map_err(|error| self.running(error))
    }

    /// The table as it is to be: what is stored under other keys, and the
    /// staged rows.
    async fn whole(
        &self,
        table: &Table,
        staged: &Arc<Staged>,
        schema: &SchemaRef,
    ) -> Result<SendableRecordBatchStream, TransformError> {
        let key = &self.model.config.key;
        let stored = self.stored_frame(table).await?;
        let whole = self.staged_frame(staged).and_then(|new| {
            let keys = new.clone().select(renamed(key))?;
            let rest = stored.join_on(keys, JoinType::LeftAnti, same(key))?;
            sorted(rest, schema, key)?.union(sorted(new, schema, key)?)
        });
        let whole = whole.map_err(|error| self.running(error))?;
        with_spilling_joins(whole).execute_stream().await.map_err(|error| self.running(error))
    }

    async fn stored_frame(&self, table: &Table) -> Result<DataFrame, TransformError> {
        let provider = table.provider().await.map_err(|error| self.lake_error(error))?;
        self.catalog.context.read_table(provider).map_err(|error| self.running(error))
    }

    fn staged_frame(&self, staged: &Arc<Staged>) -> Result<DataFrame, DataFusionError> {
        let rows = Arc::new(StagedRows(staged.clone()));
        let table = StreamingTable::try_new(staged.schema.clone(), vec![rows])?;
        self.catalog.context.read_table(Arc::new(table))
    }
}

/// A key column of the staged side, under a name that no model's column has.
fn staged_name(column: &str) -> String {
    format!("staged.{column}")
}

fn renamed(key: &[String]) -> Vec<Expr> {
    key.iter().map(|name| ident(name).alias(staged_name(name))).collect()
}

fn same(key: &[String]) -> Vec<Expr> {
    key.iter().map(|name| ident(staged_name(name)).eq(ident(name))).collect()
}

/// Staged rows as a table that can be read several times.
struct StagedRows(Arc<Staged>);

impl fmt::Debug for StagedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedRows").field("rows", &self.0.rows).finish()
    }
}

impl PartitionStream for StagedRows {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        match self.0.stream() {
            Ok(rows) => rows,
            Err(error) => {
                let failed = futures::stream::once(std::future::ready(Err(
                    DataFusionError::External(Box::new(error)),
                )));
                Box::pin(RecordBatchStreamAdapter::new(self.0.schema.clone(), failed))
            }
        }
    }
}
