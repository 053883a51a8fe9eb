//! The model's rows find their records: what comes out is parted by record.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, Int64Builder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::execution::{DiskManager, SendableRecordBatchStream};
use tokio::task::{JoinSet, spawn_blocking};

use super::decide::Want;
use crate::lake::Table;
use crate::load::columns::texts;
use crate::load::config::{Nulls, Policy};
use crate::load::error::{LoadError, While};
use crate::load::form::Form;
use crate::load::plan::spill::{Bucket, Buckets};
use crate::load::plan::wanted::Aliases;
use crate::load::plan::{held, wanted};
use crate::load::policy::Rule;
use crate::load::target::{Target, TargetProperty};

const DOING: &str = "matching rows with records";

/// The record exists in no mirror, and the write-back creates it.
pub(crate) const PENDING: &str = "PENDING";

/// The model's rows with their records.
pub(crate) struct Resolved {
    /// Parted by record.
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) total: u64,
}

/// A row as a bucket gives it back.
pub(crate) enum Row {
    Found(i64, Want),
    /// Why no record is known: its key, a code, a sentence.
    Lost(String, String, String),
}

/// A target that matches as another does and carries these columns of the
/// model instead of properties.
pub(crate) fn carrying(target: &Target, columns: &[String]) -> Target {
    let carried = columns.iter().enumerate().map(|(at, column)| TargetProperty {
        name: format!("column {at}"),
        column: column.clone(),
        // No mirror has a column of this name.
        held_column: format!("column {at}"),
        form: Form::text(),
        rule: Rule { policy: Policy::Overwrite, adopt: false, order: Form::text().order() },
        nulls: Nulls::Skip,
        refusal: None,
    });
    Target { properties: carried.collect(), ..target.clone() }
}

/// Matches every row with its record.
pub(crate) async fn resolve(
    rows: SendableRecordBatchStream,
    target: Arc<Target>,
    mirror: &Table,
    aliases: &Aliases,
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<Resolved, LoadError> {
    let mut reading = JoinSet::new();
    let (table, of, at) = (mirror.clone(), target.clone(), disk.clone());
    reading.spawn(async move { held::part(&table, &of, count, at).await });
    let (wants, total) = wanted::part(rows, &target, aliases, count, disk.clone()).await?;
    let holds = reading.join_next().await.expect("one task was spawned").during(DOING)??;
    let mut buckets = Buckets::new(schema(target.properties.len()), count, disk);
    for (wants, holds) in wants.into_iter().zip(holds) {
        let target = target.clone();
        let join = move || join(&target, &wants.read()?, &holds.read()?);
        let (batch, hashes) = spawn_blocking(join).await.during(DOING)??;
        buckets.push(batch, &hashes)?;
    }
    Ok(Resolved { buckets: buckets.finish()?, total })
}

/// Columns: the record, null where none is known; the key as given; why there
/// is no record, as a code and a sentence; then the part's columns as texts.
fn schema(columns: usize) -> SchemaRef {
    let text = |name: String| Field::new(name, DataType::Utf8, true);
    let mut fields = vec![
        Field::new("record", DataType::Int64, true),
        text("given".into()),
        text("code".into()),
        text("sentence".into()),
    ];
    fields.extend((0..columns).map(|at| text(format!("column {at}"))));
    Arc::new(Schema::new(fields))
}

fn join(
    target: &Target,
    wants: &RecordBatch,
    holds: &RecordBatch,
) -> Result<(RecordBatch, Vec<u64>), LoadError> {
    let records = records_by_key(holds);
    let keys: &StringArray = wants.column(wanted::KEY).as_string();
    let given: &StringArray = wants.column(wanted::GIVEN).as_string();
    let mut ids = Int64Builder::new();
    let (mut codes, mut sentences) = (StringBuilder::new(), StringBuilder::new());
    let mut hashes = Vec::with_capacity(keys.len());
    for row in 0..keys.len() {
        let given = given.is_valid(row).then(|| given.value(row));
        let (id, fault) = match keys.is_valid(row).then(|| records.get(keys.value(row))) {
            None => (None, Some(wanted::unusable(given, target))),
            Some(found) => record(target, found.copied()),
        };
        ids.append_option(id);
        codes.append_option(fault.as_ref().map(|(code, _)| *code));
        sentences.append_option(fault.as_ref().map(|(_, sentence)| sentence));
        hashes.push(id.unwrap_or(0) as u64);
    }
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(ids.finish()),
        Arc::new(given.clone()),
        Arc::new(codes.finish()),
        Arc::new(sentences.finish()),
    ];
    for at in 0..target.properties.len() {
        let column = wants.column(wanted::FIRST_PROPERTY + at);
        columns.push(Arc::new(texts(column).during(DOING)?));
    }
    let batch = RecordBatch::try_new(schema(target.properties.len()), columns).during(DOING)?;
    Ok((batch, hashes))
}

/// The record of a key, or why there is none.
fn record(
    target: &Target,
    found: Option<(i64, bool)>,
) -> (Option<i64>, Option<(&'static str, String)>) {
    let creates = target.mode.creates();
    match found {
        Some((id, false)) => (Some(id), None),
        Some((_, true)) if !creates => {
            let sentence = "The record is archived or gone from HubSpot".to_owned();
            (None, Some(("OBJECT_ARCHIVED", sentence)))
        }
        _ if creates => {
            let sentence = "Its record is to be created first: the next run goes on".to_owned();
            (None, Some((PENDING, sentence)))
        }
        _ => {
            let sentence = format!("No record of `{}` has this key", target.object);
            (None, Some(("OBJECT_NOT_FOUND", sentence)))
        }
    }
}

/// The record of every key and whether it is gone; a live one before another.
fn records_by_key(holds: &RecordBatch) -> HashMap<&str, (i64, bool)> {
    let keys: &StringArray = holds.column(held::KEY).as_string();
    let ids: &Int64Array = holds.column(held::ID).as_primitive::<Int64Type>();
    let gone = holds.column(held::GONE).as_boolean();
    let mut records = HashMap::with_capacity(keys.len());
    for (row, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        let record = (ids.value(row), gone.value(row));
        let known = records.entry(key).or_insert(record);
        if known.1 && !record.1 {
            *known = record;
        }
    }
    records
}

/// The rows of a bucket.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let ids: &Int64Array = batch.column(0).as_primitive::<Int64Type>();
    let text = |column: usize, row: usize| {
        let texts: &StringArray = batch.column(column).as_string();
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    let one = |row: usize| {
        let given = text(1, row).unwrap_or_default();
        match ids.is_valid(row).then(|| ids.value(row)) {
            Some(id) => {
                let columns = (4..batch.num_columns()).map(|column| text(column, row)).collect();
                Row::Found(id, Want { given, columns })
            }
            None => {
                Row::Lost(given, text(2, row).unwrap_or_default(), text(3, row).unwrap_or_default())
            }
        }
    };
    (0..batch.num_rows()).map(one).collect()
}
