//! C: what HubSpot holds, from the mirror, each record under every key that
//! finds it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array,
    new_null_array,
};
use arrow::compute::{is_not_null, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::execution::DiskManager;
use datafusion::prelude::col;
use futures::StreamExt;

use super::spill::{Bucket, Buckets};
use super::wanted::{Aliases, hashes};
use crate::lake::Table;
use crate::load::columns::held_column;
use crate::load::config::MatchKey;
use crate::load::error::{LoadError, While};
use crate::load::mirror::column_name;
use crate::load::target::Target;

const DOING: &str = "reading the mirror";

/// Where a bucket of held records keeps its columns.
pub(crate) const KEY: usize = 0;
pub(crate) const ID: usize = 1;
/// The record was found by an additional email, or has some: several rows may
/// mean it.
pub(crate) const SHARED: usize = 2;
/// Archived, or vanished from HubSpot.
pub(crate) const GONE: usize = 3;
/// µs since 1970.
pub(crate) const UPDATED_AT: usize = 4;
pub(crate) const FIRST_PROPERTY: usize = 5;

/// Every merged-away id of the mirror with the record that holds it now;
/// chains are followed. Takes 16 bytes of memory and more per merge.
pub(crate) async fn aliases(mirror: &Table) -> Result<Aliases, LoadError> {
    if mirror.schema().index_of("merged_into").is_err() {
        return Ok(Aliases::new());
    }
    let filter = col("merged_into").is_not_null();
    let mut rows = mirror.scan(Some(&["id", "merged_into"]), Some(filter)).await.during(DOING)?;
    let mut direct = HashMap::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.during(DOING)?;
        let ids: &Int64Array = batch.column(0).as_primitive();
        let into: &Int64Array = batch.column(1).as_primitive();
        direct.extend(ids.iter().zip(into).filter_map(|(id, into)| Some((id?, into?))));
    }
    Ok(direct.keys().map(|id| (*id, last_holder(*id, &direct))).collect())
}

/// Follows merges to their end; a ring, which HubSpot cannot have, ends too.
fn last_holder(id: i64, direct: &HashMap<i64, i64>) -> i64 {
    let mut at = id;
    for _ in 0..direct.len() {
        match direct.get(&at) {
            Some(next) if *next != id => at = *next,
            _ => break,
        }
    }
    at
}

/// Parts the mirror's records by key; a record without one is left out.
pub(crate) async fn part(
    mirror: &Table,
    target: &Target,
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<Vec<Bucket>, LoadError> {
    let reader = Reader::new(&mirror.schema(), target);
    let columns: Vec<&str> = reader.columns.iter().map(String::as_str).collect();
    let mut rows = mirror.scan(Some(&columns), None).await.during(DOING)?;
    let mut buckets = Buckets::new(reader.schema.clone(), count, disk);
    while let Some(batch) = rows.next().await {
        let batch = reader.keyed(&batch.during(DOING)?)?;
        let hashes = hashes(batch.column(KEY));
        buckets.push(batch, &hashes)?;
    }
    buckets.finish()
}

struct Reader<'a> {
    target: &'a Target,
    /// The columns to scan, those the mirror has.
    columns: Vec<String>,
    schema: SchemaRef,
}

impl<'a> Reader<'a> {
    fn new(mirror: &SchemaRef, target: &'a Target) -> Self {
        let mut columns: Vec<String> =
            ["id", "updated_at", "archived", "_vanished_at", "merged_into", "_rescued"]
                .map(String::from)
                .to_vec();
        match &target.key {
            MatchKey::RecordId => {}
            MatchKey::Email => columns.extend(["email".into(), "hs_additional_emails".into()]),
            MatchKey::Unique(property) => columns.push(column_name(property)),
        }
        columns.extend(target.properties.iter().map(|property| property.held_column.clone()));
        columns.sort_unstable();
        columns.dedup();
        columns.retain(|column| mirror.index_of(column).is_ok());
        let mut fields = vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("id", DataType::Int64, false),
            Field::new("shared", DataType::Boolean, false),
            Field::new("gone", DataType::Boolean, false),
            Field::new("updated_at", DataType::Int64, true),
        ];
        fields.extend(
            target
                .properties
                .iter()
                .map(|property| Field::new(&property.name, DataType::Utf8, true)),
        );
        Self { target, columns, schema: Arc::new(Schema::new(fields)) }
    }

    fn keyed(&self, batch: &RecordBatch) -> Result<RecordBatch, LoadError> {
        let batch = live(batch)?;
        let keys = self.keys(&batch)?;
        let rows = UInt32Array::from_iter_values(keys.iter().map(|(row, ..)| *row));
        let texts: StringArray = keys.iter().map(|(_, key, _)| Some(key)).collect();
        let shared: BooleanArray = keys.iter().map(|(.., shared)| Some(*shared)).collect();
        let batch = take_record_batch(&batch, &rows).during(DOING)?;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(texts),
            column(&batch, "id", &DataType::Int64),
            Arc::new(shared),
            Arc::new(gone(&batch)),
            updated_at(&batch),
        ];
        for property in &self.target.properties {
            let held = column(&batch, &property.held_column, &DataType::Utf8);
            let held = held_column(&held, &property.form).during(DOING)?;
            columns.push(Arc::new(rescued(&batch, &property.name, held, |text| {
                property.form.held(text).into_owned()
            })));
        }
        RecordBatch::try_new(self.schema.clone(), columns).during(DOING)
    }

    /// (row, key, whether several keys find the row), one entry per key.
    fn keys(&self, batch: &RecordBatch) -> Result<Vec<(u32, String, bool)>, LoadError> {
        let rows = 0..batch.num_rows();
        if self.target.key == MatchKey::Email {
            let (main, more) = (text(batch, "email")?, text(batch, "hs_additional_emails")?);
            return Ok(rows
                .flat_map(|row| emails(row, value(&main, row), value(&more, row)))
                .collect());
        }
        let keys = match &self.target.key {
            MatchKey::Unique(property) => {
                let held = column(batch, &column_name(property), &DataType::Utf8);
                held_column(&held, &self.target.key_form).during(DOING)?
            }
            MatchKey::RecordId | MatchKey::Email => text(batch, "id")?,
        };
        Ok(rows
            .filter_map(|row| Some((row as u32, value(&keys, row)?.to_owned(), false)))
            .collect())
    }
}

/// Merged-away rows are aliases, not records.
fn live(batch: &RecordBatch) -> Result<RecordBatch, LoadError> {
    match batch.column_by_name("merged_into") {
        Some(merged) if merged.null_count() < merged.len() => {
            let live = arrow::compute::not(&is_not_null(merged).during(DOING)?).during(DOING)?;
            arrow::compute::filter_record_batch(batch, &live).during(DOING)
        }
        _ => Ok(batch.clone()),
    }
}

/// A contact's addresses, lower-cased, each a key of its own.
fn emails(row: usize, main: Option<&str>, more: Option<&str>) -> Vec<(u32, String, bool)> {
    let more: Vec<&str> =
        more.unwrap_or("").split(';').map(str::trim).filter(|email| !email.is_empty()).collect();
    let shared = !more.is_empty();
    let mut keys: Vec<String> = main.into_iter().chain(more).map(str::to_lowercase).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(|key| (row as u32, key, shared)).collect()
}

/// A column of the batch, or nulls when the mirror has none.
fn column(batch: &RecordBatch, name: &str, data_type: &DataType) -> ArrayRef {
    batch
        .column_by_name(name)
        .cloned()
        .unwrap_or_else(|| new_null_array(data_type, batch.num_rows()))
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, LoadError> {
    crate::load::columns::texts(&column(batch, name, &DataType::Utf8)).during(DOING)
}

fn value(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row)).filter(|text| !text.is_empty())
}

fn gone(batch: &RecordBatch) -> BooleanArray {
    let archived = batch.column_by_name("archived").map(|column| column.as_boolean().clone());
    let vanished = batch.column_by_name("_vanished_at");
    let is_gone = |row: usize| {
        archived.as_ref().is_some_and(|flags| flags.is_valid(row) && flags.value(row))
            || vanished.is_some_and(|times| times.is_valid(row))
    };
    (0..batch.num_rows()).map(|row| Some(is_gone(row))).collect()
}

fn updated_at(batch: &RecordBatch) -> ArrayRef {
    match batch.column_by_name("updated_at") {
        Some(times) => Arc::new(
            times.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>(),
        ),
        None => new_null_array(&DataType::Int64, batch.num_rows()),
    }
}

/// Puts the raw text back where the mirror's column could not hold a value
/// exactly.
fn rescued(
    batch: &RecordBatch,
    name: &str,
    held: StringArray,
    form: impl Fn(&str) -> String,
) -> StringArray {
    let Some(maps) = batch.column_by_name("_rescued").and_then(|column| column.as_map_opt()) else {
        return held;
    };
    let names = maps.keys().as_string::<i32>();
    if !names.iter().any(|key| key == Some(name)) {
        return held;
    }
    let values = maps.values().as_string::<i32>();
    let bounds = maps.value_offsets();
    let raw = |row: usize| {
        let mut entries = bounds[row] as usize..bounds[row + 1] as usize;
        let at = entries.find(|at| maps.is_valid(row) && names.value(*at) == name)?;
        values.is_valid(at).then(|| form(values.value(at)))
    };
    (0..held.len())
        .map(|row| raw(row).or_else(|| held.is_valid(row).then(|| held.value(row).to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_chains_are_followed_and_rings_end() {
        let chain = HashMap::from([(1, 2), (2, 3)]);
        assert_eq!((last_holder(1, &chain), last_holder(2, &chain)), (3, 3));
        let ring = HashMap::from([(1, 2), (2, 1)]);
        assert!([1, 2].contains(&last_holder(1, &ring)));
    }

    #[test]
    fn every_address_of_a_contact_is_a_key() {
        let keys = emails(4, Some("Ann@x.de"), Some("a.b@x.de;ANN@x.de;"));
        assert_eq!(keys, [(4, "a.b@x.de".into(), true), (4, "ann@x.de".into(), true)]);
        assert_eq!(emails(0, Some("ann@x.de"), None), [(0, "ann@x.de".into(), false)]);
    }
}
