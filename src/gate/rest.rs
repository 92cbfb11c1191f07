//! A connection on which nothing is asked, without a parser and its buffers.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use super::clock::Kind;
use super::{Ended, Gate};

impl<IO> Gate<IO> {
    /// Whether a parser that waits for the next message has nothing left to do: every one is answered, and the answers
    /// have gone out.
    pub(super) fn is_done(&self) -> bool {
        !self.unflushed && self.linger.is_none() && self.handle.has_answered(self.framer.heads())
    }
}

impl<IO: AsyncRead + Unpin> Gate<IO> {
    /// Waits for the first bytes, or the next ones after a rest, within the idle limit. `false`: the peer has ended.
    pub async fn wakes(&mut self) -> io::Result<bool> {
        // What is held of nothing takes no memory.
        self.held = BytesMut::new();
        self.ended = Ended::No;
        self.framer.carry_on();
        poll_fn(|cx| self.poll_wakes(cx)).await
    }

    fn poll_wakes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut chunk = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut first = ReadBuf::uninit(&mut chunk);
        match Pin::new(&mut self.io).poll_read(cx, &mut first) {
            Poll::Pending => {
                ready!(self.clock.poll_due(cx, Kind::Resting, &self.handle));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if first.filled().is_empty() => {
                self.ended = Ended::Eof;
                Poll::Ready(Ok(false))
            }
            Poll::Ready(Ok(())) => {
                self.held.extend_from_slice(first.filled());
                self.clock.touched();
                Poll::Ready(Ok(true))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::{After, Limits};
    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn k05_a_parser_sees_an_end_when_nothing_is_asked_and_the_connection_goes_on_without_it() {
        let (mut peer, io) = duplex(1 << 16);
        let mut gate = Gate::new(io, Limits::default(), true);
        for _ in 0..3 {
            peer.write_all(GET).await.unwrap();
            assert!(gate.wakes().await.unwrap());
            let busy = gate.handle().busy();
            let mut head = vec![0; GET.len()];
            gate.read_exact(&mut head).await.unwrap();
            assert_eq!(head, GET);
            // As long as it is answered, there is no rest.
            let mut byte = [0];
            let early = tokio::time::timeout(Duration::from_secs(600), gate.read(&mut byte)).await;
            assert!(early.is_err(), "{early:?}");
            gate.write_all(b"answer").await.unwrap();
            drop(busy);
            // Nor as long as the answer may not have gone out.
            let early = tokio::time::timeout(Duration::from_secs(30), gate.read(&mut byte)).await;
            assert!(early.is_err(), "{early:?}");
            gate.flush().await.unwrap();
            assert_eq!(gate.read(&mut byte).await.unwrap(), 0);
            gate.shutdown().await.unwrap();
            let After::Rest(resting) = gate.after() else { panic!("it rests") };
            gate = resting;
            let mut answer = [0; 6];
            peer.read_exact(&mut answer).await.unwrap();
        }
        drop(peer);
        assert!(!gate.wakes().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_ends_after_the_idle_limit() {
        let (_peer, io) = duplex(64);
        let mut gate = Gate::new(io, Limits::default(), true);
        let began = tokio::time::Instant::now();
        assert_eq!(gate.wakes().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= Limits::default().idle_timeout);
    }
}
