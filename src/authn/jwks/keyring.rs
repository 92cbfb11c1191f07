//! The keys in use: fetched at the start, renewed in the background, kept while the API server fails.
//!
//! One task does all fetching, so there is never more than one under way. A caller with a key that is not known asks it
//! to fetch now, at most once in thirty seconds for all callers together, and waits for the outcome.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::keys::{Key, KeySet};
use crate::BoxFuture;
use crate::authn::{Error, Unavailable};
use crate::gate::deadline::timeout;

/// How often keys are fetched anew. A key that the API server has withdrawn is accepted so much longer.
const RENEWAL: Duration = Duration::from_secs(5 * 60);
/// How often callers with unknown keys can cause a fetch.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// How long keys are used while they cannot be fetched.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// A failed fetch is repeated after the first of these, then after twice as long, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Fetches the keys once, in bounded time.
pub type Fetch = Box<dyn Fn() -> BoxFuture<'static, Result<KeySet, Unavailable>> + Send + Sync>;

/// One fetch that was made, for metrics: how many keys there are now, or [`Unavailable::label`].
pub type OnFetch = Box<dyn Fn(Result<usize, &'static str>) + Send + Sync>;

/// The keys of one cluster.
pub struct Keyring {
    shared: Arc<Shared>,
    /// How long a caller waits for a fetch.
    patience: Duration,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

struct Shared {
    /// For the log.
    cluster: String,
    fetch: Fetch,
    on_fetch: OnFetch,
    state: ArcSwap<State>,
    wanted: Mutex<Wanted>,
    wake: Notify,
    /// Up to which ticket fetches have been made.
    served: watch::Sender<u64>,
}

/// What the last fetches brought.
#[derive(Clone, Default)]
struct State {
    good: Option<(Arc<KeySet>, Instant)>,
    /// Why the last fetch failed.
    failure: Option<Unavailable>,
}

/// Fetches that callers asked for. Ticket 1 is the fetch at the start.
struct Wanted {
    ticket: u64,
    last: Option<Instant>,
}

impl Keyring {
    /// Nothing is fetched before [`Keyring::begin`].
    pub fn new(cluster: String, patience: Duration, fetch: Fetch, on_fetch: OnFetch) -> Keyring {
        let shared = Shared {
            cluster,
            fetch,
            on_fetch,
            state: ArcSwap::default(),
            wanted: Mutex::new(Wanted { ticket: 1, last: None }),
            wake: Notify::new(),
            served: watch::Sender::new(0),
        };
        Keyring { shared: Arc::new(shared), patience, task: Mutex::new(None) }
    }

    /// Starts the task that fetches; it ends with the keyring.
    pub fn begin(&self) {
        lock(&self.task).get_or_insert_with(|| tokio::spawn(keep(Arc::clone(&self.shared))));
    }

    /// Whether keys have ever been fetched.
    pub fn has_keys(&self) -> bool {
        self.shared.state.load().good.is_some()
    }

    /// The keys in use; waits for the fetch at the start.
    pub async fn keys(&self) -> Result<Arc<KeySet>, Unavailable> {
        if !self.has_keys() {
            self.served(1).await;
        }
        self.shared.state.load().keys()
    }

    /// The key of this name among `keys`, or among those of a fetch made for it.
    pub async fn key(&self, keys: &KeySet, kid: &str) -> Result<Arc<Key>, Error> {
        if let Some(key) = keys.key(kid) {
            return Ok(key);
        }
        let ticket = self.shared.ask();
        self.served(ticket).await;
        let state = self.shared.state.load_full();
        match (state.keys()?.key(kid), &state.failure) {
            (Some(key), _) => Ok(key),
            // It may be a new key that we could not fetch.
            (None, Some(failure)) => Err(failure.clone().into()),
            (None, None) => Err(Error::Refused("its key is none of the API server's".into())),
        }
    }

    async fn served(&self, ticket: u64) {
        let mut served = self.shared.served.subscribe();
        let waiting = served.wait_for(|served| *served >= ticket);
        // Whether it came in time or not, the state says what is known.
        let _ = timeout(self.patience, waiting).await;
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl State {
    fn keys(&self) -> Result<Arc<KeySet>, Unavailable> {
        match (&self.good, &self.failure) {
            (Some((keys, at)), _) if at.elapsed() < MAX_AGE => Ok(Arc::clone(keys)),
            (Some(_), _) => Err(Unavailable::NoKeys("they could not be fetched for a day")),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(Unavailable::NoKeys("they have not been fetched yet")),
        }
    }
}

impl Shared {
    /// The ticket of a fetch that begins after this call; within the cool-down that of the last one.
    fn ask(&self) -> u64 {
        let mut wanted = lock(&self.wanted);
        if wanted.last.is_none_or(|last| last.elapsed() >= COOL_DOWN) {
            wanted.last = Some(Instant::now());
            wanted.ticket += 1;
            self.wake.notify_one();
        }
        wanted.ticket
    }

    /// Fetches once and keeps what came; whether it was good.
    async fn renew(&self) -> bool {
        let ticket = lock(&self.wanted).ticket;
        let outcome = (self.fetch)().await;
        (self.on_fetch)(outcome.as_ref().map(KeySet::len).map_err(Unavailable::label));
        let before = self.state.load_full();
        let state = match outcome {
            Ok(keys) => State { good: Some((Arc::new(keys), Instant::now())), failure: None },
            Err(failure) => State { good: before.good.clone(), failure: Some(failure) },
        };
        self.tell(&before, &state);
        let good = state.failure.is_none();
        self.state.store(Arc::new(state));
        self.served.send_replace(ticket);
        good
    }

    /// Logs the beginning, the changes and the end of an outage, not every failure in it.
    fn tell(&self, before: &State, now: &State) {
        let cluster = &self.cluster;
        let label = |state: &State| state.failure.as_ref().map(Unavailable::label);
        match &now.failure {
            Some(reason) if label(before) != label(now) => {
                let kept = now.good.is_some();
                tracing::error!(cluster, error = %reason, kept, "the keys that sign tokens cannot be fetched");
            }
            None if before.failure.is_some() => tracing::info!(cluster, "the keys that sign tokens are fetched again"),
            Some(_) | None => {}
        }
    }
}

/// Fetches at once, then at intervals, sooner after a failure or when asked.
async fn keep(shared: Arc<Shared>) {
    let mut pause = RETRY.0;
    loop {
        let next = if shared.renew().await {
            pause = RETRY.0;
            RENEWAL
        } else {
            let now = pause;
            pause = (2 * pause).min(RETRY.1);
            now
        };
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = shared.wake.notified() => {}
        }
    }
}

/// Nothing panics while these are held, and what they hold is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
