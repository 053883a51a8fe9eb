use arrow::datatypes::SchemaRef;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::args::{Common, Format, QueryArgs};
use super::failure::Failure;
use super::{output, project};
use crate::pipeline::{self, OpenedSources, Outcome, PipelineError, Project};

/// Answers one SELECT over the lake, on stdout.
pub(super) async fn run(args: &QueryArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let as_of = args.as_of.as_deref().map(time).transpose()?;
    let opened = pipeline::open_sources_of(&project, &lake, &args.sql).await?;
    let answerer = Answerer { project, opened, as_of };
    answerer.print(&args.sql, common.output, args.limit).await?;
    Ok(Outcome::Succeeded)
}

/// Answers queries over a project's tables, newest or as they were.
pub(super) struct Answerer {
    pub(super) project: Project,
    pub(super) opened: OpenedSources,
    /// µs since 1970 UTC; now where absent.
    pub(super) as_of: Option<i64>,
}

impl Answerer {
    /// Prints the rows of a query; how many there were.
    pub(super) async fn print(
        &self,
        sql: &str,
        format: Format,
        limit: Option<usize>,
    ) -> Result<usize, Failure> {
        let rows = match self.opened.engine.query(sql, self.as_of).await {
            Ok(rows) => rows,
            Err(error) => return Err(self.explain(sql, PipelineError::from(error).into()).await),
        };
        match output::print(rows, format, limit).await {
            Ok(printed) => Ok(printed),
            Err(failure) => Err(self.explain(sql, failure).await),
        }
    }

    /// The columns of a table.
    pub(super) async fn columns(&self, table: &str) -> Result<SchemaRef, Failure> {
        let sql = format!("select * from {table} limit 0");
        match self.opened.engine.query(&sql, self.as_of).await {
            Ok(rows) => Ok(rows.schema()),
            Err(error) => Err(self.explain(&sql, PipelineError::from(error).into()).await),
        }
    }

    /// A failure with what is known of the sources that the query reads.
    async fn explain(&self, sql: &str, failure: Failure) -> Failure {
        let missing = self.opened.missing.iter();
        if let Some((table, reason)) =
            missing.into_iter().find(|(table, _)| sql.contains(&table.to_string()))
        {
            // Without its table the query looks wrong; it is not.
            return Failure::new(Outcome::Failed, format!("`{table}` cannot be read: {reason}"));
        }
        if failure.outcome() != Outcome::Failed {
            return failure;
        }
        let runtime = self.opened.engine.runtime();
        let bad = pipeline::bad_files(&self.project, &runtime, |name| sql.contains(name)).await;
        if bad.is_empty() { failure } else { failure.advise(bad.join("\n        ")) }
    }
}

/// A point in time, or midnight UTC of a day, in microseconds since 1970.
pub(super) fn time(text: &str) -> Result<i64, Failure> {
    let day = || text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let parsed = text.parse::<DateTime<Utc>>().or_else(|_| day()).map_err(|_| {
        Failure::new(Outcome::Usage, format!("`--as-of {text}` is no time"))
            .advise("write it as 2026-01-31T12:00:00Z or 2026-01-31")
    })?;
    Ok(parsed.timestamp_micros())
}
