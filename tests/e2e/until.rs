//! Waiting for a condition, bounded in time.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Asks again and again until there is a value, and returns it. Panics with `what` after `within`.
pub fn until<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited {within:?} in vain: {what}");
        sleep(Duration::from_millis(250));
    }
}
