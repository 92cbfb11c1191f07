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
