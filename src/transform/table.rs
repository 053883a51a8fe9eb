//! A model that is a table: computed, compared with its last version, and
//! only the differences stored.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::config::{ConfigNonZeroUsize, ConfigOptions};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, SortExpr, ident, lit, try_cast};
use datafusion::physical_plan::EmptyRecordBatchStream;
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;
use futures::FutureExt;

use super::catalog::Catalog;
use super::changes::{APPLIED, Stamp, spec, stream};
use super::compare::{Comparison, Diff};
use super::lineage::rebuild_done;
use super::models::Model;
use super::parameters::name_in_sql;
use super::query::TableRef;
use super::staging::{Staged, named};
use super::{BuildOptions, TransformError};
use crate::lake::{Changes, Cursor, FieldChange, Lake, LakeError, Table, TableName, TableSpec};

/// Past this many changed rows, and past half of the table, writing the table
/// anew is cheaper than merging into it.
const REPLACE_PAST_ROWS: u64 = 100_000;

/// Up to this many changed rows are kept in memory until they are recorded;
/// more are found again by comparing the two versions.
const RECORDED_FROM_MEMORY: u64 = 20_000;

/// A sort that has spilled holds two batches of every file that it merges:
/// short ones let wide rows fit in the memory limit.
const SORTED_BATCH_ROWS: usize = 2_048;

/// What a build did to a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableOutcome {
    pub(super) rows: u64,
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
}

impl TableOutcome {
    pub(super) fn changes(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    pub(super) fn count(&mut self, diff: &Diff) {
        self.inserted += diff.inserted.num_rows() as u64;
        self.updated += diff.after.num_rows() as u64;
        self.deleted += diff.deleted.num_rows() as u64;
    }
}

/// What merging differences came to.
pub(super) struct Merged {
    /// False where there are so many that the table is better written anew.
    pub(super) is_done: bool,
    /// The differences, if they are few.
    pub(super) differences: Option<Vec<Diff>>,
}

/// Builds one table.
pub(super) struct TableBuild<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) lake: &'a Lake,
    pub(super) model: &'a Model,
    pub(super) options: &'a BuildOptions,
    /// Cursors of the table, moved in the commit of its rows.
    pub(super) cursors: &'a [Cursor],
}

impl TableBuild<'_> {
    /// Computes the model and stores what differs, in one commit; none when
    /// nothing does. Then records the changes, those of a run that died before
    /// it could do so included; not after a privacy purge, whose traces the
    /// changes and the version before would be.
    pub(super) async fn run(&self) -> Result<TableOutcome, TransformError> {
        self.store(self.catalog.plan_model(self.model).await?).await
    }

    /// The same with rows that are not the model's own `select`.
    pub(super) async fn store(&self, rows: DataFrame) -> Result<TableOutcome, TransformError> {
        let computed: SchemaRef = Arc::new(rows.schema().as_arrow().clone());
        check_columns(self.model, &computed)?;
        let stored = self.lake.table(&self.name()).await.map_err(|error| self.lake_error(error))?;
        let schema = all_columns(&computed, stored.as_ref());
        let order = self.order(&schema);
        let staged = Arc::new(self.stage(rows, &schema, &order).await?);
        let mut table = self.open(&computed, stored).await?;
        let (before, restored) = (table.version(), rebuild_done(&table));
        let has_key = !self.model.config.key.is_empty();
        let (outcome, differences) = if has_key && self.adds() && restored.is_none() {
            self.add(&mut table, &staged, &schema).await?
        } else if has_key {
            self.store_changes(&mut table, &staged, &schema).await?
        } else {
            (self.store_whole(&mut table, &staged, &schema, &order).await?, None)
        };
        let is_restored = restored.is_some();
        if let Some(restored) = restored {
            let forgotten = table.forget_past(&[restored]).await;
            forgotten.map_err(|error| self.lake_error(error))?;
        }
        if has_key {
            let found = match (is_restored, differences) {
                (true, _) => Found::Restored,
                (false, Some(differences)) => Found::Known(KnownChanges { before, differences }),
                (false, None) => Found::Many,
            };
            self.record_changes(&table, &staged, found).await?;
        }
        self.publish(&table).await?;
        Ok(outcome)
    }

    /// Whether the computed rows come on top of those that are stored.
    fn adds(&self) -> bool {
        self.model.is_incremental() && !self.options.full
    }

    fn name(&self) -> TableName {
        TableName::model(self.model.name())
    }

    pub(super) fn lake_error(&self, error: LakeError) -> TransformError {
        TransformError::lake(self.model.name(), error)
    }

    pub(super) fn running(&self, error: DataFusionError) -> TransformError {
        TransformError::running(&named(self.model.name()), error)
    }

    /// Rows are compared in order of the key, or of all columns.
    fn order(&self, schema: &Schema) -> Vec<String> {
        match self.model.config.key.as_slice() {
            [] => schema.fields().iter().map(|field| field.name().clone()).collect(),
            key => key.to_vec(),
        }
    }

    /// Computes the model; once more with joins that spill, if it does not fit
    /// in memory with those that are faster and do not.
    async fn stage(
        &self,
        rows: DataFrame,
        schema: &SchemaRef,
        order: &[String],
    ) -> Result<Staged, TransformError> {
        let sorted = sorted(rows, schema, order).map_err(|error| self.running(error))?;
        let staged = match self.write(sorted.clone()).await {
            Err(TransformError::Memory { .. }) => self.write(with_spilling_joins(sorted)).await?,
            staged => staged?,
        };
        let faults = staged.key_faults;
        if faults.nulls + faults.duplicates > 0 {
            return Err(TransformError::Key {
                model: self.model.name().to_owned(),
                key: self.model.config.key.clone(),
                nulls: faults.nulls,
                duplicates: faults.duplicates,
                query: fault_query(self.model),
            });
        }
        Ok(staged)
    }

    async fn write(&self, sorted: DataFrame) -> Result<Staged, TransformError> {
        let write = async {
            let rows = sorted.execute_stream().await.map_err(|error| self.running(error))?;
            let runtime = self.catalog.context.runtime_env();
            Staged::write(self.model.name(), rows, &self.model.config.key, &runtime).await
        };
        // Nothing is stored yet, so a panic in the engine leaves nothing half done, and the other
        // models go on.
        let written = AssertUnwindSafe(write).catch_unwind().await;
        let what = named(self.model.name());
        written.unwrap_or(Err(TransformError::EngineFault { what }))
    }

    /// The stored table with room for every column, made if it is missing.
    async fn open(
        &self,
        computed: &SchemaRef,
        stored: Option<Table>,
    ) -> Result<Table, TransformError> {
        if let Some(mut table) = stored {
            let changed = retyped(&table.schema(), computed);
            if !changed.is_empty() {
                table.change_types(&changed).await.map_err(|error| self.lake_error(error))?;
            }
        }
        let spec = TableSpec {
            name: self.name(),
            schema: computed.clone(),
            key: self.model.config.key.clone(),
            partition_by: Vec::new(),
        };
        self.lake.open_or_create(&spec).await.map_err(|error| self.lake_error(error))
    }

    /// The rows of a version of the table, as the comparison wants them.
    pub(super) async fn stored_rows(
        &self,
        table: &Table,
        schema: &SchemaRef,
        order: &[String],
    ) -> Result<SendableRecordBatchStream, TransformError> {
        let provider = table.provider().await.map_err(|error| self.lake_error(error))?;
        let rows = self.catalog.context.read_table(provider);
        let sorted = rows.and_then(|rows| sorted(rows, schema, order));
        let sorted = sorted.map_err(|error| self.running(error))?;
        sorted.execute_stream().await.map_err(|error| self.running(error))
    }

    /// Merges what differs; the differences too, if they are few.
    async fn store_changes(
        &self,
        table: &mut Table,
        staged: &Staged,
        schema: &SchemaRef,
    ) -> Result<(TableOutcome, Option<Vec<Diff>>), TransformError> {
        let mut outcome = TableOutcome { rows: staged.rows, ..TableOutcome::default() };
        let built = self.model.is_incremental().then(|| self.built(table));
        let cursors: Vec<Cursor> = self.cursors.iter().cloned().chain(built).collect();
        if table.row_count() == 0 {
            outcome.inserted = staged.rows;
            let added = table.append_stream(staged.stream()?, &cursors).await;
            return added.map(|_| (outcome, None)).map_err(|error| self.lake_error(error));
        }
        let stored = self.stored_rows(table, schema, &self.model.config.key).await?;
        let merged = self.merge(table, stored, staged, &cursors, Some, &mut outcome).await?;
        if !merged.is_done {
            let replaced = table.replace(staged.stream()?, &cursors).await;
            replaced.map_err(|error| self.lake_error(error))?;
        }
        Ok((outcome, merged.differences))
    }

    /// Compares stored rows with staged ones, both in order of key, and merges
    /// what differs and `wanted` lets through, if it is little enough; counts it
    /// either way.
    pub(super) async fn merge(
        &self,
        table: &mut Table,
        stored: SendableRecordBatchStream,
        staged: &Staged,
        cursors: &[Cursor],
        wanted: impl Fn(Diff) -> Option<Diff>,
        outcome: &mut TableOutcome,
    ) -> Result<Merged, TransformError> {
        let key = &self.model.config.key;
        let mut comparison =
            Comparison::new(stored, staged.stream()?, key).map_err(|error| self.running(error))?;
        let most = REPLACE_PAST_ROWS.max(table.row_count() / 2);
        let mut merge = table.merge().map_err(|error| self.lake_error(error))?;
        let mut merged = Merged { is_done: true, differences: Some(Vec::new()) };
        while let Some(diff) = comparison.next().await.map_err(|error| self.running(error))? {
            let Some(diff) = wanted(diff) else { continue };
            outcome.count(&diff);
            merged.is_done = merged.is_done && outcome.changes() <= most;
            if merged.is_done {
                let pushed = merge.push(merge_part(&diff, key)?).await;
                pushed.map_err(|error| self.lake_error(error))?;
            }
            match &mut merged.differences {
                Some(known) if outcome.changes() <= RECORDED_FROM_MEMORY => known.push(diff),
                _ => merged.differences = None,
            }
        }
        if merged.is_done {
            merge.commit(cursors).await.map_err(|error| self.lake_error(error))?;
        }
        Ok(merged)
    }

    /// Without a key rows cannot be told apart: the table is written anew when
    /// its content differs in any way but order.
    async fn store_whole(
        &self,
        table: &mut Table,
        staged: &Staged,
        schema: &SchemaRef,
        order: &[String],
    ) -> Result<TableOutcome, TransformError> {
        let mut outcome = TableOutcome { rows: staged.rows, ..TableOutcome::default() };
        let stored = self.stored_rows(table, schema, order).await?;
        let mut comparison = Comparison::new(stored, staged.stream()?, order)
            .map_err(|error| self.running(error))?;
        while let Some(diff) = comparison.next().await.map_err(|error| self.running(error))? {
            outcome.count(&diff);
        }
        if outcome.changes() > 0 {
            let replaced = table.replace(staged.stream()?, self.cursors).await;
            replaced.map_err(|error| self.lake_error(error))?;
        }
        Ok(outcome)
    }

    /// Lets later models read the new version.
    async fn publish(&self, table: &Table) -> Result<(), TransformError> {
        let provider = table.provider().await.map_err(|error| self.lake_error(error))?;
        let name = TableRef { schema: None, name: self.model.name().to_owned() };
        self.catalog.replace(&name, provider)
    }

    /// Brings `<model>_changes` up to the table's version.
    async fn record_changes(
        &self,
        table: &Table,
        staged: &Staged,
        found: Found,
    ) -> Result<(), TransformError> {
        let key = &self.model.config.key;
        let spec = spec(self.model.name(), &staged.schema, key)
            .map_err(|error| self.running(error.into()))?;
        let mut changes =
            self.lake.open_or_create(&spec).await.map_err(|error| self.lake_error(error))?;
        let version = i64::try_from(table.version()).expect("versions count commits one by one");
        let applied = changes.cursor(APPLIED);
        if applied < Some(version) {
            let cursor = [Cursor { app_id: APPLIED.into(), value: version }];
            let rows = match found {
                Found::Restored => None,
                Found::Many => self.changes_since(table, applied, staged, None).await?,
                Found::Known(known) => {
                    self.changes_since(table, applied, staged, Some(known)).await?
                }
            };
            let recorded = match rows {
                Some(rows) => changes.append_stream(rows, &cursor).await.map(drop),
                None => changes.commit_cursors(&cursor).await,
            };
            recorded.map_err(|error| self.lake_error(error))?;
        }
        let provider = changes.provider().await.map_err(|error| self.lake_error(error))?;
        self.catalog
            .replace(&TableRef { schema: None, name: spec.name.name().to_owned() }, provider)
    }

    /// What happened to the table after a version; none when that version can no
    /// longer be read.
    async fn changes_since(
        &self,
        table: &Table,
        applied: Option<i64>,
        staged: &Staged,
        known: Option<KnownChanges>,
    ) -> Result<Option<SendableRecordBatchStream>, TransformError> {
        let (key, schema) = (&self.model.config.key, &staged.schema);
        let whole = || async {
            if self.adds() { self.stored_rows(table, schema, key).await } else { staged.stream() }
        };
        let stamp = Stamp {
            run_id: self.options.run_id.clone(),
            changed_at: self.options.run_started_at,
            model_version: i64::try_from(table.version()).expect("versions count commits"),
        };
        let applied = applied.and_then(|version| u64::try_from(version).ok());
        let rows = match (applied, known) {
            (Some(applied), Some(known)) if applied == known.before => {
                let differences = futures::stream::iter(known.differences.into_iter().map(Ok));
                stream(differences, schema, key, stamp)
            }
            (applied, _) => {
                let Some(old) = self.rows_at(table, applied, schema).await? else {
                    return Ok(None);
                };
                let comparison = Comparison::new(old, whole().await?, key)
                    .map_err(|error| self.running(error))?;
                stream(comparison.into_stream(), schema, key, stamp)
            }
        };
        rows.map(Some).map_err(|error| self.running(error.into()))
    }

    /// The rows of an older version, in order; no rows before the first, and
    /// none at all when the version is gone.
    async fn rows_at(
        &self,
        table: &Table,
        version: Option<u64>,
        schema: &SchemaRef,
    ) -> Result<Option<SendableRecordBatchStream>, TransformError> {
        let Some(version) = version else {
            return Ok(Some(Box::pin(EmptyRecordBatchStream::new(schema.clone()))));
        };
        match table.at_version(version).await {
            Ok(table) => self.stored_rows(&table, schema, &self.model.config.key).await.map(Some),
            Err(LakeError::NoSuchVersion { .. }) => {
                tracing::warn!(
                    model = self.model.name(),
                    version,
                    "The version whose changes were recorded last is gone: changes since then are not recorded"
                );
                Ok(None)
            }
            Err(error) => Err(self.lake_error(error)),
        }
    }
}

/// What a build has changed.
enum Found {
    /// These rows.
    Known(KnownChanges),
    /// So many rows that they are compared once more.
    Many,
    /// What a privacy purge took out, which is for nobody to know.
    Restored,
}

/// The differences that this build has stored on top of a version.
struct KnownChanges {
    before: u64,
    differences: Vec<Diff>,
}

/// The differences as the lake merges them.
fn merge_part(diff: &Diff, key: &[String]) -> Result<Changes, TransformError> {
    let deletes = (diff.deleted.num_rows() > 0).then(|| key_columns(&diff.deleted, key));
    Ok(Changes {
        rows: vec![diff.inserted.clone(), diff.after.clone()],
        deletes: deletes.transpose()?,
        newer_by: None,
        ignore: Vec::new(),
    })
}

fn key_columns(rows: &RecordBatch, key: &[String]) -> Result<RecordBatch, TransformError> {
    let columns =
        key.iter().map(|name| rows.schema().index_of(name)).collect::<Result<Vec<_>, _>>();
    columns
        .and_then(|columns| rows.project(&columns))
        .map_err(|error| TransformError::running("A merge", error.into()))
}

/// Rows with exactly the columns of a schema, in order; a column that is not
/// there is null.
pub(super) fn sorted(
    rows: DataFrame,
    schema: &SchemaRef,
    order: &[String],
) -> Result<DataFrame, DataFusionError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| Ok(column(&rows, field)?.alias(field.name())))
        .collect::<Result<Vec<_>, DataFusionError>>()?;
    let by: Vec<SortExpr> = order.iter().map(|name| ident(name).sort(true, true)).collect();
    let batch_rows = ConfigNonZeroUsize::try_new(SORTED_BATCH_ROWS)?;
    Ok(with_options(rows.select(columns)?.sort(by)?, |options| {
        // One sort at a time: several that spill together starve the merge of their outputs.
        options.optimizer.repartition_sorts = false;
        options.execution.batch_size = batch_rows;
    }))
}

pub(super) fn with_spilling_joins(rows: DataFrame) -> DataFrame {
    with_options(rows, |options| options.optimizer.prefer_hash_join = false)
}

fn with_options(rows: DataFrame, change: impl FnOnce(&mut ConfigOptions)) -> DataFrame {
    let (mut state, plan) = rows.into_parts();
    change(state.config_mut().options_mut());
    DataFrame::new(state, plan)
}

fn column(rows: &DataFrame, field: &Field) -> Result<Expr, DataFusionError> {
    match rows.schema().field_with_unqualified_name(field.name()) {
        Ok(found) if found.data_type() == field.data_type() => Ok(ident(field.name())),
        // Older versions may hold values that a column's new type cannot.
        Ok(_) => Ok(try_cast(ident(field.name()), field.data_type().clone())),
        Err(_) => Ok(lit(ScalarValue::try_from(field.data_type())?)),
    }
}

/// The computed columns, then those that only the stored table has: they stay
/// and are null from now on.
fn all_columns(computed: &SchemaRef, stored: Option<&Table>) -> SchemaRef {
    let stored = stored.map(Table::schema);
    let gone = stored.iter().flat_map(|schema| schema.fields().iter());
    let gone = gone.filter(|field| computed.index_of(field.name()).is_err());
    let fields: Vec<_> = computed
        .fields()
        .iter()
        .chain(gone)
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Columns whose type the model has changed.
fn retyped(stored: &SchemaRef, computed: &SchemaRef) -> Vec<FieldChange> {
    let changed = computed.fields().iter().filter(|field| {
        stored
            .field_with_name(field.name())
            .is_ok_and(|before| !before.data_type().equals_datatype(field.data_type()))
    });
    changed
        .map(|field| FieldChange {
            name: field.name().clone(),
            new_type: field.data_type().clone(),
            rescue: None,
        })
        .collect()
}

/// Makes sure that every column which settings name is there.
pub(super) fn check_columns(model: &Model, schema: &Schema) -> Result<(), TransformError> {
    super::data_tests::check_types(model, schema)?;
    let settings = model.config.column_settings();
    let missing = settings.into_iter().find(|(_, column)| schema.index_of(column).is_err());
    let Some((setting, column)) = missing else { return Ok(()) };
    Err(TransformError::MissingColumn {
        model: model.name().to_owned(),
        setting,
        column,
        known: schema.fields().iter().map(|field| field.name().clone()).collect(),
    })
}

/// A query that shows the rows which a key does not identify.
fn fault_query(model: &Model) -> String {
    let key: Vec<_> = model.config.key.iter().map(|column| name_in_sql(column)).collect();
    let nulls: Vec<_> = key.iter().map(|column| format!("{column} is null")).collect();
    format!(
        "select {0}, count(*) from (<the query of {1}>) group by {0} having count(*) > 1 or {2}",
        key.join(", "),
        model.query.origin().display(),
        nulls.join(" or "),
    )
}
