//! Who belongs to whom among seeded records, computed in both directions.

/// A permutation of `0..count`, so that neighbours by id are not neighbours by
/// company.
#[derive(Clone, Copy, Debug)]
struct Shuffle {
    count: u64,
    factor: u64,
    inverse: u64,
}

impl Shuffle {
    fn new(count: u64) -> Self {
        let count = count.max(1);
        // Near the golden ratio, multiples spread most evenly.
        let mut factor = (count as u128 * 618 / 1000).max(1) as u64;
        while gcd(factor, count) != 1 {
            factor += 1;
        }
        Self { count, factor, inverse: inverse(factor, count) }
    }

    fn rank(&self, index: u64) -> u64 {
        multiply(index, self.factor, self.count)
    }

    fn index(&self, rank: u64) -> u64 {
        multiply(rank, self.inverse, self.count)
    }
}

/// Children spread over parents: each child has one parent, each parent any
/// number of children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    children: u64,
    parents: u64,
    shuffle: Shuffle,
    skewed: bool,
}

impl Links {
    /// A spread in which the first parents have by far the most children, as
    /// companies have contacts.
    pub(crate) fn skewed(children: u64, parents: u64) -> Self {
        Self { children, parents, shuffle: Shuffle::new(children), skewed: true }
    }

    /// A spread in which every parent has about as many children.
    pub(crate) fn even(children: u64, parents: u64) -> Self {
        Self { children, parents, shuffle: Shuffle::new(children), skewed: false }
    }

    /// The parent of a child; none if there are no parents.
    pub(crate) fn parent(&self, child: u64) -> Option<u64> {
        if self.parents == 0 || child >= self.children {
            return None;
        }
        let rank = self.shuffle.rank(child);
        if let Some(parent) = self.parent_of_small(rank) {
            return Some(parent);
        }
        let rank = u128::from(rank);
        let (children, parents) = (u128::from(self.children), u128::from(self.parents));
        let parent = match self.skewed {
            true => parents * rank * rank / (children * children),
            false => parents * rank / children,
        };
        Some(parent as u64)
    }

    /// The same in numbers that divide fast; none if they are too large.
    fn parent_of_small(&self, rank: u64) -> Option<u64> {
        let (mut above, mut below) = (self.parents.checked_mul(rank)?, self.children);
        if self.skewed {
            above = above.checked_mul(rank)?;
            below = below.checked_mul(self.children)?;
        }
        above.checked_div(below)
    }

    /// The children of a parent, in the order of their ranks.
    pub(crate) fn children(&self, parent: u64) -> impl Iterator<Item = u64> + use<> {
        let shuffle = self.shuffle;
        let range = match parent < self.parents {
            true => self.first_rank(parent)..self.first_rank(parent + 1).min(self.children),
            false => 0..0,
        };
        range.map(move |rank| shuffle.index(rank))
    }

    /// The lowest rank whose parent is this one or a later one.
    fn first_rank(&self, parent: u64) -> u64 {
        let (children, parents) = (u128::from(self.children), u128::from(self.parents));
        let parent = u128::from(parent);
        let rank = match self.skewed {
            true => root_above((parent * children * children).div_ceil(parents)),
            false => (parent * children).div_ceil(parents),
        };
        rank as u64
    }
}

fn root_above(square: u128) -> u128 {
    let root = square.isqrt();
    if root * root < square { root + 1 } else { root }
}

fn multiply(left: u64, right: u64, modulus: u64) -> u64 {
    if let Some(product) = left.checked_mul(right) {
        return product % modulus;
    }
    (u128::from(left) * u128::from(right) % u128::from(modulus)) as u64
}

fn gcd(left: u64, right: u64) -> u64 {
    if right == 0 { left } else { gcd(right, left % right) }
}

/// The inverse of `factor` modulo `modulus`, which share no divisor.
fn inverse(factor: u64, modulus: u64) -> u64 {
    let modulus = i128::from(modulus);
    let (mut old_rest, mut rest) = (i128::from(factor) % modulus, modulus);
    let (mut old_times, mut times) = (1_i128, 0_i128);
    while rest != 0 {
        let quotient = old_rest / rest;
        (old_rest, rest) = (rest, old_rest - quotient * rest);
        (old_times, times) = (times, old_times - quotient * times);
    }
    old_times.rem_euclid(modulus) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_and_parents_agree() {
        for (children, parents) in [(1, 1), (5_000, 800), (997, 31), (10, 40), (3, 0), (0, 5)] {
            for links in [Links::skewed(children, parents), Links::even(children, parents)] {
                let mut seen = 0;
                for parent in 0..parents {
                    for child in links.children(parent) {
                        assert_eq!(links.parent(child), Some(parent), "{links:?}");
                        seen += 1;
                    }
                }
                assert_eq!(seen, if parents == 0 { 0 } else { children }, "{links:?}");
            }
        }
    }

    #[test]
    fn the_first_company_is_the_largest() {
        let links = Links::skewed(1_000_000, 100_000);
        assert_eq!(links.children(0).count(), 3_163);
        assert!(links.children(99_999).count() < 10);
    }
}
