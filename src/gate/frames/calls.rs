//! How many calls of an unknown caller's go on over one connection at a time.
//!
//! Without a credential, a call costs its caller 26 bytes and us 6 KB until its refusal is taken, which it may never be. So a
//! connection on which no credential was good yet has few calls at a time, and the next one waits below the library.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::gate::Handle;

/// Calls at a time.
const FEW: usize = 8;
/// What was let in has begun by then, or is no call: trailers, or malformed.
const SOON: Duration = Duration::from_millis(50);

/// Lets the calls of one connection in.
#[derive(Debug)]
pub struct Calls {
    handle: Handle,
    /// So many were let in, but for those that turned out to be no calls.
    let_in: usize,
    /// One more is there.
    waits: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Calls {
    pub fn of(handle: Handle) -> Calls {
        Calls { handle, let_in: 0, waits: false, timer: None }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether the call that is there now may come in. If not, it waits, and nothing behind it is to be read.
    pub fn let_in(&mut self) -> bool {
        self.let_in = self.let_in.max(self.handle.begun());
        self.waits = !self.handle.has_fewer(self.room());
        self.let_in += usize::from(!self.waits);
        !self.waits
    }

    /// Ready when no call waits any more.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waits {
            return Poll::Ready(());
        }
        let mut room = self.room();
        while self.handle.poll_fewer(room, cx).is_pending() {
            // Of what was counted: a call may have begun and ended since, which nobody is woken for.
            if room == FEW {
                self.timer = None;
                return Poll::Pending;
            }
            ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(SOON))).as_mut().poll(cx));
            (self.timer, self.let_in) = (None, self.handle.begun());
            room = self.room();
        }
        self.timer = None;
        self.waits = false;
        self.let_in += 1;
        Poll::Ready(())
    }

    /// How many may go on beside those that were let in and have not begun.
    fn room(&self) -> usize {
        FEW.saturating_sub(self.let_in.saturating_sub(self.handle.begun()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{Instant, timeout};

    use super::*;

    async fn has_room(calls: &mut Calls) -> bool {
        timeout(SOON / 2, poll_fn(|cx| calls.poll_room(cx))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn e19_calls_of_an_unknown_caller_wait_for_each_other() {
        let handle = Handle::default();
        let mut calls = Calls::of(handle.clone());
        assert!((0..FEW).all(|_| calls.let_in()) && has_room(&mut calls).await);
        assert!(!calls.let_in() && !has_room(&mut calls).await, "all of them will begin");
        let mut going: Vec<_> = (0..FEW).map(|_| handle.busy()).collect();
        for _ in 0..100 {
            assert!(!has_room(&mut calls).await);
            drop(going.pop());
            assert!(has_room(&mut calls).await);
            assert!(!calls.let_in(), "there is no room beside that one");
            going.push(handle.busy());
        }
        drop(going);
        assert!(has_room(&mut calls).await && (1..FEW).all(|_| calls.let_in()) && !calls.let_in());
    }

    #[tokio::test(start_paused = true)]
    async fn e19_what_never_begins_takes_no_room_for_long() {
        let handle = Handle::default();
        let mut calls = Calls::of(handle.clone());
        let going: Vec<_> = (0..FEW - 1).map(|_| handle.busy()).collect();
        assert!(calls.let_in() && !calls.let_in());
        let begun = Instant::now();
        poll_fn(|cx| calls.poll_room(cx)).await;
        assert_eq!(begun.elapsed(), SOON);
        // It was only late.
        let late = handle.busy();
        assert!(!calls.let_in() && !has_room(&mut calls).await);
        drop((going, late));
        assert!(has_room(&mut calls).await);
    }

    #[tokio::test(start_paused = true)]
    async fn e19_calls_of_a_known_caller_do_not_wait() {
        let handle = Handle::default();
        let mut calls = Calls::of(handle.clone());
        let _going: Vec<_> = (0..FEW).map(|_| handle.busy()).collect();
        assert!(!calls.let_in());
        let waits = tokio::spawn(async move {
            poll_fn(|cx| calls.poll_room(cx)).await;
            (0..100).all(|_| calls.let_in())
        });
        tokio::task::yield_now().await;
        handle.vouch();
        assert!(waits.await.unwrap());
    }
}
