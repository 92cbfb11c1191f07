//! The time limits of a connection that is silent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::{Handle, Limits};

/// The time limits between and within heads, with one timer that is moved only when it fires early.
#[derive(Debug)]
pub struct Clock {
    limits: Limits,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    pub fn new(limits: Limits) -> Self {
        Clock { limits, since: Instant::now(), timer: None }
    }

    /// A new stretch of waiting begins.
    pub fn touched(&mut self) {
        self.since = Instant::now();
    }

    /// hyper also reads while an answer is on its way, to notice a peer that hangs up, and may not read again when
    /// it has ended: so the timer always runs, and what counts is looked at when it fires.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>, within_head: bool, handle: &Handle) -> Poll<()> {
        let limit = if within_head { self.limits.header_timeout } else { self.limits.idle_timeout };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.since + limit)));
        // A timer that is due earlier is left alone.
        if timer.deadline() > self.since + limit {
            timer.as_mut().reset(self.since + limit);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let deadline = handle.quiet_since().map_or(self.since, |quiet| quiet.max(self.since)) + limit;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
