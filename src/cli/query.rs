use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::args::{Common, QueryArgs};
use super::failure::Failure;
use super::{output, project};
use crate::pipeline::{self, Outcome, PipelineError};

/// Answers one SELECT over the lake, on stdout.
pub(super) async fn run(args: &QueryArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let (engine, missing) = pipeline::engine(&project, &lake).await?;
    let as_of = args.as_of.as_deref().map(time).transpose()?;
    let rows = match engine.query(&args.sql, as_of).await {
        Ok(rows) => rows,
        Err(error) => {
            let failure = Failure::from(PipelineError::from(error));
            let named = missing.iter().find(|(table, _)| args.sql.contains(&table.to_string()));
            return Err(match named {
                Some((table, reason)) => {
                    failure.advise(format!("`{table}` cannot be read: {reason}"))
                }
                None => failure,
            });
        }
    };
    output::print(rows, common.output, args.limit).await?;
    Ok(Outcome::Succeeded)
}

/// A point in time, or midnight UTC of a day, in microseconds since 1970.
fn time(text: &str) -> Result<i64, Failure> {
    let day = || text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let parsed = text.parse::<DateTime<Utc>>().or_else(|_| day()).map_err(|_| {
        Failure::new(Outcome::Usage, format!("`--as-of {text}` is no time"))
            .advise("write it as 2026-01-31T12:00:00Z or 2026-01-31")
    })?;
    Ok(parsed.timestamp_micros())
}
