//! What happens a thousand times a second is not said a thousand times a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long it is not said again.
const REST: Duration = Duration::from_secs(60);

/// Says yes at most once a minute.
#[derive(Debug)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    pub const fn new() -> Seldom {
        Seldom(Mutex::new(None))
    }

    pub fn now(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= REST);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_said_once() {
        let seldom = Seldom::new();
        assert_eq!((0..1000).filter(|_| seldom.now()).count(), 1);
    }
}
