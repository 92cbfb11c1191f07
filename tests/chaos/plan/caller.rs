//! What a caller does, and does wrong.

use std::time::Duration;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use super::{Form, length, pick};
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
    /// Fields behind it, good ones and such as no trailer may be.
    pub trailers: bool,
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

/// How often each is had.
const FLAWS: [(u32, Flaw); 13] = [
    (2, Flaw::NoCredential),
    (2, Flaw::WrongSecret),
    (2, Flaw::UnknownToken),
    (1, Flaw::ExpiredToken),
    (1, Flaw::TwoCredentials),
    (3, Flaw::DeniedPath),
    (3, Flaw::OthersHost),
    (1, Flaw::UnknownHost),
    (1, Flaw::DotPath),
    (1, Flaw::EchoingMethod),
    (2, Flaw::TwoFramings),
    (1, Flaw::Garbage),
    (1, Flaw::HalfHead),
];

impl Flaw {
    pub fn throw(dice: &mut TestRng, way: Way, form: Form) -> Option<Flaw> {
        Some(pick(dice, &FLAWS)).filter(|flaw| flaw.may_be(way, form))
    }

    fn may_be(self, way: Way, form: Form) -> bool {
        let in_one_tunnel = way.is_tunnel() && form == Form::Pipeline;
        match self {
            Flaw::DeniedPath | Flaw::DotPath | Flaw::EchoingMethod => true,
            // CONNECT has said it for all of a pipeline.
            Flaw::NoCredential | Flaw::WrongSecret | Flaw::TwoCredentials => !in_one_tunnel,
            Flaw::OthersHost | Flaw::UnknownHost => !in_one_tunnel,
            // A relay sends a good token whatever its caller does.
            Flaw::UnknownToken | Flaw::ExpiredToken => !in_one_tunnel && !way.is_relayed(),
            // HTTP/2 frames its messages itself, and a relay those that it hands on.
            Flaw::TwoFramings | Flaw::Garbage => !way.is_http2() && way != Way::Relay,
            Flaw::HalfHead => !way.is_http2() && way != Way::Relay && form != Form::Pipeline,
        }
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
            trailers: dice.random_ratio(1, 4),
        }
    }
}
