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
pub(crate) mod linger;
pub mod message;
pub mod pace;
mod rest;
pub(crate) mod target;
#[cfg(test)]
mod tests;
pub mod transit;
pub mod write_limit;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use clock::{Clock, Due, Kind};
use framer::Framer;
use frames::Frames;
use handle::Decision;
use linger::Linger;
use write_limit::WriteLimit;

pub use handle::{Busy, Handle, Held};

/// The method of the stand-in request. The gate lets no caller's method with this character through.
pub const REFUSED_METHOD: &str = "!";

/// So much is read of what follows a head while it is undecided what that is, to notice a peer that hangs up.
const MAX_AHEAD: usize = 16 << 10;

/// So much is read at once. hyper's buffer grows as long as it is filled, and what it holds of a body it hands on whole: a
/// slow reader would have pieces of that size waiting in every place before it. One byte less than would fill a buffer of
/// 16 KiB, which so never becomes one of 32.
pub const MAX_READ: u64 = (16 << 10) - 1;

const STAND_IN: &[u8] = b"! / HTTP/1.1\r\nhost: refused\r\n\r\n";

/// How a connection begins whose peer knows that we speak HTTP/2: the part of RFC 9113 section 3.4 that looks like a head.
const PRIOR_KNOWLEDGE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// What a message head may weigh, in bytes unless said otherwise, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Number of field lines.
    pub max_headers: usize,
    /// All field lines together.
    pub max_header_bytes: usize,
    pub max_target_bytes: usize,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Between requests, and between two pieces of an answer that the peer takes.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_headers: 100,
            max_header_bytes: 64 << 10,
            max_target_bytes: 8 << 10,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// Why bytes were not let through. The text is ours alone and may be shown to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0}")]
    Target(&'static str),
    #[error("the request target is too long")]
    TargetTooLong,
    #[error("{0}")]
    HeadersTooLarge(&'static str),
}

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

    /// Bytes that are no HTTP/1 may be the beginning of HTTP/2; nothing else was on the connection before.
    fn begins_http2(&self, bytes: &[u8]) -> bool {
        self.framer.untouched() && bytes.starts_with(PRIOR_KNOWLEDGE)
    }

    /// Bytes break the rules: between messages the stand-in takes over, within a body the read fails.
    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        let within_body = self.framer.within_body();
        self.handle.refuse(refusal);
        self.ended = Ended::Refused;
        self.held.clear();
        self.ready = 0;
        if within_body {
            return Err(io::Error::new(io::ErrorKind::InvalidData, refusal));
        }
        self.held.extend_from_slice(STAND_IN);
        self.ready = STAND_IN.len();
        Ok(())
    }

    /// Whether unread input is left for which closing at once would reset the connection.
    fn owes_reading(&self) -> bool {
        self.ended == Ended::Refused
            || (self.ended == Ended::No
                && !self.framer.is_through()
                && (self.framer.within_body() || !self.held.is_empty()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Gate<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        loop {
            if gate.ready > 0 {
                let n = gate.ready.min(buf.remaining());
                buf.put_slice(&gate.held[..n]);
                gate.held.advance(n);
                gate.ready -= n;
                return Poll::Ready(Ok(()));
            }
            match gate.ended {
                // Not an end of file: hyper would take it for a caller that hung up and drop the answer.
                Ended::Refused => return Poll::Pending,
                Ended::Eof | Ended::Http2 | Ended::Resting => return Poll::Ready(Ok(())),
                Ended::No => {}
            }
            if let Some(heads) = gate.framer.held() {
                match gate.handle.decision(heads, cx) {
                    Decision::PassThrough => gate.framer.pass_through(),
                    Decision::CarryOn => gate.framer.carry_on(),
                    Decision::Open => ready!(gate.read_ahead(cx))?,
                }
                continue;
            }
            let outcome = if gate.held.is_empty() { gate.read_through(cx, buf) } else { gate.read_held(cx) };
            match ready!(outcome) {
                Ok(Step::Passed) => return Poll::Ready(Ok(())),
                Ok(Step::Again) => {}
                Err(Stop::Refused(refusal)) => gate.refuse(refusal)?,
                Err(Stop::Io(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// What one reading step led to.
enum Step {
    /// Approved bytes lie in the reader's buffer.
    Passed,
    Again,
}

enum Stop {
    Refused(Refusal),
    Io(io::Error),
}

impl<IO: AsyncRead + Unpin> Gate<IO> {
    /// Nothing is held: reads straight into the reader's buffer and keeps back only what is not yet approved. A
    /// request that arrives whole, as most do, is so never copied.
    fn read_through(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<Step, Stop>> {
        let start = buf.filled().len();
        match Pin::new(&mut (&mut self.io).take(MAX_READ)).poll_read(cx, buf) {
            Poll::Pending => return self.wait(cx),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Stop::Io(error))),
            Poll::Ready(Ok(())) => {}
        }
        let fresh = &buf.filled()[start..];
        if fresh.is_empty() {
            self.ended = Ended::Eof;
            return Poll::Ready(Ok(Step::Again));
        }
        self.clock.touched();
        match self.framer.approve(fresh) {
            Ok(n) => {
                self.held.extend_from_slice(&fresh[n..]);
                buf.set_filled(start + n);
                Poll::Ready(Ok(if n > 0 { Step::Passed } else { Step::Again }))
            }
            Err(refusal) => {
                let http2 = self.begins_http2(fresh);
                if http2 {
                    self.held.extend_from_slice(fresh);
                    self.ended = Ended::Http2;
                }
                buf.set_filled(start);
                Poll::Ready(if http2 { Ok(Step::Again) } else { Err(Stop::Refused(refusal)) })
            }
        }
    }

    /// Part of a message is held: more of it is needed before any can be approved.
    fn read_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Stop>> {
        if !self.framer.starved() {
            return Poll::Ready(self.approve_held());
        }
        let mut chunk = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut more = ReadBuf::uninit(&mut chunk);
        match Pin::new(&mut self.io).poll_read(cx, &mut more) {
            Poll::Pending => return self.wait(cx),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Stop::Io(error))),
            Poll::Ready(Ok(())) if more.filled().is_empty() => {
                self.ended = Ended::Eof;
                return Poll::Ready(Ok(Step::Again));
            }
            Poll::Ready(Ok(())) => self.held.extend_from_slice(more.filled()),
        }
        Poll::Ready(self.approve_held())
    }

    fn approve_held(&mut self) -> Result<Step, Stop> {
        self.ready = match self.framer.approve(&self.held) {
            Err(_) if self.begins_http2(&self.held) => {
                self.ended = Ended::Http2;
                return Ok(Step::Again);
            }
            outcome => outcome.map_err(Stop::Refused)?,
        };
        // What follows the approved bytes begins now, not when they began.
        if self.ready > 0 {
            self.clock.touched();
        }
        Ok(Step::Again)
    }

    /// It is undecided what follows: some of it is read and kept. Ready when the peer has hung up.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held.len() < MAX_AHEAD {
            let mut chunk = [const { std::mem::MaybeUninit::uninit() }; 4096];
            let mut more = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut more))?;
            if more.filled().is_empty() {
                self.ended = Ended::Eof;
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(more.filled());
        }
        Poll::Pending
    }

    /// The peer is silent: between messages the idle limit runs, within a head the header limit, within a body
    /// none here (the body's reader has its own), and none while an answer is on its way or behind HTTP.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Stop>> {
        if self.framer.within_body() || self.framer.is_through() {
            return Poll::Pending;
        }
        let kind = if self.held.is_empty() { Kind::BetweenMessages { done: self.is_done() } } else { Kind::WithinHead };
        match ready!(self.clock.poll_due(cx, kind, &self.handle)) {
            Due::Rest => {
                self.ended = Ended::Resting;
                Poll::Ready(Ok(Step::Again))
            }
            Due::End => Poll::Ready(Err(Stop::Io(io::ErrorKind::TimedOut.into()))),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        gate.unflushed = true;
        let outcome = Pin::new(&mut gate.io).poll_write(cx, buf);
        gate.writes.watch(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        gate.unflushed = true;
        let outcome = Pin::new(&mut gate.io).poll_write_vectored(cx, bufs);
        gate.writes.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        let outcome = Pin::new(&mut gate.io).poll_flush(cx);
        gate.unflushed &= outcome.is_pending();
        gate.writes.watch(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        if matches!(gate.ended, Ended::Http2 | Ended::Resting) {
            return Poll::Ready(Ok(()));
        }
        if gate.linger.is_none() {
            ready!(Pin::new(&mut gate.io).poll_shutdown(cx))?;
            if !gate.owes_reading() {
                return Poll::Ready(Ok(()));
            }
            gate.linger = Some(Linger::new());
        }
        match &mut gate.linger {
            Some(linger) => linger.poll(&mut gate.io, cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}
