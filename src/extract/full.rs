//! Listing everything: live and archived records, then those in neither list.
//!
//! A listing has a generation, the server time at which its first attempt
//! began; that time becomes the watermark when it completes, since whatever
//! changed later may have been listed before it changed. The ids read so far
//! are committed with their rows, stretch by stretch, and a cut listing goes on
//! with the ids in between.
//!
//! There are two kinds. A *full sync* makes a mirror complete, and until it is
//! through the mirror is not. A *reconciliation* lists a complete mirror anew
//! for what no modified date shows: records archived, brought back or gone, and
//! calculated properties.

use std::collections::HashSet;
use std::sync::Arc;

use super::error::ExtractError;
use super::listing::{List, Listing, PIECE};
use super::mirror::{FULL_COMPLETED, WATERMARK};
use super::object::{ObjectSync, Sink};
use super::pages::PageSource;
use super::ranges::{Coverage, END, Range};
use super::reader::{Arrival, Ended, Reading, Walk};
use super::vanished::{self, Seen};
use crate::lake::Cursor;

/// Pages in a row that may show no record although the list says that it goes
/// on: short pages are known, fifty empty ones are a list without end.
pub(super) const MOST_EMPTY_PAGES: u32 = 50;

/// Lists everything.
pub(super) async fn sync(
    sync: &ObjectSync<'_>,
    source: Arc<PageSource>,
    sink: &mut Sink<'_>,
    listing: Listing,
    server_time: i64,
) -> Result<(), ExtractError> {
    sink.report.full |= listing == Listing::Full;
    let generation = listing.generation(sink.table(), sync.mode, server_time);
    let mut seen = Seen::of(sink.table());
    let mut highest = None;
    let live = List::new(listing, generation, false);
    let before = covered(&live, sink);
    let archived = List::new(listing, generation, true);
    for list in [&live, &archived] {
        read(sync, &source, list, &mut seen, &mut highest, sink).await?;
        if sink.report.interrupted {
            return Ok(());
        }
    }
    sink.commit(Vec::new()).await?;
    let is_complete = sink.cursor(FULL_COMPLETED).is_some();
    if is_complete && !before.is_empty() && !live.is_unordered(sink.table()) {
        read_again(sync, &source, &live, &before, &mut seen, highest, sink, server_time).await?;
    } else {
        vanished::settle(sync, &source, &seen, (0, END), sink, server_time).await?;
    }
    if sink.report.interrupted {
        return Ok(());
    }
    let (started, completed) = listing.cursors();
    let watermark = generation.max(sink.cursor(WATERMARK).unwrap_or(0));
    let cursors = [(started, generation), (completed, generation), (WATERMARK, watermark)]
        .map(|(app_id, value)| Cursor { app_id: app_id.to_owned(), value });
    sink.report.listed = true;
    sink.commit(cursors.into()).await
}

/// Reads again what was read before a cut, and finds out who is missing. What that
/// attempt has seen of a complete mirror is not known, and who is missing there must
/// be. It goes piece by piece, each settled for good: where one is cut the next
/// attempt goes on, however large the object.
#[expect(clippy::too_many_arguments, reason = "one reading's whole state, in one place")]
async fn read_again(
    sync: &ObjectSync<'_>,
    source: &Arc<PageSource>,
    live: &List,
    before: &[Range],
    seen: &mut Seen,
    mut highest: Option<i64>,
    sink: &mut Sink<'_>,
    server_time: i64,
) -> Result<(), ExtractError> {
    for (from, to) in live.pieces_to_settle(sink.table(), PIECE).await? {
        let again: Vec<Range> = before.iter().filter_map(|range| range.within(from, to)).collect();
        seen.read_too(&again);
        let coverage = live.coverage(sink.table());
        read_ranges(sync, source, live, again, coverage, seen, &mut highest, sink).await?;
        if sink.report.interrupted {
            return Ok(());
        }
        sink.commit(Vec::new()).await?;
        vanished::settle(sync, source, seen, (from, to), sink, server_time).await?;
        if sink.report.interrupted {
            return Ok(());
        }
        let settled = live.settled(sink.table(), to);
        sink.commit(settled).await?;
    }
    Ok(())
}

/// Reads what is left of a list. Whatever came is committed, however it ended.
async fn read(
    sync: &ObjectSync<'_>,
    source: &Arc<PageSource>,
    list: &List,
    seen: &mut Seen,
    highest: &mut Option<i64>,
    sink: &mut Sink<'_>,
) -> Result<(), ExtractError> {
    if list.is_unordered(sink.table()) {
        seen.covered_before(&Coverage::default().gaps());
        return read_in_one_walk(sync, source, list, seen, sink).await;
    }
    let coverage = list.coverage(sink.table());
    let gaps = coverage.gaps();
    seen.covered_before(&gaps);
    read_ranges(sync, source, list, gaps, coverage, seen, highest, sink).await
}

/// What is committed as read of a list, as ranges to be read again.
fn covered(list: &List, sink: &Sink<'_>) -> Vec<Range> {
    // A list out of order is read whole anyway.
    if list.is_unordered(sink.table()) {
        return Vec::new();
    }
    let stretches = list.coverage(sink.table()).joined();
    stretches.into_iter().map(|(start, end)| Range::new(start, end)).collect()
}

/// Reads ranges of a list; none takes no call.
#[expect(clippy::too_many_arguments, reason = "one reading's whole state, in one place")]
async fn read_ranges(
    sync: &ObjectSync<'_>,
    source: &Arc<PageSource>,
    list: &List,
    ranges: Vec<Range>,
    mut coverage: Coverage,
    seen: &mut Seen,
    highest: &mut Option<i64>,
    sink: &mut Sink<'_>,
) -> Result<(), ExtractError> {
    if ranges.is_empty() {
        return Ok(());
    }
    let bounds: Vec<_> = ranges.iter().map(|range| (range.next, range.end)).collect();
    let mut read = Coverage::default();
    let mut reading = Reading::start(walk(sync, source, list, ranges, *highest));
    let mut ended = None;
    while let Some(arrival) = reading.next().await {
        match arrival {
            Arrival::Extent { records, highest: id } => {
                sync.progress.expect(records);
                *highest = Some(id);
            }
            Arrival::Page { page, calls, start, reached } => {
                coverage.note(start, reached);
                read.note(start, reached);
                seen.note(&page);
                sink.report.calls += calls;
                sink.push(page);
                if sink.is_full() {
                    let cursors = list.cursors(sink.table(), &coverage);
                    sink.commit(cursors).await?;
                }
            }
            Arrival::Ended(why) => ended = Some(why),
        }
    }
    let is_through = bounds.iter().all(|(from, to)| read.covers(*from, *to));
    sink.report.interrupted = ended.is_none() && sync.stop.is_cancelled() && !is_through;
    let is_unordered = matches!(ended, Some(Ended::OutOfOrder { .. }));
    if ended.is_some() || sink.report.interrupted {
        let mut cursors = list.cursors(sink.table(), &coverage);
        cursors.extend(is_unordered.then(|| list.unordered()));
        sink.commit(cursors).await?;
    }
    match ended {
        None => Ok(()),
        Some(Ended::Failed(error)) => Err(error),
        Some(Ended::OutOfOrder { at }) => {
            tracing::warn!(
                object = %sync.object, at,
                "The list is not in the order of ids: it is read again in one walk",
            );
            read_in_one_walk(sync, source, list, seen, sink).await
        }
    }
}

fn walk(
    sync: &ObjectSync<'_>,
    source: &Arc<PageSource>,
    list: &List,
    gaps: Vec<Range>,
    highest: Option<i64>,
) -> Walk {
    Walk { source: source.clone(), archived: list.archived, gaps, highest, stop: sync.stop.clone() }
}

/// Reads a list from its beginning, each page where the one before said. It
/// cannot go on after a cut: a cursor need not be a number.
async fn read_in_one_walk(
    sync: &ObjectSync<'_>,
    source: &PageSource,
    list: &List,
    seen: &mut Seen,
    sink: &mut Sink<'_>,
) -> Result<(), ExtractError> {
    let mut after: Option<String> = None;
    let mut cursors = HashSet::new();
    let (mut empty, mut is_asked_again) = (0, false);
    loop {
        let read = sync.stop.run_until_cancelled(source.list(list.archived, after.as_deref()));
        let Some(fetched) = read.await else {
            sink.report.interrupted = true;
            return sink.commit(Vec::new()).await;
        };
        let mut fetched = fetched?;
        sink.report.calls += fetched.calls;
        empty = if fetched.ids.is_empty() { empty + 1 } else { 0 };
        let (next, is_full) = (fetched.page.next.take(), fetched.is_full());
        seen.note(&fetched.page);
        sink.push(fetched.page);
        match next {
            // A full page that names no next one: it is asked for once more.
            None if is_full && !is_asked_again => is_asked_again = true,
            None => return Ok(()),
            Some(_) if empty > MOST_EMPTY_PAGES => {
                return Err(ExtractError::EndlessList { object: sync.object.to_string() });
            }
            Some(next) if !cursors.insert(next.clone()) => {
                return Err(ExtractError::StuckList {
                    object: sync.object.to_string(),
                    cursor: next,
                });
            }
            next => (after, is_asked_again) = (next, false),
        }
        if sink.is_full() {
            sink.commit(Vec::new()).await?;
        }
    }
}
