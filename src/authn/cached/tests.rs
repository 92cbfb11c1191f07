use super::*;
use crate::authn::played::{PEER, settings};
use crate::authn::{User, Workload};
use secrecy::SecretString;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Says yes to tokens that begin with `good`, after as many permits as it was given.
struct Played {
    calls: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    no: Error,
    expires_at: Option<u64>,
}

impl Authenticator for Played {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        _: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            match credential.expose().starts_with("good") {
                true => Ok(identity(credential.expose(), self.expires_at)),
                false => Err(self.no.clone()),
            }
        })
    }
}

fn identity(name: &str, expires_at: Option<u64>) -> Arc<Identity> {
    Arc::new(Identity::Kubernetes(Workload {
        namespace: "ns".into(),
        service_account: name.into(),
        username: String::new(),
        service_account_uid: None,
        pod_name: None,
        pod_uid: None,
        node_name: None,
        groups: Vec::new(),
        audiences: Vec::new(),
        expires_at,
        cluster: None,
        metadata: Default::default(),
    }))
}

struct World {
    cached: Arc<Cached<Played>>,
    calls: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

fn world_with(no: Error, expires_at: Option<u64>, change: impl FnOnce(&mut KubernetesSettings)) -> World {
    let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(1_000_000)));
    let mut settings = settings("token".into(), "ca".into());
    change(&mut settings);
    let played = Played { calls: calls.clone(), gate: gate.clone(), no, expires_at };
    World { cached: Arc::new(Cached::new(played, &settings)), calls, gate }
}

fn world(no: Error) -> World {
    world_with(no, None, |_| {})
}

impl World {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn ask(&self, token: &str) -> Result<Arc<Identity>, Error> {
        self.cached.authenticate(&credential(token), PEER).await
    }
}

fn credential(token: &str) -> Credential {
    Credential::Token(SecretString::from(token))
}

fn refusal() -> Error {
    Error::Refused("no".into())
}

#[tokio::test]
async fn a_good_token_is_asked_about_once_per_ttl() {
    let world = world_with(refusal(), None, |s| s.cache_ttl = Duration::from_secs(1));
    for _ in 0..100 {
        world.ask("good").await.unwrap();
    }
    assert_eq!(world.calls(), 1);
    while world.calls() == 1 {
        world.ask("good").await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn h15_a_refused_token_is_asked_about_once_per_negative_ttl() {
    let world = world_with(refusal(), None, |s| s.negative_cache_ttl = Duration::from_secs(2));
    for _ in 0..1000 {
        assert!(matches!(world.ask("bad").await, Err(Error::Refused(_))));
    }
    assert_eq!(world.calls(), 1);
    while world.calls() == 1 {
        assert!(world.ask("bad").await.is_err());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn h15_ten_thousand_at_once_with_one_refused_token_are_one_question() {
    let world = world(refusal());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let cached = world.cached.clone();
        callers.spawn(async move { cached.authenticate(&credential("bad"), PEER).await });
    }
    assert!(callers.join_all().await.iter().all(|answer| matches!(answer, Err(Error::Refused(_)))));
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn what_nobody_could_tell_is_asked_again() {
    for reason in [Unavailable::Throttled, Unavailable::Rbac, Unavailable::Timeout(Duration::from_secs(2))] {
        let world = world(reason.into());
        for _ in 0..3 {
            assert!(matches!(world.ask("bad").await, Err(Error::Unavailable(_))));
        }
        assert_eq!(world.calls(), 3);
    }
}

#[tokio::test]
async fn h13_a_thousand_callers_with_one_new_token_are_one_question() {
    let world = world(refusal());
    world.gate.forget_permits(1_000_000);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let cached = world.cached.clone();
        callers.spawn(async move { cached.authenticate(&credential("good"), PEER).await });
    }
    while world.calls() == 0 {
        tokio::task::yield_now().await;
    }
    world.gate.add_permits(1_000_000);
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn a_question_outlives_the_caller_who_asked_it() {
    let world = world(refusal());
    world.gate.forget_permits(1_000_000);
    let spawn = || {
        let cached = world.cached.clone();
        tokio::spawn(async move { cached.authenticate(&credential("good"), PEER).await })
    };
    let leader = spawn();
    while world.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let waiter = spawn();
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    world.gate.add_permits(1);
    assert!(waiter.await.unwrap().is_ok());
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn h18_tokens_that_share_a_beginning_or_an_end_are_never_mistaken() {
    let world = world(refusal());
    let long = "x".repeat(4096);
    let tokens = ["good".into(), "good.a".into(), "good.a.b".into(), format!("good{long}a"), format!("good{long}b")];
    for _ in 0..2 {
        for token in &tokens {
            let Identity::Kubernetes(workload) = &*world.ask(token).await.unwrap() else { panic!() };
            assert_eq!(workload.service_account, *token);
        }
    }
    assert_eq!(world.calls(), tokens.len());
}

#[test]
fn h18_the_key_depends_on_token_cluster_audience_and_whether_it_is_required() {
    let of = |cluster: Option<&str>, audience: &str, require: bool, token: &str| {
        let world = world_with(refusal(), None, |s| {
            s.cluster = cluster.map(str::to_owned);
            s.audience = audience.into();
            s.require_audience = require;
        });
        world.cached.key(&credential(token))
    };
    let key = |audience, require, token| of(None, audience, require, token);
    let keys = [
        key("a", true, "t"),
        of(Some("east"), "a", true, "t"),
        of(Some("west"), "a", true, "t"),
        of(Some("a"), "", true, "t"),
        key("b", true, "t"),
        key("a", false, "t"),
        key("a", true, "u"),
        key("at", true, ""),
        key("", true, "at"),
    ];
    for (i, one) in keys.iter().enumerate() {
        assert!(keys.iter().skip(i + 1).all(|other| other != one), "{i}");
    }
    assert_eq!(key("a", true, "t"), keys[0]);
}

#[tokio::test]
async fn h22_h23_an_identity_ends_with_its_token_by_the_wall_clock_whatever_the_ttl() {
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let world = world_with(refusal(), Some(1000), |_| {});
    let good = credential("good");
    assert!(world.cached.at(&good, PEER, at(995)).await.is_ok());
    assert!(world.cached.at(&good, PEER, at(999)).await.is_ok());
    for late in [1000, 1001, 1000 + 3600] {
        assert!(matches!(world.cached.at(&good, PEER, at(late)).await, Err(Error::Expired)), "{late}");
    }
    // The clock steps back an hour: the TTL goes on by the monotonic clock, nothing is asked anew.
    assert!(world.cached.at(&good, PEER, at(995 - 900)).await.is_ok());
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn a_token_that_expired_while_it_was_reviewed_is_not_accepted() {
    let world = world_with(refusal(), Some(1000), |_| {});
    let now = UNIX_EPOCH + Duration::from_secs(1000);
    assert!(matches!(world.cached.at(&credential("good"), PEER, now).await, Err(Error::Expired)));
}

#[tokio::test]
async fn memory_is_bounded_and_refusals_do_not_push_good_tokens_out() {
    let world = world_with(refusal(), None, |s| s.cache_entries = 100);
    world.ask("good").await.unwrap();
    for n in 0..1000 {
        assert!(world.ask(&format!("bad{n}")).await.is_err());
    }
    let answers = &world.cached.answers;
    answers.refused.run_pending_tasks().await;
    answers.accepted.run_pending_tasks().await;
    assert!(answers.refused.entry_count() <= 10, "{}", answers.refused.entry_count());
    assert_eq!(answers.accepted.entry_count(), 1);
    let calls = world.calls();
    world.ask("good").await.unwrap();
    assert_eq!(world.calls(), calls);
}

#[tokio::test]
async fn ttls_of_zero_and_of_ages_are_no_panic() {
    for ttl in [Duration::ZERO, Duration::MAX] {
        let world = world_with(refusal(), None, |s| (s.cache_ttl, s.negative_cache_ttl) = (ttl, ttl));
        assert!(world.ask("good").await.is_ok() && world.ask("bad").await.is_err());
    }
}

#[tokio::test]
async fn a_panic_below_is_an_outage_not_the_end() {
    struct Panics;
    impl Authenticator for Panics {
        fn authenticate<'a>(&'a self, _: &'a Credential, _: Source) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
            Box::pin(async { panic!("played") })
        }
    }
    let cached = Cached::new(Panics, &settings("token".into(), "ca".into()));
    let answer = cached.authenticate(&credential("t"), PEER).await;
    assert!(matches!(answer, Err(Error::Unavailable(Unavailable::Interrupted))));
}

#[test]
fn an_identity_without_an_end_does_not_expire() {
    let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert!(unexpired(identity("x", None), far).is_ok());
    assert!(unexpired(Arc::new(Identity::Static(User::default())), far).is_ok());
}
