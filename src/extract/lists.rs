//! Lists into `hubspot.lists`, who is on them into `hubspot.list_memberships`.
//!
//! The lists are read whole each time. The members of a list are read whole
//! too, where its size or its date has changed since they were last read, and
//! on a cadence besides: as many may have joined as left. They are compared
//! with the stored ones, and rows of members who left are deleted.
//!
//! Each list has a cursor that says when its members were last read and what
//! the list looked like then; it is committed with them, so that a cut sync
//! reads only the lists that are left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::prelude::{col, lit, not};
use futures::StreamExt;
use futures::stream;
use tokio_util::sync::CancellationToken;

use super::config::Cadence;
use super::error::{ExtractError, is_refusal, reading, storing};
use super::full::MOST_EMPTY_PAGES;
use super::mirror::timestamp;
use super::reference::{LISTS, store_lists};
use super::stored;
use super::wanted::ListsConfig;
use crate::hubspot::{Client, ErrorKind, List, ListMember};
use crate::lake::{Changes, Cursor, Lake, Table, TableName, TableSpec};

/// The table's name under `hubspot`.
pub const LIST_MEMBERSHIPS: &str = "list_memberships";

const KEY: [&str; 2] = ["list_id", "record_id"];
/// Lists whose members are read side by side: a list is one walk, page after
/// page.
const LISTS_AT_ONCE: usize = 6;
/// Members that are committed together, at most, and read ahead of a list.
const COMMIT_MEMBERS: usize = 50_000;
/// Lists that are committed together, at most.
const COMMIT_LISTS: usize = 500;

/// The last reading of members that was begun (ms), and the last that came to
/// its end.
const BEGUN: &str = "hublake.lists.begun";
const COMPLETED: &str = "hublake.lists.completed";

/// What a sync of lists came to.
#[derive(Debug, Default)]
pub struct ListsReport {
    /// Lists there are.
    pub lists: u64,
    /// Lists whose members were read.
    pub read: u64,
    /// Members who joined or whose row changed.
    pub written: u64,
    /// Members who left.
    pub left: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Lists that HubSpot refused to show, by id.
    pub refused: Vec<(String, ExtractError)>,
}

/// Reads lists and, where asked, who is on them.
///
/// # Errors
/// A HubSpot or lake failure; a missing scope is one. Lists committed before it
/// stay. A single list that is refused is in the report.
pub async fn sync_lists(
    client: &Client,
    lake: &Lake,
    config: ListsConfig,
    stop: &CancellationToken,
) -> Result<ListsReport, ExtractError> {
    let lists = client.lists().await.map_err(reading(LISTS))?;
    let mut report = ListsReport { lists: lists.len() as u64, ..ListsReport::default() };
    if !config.memberships {
        store_lists(lake, &lists).await?;
        return Ok(report);
    }
    let spec = table_spec();
    let table = lake.open_or_create(&spec).await.map_err(storing(&spec.name))?;
    let now = chrono::Utc::now();
    let stamp = now.timestamp_micros();
    let mut sync = Sync {
        client,
        stop,
        table,
        now: now.timestamp_millis(),
        stamp,
        report: &mut report,
        missing: Vec::new(),
    };
    // Before the table of lists forgets that they were there.
    sync.drop_vanished(lake, &lists).await?;
    store_lists(lake, &lists).await?;
    sync.run(lists, config.reconcile).await?;
    Ok(report)
}

/// Whether the members of every list were read when last they were to be.
///
/// # Errors
/// The lake cannot be read.
pub async fn are_memberships_current(lake: &Lake) -> Result<bool, ExtractError> {
    let name = TableName::hubspot(LIST_MEMBERSHIPS);
    let table = lake.table(&name).await.map_err(storing(&name))?;
    Ok(table.is_some_and(|table| is_completed(&table)))
}

fn is_completed(table: &Table) -> bool {
    let completed = table.cursor(COMPLETED);
    completed.is_some() && completed == table.cursor(BEGUN)
}

fn cursor_id(list: &str) -> String {
    format!("hublake.list.{list}")
}

/// Seconds from 1970 to 2020: what remains of the time leaves 32 bits for the
/// list's look until 2088.
const EPOCH_SECS: i64 = 1_577_836_800;

/// When members were read and what their list looked like then, as one cursor
/// that rises with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    at_ms: i64,
    look: u32,
}

impl Reading {
    /// No list looks so.
    const NO_LOOK: u32 = 0;

    fn of(list: &List, at_ms: i64) -> Self {
        let parts = [list.size.unwrap_or(-1), list.updated_at.unwrap_or(-1)];
        let bytes = parts.into_iter().flat_map(i64::to_le_bytes);
        let look = bytes
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { at_ms, look: look.max(1) }
    }

    /// As a cursor above the last one: of two readings within a second, or by a
    /// clock set back, the later counts as a second younger.
    fn pack(self, last: Option<i64>) -> i64 {
        let at = |secs: i64| (secs.clamp(0, i64::from(i32::MAX)) << 32) | i64::from(self.look);
        let value = at(self.at_ms / 1_000 - EPOCH_SECS);
        match last {
            Some(last) if last >= value => at((last >> 32) + 1),
            _ => value,
        }
    }

    fn unpack(value: i64) -> Self {
        // The low half is the look.
        let look = (value & i64::from(u32::MAX)) as u32;
        Self { at_ms: ((value >> 32) + EPOCH_SECS) * 1_000, look }
    }

    /// Whether the members have to be read again.
    fn is_due(self, list: &List, cadence: Cadence, now: i64) -> bool {
        // A cursor can be a little ahead of the clock.
        self.look != Self::of(list, now).look || cadence.is_due(self.at_ms.min(now), now)
    }
}

/// One sync on its way.
struct Sync<'a> {
    client: &'a Client,
    stop: &'a CancellationToken,
    table: Table,
    /// Ours, in milliseconds.
    now: i64,
    stamp: i64,
    report: &'a mut ListsReport,
    /// Lists whose members HubSpot did not find, by id.
    missing: Vec<(String, ExtractError)>,
}

/// Lists read to their end and not yet committed.
#[derive(Default)]
struct Group {
    lists: Vec<List>,
    members: Vec<(String, Option<String>, ListMember)>,
    seen: HashMap<String, HashSet<i64>>,
}

impl Group {
    fn take(&mut self, list: &List, members: Vec<ListMember>) {
        let seen = self.seen.entry(list.id.clone()).or_default();
        seen.extend(members.iter().map(|member| member.record_id.0));
        let rows = members.into_iter();
        self.members
            .extend(rows.map(|member| (list.id.clone(), list.object_type_id.clone(), member)));
    }

    fn is_full(&self) -> bool {
        self.members.len() >= COMMIT_MEMBERS || self.lists.len() >= COMMIT_LISTS
    }
}

/// A list and its first members, with the cursor of those that remain.
type Begun = (List, Result<(Vec<ListMember>, Option<String>), ExtractError>);

impl Sync<'_> {
    async fn run(&mut self, lists: Vec<List>, cadence: Cadence) -> Result<(), ExtractError> {
        let due: Vec<List> = lists.into_iter().filter(|list| self.is_due(list, cadence)).collect();
        if due.is_empty() && is_completed(&self.table) {
            return Ok(());
        }
        let turn = self.now.max(self.table.cursor(BEGUN).map_or(0, |last| last + 1));
        self.note(BEGUN, turn).await?;
        self.read_all(due).await?;
        self.settle_missing().await?;
        if !self.report.interrupted && self.report.refused.is_empty() {
            self.note(COMPLETED, turn).await?;
        }
        Ok(())
    }

    fn is_due(&self, list: &List, cadence: Cadence) -> bool {
        let last = self.table.cursor(&cursor_id(&list.id)).map(Reading::unpack);
        last.is_none_or(|last| last.is_due(list, cadence, self.now))
    }

    async fn note(&mut self, app_id: &str, value: i64) -> Result<(), ExtractError> {
        let name = self.table.name().clone();
        let cursor = Cursor { app_id: app_id.to_owned(), value };
        self.table.commit_cursors(&[cursor]).await.map_err(storing(&name))
    }

    /// Notes those of the lists whose members were not there that are still among
    /// the lists; the others have just been deleted, as the next sync will see.
    async fn settle_missing(&mut self) -> Result<(), ExtractError> {
        if self.missing.is_empty() || self.report.interrupted {
            return Ok(());
        }
        let lists = self.client.lists().await.map_err(reading(LISTS))?;
        let is_there = |id: &str| lists.iter().any(|list| list.id == id);
        let missing = std::mem::take(&mut self.missing);
        self.report.refused.extend(missing.into_iter().filter(|(id, _)| is_there(id)));
        Ok(())
    }

    /// Reads the members of these lists. What was read before a failure is
    /// stored.
    async fn read_all(&mut self, due: Vec<List>) -> Result<(), ExtractError> {
        let (client, stop) = (self.client, self.stop);
        let mut begun = stream::iter(due.into_iter().map(|list| begin(client, list)))
            .buffer_unordered(LISTS_AT_ONCE);
        let mut group = Group::default();
        let mut ended = Ok(());
        loop {
            let one = match stop.run_until_cancelled(begun.next()).await {
                Some(Some(one)) => one,
                Some(None) => break,
                None => {
                    self.report.interrupted = true;
                    break;
                }
            };
            if let Err(error) = self.take(one, &mut group).await {
                ended = Err(error);
                break;
            }
            if self.report.interrupted {
                break;
            }
        }
        self.settle(&mut group).await?;
        ended
    }

    async fn take(&mut self, (list, read): Begun, group: &mut Group) -> Result<(), ExtractError> {
        match read {
            Ok((members, None)) => {
                group.take(&list, members);
                group.lists.push(list);
                if group.is_full() { self.settle(group).await } else { Ok(()) }
            }
            Ok((members, next)) => {
                self.settle(group).await?;
                self.read_on(list, members, next).await
            }
            Err(error) => self.refuse(list, error),
        }
    }

    /// Notes a list that is not shown. Whether one that is not there has just been
    /// deleted is asked at the end.
    fn refuse(&mut self, list: List, error: ExtractError) -> Result<(), ExtractError> {
        let kind = error.hubspot().map(crate::hubspot::Error::kind);
        if kind == Some(ErrorKind::NotFound) {
            self.missing.push((list.id, error));
            return Ok(());
        }
        if !is_refusal(&error) {
            return Err(error);
        }
        self.report.refused.push((list.id, error));
        Ok(())
    }

    /// Reads the rest of a list too large for one commit: its rows as they come,
    /// and who left at the end.
    async fn read_on(
        &mut self,
        list: List,
        members: Vec<ListMember>,
        mut next: Option<String>,
    ) -> Result<(), ExtractError> {
        let (client, stop) = (self.client, self.stop);
        let mut group = Group::default();
        group.take(&list, members);
        let mut empty = 0;
        while next.is_some() {
            if group.members.len() >= COMMIT_MEMBERS {
                let rows = member_rows(&std::mem::take(&mut group.members), self.stamp)?;
                self.commit(rows, None, &[]).await?;
            }
            let page = client.list_members(&list.id, next.as_deref());
            match stop.run_until_cancelled(page).await {
                None => {
                    self.report.interrupted = true;
                    return Ok(());
                }
                Some(Ok((members, after))) => {
                    check_end(&list, &members, after.as_deref(), &mut empty)?;
                    group.take(&list, members);
                    next = after;
                }
                Some(Err(error)) => return self.refuse(list, reading(LIST_MEMBERSHIPS)(error)),
            }
        }
        group.lists.push(list);
        self.settle(&mut group).await
    }

    /// Commits lists that were read to their end: who joined, who left, and the
    /// cursors that say so.
    async fn settle(&mut self, group: &mut Group) -> Result<(), ExtractError> {
        let group = std::mem::take(group);
        if group.lists.is_empty() {
            return Ok(());
        }
        let rows = member_rows(&group.members, self.stamp)?;
        let left = self.left(&group.seen).await?;
        let cursors: Vec<_> = group.lists.iter().map(|list| self.read_now(list)).collect();
        self.report.read += group.lists.len() as u64;
        self.commit(rows, left, &cursors).await
    }

    fn read_now(&self, list: &List) -> Cursor {
        self.note_reading(&list.id, Reading::of(list, self.now))
    }

    fn note_reading(&self, list: &str, reading: Reading) -> Cursor {
        let app_id = cursor_id(list);
        let value = reading.pack(self.table.cursor(&app_id));
        Cursor { app_id, value }
    }

    async fn commit(
        &mut self,
        rows: RecordBatch,
        deletes: Option<RecordBatch>,
        cursors: &[Cursor],
    ) -> Result<(), ExtractError> {
        let name = self.table.name().clone();
        let ignore = vec!["_synced_at".to_owned()];
        let changes = Changes { rows: vec![rows], deletes, newer_by: None, ignore };
        let counts = self.table.upsert(changes, cursors).await.map_err(storing(&name))?;
        self.report.written += counts.inserted + counts.updated;
        self.report.left += counts.deleted;
        Ok(())
    }

    /// Keys of stored members of these lists who were not seen on them.
    async fn left(
        &self,
        seen: &HashMap<String, HashSet<i64>>,
    ) -> Result<Option<RecordBatch>, ExtractError> {
        let lists = seen.keys().map(|list| lit(list.as_str())).collect();
        let filter = col("list_id").in_list(lists, false);
        let has_left = |batch: &RecordBatch| -> BooleanArray {
            let list = batch.column(0).as_string::<i32>();
            let record = batch.column(1).as_primitive::<Int64Type>();
            let left = |row| {
                !seen.get(list.value(row)).is_some_and(|ids| ids.contains(&record.value(row)))
            };
            (0..batch.num_rows()).map(|row| Some(left(row))).collect()
        };
        stored::read_where(&self.table, Some(&KEY), Some(filter), has_left).await
    }

    /// Deletes the members of lists that are there no more. Their cursors are
    /// moved to a look that no list has: one that comes back is read anew.
    async fn drop_vanished(&mut self, lake: &Lake, lists: &[List]) -> Result<(), ExtractError> {
        let name = TableName::hubspot(LISTS);
        let Some(known) = lake.table(&name).await.map_err(storing(&name))? else { return Ok(()) };
        let filter = not(col("archived").is_true());
        let Some(known) = stored::read(&known, Some(&["id"]), Some(filter)).await? else {
            return Ok(());
        };
        let present: HashSet<&str> = lists.iter().map(|list| list.id.as_str()).collect();
        let ids = known.column(0).as_string::<i32>();
        let vanished = ids.iter().flatten().filter(|id| !present.contains(id));
        let vanished: HashMap<String, HashSet<i64>> =
            vanished.map(|id| (id.to_owned(), HashSet::new())).collect();
        if vanished.is_empty() {
            return Ok(());
        }
        let left = self.left(&vanished).await?;
        let nothing = Reading { at_ms: self.now, look: Reading::NO_LOOK };
        let cursors: Vec<_> =
            vanished.keys().map(|list| self.note_reading(list, nothing)).collect();
        self.commit(member_rows(&[], self.stamp)?, left, &cursors).await
    }
}

/// The first members of a list, up to what one commit takes.
async fn begin(client: &Client, list: List) -> Begun {
    let (mut members, mut next, mut empty) = (Vec::new(), None, 0);
    loop {
        match client.list_members(&list.id, next.as_deref()).await {
            Ok((page, after)) => {
                if let Err(error) = check_end(&list, &page, after.as_deref(), &mut empty) {
                    return (list, Err(error));
                }
                members.extend(page);
                next = after;
            }
            Err(error) => return (list, Err(reading(LIST_MEMBERSHIPS)(error))),
        }
        if next.is_none() || members.len() >= COMMIT_MEMBERS {
            return (list, Ok((members, next)));
        }
    }
}

/// Refuses page after page that shows nobody and goes on.
fn check_end(
    list: &List,
    page: &[ListMember],
    next: Option<&str>,
    empty: &mut u32,
) -> Result<(), ExtractError> {
    *empty = if page.is_empty() { *empty + 1 } else { 0 };
    if next.is_some() && *empty > MOST_EMPTY_PAGES {
        return Err(ExtractError::EndlessList { object: format!("members of list {}", list.id) });
    }
    Ok(())
}

fn member_rows(
    members: &[(String, Option<String>, ListMember)],
    stamp: i64,
) -> Result<RecordBatch, ExtractError> {
    let lists: StringArray = members.iter().map(|(list, ..)| Some(list.as_str())).collect();
    let types: StringArray = members.iter().map(|(_, object, _)| object.as_deref()).collect();
    let records: Int64Array = members.iter().map(|(.., m)| Some(m.record_id.0)).collect();
    let added: TimestampMicrosecondArray = members.iter().map(|(.., m)| m.added_at).collect();
    let stamps = TimestampMicrosecondArray::from_value(stamp, members.len());
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(lists),
            Arc::new(types),
            Arc::new(records),
            Arc::new(added.with_timezone("UTC")),
            Arc::new(stamps.with_timezone("UTC")),
        ],
    )?)
}

fn table_spec() -> TableSpec {
    TableSpec {
        name: TableName::hubspot(LIST_MEMBERSHIPS),
        schema: schema(),
        key: KEY.iter().map(|column| (*column).to_owned()).collect(),
        partition_by: Vec::new(),
    }
}

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("list_id", DataType::Utf8, true),
        Field::new("object_type_id", DataType::Utf8, true),
        Field::new("record_id", DataType::Int64, true),
        Field::new("added_at", timestamp(), true),
        Field::new("_synced_at", timestamp(), true),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(size: i64, updated_at: i64) -> List {
        let wire = serde_json::json!({"listId": "7", "updatedAt": updated_at / 1_000});
        let list: List = serde_json::from_value(wire).expect("a list");
        List { size: Some(size), ..list }
    }

    #[test]
    fn a_reading_survives_its_cursor_and_cursors_rise_with_time() {
        let now = 1_790_000_000_000;
        for look in [0, 1, u32::MAX] {
            let reading = Reading { at_ms: now, look };
            assert_eq!(Reading::unpack(reading.pack(None)), reading);
        }
        let first = Reading { at_ms: now, look: u32::MAX }.pack(None);
        for at_ms in [now + 1_000, now, now - 5_000] {
            let later = Reading { at_ms, look: 1 }.pack(Some(first));
            assert!(later > first);
            assert_eq!(Reading::unpack(later).look, 1);
        }
    }

    #[test]
    fn members_are_read_when_the_list_looks_different_or_is_due() {
        let now = 1_790_000_000_000;
        let read = Reading::of(&list(5, 1_000_000), now);
        assert!(!read.is_due(&list(5, 1_000_000), Cadence::Daily, now + 1_000));
        assert!(read.is_due(&list(6, 1_000_000), Cadence::Never, now));
        assert!(read.is_due(&list(5, 2_000_000), Cadence::Never, now));
        assert!(read.is_due(&list(5, 1_000_000), Cadence::Daily, now + 24 * 3_600_000));
        let ahead = Reading { at_ms: now + 1_000, ..read };
        assert!(ahead.is_due(&list(5, 1_000_000), Cadence::EveryRun, now));
        let vanished = Reading { at_ms: now, look: Reading::NO_LOOK };
        assert!(vanished.is_due(&list(5, 1_000_000), Cadence::Never, now));
    }
}
