//! The rows of `system.plans`: written by a plan, read by apply and by people.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, Int64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::decide::{Action, Change};
use crate::lake::{Cursor, Table, TableName, TableSpec};
use crate::load::error::{LoadError, While};

const DOING: &str = "storing the plan";

/// The decisions of a plan's `changes` by which a value is sent.
pub(crate) const WRITE: &str = "write";
/// Written only because something else of the record is.
pub(crate) const STAMP: &str = "stamp";
pub(crate) const WRITE_AFTER_CLEARING: &str = "write_after_clearing";

/// The table: one row per wanted row that is not as wanted, appended only.
pub(crate) fn spec() -> TableSpec {
    TableSpec {
        name: TableName::system("plans"),
        schema: schema(),
        key: Vec::new(),
        partition_by: Vec::new(),
    }
}

pub(crate) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        text("run_id"),
        text("pipeline"),
        text("write_back"),
        text("object"),
        number("seq"),
        text("action"),
        number("record_id"),
        text("match_key"),
        text("trace_id"),
        text("changes"),
        text("category"),
        text("reason"),
        number("fingerprint"),
        Field::new(
            "planned_at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ]))
}

/// How far the plans of one write-back have been applied, as cursors of
/// `system.plans`: commits that add no file.
pub(crate) struct PlanCursors {
    applying: String,
    ended: String,
    applied: String,
}

impl PlanCursors {
    pub(crate) fn new(pipeline: &str, write_back: &str) -> Self {
        let cursor = |state: &str| format!("hublake.{state}.{pipeline}.{write_back}");
        Self { applying: cursor("applying"), ended: cursor("ended"), applied: cursor("applied") }
    }

    /// The write-backs, and parts of them, of which a plan was ever begun.
    pub(crate) fn begun(plans: &Table, pipeline: &str) -> BTreeSet<String> {
        let prefix = format!("hublake.applying.{pipeline}.");
        plans.cursors_under(&prefix).map(|(name, _)| name.to_owned()).collect()
    }

    /// Says that the plan of this stamp begins to be sent.
    pub(crate) fn applying(&self, planned_at: i64) -> Cursor {
        Cursor { app_id: self.applying.clone(), value: planned_at }
    }

    /// Says that nothing of the plan of this stamp is on its way any more.
    pub(crate) fn ended(&self, planned_at: i64) -> Cursor {
        Cursor { app_id: self.ended.clone(), value: planned_at }
    }

    /// Whether the apply of the plan of this stamp came to its end.
    pub(crate) fn has_ended(&self, plans: &Table, planned_at: i64) -> bool {
        plans.cursor(&self.ended) == Some(planned_at)
    }

    /// Says that every row of the plan of this stamp has its outcome.
    pub(crate) fn applied(&self, planned_at: i64) -> Cursor {
        Cursor { app_id: self.applied.clone(), value: planned_at }
    }

    /// The stamp of the plan whose apply was cut off, if one was.
    pub(crate) fn open(&self, plans: &Table) -> Option<i64> {
        let applied = plans.cursor(&self.applied);
        plans
            .cursor(&self.applying)
            .filter(|applying| applied.is_none_or(|applied| applied < *applying))
    }

    /// The stamp of the newest plan that was begun.
    pub(crate) fn newest(&self, plans: &Table) -> Option<i64> {
        plans.cursor(&self.applying)
    }
}

/// What every row of one plan shares.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    pub(crate) run_id: String,
    pub(crate) pipeline: String,
    pub(crate) write_back: String,
    pub(crate) object: String,
    /// µs since 1970; also the plan's stamp among the plans of its write-back.
    pub(crate) planned_at: i64,
}

/// One row of a plan.
pub(crate) struct Row<'a> {
    pub(crate) action: Action,
    pub(crate) record_id: Option<i64>,
    pub(crate) match_key: Option<&'a str>,
    pub(crate) changes: Vec<Change<'a>>,
    pub(crate) category: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) fingerprint: i64,
}

/// Rows on their way into a batch. They are numbered when the batch joins the
/// plan, because buckets are decided side by side.
#[derive(Default)]
pub(crate) struct Rows {
    action: StringBuilder,
    record_id: Int64Builder,
    match_key: StringBuilder,
    changes: StringBuilder,
    category: StringBuilder,
    reason: StringBuilder,
    fingerprint: Int64Builder,
    buffer: Vec<u8>,
    count: usize,
}

impl Rows {
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), LoadError> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, &Changes(&row.changes)).during(DOING)?;
        let changes = std::str::from_utf8(&self.buffer).expect("JSON is UTF-8");
        self.action.append_value(row.action.name());
        self.record_id.append_option(row.record_id);
        self.match_key.append_option(row.match_key);
        self.changes.append_value(changes);
        self.category.append_option(row.category);
        self.reason.append_option(row.reason);
        self.fingerprint.append_value(row.fingerprint);
        self.count += 1;
        Ok(())
    }

    /// The rows as a batch of `system.plans`, numbered from `first`.
    pub(crate) fn finish(
        mut self,
        heading: &Heading,
        first: u64,
    ) -> Result<RecordBatch, LoadError> {
        let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; self.count])) };
        let stamps = Stamps::new(heading, first, self.count);
        let columns: Vec<ArrayRef> = vec![
            stamps.run_id,
            same(&heading.pipeline),
            same(&heading.write_back),
            same(&heading.object),
            stamps.seq,
            Arc::new(self.action.finish()),
            Arc::new(self.record_id.finish()),
            Arc::new(self.match_key.finish()),
            stamps.trace_id,
            Arc::new(self.changes.finish()),
            Arc::new(self.category.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.fingerprint.finish()),
            stamps.planned_at,
        ];
        RecordBatch::try_new(schema(), columns).during(DOING)
    }
}

/// Rows of stored plans as rows of another plan, numbered from `first`.
pub(crate) fn restamped(
    batch: &RecordBatch,
    heading: &Heading,
    first: u64,
) -> Result<RecordBatch, LoadError> {
    let mut columns = batch.columns().to_vec();
    let stamps = Stamps::new(heading, first, batch.num_rows());
    for (name, column) in [
        ("run_id", stamps.run_id),
        ("seq", stamps.seq),
        ("trace_id", stamps.trace_id),
        ("planned_at", stamps.planned_at),
    ] {
        columns[schema().index_of(name).during(DOING)?] = column;
    }
    RecordBatch::try_new(schema(), columns).during(DOING)
}

/// The columns by which rows belong to a plan. A trace id is the plan's stamp and
/// the row's number: unique among the rows of its write-back for ever, as its
/// plans never share a microsecond.
struct Stamps {
    run_id: ArrayRef,
    seq: ArrayRef,
    trace_id: ArrayRef,
    planned_at: ArrayRef,
}

impl Stamps {
    fn new(heading: &Heading, first: u64, count: usize) -> Self {
        let numbers = first as i64..first as i64 + count as i64;
        let traces = numbers.clone().map(|seq| Some(format!("{:x}-{seq:x}", heading.planned_at)));
        let planned_at = TimestampMicrosecondArray::from(vec![heading.planned_at; count]);
        Self {
            run_id: Arc::new(StringArray::from(vec![heading.run_id.as_str(); count])),
            seq: Arc::new(Int64Array::from_iter_values(numbers)),
            trace_id: Arc::new(traces.collect::<StringArray>()),
            planned_at: Arc::new(planned_at.with_timezone("UTC")),
        }
    }
}

struct Changes<'a>(&'a [Change<'a>]);

impl Serialize for Changes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for change in self.0 {
            map.serialize_entry(change.property, &Shown::of(change))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    old: Option<&'a str>,
    new: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_set: Option<&'a str>,
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    conflict: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    theirs: bool,
}

impl<'a> Shown<'a> {
    fn of(change: &'a Change<'a>) -> Self {
        Self {
            old: Some(&*change.old).filter(|old| !old.is_empty()),
            new: &change.new,
            last_set: change.last_set,
            decision: change.verdict.name(),
            reason: change.verdict.reason(),
            conflict: change.conflict,
            theirs: change.theirs,
        }
    }
}

/// One stored row of a plan, as a person or apply reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRow {
    /// Its number in the plan.
    pub seq: i64,
    /// `create`, `update`, `archive`, `kept`, `rejected` or `deferred`.
    pub action: String,
    /// The record, where one was found.
    pub record_id: Option<i64>,
    /// The row's key as the model gives it.
    pub match_key: Option<String>,
    /// The id that finds the row's outcome in HubSpot's answer.
    pub trace_id: String,
    /// What differs, by property.
    pub changes: BTreeMap<String, PlannedChange>,
    /// For a rejected row, a code.
    pub category: Option<String>,
    /// Why, where that is not plain.
    pub reason: Option<String>,
    /// Changes when a refused row deserves another try.
    #[serde(skip)]
    pub fingerprint: i64,
}

/// One property of a planned row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// What HubSpot held when the plan was made.
    pub old: Option<String>,
    /// What the model wants; empty clears.
    pub new: String,
    /// What hublake last set, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_set: Option<String>,
    /// `write`, `stamp` (along with another), `write_after_clearing`, `keep`, `defer` or `refuse`.
    pub decision: String,
    /// Why, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Somebody edited the value since hublake set it.
    #[serde(default)]
    pub conflict: bool,
    /// An undo gives the value back to whoever had set it: it is not hublake's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub theirs: bool,
}

impl PlannedChange {
    /// Whether what HubSpot held was what hublake had last set, or nothing.
    pub(crate) fn held_ours(&self) -> bool {
        let known = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        known(&self.old) == known(&self.last_set)
    }

    /// Whether the new value is to be sent.
    pub fn is_write(&self) -> bool {
        self.decision == WRITE || self.is_stamp() || self.clears_first()
    }

    /// Whether it is only written along with another.
    pub fn is_stamp(&self) -> bool {
        self.decision == STAMP
    }

    /// Whether the property is emptied by a request of its own first.
    pub fn clears_first(&self) -> bool {
        self.decision == WRITE_AFTER_CLEARING
    }
}

/// The rows of a batch of `system.plans` (all its columns).
pub(crate) fn decode(batch: &RecordBatch) -> Result<Vec<PlannedRow>, LoadError> {
    (0..batch.num_rows()).map(|row| decode_row(batch, row)).collect()
}

pub(crate) fn decode_row(batch: &RecordBatch, row: usize) -> Result<PlannedRow, LoadError> {
    Ok(PlannedRow {
        seq: number(batch, "seq", row).unwrap_or_default(),
        action: text(batch, "action", row).unwrap_or_default().to_owned(),
        record_id: number(batch, "record_id", row),
        match_key: text(batch, "match_key", row).map(str::to_owned),
        trace_id: text(batch, "trace_id", row).unwrap_or_default().to_owned(),
        changes: serde_json::from_str(text(batch, "changes", row).unwrap_or("{}"))
            .during("reading a stored plan")?,
        category: text(batch, "category", row).map(str::to_owned),
        reason: text(batch, "reason", row).map(str::to_owned),
        fingerprint: number(batch, "fingerprint", row).unwrap_or_default(),
    })
}

/// The rows of one plan of a write-back, told by its stamp.
pub(crate) fn of_plan(pipeline: &str, write_back: &str, planned_at: i64) -> Expr {
    let stamp = ScalarValue::TimestampMicrosecond(Some(planned_at), Some("UTC".into()));
    col("pipeline")
        .eq(lit(pipeline))
        .and(col("write_back").eq(lit(write_back)))
        .and(col("planned_at").eq(lit(stamp)))
}

/// A text of a batch of `system.plans`.
pub(crate) fn text<'a>(batch: &'a RecordBatch, column: &str, row: usize) -> Option<&'a str> {
    let texts: &StringArray = batch.column_by_name(column)?.as_string();
    texts.is_valid(row).then(|| texts.value(row))
}

/// A number of a batch of `system.plans`.
pub(crate) fn number(batch: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let numbers = batch.column_by_name(column)?.as_primitive::<Int64Type>();
    numbers.is_valid(row).then(|| numbers.value(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::decide::Verdict;
    use crate::load::policy::Kept;

    #[test]
    fn a_plan_reads_back_as_it_was_made() {
        let change = Change {
            property: "jobtitle",
            new: "Head of \"Data\"\n;ö".into(),
            old: "".into(),
            last_set: Some("CTO"),
            verdict: Verdict::Keep(Kept::Edited),
            conflict: true,
            theirs: false,
        };
        let row = Row {
            action: Action::Keep,
            record_id: Some(51854903510),
            match_key: Some("k"),
            changes: vec![change],
            category: None,
            reason: None,
            fingerprint: -7,
        };
        let heading = Heading {
            run_id: "r".into(),
            pipeline: "p".into(),
            write_back: "w".into(),
            object: "contacts".into(),
            planned_at: 255,
        };
        let mut rows = Rows::default();
        rows.push(&row).expect("encoded");
        let read = decode(&rows.finish(&heading, 16).expect("a batch")).expect("decoded");
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].seq, read[0].trace_id.as_str(), read[0].fingerprint),
            (16, "ff-10", -7)
        );
        let change = &read[0].changes["jobtitle"];
        assert_eq!((change.new.as_str(), change.old.as_deref()), ("Head of \"Data\"\n;ö", None));
        assert!(change.conflict && !change.is_write() && change.reason.is_some());
    }
}
