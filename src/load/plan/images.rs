//! What one run wrote, by record: the values it found and those it left.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, Int64Builder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::execution::DiskManager;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::last_set::Sieve;
use super::rows;
use super::spill::{Bucket, Buckets};
use crate::lake::{Lake, Table};
use crate::load::error::{LoadError, While};
use crate::load::ledger::{self, WrittenProperty};
use crate::load::outcome::Outcome;
use crate::load::written::{self, INTENDED, trace_hash};

const DOING: &str = "reading what a run wrote";

/// Stands for a row of a plan that was cut off: it may have been written.
const CUT_OFF: &str = "cut off";

/// What one run sent for one write-back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoPart {
    /// The pipeline.
    pub pipeline: String,
    /// The write-back.
    pub write_back: String,
    /// Its object type.
    pub object: String,
    /// The properties that were sent; of associations and members, one of them.
    pub properties: BTreeSet<String>,
    /// Rows that the ledger and the run's own plan have of it, at most two a record.
    pub rows: u64,
    /// Records that were created.
    pub created: u64,
}

/// The run that is taken back: its id, the beginnings of the trace ids of its
/// plans, which another run may have applied, and the runs whose plans it applied.
pub(super) struct Undone {
    run_id: String,
    traces: Vec<String>,
    planned_by: BTreeSet<String>,
}

impl Undone {
    pub(super) async fn find(lake: &Lake, run_id: &str) -> Result<Self, LoadError> {
        let mut stamps = BTreeSet::new();
        if let Some(plans) = lake.table(&rows::spec().name).await.during(DOING)? {
            let filter = col("run_id").eq(lit(run_id));
            let mut batches =
                plans.scan(Some(&["planned_at"]), Some(filter)).await.during(DOING)?;
            while let Some(batch) = batches.next().await {
                let batch = batch.during(DOING)?;
                let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
                stamps.extend(times.iter().flatten());
            }
        }
        let traces = stamps.into_iter().map(|stamp| format!("{stamp:x}-%")).collect();
        let mut planned_by = planners(lake, run_id).await?;
        planned_by.insert(run_id.to_owned());
        Ok(Self { run_id: run_id.to_owned(), traces, planned_by })
    }

    /// Rows of the plans that it carried out.
    fn planned(&self) -> Expr {
        let runs = self.planned_by.iter().map(|run| lit(run.as_str())).collect();
        col("run_id").in_list(runs, false)
    }

    fn entries(&self) -> Expr {
        let planned = self.traces.iter().map(|trace| col("trace_id").like(lit(trace.as_str())));
        planned.fold(col("run_id").eq(lit(self.run_id.as_str())), Expr::or)
    }
}

/// The runs whose plans a run carried out, as far as its ledger tells.
async fn planners(lake: &Lake, run_id: &str) -> Result<BTreeSet<String>, LoadError> {
    let mut runs = BTreeSet::new();
    let writes = lake.table(&ledger::spec().name).await.during(DOING)?;
    let plans = lake.table(&rows::spec().name).await.during(DOING)?;
    let (Some(writes), Some(plans)) = (writes, plans) else { return Ok(runs) };
    let mut stamps = BTreeSet::new();
    let filter = col("run_id").eq(lit(run_id));
    let mut batches = writes.scan(Some(&["trace_id"]), Some(filter)).await.during(DOING)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        let traces = batch.column(0).as_string::<i32>().iter().flatten();
        let stamp = |trace: &str| i64::from_str_radix(trace.split_once('-')?.0, 16).ok();
        stamps.extend(traces.filter_map(stamp));
    }
    if stamps.is_empty() {
        return Ok(runs);
    }
    let columns = ["run_id", "planned_at"];
    let mut batches = plans.scan(Some(&columns), None).await.during(DOING)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.during(DOING)?;
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for (run, at) in batch.column(0).as_string::<i32>().iter().zip(times) {
            if let (Some(run), Some(at)) = (run, at)
                && stamps.contains(&at)
                && !runs.contains(run)
            {
                runs.insert(run.to_owned());
            }
        }
    }
    Ok(runs)
}

/// What a run sent, by write-back, in no particular order; empty where it sent
/// nothing, or nobody knows the run.
///
/// # Errors
/// The lake cannot be read.
pub async fn undo_parts(lake: &Lake, run_id: &str) -> Result<Vec<UndoPart>, LoadError> {
    let undone = Undone::find(lake, run_id).await?;
    let mut parts: BTreeMap<(String, String, String), UndoPart> = BTreeMap::new();
    if let Some(writes) = lake.table(&ledger::spec().name).await.during(DOING)? {
        let columns = ["pipeline", "write_back", "object", "outcome", "properties"];
        let mut batches =
            writes.scan(Some(&columns), Some(undone.entries())).await.during(DOING)?;
        while let Some(batch) = batches.next().await {
            note(&batch.during(DOING)?, &mut parts)?;
        }
    }
    // A run that was cut off may have sent what the ledger does not know of.
    if let Some(plans) = lake.table(&rows::spec().name).await.during(DOING)? {
        let filter = undone.planned().and(sent());
        let columns = ["pipeline", "write_back", "object", "action", "changes"];
        let mut batches = plans.scan(Some(&columns), Some(filter)).await.during(DOING)?;
        while let Some(batch) = batches.next().await {
            note(&batch.during(DOING)?, &mut parts)?;
        }
    }
    Ok(parts.into_values().filter(|part| !part.properties.is_empty()).collect())
}

/// The rows of plans that may have been sent although the ledger does not know.
fn sent() -> Expr {
    col("action").in_list(["update", "link", "unlink"].map(lit).to_vec(), false)
}

fn note(
    batch: &RecordBatch,
    parts: &mut BTreeMap<(String, String, String), UndoPart>,
) -> Result<(), LoadError> {
    for row in 0..batch.num_rows() {
        let text = |at: usize| batch.column(at).as_string::<i32>().value(row);
        let key = (text(0).to_owned(), text(1).to_owned(), text(2).to_owned());
        let part = parts.entry(key).or_insert_with_key(|(pipeline, write_back, object)| UndoPart {
            pipeline: pipeline.clone(),
            write_back: write_back.clone(),
            object: object.clone(),
            properties: BTreeSet::new(),
            rows: 0,
            created: 0,
        });
        // Plans and the ledger keep a map by property, both with what is new.
        let sent: BTreeMap<String, WrittenProperty> =
            serde_json::from_str(text(4)).during(DOING)?;
        let names = sent.into_iter().filter(|(_, value)| value.new.is_some());
        let names = names.map(|(name, _)| name);
        // Of links, which are as many as rows, one tells the label of all.
        match part.object.contains('.') && !part.properties.is_empty() {
            true => {}
            false => part.properties.extend(names),
        }
        part.rows += u64::from(text(3) != ledger::CLEARED);
        part.created += u64::from(text(3) == Outcome::Created.name());
    }
    Ok(())
}

/// One record as a run found and left it.
#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) record_id: i64,
    pub(super) match_key: Option<String>,
    pub(super) created: bool,
    pub(super) archived: bool,
    pub(super) touched: BTreeMap<String, Touched>,
}

/// One property as a run found and left it.
#[derive(Debug)]
pub(super) struct Touched {
    found_at: i64,
    /// What HubSpot held before; empty for nothing.
    pub(super) before: String,
    /// That was what hublake had last set, or nothing.
    pub(super) before_ours: bool,
    left_at: i64,
    /// What was sent last.
    pub(super) sent: String,
    /// What HubSpot answered to it.
    pub(super) answered: Option<String>,
    /// When it was written, µs since 1970.
    pub(super) written_at: i64,
    /// The record's modified date in the answer, µs since 1970.
    pub(super) updated_at: Option<i64>,
    /// No outcome is known.
    cut_off: bool,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("record_id", DataType::Int64, false),
        Field::new("match_key", DataType::Utf8, true),
        Field::new("outcome", DataType::Utf8, true),
        Field::new("properties", DataType::Utf8, true),
        Field::new("stamp", DataType::Int64, true),
        Field::new("written_at", DataType::Int64, true),
        Field::new("updated_at", DataType::Int64, true),
    ]))
}

/// What a run wrote, parted by record, and the records.
pub(super) async fn part(
    lake: &Lake,
    undone: &Undone,
    part: &UndoPart,
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<(Vec<Bucket>, Sieve), LoadError> {
    let mut buckets = Buckets::new(schema(), count, disk);
    let mut records = Sieve::new();
    let own = col("pipeline")
        .eq(lit(part.pipeline.as_str()))
        .and(col("write_back").eq(lit(part.write_back.as_str())))
        .and(col("object").eq(lit(part.object.as_str())));
    let mut known = HashSet::new();
    if let Some(writes) = lake.table(&ledger::spec().name).await.during(DOING)? {
        let columns = [
            "record_id",
            "match_key",
            "outcome",
            "properties",
            "stamp",
            "written_at",
            "updated_at",
            "trace_id",
        ];
        let filter = own.clone().and(undone.entries());
        let mut batches = writes.scan(Some(&columns), Some(filter)).await.during(DOING)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.during(DOING)?;
            let traces: &StringArray = batch.column(7).as_string();
            known.extend(traces.iter().flatten().map(trace_hash));
            put(&mut buckets, &mut records, of_ledger(&batch)?)?;
        }
    }
    if let Some(plans) = lake.table(&rows::spec().name).await.during(DOING)? {
        let filter = own.and(undone.planned()).and(sent());
        let mut batches = plans.scan(None, Some(filter)).await.during(DOING)?;
        while let Some(batch) = batches.next().await {
            put(&mut buckets, &mut records, of_plan(&batch.during(DOING)?, &known)?)?;
        }
    }
    Ok((buckets.finish()?, records))
}

fn put(buckets: &mut Buckets, records: &mut Sieve, batch: RecordBatch) -> Result<(), LoadError> {
    let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    ids.iter().for_each(|id| records.insert(*id));
    let hashes: Vec<u64> = ids.into_iter().map(|id| id as u64).collect();
    buckets.push(batch, &hashes)
}

/// The entries of the ledger that took a value, or may have.
fn of_ledger(batch: &RecordBatch) -> Result<RecordBatch, LoadError> {
    const TOLD: [Outcome; 5] =
        [Outcome::Created, Outcome::Updated, Outcome::Archived, Outcome::Kept, Outcome::Unknown];
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let outcomes: &StringArray = batch.column(2).as_string();
    let tells = |row: usize| {
        let outcome = outcomes.value(row);
        ids.is_valid(row)
            && (outcome == ledger::CLEARED || TOLD.iter().any(|told| told.name() == outcome))
    };
    let keep = (0..batch.num_rows()).map(|row| Some(tells(row))).collect();
    let kept = arrow::compute::filter_record_batch(batch, &keep).during(DOING)?;
    let micros = |at: usize| -> ArrayRef {
        let times = kept.column(at).as_primitive::<TimestampMicrosecondType>();
        Arc::new(times.reinterpret_cast::<Int64Type>())
    };
    let mut columns: Vec<ArrayRef> = kept.columns()[..5].to_vec();
    columns.extend([micros(5), micros(6)]);
    RecordBatch::try_new(schema(), columns).during(DOING)
}

/// The rows of a plan that the ledger does not know.
fn of_plan(batch: &RecordBatch, known: &HashSet<u64>) -> Result<RecordBatch, LoadError> {
    let (mut ids, mut keys) = (Int64Builder::new(), StringBuilder::new());
    let (mut properties, mut stamps) = (StringBuilder::new(), Int64Builder::new());
    let planned_at = batch.column_by_name("planned_at");
    for row in 0..batch.num_rows() {
        let planned = rows::decode_row(batch, row)?;
        let Some(id) = planned.record_id else { continue };
        if known.contains(&trace_hash(&planned.trace_id)) {
            continue;
        }
        let writes = planned.changes.into_iter().filter(|(_, change)| change.is_write());
        let sent: BTreeMap<String, WrittenProperty> = writes
            .map(|(name, change)| {
                let (held_ours, theirs) = (change.held_ours(), change.theirs);
                let (old, new) = (change.old, Some(change.new));
                (name, WrittenProperty { old, new, returned: None, held_ours, theirs })
            })
            .collect();
        ids.append_value(id);
        keys.append_option(planned.match_key);
        properties.append_value(serde_json::to_string(&sent).during(DOING)?);
        let times = planned_at.map(|times| times.as_primitive::<TimestampMicrosecondType>());
        stamps.append_option(times.map(|times| times.value(row)));
    }
    let (ids, stamps) = (ids.finish(), Arc::new(stamps.finish()));
    let outcomes = StringArray::from(vec![CUT_OFF; ids.len()]);
    let none = Int64Array::new_null(ids.len());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids),
        Arc::new(keys.finish()),
        Arc::new(outcomes),
        Arc::new(properties.finish()),
        stamps.clone(),
        stamps,
        Arc::new(none),
    ];
    RecordBatch::try_new(schema(), columns).during(DOING)
}

/// The images of a bucket, in order of record.
pub(super) fn read(bucket: &RecordBatch) -> Result<Vec<Image>, LoadError> {
    let mut images: BTreeMap<i64, Image> = BTreeMap::new();
    let text = |at: usize, row: usize| {
        let texts: &StringArray = bucket.column(at).as_string();
        texts.is_valid(row).then(|| texts.value(row))
    };
    let number = |at: usize, row: usize| {
        let numbers = bucket.column(at).as_primitive::<Int64Type>();
        numbers.is_valid(row).then(|| numbers.value(row))
    };
    for row in 0..bucket.num_rows() {
        let id = number(0, row).unwrap_or_default();
        let image = images.entry(id).or_insert_with(|| Image { record_id: id, ..Image::default() });
        let outcome = text(2, row).unwrap_or_default();
        image.match_key = image.match_key.take().or(text(1, row).map(str::to_owned));
        image.created |= outcome == Outcome::Created.name();
        image.archived |= outcome == Outcome::Archived.name();
        let stamp = number(4, row).unwrap_or_default();
        let sent: BTreeMap<String, WrittenProperty> =
            serde_json::from_str(text(3, row).unwrap_or("{}")).during(DOING)?;
        for (name, value) in sent {
            let Some(new) = value.new else { continue };
            let next = Touched {
                found_at: stamp,
                before: value.old.unwrap_or_default(),
                before_ours: value.held_ours,
                left_at: stamp,
                sent: new,
                answered: value.returned,
                written_at: number(5, row).unwrap_or(stamp),
                updated_at: number(6, row),
                cut_off: outcome == CUT_OFF,
            };
            match image.touched.get_mut(&name) {
                None => drop(image.touched.insert(name, next)),
                Some(known) => known.join(next),
            }
        }
    }
    Ok(images.into_values().collect())
}

impl Touched {
    /// Several writes of one run are one: found before the first, left by the last.
    fn join(&mut self, other: Self) {
        let (first, last) = match self.left_at <= other.left_at {
            true => (&*self, &other),
            false => (&other, &*self),
        };
        let joined = Self {
            found_at: first.found_at,
            before: first.before.clone(),
            before_ours: first.before_ours,
            left_at: last.left_at,
            sent: last.sent.clone(),
            answered: last.answered.clone(),
            written_at: last.written_at,
            updated_at: last.updated_at,
            cut_off: last.cut_off,
        };
        *self = joined;
    }
}

/// What is known of later writes to the records of a run.
#[derive(Default)]
pub(super) struct Later {
    /// When each value was last written, µs since 1970.
    written: HashMap<(i64, String), i64>,
    /// The values that the run meant to write and may have written.
    meant: HashSet<(i64, String)>,
}

fn later_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("record_id", DataType::Int64, true),
        Field::new("property", DataType::Utf8, true),
        Field::new("state", DataType::Utf8, true),
        Field::new("run_id", DataType::Utf8, true),
        Field::new("written_at", DataType::Int64, true),
    ]))
}

/// What hublake last set of these properties, for these records, parted alike;
/// and how many records it has written to.
pub(super) async fn later(
    written: Option<&Table>,
    part: &UndoPart,
    records: &Sieve,
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<(Vec<Bucket>, u64), LoadError> {
    let mut buckets = Buckets::new(later_schema(), count, disk);
    let mut of_property: HashMap<String, u64> = HashMap::new();
    if let Some(written) = written {
        let names = part.properties.iter().map(|name| lit(name.as_str())).collect();
        let of_object = col("object").eq(lit(part.object.as_str()));
        let filter = match part.object.contains('.') {
            // One link is one property.
            true => of_object,
            false => of_object.and(col("property").in_list(names, false)),
        };
        let columns = ["record_id", "property", "state", "run_id", "written_at"];
        let mut batches = written.scan(Some(&columns), Some(filter)).await.during(DOING)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.during(DOING)?;
            for name in batch.column(1).as_string::<i32>().iter().flatten() {
                match of_property.get_mut(name) {
                    Some(count) => *count += 1,
                    None => drop(of_property.insert(name.to_owned(), 1)),
                }
            }
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let keep =
                ids.iter().map(|id| Some(id.is_some_and(|id| records.may_hold(id)))).collect();
            let batch = arrow::compute::filter_record_batch(&batch, &keep).during(DOING)?;
            let mut columns: Vec<ArrayRef> = batch.columns()[..4].to_vec();
            let times = batch.column(4).as_primitive::<TimestampMicrosecondType>();
            columns.push(Arc::new(times.reinterpret_cast::<Int64Type>()));
            let ids = batch.column(0).as_primitive::<Int64Type>().values();
            let hashes: Vec<u64> = ids.iter().map(|id| *id as u64).collect();
            let batch = RecordBatch::try_new(later_schema(), columns).during(DOING)?;
            buckets.push(batch, &hashes)?;
        }
    }
    let records = match part.object.contains('.') {
        true => of_property.into_values().sum(),
        false => of_property.into_values().max().unwrap_or(0),
    };
    Ok((buckets.finish()?, records))
}

impl Later {
    pub(super) fn read(bucket: &RecordBatch, undone: &Undone) -> Self {
        let mut later = Self::default();
        let text = |at: usize| bucket.column(at).as_string::<i32>();
        let (names, states, runs) = (text(1), text(2), text(3));
        let ids = bucket.column(0).as_primitive::<Int64Type>();
        let times = bucket.column(4).as_primitive::<Int64Type>();
        for row in 0..bucket.num_rows() {
            let key = (ids.value(row), names.value(row).to_owned());
            if states.value(row) == written::WRITTEN {
                later.written.insert(key, times.value(row));
            } else if states.value(row) == INTENDED && undone.planned_by.contains(runs.value(row)) {
                later.meant.insert(key);
            }
        }
        later
    }

    /// Whether hublake has written the value since the run did.
    pub(super) fn wrote_since(&self, record_id: i64, property: &str, touched: &Touched) -> bool {
        let last = self.written.get(&(record_id, property.to_owned()));
        last.is_some_and(|last| *last > touched.written_at)
    }

    /// Whether the run may have written the value at all: a plan that was never
    /// begun has not.
    pub(super) fn may_be_written(&self, id: i64, property: &str, touched: &Touched) -> bool {
        !touched.cut_off || self.meant.contains(&(id, property.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(stamp: i64, before: &str, sent: &str) -> Touched {
        Touched {
            found_at: stamp,
            before_ours: false,
            before: before.into(),
            left_at: stamp,
            sent: sent.into(),
            answered: None,
            written_at: stamp,
            updated_at: None,
            cut_off: false,
        }
    }

    #[test]
    fn a_value_written_twice_goes_back_to_what_was_first_found() {
        for turned in [false, true] {
            let (one, two) = (touched(1, "customer", ""), touched(2, "", "lead"));
            let (mut known, other) = if turned { (two, one) } else { (one, two) };
            known.join(other);
            assert_eq!((known.before.as_str(), known.sent.as_str()), ("customer", "lead"));
            assert_eq!((known.found_at, known.left_at), (1, 2));
        }
    }
}
