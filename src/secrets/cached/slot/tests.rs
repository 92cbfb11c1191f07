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
