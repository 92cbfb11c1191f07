//! How long decisions take, so that a slow policy does not hold up the reactor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// From here on a decision is made on a thread of its own: handing it over costs some 20 µs.
const SLOW: Duration = Duration::from_millis(1);

/// A moving average over about eight decisions. Decisions that are noted at the same moment may lose one another;
/// the average only has to be about right.
#[derive(Debug)]
pub(super) struct Pace {
    average_ns: AtomicU64,
}

impl Pace {
    pub fn starting_at(duration: Duration) -> Self {
        Self { average_ns: AtomicU64::new(nanos(duration)) }
    }

    pub fn note(&self, duration: Duration) {
        let average = self.average_ns.load(Ordering::Relaxed);
        self.average_ns.store(average - average / 8 + nanos(duration) / 8, Ordering::Relaxed);
    }

    pub fn is_slow(&self) -> bool {
        self.average_ns.load(Ordering::Relaxed) > nanos(SLOW)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_decision_moves_the_next_off_the_reactor_and_quick_ones_bring_them_back() {
        let pace = Pace::starting_at(Duration::from_micros(10));
        assert!(!pace.is_slow());
        pace.note(Duration::from_millis(50));
        assert!(pace.is_slow());
        for _ in 0..20 {
            pace.note(Duration::from_micros(10));
        }
        assert!(!pace.is_slow());
    }
}
