//! Closing without resetting the connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// How much is read and thrown away after a refusal, so that closing does not reset the connection before the
/// peer has read the answer (RFC 9112 section 9.6), and for how long.
const LINGER_BYTES: usize = 1 << 20;
pub const LINGER_TIME: Duration = Duration::from_secs(1);

/// Reading and throwing away after our side has been closed.
#[derive(Debug)]
pub struct Linger {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl Linger {
    pub fn new() -> Self {
        Linger { left: LINGER_BYTES, until: Box::pin(tokio::time::sleep(LINGER_TIME)) }
    }

    pub fn poll<IO: AsyncRead + Unpin>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [const { std::mem::MaybeUninit::uninit() }; 8192];
        while self.until.as_mut().poll(cx).is_pending() && self.left > 0 {
            let mut waste = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut waste) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !waste.filled().is_empty() => {
                    self.left = self.left.saturating_sub(waste.filled().len());
                }
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    /// How long it lingers.
    async fn linger(io: &mut (impl AsyncRead + Unpin)) -> Duration {
        let (mut linger, began) = (Linger::new(), Instant::now());
        poll_fn(|cx| linger.poll(io, cx)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn so_much_is_thrown_away_and_no_more() {
        let (mut peer, mut io) = duplex(2 * LINGER_BYTES);
        peer.write_all(&vec![0; (1 << 20) + 100]).await.unwrap();
        assert_eq!(linger(&mut io).await, Duration::ZERO);
        drop(peer);
        assert_eq!(io.read_to_end(&mut Vec::new()).await.unwrap(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_peer_or_after_a_second() {
        let (mut peer, mut io) = duplex(64);
        peer.write_all(b"more").await.unwrap();
        assert_eq!(linger(&mut io).await, Duration::from_secs(1));
        peer.write_all(b"more").await.unwrap();
        drop(peer);
        assert_eq!(linger(&mut io).await, Duration::ZERO);
    }
}
