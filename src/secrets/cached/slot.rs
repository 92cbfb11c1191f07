//! One id's place in the cache: what is kept, and what is under way. It takes the time as an argument and waits
//! for nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Settings;
use crate::secrets::{Error, Secret};

/// The first distance between two attempts at a failing store; it doubles.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest `Retry-After` that is honoured. After it the store must say so again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// How long after it could be tried again a failure is remembered.
const FORGET: Duration = Duration::from_secs(60);

/// What a fetch brought.
pub(super) type Landing = Result<Secret, Error>;

#[derive(Debug, Default)]
pub(super) struct Slot {
    kept: ArcSwapOption<Kept>,
    flight: Mutex<Flight>,
}

#[derive(Debug)]
struct Kept {
    secret: Secret,
    refresh_at: Instant,
    expires_at: Instant,
    stale_until: Instant,
}

#[derive(Debug, Default)]
struct Flight {
    under_way: Option<watch::Receiver<Option<Landing>>>,
    setback: Option<Setback>,
}

/// The store failed last time.
#[derive(Debug)]
struct Setback {
    error: Error,
    in_a_row: u32,
    retry_at: Instant,
}

/// What a caller does, and the fetch it has to start first.
pub(super) struct Plan {
    pub(super) step: Step,
    pub(super) launch: Option<watch::Sender<Option<Landing>>>,
}

pub(super) enum Step {
    Serve(Secret),
    ServeStale(Secret),
    Wait(watch::Receiver<Option<Landing>>),
    Fail(Error),
}

impl Slot {
    /// The value, if nothing at all needs to be done about it.
    pub(super) fn fresh(&self, now: Instant) -> Option<Secret> {
        self.kept.load().as_ref().filter(|kept| now < kept.refresh_at).map(|kept| kept.secret.clone())
    }

    /// The value, if it may be handed out when the store fails.
    pub(super) fn servable(&self, now: Instant) -> Option<Secret> {
        self.kept.load().as_ref().filter(|kept| now < kept.stale_until).map(|kept| kept.secret.clone())
    }

    /// Decides for one caller. A plan with a launch must be carried out: others wait for it.
    pub(super) fn plan(&self, now: Instant) -> Plan {
        let mut flight = self.flight();
        let kept = self.kept.load_full().filter(|kept| now < kept.stale_until);
        let is_fresh = kept.as_ref().is_some_and(|kept| now < kept.refresh_at);
        let launch = if is_fresh { None } else { flight.launch(now) };
        let step = match (kept, &flight.under_way, &flight.setback) {
            (Some(kept), _, _) if now < kept.expires_at => Step::Serve(kept.secret.clone()),
            // Known to fail: waiting again would cost every call the store's timeout.
            (Some(kept), _, Some(_)) => Step::ServeStale(kept.secret.clone()),
            (_, Some(landed), _) => Step::Wait(landed.clone()),
            (_, None, Some(setback)) => Step::Fail(setback.error.clone()),
            // Not reached: without a setback nothing held the launch back.
            (_, None, None) => Step::Fail(Error::Unknown),
        };
        Plan { step, launch }
    }

    /// Takes what a fetch brought. Returns whether it ended a row of failures.
    pub(super) fn land(&self, result: &Landing, now: Instant, settings: &Settings, jitter: f64) -> bool {
        let mut flight = self.flight();
        flight.under_way = None;
        match result {
            Ok(secret) => {
                self.kept.store(Some(Arc::new(Kept::new(secret.clone(), now, settings, jitter))));
                flight.setback.take().is_some()
            }
            Err(error) => {
                if matches!(error, Error::Rejected { .. } | Error::Unknown) {
                    self.kept.store(None);
                }
                let in_a_row = flight.setback.as_ref().map_or(1, |setback| setback.in_a_row.saturating_add(1));
                let retry_at = now + backoff(error, in_a_row, settings.max_backoff).mul_f64(1.0 + 0.1 * jitter);
                flight.setback = Some(Setback { error: error.clone(), in_a_row, retry_at });
                false
            }
        }
    }

    /// When the value dies; an empty slot comes before all others.
    pub(super) fn dies_at(&self) -> Option<Instant> {
        self.kept.load().as_ref().map(|kept| kept.stale_until)
    }

    pub(super) fn drop_dead(&self, now: Instant) {
        // Under the lock, or a value that lands in between would be dropped for its predecessor.
        let _flight = self.flight();
        if self.dies_at().is_some_and(|end| end <= now) {
            self.kept.store(None);
        }
    }

    /// Whether the slot holds nothing worth remembering.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        let flight = self.flight();
        let remembered = flight.setback.as_ref().is_some_and(|setback| now < setback.retry_at + FORGET);
        self.dies_at().is_none() && !flight.is_under_way() && !remembered
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Jitter only ever shortens: a changed value must be in use one TTL later.
    fn new(secret: Secret, now: Instant, settings: &Settings, jitter: f64) -> Kept {
        let ttl = settings.ttl.mul_f64(1.0 - 0.1 * jitter);
        Kept {
            secret,
            refresh_at: now + ttl.mul_f64(0.8),
            expires_at: now + ttl,
            stale_until: now + ttl + settings.max_stale,
        }
    }
}

impl Flight {
    /// Begins a fetch, unless one is under way or the store is given time to recover.
    fn launch(&mut self, now: Instant) -> Option<watch::Sender<Option<Landing>>> {
        if self.is_under_way() || self.setback.as_ref().is_some_and(|setback| now < setback.retry_at) {
            return None;
        }
        let (landing, landed) = watch::channel(None);
        self.under_way = Some(landed);
        Some(landing)
    }

    /// A fetch whose task died has closed its channel and counts for nothing.
    fn is_under_way(&self) -> bool {
        self.under_way.as_ref().is_some_and(|landed| landed.has_changed().is_ok())
    }
}

fn backoff(error: &Error, in_a_row: u32, max: Duration) -> Duration {
    let doubled = BACKOFF.saturating_mul(1 << (in_a_row - 1).min(10)).min(max);
    let wished = match error {
        Error::Unavailable { retry_after, .. } => retry_after.unwrap_or_default().min(MAX_RETRY_AFTER),
        _ => Duration::ZERO,
    };
    doubled.max(wished)
}

#[cfg(test)]
mod tests;
