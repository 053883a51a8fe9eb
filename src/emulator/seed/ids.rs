//! Record ids: irregular as HubSpot's are, and still computed both ways.

use super::draw::{Draw, salt};

/// Ids lie one to a cell of this many numbers; the rest of the cell is free.
const CELL: u64 = 37;
/// Low numbers of a cell stay free for the ids a merged record came from.
const RESERVED: u64 = 6;

/// The ids of the seeded records of one object type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdSpace {
    first: u64,
    count: u64,
    seed: u64,
}

impl IdSpace {
    /// `count` ids at and above `first`.
    pub(crate) fn new(first: u64, count: u64, seed: u64) -> Self {
        Self { first, count, seed: seed ^ first }
    }

    /// How many records are seeded.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The id of the record at an index; ids ascend with it.
    pub(crate) fn id(&self, index: u64) -> u64 {
        let jitter = Draw::of(self.seed, salt("id"), index).below(CELL - RESERVED);
        self.first + index * CELL + RESERVED + jitter
    }

    /// The index of the record that has this id.
    pub(crate) fn index_of(&self, id: u64) -> Option<u64> {
        let index = self.cell_of(id)?;
        (self.id(index) == id).then_some(index)
    }

    /// The index of the record whose cell holds this id, be it hers or free.
    pub(crate) fn cell_of(&self, id: u64) -> Option<u64> {
        let index = id.checked_sub(self.first)? / CELL;
        (index < self.count).then_some(index)
    }

    /// The first index whose id is at least `id`.
    pub(crate) fn index_from(&self, id: u64) -> u64 {
        let Some(offset) = id.checked_sub(self.first) else { return 0 };
        let index = (offset / CELL).min(self.count);
        if index < self.count && self.id(index) < id { index + 1 } else { index }
    }

    /// The ids a merged record came from: in her cell, below her own id. If
    /// she was merged twice the last two count too.
    pub(crate) fn former_ids(&self, index: u64) -> [u64; 4] {
        let id = self.id(index);
        [id - 5, id - 4, id - 3, id - 2]
    }

    /// A number above every seeded id, where new ids begin.
    pub(crate) fn end(&self) -> u64 {
        self.first + (self.count + 1) * CELL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_are_found_again() {
        let ids = IdSpace::new(51_000_000_000, 2_000, 42);
        let all: Vec<u64> = (0..2_000).map(|i| ids.id(i)).collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
        for (index, id) in all.iter().enumerate() {
            let index = index as u64;
            assert_eq!(ids.index_of(*id), Some(index));
            assert_eq!(ids.index_from(*id), index);
            assert_eq!(ids.index_from(*id + 1), index + 1);
            for former in ids.former_ids(index) {
                assert_eq!(ids.index_of(former), None);
                assert_eq!(ids.cell_of(former), Some(index));
            }
        }
        assert_eq!(ids.index_from(0), 0);
        assert_eq!(ids.index_from(ids.end()), 2_000);
        assert!(all.iter().all(|id| *id < ids.end()));
    }
}
