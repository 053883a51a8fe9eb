//! One part of the changes: distinct keys, the newest row of each, and what
//! becomes of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use super::Changes;
use crate::lake::LakeError;
use crate::lake::reader::{BATCH_ROWS, indices_of};
use crate::lake::schema::{conform, unknown_column};

/// The columns of a table that matter to a merge, by index.
#[derive(Debug, Clone)]
pub(in crate::lake) struct MergeColumns {
    /// SQL name of the table, for errors
    pub(in crate::lake) table: String,
    pub(in crate::lake) schema: SchemaRef,
    pub(in crate::lake) key: Vec<usize>,
}

impl MergeColumns {
    pub(in crate::lake) fn new(
        table: &str,
        schema: &SchemaRef,
        key: &[String],
    ) -> Result<Self, LakeError> {
        if key.is_empty() {
            return Err(LakeError::NoKey { table: table.to_owned() });
        }
        Ok(Self { table: table.to_owned(), schema: schema.clone(), key: indices_of(schema, key) })
    }

    pub(in crate::lake) fn index_of(&self, column: &str) -> Result<usize, LakeError> {
        let unknown = |_| unknown_column(&self.table, column, &self.schema);
        self.schema.index_of(column).map_err(unknown)
    }

    pub(in crate::lake) fn key_schema(&self) -> SchemaRef {
        self.schema.project(&self.key).expect("indices of this schema").into()
    }

    /// Key columns of a batch, by name.
    ///
    /// # Errors
    /// [`LakeError::NullKey`] for a null in one; one that is missing is all null.
    pub(in crate::lake) fn keys_of(&self, batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
        let key_schema = self.key_schema();
        for field in key_schema.fields() {
            let column = batch.column_by_name(field.name());
            let nulls = column.map_or(batch.num_rows(), |column| column.logical_null_count());
            if nulls > 0 {
                return Err(LakeError::NullKey {
                    table: self.table.clone(),
                    column: field.name().clone(),
                    rows: nulls as u64,
                });
            }
        }
        let indices: Vec<_> = key_schema
            .fields()
            .iter()
            .filter_map(|field| batch.schema_ref().index_of(field.name()).ok())
            .collect();
        let keys = batch.project(&indices).expect("indices of this batch");
        conform(&self.table, &key_schema, &keys)
    }
}

/// Encodes columns into bytes that compare as the values do.
#[derive(Debug)]
pub(in crate::lake) struct Encoder {
    converter: RowConverter,
}

impl Encoder {
    pub(in crate::lake) fn new(schema: &Schema, columns: &[usize]) -> Result<Self, ArrowError> {
        let field = |index: &usize| SortField::new(schema.field(*index).data_type().clone());
        Ok(Self { converter: RowConverter::new(columns.iter().map(field).collect())? })
    }

    pub(in crate::lake) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
        self.converter.convert_columns(columns)
    }
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The table does not have it
    Absent,
    /// The stored row stays
    Unchanged,
    /// The stored row goes; the new one, if this is not a delete, is written
    Replaced,
}

/// One distinct key of the changes.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Batch and row of the newest change with this key
    at: (usize, usize),
    pub(super) fate: Fate,
}

/// Distinct changes, found by key.
pub(super) struct ChangeSet {
    /// Whole rows, in the table's columns
    rows: Vec<RecordBatch>,
    /// Keys of `rows`, then those of the deletes
    keys: Vec<RecordBatch>,
    newer_by: Option<usize>,
    /// Encoded `newer_by` of `rows`
    ages: Vec<Rows>,
    changes: Vec<Change>,
    by_key: HashMap<Box<[u8]>, u32>,
}

impl ChangeSet {
    pub(super) fn new(columns: &MergeColumns, changes: &Changes) -> Result<Self, LakeError> {
        let newer_by =
            changes.newer_by.as_deref().map(|name| columns.index_of(name)).transpose()?;
        let rows = changes
            .rows
            .iter()
            .filter(|batch| batch.num_rows() > 0)
            .map(|batch| conform(&columns.table, &columns.schema, batch))
            .collect::<Result<Vec<_>, _>>()?;
        let mut keys =
            rows.iter().map(|batch| columns.keys_of(batch)).collect::<Result<Vec<_>, _>>()?;
        if let Some(deletes) = &changes.deletes {
            keys.push(columns.keys_of(deletes)?);
        }
        let mut set = Self {
            rows,
            keys,
            newer_by,
            ages: Vec::new(),
            changes: Vec::new(),
            by_key: HashMap::new(),
        };
        set.index(columns).expect("keys and times have types that can be ordered");
        Ok(set)
    }

    /// Finds the newest row of each key: the later one where both are as new.
    fn index(&mut self, columns: &MergeColumns) -> Result<(), ArrowError> {
        if let Some(newer_by) = self.newer_by {
            let encoder = Encoder::new(&columns.schema, &[newer_by])?;
            for batch in &self.rows {
                self.ages.push(encoder.encode(&[batch.column(newer_by).clone()])?);
            }
        }
        let encoder = Encoder::new(&columns.schema, &columns.key)?;
        for batch in 0..self.keys.len() {
            let keys = encoder.encode(self.keys[batch].columns())?;
            for (row, key) in keys.iter().enumerate() {
                self.insert(key.as_ref().into(), (batch, row));
            }
        }
        Ok(())
    }

    fn insert(&mut self, key: Box<[u8]>, at: (usize, usize)) {
        let next = u32::try_from(self.changes.len()).expect("fewer than 2^32 changes at once");
        match self.by_key.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(next);
                self.changes.push(Change { at, fate: Fate::Absent });
            }
            MapEntry::Occupied(occupied) => {
                let is_delete = at.0 >= self.rows.len();
                let known = &mut self.changes[*occupied.get() as usize];
                let older = self.newer_by.is_some()
                    && !is_delete
                    && self.ages[at.0].row(at.1) < self.ages[known.at.0].row(known.at.1);
                if !is_delete && !older {
                    known.at = at;
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn newer_by(&self) -> Option<usize> {
        self.newer_by
    }

    /// The change of a stored row, by its encoded key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(super) fn change(&self, id: u32) -> &Change {
        &self.changes[id as usize]
    }

    pub(super) fn change_mut(&mut self, id: u32) -> &mut Change {
        &mut self.changes[id as usize]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    pub(super) fn is_delete(&self, change: &Change) -> bool {
        change.at.0 >= self.rows.len()
    }

    /// The encoded `newer_by` of a change; none for a delete or a null.
    pub(super) fn age(&self, change: &Change) -> Option<&[u8]> {
        let (batch, row) = change.at;
        let stored = self.rows.get(batch)?.column(self.newer_by?);
        stored.is_valid(row).then(|| self.ages[batch].row(row).data())
    }

    /// Encoded keys.
    pub(super) fn encoded_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.by_key.keys().map(AsRef::as_ref)
    }

    /// Key columns, one row per distinct key.
    pub(super) fn distinct_keys(&self) -> Result<RecordBatch, ArrowError> {
        let batches: Vec<_> = self.keys.iter().collect();
        let at: Vec<_> = self.changes.iter().map(|change| change.at).collect();
        interleave_record_batch(&batches, &at)
    }

    /// Columns of the rows of these changes, in their order. None is a delete.
    pub(super) fn rows_of(
        &self,
        changes: &[u32],
        columns: &[usize],
    ) -> Result<RecordBatch, ArrowError> {
        let at: Vec<_> = changes.iter().map(|id| self.change(*id).at).collect();
        let batches =
            self.rows.iter().map(|batch| batch.project(columns)).collect::<Result<Vec<_>, _>>()?;
        interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &at)
    }

    /// The rows to write, sorted by key, in batches.
    pub(super) fn rows_to_write(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        let mut ids: Vec<(&[u8], u32)> = self
            .by_key
            .iter()
            .map(|(key, id)| (key.as_ref(), *id))
            .filter(|(_, id)| {
                let change = self.change(*id);
                change.fate != Fate::Unchanged && !self.is_delete(change)
            })
            .collect();
        ids.sort_unstable();
        let ids: Vec<u32> = ids.into_iter().map(|(_, id)| id).collect();
        let chunks: Vec<Vec<u32>> = ids.chunks(BATCH_ROWS).map(<[u32]>::to_vec).collect();
        chunks.into_iter().map(|chunk| {
            let columns: Vec<_> = (0..self.rows[0].num_columns()).collect();
            self.rows_of(&chunk, &columns)
        })
    }
}
