//! What a caller does, and does wrong.

use std::time::Duration;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use super::{length, pick};
use crate::cast::Way;

/// Why a request must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    NoCredential,
    WrongSecret,
    UnknownToken,
    ExpiredToken,
    TwoCredentials,
    DeniedPath,
    OthersHost,
    UnknownHost,
    DotPath,
    EchoingMethod,
    /// Content-Length and Transfer-Encoding.
    TwoFramings,
    Garbage,
    /// A head that breaks off.
    HalfHead,
}

/// A request's body.
#[derive(Debug, Clone, Copy)]
pub struct Upload {
    pub length: usize,
    /// Its length is not said beforehand.
    pub chunked: bool,
    pub pieces: usize,
    pub pause: Duration,
    /// The caller hangs up after half of it.
    pub half: bool,
}

/// How the answer is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Whole,
    Slow,
    /// Hangs up without reading a byte.
    Never,
    /// Hangs up in the middle.
    Half,
}

impl Flaw {
    pub fn throw(dice: &mut TestRng, way: Way) -> Flaw {
        use Flaw::*;
        let any = [
            (2, NoCredential),
            (2, WrongSecret),
            (2, UnknownToken),
            (1, ExpiredToken),
            (1, TwoCredentials),
            (3, DeniedPath),
            (3, OthersHost),
            (1, UnknownHost),
            (1, DotPath),
            (1, EchoingMethod),
            (2, TwoFramings),
            (1, Garbage),
            (1, HalfHead),
        ];
        // HTTP/2 frames its messages itself.
        pick(dice, if way.is_http2() { &any[..10] } else { &any })
    }
}

impl Upload {
    pub fn throw(dice: &mut TestRng) -> Upload {
        Upload {
            length: length(dice),
            chunked: dice.random_ratio(1, 2),
            pieces: pick(dice, &[(8, 1), (3, 4), (1, 20)]),
            pause: Duration::from_millis(dice.random_range(0..20)),
            half: dice.random_ratio(1, 15),
        }
    }
}
