//! Which ids of a list are still to be read, and how to read them side by side.
//!
//! List cursors are record ids, so a list can be read from any id on. The part
//! that is read is kept as stretches of ids, each with the id it began at and
//! the id it has come to; what lies between them is still to be read. Nothing
//! else needs to be remembered of a walk, be it cut or split.

use std::collections::BTreeMap;

/// An id above every other: the end of a list.
pub(super) const END: i64 = i64::MAX;

/// Records below which a stretch is not worth splitting.
const LEAST_SPLIT: f64 = 300.0;

/// The ids that have been read, as stretches `[start, reached)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage(BTreeMap<i64, i64>);

impl Coverage {
    /// Notes that everything from `start` up to, not including, `reached` has
    /// been read; what was known of the stretch before never shrinks.
    pub(super) fn note(&mut self, start: i64, reached: i64) {
        let known = self.0.entry(start).or_insert(start);
        *known = reached.max(*known);
    }

    /// The stretches, by their start.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().map(|(start, reached)| (*start, *reached))
    }

    /// The stretches with those that meet made one. Their number is that of the
    /// gaps and one more at most: it depends on how many walks there were at
    /// once and not on how long they were.
    pub(super) fn joined(&self) -> Vec<(i64, i64)> {
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for (start, reached) in self.stretches() {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(reached),
                _ => joined.push((start, reached)),
            }
        }
        joined
    }

    /// Whether everything from one id up to, not including, another has been read.
    pub(super) fn covers(&self, from: i64, to: i64) -> bool {
        self.joined().iter().any(|(start, reached)| *start <= from && to <= *reached)
    }

    /// What is still to be read, in ascending order; none when all is.
    pub(super) fn gaps(&self) -> Vec<Range> {
        let mut gaps = Vec::new();
        // Where the stretch in front of the gap began: it goes on from there.
        let (mut start, mut reached) = (0, 0);
        for (next_start, next_reached) in self.stretches() {
            if next_start > reached {
                gaps.push(Range { start, next: reached, end: next_start, density: None });
            }
            if next_reached >= reached {
                (start, reached) = (next_start, next_reached);
            }
        }
        if reached < END {
            gaps.push(Range { start, next: reached, end: END, density: None });
        }
        gaps
    }
}

/// A stretch under way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Range {
    /// The id at which it began; names it in [`Coverage`].
    pub(super) start: i64,
    /// The first id not yet read.
    pub(super) next: i64,
    /// The first id that is another's to read.
    pub(super) end: i64,
    /// Records per id, as the last page showed.
    density: Option<f64>,
}

impl Range {
    /// A stretch to be read from its beginning.
    pub(super) fn new(start: i64, end: i64) -> Self {
        Self { start, next: start, end, density: None }
    }

    /// The part of it between two ids, if there is any, to be read from its beginning.
    pub(super) fn within(&self, from: i64, to: i64) -> Option<Self> {
        let part = Self::new(self.start.max(from), self.end.min(to));
        (part.start < part.end).then_some(part)
    }

    /// Takes in a page that held `records` ids up to `last`.
    pub(super) fn advance(&mut self, records: usize, last: i64) {
        let span = (last - self.next).saturating_add(1).max(1);
        self.density = Some(records as f64 / span as f64);
        self.next = self.next.max(last.saturating_add(1));
    }

    /// Whether all its ids have been read.
    pub(super) fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// Records that are probably left, if none has an id above `highest`. The
    /// ids of a range that has shown no page yet may all be taken.
    fn left(&self, highest: i64) -> f64 {
        let span = (self.end.min(highest.saturating_add(1)) - self.next).max(0) as f64;
        span * self.density.unwrap_or(1.0).min(1.0)
    }

    /// Gives its upper half away.
    fn split(&mut self, highest: i64) -> Self {
        let top = self.end.min(highest.saturating_add(1));
        let middle = self.next + (top - self.next) / 2;
        let upper = Self { start: middle, next: middle, end: self.end, density: self.density };
        self.end = middle;
        upper
    }
}

/// Splits the range with the most left to read; none is worth it when all are
/// nearly done. `highest` is the highest id known to exist.
pub(super) fn split_largest<'a>(
    ranges: impl Iterator<Item = &'a mut Range>,
    highest: i64,
) -> Option<Range> {
    let largest = ranges.max_by(|a, b| a.left(highest).total_cmp(&b.left(highest)))?;
    (largest.left(highest) >= LEAST_SPLIT).then(|| largest.split(highest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gap(start: i64, next: i64, end: i64) -> Range {
        Range { start, next, end, density: None }
    }

    #[test]
    fn gaps_lie_between_stretches_and_after_the_last() {
        let mut coverage = Coverage::default();
        assert_eq!(coverage.gaps(), [gap(0, 0, END)]);
        coverage.note(0, 100);
        coverage.note(500, 900);
        assert_eq!(coverage.gaps(), [gap(0, 100, 500), gap(500, 900, END)]);
        coverage.note(0, 510);
        assert_eq!(coverage.gaps(), [gap(500, 900, END)], "a page reached across");
        coverage.note(500, END);
        assert_eq!(coverage.gaps(), []);
        coverage.note(0, 3);
        assert_eq!(coverage.gaps(), [], "nothing is forgotten");
    }

    #[test]
    fn a_stretch_inside_another_hides_nothing() {
        let mut coverage = Coverage::default();
        coverage.note(0, 1_000);
        coverage.note(200, 300);
        assert_eq!(coverage.gaps(), [gap(0, 1_000, END)]);
    }

    #[test]
    fn stretches_that_meet_are_one_and_leave_the_same_gaps() {
        let mut coverage = Coverage::default();
        for (start, reached) in [(0, 100), (100, 180), (150, 170), (300, 300), (300, 400)] {
            coverage.note(start, reached);
        }
        assert_eq!(coverage.joined(), [(0, 180), (300, 400)]);
        assert!(coverage.covers(20, 180) && !coverage.covers(170, 310));
        let mut again = Coverage::default();
        coverage.joined().into_iter().for_each(|(start, reached)| again.note(start, reached));
        let bounds = |gaps: Vec<Range>| gaps.iter().map(|g| (g.next, g.end)).collect::<Vec<_>>();
        assert_eq!(bounds(again.gaps()), bounds(coverage.gaps()));
    }

    #[test]
    fn the_range_with_the_most_left_is_split() {
        let mut small = gap(0, 0, 100);
        let mut large = gap(100, 100, END);
        let upper = split_largest([&mut small, &mut large].into_iter(), 10_099);
        assert_eq!(upper, Some(gap(5_100, 5_100, END)));
        assert_eq!((small.end, large.end), (100, 5_100));
        let mut sparse = gap(0, 0, 1_000_000);
        sparse.advance(100, 99_999);
        assert_eq!(
            split_largest([&mut small, &mut sparse].into_iter(), 10_000_000).map(|r| r.end),
            Some(1_000_000)
        );
        let mut nearly = gap(0, 900_000, 1_000_000);
        nearly.density = Some(0.001);
        assert_eq!(split_largest([&mut small, &mut nearly].into_iter(), 10_000_000), None);
    }

    proptest! {
        /// Ranges walked in any order, split at any time and cut at any time
        /// read every id once or more, and leave no gap.
        #[test]
        fn every_id_is_read_whatever_the_splits_and_cuts(
            ids in proptest::collection::btree_set(0_i64..2_000, 0..300),
            steps in proptest::collection::vec((0_usize..8, 0_u8..8), 0..80),
        ) {
            let highest = ids.last().copied().unwrap_or(0);
            let mut seen = std::collections::BTreeSet::new();
            let mut coverage = Coverage::default();
            let mut ranges = coverage.gaps();
            let read = |range: &mut Range, coverage: &mut Coverage, seen: &mut std::collections::BTreeSet<i64>| {
                let page: Vec<i64> = ids.range(range.next..).take(7).copied().collect();
                seen.extend(&page);
                match page.last().filter(|_| page.len() == 7) {
                    Some(last) => range.advance(page.len(), *last),
                    None => range.next = END,
                }
                coverage.note(range.start, range.next);
            };
            for (which, what) in steps {
                match what {
                    0 => ranges = coverage.gaps(),
                    1 => {
                        if let Some(largest) = ranges.iter_mut().max_by_key(|range| range.end.min(highest) - range.next)
                            && largest.end.min(highest) - largest.next > 10
                        {
                            let upper = largest.split(highest);
                            ranges.push(upper);
                        }
                    }
                    _ if ranges.is_empty() => {}
                    _ => {
                        let at = which % ranges.len();
                        read(&mut ranges[at], &mut coverage, &mut seen);
                        if ranges[at].is_done() {
                            ranges.remove(at);
                        }
                    }
                }
            }
            let mut rounds = 0;
            while let Some(mut range) = coverage.gaps().into_iter().next() {
                read(&mut range, &mut coverage, &mut seen);
                rounds += 1;
                prop_assert!(rounds < 5_000, "the walk does not end");
            }
            prop_assert_eq!(seen, ids);
        }
    }
}
