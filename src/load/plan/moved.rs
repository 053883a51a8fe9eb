//! A stored plan met with one made now: which of its rows would be sent
//! otherwise, and the plan that keeps the rest as it was stored.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::rows::{self, Heading, PlanCursors, PlannedChange, PlannedRow};
use super::spill::{Bucket, Buckets, Spool};
use super::summary::{PlanSummary, Samples};
use super::{BUCKET_ROWS, MOST_BUCKETS};
use crate::lake::{Lake, Table};
use crate::load::error::{LoadError, While};
use crate::load::links::write_back_of;
use crate::load::outcome::Outcome;

const DOING: &str = "comparing a stored plan with what it would be now";

/// Rows that are told of one by one.
const MOST_TOLD: usize = 10;

/// The actions whose rows are sent.
const SENT: [&str; 5] = ["create", "update", "archive", "link", "unlink"];

/// A stored plan, and the plan of the same write-back made now.
pub struct RenewRequest<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The plan that somebody has looked at.
    pub stored: &'a PlanSummary,
    /// The plan as it would be now; its rows are stored too.
    pub current: &'a PlanSummary,
    /// The run that the renewed plan is stored under.
    pub run_id: &'a str,
    /// The time, µs since 1970, UTC: later than both plans.
    pub now: i64,
    /// Store the renewed plan; else only look.
    pub keep: bool,
}

/// What has moved under a stored plan.
#[derive(Debug)]
pub struct Renewed {
    /// Its rows that would not be sent as they were planned.
    pub moved: u64,
    /// The first of them: which record, and what of it. Without values.
    pub sentences: Vec<String>,
    /// Where asked for: the stored plan with what moved planned as it is now, and
    /// nothing that it had not planned before.
    pub plan: Option<PlanSummary>,
}

/// Refuses a plan that was begun before, or a newer one of its write-back.
///
/// # Errors
/// [`LoadError::PlanOutOfDate`]; the lake cannot be read.
pub async fn check_unapplied(
    lake: &Lake,
    pipeline: &str,
    plan: &PlanSummary,
) -> Result<(), LoadError> {
    let plans = lake.table(&rows::spec().name).await.during(DOING)?;
    let begun = plans.and_then(|plans| PlanCursors::new(pipeline, &plan.write_back).newest(&plans));
    match begun.is_some_and(|at| at >= plan.planned_at) {
        true => Err(LoadError::PlanOutOfDate {
            run_id: plan.run_id.clone(),
            write_back: plan.write_back.clone(),
        }),
        false => Ok(()),
    }
}

/// Meets a stored plan with the plan as it would be now, row by row; memory is
/// bounded by a bucket of them.
///
/// A row has moved when it would be sent otherwise: to another record, by another
/// action, with another value or over another one. What is new in the plan of
/// now is not this plan's business.
///
/// # Errors
/// The lake fails.
pub async fn renew(lake: &Lake, request: RenewRequest<'_>) -> Result<Renewed, LoadError> {
    let mut renewed = Renewed { moved: 0, sentences: Vec::new(), plan: None };
    let plans = lake.table(&rows::spec().name).await.during(DOING)?;
    let (stored, current) = (request.stored, request.current);
    let disk = Arc::new(DiskManagerBuilder::default().build().during(DOING)?);
    let about = About::of(stored);
    let mut counts = stored.counts;
    let mut spool = Spool::new(rows::schema(), disk.clone());
    let mut samples = Samples::default();
    let mut written = 0;
    let heading = Heading {
        run_id: request.run_id.to_owned(),
        pipeline: request.pipeline.to_owned(),
        write_back: stored.write_back.clone(),
        object: stored.object.clone(),
        planned_at: request.now,
    };
    if let Some(plans) = &plans {
        let rows = stored.counts.wanted - stored.counts.unchanged;
        let count = (rows / BUCKET_ROWS).clamp(1, MOST_BUCKETS) as usize;
        let before =
            part(plans, &request, stored, Buckets::new(rows::schema(), count, disk.clone()));
        let before = before.await?;
        let after =
            part(plans, &request, current, Buckets::new(rows::schema(), count, disk)).await?;
        for (before, after) in before.into_iter().zip(after) {
            let met = Met::read(before, after, about)?;
            for movement in &met.moved {
                let (row, now) = (&met.before[movement.row], movement.now.map(|at| &met.after[at]));
                counts.turn(outcome(row), now.map_or(Outcome::Unchanged, outcome));
                counts.conflicts -= conflicts(row).min(counts.conflicts);
                counts.conflicts += now.map_or(0, conflicts);
                if renewed.sentences.len() < MOST_TOLD {
                    renewed.sentences.push(sentence(row, now));
                }
            }
            renewed.moved += met.moved.len() as u64;
            if request.keep {
                let batch = rows::restamped(&met.renewed()?, &heading, written)?;
                written += batch.num_rows() as u64;
                samples.take(&batch)?;
                spool.push(batch)?;
            }
        }
    }
    if request.keep {
        if written > 0 {
            let mut plans = lake.open_or_create(&rows::spec()).await.during(DOING)?;
            plans.append_stream(spool.into_stream()?, &[]).await.during("storing the plan")?;
        }
        debug_assert!(counts.close(), "the renewed plan's counts do not close: {counts:?}");
        renewed.plan = Some(PlanSummary {
            run_id: heading.run_id,
            planned_at: heading.planned_at,
            counts,
            written_before: current.written_before,
            model_rows: current.model_rows,
            read_calls: current.read_calls,
            samples: samples.into_rows(),
            stored: true,
            ..stored.clone()
        });
    }
    Ok(renewed)
}

/// A plan's rows, parted so that rows of one thing meet.
async fn part(
    plans: &Table,
    request: &RenewRequest<'_>,
    plan: &PlanSummary,
    mut buckets: Buckets,
) -> Result<Vec<Bucket>, LoadError> {
    let about = About::of(plan);
    let filter = rows::of_plan(request.pipeline, &plan.write_back, plan.planned_at)
        .and(col("run_id").eq(lit(plan.run_id.as_str())));
    let mut batches = plans.scan(None, Some(filter)).await.during(DOING)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        let batch = RecordBatch::try_new(rows::schema(), batch.columns().to_vec()).during(DOING)?;
        let hash = |row: &PlannedRow| {
            let mut hasher = DefaultHasher::new();
            bucket(row, about).hash(&mut hasher);
            hasher.finish()
        };
        let hashes: Vec<u64> = rows::decode(&batch)?.iter().map(hash).collect();
        buckets.push(batch, &hashes)?;
    }
    buckets.finish()
}

/// What the rows of a plan are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// Records, of which a write-back's own rows find one each by a key.
    Keys,
    /// Records that are told of a refusal.
    Records,
    /// Things that hang on records.
    Links,
}

impl About {
    fn of(plan: &PlanSummary) -> Self {
        match (write_back_of(&plan.write_back) == plan.write_back, plan.object.contains('.')) {
            (true, _) => Self::Keys,
            (false, true) => Self::Links,
            (false, false) => Self::Records,
        }
    }
}

/// What a row is about, in any plan of its write-back: the model's key, or the
/// record that no row means any more. Of what hangs on a record, the one thing.
fn identity(row: &PlannedRow, about: About) -> String {
    let record = row.record_id.map(|id| id.to_string()).unwrap_or_default();
    match (about, row.changes.keys().next(), &row.match_key) {
        (About::Links, Some(thing), _) => format!("{record}/{thing}"),
        (About::Links, None, Some(key)) => refused(row, key),
        (About::Keys, _, Some(key)) => format!("key {key}"),
        _ => record,
    }
}

/// What a row of a link is about that is refused, and names no thing therefore.
fn refused(row: &PlannedRow, key: &str) -> String {
    format!("{} of {key}", row.record_id.unwrap_or_default())
}

/// Rows that are to meet lie in one bucket: those of a record, where a row of it
/// may have lost its name.
fn bucket(row: &PlannedRow, about: About) -> String {
    match (about, row.record_id) {
        (About::Links, Some(id)) => id.to_string(),
        _ => identity(row, about),
    }
}

/// A row of the stored plan that would not be sent as planned, and its place in
/// the plan of now, where it has one.
struct Movement {
    row: usize,
    now: Option<usize>,
}

/// A bucket of both plans.
struct Met {
    batches: [RecordBatch; 2],
    before: Vec<PlannedRow>,
    after: Vec<PlannedRow>,
    moved: Vec<Movement>,
}

impl Met {
    fn read(before: Bucket, after: Bucket, about: About) -> Result<Self, LoadError> {
        let batches = [before.read()?, after.read()?];
        let (before, after) = (rows::decode(&batches[0])?, rows::decode(&batches[1])?);
        let mut now: HashMap<String, usize> = HashMap::new();
        for (at, row) in after.iter().enumerate() {
            // Of two rows with one key, both are refused: either tells so.
            now.entry(identity(row, about)).or_insert(at);
        }
        let is_sent = |row: &PlannedRow| SENT.contains(&row.action.as_str());
        let moved = (before.iter().enumerate())
            .filter(|(_, row)| is_sent(row))
            .map(|(at, row)| {
                let found = now.get(&identity(row, about)).or_else(|| {
                    let key = row.match_key.as_deref().filter(|_| about == About::Links)?;
                    now.get(&refused(row, key))
                });
                Movement { row: at, now: found.copied() }
            })
            .filter(|movement| {
                !movement.now.is_some_and(|at| is_same(&before[movement.row], &after[at]))
            })
            .collect();
        Ok(Self { batches, before, after, moved })
    }

    /// The stored rows, those that moved as they are planned now.
    fn renewed(&self) -> Result<RecordBatch, LoadError> {
        let moved: HashSet<usize> = self.moved.iter().map(|movement| movement.row).collect();
        let kept: UInt32Array =
            (0..self.before.len()).filter(|at| !moved.contains(at)).map(|at| at as u32).collect();
        let anew: UInt32Array =
            self.moved.iter().filter_map(|movement| movement.now).map(|at| at as u32).collect();
        let [before, after] = &self.batches;
        let kept = take_record_batch(before, &kept).during(DOING)?;
        let anew = take_record_batch(after, &anew).during(DOING)?;
        concat_batches(&rows::schema(), [&kept, &anew]).during(DOING)
    }
}

/// Whether both rows send the same to the same record, over the same values.
fn is_same(row: &PlannedRow, now: &PlannedRow) -> bool {
    let writes = |row: &PlannedRow| {
        let writes = row.changes.iter().filter(|(_, change)| decides(change));
        let sent = writes.map(|(name, change)| {
            (name.clone(), change.old.clone(), change.new.clone(), change.decision.clone())
        });
        sent.collect::<Vec<_>>()
    };
    row.action == now.action && row.record_id == now.record_id && writes(row) == writes(now)
}

/// Whether a row is sent for this: a stamp follows the others, and the time.
fn decides(change: &PlannedChange) -> bool {
    change.is_write() && !change.is_stamp()
}

fn outcome(row: &PlannedRow) -> Outcome {
    match row.action.as_str() {
        "create" => Outcome::Created,
        // Over something that is there already it is counted as a change of it.
        "link" => match row.changes.values().any(|change| {
            change.is_write() && change.old.as_deref().is_some_and(|old| !old.is_empty())
        }) {
            true => Outcome::Updated,
            false => Outcome::Created,
        },
        "update" => Outcome::Updated,
        "archive" | "unlink" => Outcome::Archived,
        "kept" => Outcome::Kept,
        "rejected" => Outcome::Rejected,
        "deferred" => Outcome::Deferred,
        _ => Outcome::Unchanged,
    }
}

fn conflicts(row: &PlannedRow) -> u64 {
    row.changes.values().filter(|change| change.conflict).count() as u64
}

/// What of a row has moved. Values and keys stay out of it: sentences go to
/// results that anybody may read.
fn sentence(row: &PlannedRow, now: Option<&PlannedRow>) -> String {
    let which = match row.record_id {
        Some(id) => format!("record {id}"),
        None => format!("the record to create by row {} of the plan", row.seq),
    };
    let Some(now) = now else {
        return format!(
            "{which}: nothing is left to do, as HubSpot holds it by now, the model no longer wants it, or its record \
             is gone"
        );
    };
    if row.record_id.is_some() && now.record_id != row.record_id {
        return format!("{which}: the model's key finds another record now");
    }
    if row.action != now.action {
        let category = now.category.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        return format!("{which}: planned as `{}`, now `{}`{category}", row.action, now.action);
    }
    let told = row.changes.iter().filter(|(_, change)| decides(change)).filter_map(
        |(name, was)| match now.changes.get(name).filter(|change| decides(change)) {
            None => Some(format!("`{name}` is no longer to be written")),
            Some(is) if is.old != was.old => Some(format!("`{name}` was changed in HubSpot")),
            Some(is) if is.new != was.new => Some(format!("the model wants another `{name}`")),
            Some(is) if is.decision != was.decision => {
                Some(format!("`{name}` is written in another way"))
            }
            Some(_) => None,
        },
    );
    let is_new = |name: &str| !row.changes.get(name).is_some_and(decides);
    let more = (now.changes.iter())
        .filter(|(name, change)| decides(change) && is_new(name))
        .map(|(name, _)| format!("`{name}` is to be written too"));
    let told: Vec<String> = told.chain(more).collect();
    format!("{which}: {}", told.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn row(old: &str, new: &str) -> PlannedRow {
        let change = PlannedChange {
            old: Some(old.to_owned()),
            new: new.to_owned(),
            last_set: None,
            decision: rows::WRITE.to_owned(),
            reason: None,
            conflict: false,
            theirs: false,
        };
        PlannedRow {
            seq: 4,
            action: "update".to_owned(),
            record_id: Some(7),
            match_key: Some("someone@example.com".to_owned()),
            trace_id: "t".to_owned(),
            changes: BTreeMap::from([("score".to_owned(), change)]),
            category: None,
            reason: None,
            fingerprint: 0,
        }
    }

    #[test]
    fn what_moved_is_told_without_values_or_keys() {
        let was = row("1", "2");
        let told = |now: Option<&PlannedRow>| sentence(&was, now);
        assert!(is_same(&was, &PlannedRow { seq: 9, ..row("1", "2") }));
        assert_eq!(told(Some(&row("7", "2"))), "record 7: `score` was changed in HubSpot");
        assert_eq!(told(Some(&row("1", "3"))), "record 7: the model wants another `score`");
        let kept = PlannedRow { action: "kept".to_owned(), ..row("1", "2") };
        assert!(!is_same(&was, &kept));
        assert_eq!(told(Some(&kept)), "record 7: planned as `update`, now `kept`");
        assert!(told(None).starts_with("record 7: nothing is left to do"));
        let other = PlannedRow { record_id: Some(8), ..row("1", "2") };
        assert!(!is_same(&was, &other));
        assert!(told(Some(&other)).contains("another record"));
    }

    #[test]
    fn a_link_over_something_counts_as_a_change() {
        let link = |old: &str| PlannedRow { action: "link".to_owned(), ..row(old, "Owner") };
        assert_eq!(outcome(&link("")), Outcome::Created);
        assert_eq!(outcome(&link("Billing")), Outcome::Updated);
    }

    #[test]
    fn what_hangs_on_a_record_is_told_apart_by_the_thing() {
        let (mut a, b) = (row("", ""), row("", ""));
        let change = a.changes.remove("score").expect("a change");
        a.changes.insert("9001:Primary".to_owned(), change);
        assert_ne!(identity(&a, About::Links), identity(&b, About::Links));
        assert_eq!(bucket(&a, About::Links), bucket(&b, About::Links));
        assert_eq!(identity(&a, About::Keys), identity(&b, About::Keys));
        assert_eq!(identity(&a, About::Records), identity(&b, About::Records));
        // One that is refused now has no thing, and is about the same.
        let mut lost = row("", "");
        lost.changes.clear();
        assert_eq!(identity(&lost, About::Links), refused(&a, "someone@example.com"));
    }
}
