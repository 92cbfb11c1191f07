//! How long a watch rests before it is begun again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// Doubles from try to try. Half of each rest is drawn by lot, so that the proxies of all nodes do not come back to a
/// restarted API server at the same moment.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The rest before the next try; at least what the API server asked for.
    pub fn rest(&mut self, asked_for: Option<Duration>) -> Duration {
        let rest = self.next;
        self.next = (rest * 2).min(LONGEST);
        rest.mul_f64(0.5 + 0.5 * lot()).max(asked_for.unwrap_or_default())
    }

    /// It went well: the next rest is a short one.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

/// A number from 0 to 1 from the randomness of the standard library's hash keys. Nothing secret hangs on it.
pub fn lot() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bits = RandomState::new().build_hasher().finish() >> 32;
    bits as f64 / u32::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_half_a_minute_and_begin_anew() {
        let mut backoff = Backoff::default();
        for nominal in [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
            let (rest, nominal) = (backoff.rest(None), Duration::from_millis(nominal));
            assert!(rest >= nominal / 2 && rest <= nominal, "{rest:?} of {nominal:?}");
        }
        assert!(backoff.rest(Some(Duration::from_secs(60))) >= Duration::from_secs(60));
        backoff.reset();
        assert!(backoff.rest(None) <= FIRST);
    }
}
