//! One object type's sync: which kind it is, and what it comes to.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::config::{Cadence, ExtractObjectConfig};
use super::decode::{Page, Unreadable};
use super::error::{ExtractError, reading, storing};
use super::full;
use super::incremental::{self, Searched};
use super::listing::Listing;
use super::merges;
use super::mirror::{MirrorSchema, SEARCHED, SYNCED, WATERMARK, is_complete, listed_at};
use super::pages::PageSource;
use super::progress::Progress;
use super::selection::prepare_table;
use crate::hubspot::Client;
use crate::lake::{Changes, Cursor, Lake, Table};
use crate::objects::{ObjectType, PropertyDefinition};

/// Characters of a search body past which the guide promises a 400.
pub(super) const MAX_SEARCH_BODY: usize = 3_000;
/// Bytes of Arrow buffers at which rows are committed whatever their number,
/// so that memory does not depend on how wide an account's records are.
const MAX_BUFFERED_BYTES: usize = 96 * 1024 * 1024;

/// How a sync reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Full where no full sync has completed, else incremental.
    Auto,
    /// List everything, whatever is there already.
    Full,
}

/// What one sync of one object type needs.
pub struct ObjectSync<'a> {
    /// HubSpot.
    pub client: &'a Client,
    /// Where the mirror lies.
    pub lake: &'a Lake,
    /// What to sync.
    pub object: &'a ObjectType,
    /// Every property the object type has.
    pub definitions: &'a [PropertyDefinition],
    /// What the pipeline asks for.
    pub config: &'a ExtractObjectConfig,
    /// Properties needed whatever the selection: write-back targets and keys.
    pub always: &'a [String],
    /// How to read.
    pub mode: SyncMode,
    /// How long HubSpot's search may lag behind its writes.
    pub index_lag: Duration,
    /// Asks for an orderly end: what was read is committed.
    pub stop: &'a CancellationToken,
    /// Where to count rows as they come.
    pub progress: &'a Progress,
}

/// What a sync of one object type came to.
///
/// `read = inserted + updated + unchanged + rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObjectReport {
    /// Records HubSpot answered.
    pub read: u64,
    /// Records new to the mirror.
    pub inserted: u64,
    /// Records that differ from the mirror's.
    pub updated: u64,
    /// Records equal to the mirror's, answered twice, or older than it.
    pub unchanged: u64,
    /// Records that could not be stored.
    pub rejected: u64,
    /// How many of the records read are archived.
    pub archived: u64,
    /// Rows marked because HubSpot shows their record no more.
    pub vanished: u64,
    /// Values kept as text because their column cannot hold them exactly.
    pub rescued_values: u64,
    /// Calls made for this object.
    pub calls: u64,
    /// Those of the rejected records whose JSON does not parse.
    #[serde(skip)]
    pub unreadable: Vec<Unreadable>,
    /// Whether this was a full sync.
    #[serde(skip)]
    pub full: bool,
    /// Whether everything was listed, by a full sync or a reconciliation.
    #[serde(skip)]
    pub listed: bool,
    /// Whether the sync was stopped before its end.
    #[serde(skip)]
    pub interrupted: bool,
}

/// Syncs one object type into its mirror; what was done, and why it ended
/// early where it did.
///
/// Delivery is at least once: a page can be read twice, a row is stored once.
/// Rows are committed in batches together with the cursor that covers them;
/// done means that the watermark is committed, and that every modification made
/// before the sync began and shown by search is in the mirror. After an error,
/// what was committed stays and the next sync goes on from there; the report then
/// counts what had been stored.
pub async fn sync_object(sync: &ObjectSync<'_>) -> (ObjectReport, Option<ExtractError>) {
    let mut report = ObjectReport::default();
    let ended = run(sync, &mut report).await;
    // Rows read and not stored when it failed will be read again.
    report.read = report.inserted + report.updated + report.unchanged + report.rejected;
    (report, ended.err())
}

async fn run(sync: &ObjectSync<'_>, report: &mut ObjectReport) -> Result<(), ExtractError> {
    let selected = selected_properties(sync.object, sync.config, sync.always, sync.definitions)?;
    let schema = MirrorSchema::new(sync.object, selected);
    report.calls += 1;
    let server_time = server_time_ms(sync).await?;
    let mut table = prepare_table(sync, &schema, server_time).await?;
    let must_list = sync.mode == SyncMode::Full || !is_complete(&table);
    let stamp = next_stamp(&table);
    let source = PageSource::new(sync.client, sync.object, &schema, stamp);
    let mut sink = Sink::new(sync, &mut table, stamp, report);
    let source = Arc::new(source);
    if must_list {
        full::sync(sync, source.clone(), &mut sink, Listing::Full, server_time).await?;
        // A listing that an earlier run began has not met what changed since then
        // among the records read before the cut.
        let is_resumed = sink.cursor(WATERMARK) < Some(server_time);
        if sink.report.interrupted || !is_resumed {
            return Ok(());
        }
    }
    let searched = incremental::sync(sync, &source, &mut sink, server_time).await?;
    if sink.report.interrupted {
        return Ok(());
    }
    let cadence = match searched {
        Searched::Done => sync.config.reconciled(),
        Searched::ListInstead => Cadence::EveryRun,
        Searched::Refused if sink.cursor(SEARCHED).is_some() => Cadence::EveryRun,
        Searched::Refused => sync.config.listed(),
    };
    if cadence.is_due(listed_at(sink.table()).unwrap_or(0), server_time) {
        full::sync(sync, source, &mut sink, Listing::Reconcile, server_time).await?;
    }
    Ok(())
}

/// What is extracted of every type that has it, whatever the selection.
pub(super) const ALWAYS: [&str; 4] =
    ["hs_object_id", "hs_merged_object_ids", "email", "hs_additional_emails"];

/// The properties of an object type that are extracted: those selected, and those
/// needed whatever the selection.
///
/// # Errors
/// The selection names a property that the object type lacks.
pub fn selected_properties<'d>(
    object: &ObjectType,
    config: &ExtractObjectConfig,
    always: &[String],
    definitions: &'d [PropertyDefinition],
) -> Result<Vec<&'d PropertyDefinition>, ExtractError> {
    config.properties.select(object.name(), definitions, &needed_properties(object, always))
}

/// Properties that are extracted whatever the selection.
fn needed_properties(object: &ObjectType, always: &[String]) -> Vec<String> {
    let own = [object.modified_property()].into_iter().chain(ALWAYS).map(str::to_owned);
    own.chain(always.iter().cloned()).collect()
}

/// HubSpot's clock, in milliseconds: our own may be wrong.
///
/// The `Date` header counts whole seconds, so the next second is taken: a
/// record modified in this one is then inside a window that ends here.
async fn server_time_ms(sync: &ObjectSync<'_>) -> Result<i64, ExtractError> {
    let query = crate::hubspot::ListQuery {
        properties: vec!["hs_object_id".to_owned()],
        limit: 1,
        archived: false,
    };
    let body = sync
        .client
        .list_page(sync.object, &query, None)
        .await
        .map_err(reading(sync.object.name()))?;
    let micros = body.server_time.unwrap_or_else(|| chrono::Utc::now().timestamp_micros());
    Ok(micros / 1000 + 1000)
}

/// The `_synced_at` of this sync, later than every stamp given out before.
fn next_stamp(table: &Table) -> i64 {
    chrono::Utc::now().timestamp_micros().max(table.cursor(SYNCED).map_or(0, |last| last + 1))
}

/// Where pages go: buffered, committed with their cursors, counted.
pub(super) struct Sink<'a> {
    table: &'a mut Table,
    progress: &'a Progress,
    commit_rows: usize,
    stamp: i64,
    buffered: Vec<RecordBatch>,
    pub(super) report: &'a mut ObjectReport,
}

impl<'a> Sink<'a> {
    fn new(
        sync: &'a ObjectSync<'_>,
        table: &'a mut Table,
        stamp: i64,
        report: &'a mut ObjectReport,
    ) -> Self {
        Self {
            table,
            progress: sync.progress,
            commit_rows: sync.config.commit_rows.max(1),
            stamp,
            buffered: Vec::new(),
            report,
        }
    }

    pub(super) fn cursor(&self, app_id: &str) -> Option<i64> {
        self.table.cursor(app_id)
    }

    pub(super) fn table(&self) -> &Table {
        self.table
    }

    /// Takes a page; nothing is stored until the next commit.
    pub(super) fn push(&mut self, page: Page) {
        let rows = page.rows.num_rows() as u64;
        self.report.read += rows + page.rejected;
        self.report.rejected += page.rejected;
        self.report.rescued_values += page.rescued;
        self.report.unreadable.extend(page.unreadable);
        self.report.archived += count_true(&page.rows, "archived");
        self.progress.add(rows);
        if rows > 0 {
            self.buffered.push(page.rows);
        }
    }

    /// Whether enough is buffered to be worth a commit.
    pub(super) fn is_full(&self) -> bool {
        let rows: usize = self.buffered.iter().map(RecordBatch::num_rows).sum();
        let bytes: usize = self.buffered.iter().map(RecordBatch::get_array_memory_size).sum();
        rows >= self.commit_rows || bytes >= MAX_BUFFERED_BYTES
    }

    /// Commits what is buffered together with the cursors that cover it.
    pub(super) async fn commit(&mut self, cursors: Vec<Cursor>) -> Result<(), ExtractError> {
        let mut cursors = cursors;
        let mut rows = std::mem::take(&mut self.buffered);
        let read: u64 = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        if !rows.is_empty() {
            cursors.push(Cursor { app_id: SYNCED.to_owned(), value: self.stamp });
        }
        let losers = merges::losers(self.table, &rows, self.stamp).await?;
        let patched = losers.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        rows.extend(losers);
        let changes = Changes {
            rows,
            deletes: None,
            newer_by: Some("updated_at".to_owned()),
            ignore: vec!["_synced_at".to_owned()],
        };
        let name = self.table.name().clone();
        let counts = self.table.upsert(changes, &cursors).await.map_err(storing(&name))?;
        self.report.inserted += counts.inserted;
        self.report.updated += counts.updated.saturating_sub(patched);
        // A record answered twice in one commit is stored once.
        self.report.unchanged += read - counts.inserted - counts.updated.saturating_sub(patched);
        Ok(())
    }

    /// Stores marks on rows of records that HubSpot has not answered; they
    /// count as vanished.
    pub(super) async fn mark(&mut self, rows: RecordBatch) -> Result<(), ExtractError> {
        let changes = Changes { rows: vec![rows], ..Changes::default() };
        let synced = Cursor { app_id: SYNCED.to_owned(), value: self.stamp };
        let name = self.table.name().clone();
        let counts = self.table.upsert(changes, &[synced]).await.map_err(storing(&name))?;
        self.report.vanished += counts.updated;
        Ok(())
    }
}

fn count_true(batch: &RecordBatch, column: &str) -> u64 {
    use arrow::array::AsArray;
    batch
        .column_by_name(column)
        .filter(|array| *array.data_type() == DataType::Boolean)
        .map_or(0, |array| array.as_boolean().true_count() as u64)
}
