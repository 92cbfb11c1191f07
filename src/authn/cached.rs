//! What the authenticator said a moment ago: a decorator that asks once per token and TTL.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::time::Instant;
use tracing::Instrument;

use super::token::has_passed;
use super::{Authenticator, Blame, Error, Identity, KubernetesSettings, Sha256, Source, Unavailable};
use crate::BoxFuture;
use crate::request::Credential;

/// moka panics on absurd ones.
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// Remembers identities for the TTL and definite refusals for the negative TTL (both by the monotonic clock), never an
/// identity past its token's `exp` (by the wall clock), and never that nobody could tell.
///
/// Concurrent callers with one new token share one question. It is asked in a task of its own, so that a caller who
/// hangs up does not take the answer away from the others.
pub struct Cached<A> {
    inner: Arc<A>,
    /// SHA-256 begun with everything besides the token that the answer depends on: the cluster, the audience, and whether
    /// it is required. Together with the token they determine who is asked what.
    prefix: digest::Context,
    answers: Answers,
}

/// Two caches, so that refused tokens never push good ones out; room for refusals is a tenth on top.
#[derive(Clone)]
struct Answers {
    accepted: Cache<Sha256, Arc<Identity>>,
    refused: Cache<Sha256, Error>,
}

impl<A: Authenticator + 'static> Cached<A> {
    pub fn new(inner: A, settings: &KubernetesSettings) -> Self {
        let mut prefix = digest::Context::new(&digest::SHA256);
        for name in [settings.cluster.as_deref().unwrap_or_default(), &settings.audience] {
            prefix.update(&(name.len() as u64).to_be_bytes());
            prefix.update(name.as_bytes());
        }
        prefix.update(&[settings.require_audience.into()]);
        let answers = Answers {
            accepted: bounded(settings.cache_entries, settings.cache_ttl),
            refused: bounded(settings.cache_entries.div_ceil(10), settings.negative_cache_ttl),
        };
        Self { inner: Arc::new(inner), prefix, answers }
    }

    fn key(&self, credential: &Credential) -> Sha256 {
        let mut context = self.prefix.clone();
        context.update(credential.expose().as_bytes());
        let mut key = Sha256::default();
        key.copy_from_slice(context.finish().as_ref());
        key
    }

    async fn at(&self, credential: &Credential, peer: Source, now: SystemTime) -> Result<Arc<Identity>, Error> {
        let key = self.key(credential);
        if let Some(identity) = self.answers.accepted.get(&key).await {
            return unexpired(identity, now);
        }
        let asked = Instant::now();
        let identity = self.ask(key, credential, peer).await?;
        unexpired(identity, now + asked.elapsed())
    }

    async fn ask(&self, key: Sha256, credential: &Credential, peer: Source) -> Result<Arc<Identity>, Error> {
        let (inner, answers, credential) = (self.inner.clone(), self.answers.clone(), credential.clone());
        let flight = async move { answers.once(key, inner.authenticate(&credential, peer)).await };
        let task = tokio::spawn(flight.in_current_span());
        task.await.unwrap_or(Err(Error::Unavailable(Unavailable::Interrupted)))
    }
}

impl Answers {
    /// The remembered answer, or that of the one question which all concurrent callers share.
    async fn once(
        &self,
        key: Sha256,
        question: impl Future<Output = Result<Arc<Identity>, Error>>,
    ) -> Result<Arc<Identity>, Error> {
        let asking = async {
            // Looked up in here, because a refusal may have come in while this caller was on its way.
            if let Some(refusal) = self.refused.get(&key).await {
                return Err(refusal);
            }
            let answer = question.await;
            if let Err(refusal) = &answer
                && is_worth_remembering(refusal)
            {
                self.refused.insert(key, refusal.clone()).await;
            }
            answer
        };
        self.accepted.try_get_with(key, asking).await.map_err(|shared| (*shared).clone())
    }
}

/// A local refusal is cheaper to repeat than to look up, and "cannot tell" must be asked again.
fn is_worth_remembering(error: &Error) -> bool {
    error.blame() == Blame::Rejected
        && !matches!(error, Error::Malformed(_) | Error::Expired | Error::TooOld { .. } | Error::NotYetValid)
}

fn unexpired(identity: Arc<Identity>, now: SystemTime) -> Result<Arc<Identity>, Error> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match &*identity {
        Identity::Kubernetes(workload) if has_passed(workload.expires_at, now) => Err(Error::Expired),
        Identity::Kubernetes(_) | Identity::Static(_) => Ok(identity),
    }
}

fn bounded<V: Clone + Send + Sync + 'static>(entries: u64, ttl: Duration) -> Cache<Sha256, V> {
    let ttl = ttl.min(MAX_TTL);
    Cache::builder().max_capacity(entries).time_to_live(ttl).eviction_policy(EvictionPolicy::lru()).build()
}

impl<A: Authenticator + 'static> Authenticator for Cached<A> {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        peer: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        Box::pin(self.at(credential, peer, SystemTime::now()))
    }

    fn begin(&self) {
        self.inner.begin();
    }

    fn ready(&self) -> bool {
        self.inner.ready()
    }
}

#[cfg(test)]
mod tests;
