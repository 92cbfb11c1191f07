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
mod tests {
    use super::*;
    use crate::secrets::tests::{secret, watch as weak};

    const SECOND: Duration = Duration::from_secs(1);
    const SETTINGS: Settings = Settings {
        store: "test",
        ttl: Duration::from_secs(100),
        max_stale: Duration::from_secs(200),
        timeout: SECOND,
        max_backoff: Duration::from_secs(30),
        entries: 10,
        in_flight: 2,
    };

    fn down() -> Landing {
        Err(Error::Unavailable { store: "test", reason: "down".to_owned(), retry_after: None })
    }

    fn slow_down(seconds: u64) -> Landing {
        let retry_after = Some(Duration::from_secs(seconds));
        Err(Error::Unavailable { store: "test", reason: "429".to_owned(), retry_after })
    }

    fn gone(status: u16) -> Landing {
        Err(Error::Rejected { store: "test", status, message: String::new() })
    }

    /// What a caller gets, and whether it starts a fetch. The fetch stays under way as long as `Plan` lives.
    fn words(plan: &Plan) -> (&'static str, bool) {
        let step = match plan.step {
            Step::Serve(_) => "serve",
            Step::ServeStale(_) => "stale",
            Step::Wait(_) => "wait",
            Step::Fail(_) => "fail",
        };
        (step, plan.launch.is_some())
    }

    #[test]
    fn a_value_ages_from_fresh_to_refreshed_to_awaited_to_dead() {
        let (slot, start) = (Slot::default(), Instant::now());
        slot.land(&Ok(secret("v")), start, &SETTINGS, 0.0);
        for (age, fresh, expected) in [
            (0, true, ("serve", false)),
            (79, true, ("serve", false)),
            (80, false, ("serve", true)),
            (99, false, ("serve", true)),
            (100, false, ("wait", true)),
            (299, false, ("wait", true)),
            (300, false, ("wait", true)),
        ] {
            let now = start + age * SECOND;
            assert_eq!(slot.fresh(now).is_some(), fresh, "{age}");
            assert_eq!(words(&slot.plan(now)), expected, "{age}");
            assert_eq!(slot.servable(now).is_some(), age < 300, "{age}");
        }
    }

    #[test]
    fn j07_jitter_only_shortens_a_life() {
        for jitter in [0.0, 0.5, 1.0] {
            let (slot, start) = (Slot::default(), Instant::now());
            slot.land(&Ok(secret("v")), start, &SETTINGS, jitter);
            assert!(slot.fresh(start + 71 * SECOND).is_some());
            assert_eq!(words(&slot.plan(start + 100 * SECOND)).0, "wait", "{jitter}");
        }
    }

    #[test]
    fn j06_a_second_caller_waits_for_the_first_ones_fetch() {
        let (slot, now) = (Slot::default(), Instant::now());
        let first = slot.plan(now);
        assert_eq!(words(&first), ("wait", true));
        assert_eq!(words(&slot.plan(now)), ("wait", false));
        assert!(!slot.is_spent(now));
        drop(first);
        assert_eq!(words(&slot.plan(now)), ("wait", true), "a fetch that died is begun anew");
    }

    #[test]
    fn j02_j03_a_failing_store_means_stale_values_and_then_none() {
        let (slot, start) = (Slot::default(), Instant::now());
        slot.land(&Ok(secret("v")), start, &SETTINGS, 0.0);
        slot.land(&down(), start + 99 * SECOND, &SETTINGS, 0.0);
        for (age, expected) in
            [(99, ("serve", false)), (100, ("stale", true)), (299, ("stale", true)), (300, ("wait", true))]
        {
            assert_eq!(words(&slot.plan(start + age * SECOND)), expected, "{age}");
        }
        slot.land(&down(), start + 300 * SECOND, &SETTINGS, 0.0);
        assert_eq!(words(&slot.plan(start + 300 * SECOND)), ("fail", false));
        assert!(slot.land(&Ok(secret("w")), start + 310 * SECOND, &SETTINGS, 0.0), "recovered");
        assert_eq!(words(&slot.plan(start + 310 * SECOND)), ("serve", false));
    }

    #[test]
    fn a_store_that_says_no_ends_a_value_at_once() {
        for status in [401, 403, 404] {
            let (slot, start) = (Slot::default(), Instant::now());
            let value = secret("v");
            let seen = weak(&value);
            slot.land(&Ok(value), start, &SETTINGS, 0.0);
            assert!(seen.upgrade().is_some());
            slot.land(&gone(status), start + SECOND, &SETTINGS, 0.0);
            assert!(seen.upgrade().is_none(), "dropped, and so zeroised");
            assert_eq!(words(&slot.plan(start + SECOND)), ("fail", false));
            assert_eq!(words(&slot.plan(start + 3 * SECOND)), ("wait", true));
        }
    }

    #[test]
    fn a_failing_store_is_asked_at_growing_distances() {
        let (slot, start) = (Slot::default(), Instant::now());
        let mut now = start;
        for distance in [1, 2, 4, 8, 16, 30, 30] {
            slot.land(&down(), now, &SETTINGS, 0.0);
            assert_eq!(words(&slot.plan(now + distance * SECOND - SECOND / 10)), ("fail", false), "{distance}");
            now += distance * SECOND;
            assert_eq!(words(&slot.plan(now)), ("wait", true), "{distance}");
        }
        slot.land(&Ok(secret("v")), now, &SETTINGS, 0.0);
        slot.land(&down(), now, &SETTINGS, 0.0);
        assert_eq!(words(&slot.plan(now + 101 * SECOND)), ("stale", true));
    }

    #[test]
    fn j05_retry_after_is_honoured_but_not_for_ever() {
        for (asked, waits) in [(0, 1), (20, 20), (300, 300), (u64::MAX, 300)] {
            let (slot, now) = (Slot::default(), Instant::now());
            slot.land(&slow_down(asked), now, &SETTINGS, 0.0);
            assert_eq!(words(&slot.plan(now + waits * SECOND - SECOND / 10)), ("fail", false), "{asked}");
            assert_eq!(words(&slot.plan(now + waits * SECOND)), ("wait", true), "{asked}");
        }
    }

    #[test]
    fn w47_a_ttl_of_nothing_means_a_fetch_for_every_call() {
        let settings = Settings { ttl: Duration::ZERO, ..SETTINGS };
        let (slot, now) = (Slot::default(), Instant::now());
        slot.land(&Ok(secret("v")), now, &settings, 0.5);
        assert_eq!(words(&slot.plan(now)), ("wait", true));
    }

    #[test]
    fn w47_a_dead_value_is_dropped_without_being_asked_for() {
        let (slot, start) = (Slot::default(), Instant::now());
        let value = secret("v");
        let seen = weak(&value);
        slot.land(&Ok(value), start, &SETTINGS, 0.0);
        slot.drop_dead(start + 299 * SECOND);
        assert!(seen.upgrade().is_some() && !slot.is_spent(start + 299 * SECOND));
        slot.drop_dead(start + 300 * SECOND);
        assert!(seen.upgrade().is_none() && slot.is_spent(start + 300 * SECOND));
    }
}
