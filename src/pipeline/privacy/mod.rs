//! Forgetting a person: every row of the lake that is about a record, in every
//! version, and what was made of these rows.
//!
//! The mirror says under which ids, addresses and unique values the person is
//! known: see [`person`]. Rows that say whose they are go from every table.
//! Models need not say so: each one that reads, through whatever others, a table
//! from which something goes is built anew from what is left, and neither its
//! `<model>_changes` nor an older version tells what went. Where a model's rows
//! do not stay apart, or bear no id, nobody can tell whose the rows of its
//! `<model>_changes` are: that table is emptied, and the model until it is built.
//!
//! What the account in HubSpot holds is for HubSpot to delete; the next sync
//! reads again what HubSpot still shows. Sources outside the lake are their
//! owners'.

mod addresses;
mod models;
mod person;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use chrono::Utc;
use futures::TryStreamExt;
use serde::Serialize;

use self::models::Derived;
use self::person::{Person, Traces};
use super::building::{self, BuildRequest};
use super::error::PipelineError;
use super::run::new_run_id;
use super::settings::Project;
use crate::extract::chain;
use crate::extract::{PROPERTY_HISTORY, mirror_table};
use crate::lake::{Cursor, Lake, LakeError, Table, TableName};
use crate::objects::ObjectType;
use crate::transform::{self, Engine, ModelStatus};

/// Ids of mentioning records that a report names, at most, by table.
const IDS_TOLD: usize = 50;

/// How often a purge was begun, on the table that is purged last.
const BEGUN: &str = "hublake.purge.begun";
/// The number of the last purge that came to its end.
const ENDED: &str = "hublake.purge.ended";

/// What a purge did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PurgeOutcome {
    /// Whether any row was about the records.
    pub found: bool,
    /// Whether a purge that was cut before was brought to its end.
    pub resumed: bool,
    /// Every table of the lake; none where nothing was found or resumed.
    pub tables: Vec<Purged>,
    /// Models that were built anew from what is left.
    pub rebuilt: Vec<String>,
    /// Models that could not be, and why: those whose rows bear no id are empty
    /// until the next build, the others hold none of the person's own rows.
    pub waiting: Vec<(String, String)>,
    /// Tables among the models that no model of the project makes: what they
    /// were made of is not known.
    pub unknown: Vec<String>,
    /// Tables whose Parquet was published again.
    pub published: Vec<String>,
    /// Tables whose published Parquet could not be replaced, and why.
    pub unpublished: Vec<(String, String)>,
}

/// What was removed from one table, and what is left in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// The table's SQL name.
    pub table: String,
    /// Rows of its last version that went; in an emptied model, those of others too.
    pub rows: u64,
    /// Cells of other rows that held an address of the person's and nothing
    /// else, and from which it went.
    pub cells: u64,
    /// Files of older versions.
    pub files: u64,
    /// Rows of other records whose texts still mention an address.
    pub mentions: u64,
    /// Ids of such records, the lowest ones.
    pub mentioned_in: Vec<i64>,
}

/// Removes records from every table of the lake and from every version, builds
/// anew the models they can have come into, and replaces published Parquet.
///
/// All versions before are gone then, of every table: any of them may have held
/// the person. Repeating a purge is harmless; after an error it must be. Where no
/// row is about the records, nothing is done: a mistyped id costs no history.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn purge(
    project: &Project,
    lake: &Lake,
    object: &ObjectType,
    ids: &[i64],
) -> Result<PurgeOutcome, PipelineError> {
    let person = Person::find(project, lake, object, ids).await?;
    let (engine, missing) = building::engine(project, lake).await?;
    let mirror = mirror_table(object);
    let mut names = lake.tables().await?;
    let mut traces = BTreeMap::new();
    // Tables that a cut purge was to take last.
    let mut cut = BTreeSet::new();
    for name in &names {
        if let Some(table) = lake.table(name).await? {
            if table.cursor(BEGUN) > table.cursor(ENDED) {
                cut.insert(name.clone());
            }
            traces.insert(name.clone(), look_through(&person, &table).await?);
        }
    }
    let mut touched: BTreeSet<TableName> =
        traces.iter().filter(|(_, traces)| traces.goes()).map(|(name, _)| name.clone()).collect();
    let (found, resumed) = (!touched.is_empty(), !cut.is_empty());
    if !found && !resumed {
        return Ok(PurgeOutcome::default());
    }
    // Rows that it has taken out of them count too.
    touched.extend(cut.iter().cloned());
    let derived = Derived::of(&engine, lake, &person, &touched).await?;
    // The mirror and former values go last: they alone know whom a cut purge was
    // about. Models go first: what they were made of tells which ones are meant.
    let history = TableName::hubspot(PROPERTY_HISTORY);
    names.sort_by_key(|name| (*name == mirror, *name == history, !name.schema().is_empty()));
    if let Some(last) = names.last() {
        mark(lake, last, Mark::Begun).await?;
        cut.insert(last.clone());
    }
    let mut outcome = PurgeOutcome { found, resumed, ..PurgeOutcome::default() };
    for name in names {
        let Some(table) = lake.table(&name).await? else { continue };
        if name.schema().is_empty() && table.row_count() > 0 && !is_made(&engine, &name) {
            outcome.unknown.push(name.to_string());
        }
        let traces = traces.remove(&name).unwrap_or_default();
        outcome.tables.push(purge_one(lake, &person, &derived, table, traces).await?);
    }
    rebuild(&engine, lake, &derived, missing, &mut outcome).await?;
    publish(project, lake, &mut outcome).await?;
    for table in &cut {
        mark(lake, table, Mark::Ended).await?;
    }
    Ok(outcome)
}

/// What is noted of a purge.
#[derive(Clone, Copy)]
enum Mark {
    Begun,
    Ended,
}

/// Notes on the table purged last that a purge begins, or has come to its end:
/// one that was cut in between is finished by the next, although the rows that
/// told whom it was about may be gone.
async fn mark(lake: &Lake, table: &TableName, mark: Mark) -> Result<(), LakeError> {
    let Some(mut table) = lake.table(table).await? else { return Ok(()) };
    let begun = table.cursor(BEGUN).unwrap_or(0);
    let (app_id, value) = match mark {
        Mark::Begun => (BEGUN, begun + 1),
        Mark::Ended => (ENDED, begun),
    };
    table.commit_cursors(&[Cursor { app_id: app_id.to_owned(), value }]).await
}

/// What a table holds of a person.
async fn look_through(person: &Person, table: &Table) -> Result<Traces, PipelineError> {
    let mut found = Traces::default();
    let mut rows = table.scan(None, None).await?;
    let unreadable =
        |source: Box<dyn std::error::Error + Send + Sync>| PipelineError::Purge { source };
    while let Some(batch) = rows.try_next().await.map_err(|error| unreadable(error.into()))? {
        let here = person.traces(table.name(), table.key(), &batch);
        found.add(here.map_err(|error| unreadable(error.into()))?);
    }
    Ok(found)
}

async fn purge_one(
    lake: &Lake,
    person: &Person,
    derived: &Derived,
    mut table: Table,
    traces: Traces,
) -> Result<Purged, PipelineError> {
    let (name, key, before) = (table.name().clone(), table.key().to_vec(), table.version());
    let due = derived.is_built_anew(&name);
    let due = due.then(|| transform::rebuild_due(Utc::now().timestamp_millis()));
    let keep = |batch: &RecordBatch| derived.keep(person, &name, &key, batch);
    let report = table.purge(keep, due.as_slice()).await?;
    if name.schema().is_empty() && due.is_none() {
        transform::skip_changes(lake, &name, before, table.version()).await?;
    }
    Ok(Purged {
        table: name.to_string(),
        rows: report.rows,
        cells: traces.cells,
        files: report.files as u64,
        mentions: traces.mentions,
        mentioned_in: traces.mentioned_in.into_iter().take(IDS_TOLD).collect(),
    })
}

/// Whether a model of the project makes this table.
fn is_made(engine: &Engine, table: &TableName) -> bool {
    let mut tables = engine.models().in_order().filter(|model| model.is_stored());
    tables.any(|model| {
        *table == TableName::model(model.name())
            || *table == transform::changes_of(model.name())
            || model.side_tables().contains(table)
    })
}

/// Builds anew what was emptied, or may hold the person's words in the rows of
/// others. A purge that is cut before leaves that to the next build.
async fn rebuild(
    engine: &Engine,
    lake: &Lake,
    derived: &Derived,
    missing: BTreeMap<TableName, String>,
    outcome: &mut PurgeOutcome,
) -> Result<(), PipelineError> {
    let models: Vec<String> = derived.models().map(str::to_owned).collect();
    if models.is_empty() {
        return Ok(());
    }
    let started = Utc::now().timestamp_micros();
    let run_id = new_run_id();
    let request = BuildRequest {
        run_id: &run_id,
        run_started_at: started,
        only: Some(models.iter().cloned().collect()),
        full: false,
        unavailable: missing,
    };
    let built = building::build(engine, lake, request).await?;
    for name in models {
        let status = built.report.model(&name).map(|report| &report.status);
        match status {
            Some(ModelStatus::Built | ModelStatus::Unchanged) => outcome.rebuilt.push(name),
            Some(ModelStatus::Failed(error)) => outcome.waiting.push((name, chain(error))),
            Some(ModelStatus::Skipped { because }) => {
                outcome.waiting.push((name, because.clone()));
            }
            None => outcome.waiting.push((name, "it was not built".to_owned())),
        }
    }
    Ok(())
}

/// Replaces all published Parquet: any of it may be of an older version.
async fn publish(
    project: &Project,
    lake: &Lake,
    outcome: &mut PurgeOutcome,
) -> Result<(), PipelineError> {
    for (name, url) in building::exports(project) {
        match building::export_one(lake, &name, url).await {
            Ok(true) => outcome.published.push(name.to_string()),
            Ok(false) => {}
            Err(error) => outcome.unpublished.push((name.to_string(), chain(&error))),
        }
    }
    Ok(())
}
