//! Reads one list at the speed of the budget: many stretches of it at once.
//!
//! One walk waits for one answer at a time and gets a fifth of what the account
//! allows. A task of its own therefore keeps several walks going, each on a
//! stretch of ids, and begins another whenever calls leave without waiting for
//! the budget; a stretch is split in the middle of its ids, so that no search
//! has to tell where records lie. Pages go through a bounded channel to whoever
//! stores them: while rows are committed, reading goes on until it is full.
//!
//! Order: the pages of a stretch come in its order, those of different
//! stretches in any. A record can come twice, where stretches meet or when it
//! is cut; none is left out, because a stretch is read until a page reaches its
//! end, and the next begins one id before that.
//!
//! That a list can be entered at any id is known from recordings, not from
//! HubSpot's guide. So it is checked: a page whose ids do not ascend from where
//! it was entered, or whose cursor is no id past them, ends the reading with
//! [`Ended::OutOfOrder`]. A list that counts its cursors would show no more than
//! that: entered at an id, it seems to have come to its end.
//!
//! Nor is an end believed that may be none: where a full page names no next one,
//! or a record with a higher id is known, the list is entered once more at the
//! last id that was read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::decode::Page;
use super::error::ExtractError;
use super::full::MOST_EMPTY_PAGES;
use super::pages::{Fetched, PageSource, is_refused};
use super::ranges::{Range, split_largest};
use crate::hubspot::Client;

/// Pages on their way to the writer: what the budget lets in while some ten
/// thousand rows are committed.
const PAGES_AHEAD: usize = 64;
/// The most walks at once: 250 calls in 10 s, the highest limit there is, take
/// 50 when an answer takes 2 s.
const MOST_WALKS: usize = 50;
/// Walks begun as soon as it is known that there is enough to read, or more
/// where answers are so slow that the limit takes more.
const FIRST_WALKS: usize = 8;
/// How long calls are watched before it is decided whether they wait.
const WATCHED: Duration = Duration::from_millis(100);

/// What to read.
pub(super) struct Walk {
    pub(super) source: Arc<PageSource>,
    pub(super) archived: bool,
    /// What is still to be read.
    pub(super) gaps: Vec<Range>,
    /// The highest id known; asked for when it is not, and worth it.
    pub(super) highest: Option<i64>,
    pub(super) stop: CancellationToken,
}

/// What comes from the reader.
pub(super) enum Arrival {
    /// A page, and how far its stretch is read with it.
    Page { page: Page, calls: u64, start: i64, reached: i64 },
    /// How many records there are, about, and the highest id.
    Extent { records: u64, highest: i64 },
    /// The reading ended before its end.
    Ended(Ended),
}

/// Why a reading ended before its end.
pub(super) enum Ended {
    Failed(ExtractError),
    /// The list cannot be entered where it was.
    OutOfOrder {
        at: i64,
    },
}

/// A reading under way; it ends when this is dropped.
pub(super) struct Reading {
    arrivals: mpsc::Receiver<Arrival>,
    task: JoinSet<()>,
}

impl Reading {
    /// Begins to read.
    pub(super) fn start(walk: Walk) -> Self {
        let (sender, arrivals) = mpsc::channel(PAGES_AHEAD);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let stop = walk.stop.clone();
            let reader = Reader::new(walk, sender);
            stop.run_until_cancelled(reader.run()).await;
        });
        Self { arrivals, task }
    }

    /// The next arrival; none once everything came or the reading was stopped.
    ///
    /// # Panics
    /// Where the reading did: its end would look like the list's.
    pub(super) async fn next(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.recv().await;
        if arrival.is_none()
            && let Some(Err(error)) = self.task.join_next().await
        {
            go_on_panicking(error);
        }
        arrival
    }
}

/// Panics as the task did. False where it was aborted, together with the task
/// that waits for it.
fn go_on_panicking(error: JoinError) -> bool {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => false,
    }
}

/// Where the next page of a stretch begins.
#[derive(Clone)]
enum Cursor {
    /// At the list's beginning.
    Beginning,
    /// At an id of our own choice.
    Id(i64),
    /// Where the page before said.
    Told(String),
}

impl Cursor {
    fn text(&self) -> Option<String> {
        match self {
            Self::Beginning => None,
            Self::Id(id) => Some(id.to_string()),
            Self::Told(after) => Some(after.clone()),
        }
    }
}

/// A stretch being walked.
struct Stretch {
    range: Range,
    cursor: Cursor,
    /// Pages in a row that showed no record.
    empty: u32,
    /// The list was entered anew at the last id read, and has shown nothing new.
    asked_again: bool,
}

impl Stretch {
    fn new(range: Range) -> Self {
        // One id earlier: whether a cursor includes its id is nowhere written.
        let cursor = match range.next {
            ..=0 => Cursor::Beginning,
            next => Cursor::Id(next - 1),
        };
        Self { range, cursor, empty: 0, asked_again: false }
    }

    /// Whether the page may follow: ascending from where it was asked for, and
    /// to be continued past its last id.
    fn is_in_order(&self, ids: &[i64], told: Option<&str>) -> bool {
        let goes_on = told
            .zip(ids.last())
            .is_none_or(|(told, last)| told.parse::<i64>().is_ok_and(|told| told >= *last));
        let lowest = match self.cursor {
            Cursor::Id(id) => id,
            _ => self.range.next,
        };
        goes_on
            && ids.first().is_none_or(|first| *first >= lowest)
            && ids.is_sorted_by(|a, b| a < b)
    }
}

/// What a task of the reader came back with.
enum Done {
    /// Of which walk, what came, and how long it took.
    Page(usize, Result<Fetched, ExtractError>, Duration),
    /// How many records, and the highest id.
    Extent(Option<(u64, i64)>),
}

struct Reader {
    source: Arc<PageSource>,
    archived: bool,
    highest: Option<i64>,
    /// The highest id that a page of this list has shown.
    shown: i64,
    extent_asked: bool,
    /// Stretches being walked, by the number of their walk; none once done.
    stretches: Vec<Option<Stretch>>,
    waiting: VecDeque<Range>,
    /// Walks there may be.
    allowed: usize,
    /// How long the quickest page took.
    latency: Option<Duration>,
    under_way: JoinSet<Done>,
    budget: BudgetWatch,
    arrivals: mpsc::Sender<Arrival>,
    ended: Option<Ended>,
}

impl Reader {
    fn new(walk: Walk, arrivals: mpsc::Sender<Arrival>) -> Self {
        Self {
            budget: BudgetWatch::new(walk.source.client.clone()),
            source: walk.source,
            archived: walk.archived,
            extent_asked: walk.highest.is_some(),
            highest: walk.highest,
            shown: 0,
            stretches: Vec::new(),
            waiting: walk.gaps.into(),
            allowed: 1,
            latency: None,
            under_way: JoinSet::new(),
            arrivals,
            ended: None,
        }
    }

    /// Reads until everything is read, or something failed. What is under way
    /// then is still taken: it has been paid for.
    async fn run(mut self) {
        self.begin_walks();
        while let Some(done) = self.under_way.join_next().await {
            let taken = match done {
                Ok(Done::Page(walk, fetched, took)) => {
                    self.latency = Some(self.latency.map_or(took, |known| known.min(took)));
                    self.take(walk, fetched).await
                }
                Ok(Done::Extent(extent)) => self.take_extent(extent).await,
                Err(error) => go_on_panicking(error),
            };
            if !taken {
                return;
            }
            self.begin_walks();
        }
        if let Some(ended) = self.ended.take() {
            // Whoever stores the pages may be gone: then nobody asks.
            let _ = self.arrivals.send(Arrival::Ended(ended)).await;
        }
    }

    /// Begins as many walks as are allowed and worth it.
    fn begin_walks(&mut self) {
        while self.ended.is_none() && self.walking() < self.allowed.min(MOST_WALKS) {
            let next = self.waiting.pop_front().or_else(|| self.split());
            let Some(range) = next else { return };
            let walk = self.stretches.len();
            self.stretches.push(Some(Stretch::new(range)));
            self.fetch(walk);
        }
    }

    fn walking(&self) -> usize {
        self.stretches.iter().flatten().count()
    }

    fn split(&mut self) -> Option<Range> {
        let highest = self.highest?;
        let ranges = self.stretches.iter_mut().flatten().map(|stretch| &mut stretch.range);
        split_largest(ranges, highest)
    }

    /// Asks for the next page of a walk.
    fn fetch(&mut self, walk: usize) {
        let Some(stretch) = &self.stretches[walk] else { return };
        let (source, archived) = (self.source.clone(), self.archived);
        let after = stretch.cursor.text();
        self.under_way.spawn(async move {
            let asked = Instant::now();
            let fetched = source.list(archived, after.as_deref()).await;
            Done::Page(walk, fetched, asked.elapsed())
        });
    }

    /// Takes a page in and asks for the next. False when nobody wants pages
    /// any more.
    async fn take(&mut self, walk: usize, fetched: Result<Fetched, ExtractError>) -> bool {
        let Some(mut stretch) = self.stretches[walk].take() else { return true };
        let mut fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                let ended = match is_refused(&error) && matches!(stretch.cursor, Cursor::Id(_)) {
                    true => Ended::OutOfOrder { at: stretch.range.next },
                    false => Ended::Failed(error),
                };
                self.ended.get_or_insert(ended);
                return true;
            }
        };
        if !stretch.is_in_order(&fetched.ids, fetched.page.next.as_deref()) {
            self.ended.get_or_insert(Ended::OutOfOrder { at: stretch.range.next });
            return true;
        }
        stretch.empty = if fetched.ids.is_empty() { stretch.empty + 1 } else { 0 };
        if let Some(last) = fetched.ids.last() {
            let before = stretch.range.next;
            stretch.range.advance(fetched.ids.len(), *last);
            stretch.asked_again &= stretch.range.next == before;
            self.shown = self.shown.max(*last);
        }
        let told = fetched.page.next.take();
        let (start, mut reached) = (stretch.range.start, stretch.range.next);
        match told {
            None if stretch.range.is_done() => {}
            // Other walks have shown records further up, and entered here the list shows none.
            None if stretch.asked_again && self.shown >= reached => {
                self.ended.get_or_insert(Ended::OutOfOrder { at: reached });
            }
            None if self.may_go_on(&stretch, fetched.is_full()) => {
                // Once something has failed, the next sync goes on from here.
                if self.ended.is_none() {
                    stretch.cursor = Cursor::Id(reached - 1);
                    stretch.asked_again = true;
                    self.stretches[walk] = Some(stretch);
                    self.fetch(walk);
                }
            }
            None => reached = super::ranges::END,
            Some(_) if stretch.empty > MOST_EMPTY_PAGES => {
                let object = self.source.object.to_string();
                self.ended.get_or_insert(Ended::Failed(ExtractError::EndlessList { object }));
            }
            // The same cursor again would be answered the same way for ever.
            Some(told) if stretch.cursor.text().as_ref() == Some(&told) => {
                self.ended.get_or_insert(Ended::OutOfOrder { at: reached });
            }
            Some(told) if !stretch.range.is_done() && self.ended.is_none() => {
                stretch.cursor = Cursor::Told(told);
                self.stretches[walk] = Some(stretch);
                self.fetch(walk);
                self.widen();
            }
            Some(_) => {}
        }
        let Fetched { page, calls, .. } = fetched;
        self.arrivals.send(Arrival::Page { page, calls, start, reached }).await.is_ok()
    }

    /// Whether a stretch may go on although its page names no next one. It may
    /// not once the list, entered at the last id read, has shown nothing new.
    fn may_go_on(&self, stretch: &Stretch, is_full: bool) -> bool {
        let next = stretch.range.next;
        // Search tells of live records only.
        let known = self.highest.filter(|_| !self.archived).max(Some(self.shown));
        let is_doubtful = is_full || known >= Some(next);
        next > 0 && is_doubtful && !stretch.asked_again
    }

    /// Allows one walk more while calls leave without waiting, and at once as many
    /// as fill the budget at the latency seen; asks first how far the ids go.
    fn widen(&mut self) {
        if self.highest.is_none() && !self.extent_asked {
            self.extent_asked = true;
            let source = self.source.clone();
            self.under_way.spawn(async move { Done::Extent(extent(&source).await) });
        }
        if self.highest.is_some() && !self.budget.is_busy() {
            let limit = self.source.client.budget_use().limit;
            let filling = self.latency.map_or(1, |latency| walks_to_fill(limit, latency));
            self.allowed = (self.walking() + 1).max(filling).max(self.allowed).min(MOST_WALKS);
        }
    }

    async fn take_extent(&mut self, extent: Option<(u64, i64)>) -> bool {
        let Some((records, highest)) = extent else { return true };
        self.highest = Some(highest);
        self.allowed = self.allowed.max(FIRST_WALKS);
        self.widen();
        self.arrivals.send(Arrival::Extent { records, highest }).await.is_ok()
    }
}

/// How many walks use up a limit of so many calls in ten seconds when each waits
/// so long for an answer.
fn walks_to_fill(limit: u32, latency: Duration) -> usize {
    (f64::from(limit) / 10.0 * latency.as_secs_f64()).ceil() as usize + 1
}

/// How many records search finds and the highest id among them; none where it
/// cannot tell, as it cannot for every type: then one walk reads everything.
async fn extent(source: &PageSource) -> Option<(u64, i64)> {
    let told = source.client.extent(&source.object).await;
    told.inspect_err(|error| {
        tracing::debug!(object = %source.object, %error, "Search does not tell how far the ids go");
    })
    .ok()?
}

/// Whether calls wait for the budget: then more of them at once gain nothing.
struct BudgetWatch {
    client: Client,
    since: Instant,
    waited: Duration,
    busy: bool,
}

impl BudgetWatch {
    fn new(client: Client) -> Self {
        let waited = client.counts().waited;
        Self { client, since: Instant::now(), waited, busy: false }
    }

    fn is_busy(&mut self) -> bool {
        let elapsed = self.since.elapsed();
        if elapsed >= WATCHED {
            let waited = self.client.counts().waited;
            self.busy = waited.saturating_sub(self.waited) * 2 > elapsed;
            (self.since, self.waited) = (Instant::now(), waited);
        }
        self.busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slower_answers_take_more_walks() {
        assert_eq!(walks_to_fill(190, Duration::from_millis(20)), 2);
        assert_eq!(walks_to_fill(190, Duration::from_millis(800)), 17);
        assert_eq!(walks_to_fill(250, Duration::from_secs(2)), 51);
    }

    #[tokio::test]
    #[should_panic(expected = "in the middle")]
    async fn a_reading_that_panics_does_not_look_like_one_that_ended() {
        let (sender, arrivals) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(async move {
            drop(sender);
            panic!("in the middle");
        });
        Reading { arrivals, task }.next().await;
    }
}
