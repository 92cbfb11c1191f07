//! The clock is tokio's, paused: it moves when everybody waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::authn::jwks::signer::{Signer, jwks};
use crate::authn::{Blame, Unavailable};

const PATIENCE: Duration = Duration::from_secs(2);

/// What a fetch brings: these keys, nothing, or nothing for ever.
#[derive(Clone)]
enum Play {
    Keys(Vec<&'static str>),
    Fail,
    Hang,
}

/// A keyring, and the API server it fetches from: each time the next of the plays; the last one stays.
struct World {
    keyring: Arc<Keyring>,
    plays: Arc<Mutex<VecDeque<Play>>>,
    fetches: Arc<AtomicUsize>,
    told: Arc<Mutex<Vec<Result<usize, &'static str>>>>,
}

fn key_set(kids: &[&str]) -> KeySet {
    let signers: Vec<_> = kids.iter().map(|kid| Signer::p256(kid)).collect();
    KeySet::read("https://i.test".into(), jwks(&signers.iter().collect::<Vec<_>>()).as_bytes()).unwrap()
}

fn world(plays: impl IntoIterator<Item = Play>) -> World {
    let plays: Arc<Mutex<VecDeque<Play>>> = Arc::new(Mutex::new(plays.into_iter().collect()));
    let (fetches, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (script, count, observed) = (plays.clone(), fetches.clone(), told.clone());
    let fetch = Box::new(move || -> BoxFuture<'static, _> {
        count.fetch_add(1, Ordering::SeqCst);
        let mut script = lock(&script);
        let play = if script.len() > 1 { script.pop_front().unwrap() } else { script[0].clone() };
        Box::pin(async move {
            // A moment, so that callers can come while it is under way.
            tokio::time::sleep(Duration::from_millis(10)).await;
            match play {
                Play::Keys(kids) => Ok(key_set(&kids)),
                Play::Fail => Err(Unavailable::Status(500)),
                Play::Hang => std::future::pending().await,
            }
        })
    });
    let on_fetch = Box::new(move |outcome| lock(&observed).push(outcome));
    let keyring = Arc::new(Keyring::new("home".into(), PATIENCE, fetch, on_fetch));
    keyring.begin();
    World { keyring, plays, fetches, told }
}

impl World {
    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn play(&self, play: Play) {
        *lock(&self.plays) = [play].into();
    }

    async fn find(&self, kid: &str) -> Result<Arc<Key>, Error> {
        find(&self.keyring, kid).await
    }
}

async fn find(keyring: &Keyring, kid: &str) -> Result<Arc<Key>, Error> {
    let keys = keyring.keys().await?;
    keyring.key(&keys, kid).await
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_callers_wait_for_the_fetch_at_the_start() {
    let world = world([Play::Keys(vec!["a"])]);
    assert!(!world.keyring.has_keys());
    let (one, two) = tokio::join!(world.find("a"), world.find("a"));
    assert!(one.is_ok() && two.is_ok() && world.keyring.has_keys());
    assert_eq!((world.fetches(), &lock(&world.told)[..]), (1, &[Ok(1)][..]));
}

#[tokio::test(start_paused = true)]
async fn h34_without_keys_nobody_can_tell_and_it_heals_with_a_bounded_retry() {
    let world = world([Play::Fail]);
    let error = world.find("a").await.err().unwrap();
    assert!(matches!(error, Error::Unavailable(Unavailable::Status(500))), "{error}");
    for _ in 0..100 {
        assert!(world.find("a").await.is_err(), "nobody waits again");
    }
    assert_eq!(world.fetches(), 1, "callers cause no fetches while there are no keys");
    pass(600).await;
    // After 1, 2, 4, 8, 16 seconds and then each 30.
    assert!((20..=26).contains(&world.fetches()), "{}", world.fetches());
    assert!(!world.keyring.has_keys());
    world.play(Play::Keys(vec!["a"]));
    pass(31).await;
    assert!(world.find("a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn h34_a_fetch_that_hangs_costs_a_caller_no_more_than_its_patience() {
    let world = world([Play::Hang]);
    let asked = Instant::now();
    let error = world.find("a").await.err().unwrap();
    assert!(matches!(error, Error::Unavailable(Unavailable::NoKeys(_))), "{error}");
    assert_eq!(asked.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn h34_the_last_good_keys_are_kept_for_a_day_and_no_longer() {
    let world = world([Play::Keys(vec!["a"]), Play::Fail]);
    assert!(world.find("a").await.is_ok());
    pass(24 * 3600 - 60).await;
    assert!(world.find("a").await.is_ok(), "within the day");
    assert_eq!(lock(&world.told).last(), Some(&Err("api_server_error")));
    pass(61).await;
    let error = world.find("a").await.err().unwrap();
    assert!(matches!(error, Error::Unavailable(Unavailable::NoKeys(_))), "{error}");
    assert!(world.keyring.has_keys(), "readiness does not come and go with the API server");
    world.play(Play::Keys(vec!["a"]));
    pass(31).await;
    assert!(world.find("a").await.is_ok(), "and it heals");
}

#[tokio::test(start_paused = true)]
async fn h29_ten_thousand_unknown_keys_cause_one_fetch_in_thirty_seconds() {
    let world = world([Play::Keys(vec!["a"])]);
    assert!(world.find("a").await.is_ok());
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..10_000 {
        let keyring = world.keyring.clone();
        callers.spawn(async move { find(&keyring, &format!("unknown-{n}")).await.map(drop) });
    }
    for outcome in callers.join_all().await {
        assert_eq!(outcome.unwrap_err().blame(), Blame::Rejected);
    }
    assert_eq!(world.fetches(), 2);
    for _ in 0..10 {
        assert!(world.find("unknown").await.is_err());
        pass(2).await;
    }
    assert_eq!(world.fetches(), 2, "within the cool-down");
    pass(11).await;
    assert!(world.find("unknown").await.is_err());
    assert_eq!(world.fetches(), 3, "after it");
}

#[tokio::test(start_paused = true)]
async fn h35_a_new_key_is_found_by_one_fetch_for_all_who_ask() {
    let world = world([Play::Keys(vec!["old"]), Play::Keys(vec!["old", "new"])]);
    assert!(world.find("old").await.is_ok());
    let asked = Instant::now();
    let (one, two, three) = tokio::join!(world.find("new"), world.find("new"), world.find("old"));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(world.fetches(), 2);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_no_reason_to_refuse_while_keys_cannot_be_fetched() {
    let world = world([Play::Keys(vec!["old"]), Play::Fail]);
    assert!(world.find("old").await.is_ok());
    for _ in 0..2 {
        let error = world.find("new").await.err().unwrap();
        assert!(matches!(error, Error::Unavailable(Unavailable::Status(500))), "{error}");
    }
    assert!(world.find("old").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_is_forgotten_within_five_minutes() {
    let world = world([Play::Keys(vec!["old", "new"]), Play::Keys(vec!["new"])]);
    assert!(world.find("old").await.is_ok());
    pass(301).await;
    assert!(world.find("old").await.is_err() && world.find("new").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn fetching_ends_with_the_keyring() {
    let world = world([Play::Keys(vec!["a"])]);
    assert!(world.find("a").await.is_ok());
    let (fetches, before) = (world.fetches.clone(), world.fetches());
    drop(world);
    pass(3600).await;
    assert_eq!(fetches.load(Ordering::SeqCst), before);
}
