//! A source copied into the lake, incrementally.
//!
//! `usage.<name>` is then a table of the lake, merged by key. Each copy reads the rows
//! whose cursor column is not older than the last one seen less an overlap, and
//! commits how far it has come with the rows. A row that is committed late, behind
//! the cursor of others, is met again within the overlap. Rows without a cursor are
//! read every time. What no cursor shows, deleted rows, is found by reading
//! everything (`full_compare`), when it is due.
//!
//! A column that comes in has every row read once: the intent is committed before the
//! column is added, so that a cut in between is made up for.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, max};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ident};
use datafusion::prelude::DataFrame;
use futures::TryStreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::period::Period;
use super::{Source, SourceError, session};
use crate::lake::{
    Changes, Cursor, Lake, LakeError, Merge, Table, TableName, TableSpec, lake_schema,
};

/// When everything was last read whole (µs since 1970, when that began).
const COMPARED: &str = "hublake.copy.compared";
/// When reading everything became necessary (µs since 1970).
const BEGUN: &str = "hublake.copy.begun";
/// How far the rows have been read, by cursor column.
const CURSOR: &str = "hublake.copy.cursor.";

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
/// Transactions that take longer than this to commit are rare in an application.
const DEFAULT_OVERLAP: Period = Period::seconds(10 * 60);
/// Rows merged at once.
const PART_ROWS: usize = 100_000;
/// Memory that the rows merged at once may take, about.
const PART_BYTES: usize = 64 * 1024 * 1024;

/// How a source is copied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyConfig {
    /// The column that grows with every change of a row: a time (`updated_at`), a
    /// date, or a whole number.
    pub cursor: String,
    /// The columns that tell rows apart.
    pub key: Vec<String>,
    /// How far behind the newest row seen is read again, for rows that were committed
    /// late: a length of time (`10m`, the default), or for a cursor that is a number,
    /// so many of it (none when absent).
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// How often everything is read, so that rows deleted in the source are deleted
    /// here: `daily` or `never`. With `never` they stay.
    #[serde(default)]
    pub full_compare: FullCompare,
}

/// How far behind the newest row seen is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Overlap {
    /// So many steps of a cursor that is a number.
    Steps(u32),
    /// So long.
    Time(Period),
}

/// How often a source that is copied is read whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FullCompare {
    /// When a day has passed.
    Daily,
    /// Only for the first copy, for a column that comes in, and when asked for; rows
    /// that the source no longer has stay.
    #[default]
    Never,
}

impl CopyConfig {
    /// What is wrong with the settings: the key, and why.
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.cursor.trim().is_empty() {
            problems.push(("cursor".into(), "Name the column that grows with every change".into()));
        }
        if self.key.is_empty() {
            let problem = "Name the columns that tell rows apart: rows are read again within the \
                           overlap, and without a key they would double";
            problems.push(("key".into(), problem.into()));
        }
        problems
    }
}

/// What copying a source came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CopyReport {
    /// Rows read.
    pub read: u64,
    /// Rows the lake did not have.
    pub inserted: u64,
    /// Rows that differ from what the lake had.
    pub updated: u64,
    /// Rows that the lake had already.
    pub unchanged: u64,
    /// Rows that the source has no longer.
    pub deleted: u64,
    /// Whether everything was read.
    pub whole: bool,
}

/// Copies what is new in a source into `usage.<name>`; everything where `full` asks
/// for it or it is due. `now` is the time the copy begins (µs since 1970).
///
/// # Errors
/// A cursor or key column that is not there or of no use, types that the lake does not
/// hold or that have changed, a key that does not tell rows apart, and whatever
/// reading and storing meet.
pub async fn copy_source(
    lake: &Lake,
    source: &Source,
    config: &CopyConfig,
    full: bool,
    now: i64,
) -> Result<CopyReport, SourceError> {
    let copy = Copy { source, config, now };
    let schema = copy.schema()?;
    let cursor = copy.cursor_kind(&schema)?;
    let mut table = copy.table(lake, &schema).await?;
    let app_id = format!("{CURSOR}{}", config.cursor);
    let since = table.cursor(&app_id).filter(|_| !full && !copy.is_due(&table));
    let rows = copy.rows(since.map(|since| cursor.behind(since, config.overlap)), cursor)?;
    let mut merge = table.merge().map_err(copy.storing())?;
    let (read, seen) = copy.take(rows, &schema, cursor, &mut merge).await?;
    let counts = merge.counts();
    if read != counts.inserted + counts.updated + counts.unchanged {
        return Err(copy.repeated_key());
    }
    if since.is_none() && config.full_compare == FullCompare::Daily {
        merge.delete_others().await.map_err(copy.storing())?;
    }
    let mut cursors = Vec::new();
    cursors.extend(seen.map(|value| Cursor { app_id, value }));
    if since.is_none() {
        let compared = table_floor(&merge, now);
        cursors.push(Cursor { app_id: COMPARED.to_owned(), value: compared });
    }
    let counts = merge.commit(&cursors).await.map_err(copy.storing())?;
    Ok(CopyReport {
        read,
        inserted: counts.inserted,
        updated: counts.updated,
        unchanged: counts.unchanged,
        deleted: counts.deleted,
        whole: since.is_none(),
    })
}

/// The time a whole read counts from: never before the one that made it necessary.
fn table_floor(merge: &Merge<'_>, now: i64) -> i64 {
    merge.cursor(BEGUN).map_or(now, |begun| begun.max(now))
}

/// What a cursor column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CursorKind {
    /// µs since 1970.
    Time,
    /// Days since 1970.
    Day,
    /// Whatever it is.
    Number,
}

impl CursorKind {
    /// Where to read from so that late rows are met.
    fn behind(self, value: i64, overlap: Option<Overlap>) -> i64 {
        let time = match overlap {
            Some(Overlap::Time(period)) => period,
            _ => DEFAULT_OVERLAP,
        };
        let micros = i64::try_from(time.0.as_micros()).unwrap_or(i64::MAX);
        value.saturating_sub(match (self, overlap) {
            (Self::Time, _) => micros,
            (Self::Day, _) => micros.div_euclid(DAY_MICROS).saturating_add(1),
            (Self::Number, Some(Overlap::Steps(steps))) => i64::from(steps),
            (Self::Number, _) => 0,
        })
    }

    /// A value of the cursor as the engine compares it.
    fn literal(self, value: i64) -> Expr {
        let scalar = match self {
            Self::Time => ScalarValue::TimestampMicrosecond(Some(value), Some("UTC".into())),
            Self::Day => ScalarValue::Date32(i32::try_from(value).ok()),
            Self::Number => ScalarValue::Int64(Some(value)),
        };
        Expr::Literal(scalar, None)
    }

    /// The greatest value of a column.
    fn greatest(self, column: &dyn Array) -> Result<Option<i64>, ArrowError> {
        Ok(match self {
            Self::Time => {
                let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
                max(cast(column, &utc)?.as_primitive::<TimestampMicrosecondType>())
            }
            Self::Day => {
                max(cast(column, &DataType::Date32)?.as_primitive::<Date32Type>()).map(i64::from)
            }
            Self::Number => max(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>()),
        })
    }

    /// A row dated into the future must not hide those that follow.
    fn not_after(self, value: i64, now: i64) -> i64 {
        match self {
            Self::Time => value.min(now),
            Self::Day => value.min(now.div_euclid(DAY_MICROS)),
            Self::Number => value,
        }
    }
}

struct Copy<'a> {
    source: &'a Source,
    config: &'a CopyConfig,
    now: i64,
}

impl Copy<'_> {
    fn name(&self) -> TableName {
        TableName::usage(self.source.name())
    }

    fn refuse(&self, problem: impl Into<String>) -> SourceError {
        SourceError::Copy { source_name: self.source.name().to_owned(), problem: problem.into() }
    }

    fn repeated_key(&self) -> SourceError {
        self.refuse(format!(
            "`copy.key` (`{}`) does not tell its rows apart: some of them share it",
            self.config.key.join("`, `")
        ))
    }

    fn storing(&self) -> impl Fn(LakeError) -> SourceError + use<> {
        let source_name = self.source.name().to_owned();
        move |source| SourceError::Lake {
            source_name: source_name.clone(),
            source: Box::new(source),
        }
    }

    /// The columns as the lake holds them.
    fn schema(&self) -> Result<SchemaRef, SourceError> {
        let schema = self.source.schema();
        for column in std::iter::once(&self.config.cursor).chain(&self.config.key) {
            if schema.field_with_name(column).is_err() {
                let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                return Err(self.refuse(format!(
                    "`copy` names the column `{column}`, which the source has not; it has `{}`",
                    known.join("`, `")
                )));
            }
        }
        lake_schema(&self.name().to_string(), &schema).map_err(self.storing())
    }

    fn cursor_kind(&self, schema: &SchemaRef) -> Result<CursorKind, SourceError> {
        let column = &self.config.cursor;
        let field =
            schema.field_with_name(column).map_err(|error| self.refuse(error.to_string()))?;
        let kind = match field.data_type() {
            DataType::Timestamp(..) => CursorKind::Time,
            DataType::Date32 => CursorKind::Day,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                CursorKind::Number
            }
            other => {
                return Err(self.refuse(format!(
                    "`copy.cursor` is `{column}`, which is {other}: a time, a date or a whole number \
                     is needed (`types` gives a column of text files and of SQLite another type)"
                )));
            }
        };
        match (kind, self.config.overlap) {
            (CursorKind::Number, Some(Overlap::Time(_))) => Err(self.refuse(format!(
                "`copy.overlap` is a length of time, but the cursor `{column}` is a number: write how \
                 many of it"
            ))),
            (CursorKind::Time | CursorKind::Day, Some(Overlap::Steps(_))) => Err(self.refuse(format!(
                "`copy.overlap` is a number, but the cursor `{column}` is a time: write `10m`"
            ))),
            _ => Ok(kind),
        }
    }

    /// The copy's table, with every column of the source.
    async fn table(&self, lake: &Lake, schema: &SchemaRef) -> Result<Table, SourceError> {
        let name = self.name();
        if let Some(mut table) = lake.table(&name).await.map_err(self.storing())? {
            let stored = table.schema();
            let mut comes_in = false;
            for field in schema.fields() {
                match stored.field_with_name(field.name()) {
                    Err(_) => comes_in = true,
                    Ok(old) if old.data_type() != field.data_type() => {
                        return Err(self.refuse(format!(
                            "the column `{}` is {} in the source, and was {} when it was copied: \
                             remove the folder `{}` of the lake, and the source is copied anew",
                            field.name(),
                            field.data_type(),
                            old.data_type(),
                            name.folder()
                        )));
                    }
                    Ok(_) => {}
                }
            }
            if comes_in {
                let after = table.cursor(COMPARED).unwrap_or(0) + 1;
                let begun = Cursor { app_id: BEGUN.to_owned(), value: after.max(self.now) };
                table.commit_cursors(&[begun]).await.map_err(self.storing())?;
            }
        }
        let spec = TableSpec {
            name,
            schema: schema.clone(),
            key: self.config.key.clone(),
            partition_by: Vec::new(),
        };
        lake.open_or_create(&spec).await.map_err(self.storing())
    }

    /// Whether everything has to be read.
    fn is_due(&self, table: &Table) -> bool {
        let Some(compared) = table.cursor(COMPARED) else { return true };
        let is_daily = self.config.full_compare == FullCompare::Daily;
        table.cursor(BEGUN).is_some_and(|begun| begun > compared)
            || (is_daily && self.now - compared >= DAY_MICROS)
    }

    /// The rows to read, in the order of their keys: each part of them then touches
    /// few files of the table.
    fn rows(&self, from: Option<i64>, kind: CursorKind) -> Result<DataFrame, SourceError> {
        let rows = session(&self.source.runtime).read_table(self.source.provider());
        let unreadable = |error| self.source.unreadable(error);
        let mut rows = rows.map_err(unreadable)?;
        if let Some(from) = from {
            let cursor = ident(&self.config.cursor);
            let filter = cursor.clone().gt_eq(kind.literal(from)).or(cursor.is_null());
            rows = rows.filter(filter).map_err(unreadable)?;
        }
        let order = self.config.key.iter().map(|column| ident(column).sort(true, true)).collect();
        rows.sort(order).map_err(unreadable)
    }

    /// Merges the rows part by part; how many there were, and the greatest cursor.
    async fn take(
        &self,
        rows: DataFrame,
        schema: &SchemaRef,
        kind: CursorKind,
        merge: &mut Merge<'_>,
    ) -> Result<(u64, Option<i64>), SourceError> {
        let unreadable = |error| self.source.unreadable(error);
        let at = schema.index_of(&self.config.cursor).map_err(|e| self.refuse(e.to_string()))?;
        let mut rows = rows.execute_stream().await.map_err(unreadable)?;
        let (mut read, mut seen) = (0, None);
        let mut part = Part::default();
        while let Some(batch) = rows.try_next().await.map_err(unreadable)? {
            read += batch.num_rows() as u64;
            let greatest = kind.greatest(batch.column(at)).map_err(|e| unreadable(e.into()))?;
            seen = seen.max(greatest.map(|value| kind.not_after(value, self.now)));
            if let Some(rows) = part.add(batch) {
                self.push(rows, merge).await?;
            }
        }
        self.push(part.rows, merge).await?;
        Ok((read, seen))
    }

    async fn push(&self, rows: Vec<RecordBatch>, merge: &mut Merge<'_>) -> Result<(), SourceError> {
        let pushed = merge.push(Changes { rows, ..Changes::default() }).await;
        pushed.map_err(|error| match error {
            LakeError::RepeatedKey { .. } => self.repeated_key(),
            error => self.storing()(error),
        })
    }
}

/// Rows to be merged at once.
#[derive(Default)]
struct Part {
    rows: Vec<RecordBatch>,
    count: usize,
    bytes: usize,
}

impl Part {
    /// Takes a batch in, and hands out the part once it is large enough.
    fn add(&mut self, batch: RecordBatch) -> Option<Vec<RecordBatch>> {
        self.count += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.rows.push(batch);
        if self.count < PART_ROWS && self.bytes < PART_BYTES {
            return None;
        }
        Some(std::mem::take(self).rows)
    }
}

#[cfg(test)]
mod tests;
