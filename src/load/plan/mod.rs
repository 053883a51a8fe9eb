//! Wanted rows to a plan: W from the model, C from the mirror and HubSpot, L
//! from the ledger, each row's decision put down before anything is sent.
//!
//! Rows are parted into buckets by key and matched bucket by bucket, so that
//! memory depends on the size of a bucket. Rows that HubSpot already holds as
//! wanted end there; the others are parted again by record and meet what
//! hublake last set. Records that would be written are read first.

mod again;
pub(crate) mod decide;
mod deciding;
mod file;
pub(crate) mod held;
mod images;
mod last_set;
mod listing;
mod matching;
mod moved;
pub(crate) mod refresh;
pub(crate) mod rows;
mod sheet;
pub(crate) mod spill;
mod summary;
mod undo;
mod undo_links;
pub(crate) mod wanted;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::{DiskManager, SendableRecordBatchStream};
use futures::{StreamExt, TryStreamExt};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::config::{Mode, OnAbsent, WriteBackConfig};
use super::creating::Creating;
use super::error::{LoadError, While};
use super::guards::{self, Guard};
use super::links::planned_schema;
use super::outcome::Counts;
use super::properties;
use super::rejects::{Refused, RejectBook};
use super::target::Target;
use super::written;
use super::{ledger, mirror};
use crate::hubspot::Client;
use crate::lake::{Lake, Table};
use crate::objects::PropertyDefinition;
use decide::Lag;
use deciding::{Deciding, Fresh};
use last_set::{Entries, Sieve};
use refresh::Refresher;
use rows::Heading;
use spill::{Bucket, Buckets, Spool};
use wanted::Aliases;

pub(crate) use again::again;
pub use file::{PlanFile, PlanFileError, check_plan_file, read_plan_file, write_plan_file};
pub use listing::{check_condition, plan_lines};
pub use moved::{RenewRequest, Renewed, check_unapplied, renew};
pub(crate) use rows::PlanCursors;
pub use rows::{PlannedChange, PlannedRow};
pub(crate) use summary::Samples;
pub use summary::{PlanSummary, PlannedDefinition, planned_rows};
pub use undo::{
    Finish, FinishRequest, UndoPart, UndoRequest, debtors, finished, plan_finish, plan_undo,
    undo_parts,
};

const DOING: &str = "planning a write-back";

/// Rows a bucket should hold: some tens of megabytes at ten properties.
const BUCKET_ROWS: u64 = 32_768;
/// Few rows cost nothing in many buckets, and the model's rows are not counted
/// before they are read.
const LEAST_BUCKETS: u64 = 32;
const MOST_BUCKETS: u64 = 1_024;

/// Which plans are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Every plan: somebody wants to read it.
    Always,
    /// Only a plan that has something to send, so that a quiet run stays quiet.
    IfSending,
}

/// What to plan.
pub struct PlanRequest<'a> {
    /// The run the plan belongs to.
    pub run_id: &'a str,
    /// The pipeline.
    pub pipeline: &'a str,
    /// The write-back's name.
    pub write_back: &'a str,
    /// Its settings.
    pub config: &'a WriteBackConfig,
    /// The properties of its object, as the account has them.
    pub definitions: &'a [PropertyDefinition],
    /// The model's rows, in any order.
    pub wanted: SendableRecordBatchStream,
    /// Whether to store a plan that has nothing to send.
    pub store: Store,
    /// Guards that may be passed this once.
    pub accepted: &'a BTreeSet<Guard>,
    /// How long HubSpot may show an older value after a write.
    pub index_lag: Duration,
    /// The time, µs since 1970, UTC.
    pub now: i64,
    /// When cancelled, planning ends with [`LoadError::Interrupted`]; nothing of
    /// the plan is stored.
    pub stop: CancellationToken,
}

/// Plans one write-back. Nothing is sent to HubSpot but reads; the rejects of
/// the lake and the mirror's touched rows are brought up to date. Call
/// [`super::catch_up()`] first.
///
/// # Errors
/// Settings that cannot work with this account or model, a missing mirror, a
/// failing lake or HubSpot, the caller's stop. Rows that cannot be written are
/// no error.
pub async fn plan(
    lake: &Lake,
    client: &Client,
    request: PlanRequest<'_>,
) -> Result<PlanSummary, LoadError> {
    let properties = properties::plan(request.write_back, request.config, request.definitions)?;
    let target = Target::new(request.write_back, request.config, request.definitions)?;
    let mut planner = Planner::open(lake, client, Arc::new(target), &request).await?;
    let candidates = planner.match_rows(request.wanted).await?;
    planner.decide(candidates).await?;
    let verdicts = guards::evaluate(
        &request.config.guards,
        &planner.counts,
        planner.model_rows,
        planner.written_before,
        request.accepted,
    );
    let counts = &planner.counts;
    let sends = counts.created + counts.updated + counts.archived > 0 || !properties.is_empty();
    let stored = sends || request.store == Store::Always;
    planner.finish(stored, properties, verdicts).await
}

struct Planner<'a> {
    lake: &'a Lake,
    client: &'a Client,
    target: Arc<Target>,
    mirror: Table,
    written: Option<Table>,
    aliases: Aliases,
    bucket_count: usize,
    disk: Arc<DiskManager>,
    heading: Heading,
    lag: Lag,
    creating: Arc<Creating>,
    /// The records that hublake created, where that matters.
    created: Arc<HashSet<i64>>,
    book: RejectBook,
    counts: Counts,
    model_rows: u64,
    written_before: u64,
    rows: Spool,
    row_count: u64,
    reads: u64,
    samples: Samples,
    stop: CancellationToken,
    definitions: Vec<PlannedDefinition>,
}

/// The object type to create first: one that the settings declare and of which
/// the account has no property, as every type has some.
fn new_type(request: &PlanRequest<'_>) -> Option<PlannedDefinition> {
    planned_schema(request.config).filter(|_| request.definitions.is_empty())
}

/// Rows left to decide, parted by record.
struct Candidates {
    buckets: Vec<Bucket>,
    /// The records among them.
    records: Sieve,
    any: bool,
}

impl<'a> Planner<'a> {
    async fn open(
        lake: &'a Lake,
        client: &'a Client,
        target: Arc<Target>,
        request: &PlanRequest<'_>,
    ) -> Result<Self, LoadError> {
        let object = &target.object;
        let new_type = new_type(request);
        let mirror = match new_type {
            None => mirror::open(lake, object).await?,
            Some(_) => {
                let columns = properties::declared_columns(request.config);
                Some(mirror::open_empty(lake, object, &columns).await?)
            }
        };
        let mirror = mirror.ok_or_else(|| LoadError::NoMirror { object: object.to_string() })?;
        let book = RejectBook::open(
            lake,
            request.pipeline,
            request.write_back,
            object.name(),
            request.run_id,
            request.now,
        );
        let disk = Arc::new(DiskManagerBuilder::default().build().during(DOING)?);
        let heading = Heading {
            run_id: request.run_id.to_owned(),
            pipeline: request.pipeline.to_owned(),
            write_back: request.write_back.to_owned(),
            object: object.name().to_owned(),
            planned_at: request.now,
        };
        Ok(Self {
            lake,
            client,
            bucket_count: (mirror.row_count() / BUCKET_ROWS).clamp(LEAST_BUCKETS, MOST_BUCKETS)
                as usize,
            aliases: held::aliases(&mirror).await?,
            mirror,
            written: lake.table(&written::spec().name).await.during(DOING)?,
            rows: Spool::new(rows::schema(), disk.clone()),
            disk,
            heading,
            lag: Lag { now: request.now, length: request.index_lag.as_micros() as i64 },
            creating: Arc::new(Creating::read(lake, request.pipeline, &target).await?),
            created: Arc::new(match target.mode {
                Mode::Archive => ledger::records_created(lake, object.name()).await?,
                _ => HashSet::new(),
            }),
            book: book.await?,
            counts: Counts::default(),
            model_rows: 0,
            written_before: 0,
            row_count: 0,
            reads: 0,
            samples: Samples::default(),
            stop: request.stop.clone(),
            definitions: new_type.into_iter().collect(),
            target,
        })
    }

    /// Ends the planning when the caller has stopped it.
    fn go_on(&self) -> Result<(), LoadError> {
        match self.stop.is_cancelled() {
            true => Err(LoadError::Interrupted { write_back: self.heading.write_back.clone() }),
            false => Ok(()),
        }
    }

    /// Matches every wanted row with its record and counts those that are as wanted.
    async fn match_rows(
        &mut self,
        wanted: SendableRecordBatchStream,
    ) -> Result<Candidates, LoadError> {
        let count = self.bucket_count;
        // The mirror is read beside the model's rows, on another core.
        let mut reading = JoinSet::new();
        let (mirror, target, disk) = (self.mirror.clone(), self.target.clone(), self.disk.clone());
        reading.spawn(async move { held::part(&mirror, &target, count, disk).await });
        let (wants, total) =
            wanted::part(wanted, &self.target, &self.aliases, count, self.disk.clone()).await?;
        let holds = reading.join_next().await.expect("one task was spawned").during(DOING)??;
        (self.counts.wanted, self.model_rows) = (total, total);
        let target = self.target.clone();
        let written = self.records_written().await?;
        let join = move |(wants, holds): (Bucket, Bucket)| {
            let (target, written) = (target.clone(), written.clone());
            async move {
                let job = move || {
                    matching::join(&target, &wants.read()?, &holds.read()?, written.as_deref())
                };
                spawn_blocking(job).await.during(DOING)?
            }
        };
        let mut matched =
            futures::stream::iter(wants.into_iter().zip(holds)).map(join).buffered(workers());
        let mut buckets = Buckets::new(matching::schema(&self.target), count, self.disk.clone());
        let mut records = Sieve::new();
        let mut any = false;
        while let Some(matched) = matched.try_next().await? {
            self.go_on()?;
            self.counts.unchanged += matched.unchanged;
            let ids = matching::record_ids(&matched.candidates);
            ids.iter().flatten().for_each(|id| records.insert(id));
            any |= ids.null_count() < ids.len();
            let hashes: Vec<u64> = ids.iter().map(|id| id.unwrap_or(0) as u64).collect();
            buckets.push(matched.candidates, &hashes)?;
        }
        Ok(Candidates { buckets: buckets.finish()?, records, any })
    }

    /// With `on_absent: clear`, the records that hublake may have written to.
    async fn records_written(&self) -> Result<Option<Arc<Sieve>>, LoadError> {
        match (&self.written, self.target.on_absent) {
            (Some(written), OnAbsent::Clear) => {
                let sieve = last_set::records_written(written, &self.target, &self.aliases).await?;
                Ok(Some(Arc::new(sieve)))
            }
            _ => Ok(None),
        }
    }

    /// Decides every candidate, reading first what would be written.
    async fn decide(&mut self, candidates: Candidates) -> Result<(), LoadError> {
        let written = self.written.as_ref().filter(|_| candidates.any);
        let (sieve, count) = (&candidates.records, self.bucket_count);
        let last =
            last_set::part(written, &self.target, sieve, &self.aliases, count, self.disk.clone())
                .await?;
        self.written_before = last.records;
        let target = self.target.clone();
        let mut refresher = Refresher::new(
            self.client,
            &target,
            self.mirror.clone(),
            self.heading.planned_at,
            self.stop.clone(),
        );
        let known = self.book.known();
        let load = {
            let target = target.clone();
            let (lag, creating) = (self.lag, self.creating.clone());
            let created = self.created.clone();
            move |(rows, entries): (Bucket, Bucket)| {
                let (target, known) = (target.clone(), known.clone());
                let (creating, created) = (creating.clone(), created.clone());
                async move {
                    let job = move || {
                        let basis = Basis { target, known, creating, created, lag };
                        Loaded::read(basis, (rows, entries))
                    };
                    spawn_blocking(job).await.during(DOING)?
                }
            }
        };
        let mut loaded = futures::stream::iter(candidates.buckets.into_iter().zip(last.buckets))
            .map(load)
            .buffered(workers());
        while let Some(bucket) = loaded.try_next().await? {
            self.go_on()?;
            let decided = match bucket {
                Loaded::Decided(decided) => *decided,
                Loaded::ToRead(bucket, ids) => bucket.decide(refresher.read(ids).await?).await?,
            };
            self.take(decided)?;
        }
        self.reads = refresher.finish().await?;
        Ok(())
    }

    fn take(&mut self, decided: deciding::Decided) -> Result<(), LoadError> {
        self.counts += decided.counts;
        let batch = decided.rows.finish(&self.heading, self.row_count)?;
        self.row_count += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            self.note_for_rejects(&batch, row);
        }
        self.samples.take(&batch)?;
        self.rows.push(batch)
    }

    fn note_for_rejects(&mut self, batch: &RecordBatch, row: usize) {
        let key = rows::text(batch, "match_key", row).unwrap_or("");
        match rows::text(batch, "action", row) {
            Some("rejected") => {
                let text = |column| rows::text(batch, column, row).unwrap_or_default().to_owned();
                let refused = Refused {
                    record_id: rows::number(batch, "record_id", row),
                    by_hubspot: false,
                    message: text("reason"),
                    category: text("category"),
                    correlation_id: None,
                    fingerprint: rows::number(batch, "fingerprint", row).unwrap_or_default(),
                };
                self.book.refuse(key, refused, false);
            }
            Some("create" | "update" | "archive" | "deferred") => self.book.pending(key),
            _ => {}
        }
    }

    async fn finish(
        mut self,
        stored: bool,
        properties: properties::PropertyPlan,
        guards: Vec<guards::GuardVerdict>,
    ) -> Result<PlanSummary, LoadError> {
        debug_assert!(self.counts.close(), "the plan's counts do not close: {:?}", self.counts);
        if stored && self.row_count > 0 {
            let mut plans = self.lake.open_or_create(&rows::spec()).await.during(DOING)?;
            plans.append_stream(self.rows.into_stream()?, &[]).await.during("storing the plan")?;
        }
        self.book.fix_unmet();
        self.book.store(self.lake).await?;
        Ok(PlanSummary {
            run_id: self.heading.run_id,
            write_back: self.heading.write_back,
            object: self.heading.object,
            planned_at: self.heading.planned_at,
            counts: self.counts,
            model_rows: Some(self.model_rows),
            written_before: self.written_before,
            read_calls: self.reads,
            batch: 100,
            definitions: self.definitions,
            properties,
            guards,
            stored,
            samples: self.samples.into_rows(),
            undoes: None,
        })
    }
}

/// A bucket read back: decided at once, or waiting for its records to be read.
enum Loaded {
    Decided(Box<deciding::Decided>),
    ToRead(Waiting, Vec<i64>),
}

/// A bucket whose records are being read.
struct Waiting {
    basis: Basis,
    rows: RecordBatch,
    entries: Entries,
}

/// What decisions of all buckets rest on.
struct Basis {
    target: Arc<Target>,
    known: super::rejects::Known,
    creating: Arc<Creating>,
    created: Arc<HashSet<i64>>,
    lag: Lag,
}

impl Loaded {
    fn read(basis: Basis, (rows, entries): (Bucket, Bucket)) -> Result<Self, LoadError> {
        let waiting = Waiting { basis, rows: rows.read()?, entries: Entries::new(entries.read()?) };
        let ids =
            if waiting.basis.target.refresh { waiting.deciding().to_refresh() } else { Vec::new() };
        if ids.is_empty() {
            let decided = waiting.deciding().decide(&Fresh::default())?;
            return Ok(Self::Decided(Box::new(decided)));
        }
        Ok(Self::ToRead(waiting, ids))
    }
}

impl Waiting {
    fn deciding(&self) -> Deciding<'_> {
        let basis = &self.basis;
        Deciding::new(
            &basis.target,
            &self.rows,
            &self.entries,
            &basis.known,
            &basis.creating,
            &basis.created,
            basis.lag,
        )
    }

    async fn decide(self, fresh: Fresh) -> Result<deciding::Decided, LoadError> {
        spawn_blocking(move || self.deciding().decide(&fresh)).await.during(DOING)?
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
