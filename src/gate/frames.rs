//! Below the HTTP/2 library: what it serves without limit, and how long a head may take.
//!
//! [`Frames`] wraps a connection and looks at the header of each frame that passes, in both directions. Nothing is
//! changed but the kind of empty pieces, and nothing held or copied but what comes behind a call that has to wait. A peer that
//! floods us with control frames or fields, or that does not finish what it began to ask, is cut off.

mod budget;
mod calls;
pub mod empties;
mod fields;
mod outline;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::deadline::Deadline;
use super::write_limit::WriteLimit;
use super::{Handle, Limits};
use budget::Budget;
use calls::Calls;
use empties::Empties;
use fields::Fields;
use outline::{Head, Kind, Outline, Part};

/// `:method`, `:scheme`, `:authority` and `:path`.
const PSEUDO_FIELDS: usize = 4;

/// A connection that speaks HTTP/2 from its next byte on.
#[derive(Debug)]
pub struct Frames<IO> {
    io: IO,
    /// Bytes that were read before it was known which version is spoken, or behind a call that waits.
    held: BytesMut,
    empties: Empties,
    received: Outline,
    sent: Outline,
    budget: Budget,
    fields: Fields,
    max_fields: usize,
    calls: Calls,
    pending: Pending,
    header_timeout: Duration,
    timer: Option<Deadline>,
    writes: WriteLimit,
}

/// What the peer has begun and not finished, and since when.
#[derive(Debug, Clone, Copy)]
enum Pending {
    Nothing,
    /// The preface and the first settings.
    Greeting(Instant),
    /// Field lines over several frames.
    Fields(Instant),
    /// Some other frame.
    Frame(Instant),
}

impl<IO> Frames<IO> {
    pub fn new(io: IO, limits: Limits) -> Self {
        Frames::begun(io, BytesMut::new(), limits)
    }

    /// A connection of which some bytes have been read.
    pub fn begun(io: IO, mut held: BytesMut, limits: Limits) -> Self {
        let (now, mut empties) = (Instant::now(), Empties::of_client());
        empties.rename(&mut held);
        Frames {
            io,
            held,
            empties,
            received: Outline::of_client(),
            sent: Outline::of_server(),
            budget: Budget::new(now),
            fields: Fields::new(),
            max_fields: PSEUDO_FIELDS + 2 * limits.max_headers,
            calls: Calls::of(Handle::default()),
            pending: Pending::Greeting(now),
            header_timeout: limits.header_timeout,
            timer: None,
            writes: WriteLimit::new(limits.idle_timeout),
        }
    }

    /// The service's end.
    pub fn handle(&self) -> Handle {
        self.calls.handle().clone()
    }

    /// Comes back with how many of these bytes may be handed on now.
    fn follow(&mut self, given: &[u8]) -> io::Result<usize> {
        let mut bytes = given;
        let now = Instant::now();
        while let Some(part) = self.received.next(&mut bytes) {
            match part {
                Part::Head(frame) if !self.budget.pay(frame, now) => {
                    return Err(io::Error::other("the peer sends too many control frames"));
                }
                Part::Head(frame) => {
                    self.note(frame, now);
                    self.fields.begin(frame);
                    if frame.kind == Kind::Headers && !self.calls.let_in() {
                        break;
                    }
                }
                // What is one too many for us is answered; this is beyond that by far.
                Part::Payload(payload) if self.fields.read(payload) > self.max_fields => {
                    return Err(io::Error::other("the peer sends too many fields"));
                }
                Part::Payload(_) => {}
            }
        }
        self.pending = match self.pending {
            Pending::Nothing if !self.received.at_rest() => Pending::Frame(now),
            Pending::Frame(_) if self.received.at_rest() => Pending::Nothing,
            pending => pending,
        };
        Ok(given.len() - bytes.len())
    }

    /// Hands on what was read before.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        let n = self.follow(&held[..held.len().min(buf.remaining())])?;
        buf.put_slice(&held[..n]);
        held.advance(n);
        self.held = held;
        Ok(())
    }

    fn note(&mut self, frame: Head, now: Instant) {
        self.pending = match (self.pending, frame.kind) {
            // A body may take its time: its reader has a limit of its own.
            (_, Kind::Data) => Pending::Nothing,
            (_, Kind::Headers | Kind::Continuation) if frame.ends_headers() => Pending::Nothing,
            (Pending::Fields(since), _) => Pending::Fields(since),
            (_, Kind::Headers) => Pending::Fields(now),
            (_, _) => Pending::Nothing,
        };
    }

    /// The peer is silent: is it so in the middle of something?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (Pending::Greeting(since) | Pending::Fields(since) | Pending::Frame(since)) = self.pending else {
            return Poll::Pending;
        };
        let deadline = since + self.header_timeout;
        let timer = self.timer.get_or_insert_with(|| Deadline::at(deadline));
        timer.set(deadline);
        ready!(Pin::new(timer).poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not finish what it began")))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Frames<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let frames = self.get_mut();
        ready!(frames.calls.poll_room(cx));
        if !frames.held.is_empty() {
            return Poll::Ready(frames.hand_on(buf));
        }
        let start = buf.filled().len();
        match Pin::new(&mut frames.io).poll_read(cx, buf) {
            Poll::Pending => return frames.wait(cx),
            Poll::Ready(outcome) => outcome?,
        }
        frames.empties.rename(&mut buf.filled_mut()[start..]);
        let end = start + frames.follow(&buf.filled()[start..])?;
        frames.held.extend_from_slice(&buf.filled()[end..]);
        buf.set_filled(end);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> Frames<IO> {
    /// The first `n` bytes of these have gone out.
    fn written(&mut self, bytes: &[u8], n: usize) {
        let mut bytes = &bytes[..bytes.len().min(n)];
        while let Some(part) = self.sent.next(&mut bytes) {
            if let Part::Head(frame) = part {
                self.budget.earn(frame);
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Frames<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let frames = self.get_mut();
        let outcome = Pin::new(&mut frames.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = outcome {
            frames.written(buf, n);
        }
        frames.writes.watch(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let frames = self.get_mut();
        let outcome = Pin::new(&mut frames.io).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(mut left)) = outcome {
            for buf in bufs {
                frames.written(buf, left);
                left = left.saturating_sub(buf.len());
            }
        }
        frames.writes.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let frames = self.get_mut();
        let outcome = Pin::new(&mut frames.io).poll_flush(cx);
        frames.writes.watch(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
