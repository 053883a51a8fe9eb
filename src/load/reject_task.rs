//! `on_reject: { task: … }`: one HubSpot task a run that lists the rows refused
//! since the last one, for people who never see the lake.
//!
//! A task has no unique key that would make its creation safe to repeat. So
//! `system.reject_tasks` says beforehand that a task is meant, and one whose
//! answer was lost is looked for by its subject, which names the run, once the
//! search index has had time to show it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, SecondsFormat};
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::config::TaskConfig;
use super::error::{LoadError, While};
use super::rejects::{Reject, RejectFilter, RejectStatus, find_rejects};
use crate::hubspot::{Client, Filter, SearchQuery, WriteInput};
use crate::lake::{Changes, Lake, TableName, TableSpec};
use crate::objects::ObjectType;

const DOING: &str = "telling of rejects by a task";

/// Rows that a task shows; the list has all.
const SHOWN: usize = 20;

const MEANT: &str = "meant";
const MADE: &str = "made";

/// What to tell of, and whom.
pub struct TaskRequest<'a> {
    /// The run.
    pub run_id: &'a str,
    /// The pipeline.
    pub pipeline: &'a str,
    /// The write-back.
    pub write_back: &'a str,
    /// The task's settings.
    pub config: &'a TaskConfig,
    /// How late search may show a task that was made.
    pub index_lag: Duration,
    /// The time, µs since 1970, UTC.
    pub now: i64,
}

/// What became of the telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing was refused since the last task.
    Nothing,
    /// A task tells of this many rows.
    Task {
        /// The rows.
        rows: usize,
    },
    /// No owner has the address.
    NoOwner,
    /// An earlier task may be there and cannot be seen yet: a later run looks.
    Later,
}

/// A run's task, as far as it is known.
struct Known {
    status: String,
    subject: String,
    at: i64,
}

/// Makes one task for the open rejects of a write-back that no task has told
/// of. A run that refused nothing new makes none. Repeating it makes none
/// either, and a task whose answer was lost is found before another is made.
///
/// # Errors
/// HubSpot refuses the task, or the lake fails.
pub async fn tell_of_rejects(
    lake: &Lake,
    client: &Client,
    request: TaskRequest<'_>,
) -> Result<Told, LoadError> {
    let mut known = known(lake, &request).await?;
    if !settle_meant(lake, client, &request, &mut known).await? {
        return Ok(Told::Later);
    }
    let filter = RejectFilter {
        write_back: Some(request.write_back.to_owned()),
        status: RejectStatus::Open,
        ..RejectFilter::default()
    };
    let open = find_rejects(lake, &filter).await?;
    let untold: Vec<Reject> = open
        .into_iter()
        .filter(|entry| entry.pipeline == request.pipeline)
        .filter(|entry| !known.contains_key(&entry.run_id))
        .collect();
    if untold.is_empty() {
        return Ok(Told::Nothing);
    }
    let Some(owner) = owner(client, &request.config.owner).await? else {
        return Ok(Told::NoOwner);
    };
    let subject = subject(&request, untold.len());
    let mut runs: BTreeSet<&str> = untold.iter().map(|entry| entry.run_id.as_str()).collect();
    runs.insert(request.run_id);
    keep(lake, &request, &runs, &subject, MEANT).await?;
    let input = WriteInput {
        id: None,
        id_property: None,
        properties: task(&request, &subject, &owner, &untold),
        trace_id: format!("task-{}-{}", request.run_id, request.write_back),
    };
    let reply = client.batch_create(&tasks(), &[input]).await.during(DOING)?;
    if let Some(error) = reply.errors.first() {
        // Nothing was made: the next run may try again.
        forget(lake, &request, &runs).await?;
        let refused = std::io::Error::other(error.message.clone());
        return Err(refused).during(DOING);
    }
    keep(lake, &request, &runs, &subject, MADE).await?;
    Ok(Told::Task { rows: untold.len() })
}

fn tasks() -> ObjectType {
    ObjectType::parse("tasks").expect("tasks are a standard type")
}

/// Looks for tasks that were meant and whose answer nobody has. Returns whether
/// all of them are settled.
async fn settle_meant(
    lake: &Lake,
    client: &Client,
    request: &TaskRequest<'_>,
    known: &mut BTreeMap<String, Known>,
) -> Result<bool, LoadError> {
    let mut by_subject: BTreeMap<&str, (i64, BTreeSet<&str>)> = BTreeMap::new();
    for (run_id, of) in known.iter().filter(|(_, of)| of.status == MEANT) {
        let entry = by_subject.entry(&of.subject).or_insert((of.at, BTreeSet::new()));
        entry.1.insert(run_id);
    }
    let mut lost: Vec<String> = Vec::new();
    for (subject, (at, runs)) in by_subject {
        if is_there(client, subject).await? {
            keep(lake, request, &runs, subject, MADE).await?;
        } else if request.now - at < request.index_lag.as_micros() as i64 {
            return Ok(false);
        } else {
            forget(lake, request, &runs).await?;
            lost.extend(runs.into_iter().map(str::to_owned));
        }
    }
    lost.iter().for_each(|run_id| drop(known.remove(run_id)));
    Ok(true)
}

async fn is_there(client: &Client, subject: &str) -> Result<bool, LoadError> {
    let query = SearchQuery {
        filters: vec![Filter::Eq("hs_task_subject".to_owned(), subject.to_owned())],
        sort: None,
        properties: vec!["hs_task_subject".to_owned()],
        limit: 10,
    };
    let page = client.search_page(&tasks(), &query).await.during(DOING)?;
    Ok(!page.records().during(DOING)?.results.is_empty())
}

/// The owner's id by address, in any case.
async fn owner(client: &Client, email: &str) -> Result<Option<String>, LoadError> {
    let owners = client.owners(false).await.during(DOING)?;
    let is_meant = |address: &str| address.eq_ignore_ascii_case(email);
    Ok(owners.into_iter().find(|o| o.email.as_deref().is_some_and(is_meant)).map(|o| o.id))
}

fn subject(request: &TaskRequest<'_>, count: usize) -> String {
    format!("hublake: {count} rows of {} refused (run {})", request.write_back, request.run_id)
}

fn task(
    request: &TaskRequest<'_>,
    subject: &str,
    owner: &str,
    untold: &[Reject],
) -> BTreeMap<String, String> {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let line = |entry: &Reject| {
        let id = entry.record_id.map_or(String::new(), |id| format!(" (record {id})"));
        let (key, message) = (escaped(&entry.match_key), escaped(&entry.message));
        format!("<li>{key}{id}: {message}</li>")
    };
    let lines: String = untold.iter().take(SHOWN).map(line).collect();
    let more = match untold.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("<p>… and {more} more.</p>"),
    };
    let body = format!(
        "<p>{} rows of the write-back {} cannot be written to {} as they are:</p><ul>{lines}</ul>{more}\
         <p>All of them: <code>hublake rejects list --write-back {}</code></p>",
        untold.len(),
        request.write_back,
        untold.first().map_or("", |entry| entry.object.as_str()),
        request.write_back
    );
    let due = DateTime::from_timestamp_micros(request.now)
        .map_or(String::new(), |at| at.to_rfc3339_opts(SecondsFormat::Millis, true));
    [
        ("hs_task_subject", subject.to_owned()),
        ("hs_task_body", body),
        ("hs_task_status", "NOT_STARTED".to_owned()),
        ("hs_timestamp", due),
        ("hubspot_owner_id", owner.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn spec() -> TableSpec {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    TableSpec {
        name: TableName::system("reject_tasks"),
        schema: Arc::new(Schema::new(vec![
            text("pipeline"),
            text("write_back"),
            text("run_id"),
            text("subject"),
            text("status"),
            Field::new("at", time, true),
        ])),
        key: ["pipeline", "write_back", "run_id"].map(String::from).to_vec(),
        partition_by: Vec::new(),
    }
}

async fn known(
    lake: &Lake,
    request: &TaskRequest<'_>,
) -> Result<BTreeMap<String, Known>, LoadError> {
    let mut known = BTreeMap::new();
    let Some(table) = lake.table(&spec().name).await.during(DOING)? else { return Ok(known) };
    let filter = col("pipeline")
        .eq(lit(request.pipeline))
        .and(col("write_back").eq(lit(request.write_back)));
    let columns = ["run_id", "subject", "status", "at"];
    let mut rows = table.scan(Some(&columns), Some(filter)).await.during(DOING)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.during(DOING)?;
        let text = |at: usize, row: usize| {
            let texts: &StringArray = batch.column(at).as_string();
            if texts.is_valid(row) { texts.value(row).to_owned() } else { String::new() }
        };
        let times = batch.column(3).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let of = Known { status: text(2, row), subject: text(1, row), at: times.value(row) };
            known.insert(text(0, row), of);
        }
    }
    Ok(known)
}

fn rows(
    request: &TaskRequest<'_>,
    runs: &BTreeSet<&str>,
    subject: &str,
    status: &str,
) -> Result<RecordBatch, LoadError> {
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; runs.len()])) };
    let at = Int64Array::from(vec![request.now; runs.len()]);
    let at: TimestampMicrosecondArray = at.reinterpret_cast();
    let columns = vec![
        same(request.pipeline),
        same(request.write_back),
        Arc::new(runs.iter().copied().map(Some).collect::<StringArray>()) as ArrayRef,
        same(subject),
        same(status),
        Arc::new(at.with_timezone("UTC")),
    ];
    RecordBatch::try_new(spec().schema, columns).during(DOING)
}

async fn keep(
    lake: &Lake,
    request: &TaskRequest<'_>,
    runs: &BTreeSet<&str>,
    subject: &str,
    status: &str,
) -> Result<(), LoadError> {
    let mut table = lake.open_or_create(&spec()).await.during(DOING)?;
    let rows = vec![rows(request, runs, subject, status)?];
    table.upsert(Changes { rows, ..Changes::default() }, &[]).await.during(DOING)?;
    Ok(())
}

async fn forget(
    lake: &Lake,
    request: &TaskRequest<'_>,
    runs: &BTreeSet<&str>,
) -> Result<(), LoadError> {
    let mut table = lake.open_or_create(&spec()).await.during(DOING)?;
    let keys = rows(request, runs, "", "")?.project(&[0, 1, 2]).during(DOING)?;
    let changes = Changes { deletes: Some(keys), ..Changes::default() };
    table.upsert(changes, &[]).await.during(DOING)?;
    Ok(())
}
