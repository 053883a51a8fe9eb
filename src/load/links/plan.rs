//! A part's plan: rows find their records, records meet what hangs on them in
//! the mirror, and those that would be touched are read before they are decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::execution::DiskManager;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use tokio_util::sync::CancellationToken;

use super::decide::{Decided, Group, Rules};
use super::held;
use super::part::{Kind, Part, write_back_of};
use super::resolve::{PENDING, Row, carrying, resolve, rows};
use super::types::{self, ListState};
use crate::hubspot::Client;
use crate::lake::{Lake, Table};
use crate::load::config::{GuardsConfig, Nulls};
use crate::load::error::{LoadError, While};
use crate::load::guards::{self, Guard, GuardVerdict};
use crate::load::outcome::Counts;
use crate::load::plan::decide::{Action, Change, Lag};
use crate::load::plan::held::aliases;
use crate::load::plan::rows::{self as plan_rows, Heading, Rows};
use crate::load::plan::spill::{Bucket, Spool};
use crate::load::plan::wanted::Aliases;
use crate::load::plan::{PlanRequest, PlanSummary, PlannedDefinition, Samples, Store};
use crate::load::properties::PropertyPlan;
use crate::load::rejects::{Refused, RejectBook};
use crate::load::status::{plan_status, status_config};
use crate::load::target::Target;
use crate::load::{mirror, written};
use crate::objects::{ObjectType, RecordId};

const DOING: &str = "planning what hangs on records";

/// Rows a bucket should hold.
const BUCKET_ROWS: u64 = 32_768;
const LEAST_BUCKETS: u64 = 8;
const MOST_BUCKETS: u64 = 1_024;
/// Records whose associations are read by one call (section 11 of the API reference).
pub(crate) const READ_AT_ONCE: usize = 1_000;
/// Rows of a plan put aside together.
const ROWS_AT_ONCE: usize = 8_192;

/// Plans one part of a write-back, by its name among [`super::parts`]. To be
/// called when the write-back's records, and all others, have been written:
/// rows whose records do not exist yet are left to the next run.
///
/// # Errors
/// As [`crate::load::plan()`]; a label or list that the account lacks and the
/// settings do not declare.
pub async fn plan_part(
    lake: &Lake,
    client: &Client,
    name: &str,
    request: PlanRequest<'_>,
) -> Result<PlanSummary, LoadError> {
    if let Some(config) = status_config(name, request.config) {
        return plan_status(lake, client, &config, name, request).await;
    }
    let part = Part::find(name, request.config)?;
    let target = Target::new(write_back_of(name), request.config, request.definitions)?;
    let mirror = mirror::open(lake, &part.object).await?;
    let mirror = mirror.ok_or_else(|| LoadError::NoMirror { object: part.object.to_string() })?;
    let mut planner = Planner::open(lake, client, part, &mirror, &request).await?;
    let resolved = {
        let target = Arc::new(carrying(&target, &planner.part.columns()));
        let (count, disk) = (planner.count, planner.disk.clone());
        resolve(request.wanted, target, &mirror, &planner.aliases, count, disk).await?
    };
    (planner.counts.wanted, planner.model_rows) = (resolved.total, resolved.total);
    // With no record there is nothing that could be linked, and of an object
    // type that is still to be made HubSpot has nothing to tell.
    let read = mirror.row_count() > 0;
    planner.decide(resolved.buckets, read).await?;
    let verdicts = verdicts(
        &planner.part,
        &request.config.guards,
        &planner.counts,
        planner.model_rows,
        planner.made,
        request.accepted,
    );
    let sends = planner.counts.created + planner.counts.updated + planner.counts.archived > 0
        || !planner.definitions.is_empty();
    planner.finish(sends || request.store == Store::Always, verdicts).await
}

/// What the write-back's guards say to a part: `max_changed` counts every
/// thing made or taken back, `min_rows` only the model's rows; `max_creates` and
/// `max_archives` are about records and say nothing.
pub(crate) fn verdicts(
    part: &Part,
    guards: &GuardsConfig,
    counts: &Counts,
    model_rows: u64,
    made: u64,
    accepted: &BTreeSet<Guard>,
) -> Vec<GuardVerdict> {
    let is_event = matches!(part.kind, Kind::Event(_));
    let guards = GuardsConfig {
        max_creates: None,
        max_archives: None,
        max_changed: guards.max_changed.filter(|_| !is_event),
        ..guards.clone()
    };
    let counts = Counts {
        updated: counts.created + counts.updated + counts.archived,
        archived: 0,
        ..*counts
    };
    let (_, several) = part.noun();
    let named = |verdict: GuardVerdict| match verdict.guard {
        Guard::MaxChanged => {
            GuardVerdict { sentence: verdict.sentence.replace("records", several), ..verdict }
        }
        _ => verdict,
    };
    guards::evaluate(&guards, &counts, model_rows, made, accepted).into_iter().map(named).collect()
}

struct Planner<'a> {
    lake: &'a Lake,
    client: &'a Client,
    part: Part,
    nulls: Nulls,
    written: Option<Table>,
    /// Merged-away ids of the rows' records.
    aliases: Aliases,
    /// Merged-away ids of the others.
    other_aliases: Aliases,
    event_properties: Vec<String>,
    count: usize,
    disk: Arc<DiskManager>,
    heading: Heading,
    lag: Lag,
    book: RejectBook,
    counts: Counts,
    model_rows: u64,
    made: u64,
    definitions: Vec<PlannedDefinition>,
    pending: Vec<Decided>,
    /// The list is made anew: whatever hublake put into a former one says nothing.
    is_new_list: bool,
    /// Records and links of hublake's that were seen to be gone.
    taken_away: Vec<(i64, String)>,
    rows: Spool,
    row_count: u64,
    reads: u64,
    samples: Samples,
    stop: CancellationToken,
}

/// What is read of the records in question before they are decided.
enum Held<'a> {
    /// The associations with this type, and the mirror that takes them.
    Associations(&'a ObjectType, Option<Table>),
    /// Nothing: it is known already, or there is nothing to know.
    Known,
}

impl<'a> Planner<'a> {
    async fn open(
        lake: &'a Lake,
        client: &'a Client,
        part: Part,
        mirror: &Table,
        request: &PlanRequest<'_>,
    ) -> Result<Self, LoadError> {
        let object = part.ledger_object();
        let (run, now) = (request.run_id, request.now);
        let book = RejectBook::open(lake, request.pipeline, &part.name, &object, run, now).await?;
        let disk = Arc::new(DiskManagerBuilder::default().build().during(DOING)?);
        let heading = Heading {
            run_id: run.to_owned(),
            pipeline: request.pipeline.to_owned(),
            write_back: part.name.clone(),
            object,
            planned_at: now,
        };
        let other_aliases = match &part.kind {
            Kind::Associate { to, .. } => match mirror::open(lake, to).await? {
                Some(mirror) => aliases(&mirror).await?,
                None => Aliases::new(),
            },
            Kind::List(_) | Kind::Event(_) => Aliases::new(),
        };
        let event_properties = match &part.kind {
            Kind::Event(event) => event.properties.keys().cloned().collect(),
            Kind::List(_) | Kind::Associate { .. } => Vec::new(),
        };
        Ok(Self {
            lake,
            client,
            nulls: request.config.nulls,
            written: lake.table(&written::spec().name).await.during(DOING)?,
            aliases: aliases(mirror).await?,
            other_aliases,
            event_properties,
            count: (mirror.row_count() / BUCKET_ROWS).clamp(LEAST_BUCKETS, MOST_BUCKETS) as usize,
            rows: Spool::new(plan_rows::schema(), disk.clone()),
            disk,
            heading,
            lag: Lag { now, length: request.index_lag.as_micros() as i64 },
            book,
            counts: Counts::default(),
            model_rows: 0,
            made: 0,
            definitions: Vec::new(),
            pending: Vec::new(),
            is_new_list: false,
            taken_away: Vec::new(),
            row_count: 0,
            reads: 0,
            samples: Samples::default(),
            stop: request.stop.clone(),
            part,
        })
    }

    fn go_on(&self) -> Result<(), LoadError> {
        match self.stop.is_cancelled() {
            true => Err(LoadError::Interrupted { write_back: self.part.name.clone() }),
            false => Ok(()),
        }
    }

    async fn decide(&mut self, wants: Vec<Bucket>, read: bool) -> Result<(), LoadError> {
        let part = self.part.clone();
        let (written, disk) = (self.written.as_ref(), self.disk.clone());
        let made = held::made(written, &part, &self.aliases, self.count, disk.clone()).await?;
        self.made = made.count;
        let (holds, held) = match &part.kind {
            Kind::Associate { to, .. } => {
                if read {
                    let definition = types::planned_label(self.client, &part).await?;
                    self.reads += 1;
                    self.definitions.extend(definition);
                }
                let mirror = held::mirror(self.lake).await?;
                let from = &part.object;
                let holds = held::part(mirror.as_ref(), from, to, self.count, disk).await?;
                (holds, Held::Associations(to, mirror))
            }
            Kind::List(list) => {
                let members = match types::list_state(self.client, &part, list).await? {
                    ListState::There { id } => self.members(&id).await?,
                    ListState::ToCreate(definition) => {
                        self.definitions.push(definition);
                        self.is_new_list = true;
                        Vec::new()
                    }
                };
                (held::part_members(&members, self.count, disk)?, Held::Known)
            }
            Kind::Event(_) => (held::part_members(&[], self.count, disk)?, Held::Known),
        };
        let mut held = held;
        let known = self.book.known();
        let mut asked: Vec<Group> = Vec::new();
        for ((wants, made), holds) in wants.into_iter().zip(made.buckets).zip(holds) {
            self.go_on()?;
            let groups = self.groups(&part, wants, made, holds)?;
            for group in groups.into_values() {
                let rules = self.rules(&part, &known);
                let (decided, gone) = (rules.decide(&group), rules.taken_away(&group));
                let touches = decided.iter().any(Decided::touches) || !gone.is_empty();
                match &held {
                    Held::Associations(..) if touches => asked.push(group),
                    _ => {
                        self.note_gone(group.record, gone);
                        self.take(decided)?;
                    }
                }
                if asked.len() >= READ_AT_ONCE {
                    self.settle(&part, &known, &mut held, std::mem::take(&mut asked)).await?;
                }
            }
        }
        self.settle(&part, &known, &mut held, asked).await?;
        self.flush()
    }

    fn rules<'b>(&'b self, part: &'b Part, known: &'b crate::load::rejects::Known) -> Rules<'b> {
        Rules {
            part,
            nulls: self.nulls,
            lag: self.lag,
            known,
            aliases: &self.other_aliases,
            event_properties: &self.event_properties,
        }
    }

    /// The records of one bucket. Rows without a record end here.
    fn groups(
        &mut self,
        part: &Part,
        wants: Bucket,
        made: Bucket,
        holds: Bucket,
    ) -> Result<BTreeMap<i64, Group>, LoadError> {
        let mut groups: BTreeMap<i64, Group> = BTreeMap::new();
        let mut lost = Vec::new();
        for row in rows(&wants.read()?) {
            match row {
                Row::Found(record, want) => {
                    let group = groups.entry(record).or_insert_with(|| Group::of(record));
                    group.wants.push(want);
                }
                Row::Lost(given, code, sentence) if code == PENDING => {
                    let deferred = Decided::rejected(None, given, &code, sentence);
                    lost.push(Decided { action: Action::Defer, ..deferred });
                }
                Row::Lost(given, code, sentence) => {
                    lost.push(Decided::rejected(None, given, &code, sentence));
                }
            }
        }
        // A list says of every record whether it is a member; anything else
        // speaks only of the records that it has rows for.
        let (all, exact) = match &part.kind {
            Kind::List(list) => (true, list.exact),
            Kind::Associate { .. } | Kind::Event(_) => (false, false),
        };
        if !self.is_new_list {
            let (made, aliases) = (made.read()?, &self.other_aliases);
            held::made_into_groups(&made, part, aliases, &mut groups, all);
        }
        held::into_groups(&holds.read()?, &mut groups, exact);
        self.take(lost)?;
        Ok(groups)
    }

    async fn members(&mut self, list: &str) -> Result<Vec<i64>, LoadError> {
        let mut members = Vec::new();
        let mut after: Option<String> = None;
        loop {
            self.go_on()?;
            let page = self.client.list_members(list, after.as_deref()).await;
            let (page, next) = page.during("reading the members of a list")?;
            self.reads += 1;
            members.extend(page.iter().map(|member| member.record_id.0));
            match next {
                Some(next) => after = Some(next),
                None => return Ok(members),
            }
        }
    }

    /// Reads the associations of records that would be touched, decides them
    /// anew, and lets the mirror know.
    async fn settle(
        &mut self,
        part: &Part,
        known: &crate::load::rejects::Known,
        held: &mut Held<'_>,
        mut groups: Vec<Group>,
    ) -> Result<(), LoadError> {
        let Held::Associations(to, mirror) = held else { return Ok(()) };
        if groups.is_empty() {
            return Ok(());
        }
        self.go_on()?;
        let asked: Vec<RecordId> = groups.iter().map(|group| RecordId(group.record)).collect();
        let found = self.client.associations(&part.object, to, &asked).await;
        let found = found.during("reading the associations that a write-back touches")?;
        self.reads += 1;
        if let Some(mirror) = mirror {
            let covered: Vec<i64> = asked.iter().map(|id| id.0).collect();
            let pair = (&part.object, *to);
            held::refresh(mirror, pair, &covered, &found, self.lag.now).await?;
        }
        let mut fresh = types::by_record(found);
        for group in &mut groups {
            group.held = fresh.remove(&group.record).unwrap_or_default();
            let rules = self.rules(part, known);
            let (decided, gone) = (rules.decide(group), rules.taken_away(group));
            self.note_gone(group.record, gone);
            self.take(decided)?;
        }
        Ok(())
    }

    fn note_gone(&mut self, record: i64, gone: Vec<String>) {
        self.taken_away.extend(gone.into_iter().map(|property| (record, property)));
    }

    fn take(&mut self, decided: Vec<Decided>) -> Result<(), LoadError> {
        for one in decided {
            self.counts.add(one.outcome());
            if !one.property.is_empty() && one.new.is_empty() {
                // No row of the model asks for it: it is wanted gone.
                self.counts.wanted += 1;
            }
            self.counts.conflicts += u64::from(one.conflict);
            match one.action {
                Action::Unchanged => continue,
                Action::Reject => self.book.refuse(
                    &one.match_key,
                    Refused {
                        record_id: one.record,
                        by_hubspot: false,
                        message: one.reason.clone().unwrap_or_default(),
                        category: one.category.clone().unwrap_or_default(),
                        correlation_id: None,
                        fingerprint: one.fingerprint,
                    },
                    false,
                ),
                Action::Keep => {}
                _ => self.book.pending(&one.match_key),
            }
            self.pending.push(one);
        }
        if self.pending.len() >= ROWS_AT_ONCE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        let mut rows = Rows::default();
        let pending = std::mem::take(&mut self.pending);
        for one in &pending {
            rows.push(&one.row())?;
        }
        if pending.is_empty() {
            return Ok(());
        }
        let batch = rows.finish(&self.heading, self.row_count)?;
        self.row_count += batch.num_rows() as u64;
        self.samples.take(&batch)?;
        self.rows.push(batch)
    }

    async fn finish(
        mut self,
        stored: bool,
        guards: Vec<GuardVerdict>,
    ) -> Result<PlanSummary, LoadError> {
        debug_assert!(self.counts.close(), "the plan's counts do not close: {:?}", self.counts);
        if stored && self.row_count > 0 {
            let mut plans = self.lake.open_or_create(&plan_rows::spec()).await.during(DOING)?;
            plans.append_stream(self.rows.into_stream()?, &[]).await.during("storing the plan")?;
        }
        written::note_taken_away(self.lake, &self.heading, std::mem::take(&mut self.taken_away))
            .await?;
        self.book.fix_unmet();
        self.book.store(self.lake).await?;
        Ok(PlanSummary {
            run_id: self.heading.run_id,
            write_back: self.heading.write_back,
            object: self.heading.object,
            planned_at: self.heading.planned_at,
            counts: self.counts,
            model_rows: Some(self.model_rows),
            written_before: self.made,
            read_calls: self.reads,
            batch: self.part.batch(false) as u64,
            properties: PropertyPlan::default(),
            definitions: self.definitions,
            guards,
            stored,
            samples: self.samples.into_rows(),
            undoes: None,
        })
    }
}

impl Decided {
    /// As a row of `system.plans`.
    fn row(&self) -> plan_rows::Row<'_> {
        let change = (!self.property.is_empty()).then(|| Change {
            property: &self.property,
            new: self.new.as_str().into(),
            old: self.old.as_str().into(),
            last_set: self.last_set.as_deref(),
            verdict: self.verdict,
            conflict: self.conflict,
            theirs: false,
        });
        plan_rows::Row {
            action: self.action,
            record_id: self.record,
            match_key: Some(&self.match_key),
            changes: change.into_iter().collect(),
            category: self.category.as_deref(),
            reason: self.reason.as_deref(),
            fingerprint: self.fingerprint,
        }
    }
}
