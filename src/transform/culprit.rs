//! Which expression of a query is to blame for a mistake that the engine gives
//! no place for.

use std::collections::BTreeMap;

use super::catalog::Catalog;
use super::query::{Query, SqlPlace};

/// Queries planned in search of a culprit before the search is given up: a
/// person waits for the answer.
const MOST_TRIES: usize = 1_000;

impl Catalog {
    /// Where the expression stands without which the query can be planned: the
    /// innermost, or the one around several of which each could be changed to
    /// mend it. None where no single expression is to blame.
    pub(super) async fn culprit(
        &self,
        query: &Query,
        values: &BTreeMap<String, String>,
    ) -> Option<SqlPlace> {
        let written = query.expressions();
        let inside = |outer: Option<usize>| {
            let all = written.iter().enumerate();
            all.filter(move |(_, expr)| expr.within == outer).map(|(index, _)| index)
        };
        let mut tries = 0;
        let mut culprit = None;
        let mut place = None;
        loop {
            let mut cures = Vec::new();
            for index in inside(culprit) {
                tries += 1;
                if tries > MOST_TRIES {
                    return place;
                }
                if self.analysed(&query.without(index), values).await.is_ok() {
                    cures.push(index);
                }
                // Where two meet that do not fit, either mends it. Of those that stand in no
                // other, one is the place.
                if cures.len() > usize::from(culprit.is_some()) {
                    break;
                }
            }
            match cures.as_slice() {
                [only] => {
                    culprit = Some(*only);
                    place = written[*only].place.or(place);
                }
                _ => return place,
            }
        }
    }
}
