//! The cap on token reviews, shared so that one pod's garbage never costs another pod its revalidation.
//!
//! Of `max_reviews_per_second` a fifth is a reserve for tokens that were good before; the rest is for everybody, and an
//! unknown token has to pass its peer's own bucket first, which holds half of the whole. Buckets hold one second's
//! worth, so after a quiet time one second may see that much on top.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::{Sha256, Source, Unavailable};

/// Peers with a bucket of their own at one time. A peer that falls out begins anew with a full bucket; the general one holds.
const MAX_PEERS: u64 = 4096;
/// An unused bucket is full again after a second; this only bounds memory.
const PEER_IDLE: Duration = Duration::from_secs(60);
/// How long a token counts as "good before".
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Beyond it the cap means nothing, and governor's arithmetic in nanoseconds ends.
const MAX_PER_SECOND: u32 = 1_000_000;

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Who may ask the API server next.
pub struct FairShare<C: Clock = DefaultClock> {
    clock: C,
    general: Bucket<C>,
    /// None if the cap is too small to divide.
    reserve: Option<Bucket<C>>,
    per_peer: Quota,
    peers: Cache<Source, Arc<Bucket<C>>>,
    good_before: Cache<Sha256, ()>,
}

impl FairShare {
    /// `remembered` bounds how many good tokens are remembered for the reserve.
    pub fn new(per_second: NonZeroU32, remembered: u64) -> Self {
        Self::with_clock(per_second, remembered, DefaultClock::default())
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> FairShare<C>
where
    C::Instant: Send + Sync,
{
    fn with_clock(per_second: NonZeroU32, remembered: u64, clock: C) -> Self {
        let total = per_second.get().min(MAX_PER_SECOND);
        let reserve = NonZeroU32::new(total / 5);
        let general = NonZeroU32::new(total - total / 5).unwrap_or(NonZeroU32::MIN);
        let per_peer = NonZeroU32::new(total / 2).unwrap_or(NonZeroU32::MIN);
        let bucket = |rate| Bucket::direct_with_clock(Quota::per_second(rate), clock.clone());
        Self {
            general: bucket(general),
            reserve: reserve.map(bucket),
            per_peer: Quota::per_second(per_peer),
            peers: Cache::builder()
                .max_capacity(MAX_PEERS)
                .time_to_idle(PEER_IDLE)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            good_before: Cache::builder()
                .max_capacity(remembered)
                .time_to_live(REMEMBERED)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            clock,
        }
    }

    /// Takes the right to one review of the token with this digest, or says that there is none left this moment. Never waits.
    pub async fn draw(&self, token: &Sha256, peer: Source) -> Result<(), Unavailable> {
        let granted = if self.good_before.contains_key(token) {
            self.reserve.as_ref().is_some_and(|reserve| reserve.check().is_ok()) || self.general.check().is_ok()
        } else {
            self.bucket_of(peer).await.check().is_ok() && self.general.check().is_ok()
        };
        if granted { Ok(()) } else { Err(Unavailable::Throttled) }
    }

    async fn bucket_of(&self, peer: Source) -> Arc<Bucket<C>> {
        self.peers
            .get_with(peer, async { Arc::new(Bucket::direct_with_clock(self.per_peer, self.clock.clone())) })
            .await
    }

    /// The API server has just accepted this token.
    pub async fn was_good(&self, token: Sha256) {
        self.good_before.insert(token, ()).await;
    }

    /// The API server has just refused this token: it loses the reserve.
    pub async fn was_bad(&self, token: &Sha256) {
        self.good_before.invalidate(token).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use governor::clock::FakeRelativeClock;

    fn share(per_second: u32) -> (FairShare<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (FairShare::with_clock(NonZeroU32::new(per_second).unwrap(), 100, clock.clone()), clock)
    }

    fn peer(n: u8) -> Source {
        IpAddr::from([10, 0, 0, n]).into()
    }

    fn token(n: u16) -> Sha256 {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&n.to_be_bytes());
        digest
    }

    async fn granted<C: Clock + Clone + Send + Sync + 'static>(share: &FairShare<C>, tries: u16, from: Source) -> usize
    where
        C::Instant: Send + Sync,
    {
        let mut granted = 0;
        for n in 0..tries {
            granted += usize::from(share.draw(&token(n), from).await.is_ok());
        }
        granted
    }

    #[tokio::test]
    async fn h16_one_peer_gets_half_and_all_peers_four_fifths_for_unknown_tokens() {
        let (share, clock) = share(50);
        assert_eq!(granted(&share, 1000, peer(1)).await, 25);
        assert_eq!(granted(&share, 1000, peer(2)).await, 15);
        assert_eq!(granted(&share, 1000, peer(3)).await, 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(granted(&share, 1000, peer(3)).await, 25);
    }

    #[tokio::test]
    async fn h16_a_token_that_was_good_is_reviewed_while_garbage_floods() {
        let (share, clock) = share(50);
        share.was_good(token(9999)).await;
        for second in 0..10 {
            for n in 1..=10 {
                granted(&share, 100, peer(n)).await;
            }
            for _ in 0..10 {
                assert!(share.draw(&token(9999), peer(1)).await.is_ok(), "second {second}");
            }
            assert!(share.draw(&token(9999), peer(1)).await.is_err(), "the reserve has an end");
            clock.advance(Duration::from_secs(1));
        }
    }

    #[tokio::test]
    async fn good_tokens_may_use_the_whole() {
        let (share, _) = share(50);
        share.was_good(token(1)).await;
        let mut drawn = 0;
        while share.draw(&token(1), peer(1)).await.is_ok() {
            drawn += 1;
        }
        assert_eq!(drawn, 50);
    }

    #[tokio::test]
    async fn a_token_that_turned_bad_loses_the_reserve() {
        let (share, _) = share(50);
        share.was_good(token(1)).await;
        share.was_bad(&token(1)).await;
        for n in 1..=4 {
            granted(&share, 100, peer(n)).await;
        }
        assert!(share.draw(&token(1), peer(5)).await.is_err());
    }

    #[tokio::test]
    async fn the_smallest_cap_still_grants() {
        let (share, _) = share(1);
        assert_eq!(granted(&share, 10, peer(1)).await, 1);
        let (share, _) = self::share(u32::MAX);
        assert_eq!(granted(&share, 10, peer(1)).await, 10);
    }

    #[tokio::test]
    async fn memory_is_bounded_whatever_the_number_of_peers() {
        let (share, _) = share(50);
        for n in 0..3 * MAX_PEERS as u32 {
            let _ = share.draw(&token(0), IpAddr::from(n.to_be_bytes()).into()).await;
        }
        share.peers.run_pending_tasks().await;
        assert!(share.peers.entry_count() <= MAX_PEERS);
    }

    #[tokio::test]
    async fn a_peer_is_the_same_in_both_spellings_of_its_address() {
        let (share, _) = share(50);
        assert_eq!(granted(&share, 1000, peer(1)).await, 25);
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(granted(&share, 1000, mapped.into()).await, 0);
    }
}
