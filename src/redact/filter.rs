//! A set of four-byte runs that says "no" in a few instructions, and "perhaps" where it has to be looked closer.

use zeroize::Zeroizing;

/// How many bytes a run has.
pub(super) const RUN: usize = 4;

/// A Bloom filter of two tables with `64 * WORDS` bits each, of which each run has one in both: a run that the first table
/// does not know, as nearly all are, costs one multiplication and a look into memory that stays in the nearest cache.
/// `WORDS` is a power of two. Wiped when dropped.
pub(super) struct Filter<const WORDS: usize>(Box<Zeroizing<[[u64; WORDS]; 2]>>);

impl<const WORDS: usize> Filter<WORDS> {
    /// Odd, with no pattern in their bits, and unlike each other.
    const FACTORS: [u32; 2] = [0x9e37_79b9, 0x85eb_ca6b];

    pub(super) fn new() -> Filter<WORDS> {
        Filter(Box::new(Zeroizing::new([[0; WORDS]; 2])))
    }

    pub(super) fn add(&mut self, run: [u8; RUN]) {
        for table in 0..2 {
            let (word, bit) = Self::place(table, run);
            self.0[table][word] |= 1 << bit;
        }
    }

    /// `false`: it was never added, in whatever case its letters are.
    pub(super) fn may_have(&self, run: [u8; RUN]) -> bool {
        self.knows(0, run) && self.knows(1, run)
    }

    fn knows(&self, table: usize, run: [u8; RUN]) -> bool {
        let (word, bit) = Self::place(table, run);
        self.0[table][word] >> bit & 1 == 1
    }

    /// Case is left out of account, because hexadecimal digits have both.
    fn place(table: usize, run: [u8; RUN]) -> (usize, u32) {
        let folded = u32::from_le_bytes(run) | 0x2020_2020;
        // The highest bits are the best ones; as an index they need no other bounds than this shift.
        let hash = folded.wrapping_mul(Self::FACTORS[table]);
        let beside = 32 - WORDS.ilog2();
        ((hash >> beside) as usize, hash >> (beside - 6) & 63)
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
