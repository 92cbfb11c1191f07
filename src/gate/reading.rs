//! What is read: handed on when it is approved.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::clock::{Due, Kind};
use super::handle::Decision;
use super::refusal::{Refusal, STAND_IN};
use super::{Ended, Gate, PRIOR_KNOWLEDGE};

/// So much is read of what follows a head while it is undecided what that is, to notice a peer that hangs up.
pub(super) const MAX_AHEAD: usize = 16 << 10;

/// So much is read at once. hyper's buffer grows as long as it is filled, and what it holds of a body it hands on whole: a
/// slow reader would have pieces of that size waiting in every place before it. One byte less than would fill a buffer of
/// 16 KiB, which so never becomes one of 32.
pub const MAX_READ: u64 = (16 << 10) - 1;

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

impl<IO> Gate<IO> {
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
}
