//! Calls a second of one identity.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::who::Who;
use crate::authn::Identity;

/// Identities with a bucket of their own at one time. One that falls out begins anew with a full bucket: to gain by
/// that, a caller needs as many identities as there are buckets.
const MAX_IDENTITIES: u64 = 8192;
/// An unused bucket is full again after a second; this only bounds memory.
const IDLE: Duration = Duration::from_secs(60);

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A bucket for each identity, which holds one second's worth.
pub struct Rate<C: Clock = DefaultClock> {
    clock: C,
    quota: Quota,
    buckets: Cache<Who, Arc<Bucket<C>>>,
}

impl Rate {
    /// So many calls a second, at most a million; as many at once after a second without any.
    pub fn new(per_second: NonZeroU32) -> Rate {
        Rate::with_clock(per_second, DefaultClock::default())
    }
}

impl<C> Rate<C>
where
    C: Clock + Clone + Send + Sync + 'static,
    C::Instant: Send + Sync,
{
    fn with_clock(per_second: NonZeroU32, clock: C) -> Rate<C> {
        let buckets = Cache::builder()
            .max_capacity(MAX_IDENTITIES)
            .time_to_idle(IDLE)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Rate { clock, quota: Quota::per_second(per_second), buckets }
    }

    /// Takes the right to one call, or says when there will be one.
    pub async fn draw(&self, identity: &Identity) -> Result<(), Duration> {
        let fresh = async { Arc::new(Bucket::direct_with_clock(self.quota, self.clock.clone())) };
        let bucket = self.buckets.get_with(Who::of(identity), fresh).await;
        bucket.check().map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::authn::User;

    fn rate(per_second: u32) -> (Rate<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rate::with_clock(NonZeroU32::new(per_second).unwrap(), clock.clone()), clock)
    }

    fn user(id: &str) -> Identity {
        Identity::Static(User { id: id.to_owned(), ..User::default() })
    }

    #[tokio::test]
    async fn k13_one_identity_at_ten_thousand_a_second_costs_another_nothing() {
        let (rate, clock) = rate(10);
        let (mut flood, mut calm) = (0, 0);
        for _ in 0..30 {
            for _ in 0..10_000 {
                flood += u32::from(rate.draw(&user("flood")).await.is_ok());
            }
            calm += u32::from(rate.draw(&user("calm")).await.is_ok());
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!((flood, calm), (300, 30));
    }

    #[tokio::test]
    async fn the_wait_is_until_the_next_call_may_be_made() {
        let (rate, clock) = rate(4);
        for _ in 0..4 {
            assert_eq!(rate.draw(&user("a")).await, Ok(()));
        }
        let wait = rate.draw(&user("a")).await.unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(250), "{wait:?}");
        clock.advance(wait);
        assert_eq!(rate.draw(&user("a")).await, Ok(()));
        assert!(rate.draw(&user("a")).await.is_err());
    }

    #[tokio::test]
    async fn k17_buckets_are_bounded_whatever_the_number_of_identities() {
        let (rate, _) = rate(1);
        for n in 0..2 * MAX_IDENTITIES {
            assert!(rate.draw(&user(&n.to_string())).await.is_ok());
        }
        rate.buckets.run_pending_tasks().await;
        assert!(rate.buckets.entry_count() <= MAX_IDENTITIES);
    }
}
