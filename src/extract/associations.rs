//! Associations between two object types, into `hubspot.associations`.
//!
//! The table is derived from the mirror of the first type: it records, as its
//! own cursor per pair, the mirror stamp (`_synced_at`) up to which it has
//! read, and at each sync reads the associations of every record stored since.
//! After a full sync of the mirror it reads those of all live records. A cut
//! between the mirror's commit and this one loses nothing: the stamp stays.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::prelude::{Expr, col, lit, not};
use datafusion::scalar::ScalarValue;
use tokio_util::sync::CancellationToken;

use super::error::{ExtractError, reading, storing};
use super::mirror::{SYNCED, listed_at, mirror_table, timestamp};
use super::reference::KeySet;
use super::stored;
use crate::hubspot::{Association, Client};
use crate::lake::{Changes, Cursor, Lake, Table, TableName, TableSpec};
use crate::objects::{ObjectType, RecordId};

/// The table's name under `hubspot`.
pub const ASSOCIATIONS: &str = "associations";

const KEY: [&str; 6] = ["from_type", "to_type", "from_id", "to_id", "category", "type_id"];
/// Ids a batch read takes; the cap is enforced since 10 February 2025.
const MAX_IDS: usize = 1_000;
/// Record ids read from the mirror before their associations are committed.
const COMMIT_IDS: usize = 50_000;

/// What every step of one pair's sync needs.
struct Pair<'a> {
    client: &'a Client,
    from: &'a ObjectType,
    to: &'a ObjectType,
    stamp: i64,
}

/// Reads the associations of records of `from` that were stored since the last
/// sync of this pair; calls made are returned.
///
/// # Errors
/// A HubSpot or lake failure; pairs committed before it stay.
pub async fn sync_associations(
    client: &Client,
    lake: &Lake,
    from: &ObjectType,
    to: &ObjectType,
    stop: &CancellationToken,
) -> Result<u64, ExtractError> {
    let name = mirror_table(from);
    let Some(mirror) = lake.table(&name).await.map_err(storing(&name))? else { return Ok(0) };
    let spec = table_spec();
    let mut table = lake.open_or_create(&spec).await.map_err(storing(&spec.name))?;
    let pair = Pair { client, from, to, stamp: chrono::Utc::now().timestamp_micros() };
    let targets = cursors(&mirror, from, to);
    let applied = |cursor: &Cursor| table.cursor(&cursor.app_id).unwrap_or(0);
    let is_relisted = targets.iter().any(|c| c.app_id.ends_with(".full") && applied(c) < c.value);
    let since = if is_relisted { 0 } else { targets.first().map_or(0, applied) };
    let gone = ids_stored_since(&mirror, since, is_gone()).await?;
    for part in gone.chunks(COMMIT_IDS) {
        replace(&pair, &mut table, part, &[]).await?;
    }
    let live = ids_stored_since(&mirror, since, not(is_gone())).await?;
    let mut calls = 0;
    for part in live.chunks(COMMIT_IDS) {
        let found = read_all(&pair, part, &mut calls).await?;
        replace(&pair, &mut table, part, &found).await?;
        if stop.is_cancelled() {
            return Ok(calls);
        }
    }
    table.commit_cursors(&targets).await.map_err(storing(&spec.name))?;
    Ok(calls)
}

/// Whether the associations of a pair are as complete and as new as the mirror
/// they hang on.
///
/// # Errors
/// The lake cannot be read.
pub async fn is_associated(
    lake: &Lake,
    from: &ObjectType,
    to: &ObjectType,
) -> Result<bool, ExtractError> {
    let name = mirror_table(from);
    let spec = table_spec();
    let mirror = lake.table(&name).await.map_err(storing(&name))?;
    let table = lake.table(&spec.name).await.map_err(storing(&spec.name))?;
    let (Some(mirror), Some(table)) = (mirror, table) else { return Ok(false) };
    let targets = cursors(&mirror, from, to);
    Ok(targets.iter().all(|target| table.cursor(&target.app_id) >= Some(target.value)))
}

/// What the pair has applied once this sync ends: the mirror's stamp, and the
/// full sync it has followed.
fn cursors(mirror: &Table, from: &ObjectType, to: &ObjectType) -> Vec<Cursor> {
    let pair = format!("hublake.associations.{from}.{to}");
    let cursor = |suffix: &str, value: Option<i64>| {
        Some(Cursor { app_id: format!("{pair}.{suffix}"), value: value? })
    };
    let applied = [cursor("synced", mirror.cursor(SYNCED)), cursor("full", listed_at(mirror))];
    applied.into_iter().flatten().collect()
}

/// Records that HubSpot associates with nothing any more.
fn is_gone() -> Expr {
    col("archived").is_true().or(col("merged_into").is_not_null())
}

/// Ids of records stored after `since` (µs stamp) for which `which` holds,
/// ascending.
async fn ids_stored_since(
    mirror: &Table,
    since: i64,
    which: Expr,
) -> Result<Vec<i64>, ExtractError> {
    let later = ScalarValue::TimestampMicrosecond(Some(since), Some("UTC".into()));
    let filter = col("_synced_at").gt(lit(later)).and(which);
    let Some(stored) = stored::read(mirror, Some(&["id"]), Some(filter)).await? else {
        return Ok(Vec::new());
    };
    let mut ids = stored.column(0).as_primitive::<Int64Type>().values().to_vec();
    ids.sort_unstable();
    Ok(ids)
}

/// What HubSpot says of these records now.
async fn read_all(
    pair: &Pair<'_>,
    ids: &[i64],
    calls: &mut u64,
) -> Result<Vec<Association>, ExtractError> {
    let mut found = Vec::new();
    for batch in ids.chunks(MAX_IDS) {
        let ids: Vec<RecordId> = batch.iter().copied().map(RecordId).collect();
        let read = pair.client.associations(pair.from, pair.to, &ids).await;
        found.extend(read.map_err(reading(ASSOCIATIONS))?);
        *calls += 1;
    }
    Ok(found)
}

/// Replaces the stored associations of these records.
async fn replace(
    pair: &Pair<'_>,
    table: &mut Table,
    ids: &[i64],
    found: &[Association],
) -> Result<(), ExtractError> {
    let rows = association_rows(pair, found)?;
    let deletes = dissolved(pair, table, ids, &rows).await?;
    let name = table.name().clone();
    let ignore = vec!["_synced_at".to_owned()];
    let changes = Changes { rows: vec![rows], deletes, newer_by: None, ignore };
    table.upsert(changes, &[]).await.map_err(storing(&name))?;
    Ok(())
}

fn association_rows(pair: &Pair<'_>, found: &[Association]) -> Result<RecordBatch, ExtractError> {
    let text = |value: &str| Arc::new(StringArray::from(vec![value; found.len()])) as ArrayRef;
    let ids = |get: fn(&Association) -> i64| {
        Arc::new(found.iter().map(|a| Some(get(a))).collect::<Int64Array>())
    };
    let categories: StringArray =
        found.iter().map(|a| Some(a.association.category.as_str())).collect();
    let labels: StringArray = found.iter().map(|a| a.association.label.as_deref()).collect();
    let stamps =
        TimestampMicrosecondArray::from_value(pair.stamp, found.len()).with_timezone("UTC");
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            text(pair.from.name()),
            text(pair.to.name()),
            ids(|a| a.from.0),
            ids(|a| a.to.0),
            Arc::new(categories),
            ids(|a| a.association.type_id),
            Arc::new(labels),
            Arc::new(stamps),
        ],
    )?)
}

/// Keys of stored associations of these records that HubSpot no longer has.
async fn dissolved(
    pair: &Pair<'_>,
    table: &Table,
    ids: &[i64],
    fresh: &RecordBatch,
) -> Result<Option<RecordBatch>, ExtractError> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(None) };
    let filter = col("from_type")
        .eq(lit(pair.from.name()))
        .and(col("to_type").eq(lit(pair.to.name())))
        .and(col("from_id").between(lit(*first), lit(*last)));
    let asked: HashSet<i64> = ids.iter().copied().collect();
    let of_these = |batch: &RecordBatch| -> BooleanArray {
        let from_ids = batch.column(2).as_primitive::<Int64Type>();
        from_ids.values().iter().map(|id| Some(asked.contains(id))).collect()
    };
    let stored = stored::read_where(table, Some(&KEY), Some(filter), of_these).await?;
    let Some(stored) = stored else { return Ok(None) };
    let gone = KeySet::new(fresh, &KEY)?.missing_from(&stored, &KEY)?;
    let gone: UInt32Array = gone.into_iter().map(|row| row as u32).collect();
    if gone.is_empty() { Ok(None) } else { Ok(Some(take_record_batch(&stored, &gone)?)) }
}

fn table_spec() -> TableSpec {
    TableSpec {
        name: TableName::hubspot(ASSOCIATIONS),
        schema: schema(),
        key: KEY.iter().map(|column| (*column).to_owned()).collect(),
        partition_by: vec!["from_type".to_owned(), "to_type".to_owned()],
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("from_type", DataType::Utf8, true),
        Field::new("to_type", DataType::Utf8, true),
        Field::new("from_id", DataType::Int64, true),
        Field::new("to_id", DataType::Int64, true),
        Field::new("category", DataType::Utf8, true),
        Field::new("type_id", DataType::Int64, true),
        Field::new("label", DataType::Utf8, true),
        Field::new("_synced_at", timestamp(), true),
    ]))
}
