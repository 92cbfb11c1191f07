//! Calls at the same time of one identity.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Limit;
use super::who::Who;
use crate::authn::Identity;

/// Counts the calls of each identity that go on.
#[derive(Debug)]
pub struct Shares(Arc<Shared>);

/// An identity is in the map as long as it has a call, so the map is no larger than all calls at the same time.
#[derive(Debug)]
struct Shared {
    max: NonZeroUsize,
    open: Mutex<HashMap<Arc<Who>, usize>>,
}

/// One call's part of its identity's share, given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    shared: Arc<Shared>,
    who: Arc<Who>,
}

impl Shares {
    /// So many calls at the same time for each identity.
    pub fn new(max: NonZeroUsize) -> Shares {
        Shares(Arc::new(Shared { max, open: Mutex::default() }))
    }

    /// A place for one more call of this identity, if its share has one this moment.
    pub fn take(&self, identity: &Identity) -> Result<Share, Limit> {
        let who = Arc::new(Who::of(identity));
        let who = match self.0.open().entry(who) {
            Entry::Occupied(entry) if *entry.get() >= self.0.max.get() => {
                return Err(Limit::ConcurrentRequestsPerIdentity);
            }
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += 1;
                Arc::clone(entry.key())
            }
            Entry::Vacant(entry) => {
                let who = Arc::clone(entry.key());
                entry.insert(1);
                who
            }
        };
        Ok(Share { shared: Arc::clone(&self.0), who })
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<Arc<Who>, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.shared.open().entry(Arc::clone(&self.who)) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::authn::User;

    fn shares(max: usize) -> Shares {
        Shares::new(NonZeroUsize::new(max).unwrap())
    }

    fn user(n: usize) -> Identity {
        Identity::Static(User { id: n.to_string(), ..User::default() })
    }

    #[test]
    fn k12_a_share_holds_exactly_and_its_places_come_back() {
        let shares = shares(2);
        let (first, second) = (shares.take(&user(1)).unwrap(), shares.take(&user(1)).unwrap());
        assert_eq!(shares.take(&user(1)).unwrap_err(), Limit::ConcurrentRequestsPerIdentity);
        let other = shares.take(&user(2)).unwrap();
        drop(first);
        let third = shares.take(&user(1)).unwrap();
        assert!(shares.take(&user(1)).is_err());
        drop((second, other, third));
        assert!(shares.0.open().is_empty(), "nobody is remembered without a call");
    }

    #[tokio::test]
    async fn k12_a_call_that_panics_or_is_cancelled_gives_its_place_back() {
        let shares = Arc::new(shares(1));
        let call = |ends: bool| {
            let shares = Arc::clone(&shares);
            tokio::spawn(async move {
                let _share = shares.take(&user(1)).unwrap();
                assert!(!ends, "meant by the test");
                std::future::pending::<()>().await
            })
        };
        assert!(call(true).await.unwrap_err().is_panic());
        let hangs = call(false);
        while shares.0.open().is_empty() {
            tokio::task::yield_now().await;
        }
        hangs.abort();
        assert!(hangs.await.unwrap_err().is_cancelled());
        assert!(shares.0.open().is_empty());
    }

    proptest! {
        #[test]
        fn k12_whatever_comes_and_goes_what_is_counted_is_what_is_open(
            max in 1_usize..4,
            steps in prop::collection::vec((any::<bool>(), 0_usize..4), 0..100),
        ) {
            let shares = shares(max);
            let mut open: [Vec<Share>; 4] = Default::default();
            for (comes, n) in steps {
                if comes {
                    let taken = shares.take(&user(n));
                    prop_assert_eq!(taken.is_ok(), open[n].len() < max);
                    open[n].extend(taken);
                } else {
                    open[n].pop();
                }
                let counted = shares.0.open().clone();
                for (n, open) in open.iter().enumerate() {
                    let count = counted.get(&Who::of(&user(n))).copied();
                    prop_assert_eq!(count, (!open.is_empty()).then_some(open.len()));
                }
            }
            drop(open);
            prop_assert!(shares.0.open().is_empty());
        }
    }
}
