//! A set of four-byte runs that says "no" in a few instructions, and "perhaps" where it has to be looked closer.

use zeroize::Zeroizing;

/// How many bytes a run has.
pub(super) const RUN: usize = 4;

/// A Bloom filter of `64 * WORDS` bits, of which each run has two. `WORDS` is a power of two. Wiped when dropped.
pub(super) struct Filter<const WORDS: usize>(Box<Zeroizing<[u64; WORDS]>>);

impl<const WORDS: usize> Filter<WORDS> {
    pub(super) fn new() -> Filter<WORDS> {
        Filter(Box::new(Zeroizing::new([0; WORDS])))
    }

    pub(super) fn add(&mut self, run: [u8; RUN]) {
        for (word, bit) in Self::bits(run) {
            self.0[word] |= bit;
        }
    }

    /// `false`: it was never added, in whatever case its letters are.
    pub(super) fn may_have(&self, run: [u8; RUN]) -> bool {
        let [(word, bit), second] = Self::bits(run);
        self.0[word] & bit != 0 && self.0[second.0] & second.1 != 0
    }

    /// Case is left out of account, because hexadecimal digits have both.
    fn bits(run: [u8; RUN]) -> [(usize, u64); 2] {
        let folded = u32::from_le_bytes(run) | 0x2020_2020;
        let hash = u64::from(folded).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The highest bits are the best ones; as an index they need no other bounds than this shift.
        let word = |hash: u64| (hash >> (64 - WORDS.ilog2())) as usize;
        [(word(hash), 1 << (hash >> 47 & 63)), (word(hash << 17), 1 << (hash >> 30 & 63))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_and_little_else() {
        let mut filter = Filter::<2048>::new();
        let run = |n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes();
        (0..2000).for_each(|n| filter.add(run(n)));
        assert!((0..2000).all(|n| filter.may_have(run(n)) && filter.may_have(run(n).map(|b| b.to_ascii_uppercase()))));
        let wrong = (2000..102_000).filter(|n| filter.may_have(run(*n))).count();
        assert!(wrong < 1000, "{wrong} of 100000");
    }
}
