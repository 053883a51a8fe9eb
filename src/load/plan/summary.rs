//! What a plan says to a person.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use datafusion::prelude::{col, lit};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::rows::{self, PlannedRow};
use crate::lake::Lake;
use crate::load::error::{LoadError, While};
use crate::load::guards::GuardVerdict;
use crate::load::outcome::Counts;
use crate::load::properties::PropertyPlan;

/// Rows of each action kept for display; all of a stored plan's rows can be
/// read with [`planned_rows`].
const SAMPLES_PER_ACTION: usize = 20;

/// A plan in figures and samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanSummary {
    /// The run the plan belongs to.
    pub run_id: String,
    /// The write-back.
    pub write_back: String,
    /// Its object type.
    pub object: String,
    /// When it was made, µs since 1970, UTC.
    pub planned_at: i64,
    /// Rows by expected outcome.
    pub counts: Counts,
    /// Records this write-back has written before; 0 when nothing is touched.
    pub written_before: u64,
    /// Rows of the model: fewer than wanted where rows that have left it are too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_rows: Option<u64>,
    /// Calls made to read the touched records.
    pub read_calls: u64,
    /// Most rows of one write call.
    #[serde(default = "hundred")]
    pub batch: u64,
    /// Properties and options to create first.
    pub properties: PropertyPlan,
    /// Object types, labels and lists to create first.
    #[serde(default)]
    pub definitions: Vec<PlannedDefinition>,
    /// What each configured guard says.
    pub guards: Vec<GuardVerdict>,
    /// Whether its rows are in `system.plans`, ready for [`crate::load::apply()`].
    pub stored: bool,
    /// Some rows of each action.
    pub samples: Vec<PlannedRow>,
    /// The run whose writes this plan takes back, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
}

/// Something of the account's own making to create before any row needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDefinition {
    /// `object type`, `label` or `list`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What a person sees.
    pub label: String,
}

pub(super) fn hundred() -> u64 {
    100
}

impl PlanSummary {
    /// Rows of the model, for the guard on them.
    pub(crate) fn rows(&self) -> u64 {
        self.model_rows.unwrap_or(self.counts.wanted)
    }

    /// Whether there is anything to send.
    pub fn sends(&self) -> bool {
        self.sends_rows() || !self.properties.is_empty() || !self.definitions.is_empty()
    }

    /// Whether there are rows to send.
    pub fn sends_rows(&self) -> bool {
        self.counts.created + self.counts.updated + self.counts.archived > 0
    }

    /// The calls that the writes take when nothing has to be repeated. A stage
    /// that moves back takes a second one.
    pub fn write_calls(&self) -> u64 {
        let rows = [self.counts.created, self.counts.updated, self.counts.archived];
        rows.into_iter().map(|rows| rows.div_ceil(self.batch.max(1))).sum()
    }

    /// The guards that stop this plan.
    pub fn refusals(&self) -> impl Iterator<Item = &GuardVerdict> {
        self.guards.iter().filter(|verdict| verdict.refuses())
    }
}

/// The first rows of each action.
#[derive(Default)]
pub(crate) struct Samples {
    taken: HashMap<String, usize>,
    rows: Vec<PlannedRow>,
}

impl Samples {
    pub(crate) fn take(&mut self, batch: &RecordBatch) -> Result<(), LoadError> {
        for row in 0..batch.num_rows() {
            let action = rows::text(batch, "action", row).unwrap_or_default();
            match self.taken.get_mut(action) {
                Some(taken) if *taken >= SAMPLES_PER_ACTION => continue,
                Some(taken) => *taken += 1,
                None => drop(self.taken.insert(action.to_owned(), 1)),
            }
            self.rows.push(rows::decode_row(batch, row)?);
        }
        Ok(())
    }

    pub(crate) fn into_rows(self) -> Vec<PlannedRow> {
        self.rows
    }
}

/// The first `limit` rows of a run's stored plan for a write-back, in order.
///
/// # Errors
/// The lake cannot be read.
pub async fn planned_rows(
    lake: &Lake,
    run_id: &str,
    write_back: &str,
    limit: usize,
) -> Result<Vec<PlannedRow>, LoadError> {
    let doing = "reading a stored plan";
    let Some(plans) = lake.table(&rows::spec().name).await.during(doing)? else {
        return Ok(Vec::new());
    };
    let last = i64::try_from(limit).unwrap_or(i64::MAX);
    let filter = col("run_id")
        .eq(lit(run_id))
        .and(col("write_back").eq(lit(write_back)))
        .and(col("seq").lt(lit(last)));
    let mut batches = plans.scan(None, Some(filter)).await.during(doing)?;
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        found.extend(rows::decode(&batch.during(doing)?)?);
    }
    found.sort_by_key(|row| row.seq);
    Ok(found)
}
