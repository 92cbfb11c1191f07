//! A cache before a store.
//!
//! A fresh value costs a look-up. In the last fifth of its TTL the first call that wants it starts one fetch in
//! the background. Each id has at most one fetch under way; it belongs to no caller, so a caller that goes away
//! takes nothing from the others. While the store fails, values live `max_stale` past their TTL, and the store is
//! asked again at growing distances. A store that says no (401, 403, 404) ends a value at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::{Error, Observer, Secret, SecretStore};
use crate::BoxFuture;
use crate::gate::deadline::timeout;

mod slot;

use slot::{Landing, Slot, Step};

/// Longer lives are cut to this: no clock can count to the end of some of them.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a cache treats its store.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The store's name in metrics and the log.
    pub store: &'static str,
    pub ttl: Duration,
    /// How long past its TTL a value may be served while the store fails.
    pub max_stale: Duration,
    /// One fetch, waiting for its turn included. No caller waits longer.
    pub timeout: Duration,
    /// The longest distance between two attempts while the store fails, unless it asks for more itself.
    pub max_backoff: Duration,
    /// Ids remembered at most.
    pub entries: usize,
    /// Fetches under way at most, over all ids.
    pub in_flight: usize,
}

/// A store behind a cache.
pub struct Cached<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    inner: S,
    settings: Settings,
    slots: RwLock<HashMap<Box<str>, Arc<Slot>>>,
    turns: Semaphore,
    observer: Arc<dyn Observer>,
    /// Whether the task that drops dead values runs.
    sweeping: AtomicBool,
}

impl<S: SecretStore + 'static> Cached<S> {
    pub fn new(inner: S, settings: Settings, observer: Arc<dyn Observer>) -> Cached<S> {
        let settings =
            Settings { ttl: settings.ttl.min(LONGEST), max_stale: settings.max_stale.min(LONGEST), ..settings };
        let shared = Shared {
            inner,
            settings,
            slots: RwLock::default(),
            turns: Semaphore::new(settings.in_flight),
            observer,
            sweeping: AtomicBool::new(false),
        };
        Cached { shared: Arc::new(shared) }
    }

    async fn get(&self, id: &str) -> Result<Secret, Error> {
        if let Some(secret) = self.shared.fresh(id) {
            return Ok(secret);
        }
        let slot = self.shared.slot(id)?;
        let plan = slot.plan(Instant::now());
        if let Some(landing) = plan.launch {
            self.shared.launch(id, slot.clone(), landing);
        }
        match plan.step {
            Step::Serve(secret) => Ok(secret),
            Step::ServeStale(secret) => Ok(self.shared.stale(secret)),
            Step::Fail(error) => Err(error),
            Step::Wait(landed) => match self.landed(landed).await {
                Ok(secret) => Ok(secret),
                // A store that said no has emptied the slot.
                Err(error) => slot.servable(Instant::now()).map(|secret| self.shared.stale(secret)).ok_or(error),
            },
        }
    }

    async fn landed(&self, mut landed: watch::Receiver<Option<Landing>>) -> Result<Secret, Error> {
        match landed.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(landing)) => landing.clone(),
            Ok(None) | Err(_) => Err(self.shared.unavailable("the fetch broke off")),
        }
    }
}

impl<S: SecretStore + 'static> SecretStore for Cached<S> {
    fn fetch<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Secret, Error>> {
        Box::pin(self.get(id))
    }
}

impl<S: SecretStore + 'static> Shared<S> {
    fn fresh(&self, id: &str) -> Option<Secret> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(id)?.fresh(Instant::now())
    }

    /// The slot of an id, made where there is none. A full cache gives up the value that would die first.
    fn slot(&self, id: &str) -> Result<Arc<Slot>, Error> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(id) {
            return Ok(slot.clone());
        }
        if slots.len() >= self.settings.entries {
            let idle = slots.iter().filter(|(_, slot)| Arc::strong_count(slot) == 1);
            let first = idle.min_by_key(|(_, slot)| slot.dies_at()).map(|(id, _)| id.clone());
            let first = first.ok_or_else(|| self.unavailable("too many secrets are being fetched"))?;
            slots.remove(&first);
        }
        let slot = Arc::new(Slot::default());
        slots.insert(id.into(), slot.clone());
        Ok(slot)
    }

    fn launch(self: &Arc<Self>, id: &str, slot: Arc<Slot>, landing: watch::Sender<Option<Landing>>) {
        if !self.sweeping.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep_until_dropped(Arc::downgrade(self), self.settings));
        }
        let shared = self.clone();
        let id = id.to_owned();
        tokio::spawn(async move {
            let result = shared.fetch_in_turn(&id).await;
            let recovered = slot.land(&result, Instant::now(), &shared.settings, jitter());
            shared.report(&id, &result, recovered, slot.servable(Instant::now()).is_some());
            landing.send_replace(Some(result));
        });
    }

    async fn fetch_in_turn(&self, id: &str) -> Landing {
        let begun = Instant::now();
        let fetching = async {
            let _turn = self.turns.acquire().await.map_err(|_| self.unavailable("the cache is closed"))?;
            self.inner.fetch(id).await
        };
        let result = timeout(self.settings.timeout, fetching)
            .await
            .unwrap_or_else(|_| Err(self.unavailable(&format!("no answer within {:?}", self.settings.timeout))));
        let label = result.as_ref().map_or_else(Error::label, |_| "ok");
        self.observer.fetch(self.settings.store, label, begun.elapsed());
        result
    }

    fn report(&self, id: &str, result: &Landing, recovered: bool, stale: bool) {
        let store = self.settings.store;
        match result {
            Err(error) => tracing::warn!(store, secret = id, %error, stale, "a secret could not be fetched"),
            Ok(_) if recovered => tracing::info!(store, secret = id, "the secret can be fetched again"),
            Ok(_) => tracing::debug!(store, secret = id, "secret fetched"),
        }
    }

    fn stale(&self, secret: Secret) -> Secret {
        self.observer.stale_served(self.settings.store);
        secret
    }

    fn unavailable(&self, reason: &str) -> Error {
        Error::Unavailable { store: self.settings.store, reason: reason.to_owned(), retry_after: None }
    }

    /// Drops values that may not be served any more, and slots that nobody needs.
    fn sweep(&self, now: Instant) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            slot.drop_dead(now);
            // A slot that somebody holds is about to be filled: a second one would mean a second fetch.
            Arc::strong_count(slot) > 1 || !slot.is_spent(now)
        });
    }
}

/// Without it a secret that no call asks for any more would stay in memory for ever.
async fn sweep_until_dropped<S: SecretStore + 'static>(shared: Weak<Shared<S>>, settings: Settings) {
    let lifetime = settings.ttl.saturating_add(settings.max_stale);
    let pause = (lifetime / 4).clamp(Duration::from_millis(100), Duration::from_secs(30));
    loop {
        tokio::time::sleep(pause).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.sweep(Instant::now());
    }
}

/// A number from 0 to 1 from the randomness of the standard library's hash keys. Nothing secret hangs on it.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bits = RandomState::new().build_hasher().finish() >> 32;
    bits as f64 / u32::MAX as f64
}

#[cfg(test)]
mod tests;
