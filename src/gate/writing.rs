//! What is written: passed on as it is, within the time that a peer has to take it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::linger::Linger;
use super::{Ended, Gate};

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

impl<IO> Gate<IO> {
    /// Whether unread input is left for which closing at once would reset the connection.
    fn owes_reading(&self) -> bool {
        self.ended == Ended::Refused
            || (self.ended == Ended::No
                && !self.framer.is_through()
                && (self.framer.within_body() || !self.held.is_empty()))
    }
}
