//! Places for slow decisions: so many in all, and fewer for one identity, so that another identity finds one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::available_parallelism;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::limits::Who;

/// The most places that one identity can have.
const MAX_SHARE: usize = 16;
/// How many identities with all their places there is room for.
const SHARES: usize = 4;

/// Who waits or decides is in the map, and who was there when the last newcomer came.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    share: usize,
    shares: Mutex<HashMap<Who, Weak<Semaphore>>>,
}

/// Free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
}

impl Places {
    /// As many for one identity as can be decided at once: more would only share the processors, and so their budget.
    pub fn new() -> Places {
        Places::of(available_parallelism().map_or(1, usize::from).min(MAX_SHARE))
    }

    fn of(share: usize) -> Places {
        Places { all: Arc::new(Semaphore::new(share * SHARES)), share, shares: Mutex::default() }
    }

    /// Waits for a place, first in the line of this identity: no more of it than its share ever wait with the others.
    pub async fn take(&self, who: Who) -> Result<Place, AcquireError> {
        let share = self.share(who).acquire_owned().await?;
        let all = Arc::clone(&self.all).acquire_owned().await?;
        Ok(Place { _all: all, _share: share })
    }

    fn share(&self, who: Who) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&who).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(who, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place, if nobody has to be waited for.
    async fn take(places: &Places, id: &str) -> Option<Place> {
        tokio::select! {
            biased;
            place = places.take(Who::User(id.to_owned())) => place.ok(),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn an_identity_has_its_share_and_another_finds_a_place() {
        let places = Places::of(2);
        let first = take(&places, "a").await.unwrap();
        let _second = take(&places, "a").await.unwrap();
        assert!(take(&places, "a").await.is_none(), "the third waits");
        let _other = take(&places, "b").await.unwrap();
        drop(first);
        let _third = take(&places, "a").await.unwrap();
    }

    #[tokio::test]
    async fn nobody_is_remembered_for_long_without_a_place() {
        let places = Places::of(1);
        for id in 0..100 {
            take(&places, &id.to_string()).await.unwrap();
        }
        assert_eq!(places.shares.lock().unwrap().len(), 1);
    }
}
