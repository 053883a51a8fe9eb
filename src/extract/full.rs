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

use std::sync::Arc;
use std::time::Duration;

use super::error::ExtractError;
use super::mirror::{
    FULL_COMPLETED, FULL_STARTED, RECONCILE_COMPLETED, RECONCILE_STARTED, WATERMARK, is_complete,
};
use super::object::{ObjectSync, Sink, SyncMode};
use super::pages::PageSource;
use super::ranges::{Coverage, Range};
use super::reader::{Arrival, Ended, Reading, Walk};
use super::selection::next_generation;
use super::vanished::{self, Seen};
use crate::lake::{Cursor, Table};

/// The longest a cut reconciliation is worth going on with; a full sync always
/// is.
const RECONCILE_GOES_ON: Duration = Duration::from_secs(24 * 60 * 60);

/// Why everything is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Full,
    Reconcile,
}

impl Listing {
    /// The cursors of its generation, when begun and when through.
    fn cursors(self) -> (&'static str, &'static str) {
        match self {
            Self::Full => (FULL_STARTED, FULL_COMPLETED),
            Self::Reconcile => (RECONCILE_STARTED, RECONCILE_COMPLETED),
        }
    }

    /// What the cursors of its stretches begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Full => "hublake.full",
            Self::Reconcile => "hublake.reconcile",
        }
    }

    /// The generation to go on with, or a new one.
    fn generation(self, table: &Table, mode: SyncMode, server_time: i64) -> i64 {
        let (started, completed) = self.cursors();
        let cut = table.cursor(started).filter(|begun| table.cursor(completed) < Some(*begun));
        let goes_on = |begun: i64| match self {
            Self::Full => mode == SyncMode::Auto && !is_complete(table),
            Self::Reconcile => server_time - begun < RECONCILE_GOES_ON.as_millis() as i64,
        };
        cut.filter(|begun| goes_on(*begun))
            .unwrap_or_else(|| next_generation(table, started, server_time))
    }
}

/// One of the two lists.
struct List {
    archived: bool,
    begun: Cursor,
    /// What the cursors of its stretches are called, but for their starts.
    cursor_id: String,
}

impl List {
    fn new(listing: Listing, generation: i64, archived: bool) -> Self {
        let name = if archived { "archived" } else { "live" };
        let (started, _) = listing.cursors();
        Self {
            archived,
            begun: Cursor { app_id: started.to_owned(), value: generation },
            cursor_id: format!("{}.{generation}.{name}", listing.name()),
        }
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

    /// Says that the list is not in the order of ids: what is committed as read
    /// is no stretch of it.
    fn unordered(&self) -> Cursor {
        Cursor { app_id: format!("{}.unordered", self.cursor_id), value: 1 }
    }

    /// What a commit in the middle says: which generation, how far.
    fn cursors(&self, coverage: &Coverage) -> Vec<Cursor> {
        let stretches = coverage.stretches().map(|(start, value)| {
            let app_id = format!("{}.{start}", self.cursor_id);
            Cursor { app_id, value }
        });
        std::iter::once(self.begun.clone()).chain(stretches).collect()
    }
}

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
    for archived in [false, true] {
        let list = List::new(listing, generation, archived);
        read(sync, &source, &list, &mut seen, &mut highest, sink).await?;
        if sink.report.interrupted {
            return Ok(());
        }
    }
    sink.commit(Vec::new()).await?;
    vanished::settle(sync, &source, seen, sink, server_time).await?;
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

/// Reads what is left of a list. Whatever came is committed, however it ended.
async fn read(
    sync: &ObjectSync<'_>,
    source: &Arc<PageSource>,
    list: &List,
    seen: &mut Seen,
    highest: &mut Option<i64>,
    sink: &mut Sink<'_>,
) -> Result<(), ExtractError> {
    if sink.cursor(&list.unordered().app_id).is_some() {
        seen.covered_before(&Coverage::default().gaps());
        return read_in_one_walk(sync, source, list, seen, sink).await;
    }
    let mut coverage = list.coverage(sink);
    let gaps = coverage.gaps();
    if gaps.is_empty() {
        seen.covered_before(&[]);
        return Ok(());
    }
    seen.covered_before(&gaps);
    let mut reading = Reading::start(walk(sync, source, list, gaps, *highest));
    let mut ended = None;
    while let Some(arrival) = reading.next().await {
        match arrival {
            Arrival::Extent { records, highest: id } => {
                sync.progress.expect(records);
                *highest = Some(id);
            }
            Arrival::Page { page, calls, start, reached } => {
                coverage.note(start, reached);
                seen.note(&page);
                sink.report.calls += calls;
                sink.push(page);
                if sink.is_full() {
                    sink.commit(list.cursors(&coverage)).await?;
                }
            }
            Arrival::Ended(why) => ended = Some(why),
        }
    }
    sink.report.interrupted =
        ended.is_none() && sync.stop.is_cancelled() && !coverage.gaps().is_empty();
    let is_unordered = matches!(ended, Some(Ended::OutOfOrder { .. }));
    if ended.is_some() || sink.report.interrupted {
        let mut cursors = list.cursors(&coverage);
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
    loop {
        let read = sync.stop.run_until_cancelled(source.list(list.archived, after.as_deref()));
        let Some(fetched) = read.await else {
            sink.report.interrupted = true;
            return sink.commit(Vec::new()).await;
        };
        let mut fetched = fetched?;
        sink.report.calls += fetched.calls;
        let next = fetched.page.next.take();
        seen.note(&fetched.page);
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
