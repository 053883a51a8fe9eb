//! A plan as it is stored: whether it may still be applied, and its rows.

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::{ApplyRequest, DOING, now};
use crate::lake::{Lake, Table};
use crate::load::error::{LoadError, While};
use crate::load::ledger;
use crate::load::plan::{PlanCursors, PlannedRow, rows};
use crate::load::rejects::RejectBook;

/// The plan of a request, in the lake.
#[derive(Clone, Copy)]
pub(crate) struct StoredPlan<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) request: &'a ApplyRequest<'a>,
}

impl StoredPlan<'_> {
    /// Refuses a plan whose rows are not stored, that was begun before, or that
    /// was made for something else than its write-back writes to now.
    pub(crate) async fn check_current(
        &self,
        cursors: &PlanCursors,
        object: &str,
    ) -> Result<(), LoadError> {
        let plan = self.request.plan;
        let (run_id, write_back) = (plan.run_id.clone(), plan.write_back.clone());
        if plan.object != object {
            return Err(LoadError::PlanOutOfDate { run_id, write_back });
        }
        let plans = self.lake.table(&rows::spec().name).await.during(DOING)?;
        match plans.filter(|_| plan.stored) {
            None if plan.sends_rows() => Err(LoadError::NoPlan { run_id, write_back }),
            Some(plans) if cursors.newest(&plans).is_some_and(|at| at >= plan.planned_at) => {
                Err(LoadError::PlanOutOfDate { run_id, write_back })
            }
            _ => Ok(()),
        }
    }

    /// The table that the plan's rows are in.
    pub(crate) async fn table(&self) -> Result<Table, LoadError> {
        let plan = self.request.plan;
        let missing = || LoadError::NoPlan {
            run_id: plan.run_id.clone(),
            write_back: plan.write_back.clone(),
        };
        self.lake.table(&rows::spec().name).await.during(DOING)?.ok_or_else(missing)
    }

    /// Says that the plan begins to be sent: from here on its rows are intents.
    pub(crate) async fn begin(&self, cursors: &PlanCursors) -> Result<(), LoadError> {
        let applying = cursors.applying(self.request.plan.planned_at);
        self.table().await?.commit_cursors(&[applying]).await.during(DOING)
    }

    /// Its rows of these actions, in no particular order.
    pub(crate) async fn rows(&self, actions: &[&str]) -> Result<StoredRows, LoadError> {
        let plan = self.request.plan;
        let filter = rows::of_plan(self.request.pipeline, &plan.write_back, plan.planned_at)
            .and(col("run_id").eq(lit(plan.run_id.as_str())))
            .and(col("action").in_list(actions.iter().map(|action| lit(*action)).collect(), false));
        let rows = self.table().await?.scan(None, Some(filter)).await.during(DOING)?;
        Ok(StoredRows { rows, batch: None })
    }

    /// Where its refused rows are noted.
    pub(crate) async fn book(&self) -> Result<RejectBook, LoadError> {
        let plan = self.request.plan;
        let (pipeline, run) = (self.request.pipeline, self.request.run_id);
        RejectBook::open(self.lake, pipeline, &plan.write_back, &plan.object, run, now()).await
    }

    /// What its entries in the ledger share.
    pub(crate) fn heading(&self) -> ledger::Heading {
        ledger::Heading {
            run_id: self.request.run_id.to_owned(),
            pipeline: self.request.pipeline.to_owned(),
            write_back: self.request.plan.write_back.clone(),
            object: self.request.plan.object.clone(),
        }
    }
}

/// Rows of a stored plan on their way out of the lake.
pub(crate) struct StoredRows {
    rows: SendableRecordBatchStream,
    /// A batch of the plan's table and how far it has been read.
    batch: Option<(RecordBatch, usize)>,
}

impl StoredRows {
    /// The next row; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<PlannedRow>, LoadError> {
        loop {
            if let Some((batch, row)) = self.batch.take()
                && row < batch.num_rows()
            {
                let planned = rows::decode_row(&batch, row)?;
                self.batch = Some((batch, row + 1));
                return Ok(Some(planned));
            }
            let Some(batch) = self.rows.next().await else { return Ok(None) };
            self.batch = Some((batch.during(DOING)?, 0));
        }
    }
}
