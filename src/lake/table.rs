//! One Delta table: reading it, adding to it, moving its cursors.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use chrono::DateTime;
use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::state::DeltaTableState;
use deltalake::{DeltaTable, DeltaTableError};
use futures::{Stream, StreamExt};
use object_store::ObjectStore;

use super::commit::OnConflict;
use super::error::Place;
use super::files::data_files;
use super::log::{LogDigest, LogReader};
use super::maintain::StoredFiles;
use super::provider::LakeProvider;
use super::root::{Lake, TableName};
use super::schema::{conform, unknown_column};
use super::upsert::MergeColumns;
use super::writer::{FileFormat, TableWriter};
use super::{
    Changes, ExportReport, FieldChange, LakeError, MaintenancePolicy, MaintenanceReport, Merge,
    PurgeReport, UpsertCounts, evolution, export, maintain, purge, retype, upsert,
};

/// A table at one version. Clones are independent handles on the same table.
#[derive(Clone)]
pub struct Table {
    name: TableName,
    place: Arc<Place>,
    lake: Lake,
    delta: DeltaTable,
    schema: SchemaRef,
    key: Vec<String>,
    partition_by: Vec<String>,
    cursors: BTreeMap<String, i64>,
}

/// How far something has been applied, kept in the table it describes as a
/// Delta application transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What the cursor is of
    pub app_id: String,
    /// How far it has come; it never moves back
    pub value: i64,
}

impl Table {
    /// A handle on a loaded table, with its cursors read.
    pub(super) async fn load(
        lake: &Lake,
        name: &TableName,
        delta: DeltaTable,
    ) -> Result<Self, LakeError> {
        let place = Arc::new(lake.place(name));
        let mut table = Self {
            name: name.clone(),
            place,
            lake: lake.clone(),
            delta,
            schema: Arc::new(Schema::empty()),
            key: Vec::new(),
            partition_by: Vec::new(),
            cursors: BTreeMap::new(),
        };
        table.describe();
        table.cursors = table.log().cursors_at(table.version()).await?;
        Ok(table)
    }

    /// Takes schema, key and partitioning from the version the handle stands at.
    fn describe(&mut self) {
        let snapshot = self.state().snapshot();
        let (schema, metadata) = (snapshot.arrow_schema(), snapshot.metadata().clone());
        self.schema = schema;
        self.key = evolution::stored_key(metadata.configuration()).unwrap_or_default();
        self.partition_by = metadata.partition_columns().to_vec();
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The version this handle reads.
    pub fn version(&self) -> u64 {
        self.state().version()
    }

    /// The table's columns. Text is `Utf8`, times are µs UTC, all nullable.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Rows at this version, from the log alone.
    pub fn row_count(&self) -> u64 {
        data_files(self.state(), &[]).iter().filter_map(|file| file.rows()).sum()
    }

    /// Data files at this version.
    pub fn data_files(&self) -> usize {
        self.state().log_data().num_files()
    }

    /// The value of a cursor at this version.
    pub fn cursor(&self, app_id: &str) -> Option<i64> {
        self.cursors.get(app_id).copied()
    }

    /// The cursors at this version whose names begin so, with what follows.
    pub fn cursors_under<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, i64)> + 'a {
        let from = self.cursors.range(prefix.to_owned()..);
        from.map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, *value)))
    }

    /// Moves this handle to the newest version.
    pub async fn refresh(&mut self) -> Result<(), LakeError> {
        self.catch_up(&mut LogDigest::default()).await
    }

    /// Moves to the newest version; `since` takes what the commits on the way say.
    pub(super) async fn catch_up(&mut self, since: &mut LogDigest) -> Result<(), LakeError> {
        let before = self.version();
        let moved = self.delta.update_incremental(None).await;
        moved.map_err(self.place.failed("reading its log"))?;
        if self.version() == before {
            return Ok(());
        }
        self.describe();
        let after = self.version();
        match self.log().read_commits(before + 1, after, since).await {
            Ok(()) => self.cursors.extend(since.cursors.clone()),
            // Commits in between may be cleaned up already.
            Err(_) => self.cursors = self.log().cursors_at(after).await?,
        }
        Ok(())
    }

    /// Stands at the version just committed.
    pub(super) fn advance(&mut self, state: DeltaTableState, moved: &[Transaction]) {
        self.delta.state = Some(state);
        self.describe();
        self.cursors.extend(moved.iter().map(|txn| (txn.app_id.clone(), txn.version)));
    }

    /// Adds rows and moves cursors in one commit. Columns missing from a batch
    /// are null. Appending is not idempotent: a caller that may repeat itself
    /// keeps a cursor and looks at it first. No rows and no cursor that moves:
    /// no commit. Other writers' commits in between do no harm.
    pub async fn append(
        &mut self,
        rows: &[RecordBatch],
        cursors: &[Cursor],
    ) -> Result<(), LakeError> {
        let rows = futures::stream::iter(rows.iter().cloned().map(Ok::<_, ArrowError>));
        let (adds, _) = self.write_rows(rows).await?;
        self.commit(adds, self.write(SaveMode::Append), cursors, OnConflict::Retry).await
    }

    /// Like [`Table::append`], for any number of rows in bounded memory and still
    /// one commit. Returns the rows added.
    pub async fn append_stream(
        &mut self,
        rows: SendableRecordBatchStream,
        cursors: &[Cursor],
    ) -> Result<u64, LakeError> {
        let (adds, count) = self.write_rows(rows).await?;
        self.commit(adds, self.write(SaveMode::Append), cursors, OnConflict::Retry).await?;
        Ok(count)
    }

    /// Replaces all rows in one commit, in bounded memory. Returns the rows the
    /// table has now. An empty table that stays empty is not committed to.
    pub async fn replace(
        &mut self,
        rows: SendableRecordBatchStream,
        cursors: &[Cursor],
    ) -> Result<u64, LakeError> {
        let (adds, count) = self.write_rows(rows).await?;
        let old = data_files(self.state(), &self.partition_by);
        let removes = old.iter().map(|file| file.remove(true));
        let actions = removes.chain(adds).collect();
        self.commit(actions, self.write(SaveMode::Overwrite), cursors, OnConflict::Fail).await?;
        Ok(count)
    }

    /// Begins a merge that takes its changes in several parts and makes one
    /// commit, for more changes than memory should hold.
    ///
    /// # Errors
    /// [`LakeError::NoKey`] for a table that is only appended to.
    pub fn merge(&mut self) -> Result<Merge<'_>, LakeError> {
        Merge::begin(self, true)
    }

    /// Merges changed rows by key and moves cursors in one commit, in memory
    /// bounded by the changes and not by the table. Nothing changed and no
    /// cursor that moves: no commit.
    ///
    /// Repeating an upsert changes nothing. When another writer commits meanwhile,
    /// it starts over from what the table holds then.
    pub async fn upsert(
        &mut self,
        changes: Changes,
        cursors: &[Cursor],
    ) -> Result<UpsertCounts, LakeError> {
        upsert::upsert(self, &changes, cursors).await
    }

    /// Moves cursors in a commit of their own. A cursor that would stand still
    /// or go back is left out; when none is left there is no commit.
    pub async fn commit_cursors(&mut self, cursors: &[Cursor]) -> Result<(), LakeError> {
        self.commit(Vec::new(), self.write(SaveMode::Append), cursors, OnConflict::Retry).await
    }

    /// Gives columns new types in one commit that rewrites the table; older
    /// versions keep the old types. Where `rescue` holds a column's exact text the
    /// value is taken from there; otherwise the value is converted if its new form
    /// is exact, and null if not: a number never becomes text.
    pub async fn change_types(&mut self, fields: &[FieldChange]) -> Result<(), LakeError> {
        retype::change_types(self, fields).await
    }

    /// The stored rows with these keys, all columns. `keys` holds the key
    /// columns, by name; memory is bounded by the rows found. In no particular order.
    pub async fn lookup(&self, keys: &RecordBatch) -> Result<Vec<RecordBatch>, LakeError> {
        upsert::lookup(self, keys).await
    }

    /// Streams rows, pushing projection and filter down to the files. Columns come
    /// in the order asked for.
    pub async fn scan(
        &self,
        columns: Option<&[&str]>,
        filter: Option<Expr>,
    ) -> Result<SendableRecordBatchStream, LakeError> {
        for name in columns.unwrap_or_default() {
            let unknown = |_| unknown_column(&self.place.table, name, &self.schema);
            self.schema.index_of(name).map_err(unknown)?;
        }
        let context = SessionContext::new_with_config(SessionConfig::new());
        let stream = async {
            let mut rows = context.read_table(Arc::new(LakeProvider::new(self.delta.clone())?))?;
            if let Some(filter) = filter {
                rows = rows.filter(filter)?;
            }
            if let Some(columns) = columns {
                rows = rows.select_columns(columns)?;
            }
            rows.execute_stream().await
        };
        stream.await.map_err(self.place.failed("scanning it"))
    }

    /// This version as a DataFusion table, with the types of [`Table::schema`]
    /// (`Utf8`, never a view). It registers its store with the session that scans it.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, LakeError> {
        let provider = LakeProvider::new(self.delta.clone());
        Ok(Arc::new(provider.map_err(self.place.failed("preparing a scan"))?))
    }

    /// The table as of a version.
    ///
    /// # Errors
    /// [`LakeError::NoSuchVersion`] for one that is gone or not yet written.
    pub async fn at_version(&self, version: u64) -> Result<Self, LakeError> {
        let mut delta = DeltaTable::new(self.delta.log_store());
        let loaded = delta.load_version(version).await;
        loaded.map_err(|error| self.no_such_version(format!("{version}"), Some(error)))?;
        self.past(delta, || format!("{version}")).await
    }

    /// The table as it stood at a time, in microseconds since 1970 UTC.
    ///
    /// # Errors
    /// [`LakeError::NoSuchVersion`] for a time before the oldest version there is.
    pub async fn at_time(&self, micros: i64) -> Result<Self, LakeError> {
        let wanted = || format!("of {micros} µs since 1970");
        let time = DateTime::from_timestamp_micros(micros)
            .ok_or_else(|| self.no_such_version(wanted(), None))?;
        let mut delta = DeltaTable::new(self.delta.log_store());
        let loaded = delta.load_with_datetime(time).await;
        loaded.map_err(|error| self.no_such_version(wanted(), Some(error)))?;
        let written =
            delta.state.as_ref().and_then(|state| state.version_timestamp(state.version()));
        let is_later = |at: Option<i64>| at.is_some_and(|at| at > time.timestamp_millis());
        // A version read from a checkpoint need not know when it was written.
        if is_later(written) || is_later(self.purged_at()) {
            return Err(self.no_such_version(wanted(), None));
        }
        self.past(delta, wanted).await
    }

    /// An older version, if its files are still there: the log tells of versions
    /// a little further back than they are kept.
    async fn past(
        &self,
        delta: DeltaTable,
        wanted: impl Fn() -> String,
    ) -> Result<Self, LakeError> {
        let past = Self::load(&self.lake, &self.name, delta).await?;
        let stored = StoredFiles::of(self).await?;
        let needed = data_files(past.state(), &[]);
        match needed.iter().all(|file| stored.has(&file.path)) {
            true => Ok(past),
            false => Err(self.no_such_version(wanted(), None)),
        }
    }

    fn no_such_version(&self, wanted: String, source: Option<DeltaTableError>) -> LakeError {
        let source = source.map(Into::into);
        let purged_at = self.purged_at();
        LakeError::NoSuchVersion { table: self.place.table.clone(), wanted, purged_at, source }
    }

    /// Publishes this version as plain Parquet under `url` (a URL, or a folder
    /// relative to the project), replacing what was published there before.
    pub async fn export_parquet(&self, url: &str) -> Result<ExportReport, LakeError> {
        export::export(self, url).await
    }

    /// Compacts small files, writes a checkpoint and removes files that no
    /// version inside the history needs, each only when due; and shortens the
    /// history where it has come to hold too many bytes.
    pub async fn maintain(
        &mut self,
        policy: &MaintenancePolicy,
    ) -> Result<MaintenanceReport, LakeError> {
        maintain::maintain(self, policy).await
    }

    /// Takes rows and cells out of the table for good, moves cursors in the same
    /// commit, and removes every older version at once, so that none can be read
    /// with them. `keep` sees whole batches in the table's columns and answers
    /// what stays of each, in the same columns; nothing where all of it stays.
    /// It is asked twice about a file of which something goes.
    ///
    /// # Errors
    /// [`LakeError::Conflict`] when someone else wrote the table meanwhile. After
    /// any error the purge has to be repeated; repeating it is harmless.
    pub async fn purge(
        &mut self,
        keep: impl Fn(&RecordBatch) -> Result<Option<RecordBatch>, ArrowError> + Send + Sync,
        cursors: &[Cursor],
    ) -> Result<PurgeReport, LakeError> {
        purge::purge(self, &keep, cursors).await
    }

    /// Removes every older version, whatever history the lake keeps, and moves
    /// cursors in a commit of their own.
    ///
    /// # Errors
    /// As [`Table::purge`].
    pub async fn forget_past(&mut self, cursors: &[Cursor]) -> Result<PurgeReport, LakeError> {
        purge::purge(self, &|_| Ok(None), cursors).await
    }

    /// When the table's past was last purged (ms since 1970 UTC), if ever.
    pub fn purged_at(&self) -> Option<i64> {
        self.cursor(purge::PURGED)
    }

    /// Writes rows into new files. Returns the actions that add them, and their number.
    async fn write_rows<E>(
        &self,
        rows: impl Stream<Item = Result<RecordBatch, E>> + Send,
    ) -> Result<(Vec<Action>, u64), LakeError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut writer = TableWriter::new(self.file_format());
        let mut rows = std::pin::pin!(rows);
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| self.place.failed("taking rows to write")(error))?;
            let batch = conform(&self.place.table, &self.schema, &batch)?;
            writer.write(&batch).await.map_err(self.place.failed("writing rows"))?;
        }
        let count = writer.rows();
        let adds = writer.finish().await.map_err(self.place.failed("writing rows"))?;
        Ok((adds.into_iter().map(Action::Add).collect(), count))
    }

    fn write(&self, mode: SaveMode) -> DeltaOperation {
        let partition_by = (!self.partition_by.is_empty()).then(|| self.partition_by.clone());
        DeltaOperation::Write { mode, partition_by, predicate: None }
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    pub(super) fn lake(&self) -> &Lake {
        &self.lake
    }

    pub(super) fn delta(&self) -> &DeltaTable {
        &self.delta
    }

    pub(super) fn state(&self) -> &DeltaTableState {
        self.delta.snapshot().expect("a handle is made of a loaded table")
    }

    /// Columns that identify a row; none for a table that is only appended to.
    pub fn key(&self) -> &[String] {
        &self.key
    }

    pub(super) fn partition_by(&self) -> &[String] {
        &self.partition_by
    }

    /// The table's own store: paths start at its root.
    pub(super) fn data_store(&self) -> Arc<dyn ObjectStore> {
        self.delta.object_store()
    }

    pub(super) fn file_format(&self) -> FileFormat {
        FileFormat {
            store: self.data_store(),
            schema: self.schema(),
            key: self.key.clone(),
            partition_by: self.partition_by.clone(),
            target_bytes: self.lake.sizes().target,
        }
    }

    pub(super) fn merge_columns(&self) -> Result<MergeColumns, LakeError> {
        MergeColumns::new(&self.place.table, &self.schema, &self.key)
    }

    /// The version of the last checkpoint, if there is one.
    pub(super) async fn last_checkpoint(&self) -> Option<u64> {
        self.log().checkpoint_hint().await
    }

    fn log(&self) -> LogReader<'_> {
        LogReader { store: self.data_store(), place: &self.place }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("url", &self.place.url.as_str())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}
