//! How much of one body lies between whoever gives it and the socket that takes it.
//!
//! Over HTTP/2 a stream without a window stands still while others go on, and the library takes pieces for it all the same. So
//! the next piece is given when the last one has gone: what a call holds is one piece, whatever its peer does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

/// With less than this under way the next piece may follow: small messages need not wait for each other.
const ROOM: usize = 4 << 10;

/// The pieces of one body that have been given and not been taken. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Transit(Arc<Mutex<UnderWay>>);

#[derive(Debug, Default)]
struct UnderWay {
    bytes: usize,
    /// When a piece was given or taken last.
    moved: Option<Instant>,
    waiting: Option<Waker>,
}

/// A piece that is under way until the last part of it is dropped.
struct Piece {
    bytes: Bytes,
    transit: Transit,
}

impl Transit {
    /// Whether another piece may be given now.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut under_way = self.lock();
        if under_way.bytes < ROOM {
            return Poll::Ready(());
        }
        under_way.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The same bytes, counted until whoever sends them lets go of them.
    pub fn carry(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        let mut under_way = self.lock();
        under_way.bytes += bytes.len();
        under_way.moved = Some(Instant::now());
        drop(under_way);
        Bytes::from_owner(Piece { bytes, transit: self.clone() })
    }

    /// Since when nothing has been taken of what is under way; `None` when nothing is.
    pub fn stands_since(&self) -> Option<Instant> {
        let under_way = self.lock();
        under_way.moved.filter(|_| under_way.bytes > 0)
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut under_way = self.transit.lock();
        under_way.bytes -= self.bytes.len();
        under_way.moved = Some(Instant::now());
        let waiting = if under_way.bytes < ROOM { under_way.waiting.take() } else { None };
        drop(under_way);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_room(transit: &Transit) -> bool {
        transit.poll_room(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn e19_the_next_piece_follows_when_the_last_has_gone() {
        let transit = Transit::default();
        assert!(has_room(&transit) && transit.stands_since().is_none());
        let small = transit.carry(Bytes::from_static(&[b'x'; ROOM - 1]));
        assert!(has_room(&transit), "small pieces do not wait for each other");
        let mut large = transit.carry(Bytes::from(vec![b'y'; 4 * ROOM]));
        assert!(!has_room(&transit));
        // It is sent in parts.
        let part = large.split_to(1);
        drop((small, part));
        assert!(!has_room(&transit) && transit.stands_since().is_some());
        drop(large);
        assert!(has_room(&transit) && transit.stands_since().is_none());
        assert!(transit.carry(Bytes::new()).is_empty());
        assert!(transit.stands_since().is_none());
    }

    #[tokio::test]
    async fn e19_whoever_waits_for_room_is_woken() {
        let transit = Transit::default();
        let piece = transit.carry(Bytes::from(vec![b'x'; ROOM]));
        let waits = tokio::spawn({
            let transit = transit.clone();
            async move { std::future::poll_fn(|cx| transit.poll_room(cx)).await }
        });
        while transit.lock().waiting.is_none() {
            tokio::task::yield_now().await;
        }
        drop(piece);
        waits.await.unwrap();
    }
}
