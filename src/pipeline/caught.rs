//! A panic costs the call or the connection in which it happens, and nothing else.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

/// A future panicked and has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// The future's outcome, or that it panicked. It is not polled again then, and whoever gave it drops it.
pub async fn caught<F: Future + Unpin>(mut future: F) -> Result<F::Output, Panicked> {
    // What the future had in its hands is dropped with it; what it shares with others are atomics, channels and locks
    // that are taken over when poisoned.
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => std::task::Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_outcome() {
        assert_eq!(caught(std::pin::pin!(async { 1 })).await, Ok(1));
        let panics = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "meant by the test");
        };
        assert_eq!(caught(std::pin::pin!(panics)).await, Err(Panicked));
    }
}
