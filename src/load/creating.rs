//! `system.creating`: creates whose answer a crash swallowed, under the row's
//! key, because no record id is known yet. What a plan was to set counts as an
//! intent of the record that this key finds later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::error::{LoadError, While};
use super::plan::{PlannedChange, rows};
use super::target::Target;
use crate::lake::{Changes, Lake, TableName, TableSpec};

const DOING: &str = "keeping creates without an answer";

/// The table and its key. `changes` is as in `system.plans`.
fn spec() -> TableSpec {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let planned_at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    TableSpec {
        name: TableName::system("creating"),
        schema: Arc::new(Schema::new(vec![
            text("pipeline"),
            text("write_back"),
            text("match_key"),
            text("changes"),
            text("run_id"),
            Field::new("planned_at", planned_at, true),
        ])),
        key: ["pipeline", "write_back", "match_key"].map(String::from).to_vec(),
        partition_by: Vec::new(),
    }
}

/// Keeps the rows of a batch of `system.plans` that are creates and still open.
pub(crate) async fn keep(lake: &Lake, batch: &RecordBatch, open: &[bool]) -> Result<(), LoadError> {
    let is_create = |row: usize| open[row] && rows::text(batch, "action", row) == Some("create");
    let creates: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_create(row))).collect();
    if creates.true_count() == 0 {
        return Ok(());
    }
    let batch = filter_record_batch(batch, &creates).during(DOING)?;
    let spec = spec();
    let columns: Result<Vec<ArrayRef>, LoadError> = spec
        .schema
        .fields()
        .iter()
        .map(|field| Ok(batch.column(batch.schema().index_of(field.name()).during(DOING)?).clone()))
        .collect();
    let kept = RecordBatch::try_new(spec.schema.clone(), columns?).during(DOING)?;
    let mut table = lake.open_or_create(&spec).await.during(DOING)?;
    let changes =
        Changes { rows: vec![kept], newer_by: Some("planned_at".to_owned()), ..Changes::default() };
    table.upsert(changes, &[]).await.during(DOING)?;
    Ok(())
}

/// What creates without an answer were to set, by key. Held in memory: as many
/// rows as crashes left open.
#[derive(Default)]
pub(crate) struct Creating {
    by_key: HashMap<String, BTreeMap<String, PlannedChange>>,
}

impl Creating {
    pub(crate) async fn read(
        lake: &Lake,
        pipeline: &str,
        target: &Target,
    ) -> Result<Self, LoadError> {
        let mut found = Self::default();
        let Some(table) = lake.table(&spec().name).await.during(DOING)? else { return Ok(found) };
        let filter = col("pipeline")
            .eq(lit(pipeline))
            .and(col("write_back").eq(lit(target.write_back.as_str())));
        let mut batches = table.scan(None, Some(filter)).await.during(DOING)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.during(DOING)?;
            for row in 0..batch.num_rows() {
                let Some(key) = rows::text(&batch, "match_key", row) else { continue };
                let changes = rows::text(&batch, "changes", row).unwrap_or("{}");
                let changes = serde_json::from_str(changes).during(DOING)?;
                found.by_key.insert(target.key_form.held(key).into_owned(), changes);
            }
        }
        Ok(found)
    }

    /// The value that the create of this key was to set.
    pub(crate) fn of(&self, target: &Target, key: &str, property: &str) -> Option<&str> {
        if self.by_key.is_empty() {
            return None;
        }
        let change = self.by_key.get(target.key_form.held(key).as_ref())?.get(property)?;
        change.is_write().then_some(change.new.as_str())
    }
}
