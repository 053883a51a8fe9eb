//! `system.rejects`: the rows that cannot be written as they are, with why and
//! since when.
//!
//! One entry per (pipeline, write-back, key). A row refused by hublake itself
//! is looked at again by every plan and costs no call. A row refused by HubSpot
//! is sent again when what would be sent, the record or a property's definition
//! changes, and otherwise once a day. An entry that stays as it is is not
//! stored again: a quiet run stays quiet.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use futures::StreamExt;
use serde::Serialize;

use super::error::{LoadError, While};
use crate::lake::{Changes, Lake, TableName, TableSpec};

const DOING: &str = "keeping the rejects";

/// How long an unchanged row that HubSpot refused rests before it is sent
/// again: what HubSpot refuses for reasons it does not tell (a rule, a limit)
/// seldom changes within minutes, and every try costs a call and an error.
const REST_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// One row that cannot be written as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// The pipeline.
    pub pipeline: String,
    /// The write-back.
    pub write_back: String,
    /// The row's key as the model gives it; empty for rows without one.
    pub match_key: String,
    /// The object type.
    pub object: String,
    /// The record, where one was found.
    pub record_id: Option<i64>,
    /// Who refused it: `hublake` or `hubspot`.
    pub refused_by: String,
    /// Why, as a sentence.
    pub message: String,
    /// HubSpot's category or code.
    pub category: String,
    /// The id to quote to HubSpot's support.
    pub correlation_id: Option<String>,
    /// Changes when the row deserves another try.
    pub fingerprint: i64,
    /// When it was first refused, µs since 1970.
    pub first_seen: i64,
    /// When it was last sent, or last refused for another reason, µs since 1970.
    pub last_seen: i64,
    /// How often it was refused with a new reason or after being sent.
    pub attempts: i64,
    /// `open`, `retry` (open, and sent again by the next run), `fixed` or `dropped`.
    pub status: String,
    /// The run that last changed this entry.
    pub run_id: String,
}

const OPEN: &str = "open";
/// Refused by HubSpot, and somebody asked for another try now.
const RETRY: &str = "retry";
const FIXED: &str = "fixed";
const DROPPED: &str = "dropped";
const BY_HUBLAKE: &str = "hublake";
const BY_HUBSPOT: &str = "hubspot";

/// The rejects of a lake, oldest first: all, or only those still open.
///
/// # Errors
/// The lake cannot be read.
pub async fn rejects(lake: &Lake, only_open: bool) -> Result<Vec<Reject>, LoadError> {
    let status = if only_open { RejectStatus::Open } else { RejectStatus::Any };
    find_rejects(lake, &RejectFilter { status, ..RejectFilter::default() }).await
}

/// Which rejects are meant; the default is every open one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectFilter {
    /// Those of this write-back.
    pub write_back: Option<String>,
    /// Those of these keys; all when none is named.
    pub keys: Vec<String>,
    /// Those of this category or code.
    pub category: Option<String>,
    /// Those first refused at or before this time, µs since 1970, UTC.
    pub refused_before: Option<i64>,
    /// Those of this status.
    pub status: RejectStatus,
}

/// How a reject stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RejectStatus {
    /// Still refused.
    #[default]
    Open,
    /// Given up until the row changes.
    Dropped,
    /// Written, or no longer wanted.
    Fixed,
    /// Whatever it is.
    Any,
}

impl RejectFilter {
    fn to_expr(&self) -> Option<Expr> {
        let texts = |texts: &[&str]| texts.iter().map(|text| lit(*text)).collect::<Vec<_>>();
        let among = |column: &str, of: &[&str]| col(column).in_list(texts(of), false);
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        let at =
            |micros: i64| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        let parts = [
            self.write_back.as_deref().map(|name| col("write_back").eq(lit(name))),
            (!keys.is_empty()).then(|| among("match_key", &keys)),
            self.category.as_deref().map(|category| col("category").eq(lit(category))),
            self.refused_before.map(|micros| col("first_seen").lt_eq(at(micros))),
            match self.status {
                RejectStatus::Open => Some(among("status", &[OPEN, RETRY])),
                RejectStatus::Dropped => Some(among("status", &[DROPPED])),
                RejectStatus::Fixed => Some(among("status", &[FIXED])),
                RejectStatus::Any => None,
            },
        ];
        parts.into_iter().flatten().reduce(Expr::and)
    }
}

/// The rejects that a filter means, oldest first.
///
/// # Errors
/// The lake cannot be read.
pub async fn find_rejects(lake: &Lake, filter: &RejectFilter) -> Result<Vec<Reject>, LoadError> {
    let mut found = read(lake, filter.to_expr()).await?;
    found.sort_by(|a, b| (a.first_seen, &a.match_key).cmp(&(b.first_seen, &b.match_key)));
    Ok(found)
}

/// Has the next run send rows again that HubSpot refused, whatever their rest,
/// dropped ones too where the filter means them. Those that hublake itself
/// refuses need no asking: every plan looks at them. Returns the rows meant.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn retry_rejects(lake: &Lake, filter: &RejectFilter) -> Result<Vec<Reject>, LoadError> {
    let status = |entry: &Reject| if entry.refused_by == BY_HUBSPOT { RETRY } else { OPEN };
    mark(lake, filter, status).await
}

/// Gives rows up: HubSpot is not asked again until what would be sent, the
/// record or a property's definition changes, and the list shows them no more.
/// Returns the rows meant.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn drop_rejects(lake: &Lake, filter: &RejectFilter) -> Result<Vec<Reject>, LoadError> {
    mark(lake, filter, |_| DROPPED).await
}

async fn mark(
    lake: &Lake,
    filter: &RejectFilter,
    status: fn(&Reject) -> &'static str,
) -> Result<Vec<Reject>, LoadError> {
    let mut found = find_rejects(lake, filter).await?;
    found.retain(|entry| entry.status != FIXED);
    let changed: Vec<Reject> = found
        .iter()
        .filter(|entry| entry.status != status(entry))
        .map(|entry| Reject { status: status(entry).to_owned(), ..entry.clone() })
        .collect();
    store(lake, &changed).await?;
    Ok(found)
}

/// A record that could not be read from HubSpot.
#[derive(Clone, Debug)]
pub struct UnreadRecord {
    /// The record.
    pub id: i64,
    /// Why, as a sentence.
    pub message: String,
    /// The id to quote to HubSpot's support.
    pub correlation_id: Option<String>,
}

/// Keeps the records of one object type that could not be read; where all of
/// the type were read, closes the entries of those that could be this time.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn keep_unread(
    lake: &Lake,
    object: &str,
    run_id: &str,
    now: i64,
    unread: &[UnreadRecord],
    all_read: bool,
) -> Result<(), LoadError> {
    let mut book = RejectBook::open(lake, "", READING, object, run_id, now).await?;
    book.keep_to(object);
    for record in unread {
        let refused = Refused {
            record_id: Some(record.id),
            by_hubspot: true,
            message: record.message.clone(),
            category: "UNREADABLE".to_owned(),
            correlation_id: record.correlation_id.clone(),
            fingerprint: 0,
        };
        book.refuse(&format!("{object}/{}", record.id), refused, false);
    }
    if all_read {
        book.fix_unmet();
    }
    book.store(lake).await
}

/// What stands in `write_back` for records that could not be read.
const READING: &str = "extract";

/// A row refused just now.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) record_id: Option<i64>,
    pub(crate) by_hubspot: bool,
    pub(crate) message: String,
    pub(crate) category: String,
    pub(crate) correlation_id: Option<String>,
    pub(crate) fingerprint: i64,
}

/// The rejects of one write-back while a run goes over its rows. Holds the
/// open ones in memory, some 300 bytes each.
pub(crate) struct RejectBook {
    pipeline: String,
    write_back: String,
    object: String,
    run_id: String,
    now: i64,
    entries: Arc<HashMap<String, Reject>>,
    /// Keys met in this run, so that what is not met is fixed.
    met: HashMap<String, ()>,
    changed: Vec<Reject>,
}

impl RejectBook {
    pub(crate) async fn open(
        lake: &Lake,
        pipeline: &str,
        write_back: &str,
        object: &str,
        run_id: &str,
        now: i64,
    ) -> Result<Self, LoadError> {
        let filter = col("pipeline")
            .eq(lit(pipeline))
            .and(col("write_back").eq(lit(write_back)))
            .and(col("status").not_eq(lit(FIXED)));
        let entries = read(lake, Some(filter)).await?;
        Ok(Self {
            pipeline: pipeline.to_owned(),
            write_back: write_back.to_owned(),
            object: object.to_owned(),
            run_id: run_id.to_owned(),
            now,
            entries: Arc::new(
                entries.into_iter().map(|entry| (entry.match_key.clone(), entry)).collect(),
            ),
            met: HashMap::new(),
            changed: Vec::new(),
        })
    }

    /// Leaves the entries of other object types alone.
    fn keep_to(&mut self, object: &str) {
        let own = self.entries.iter().filter(|(_, entry)| entry.object == object);
        self.entries = Arc::new(own.map(|(key, entry)| (key.clone(), entry.clone())).collect());
    }

    /// The entries as they stood when the run began.
    pub(crate) fn known(&self) -> Known {
        Known { entries: self.entries.clone(), now: self.now }
    }

    /// Notes a row that is still to be decided, so that its entry stays.
    pub(crate) fn pending(&mut self, match_key: &str) {
        self.met.insert(match_key.to_owned(), ());
    }

    /// Notes a refused row. One that is known, with nothing changed, is not
    /// stored again unless it was `sent` again.
    pub(crate) fn refuse(&mut self, match_key: &str, refused: Refused, sent: bool) {
        let is_new_here = self.met.insert(match_key.to_owned(), ()).is_none();
        let before = self.entries.get(match_key);
        let is_same = before.is_some_and(|entry| entry.fingerprint == refused.fingerprint);
        if (is_same || !is_new_here) && !sent {
            return;
        }
        let dropped = is_same && before.is_some_and(|entry| entry.status == DROPPED);
        self.changed.push(Reject {
            pipeline: self.pipeline.clone(),
            write_back: self.write_back.clone(),
            match_key: match_key.to_owned(),
            object: self.object.clone(),
            record_id: refused.record_id,
            refused_by: if refused.by_hubspot { BY_HUBSPOT } else { BY_HUBLAKE }.to_owned(),
            message: refused.message,
            category: refused.category,
            correlation_id: refused.correlation_id,
            fingerprint: refused.fingerprint,
            first_seen: before.map_or(self.now, |entry| entry.first_seen),
            last_seen: self.now,
            attempts: before.map_or(0, |entry| entry.attempts) + 1,
            status: if dropped { DROPPED } else { OPEN }.to_owned(),
            run_id: self.run_id.clone(),
        });
    }

    /// Notes a row that was written: its entry, if it had one, is fixed.
    pub(crate) fn fixed(&mut self, match_key: &str) {
        if let Some(entry) = self.entries.get(match_key) {
            self.changed.push(self.fix(entry));
        }
    }

    /// Marks every entry fixed whose row was not met in this run: it is no
    /// longer refused, or no longer wanted.
    pub(crate) fn fix_unmet(&mut self) {
        let unmet = self.entries.values().filter(|entry| !self.met.contains_key(&entry.match_key));
        let fixed: Vec<_> = unmet.map(|entry| self.fix(entry)).collect();
        self.changed.extend(fixed);
    }

    fn fix(&self, entry: &Reject) -> Reject {
        Reject {
            status: FIXED.to_owned(),
            last_seen: self.now,
            run_id: self.run_id.clone(),
            ..entry.clone()
        }
    }

    /// Stores what changed, in one commit; nothing when nothing did.
    pub(crate) async fn store(self, lake: &Lake) -> Result<(), LoadError> {
        store(lake, &self.changed).await
    }
}

async fn store(lake: &Lake, changed: &[Reject]) -> Result<(), LoadError> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut table = lake.open_or_create(&spec()).await.during(DOING)?;
    let rows = vec![encode(changed)?];
    table.upsert(Changes { rows, ..Changes::default() }, &[]).await.during(DOING)?;
    Ok(())
}

/// The rejects of earlier runs, to look into while rows are decided.
#[derive(Clone)]
pub(crate) struct Known {
    entries: Arc<HashMap<String, Reject>>,
    now: i64,
}

impl Known {
    /// The entry that keeps this row from being sent again, if one does.
    pub(crate) fn resting(&self, match_key: &str, fingerprint: i64) -> Option<&Reject> {
        self.entries.get(match_key).filter(|entry| {
            let rests = entry.status == DROPPED || self.now - entry.last_seen < REST_MICROS;
            let is_asked_for = entry.status == RETRY;
            entry.refused_by == BY_HUBSPOT
                && entry.fingerprint == fingerprint
                && rests
                && !is_asked_for
        })
    }
}

fn spec() -> TableSpec {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let time = |name: &str| {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
    };
    let schema = Schema::new(vec![
        text("pipeline"),
        text("write_back"),
        text("match_key"),
        text("object"),
        number("record_id"),
        text("refused_by"),
        text("message"),
        text("category"),
        text("correlation_id"),
        number("fingerprint"),
        time("first_seen"),
        time("last_seen"),
        number("attempts"),
        text("status"),
        text("run_id"),
    ]);
    TableSpec {
        name: TableName::system("rejects"),
        schema: Arc::new(schema),
        key: ["pipeline", "write_back", "match_key"].map(String::from).to_vec(),
        partition_by: Vec::new(),
    }
}

fn encode(rejects: &[Reject]) -> Result<RecordBatch, LoadError> {
    let text = |field: fn(&Reject) -> Option<&str>| -> ArrayRef {
        Arc::new(rejects.iter().map(field).collect::<StringArray>())
    };
    let number = |field: fn(&Reject) -> Option<i64>| -> ArrayRef {
        Arc::new(rejects.iter().map(field).collect::<Int64Array>())
    };
    let time = |field: fn(&Reject) -> i64| -> ArrayRef {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rejects.iter().map(field))
                .with_timezone("UTC"),
        )
    };
    let columns = vec![
        text(|r| Some(&r.pipeline)),
        text(|r| Some(&r.write_back)),
        text(|r| Some(&r.match_key)),
        text(|r| Some(&r.object)),
        number(|r| r.record_id),
        text(|r| Some(&r.refused_by)),
        text(|r| Some(&r.message)),
        text(|r| Some(&r.category)),
        text(|r| r.correlation_id.as_deref()),
        number(|r| Some(r.fingerprint)),
        time(|r| r.first_seen),
        time(|r| r.last_seen),
        number(|r| Some(r.attempts)),
        text(|r| Some(&r.status)),
        text(|r| Some(&r.run_id)),
    ];
    RecordBatch::try_new(spec().schema, columns).during(DOING)
}

async fn read(lake: &Lake, filter: Option<Expr>) -> Result<Vec<Reject>, LoadError> {
    let Some(table) = lake.table(&spec().name).await.during(DOING)? else {
        return Ok(Vec::new());
    };
    let columns =
        spec().schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut rows = table.scan(Some(&columns), filter).await.during(DOING)?;
    let mut rejects = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.during(DOING)?;
        rejects.extend((0..batch.num_rows()).map(|row| decode(&batch, row)));
    }
    Ok(rejects)
}

fn decode(batch: &RecordBatch, row: usize) -> Reject {
    let text = |at: usize| {
        let column: &StringArray = batch.column(at).as_string();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let number = |at: usize| {
        let column = batch.column(at).as_primitive::<Int64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let time = |at: usize| batch.column(at).as_primitive::<TimestampMicrosecondType>().value(row);
    Reject {
        pipeline: text(0).unwrap_or_default(),
        write_back: text(1).unwrap_or_default(),
        match_key: text(2).unwrap_or_default(),
        object: text(3).unwrap_or_default(),
        record_id: number(4),
        refused_by: text(5).unwrap_or_default(),
        message: text(6).unwrap_or_default(),
        category: text(7).unwrap_or_default(),
        correlation_id: text(8),
        fingerprint: number(9).unwrap_or_default(),
        first_seen: time(10),
        last_seen: time(11),
        attempts: number(12).unwrap_or_default(),
        status: text(13).unwrap_or_default(),
        run_id: text(14).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(entries: Vec<Reject>) -> RejectBook {
        RejectBook {
            pipeline: "p".into(),
            write_back: "w".into(),
            object: "contacts".into(),
            run_id: "r2".into(),
            now: REST_MICROS,
            entries: Arc::new(
                entries.into_iter().map(|entry| (entry.match_key.clone(), entry)).collect(),
            ),
            met: HashMap::new(),
            changed: Vec::new(),
        }
    }

    fn refused(fingerprint: i64) -> Refused {
        Refused {
            record_id: Some(1),
            by_hubspot: true,
            message: "No".into(),
            category: "VALIDATION_ERROR".into(),
            correlation_id: None,
            fingerprint,
        }
    }

    /// An entry as a run at time 1 leaves it.
    fn entry(match_key: &str, fingerprint: i64) -> Reject {
        let mut book = RejectBook { now: 1, run_id: "r1".into(), ..book(vec![]) };
        book.refuse(match_key, refused(fingerprint), true);
        book.changed.remove(0)
    }

    fn changes(book: &RejectBook) -> Vec<(&str, &str, i64)> {
        book.changed.iter().map(|r| (r.match_key.as_str(), r.status.as_str(), r.attempts)).collect()
    }

    #[test]
    fn a_known_reject_is_not_stored_again() {
        let mut book = book(vec![entry("a", 1)]);
        book.refuse("a", refused(1), false);
        book.fix_unmet();
        assert_eq!(changes(&book), []);
    }

    #[test]
    fn another_reason_or_another_try_keeps_the_age() {
        for (fingerprint, sent) in [(2, false), (1, true)] {
            let mut book = book(vec![entry("a", 1)]);
            book.refuse("a", refused(fingerprint), sent);
            assert_eq!(changes(&book), [("a", OPEN, 2)]);
            assert_eq!(book.changed[0].first_seen, 1);
        }
    }

    #[test]
    fn what_is_no_longer_refused_is_fixed() {
        let mut book = book(vec![entry("a", 1), entry("b", 1)]);
        book.pending("b");
        book.fix_unmet();
        assert_eq!(changes(&book), [("a", FIXED, 1)]);
        book.fixed("b");
        book.fixed("never refused");
        assert_eq!(changes(&book), [("a", FIXED, 1), ("b", FIXED, 1)]);
    }

    #[test]
    fn rows_that_share_a_key_are_one_entry() {
        let mut book = book(vec![]);
        book.refuse("a", refused(1), false);
        book.refuse("a", refused(1), false);
        assert_eq!(changes(&book), [("a", OPEN, 1)]);
    }

    #[test]
    fn what_somebody_asks_to_retry_does_not_rest() {
        let asked = Reject { status: RETRY.into(), ..entry("a", 1) };
        let mut book = book(vec![asked]);
        assert!(book.known().resting("a", 1).is_none());
        book.refuse("a", refused(1), true);
        assert_eq!(changes(&book), [("a", OPEN, 2)], "refused again, it rests again");
    }

    #[test]
    fn a_refused_row_rests_a_day_unless_it_changes() {
        let book = book(vec![entry("a", 1)]);
        assert!(book.known().resting("a", 1).is_some());
        assert!(book.known().resting("a", 2).is_none());
        assert!(Known { now: REST_MICROS + 1, ..book.known() }.resting("a", 1).is_none());
    }
}
