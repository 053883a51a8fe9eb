//! Merging changed rows by key, in memory bounded by the changes.
//!
//! delta-rs's own MERGE holds the touched part of a table in memory. This one
//! walks files one at a time: it finds the rows that changes are about by
//! reading key columns alone, decides which of them really changed, writes
//! changed and new rows to files of their own, and then copies each touched file
//! without the rows that went. Adds, removes and cursors are one commit; until
//! then nothing is visible, and files of a merge that failed are mere litter for
//! [`Table::maintain`] to sweep.
//!
//! Rows that change often thereby gather in small files, and files of rows that
//! do not are seldom copied.

mod changes;
mod matching;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use arrow::array::RecordBatch;
use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use futures::TryStreamExt;

pub(super) use self::changes::MergeColumns;
use self::changes::{ChangeSet, Fate};
use self::matching::{match_file, scan_keys};
use self::rewrite::copy_without;
use super::commit::OnConflict;
use super::files::{DataFile, KeyFilter, data_files};
use super::writer::TableWriter;
use super::{Cursor, LakeError, Table};

/// Tries of an upsert against a table that others write too.
const ATTEMPTS: usize = 5;

/// A set of changed rows to merge by key.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Whole rows; columns missing from a batch are null, unknown columns are an
    /// error. Of several rows with one key the newest wins, then the last
    pub rows: Vec<RecordBatch>,
    /// Keys to delete, key columns only; a key that is also in `rows` is kept
    pub deletes: Option<RecordBatch>,
    /// A stored row whose value here is greater stays (the stale one counts as
    /// unchanged); null is of unknown age and compared by its other columns
    pub newer_by: Option<String>,
    /// Columns not compared when deciding whether a row changed
    pub ignore: Vec<String>,
}

/// What became of the changes: one count per distinct key. A delete of a key that
/// the table does not have counts nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpsertCounts {
    /// Keys the table did not have
    pub inserted: u64,
    /// Keys whose row was replaced
    pub updated: u64,
    /// Keys whose row stayed: equal, or newer than what came
    pub unchanged: u64,
    /// Keys whose row was removed
    pub deleted: u64,
}

/// A merge under way: changes are pushed part by part and become visible in one
/// commit. Dropping it leaves the table as it was.
#[derive(Debug)]
pub struct Merge<'a> {
    table: &'a mut Table,
    columns: MergeColumns,
    /// Takes changed and new rows, and the rest of small files
    writer: TableWriter,
    touched: BTreeMap<String, Touched>,
    counts: UpsertCounts,
    seen: Option<SeenKeys>,
}

/// A file with rows that go.
struct Touched {
    file: DataFile,
    removed: Vec<u64>,
}

impl std::fmt::Debug for Touched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Touched")
            .field("file", &self.file.path)
            .field("removed", &self.removed.len())
            .finish()
    }
}

impl<'a> Merge<'a> {
    pub(super) fn begin(table: &'a mut Table, in_parts: bool) -> Result<Self, LakeError> {
        let columns = table.merge_columns()?;
        Ok(Self {
            writer: TableWriter::new(table.file_format()),
            columns,
            touched: BTreeMap::new(),
            counts: UpsertCounts::default(),
            seen: in_parts.then(SeenKeys::default),
            table,
        })
    }

    /// Takes some of the changes. A key may come in one part only. After an error
    /// the merge cannot go on.
    ///
    /// # Errors
    /// [`LakeError::RepeatedKey`] when a key came before, in an earlier part;
    /// [`LakeError::NullKey`] for a row without key.
    pub async fn push(&mut self, changes: Changes) -> Result<(), LakeError> {
        self.take(&changes).await
    }

    async fn take(&mut self, changes: &Changes) -> Result<(), LakeError> {
        let mut set = ChangeSet::new(&self.columns, changes)?;
        if set.is_empty() {
            return Ok(());
        }
        if let Some(seen) = &mut self.seen
            && !seen.insert_all(set.encoded_keys())
        {
            return Err(LakeError::RepeatedKey { table: self.columns.table.clone() });
        }
        let compared = self.compared(&changes.ignore)?;
        self.find(&mut set, &compared).await?;
        self.count(&set);
        for rows in set.rows_to_write() {
            let rows = rows.map_err(self.table.place().failed("gathering changed rows"))?;
            let written = self.writer.write(&rows).await;
            written.map_err(self.table.place().failed("writing changed rows"))?;
        }
        Ok(())
    }

    /// Takes out every stored row whose key came in no part: what was pushed is then
    /// all there is. Last of all, before the commit.
    pub async fn delete_others(&mut self) -> Result<(), LakeError> {
        let table = &*self.table;
        let Some(seen) = &self.seen else { return Ok(()) };
        for file in data_files(table.state(), table.partition_by()) {
            let mut others = Vec::new();
            let scanned = async {
                let open = file.open(&table.data_store(), &self.columns.schema).await?;
                scan_keys(&open, None, &self.columns, None, |stored| {
                    if !seen.contains(stored.key) {
                        others.push(stored.position);
                    }
                })
                .await
            };
            scanned.await.map_err(table.place().failed("looking for rows that are gone"))?;
            if !others.is_empty() {
                self.counts.deleted += others.len() as u64;
                let touched = self.touched.entry(file.path.to_string());
                touched.or_insert(Touched { file, removed: Vec::new() }).removed.extend(others);
            }
        }
        Ok(())
    }

    /// What has become of the changes so far. A key that came twice in one part counts
    /// once.
    pub fn counts(&self) -> UpsertCounts {
        self.counts
    }

    /// The value of a cursor of the table that is merged into.
    pub fn cursor(&self, app_id: &str) -> Option<i64> {
        self.table.cursor(app_id)
    }

    /// Columns whose difference makes a row changed.
    fn compared(&self, ignore: &[String]) -> Result<Vec<usize>, LakeError> {
        let ignored = ignore.iter().map(|name| self.columns.index_of(name));
        let ignored = ignored.collect::<Result<HashSet<_>, _>>()?;
        let all = 0..self.columns.schema.fields().len();
        Ok(all.filter(|at| !ignored.contains(at) && !self.columns.key.contains(at)).collect())
    }

    /// Settles every change that the table has a row of.
    async fn find(&mut self, set: &mut ChangeSet, compared: &[usize]) -> Result<(), LakeError> {
        let table = &*self.table;
        let keys = set.distinct_keys().map_err(table.place().failed("gathering keys"))?;
        let filter = KeyFilter::new(&keys);
        let files = filter.files(table.state(), table.partition_by());
        for file in files.map_err(table.place().failed("listing its files"))? {
            let matched = async {
                let open = file.open(&table.data_store(), &self.columns.schema).await?;
                match_file(&open, &filter, &self.columns, compared, set).await
            };
            let removed =
                matched.await.map_err(table.place().failed("looking for changed rows"))?;
            if !removed.is_empty() {
                let name = file.path.to_string();
                let touched = self.touched.entry(name);
                touched.or_insert(Touched { file, removed: Vec::new() }).removed.extend(removed);
            }
        }
        Ok(())
    }

    fn count(&mut self, set: &ChangeSet) {
        for change in set.iter() {
            let counts = &mut self.counts;
            let count = match (change.fate, set.is_delete(change)) {
                (Fate::Absent, true) => continue,
                (Fate::Replaced, true) => &mut counts.deleted,
                (Fate::Absent, false) => &mut counts.inserted,
                (Fate::Replaced, false) => &mut counts.updated,
                (Fate::Unchanged, _) => &mut counts.unchanged,
            };
            *count += 1;
        }
    }

    /// Copies the touched files without the rows that went and commits everything,
    /// with the cursors. Nothing changed and no cursor that moves: no commit.
    ///
    /// # Errors
    /// [`LakeError::Conflict`] when someone else wrote the table meanwhile; nothing
    /// is visible then.
    pub async fn commit(mut self, cursors: &[Cursor]) -> Result<UpsertCounts, LakeError> {
        let mut actions = Vec::new();
        for mut touched in std::mem::take(&mut self.touched).into_values() {
            touched.removed.sort_unstable();
            actions.push(touched.file.remove(true));
            actions.extend(self.copy(&touched).await?);
        }
        let adds = self.writer.finish().await;
        let adds = adds.map_err(self.table.place().failed("writing changed rows"))?;
        actions.extend(adds.into_iter().map(Action::Add));
        let operation = DeltaOperation::Merge {
            predicate: None,
            merge_predicate: None,
            matched_predicates: Vec::new(),
            not_matched_predicates: Vec::new(),
            not_matched_by_source_predicates: Vec::new(),
        };
        self.table.commit(actions, operation, cursors, OnConflict::Fail).await?;
        Ok(self.counts)
    }

    /// Copies what stays of a file: into the file of changes if it is little, else
    /// into a file of its own, whose adds are returned.
    async fn copy(&mut self, touched: &Touched) -> Result<Vec<Action>, LakeError> {
        let place = self.table.place().clone();
        let Touched { file, removed } = touched;
        if file.rows() == Some(removed.len() as u64) {
            return Ok(Vec::new());
        }
        let copied = async {
            let open = file.open(&self.table.data_store(), &self.columns.schema).await?;
            if file.size <= self.table.lake().sizes().gather_below {
                copy_without(&open, removed, &mut self.writer).await?;
                return Ok(Vec::new());
            }
            let mut writer = TableWriter::new(self.table.file_format());
            copy_without(&open, removed, &mut writer).await?;
            writer.finish().await
        };
        let adds = copied.await.map_err(place.failed("copying rows that stay"))?;
        Ok(adds.into_iter().map(Action::Add).collect())
    }
}

/// Upserts in one part, again from the start when another writer came first.
pub(super) async fn upsert(
    table: &mut Table,
    changes: &Changes,
    cursors: &[Cursor],
) -> Result<UpsertCounts, LakeError> {
    let mut attempt = 1;
    loop {
        let mut merge = Merge::begin(table, false)?;
        merge.take(changes).await?;
        match merge.commit(cursors).await {
            Err(LakeError::Conflict { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
                table.refresh().await?;
            }
            settled => return settled,
        }
    }
}

/// The stored rows with these keys, all columns.
pub(super) async fn lookup(
    table: &Table,
    keys: &RecordBatch,
) -> Result<Vec<RecordBatch>, LakeError> {
    let columns = table.merge_columns()?;
    let asked = Changes { deletes: Some(keys.clone()), ..Changes::default() };
    let set = ChangeSet::new(&columns, &asked)?;
    let mut found = Vec::new();
    if set.is_empty() {
        return Ok(found);
    }
    let keys = set.distinct_keys().map_err(table.place().failed("gathering keys"))?;
    let filter = KeyFilter::new(&keys);
    let files = filter.files(table.state(), table.partition_by());
    for file in files.map_err(table.place().failed("listing its files"))? {
        let rows = async {
            let open = file.open(&table.data_store(), &columns.schema).await?;
            let mut positions = Vec::new();
            scan_keys(&open, Some(&filter), &columns, None, |stored| {
                if set.find(stored.key).is_some() {
                    positions.push(stored.position);
                }
            })
            .await?;
            if positions.is_empty() {
                return Ok(Vec::new());
            }
            open.rows_at(&open.all_columns(), &positions)?.try_collect::<Vec<_>>().await
        };
        found.extend(rows.await.map_err(table.place().failed("looking up rows"))?);
    }
    Ok(found)
}

/// Keys that came in earlier parts, as 128 bits each: two keys that share them by
/// chance are less likely than a fault of the memory that holds them.
#[derive(Debug, Default)]
struct SeenKeys {
    hashers: (RandomState, RandomState),
    keys: HashSet<(u64, u64)>,
}

impl SeenKeys {
    /// Adds keys; false if one was there before.
    fn insert_all<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) -> bool {
        let (first, second) = &self.hashers;
        let mut all_new = true;
        for key in keys {
            all_new &= self.keys.insert((first.hash_one(key), second.hash_one(key)));
        }
        all_new
    }

    /// Whether a key came before.
    fn contains(&self, key: &[u8]) -> bool {
        let (first, second) = &self.hashers;
        self.keys.contains(&(first.hash_one(key), second.hash_one(key)))
    }
}
