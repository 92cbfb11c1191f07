//! The time limits of a connection that is silent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::deadline::extension;
use super::{Handle, Limits};

/// A connection on which nothing has been asked for so long is put to rest: longer than a busy caller's pause between
/// two calls, and so short that few connections have a parser for nothing.
const REST: Duration = Duration::from_millis(50);
/// How seldom it is looked whether a long answer has ended, at most.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// The time limits between and within heads, with one timer that is moved only when it fires early.
#[derive(Debug)]
pub struct Clock {
    limits: Limits,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// The stretch of waiting, and the kind of it, for which the timer was set.
    watched: Option<(Instant, Kind)>,
    /// The limit of this stretch was extended already.
    extended: bool,
    /// How long until it is looked again whether the connection may rest.
    look: Duration,
}

/// Where in the stream the peer is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    WithinHead,
    /// No parser waits as well.
    Resting,
    /// `done`: the parser has nothing left to do.
    BetweenMessages {
        done: bool,
    },
}

/// What it is time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Rest,
    End,
}

impl Clock {
    pub fn new(limits: Limits) -> Self {
        Clock { limits, since: Instant::now(), timer: None, watched: None, extended: false, look: REST }
    }

    /// A new stretch of waiting begins.
    pub fn touched(&mut self) {
        self.since = Instant::now();
        self.extended = false;
        self.look = REST;
    }

    /// hyper also reads while an answer is on its way, to notice a peer that hangs up, and may not read again when
    /// it has ended: so the timer always runs, and what counts is looked at when it fires.
    pub fn poll_due(&mut self, cx: &mut Context<'_>, kind: Kind, handle: &Handle) -> Poll<Due> {
        let limit = match kind {
            Kind::WithinHead => self.limits.header_timeout,
            Kind::Resting | Kind::BetweenMessages { .. } => self.limits.idle_timeout,
        };
        let between = matches!(kind, Kind::BetweenMessages { .. });
        let first = self.since + if between { REST.min(limit) } else { limit };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(first)));
        if self.watched != Some((self.since, kind)) {
            self.watched = Some((self.since, kind));
            // A timer that is due earlier is left alone.
            if timer.deadline() > first {
                timer.as_mut().reset(first);
            }
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let quiet = handle.quiet_since().map_or(self.since, |quiet| quiet.max(self.since));
            let deadline = quiet + limit;
            if let Some(extended) = extension(deadline, now).filter(|_| !self.extended) {
                self.extended = true;
                timer.as_mut().reset(extended);
                continue;
            }
            if now >= deadline {
                return Poll::Ready(Due::End);
            }
            if !between {
                timer.as_mut().reset(deadline);
                continue;
            }
            if now >= quiet + REST && kind == (Kind::BetweenMessages { done: true }) {
                return Poll::Ready(Due::Rest);
            }
            timer.as_mut().reset((now + self.look).min(deadline));
            self.look = (self.look * 2).min(LONGEST_LOOK);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::gate::deadline::GRACE;

    #[tokio::test]
    async fn k22_a_stop_extends_the_limit_of_a_stretch_once() {
        let limit = Duration::from_millis(20);
        let (mut clock, handle) =
            (Clock::new(Limits { header_timeout: limit, ..Limits::default() }), Handle::default());
        // The process does not run for so long.
        for (stop, due) in [(10 * limit, Poll::Pending), (GRACE + 10 * limit, Poll::Ready(Due::End))] {
            let looked = poll_fn(|cx| Poll::Ready(clock.poll_due(cx, Kind::WithinHead, &handle)));
            assert_eq!(looked.await, Poll::Pending);
            std::thread::sleep(stop);
            // The runtime sees to its timers.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let looked = poll_fn(|cx| Poll::Ready(clock.poll_due(cx, Kind::WithinHead, &handle)));
            assert_eq!(looked.await, due);
        }
    }
}
