//! What upstreams, the API server and the store do, and do wrong.

use std::time::Duration;

use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

use super::{length, pick};

/// A good answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub framing: Framing,
    pub length: usize,
    pub pieces: usize,
    pub pause: Duration,
    /// Fields behind the body, good ones and such as no trailer may be.
    pub trailers: bool,
    /// It has the secret in it, in each of its parts.
    pub reflects: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
    /// It ends with its connection.
    Close,
}

/// What an upstream does wrong. In a WebSocket a body is what follows its opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Closes instead of answering; TLS without its end.
    Close,
    Reset,
    Garbage,
    HalfHead,
    /// Closes in the middle of the body; TLS without its end.
    HalfBody,
    HalfBodyReset,
    /// Sends an answer that nobody asked for behind the one that somebody did; a frame that cannot be read.
    Longer,
    /// Two framings that contradict each other; in HTTP/2 a length that the stream does not have; a WebSocket that is not
    /// the one that was called for.
    Contradiction,
    Hang,
    HangInBody,
    /// Answers before it reads the body.
    Early,
    /// Closes after a whole answer without having said so.
    CloseAfter,
    /// The whole server ends and comes back on its port.
    Restart,
}

/// How a request may end whose upstream does this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Whole,
    /// An error of ours, because no head came.
    Refused,
    /// Visibly broken, or an error of ours.
    Broken,
    /// Any of the three.
    Any,
}

/// What a service of ours does wrong: the API server, the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceFault {
    Slow(Duration),
    Close,
    Reset,
    Garbage,
    HalfBody,
    Status(u16),
    NoMeaning,
    Hang,
    Restart,
}

impl Answer {
    pub fn throw(dice: &mut TestRng) -> Answer {
        Answer {
            status: pick(dice, &[(80, 200), (4, 201), (4, 404), (4, 500), (4, 503), (4, 429)]),
            framing: pick(dice, &[(6, Framing::Length), (5, Framing::Chunked), (1, Framing::Close)]),
            length: length(dice),
            pieces: pick(dice, &[(8, 1), (3, 4), (1, 20)]),
            pause: Duration::from_millis(pick(dice, &[(20, 0), (4, 5), (1, 40)])),
            trailers: dice.random_ratio(1, 4),
            reflects: dice.random_ratio(1, 15),
        }
    }
}

impl Fault {
    pub fn throw(dice: &mut TestRng) -> Option<Fault> {
        use Fault::*;
        let faults = [
            (8600, None),
            (150, Some(Close)),
            (150, Some(Reset)),
            (100, Some(Garbage)),
            (100, Some(HalfHead)),
            (200, Some(HalfBody)),
            (150, Some(HalfBodyReset)),
            (150, Some(Longer)),
            (50, Some(Contradiction)),
            (20, Some(Hang)),
            (20, Some(HangInBody)),
            (150, Some(Early)),
            (150, Some(CloseAfter)),
            (10, Some(Restart)),
        ];
        pick(dice, &faults)
    }
}

impl ServiceFault {
    pub fn throw(dice: &mut TestRng) -> Option<ServiceFault> {
        use ServiceFault::{Close, Garbage, HalfBody, Hang, NoMeaning, Reset, Restart, Slow, Status};
        let slow = Slow(Duration::from_millis(dice.random_range(1..200)));
        let faults = [
            (700, None),
            (70, Some(slow)),
            (30, Some(Close)),
            (30, Some(Reset)),
            (25, Some(Garbage)),
            (30, Some(HalfBody)),
            (25, Some(Status(500))),
            (25, Some(Status(503))),
            (25, Some(Status(429))),
            (10, Some(Status(403))),
            (15, Some(NoMeaning)),
            (5, Some(Hang)),
            (10, Some(Restart)),
        ];
        pick(dice, &faults)
    }
}
