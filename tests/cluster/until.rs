//! Waiting for a condition, bounded in time.

use std::time::{Duration, Instant};

/// Asks `condition` again and again until it gives a value, and returns that. Panics with `what` after `within`.
pub async fn until<T>(what: &str, within: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {within:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
