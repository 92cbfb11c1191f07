//! How long a peer may take nothing of what we write.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::deadline::Deadline;

/// Turns a write that stands still for the limit into an error. Nothing runs as long as writes go through.
#[derive(Debug)]
pub struct WriteLimit {
    limit: Duration,
    timer: Option<Deadline>,
}

impl WriteLimit {
    pub fn new(limit: Duration) -> WriteLimit {
        WriteLimit { limit, timer: None }
    }

    /// Passes the outcome of a write or a flush on, unless it has been pending for too long.
    pub fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.timer = None;
            return outcome;
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Deadline::after(limit));
        ready!(Pin::new(timer).poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
    }
}
