//! The full sync: everything the list shows, live and archived.
//!
//! A full sync has a generation, the server time at which its first attempt
//! began; that time becomes the watermark when it completes, since whatever
//! changed later may have been listed before it changed. The ids read so far
//! are committed with their rows, stretch by stretch, and a cut sync goes on
//! with the ids in between.

use std::sync::Arc;

use super::error::ExtractError;
use super::mirror::{FULL_STARTED, WATERMARK, is_complete};
use super::object::{ObjectSync, Sink, SyncMode, completion};
use super::pages::PageSource;
use super::ranges::{Coverage, Range};
use super::reader::{Arrival, Ended, Reading, Walk};
use super::selection::next_generation;
use crate::lake::Cursor;

/// One of the two lists a full sync reads.
struct List {
    archived: bool,
    generation: i64,
    /// What the cursors of its stretches are called, but for their starts.
    cursor_id: String,
}

impl List {
    fn new(archived: bool, generation: i64) -> Self {
        let name = if archived { "archived" } else { "live" };
        Self { archived, generation, cursor_id: format!("hublake.full.{generation}.{name}") }
    }

    /// What is committed as read.
    fn coverage(&self, sink: &Sink<'_>) -> Coverage {
        let mut coverage = Coverage::default();
        for (start, reached) in sink.table().cursors_under(&format!("{}.", self.cursor_id)) {
            if let Ok(start) = start.parse() {
                coverage.note(start, reached);
            }
        }
        coverage
    }

    /// What a commit in the middle says: which generation, how far.
    fn cursors(&self, coverage: &Coverage) -> Vec<Cursor> {
        let begun = Cursor { app_id: FULL_STARTED.to_owned(), value: self.generation };
        let stretches = coverage.stretches().map(|(start, value)| {
            let app_id = format!("{}.{start}", self.cursor_id);
            Cursor { app_id, value }
        });
        std::iter::once(begun).chain(stretches).collect()
    }
}

pub(super) async fn sync(
    sync: &ObjectSync<'_>,
    source: PageSource,
    sink: &mut Sink<'_>,
    server_time: i64,
) -> Result<(), ExtractError> {
    sink.report.full = true;
    let generation = generation(sync, sink, server_time);
    let source = Arc::new(source);
    let mut highest = None;
    for archived in [false, true] {
        let list = List::new(archived, generation);
        let gaps = list.coverage(sink).gaps();
        read(sync, &source, &list, gaps, &mut highest, sink).await?;
        if sink.report.interrupted {
            return Ok(());
        }
    }
    let mut cursors = completion(generation);
    let watermark = generation.max(sink.cursor(WATERMARK).unwrap_or(0));
    cursors.push(Cursor { app_id: WATERMARK.to_owned(), value: watermark });
    sink.commit(cursors).await
}

/// The generation to go on with, or a new one.
fn generation(sync: &ObjectSync<'_>, sink: &Sink<'_>, server_time: i64) -> i64 {
    match sink.cursor(FULL_STARTED) {
        Some(begun) if !is_complete(sink.table()) && sync.mode == SyncMode::Auto => begun,
        _ => next_generation(sink.table(), server_time),
    }
}

/// Reads the gaps of a list. Whatever came is committed, however it ended.
async fn read(
    sync: &ObjectSync<'_>,
    source: &Arc<PageSource>,
    list: &List,
    gaps: Vec<Range>,
    highest: &mut Option<i64>,
    sink: &mut Sink<'_>,
) -> Result<(), ExtractError> {
    if gaps.is_empty() {
        return Ok(());
    }
    let mut coverage = list.coverage(sink);
    let mut reading = Reading::start(Walk {
        source: source.clone(),
        archived: list.archived,
        gaps,
        highest: *highest,
        stop: sync.stop.clone(),
    });
    let mut ended = None;
    while let Some(arrival) = reading.next().await {
        match arrival {
            Arrival::Extent { records, highest: id } => {
                sync.progress.expect(records);
                *highest = Some(id);
            }
            Arrival::Page { page, calls, start, reached } => {
                coverage.note(start, reached);
                sink.report.calls += calls;
                sink.push(page);
                if sink.is_full() {
                    sink.commit(list.cursors(&coverage)).await?;
                }
            }
            Arrival::Ended(why) => ended = Some(why),
        }
    }
    sink.report.interrupted = sync.stop.is_cancelled() && !coverage.gaps().is_empty();
    if ended.is_some() || sink.report.interrupted {
        sink.commit(list.cursors(&coverage)).await?;
    }
    match ended {
        None => Ok(()),
        Some(Ended::Failed(error)) => Err(error),
        Some(Ended::OutOfOrder { at }) => {
            tracing::warn!(
                object = %sync.object, at,
                "The list is not in the order of ids: it is read again in one walk",
            );
            read_in_one_walk(sync, source, list, sink).await
        }
    }
}

/// Reads a list from its beginning, each page where the one before said. It
/// cannot go on after a cut: a cursor need not be a number.
async fn read_in_one_walk(
    sync: &ObjectSync<'_>,
    source: &PageSource,
    list: &List,
    sink: &mut Sink<'_>,
) -> Result<(), ExtractError> {
    let mut after: Option<String> = None;
    loop {
        let read = sync.stop.run_until_cancelled(source.list(list.archived, after.as_deref()));
        let Some(fetched) = read.await else {
            sink.report.interrupted = true;
            return sink.commit(Vec::new()).await;
        };
        let mut fetched = fetched?;
        sink.report.calls += fetched.calls;
        let next = fetched.page.next.take();
        sink.push(fetched.page);
        match next {
            None => return Ok(()),
            Some(next) if after.as_ref() == Some(&next) => {
                return Err(ExtractError::StuckList {
                    object: sync.object.to_string(),
                    cursor: next,
                });
            }
            next => after = next,
        }
        if sink.is_full() {
            sink.commit(Vec::new()).await?;
        }
    }
}
