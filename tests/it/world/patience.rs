//! Waits that end.

use std::time::Duration;

/// Anything that should happen, happens within this time, however loaded the machine is.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Ends a test that waits for something that never comes.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
