use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use chrono::{DateTime, Utc};

use super::args::{Common, Format, RejectsArgs, RejectsCommand};
use super::failure::Failure;
use super::{output, project};
use crate::load::{self, Reject};
use crate::pipeline::{Outcome, PipelineError};

/// Shows the rows that cannot be written as they are.
pub(super) async fn run(args: &RejectsArgs, common: &Common) -> Result<Outcome, Failure> {
    let RejectsCommand::List = args.command;
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let rejects = load::rejects(&lake, true).await.map_err(PipelineError::from)?;
    if rejects.is_empty() && common.output == Format::Table {
        eprintln!("No open rejects");
        return Ok(Outcome::Succeeded);
    }
    output::print_batch(&batch(&rejects, Utc::now()), common.output)?;
    Ok(Outcome::Succeeded)
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
