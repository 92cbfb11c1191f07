//! What the gate and the service of one connection tell each other.

mod busy;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Refusal;
use super::deadline::passed;
use super::pace::Pace;
pub use busy::Busy;

/// The service's end of a [`Gate`](super::Gate).
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<Shared>);

/// A head of this size is never one too many, in bytes.
const USUAL_HEAD: usize = 4 << 10;
/// What the heads of all calls that go on over one connection may weigh beyond that. HTTP/1 has one at a time.
const LARGE_HEADS: usize = 256 << 10;

#[derive(Debug, Default)]
struct Shared {
    refusal: Mutex<Option<Refusal>>,
    /// What the heads of the calls that go on weigh beyond the usual.
    heads: AtomicUsize,
    /// Answers on their way.
    busy: AtomicUsize,
    /// Whole answers of ours that the library has.
    carried: AtomicUsize,
    /// Requests that came to the service.
    begun: AtomicUsize,
    /// A credential was good.
    known: AtomicBool,
    /// HTTP has ended.
    through: AtomicBool,
    rest: Mutex<Rest>,
    /// The service wants no more requests; HTTP/1 says so in an answer's head.
    left: Notify,
}

#[derive(Debug, Default)]
struct Rest {
    /// When the last answer ended.
    quiet_since: Option<Instant>,
    /// The gate's reader, when it waits for a decision or for room.
    waiting: Option<Waker>,
}

/// The head of a call that goes on, counted as long as this lives.
#[derive(Debug)]
pub struct Held {
    handle: Handle,
    excess: usize,
}

/// What the bytes behind a head are, after which HTTP may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Open,
    PassThrough,
    CarryOn,
}

impl Handle {
    pub(super) fn refuse(&self, refusal: Refusal) {
        *self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    /// The refusal behind the stand-in request.
    pub fn refusal(&self) -> Refusal {
        let refusal = *self.0.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.unwrap_or(Refusal::Malformed("malformed request"))
    }

    /// Says that a request is being answered. To be called once for each, in their order.
    pub fn busy(&self) -> Busy {
        // In this order: a request that has begun is never seen as answered.
        self.0.busy.fetch_add(1, Ordering::SeqCst);
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        Busy { handle: self.clone(), pace: Pace::of_this_task() }
    }

    /// Counts a head of so many bytes among those of the calls that go on, if there is room for it: whatever a connection
    /// to an upstream has written at once, its buffer keeps the size of.
    pub fn hold(&self, head: usize) -> Result<Held, Refusal> {
        let held = Held { handle: self.clone(), excess: head.saturating_sub(USUAL_HEAD) };
        let before = self.0.heads.fetch_add(held.excess, Ordering::SeqCst);
        // One alone is within the limit on each, whatever was configured.
        if held.excess > 0 && before > 0 && before + held.excess > LARGE_HEADS {
            return Err(Refusal::HeadersTooLarge(
                "the header fields of this connection's calls are too large together",
            ));
        }
        Ok(held)
    }

    /// The bytes behind this request's head are no longer HTTP: they are handed on untouched. Only for a request
    /// behind which the gate holds them (CONNECT, a call for a WebSocket), before its answer ends.
    pub fn pass_through(&self) {
        self.0.through.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// What was decided about the bytes behind the head with this number. An answer that ends without another
    /// decision means that HTTP goes on.
    pub(super) fn decision(&self, heads: usize, cx: &Context<'_>) -> Decision {
        let mut rest = self.rest();
        if self.0.through.load(Ordering::SeqCst) {
            return Decision::PassThrough;
        }
        if self.has_answered(heads) {
            return Decision::CarryOn;
        }
        rest.waiting = Some(cx.waker().clone());
        Decision::Open
    }

    /// Whether so many requests have come, and every answer has ended.
    pub(super) fn has_answered(&self, heads: usize) -> bool {
        self.0.begun.load(Ordering::SeqCst) >= heads && self.0.busy.load(Ordering::SeqCst) == 0
    }

    /// Since when no answer has been on its way: now, if one is; never, if none ever was.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        if self.0.busy.load(Ordering::SeqCst) > 0 {
            return Some(Instant::now());
        }
        self.rest().quiet_since
    }

    /// A caller on this connection has shown a good credential.
    pub fn vouch(&self) {
        if !self.0.known.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// How many calls have begun so far.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    /// Whether fewer calls than that go on or have answers that were not taken, or the caller is known.
    pub(super) fn has_fewer(&self, most: usize) -> bool {
        let Shared { known, busy, carried, .. } = &*self.0;
        known.load(Ordering::SeqCst) || busy.load(Ordering::SeqCst) + carried.load(Ordering::SeqCst) < most
    }

    /// Ready when that is so.
    pub(super) fn poll_fewer(&self, most: usize, cx: &Context<'_>) -> Poll<()> {
        let mut rest = self.rest();
        if self.has_fewer(most) {
            return Poll::Ready(());
        }
        rest.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// No more requests are wanted on this connection.
    pub fn leave(&self) {
        self.0.left.notify_one();
    }

    /// Returns when that was said.
    pub async fn left(&self) {
        self.0.left.notified().await;
    }

    /// Returns when no answer has been on its way for `limit`, counted from now at the earliest.
    pub async fn quiet(&self, limit: Duration) {
        let from = Instant::now();
        loop {
            let deadline = self.quiet_since().map_or(from, |since| since.max(from)) + limit;
            if Instant::now() >= deadline {
                return;
            }
            passed(deadline).await;
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let waiting = self.rest().waiting.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.handle.0.heads.fetch_sub(self.excess, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn e16_large_heads_of_one_connection_have_a_limit_together_and_usual_ones_have_none() {
        let handle = Handle::default();
        // As docs/http2.md says: 4 KiB of each, and 256 KiB of what is beyond that, together.
        let large: Vec<_> = (0..4).map(|_| handle.hold(68 << 10).unwrap()).collect();
        assert!(handle.hold((4 << 10) + 1).is_err());
        let usual: Vec<_> = (0..100).map(|_| handle.hold(4 << 10).unwrap()).collect();
        drop(large);
        assert!(handle.hold(USUAL_HEAD + LARGE_HEADS).is_ok(), "a refused head is not counted");
        let alone = handle.hold(USUAL_HEAD + 4 * LARGE_HEADS).expect("one alone has only its own limit");
        assert!(handle.hold(USUAL_HEAD).is_ok(), "a usual one stands beside any");
        drop((usual, alone));
        assert_eq!(handle.0.heads.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn the_end_of_an_answer_decides_only_about_its_own_request() {
        let (handle, cx) = (Handle::default(), Context::from_waker(Waker::noop()));
        assert_eq!(handle.decision(2, &cx), Decision::Open, "nothing has begun");
        let first = handle.busy();
        drop(first);
        assert_eq!(handle.decision(2, &cx), Decision::Open, "the answer before it has ended");
        let second = handle.busy();
        assert_eq!(handle.decision(2, &cx), Decision::Open, "its own is on the way");
        drop(second);
        assert_eq!(handle.decision(2, &cx), Decision::CarryOn);
        handle.pass_through();
        assert_eq!(handle.decision(2, &cx), Decision::PassThrough);
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_is_a_whole_limit_without_an_answer() {
        let (handle, limit) = (Handle::default(), Duration::from_secs(10));
        for (answered_after, waited) in [(None, 10), (Some(5), 15), (Some(10), 20), (Some(25), 35)] {
            let busy = answered_after.map(|_| handle.busy());
            let answer = async {
                tokio::time::sleep(Duration::from_secs(answered_after.unwrap_or(0))).await;
                drop(busy);
            };
            let began = Instant::now();
            tokio::join!(answer, handle.quiet(limit));
            assert_eq!(began.elapsed().as_secs(), waited, "{answered_after:?}");
            // What was quiet before does not count.
            tokio::time::sleep(limit * 3).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn that_no_more_is_wanted_is_heard_whenever_it_is_said() {
        let (handle, moment) = (Handle::default(), Duration::from_secs(1));
        assert!(tokio::time::timeout(moment, handle.left()).await.is_err());
        handle.leave();
        assert!(tokio::time::timeout(moment, handle.left()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn e19_an_answer_tells_the_pace_of_its_stream() {
        let (limit, began) = (Duration::from_secs(60), Instant::now());
        let stream = async {
            let busy = Handle::default().busy();
            let _piece = busy.transit().unwrap().carry(Bytes::from_static(b"not taken"));
            tokio::time::sleep(limit * 10).await;
        };
        Pace::serve(limit, stream).await;
        assert!(began.elapsed() < limit * 2, "{:?}", began.elapsed());
    }
}
