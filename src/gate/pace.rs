//! How long one answer may stand still because its caller takes nothing of it.
//!
//! In HTTP/1 that is a socket that takes nothing, see [`WriteLimit`](super::write_limit::WriteLimit). In HTTP/2 the socket is
//! shared, and a caller stops one answer by giving its stream no window.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::deadline::passed;
use super::transit::Transit;

tokio::task_local! {
    static PACE: Pace;
}

/// What of an answer is under way.
#[derive(Debug, Clone, Default)]
pub struct Pace(Transit);

impl Pace {
    /// That of the stream which this task serves; `None` where none is kept.
    pub fn of_this_task() -> Option<Pace> {
        PACE.try_with(Pace::clone).ok()
    }

    /// What the pieces of the answer are counted by.
    pub fn transit(&self) -> &Transit {
        &self.0
    }

    /// Serves a stream and gives it up when a piece of its answer has not been taken within `limit`.
    pub async fn serve(limit: Duration, stream: impl Future<Output = ()>) {
        let pace = Pace::default();
        tokio::select! {
            biased;
            () = PACE.scope(pace.clone(), stream) => {}
            () = pace.stalled(limit) => tracing::debug!("stream ended: the peer takes nothing of its answer"),
        }
    }

    async fn stalled(&self, limit: Duration) {
        loop {
            let deadline = self.0.stands_since().unwrap_or_else(Instant::now) + limit;
            if deadline <= Instant::now() {
                return;
            }
            passed(deadline).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn e19_a_piece_that_is_not_taken_ends_its_stream_and_waiting_for_one_does_not() {
        let began = Instant::now();
        let stream = async {
            let pace = Pace::of_this_task().unwrap();
            // An upstream that takes an hour is no stall of the caller's.
            tokio::time::sleep(LIMIT * 60).await;
            let piece = || pace.transit().carry(Bytes::from_static(b"piece"));
            let taken = piece();
            tokio::time::sleep(LIMIT / 2).await;
            drop(taken);
            tokio::time::sleep(LIMIT * 2).await;
            let _left = piece();
            std::future::pending().await
        };
        Pace::serve(LIMIT, stream).await;
        let lived = began.elapsed() - LIMIT * 62 - LIMIT / 2;
        assert!(lived >= LIMIT && lived < LIMIT * 2, "{lived:?}");
        assert!(Pace::of_this_task().is_none());
    }
}
