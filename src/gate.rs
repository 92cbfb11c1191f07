//! Below the HTTP parser: bytes that must never reach it.
//!
//! A [`Gate`] wraps the connection (a socket now; a TLS stream or a tunnel just as well) and lets a message pass
//! only when its head has been checked whole and its body keeps to its framing. Where hyper's parser is lenient
//! (bare LF, doubled framing, odd chunk lines) the gate is not, so both ends of the proxy see the same messages.
//!
//! A bad head is replaced by one well-formed stand-in request whose method no caller can send
//! ([`REFUSED_METHOD`]): the refusal so takes its turn behind the answers that come before it, and leaves by the
//! same exit as every other one, with a status, a request id and an audit record.

mod chunks;
mod clock;
pub mod deadline;
pub(crate) mod framer;
pub mod frames;
mod handle;
mod head;
mod limits;
pub(crate) mod linger;
pub mod message;
pub mod pace;
mod reading;
mod refusal;
mod rest;
pub(crate) mod target;
pub mod transit;
pub mod write_limit;
mod writing;

#[cfg(test)]
mod tests;

use bytes::BytesMut;

use clock::Clock;
use framer::Framer;
use frames::Frames;
use linger::Linger;
use write_limit::WriteLimit;

pub use handle::{Busy, Handle, Held};
pub use limits::Limits;
pub use reading::MAX_READ;
pub use refusal::{REFUSED_METHOD, Refusal};

/// How a connection begins whose peer knows that we speak HTTP/2: the part of RFC 9113 section 3.4 that looks like a head.
const PRIOR_KNOWLEDGE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// A connection whose incoming bytes are checked before anyone parses them. Writes pass untouched, but not
/// without end: a peer that takes nothing for `idle_timeout` is given up.
#[derive(Debug)]
pub struct Gate<IO> {
    io: IO,
    framer: Framer,
    /// Bytes read but not yet handed on; the first `ready` of them are approved.
    held: BytesMut,
    ready: usize,
    handle: Handle,
    ended: Ended,
    clock: Clock,
    writes: WriteLimit,
    /// What was written may not have gone out.
    unflushed: bool,
    linger: Option<Linger>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    No,
    /// The stand-in has taken the place of everything that follows.
    Refused,
    /// What follows is HTTP/2 and not for this gate.
    Http2,
    /// The parser may go; the connection goes on, see [`Gate::wakes`].
    Resting,
    Eof,
}

/// What follows the end that a parser has seen.
#[derive(Debug)]
pub enum After<IO> {
    /// Nothing was asked for a while: the parser may go, [`Gate::wakes`] goes on with the connection.
    Rest(Gate<IO>),
    /// The peer speaks HTTP/2.
    Http2(Frames<IO>),
    Nothing,
}

impl<IO> Gate<IO> {
    /// `forward`: whether CONNECT and absolute-form are taken. Behind a CONNECT, and behind a call for a WebSocket,
    /// nothing passes until the service has decided: with [`Handle::pass_through`], or, by ending its answer, for
    /// the next message.
    pub fn new(io: IO, limits: Limits, forward: bool) -> Self {
        Gate {
            io,
            framer: Framer::new(limits, forward),
            held: BytesMut::new(),
            ready: 0,
            handle: Handle::default(),
            ended: Ended::No,
            clock: Clock::new(limits),
            writes: WriteLimit::new(limits.idle_timeout),
            unflushed: false,
            linger: None,
        }
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Whether nothing was asked for a while, so that the parser may go.
    pub fn is_resting(&self) -> bool {
        self.ended == Ended::Resting
    }

    /// What becomes of the connection when its parser has seen the end of it.
    pub fn after(self) -> After<IO> {
        match self.ended {
            Ended::Http2 => After::Http2(Frames::begun(self.io, self.held, self.framer.limits())),
            Ended::Resting => After::Rest(self),
            Ended::No | Ended::Refused | Ended::Eof => After::Nothing,
        }
    }
}
