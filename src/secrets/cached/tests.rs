use std::sync::Mutex;

use super::*;
use crate::secrets::tests::{capture_log, secret, watch as weak};

const SETTINGS: Settings = Settings {
    store: "test",
    ttl: Duration::from_secs(300),
    max_stale: Duration::from_secs(900),
    timeout: Duration::from_secs(5),
    max_backoff: Duration::from_secs(30),
    entries: 4,
    in_flight: 2,
};

/// A store that does as it is told and keeps count.
#[derive(Default)]
struct Book {
    answer: Mutex<Option<Landing>>,
    takes: Mutex<Duration>,
    calls: Mutex<Vec<String>>,
    open: Mutex<(usize, usize)>,
    fetched: Mutex<Vec<&'static str>>,
    stale: Mutex<usize>,
}

#[derive(Clone, Default)]
struct Store(Arc<Book>);

impl Store {
    fn says(&self, answer: Landing) {
        *self.0.answer.lock().unwrap() = Some(answer);
    }

    fn takes(&self, time: Duration) {
        *self.0.takes.lock().unwrap() = time;
    }

    fn calls(&self) -> usize {
        self.0.calls.lock().unwrap().len()
    }

    fn stale(&self) -> usize {
        *self.0.stale.lock().unwrap()
    }

    fn most_open(&self) -> usize {
        self.0.open.lock().unwrap().1
    }

    fn cached(&self, settings: Settings) -> Arc<Cached<Store>> {
        Arc::new(Cached::new(self.clone(), settings, Arc::new(self.clone())))
    }
}

impl SecretStore for Store {
    fn fetch<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Landing> {
        Box::pin(async move {
            self.0.calls.lock().unwrap().push(id.to_owned());
            {
                let mut open = self.0.open.lock().unwrap();
                open.0 += 1;
                open.1 = open.1.max(open.0);
            }
            let takes = *self.0.takes.lock().unwrap();
            tokio::time::sleep(takes).await;
            self.0.open.lock().unwrap().0 -= 1;
            self.0.answer.lock().unwrap().clone().unwrap_or_else(|| Ok(secret(id)))
        })
    }
}

impl Observer for Store {
    fn fetch(&self, store: &'static str, result: &'static str, _: Duration) {
        assert_eq!(store, "test");
        self.0.fetched.lock().unwrap().push(result);
    }

    fn stale_served(&self, _: &'static str) {
        *self.0.stale.lock().unwrap() += 1;
    }
}

fn down() -> Landing {
    Err(Error::Unavailable { store: "test", reason: "down".to_owned(), retry_after: None })
}

fn rejected(status: u16) -> Landing {
    Err(Error::Rejected { store: "test", status, message: String::new() })
}

async fn value(cached: &Cached<Store>, id: &str) -> String {
    cached.fetch(id).await.map_or_else(|error| error.label().to_owned(), |it| it.expose_secret().to_owned())
}

/// Lets time pass, and whatever is due in it happen.
async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn j01_a_cold_miss_at_a_silent_store_fails_within_its_timeout() {
    let store = Store::default();
    store.takes(Duration::from_secs(3600));
    let cached = store.cached(SETTINGS);
    let begun = Instant::now();
    // There are two turns, and the third call waits no longer than the others.
    let answers = answers_of(&cached, ["a", "b", "c"]).await;
    assert_eq!(answers, ["unavailable"; 3]);
    assert!(begun.elapsed() <= SETTINGS.timeout + Duration::from_millis(10), "{:?}", begun.elapsed());
    assert_eq!(*store.0.fetched.lock().unwrap(), ["unavailable"; 3]);
    // The next call does not wait, and does not ask.
    let (begun, calls) = (Instant::now(), store.calls());
    assert_eq!(value(&cached, "a").await, "unavailable");
    assert_eq!((begun.elapsed(), store.calls()), (Duration::ZERO, calls));
}

async fn answers_of<const N: usize>(cached: &Arc<Cached<Store>>, ids: [&'static str; N]) -> Vec<String> {
    let calls = ids.map(|id| {
        let cached = cached.clone();
        tokio::spawn(async move { value(&cached, id).await })
    });
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn j02_j03_while_the_store_fails_a_value_lives_until_max_stale() {
    let store = Store::default();
    let cached = store.cached(SETTINGS);
    assert_eq!(value(&cached, "k").await, "k");
    store.says(down());
    pass(400.0).await;
    assert_eq!((value(&cached, "k").await.as_str(), store.stale()), ("k", 1));
    for _ in 0..100 {
        assert_eq!(value(&cached, "k").await, "k");
    }
    assert_eq!((store.calls(), store.stale()), (2, 101), "the failing store is left alone for a moment");
    pass(750.0).await;
    assert_eq!(value(&cached, "k").await, "k");
    pass(60.0).await;
    assert_eq!(value(&cached, "k").await, "unavailable");
    store.says(Ok(secret("new")));
    pass(60.0).await;
    assert_eq!(value(&cached, "k").await, "new");
}

#[tokio::test(start_paused = true)]
async fn j02_the_log_says_stale_and_names_the_secret_but_no_value() {
    let (log, _guard) = capture_log();
    let store = Store::default();
    store.says(Ok(secret("canary")));
    let cached = store.cached(SETTINGS);
    assert_eq!(value(&cached, "KEY").await, "canary");
    store.says(down());
    pass(400.0).await;
    assert_eq!(value(&cached, "KEY").await, "canary");
    let log = log.text();
    let line = log.lines().find(|line| line.contains("WARN")).expect("a warning");
    assert!(line.contains("\"stale\":true") && line.contains("KEY"), "{line}");
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_says_no_is_obeyed_at_once() {
    for status in [401, 403, 404] {
        let store = Store::default();
        let cached = store.cached(SETTINGS);
        assert_eq!(value(&cached, "k").await, "k");
        store.says(rejected(status));
        pass(400.0).await;
        assert_eq!(value(&cached, "k").await, "rejected");
        store.says(down());
        pass(10.0).await;
        assert_eq!(value(&cached, "k").await, "unavailable", "what was evicted is not served stale");
        assert_eq!(store.stale(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ahead_costs_no_caller_a_wait() {
    let store = Store::default();
    let cached = store.cached(SETTINGS);
    assert_eq!(value(&cached, "k").await, "k");
    store.says(Ok(secret("new")));
    store.takes(Duration::from_secs(1));
    pass(250.0).await;
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(value(&cached, "k").await, "k");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    pass(1.5).await;
    assert_eq!((value(&cached, "k").await.as_str(), store.calls()), ("new", 2));
}

#[tokio::test(start_paused = true)]
async fn j07_a_rotated_value_is_in_use_one_ttl_later() {
    let store = Store::default();
    let cached = store.cached(SETTINGS);
    assert_eq!(value(&cached, "k").await, "k");
    store.says(Ok(secret("new")));
    pass(300.0).await;
    assert_eq!(value(&cached, "k").await, "new");
}

#[tokio::test(start_paused = true)]
async fn j06_a_thousand_misses_are_one_call_an_id_and_few_at_a_time() {
    let store = Store::default();
    store.takes(Duration::from_millis(5));
    let cached = store.cached(Settings { entries: 2000, in_flight: 8, ..SETTINGS });
    let mut calls = Vec::new();
    for n in 0..2000 {
        let (cached, id) = (cached.clone(), if n % 2 == 0 { "same".to_owned() } else { n.to_string() });
        calls.push(tokio::spawn(async move { (value(&cached, &id).await, id) }));
    }
    for call in calls {
        let (value, id) = call.await.unwrap();
        assert_eq!(value, id);
    }
    let asked = store.0.calls.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|id| *id == "same").count(), 1);
    assert_eq!((asked.len(), store.most_open()), (1001, 8));
}

#[tokio::test(start_paused = true)]
async fn j19_a_fetch_survives_the_caller_that_began_it() {
    let store = Store::default();
    store.takes(Duration::from_secs(1));
    let cached = store.cached(SETTINGS);
    let (first, second) = (cached.clone(), cached.clone());
    let first = tokio::spawn(async move { value(&first, "k").await });
    tokio::task::yield_now().await;
    let second = tokio::spawn(async move { value(&second, "k").await });
    tokio::task::yield_now().await;
    first.abort();
    assert_eq!((second.await.unwrap().as_str(), store.calls()), ("k", 1));
    assert_eq!(cached.shared.turns.available_permits(), SETTINGS.in_flight);

    let alone = cached.clone();
    let alone = tokio::spawn(async move { value(&alone, "other").await });
    tokio::task::yield_now().await;
    alone.abort();
    pass(1.5).await;
    assert_eq!((value(&cached, "other").await.as_str(), store.calls()), ("other", 2));
}

#[tokio::test(start_paused = true)]
async fn j17_w47_values_are_dropped_with_the_cache_and_at_their_end() {
    let store = Store::default();
    let cached = store.cached(SETTINGS);
    let seen = weak(&cached.fetch("k").await.unwrap());
    pass(1000.0).await;
    assert!(seen.upgrade().is_some());
    pass(300.0).await;
    assert!(seen.upgrade().is_none(), "nobody asked, and yet it is gone");
    assert_eq!(cached.shared.slots.read().unwrap().len(), 0);

    let seen = weak(&cached.fetch("k").await.unwrap());
    assert!(seen.upgrade().is_some());
    drop(cached);
    assert!(seen.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_full_cache_gives_up_what_would_die_first() {
    let store = Store::default();
    let cached = store.cached(SETTINGS);
    for id in ["a", "b", "c", "d", "e"] {
        assert_eq!(value(&cached, id).await, id);
        pass(40.0).await;
    }
    assert_eq!(cached.shared.slots.read().unwrap().len(), SETTINGS.entries);
    for id in ["b", "c", "d", "e"] {
        assert_eq!(value(&cached, id).await, id);
    }
    assert_eq!(store.calls(), 5);
    assert_eq!((value(&cached, "a").await.as_str(), store.calls()), ("a", 6));
}

#[tokio::test(start_paused = true)]
async fn the_longest_settings_overflow_no_clock() {
    let store = Store::default();
    let cached = store.cached(Settings { ttl: Duration::MAX, max_stale: Duration::MAX, ..SETTINGS });
    assert_eq!(value(&cached, "k").await, "k");
    assert_eq!((value(&cached, "k").await.as_str(), store.calls()), ("k", 1));
}

#[test]
fn jitter_lies_between_0_and_1_and_moves() {
    let drawn: Vec<f64> = (0..100).map(|_| jitter()).collect();
    assert!(drawn.iter().all(|number| (0.0..=1.0).contains(number)));
    assert!(drawn.iter().any(|number| *number != drawn[0]));
}
