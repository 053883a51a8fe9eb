//! The rows of a plan that does not come from a model, on their way to
//! `system.plans`.

use std::sync::Arc;

use datafusion::execution::DiskManager;

use super::rows::{self, Heading, Rows};
use super::spill::Spool;
use super::summary::{PlanSummary, Samples};
use crate::lake::Lake;
use crate::load::error::{LoadError, While};
use crate::load::guards::GuardVerdict;
use crate::load::outcome::Counts;
use crate::load::properties::PropertyPlan;

/// Takes decided rows and stores them as one plan.
pub(super) struct Sheet {
    heading: Heading,
    spool: Spool,
    samples: Samples,
    row_count: u64,
    pub(super) counts: Counts,
}

impl Sheet {
    pub(super) fn new(heading: Heading, disk: Arc<DiskManager>) -> Self {
        Self {
            heading,
            spool: Spool::new(rows::schema(), disk),
            samples: Samples::default(),
            row_count: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn take(&mut self, rows: Rows, counts: Counts) -> Result<(), LoadError> {
        self.counts += counts;
        let batch = rows.finish(&self.heading, self.row_count)?;
        self.row_count += batch.num_rows() as u64;
        self.samples.take(&batch)?;
        self.spool.push(batch)
    }

    /// Commits the rows, so that they can be applied.
    pub(super) async fn store(
        self,
        lake: &Lake,
        undoes: Option<String>,
        read_calls: u64,
        written_before: u64,
        guards: Vec<GuardVerdict>,
    ) -> Result<PlanSummary, LoadError> {
        debug_assert!(self.counts.close(), "the plan's counts do not close: {:?}", self.counts);
        if self.row_count > 0 {
            let doing = "storing the plan";
            let mut plans = lake.open_or_create(&rows::spec()).await.during(doing)?;
            plans.append_stream(self.spool.into_stream()?, &[]).await.during(doing)?;
        }
        Ok(PlanSummary {
            run_id: self.heading.run_id,
            write_back: self.heading.write_back,
            object: self.heading.object,
            planned_at: self.heading.planned_at,
            counts: self.counts,
            model_rows: None,
            written_before,
            read_calls,
            batch: super::summary::hundred(),
            properties: PropertyPlan::default(),
            definitions: Vec::new(),
            guards,
            stored: true,
            samples: self.samples.into_rows(),
            undoes,
        })
    }
}
