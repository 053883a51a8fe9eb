use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use chrono::{DateTime, Utc};

use super::args::{Common, Format, RejectsArgs, RejectsCommand, RejectsFilterArgs, Status};
use super::failure::Failure;
use super::{output, project};
use crate::load::{self, Reject, RejectFilter, RejectStatus};
use crate::pipeline::{self, Outcome, PipelineError};

/// Shows the rows that cannot be written as they are, has them tried again, or
/// gives them up.
pub(super) async fn run(args: &RejectsArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    match &args.command {
        RejectsCommand::List(list) => {
            let filter = RejectFilter { status: list.status.into(), ..filter(&list.filter) };
            let rejects = load::find_rejects(&lake, &filter).await.map_err(PipelineError::from)?;
            if rejects.is_empty() && common.output == Format::Table {
                eprintln!("No such rejects");
                return Ok(Outcome::Succeeded);
            }
            output::print_batch(&batch(&rejects, Utc::now()), common.output)?;
        }
        RejectsCommand::Retry(rows) => {
            // Rows that were given up can be meant too, but only by name.
            let status = match rows.keys.is_empty() {
                true => RejectStatus::Open,
                false => RejectStatus::Any,
            };
            let meant = RejectFilter { status, ..filter(rows) };
            let lock = pipeline::lock(&lake).await?;
            let found = load::retry_rejects(&lake, &meant).await.map_err(PipelineError::from)?;
            lock.release().await.map_err(PipelineError::from)?;
            expect_some(&found)?;
            eprintln!("{} rows are tried again by the next `hublake run`", found.len());
        }
        RejectsCommand::Drop(rows) => {
            let lock = pipeline::lock(&lake).await?;
            let found =
                load::drop_rejects(&lake, &filter(rows)).await.map_err(PipelineError::from)?;
            lock.release().await.map_err(PipelineError::from)?;
            expect_some(&found)?;
            eprintln!("{} rows are given up until they change", found.len());
        }
    }
    Ok(Outcome::Succeeded)
}

fn expect_some(found: &[Reject]) -> Result<(), Failure> {
    match found.is_empty() {
        true => Err(Failure::new(Outcome::Settings, "No reject is like that")
            .advise("`hublake rejects list --status any` shows them all")),
        false => Ok(()),
    }
}

fn filter(args: &RejectsFilterArgs) -> RejectFilter {
    let ago = |age: std::time::Duration| {
        let micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        Utc::now().timestamp_micros().saturating_sub(micros)
    };
    RejectFilter {
        write_back: args.write_back.clone(),
        keys: args.keys.clone(),
        category: args.category.clone(),
        refused_before: args.older_than.map(ago),
        status: RejectStatus::Open,
    }
}

impl From<Status> for RejectStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Open => Self::Open,
            Status::Dropped => Self::Dropped,
            Status::Fixed => Self::Fixed,
            Status::Any => Self::Any,
        }
    }
}

fn batch(rejects: &[Reject], now: DateTime<Utc>) -> RecordBatch {
    let text = |get: fn(&Reject) -> Option<&str>| {
        Arc::new(rejects.iter().map(get).collect::<StringArray>()) as ArrayRef
    };
    let days = |r: &Reject| (now.timestamp_micros() - r.first_seen) / 86_400_000_000;
    let columns = [
        ("write_back", text(|r| Some(&r.write_back))),
        ("key", text(|r| Some(&r.match_key))),
        (
            "record_id",
            Arc::new(rejects.iter().map(|r| r.record_id).collect::<Int64Array>()) as ArrayRef,
        ),
        ("refused_by", text(|r| Some(&r.refused_by))),
        ("message", text(|r| Some(&r.message))),
        ("category", text(|r| Some(&r.category))),
        ("status", text(|r| Some(&r.status))),
        ("correlation_id", text(|r| r.correlation_id.as_deref())),
        (
            "attempts",
            Arc::new(rejects.iter().map(|r| Some(r.attempts)).collect::<Int64Array>()) as ArrayRef,
        ),
        (
            "age_days",
            Arc::new(rejects.iter().map(|r| Some(days(r))).collect::<Int64Array>()) as ArrayRef,
        ),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns)
        .expect("every column has a value for every reject")
}
