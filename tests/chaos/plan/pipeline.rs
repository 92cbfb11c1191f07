//! Requests that are written at once on one connection of HTTP/1.1.

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use super::{Form, pick};
use crate::cast::{Kind, Way, Who};

/// A pipeline begins and ends within so many numbers.
pub const BLOCK: u64 = 4;

/// How often a block has one, and of how many requests.
const LENGTHS: [(u32, Option<u64>); 4] = [(90, None), (3, Some(2)), (3, Some(3)), (4, Some(4))];

/// Some requests in a row.
#[derive(Debug, Clone, Copy)]
pub struct Pipeline {
    pub first: u64,
    pub length: u64,
    pub way: Way,
    /// In a tunnel, and to a relay: whose all of them are and where they lead.
    pub common: Option<(Who, Kind)>,
}

impl Pipeline {
    /// The one of the block that begins with `first`.
    pub fn throw(dice: &mut TestRng, first: u64) -> Option<Pipeline> {
        let length = pick(dice, &LENGTHS)?;
        let way = Way::throw(dice, Form::Pipeline);
        let who = pick(dice, &[(1, Who::Red), (1, Who::Green), (1, Who::Alice)]);
        let kind = pick(dice, way.kinds(Form::Pipeline));
        let first = first + dice.random_range(0..=BLOCK - length);
        Some(Pipeline { first, length, way, common: (way.is_tunnel() || way.is_relayed()).then_some((who, kind)) })
    }

    pub fn numbers(self) -> std::ops::Range<u64> {
        self.first..self.first + self.length
    }
}
