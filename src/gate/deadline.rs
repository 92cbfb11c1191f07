//! How long a peer may take, counted only while this process runs.
//!
//! A process that was stopped, or got no processor, finds its timers due before it has looked at what came meanwhile: the
//! runtime, interrupted in its wait for sockets, runs the timers that are due and then the tasks, and asks the sockets
//! last. A limit that is noticed late is therefore extended, once and by a moment, in which what lies there is read.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer fires within a few milliseconds; later than this, the process did not run.
const LATE: Duration = Duration::from_millis(50);
/// Long enough for a peer that waits for us in turn: in the middle of a handshake, or with its window closed.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The future did not come to an end within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Elapsed;

/// Ready when a limit has passed.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    pub fn at(at: Instant) -> Deadline {
        Deadline { at, timer: Box::pin(sleep_until(at)) }
    }

    /// So long from now.
    pub fn after(limit: Duration) -> Deadline {
        Deadline::at(Instant::now() + limit)
    }

    /// Moves it, unless it is that already.
    pub fn set(&mut self, at: Instant) {
        if self.at != at {
            self.at = at;
            self.timer.as_mut().reset(at);
        }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.get_mut();
        poll_passed(deadline.at, deadline.timer.as_mut(), cx)
    }
}

/// Until when a limit still holds that had passed at `at` and is looked at `now`; `None` when it was noticed in time.
pub(super) fn extension(at: Instant, now: Instant) -> Option<Instant> {
    (now.saturating_duration_since(at) > LATE).then(|| now + GRACE)
}

/// `timer` is set to `at`, or, once it was extended, behind it.
fn poll_passed(at: Instant, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        // A future that always has something to do takes the runtime's budget, but no time.
        ready!(pin!(unconstrained(timer.as_mut())).poll(cx));
        match extension(at, Instant::now()).filter(|_| timer.deadline() == at) {
            Some(extended) => timer.as_mut().reset(extended),
            None => return Poll::Ready(()),
        }
    }
}

/// As [`Deadline::at`], for a wait that is not moved.
pub async fn passed(at: Instant) {
    let mut timer = pin!(sleep_until(at));
    poll_fn(|cx| poll_passed(at, timer.as_mut(), cx)).await;
}

/// What comes of the future within `limit` from now.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    timeout_at(Instant::now() + limit, future).await
}

/// What comes of the future before `at`. What is there already wins over a limit that has passed.
pub async fn timeout_at<T>(at: Instant, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let (mut future, mut timer) = (pin!(future), pin!(sleep_until(at)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
        Poll::Pending => poll_passed(at, timer.as_mut(), cx).map(|()| Err(Elapsed)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    /// The process does not run for so long.
    fn stop(time: Duration) {
        std::thread::sleep(time);
    }

    /// Looks once, when the runtime has seen to its timers.
    async fn has_passed(deadline: &mut Deadline) -> Poll<()> {
        sleep(Duration::from_millis(1)).await;
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *deadline).poll(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_watched_ends_when_it_should() {
        let begun = Instant::now();
        Deadline::after(LIMIT).await;
        passed(Instant::now() + LIMIT).await;
        assert_eq!(timeout(LIMIT, pending::<()>()).await, Err(Elapsed));
        let all = begun.elapsed();
        assert!(3 * LIMIT <= all && all <= 3 * LIMIT + LATE, "{all:?}");
    }

    #[test]
    fn k22_a_limit_is_extended_when_it_is_noticed_late_and_not_before() {
        let at = Instant::now();
        assert_eq!(extension(at, at + LATE), None);
        let late = at + LATE + Duration::from_nanos(1);
        assert_eq!(extension(at, late), Some(late + GRACE));
    }

    #[tokio::test]
    async fn k22_what_comes_soon_after_a_stop_is_in_time() {
        let slow = async {
            stop(10 * LIMIT);
            sleep(LIMIT).await;
            "here"
        };
        assert_eq!(timeout(LIMIT, slow).await, Ok("here"));
    }

    #[tokio::test]
    async fn k22_what_does_not_come_after_a_stop_is_given_up() {
        let begun = Instant::now();
        let deaf = async {
            stop(10 * LIMIT);
            pending::<()>().await;
        };
        assert_eq!(timeout(LIMIT, deaf).await, Err(Elapsed));
        assert!(begun.elapsed() >= GRACE, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn k22_a_stop_extends_a_limit_once_until_it_is_moved() {
        let mut deadline = Deadline::after(LIMIT);
        for _ in 0..2 {
            stop(10 * LIMIT);
            assert!(has_passed(&mut deadline).await.is_pending());
            stop(GRACE + 10 * LIMIT);
            assert!(has_passed(&mut deadline).await.is_ready());
            deadline.set(Instant::now() + LIMIT);
        }
    }
}
