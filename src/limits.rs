//! How much there is for whom: connections, calls at the same time in all and of one identity, its calls a second.
//!
//! Nobody waits here. What is over a limit is refused at once, so that a flood costs its sender more than us.

mod connections;
mod rate;
mod shares;
mod who;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use connections::{Connections, Seat};
pub use rate::Rate;
pub use shares::{Share, Shares};
pub use who::Who;

/// What was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Limit {
    #[error("limits.max_connections is reached")]
    Connections,
    #[error("limits.max_connections_per_peer is reached")]
    ConnectionsPerPeer,
    #[error("limits.max_concurrent_requests is reached")]
    ConcurrentRequests,
    #[error("limits.max_concurrent_requests_per_identity is reached")]
    ConcurrentRequestsPerIdentity,
    #[error("limits.requests_per_second is reached")]
    RequestsPerSecond,
}

impl Limit {
    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Connections => "connections",
            Limit::ConnectionsPerPeer => "connections_per_peer",
            Limit::ConcurrentRequests => "concurrent_requests",
            Limit::ConcurrentRequestsPerIdentity => "concurrent_requests_per_identity",
            Limit::RequestsPerSecond => "requests_per_second",
        }
    }
}

/// Room for calls at the same time.
#[derive(Debug)]
pub struct Calls(Arc<Semaphore>);

/// The place of one call, free again when this is dropped.
#[derive(Debug)]
pub struct Call {
    _place: OwnedSemaphorePermit,
}

impl Calls {
    pub fn new(max: usize) -> Calls {
        Calls(Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))))
    }

    /// A place, if there is one this moment.
    pub fn begin(&self) -> Result<Call, Limit> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        place.map(|place| Call { _place: place }).map_err(|_| Limit::ConcurrentRequests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_call_has_ended() {
        let calls = Calls::new(2);
        let first = calls.begin().unwrap();
        let _second = calls.begin().unwrap();
        assert_eq!(calls.begin().unwrap_err(), Limit::ConcurrentRequests);
        drop(first);
        assert!(calls.begin().is_ok());
    }
}
