//! The incremental sync: what changed since the watermark, by search.
//!
//! The window is closed at both ends and walked in keyset order, ascending
//! record id and `hs_object_id > last` on every page, never by offset: records
//! leave the window while it is walked and would shift the offsets, and an
//! offset cannot pass 10,000. So each record is met at most once, a bulk edit
//! of any size is walked through, and the walk ends.
//!
//! Search lags behind writes. The watermark therefore stays one lag behind the
//! window's end, and each window begins one overlap before the watermark.

use std::time::Duration;

use super::decode::Page;
use super::error::{ExtractError, reading};
use super::mirror::{SEARCHED, WATERMARK};
use super::object::{MAX_SEARCH_BODY, ObjectSync, Sink};
use super::pages::{PageSource, ids, is_refused, is_unreadable};
use crate::hubspot::{Direction, Filter, SearchQuery, Sort};
use crate::lake::Cursor;

/// How far HubSpot's own clocks may disagree with each other.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// Changed records below which they are searched for, whatever their share.
const LEAST_LISTED: u64 = 10_000;
/// Records a search page where the properties fit its body: the most it gives.
const PAGE: u32 = 200;
/// Records a search page where a batch read of as many fills them.
const FILLED_PAGE: u32 = 100;

/// A closed window of modified dates, in milliseconds.
struct Window {
    low: i64,
    high: i64,
}

/// What became of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Searched {
    /// What changed is in the mirror, or the sync was stopped.
    Done,
    /// So much has changed that listing everything costs less. Nothing is read.
    ListInstead,
    /// HubSpot refuses to search. Nothing is read.
    Refused,
}

pub(super) async fn sync(
    sync: &ObjectSync<'_>,
    source: &PageSource,
    sink: &mut Sink<'_>,
    server_time: i64,
) -> Result<Searched, ExtractError> {
    let before = sink.cursor(WATERMARK).unwrap_or(0);
    let window = Window { low: before - CLOCK_SKEW.as_millis() as i64, high: server_time };
    let names = source.names().to_vec();
    let whole = query(sync, &window, Some(i64::MAX), names.clone(), PAGE);
    let fits_body = whole.body_length() <= MAX_SEARCH_BODY;
    let mut last = None;
    loop {
        let read = read_page(sync, source, sink, &window, last, fits_body);
        let Some(page) = sync.stop.run_until_cancelled(read).await else {
            sink.report.interrupted = true;
            sink.commit(Vec::new()).await?;
            return Ok(Searched::Done);
        };
        let page = match page {
            Err(error) if last.is_none() && is_refused(&error) => {
                tracing::info!(object = %sync.object, %error, "Search is refused");
                return Ok(Searched::Refused);
            }
            page => page?,
        };
        let Some(page) = page else { break };
        if last.is_none() && is_cheaper_listed(sink.table().row_count(), page.total) {
            return Ok(Searched::ListInstead);
        }
        last = page.last;
        sink.push(page.rows);
        if sink.is_full() {
            sink.commit(Vec::new()).await?;
        }
    }
    let reached = server_time - sync.index_lag.as_millis() as i64;
    let cursors = [(WATERMARK, reached.max(before)), (SEARCHED, 1)];
    let cursors = cursors.map(|(app_id, value)| Cursor { app_id: app_id.to_owned(), value });
    sink.commit(cursors.into()).await?;
    Ok(Searched::Done)
}

/// Whether listing all records takes less time than searching for those that
/// changed: search gives at most 1,000 a second, the list twice that where 190
/// calls are allowed in ten seconds.
fn is_cheaper_listed(records: u64, changed: Option<u64>) -> bool {
    changed.is_some_and(|changed| changed >= LEAST_LISTED && changed > records / 2)
}

/// A page of search, and the last id in it.
struct Found {
    rows: Page,
    last: Option<i64>,
    total: Option<u64>,
}

/// The page after `last`, or none at the end of the window.
///
/// A page without records ends the walk and nothing else does: pages can be
/// short, and `total` is known to be wrong.
async fn read_page(
    sync: &ObjectSync<'_>,
    source: &PageSource,
    sink: &mut Sink<'_>,
    window: &Window,
    last: Option<i64>,
    fits_body: bool,
) -> Result<Option<Found>, ExtractError> {
    if fits_body {
        let names = source.names().to_vec();
        match ask(sync, source, sink, &query(sync, window, last, names, PAGE)).await {
            Err(error) if is_unreadable(&error) => {
                tracing::warn!(object = %sync.object, %error, "Reading its records one by one");
            }
            page => {
                let page = page?;
                let (total, reached) = (page.total, last_id(sync, &page, last)?);
                return Ok(reached.map(|id| Found { rows: page, last: Some(id), total }));
            }
        }
    }
    let by_id = query(sync, window, last, vec!["hs_object_id".to_owned()], FILLED_PAGE);
    let page = ask(sync, source, sink, &by_id).await?;
    let Some(reached) = last_id(sync, &page, last)? else { return Ok(None) };
    sink.report.calls += 1;
    let rows = source.fill(&page, false).await?;
    Ok(Some(Found { rows, last: Some(reached), total: page.total }))
}

async fn ask(
    sync: &ObjectSync<'_>,
    source: &PageSource,
    sink: &mut Sink<'_>,
    query: &SearchQuery,
) -> Result<Page, ExtractError> {
    sink.report.calls += 1;
    let body = sync.client.search_page(sync.object, query).await;
    source.decode(&body.map_err(reading(sync.object.name()))?)
}

/// The last id of a page, checked: keyset paging over pages in another order
/// would silently pass over records.
fn last_id(
    sync: &ObjectSync<'_>,
    page: &Page,
    after: Option<i64>,
) -> Result<Option<i64>, ExtractError> {
    let mut reached = after;
    for id in ids(page) {
        if reached.is_some_and(|before| *id <= before) {
            return Err(ExtractError::SearchOrder {
                object: sync.object.to_string(),
                after: after.unwrap_or_default(),
            });
        }
        reached = Some(*id);
    }
    match page.rows.num_rows() {
        0 if page.rejected > 0 => Err(ExtractError::SearchWithoutIds {
            object: sync.object.to_string(),
            after: after.unwrap_or_default(),
        }),
        0 => Ok(None),
        _ => Ok(reached),
    }
}

fn query(
    sync: &ObjectSync<'_>,
    window: &Window,
    last: Option<i64>,
    properties: Vec<String>,
    limit: u32,
) -> SearchQuery {
    let modified = sync.object.modified_property().to_owned();
    // Two comparisons: whether BETWEEN includes its ends is nowhere written.
    let mut filters = vec![
        Filter::Gte(modified.clone(), window.low.to_string()),
        Filter::Lte(modified, window.high.to_string()),
    ];
    filters.extend(last.map(|id| Filter::Gt("hs_object_id".to_owned(), id.to_string())));
    SearchQuery {
        filters,
        sort: Some(Sort { property: "hs_object_id".to_owned(), direction: Direction::Ascending }),
        properties,
        limit,
    }
}
