//! Chance that is the same every time: a record's values are a function of
//! (seed, object type, index, property), so none of them need be kept.

/// A source of numbers that depends only on where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// The draw for one record of one object type.
    pub(crate) fn of(seed: u64, salt: u64, index: u64) -> Self {
        Self(mix(seed ^ mix(salt) ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// An independent draw for one of the record's properties.
    pub(crate) fn of_property(self, salt: u64) -> Self {
        Self(mix(self.0 ^ salt))
    }

    /// The raw number.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// A number below `limit`; zero if the limit is zero.
    pub(crate) fn below(self, limit: u64) -> u64 {
        ((u128::from(self.0) * u128::from(limit)) >> 64) as u64
    }

    /// True for `percent` of all draws.
    pub(crate) fn chance(self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the choices, which must not be empty.
    pub(crate) fn pick<T: Copy>(self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// The finaliser of splitmix64: every input bit reaches every output bit.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A salt from a name, FNV-1a.
pub(crate) const fn salt(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_repeats_and_spreads() {
        let again = Draw::of(7, salt("contacts"), 3).number();
        assert_eq!(Draw::of(7, salt("contacts"), 3).number(), again);
        assert_ne!(Draw::of(7, salt("contacts"), 4).number(), again);
        assert_ne!(Draw::of(8, salt("contacts"), 3).number(), again);

        let hits = (0..10_000).filter(|i| Draw::of(1, 2, *i).chance(25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
    }

    #[test]
    fn below_stays_below() {
        assert!((0..1_000).all(|i| Draw::of(1, 2, i).below(7) < 7));
        assert_eq!(Draw::of(1, 2, 3).below(0), 0);
    }
}
