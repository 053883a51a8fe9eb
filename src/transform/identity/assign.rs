//! Ids that last: which component goes on as which cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::Former;
use super::graph::Graph;
use super::resolve::Resolution;

/// The cluster ids of a resolution.
#[derive(Debug)]
pub(super) struct Assignment {
    /// By record.
    pub(super) ids: Vec<i64>,
    /// The highest id ever given.
    pub(super) highest: i64,
}

impl Assignment {
    /// Every former id goes to the component that holds most of its records (of
    /// two that hold as many, the one with the first record in order of names).
    /// A component to which several go takes the lowest, which is the oldest; one
    /// to which none goes gets a new id. New ids are given in order of names.
    pub(super) fn new(
        graph: &Graph,
        resolution: &Resolution,
        former: &Former,
        highest: i64,
    ) -> Self {
        let component = &resolution.component;
        let mut shared: BTreeMap<(i64, u32), usize> = BTreeMap::new();
        for (record, id) in former {
            if let Some(record) = graph.find(record) {
                *shared.entry((*id, component[record as usize])).or_default() += 1;
            }
        }
        let mut heirs: BTreeMap<i64, (usize, u32)> = BTreeMap::new();
        for ((id, component), records) in shared {
            let heir = heirs.entry(id).or_insert((records, component));
            if records > heir.0 {
                *heir = (records, component);
            }
        }
        let mut by_component = vec![0i64; component.len()];
        for (id, (_, component)) in heirs {
            // In ascending order of id: the first to come is the oldest.
            let taken = &mut by_component[component as usize];
            if *taken == 0 {
                *taken = id;
            }
        }
        let mut highest = former.values().copied().fold(highest, i64::max);
        for (record, first) in (0u32..).zip(component) {
            let id = &mut by_component[*first as usize];
            if record == *first && *id == 0 {
                highest += 1;
                *id = highest;
            }
        }
        let ids = component.iter().map(|first| by_component[*first as usize]).collect();
        Self { ids, highest }
    }
}

/// What became of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Move {
    /// The cluster is no more; these of its records are in another.
    Merge,
    /// The cluster goes on without these records, which are in another.
    Split,
    /// The cluster is no more, and none of its records is.
    Retired,
}

impl Move {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Retired => "retired",
        }
    }
}

/// One row of the moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) op: Move,
    pub(super) old: i64,
    /// None for a cluster that is no more.
    pub(super) new: Option<i64>,
    /// Records that went there, or that the cluster had.
    pub(super) records: i64,
}

/// What moved between two versions, in order of the old ids.
pub(super) fn moves(old: &Former, new: &Former) -> Vec<Moved> {
    let alive: BTreeSet<i64> = new.values().copied().collect();
    let mut went: BTreeMap<(i64, Option<i64>), i64> = BTreeMap::new();
    let mut sizes: BTreeMap<i64, i64> = BTreeMap::new();
    for (record, id) in old {
        *sizes.entry(*id).or_default() += 1;
        if let Some(now) = new.get(record)
            && now != id
        {
            *went.entry((*id, Some(*now))).or_default() += 1;
        }
    }
    for (id, records) in sizes {
        let went_on = went.range((id, None)..=(id, Some(i64::MAX))).next().is_some();
        if !alive.contains(&id) && !went_on {
            went.insert((id, None), records);
        }
    }
    let moved = went.into_iter().map(|((old, new), records)| Moved {
        op: match new {
            None => Move::Retired,
            Some(_) if alive.contains(&old) => Move::Split,
            Some(_) => Move::Merge,
        },
        old,
        new,
        records,
    });
    moved.collect()
}
