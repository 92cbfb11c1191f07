//! Section H of the hostile cases, against the whole: cache, fair share, TokenReview client and a played API server.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::json;

use super::api_server::ApiServer;
use super::cached::Cached;
use super::cluster::{Cluster, Environment};
use super::played::{PEER, Play, PlayedApiServer, Pod, honest, in_an_hour, mint, mint_for, refused};
use super::session::{Session, SessionSecret};
use super::token_review::TokenReviewer;
use super::{Authn, Blame, Error, Identity, KubernetesSettings, Source, Unavailable, User, Workload};
use crate::request::Credential;

const SECRET: &str = "a session secret of some length";

/// Everything that `serve` would build, beside a played API server.
struct World {
    server: PlayedApiServer,
    authn: Arc<Authn>,
    pod: Pod,
    /// What the observer of reviews was told.
    reviews: Arc<Mutex<Vec<Option<&'static str>>>>,
}

impl World {
    async fn new(play: Play) -> Self {
        Self::with(play, |_| {}).await
    }

    async fn with(play: Play, change: impl FnOnce(&mut KubernetesSettings)) -> Self {
        let server = PlayedApiServer::start(play).await;
        let mut pod = Pod::beside(&server);
        change(&mut pod.settings);
        let reviews = Arc::new(Mutex::new(Vec::new()));
        let observed = reviews.clone();
        let cluster = Cluster::find(&pod.settings, &Environment::default()).await.unwrap();
        let on_review = Box::new(move |review: super::token_review::Review| {
            observed.lock().unwrap().push(review.failure);
        });
        let api_server = Arc::new(ApiServer::new(cluster, pod.settings.timeout).await.unwrap());
        let reviewer = TokenReviewer::new(api_server, &pod.settings, on_review);
        let kubernetes = Cached::new(reviewer, &pod.settings);
        let authn = Arc::new(Authn::new(Some(session()), Some(Box::new(kubernetes))));
        Self { server, authn, pod, reviews }
    }

    async fn from(&self, token: &str, peer: Source) -> Result<Arc<Identity>, Error> {
        self.authn.authenticate(Some(&bearer(token)), peer).await
    }

    async fn ask(&self, token: &str) -> Result<Arc<Identity>, Error> {
        self.from(token, PEER).await
    }

    async fn workload(&self, token: &str) -> Workload {
        match self.ask(token).await.as_deref() {
            Ok(Identity::Kubernetes(workload)) => workload.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn session() -> Session {
    let user = User { id: "alice".into(), email: "alice@example.com".into(), org: "engineering".into() };
    Session::new(SessionSecret::new(&SecretString::from(SECRET)).unwrap(), user)
}

fn bearer(token: &str) -> Credential {
    Credential::Token(SecretString::from(token))
}

fn secret(text: &str) -> Credential {
    Credential::SessionSecret(SecretString::from(text))
}

fn token(n: usize) -> String {
    mint_for("ns", &format!("sa-{n}"))
}

fn for_audiences(audiences: &[&str]) -> String {
    mint(&json!({"sub": "system:serviceaccount:ns:sa", "aud": audiences, "exp": in_an_hour()}))
}

// The ten unit tests of the design; those on identities are in `identity`.

#[tokio::test]
async fn kubernetes_authenticator_disabled() {
    let authn = Authn::new(Some(session()), None);
    let error = authn.authenticate(Some(&bearer("fake-token")), PEER).await.unwrap_err();
    assert!(error.to_string().contains("disabled"), "{error}");
    assert_eq!(error.blame(), Blame::Rejected);
}

#[tokio::test]
async fn kubernetes_client_validate_token() {
    let world = World::new(Play::Honest).await;
    let workload = world.workload(&mint_for("default", "test-sa")).await;
    assert_eq!(workload.namespace, "default");
    assert_eq!(workload.service_account, "test-sa");
    assert_eq!(workload.pod_name.as_deref(), Some("test-pod"));
    assert_eq!(workload.expires_at, Some(in_an_hour()));
}

#[tokio::test]
async fn kubernetes_client_validate_token_failed() {
    let world = World::new(refused("token expired")).await;
    let error = world.ask(&token(1)).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    assert_eq!(error.blame(), Blame::Rejected);
}

#[tokio::test]
async fn proxy_authenticates_by_kubernetes() {
    let world = World::new(Play::Honest).await;
    let workload = world.workload(&mint_for("default", "test-sa")).await;
    assert_eq!((workload.namespace.as_str(), workload.service_account.as_str()), ("default", "test-sa"));
}

#[tokio::test]
async fn proxy_authenticates_by_session_secret() {
    let authn = Authn::new(Some(session()), None);
    let identity = authn.authenticate(Some(&secret(SECRET)), PEER).await.unwrap();
    let Identity::Static(user) = &*identity else { panic!("{identity:?}") };
    assert_eq!(user.id, "alice");
}

#[tokio::test]
async fn proxy_authenticates_by_priority() {
    // Which slot goes first is decided in `request`; here: the credential that decided is judged as what it is.
    let world = World::new(Play::Honest).await;
    let identity = world.authn.authenticate(Some(&bearer(&mint_for("prod", "api"))), PEER).await.unwrap();
    assert_eq!(identity.kind(), "kubernetes");
    // A bearer is never rescued by a session secret, even if it is that secret.
    let error = world.authn.authenticate(Some(&bearer(SECRET)), PEER).await.unwrap_err();
    assert!(matches!(error, Error::Malformed(_)), "{error}");
    let error = world.authn.authenticate(Some(&secret(&mint_for("prod", "api"))), PEER).await.unwrap_err();
    assert!(matches!(error, Error::WrongSessionSecret), "{error}");
}

// Rows.

#[tokio::test]
async fn h01_h02_h03_lies_are_never_accepted() {
    let user = json!({"username": "system:serviceaccount:ns:sa"});
    let lies = [
        json!({"authenticated": true, "user": user}),
        json!({"authenticated": true, "user": user, "audiences": []}),
        json!({"authenticated": true, "user": user, "audiences": ["https://kubernetes.default.svc"]}),
        json!({"authenticated": false, "user": user, "audiences": ["veilwarden"]}),
        json!({"user": user, "audiences": ["veilwarden"]}),
        json!({"authenticated": "true", "user": user, "audiences": ["veilwarden"]}),
        json!({"authenticated": 1, "user": user, "audiences": ["veilwarden"]}),
        json!({"authenticated": true, "user": {"username": "system:node:n1"}, "audiences": ["veilwarden"]}),
        json!({"authenticated": true, "audiences": ["veilwarden"]}),
        json!({}),
        json!(null),
    ];
    for lie in lies {
        let world = World::new(Play::Status(lie.clone())).await;
        assert!(world.ask(&token(1)).await.is_err(), "{lie}");
    }
}

#[tokio::test]
async fn a_token_for_another_audience_gets_a_hint() {
    let answer = refused("[invalid bearer token, token audiences [\"other\"] is invalid for the target audiences]");
    for (required, audiences, wrong) in [
        (true, &["other"][..], true),
        (true, &[], true),
        (true, &["veilwarden"], false),
        (false, &["other"], true),
        (false, &["veilwarden", "other"], false),
    ] {
        let world = World::with(answer.clone(), |s| s.require_audience = required).await;
        let error = world.ask(&for_audiences(audiences)).await.unwrap_err();
        assert_eq!(matches!(error, Error::WrongAudience { .. }), wrong, "{required} {audiences:?}: {error}");
        assert_eq!(error.hint().is_some(), wrong);
    }
}

#[tokio::test]
async fn a_deleted_pods_token_for_the_api_server_is_refused_without_a_hint_that_misleads() {
    let world = World::with(refused("pod has been deleted"), |s| s.require_audience = false).await;
    let error = world.ask(&for_audiences(&["https://kubernetes.default.svc"])).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

#[tokio::test]
async fn the_unverified_audience_only_picks_the_question() {
    let api = "https://kubernetes.default.svc";
    for (required, audiences, asked) in [
        (true, &["veilwarden"][..], json!(["veilwarden"])),
        (true, &[api], json!(["veilwarden"])),
        (true, &[], json!(["veilwarden"])),
        (false, &["veilwarden", api], json!(["veilwarden"])),
        (false, &[api], json!(null)),
        (false, &[], json!(null)),
    ] {
        let world = World::with(Play::Honest, |s| s.require_audience = required).await;
        world.ask(&for_audiences(audiences)).await.unwrap();
        assert_eq!(world.server.last().review["spec"]["audiences"], asked, "{required} {audiences:?}");
    }
}

#[tokio::test]
async fn h06_h09_h11_an_api_server_that_does_not_answer_is_503_within_the_deadline() {
    let code = |code| Play::Http(code, "x-played", "1".into(), Default::default());
    let faults = [
        (code(403), "rbac"),
        (code(401), "own_credentials"),
        (code(429), "api_server_busy"),
        (code(500), "api_server_error"),
        (Play::Hang, "timeout"),
        (Play::Trickle, "timeout"),
        (Play::CutOff, "network_error"),
        (Play::Flood(1 << 30), "unreadable"),
    ];
    for (play, label) in faults {
        let deadline = Duration::from_millis(if label == "timeout" { 300 } else { 20_000 });
        let world = World::with(play, |s| s.timeout = deadline).await;
        let asked = Instant::now();
        let error = world.ask(&token(1)).await.unwrap_err();
        assert_eq!((error.blame(), error.label()), (Blame::Unavailable, label), "{error}");
        assert!(error.retry_after().is_some());
        assert!(asked.elapsed() < deadline + Duration::from_secs(5), "{label}");
        assert_eq!(*world.reviews.lock().unwrap(), [Some(label)]);
    }
}

#[tokio::test]
async fn h09_the_log_says_rbac_once_what_to_grant_and_no_token_at_any_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    // With one subscriber alone, tracing asks the thread that meets a log line first whether anybody wants it, and another
    // test's thread says no for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let forbidden = Play::Http(403, "x-played", "1".into(), Default::default());
    let world = World::new(Play::Then(vec![forbidden.clone(), forbidden.clone(), forbidden, Play::Honest])).await;
    for n in 0..4 {
        let _ = world.ask(&token(n)).await;
    }
    drop(guard);
    let text = log.text();
    assert_eq!(text.matches("RBAC").count(), 1, "{text}");
    assert!(text.contains("`create` on `tokenreviews.authentication.k8s.io`"), "{text}");
    assert_eq!(text.matches("can be reviewed again").count(), 1, "{text}");
    assert!(text.contains("TRACE"), "{text}");
    let own = std::fs::read_to_string(&world.pod.settings.token_path).unwrap();
    for token in [own, token(0), token(3)] {
        assert!(!text.contains(&token) && !text.contains(token.split('.').nth(1).unwrap()), "{text}");
    }
}

#[tokio::test]
async fn h12_a_cached_identity_lives_to_its_ttl_without_the_api_server() {
    let mut world = World::with(Play::Honest, |s| s.cache_ttl = Duration::from_secs(3)).await;
    let known = token(1);
    world.ask(&known).await.unwrap();
    world.server.stop().await;
    assert!(world.ask(&known).await.is_ok());
    assert!(matches!(world.ask(&token(2)).await, Err(Error::Unavailable(Unavailable::Network(_)))));
    let until = Instant::now() + Duration::from_secs(10);
    while world.ask(&known).await.is_ok() {
        assert!(Instant::now() < until);
        tokio::task::yield_now().await;
    }
    assert!(matches!(world.ask(&known).await, Err(Error::Unavailable(_))));
    world.server.restart().await;
    assert!(world.ask(&known).await.is_ok());
}

#[tokio::test]
async fn h13_a_thousand_callers_with_one_new_token_are_one_review() {
    let world = World::new(Play::Honest).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let authn = world.authn.clone();
        callers.spawn(async move { authn.authenticate(Some(&bearer(&token(1))), PEER).await });
    }
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(world.server.calls(), 1);
}

#[tokio::test]
async fn h15_the_same_bad_token_ten_thousand_times_is_one_review() {
    let world = World::with(refused("no"), |s| s.negative_cache_ttl = Duration::from_secs(60)).await;
    for _ in 0..10_000 {
        assert!(matches!(world.ask(&token(1)).await, Err(Error::Refused(_))));
    }
    assert_eq!(world.server.calls(), 1);
}

#[tokio::test]
async fn h16_a_flood_of_bad_tokens_is_capped_and_a_good_workload_is_unaffected() {
    let world = World::with(refused("no"), |s| {
        s.max_reviews_per_second = NonZeroU32::new(50).unwrap();
        s.cache_ttl = Duration::ZERO;
    })
    .await;
    let good = mint_for("prod", "good");
    world.server.play(Play::Honest);
    world.ask(&good).await.unwrap();
    world.server.play(refused("no"));

    let began = Instant::now();
    let (mut throttled, mut refusals) = (0, 0);
    for n in 0..2000 {
        let peer = Source::from(IpAddr::from([10, 9, 9, (n % 4) as u8]));
        match world.from(&token(n), peer).await {
            Err(Error::Unavailable(Unavailable::Throttled)) => throttled += 1,
            Err(Error::Refused(_)) => refusals += 1,
            other => panic!("{other:?}"),
        }
    }
    let most = 40.0 + 40.0 * began.elapsed().as_secs_f64() + 1.0;
    assert!(f64::from(refusals) <= most, "{refusals} reviews, {most} at most");
    assert_eq!(world.server.calls(), refusals as usize + 1);
    assert!(throttled > 0);

    // The reserve holds ten; the flood has not touched it.
    world.server.play(Play::Honest);
    for _ in 0..10 {
        assert!(world.from(&good, IpAddr::from([10, 9, 9, 1]).into()).await.is_ok());
    }
}

#[tokio::test]
async fn h17_garbage_and_expired_tokens_never_reach_the_api_server() {
    let world = World::with(Play::Honest, |s| s.max_reviews_per_second = NonZeroU32::MIN).await;
    let good = token(1);
    let cases = [
        String::new(),
        "garbage".into(),
        "a.b".into(),
        "a.b.c.d".into(),
        "a.b.c.d.e".into(),
        format!("{good}="),
        good.replace('.', ""),
        format!("{good}{}", "A".repeat(16 * 1024)),
        mint(&json!({"sub": "system:serviceaccount:ns:sa", "exp": 1})),
        mint(&json!({"sub": "system:serviceaccount:ns:sa", "exp": "soon"})),
        mint(&json!({"sub": "system:serviceaccount:ns:sa", "nbf": in_an_hour()})),
    ];
    for case in cases {
        assert_eq!(world.ask(&case).await.unwrap_err().blame(), Blame::Rejected, "{case:.60}");
    }
    assert_eq!(world.server.calls(), 0);
    // None of them drew from the share either, which holds one.
    assert!(world.ask(&good).await.is_ok());
}

#[tokio::test]
async fn h18_each_token_has_its_own_identity() {
    let world = World::new(Play::Honest).await;
    for _ in 0..2 {
        for n in 0..20 {
            assert_eq!(world.workload(&token(n)).await.service_account, format!("sa-{n}"));
        }
    }
    assert_eq!(world.server.calls(), 20);
}

#[tokio::test]
async fn h20_a_deleted_pod_is_refused_within_the_ttl() {
    let ttl = Duration::from_millis(500);
    let world = World::with(Play::Honest, |s| s.cache_ttl = ttl).await;
    world.ask(&token(1)).await.unwrap();
    world.server.play(refused("pod has been deleted"));
    let deleted = Instant::now();
    while world.ask(&token(1)).await.is_ok() {
        assert!(deleted.elapsed() < ttl + Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    assert!(matches!(world.ask(&token(1)).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn h21_a_recreated_service_account_has_another_uid() {
    let world = World::new(Play::Honest).await;
    let review = json!({"spec": {"token": token(1), "audiences": ["veilwarden"]}});
    for uid in ["first", "second"] {
        let mut status = honest(&review);
        status["user"]["uid"] = json!(uid);
        world.server.play(Play::Status(status));
        let minted = mint(&json!({"sub": "system:serviceaccount:ns:sa-1", "aud": "veilwarden", "jti": uid}));
        assert_eq!(world.workload(&minted).await.service_account_uid.as_deref(), Some(uid));
    }
}

#[tokio::test]
async fn h22_a_token_ends_at_exp_whatever_the_ttl() {
    let world = World::with(Play::Honest, |s| s.cache_ttl = Duration::from_secs(60)).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let short = mint(&json!({"sub": "system:serviceaccount:ns:sa", "aud": "veilwarden", "exp": now + 3}));
    world.ask(&short).await.unwrap();
    let until = Instant::now() + Duration::from_secs(4);
    while world.ask(&short).await.is_ok() {
        assert!(Instant::now() < until);
        tokio::task::yield_now().await;
    }
    assert!(matches!(world.ask(&short).await, Err(Error::Expired)));
    assert_eq!(world.server.calls(), 1);
}

#[tokio::test]
async fn h24_no_call_fails_while_our_own_token_is_renewed() {
    let world = World::new(Play::Honest).await;
    let path = &world.pod.settings.token_path;
    world.ask(&token(0)).await.unwrap();
    let steps: [&dyn Fn(); 4] = [
        &|| std::fs::write(path, "").unwrap(),
        &|| std::fs::remove_file(path).unwrap(),
        &|| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        &|| {
            let next = path.with_extension("next");
            std::fs::write(&next, "renewed").unwrap();
            std::fs::rename(&next, path).unwrap();
        },
    ];
    for (n, step) in steps.iter().enumerate() {
        step();
        world.ask(&token(n + 1)).await.unwrap();
    }
    assert_eq!(world.server.last().authorization.unwrap(), "Bearer renewed");
}

#[tokio::test]
async fn h36_our_own_identity_is_refused_as_a_caller() {
    let world = World::new(Play::Honest).await;
    let error = world.ask(&mint_for("veilwarden", "veilwarden")).await.unwrap_err();
    assert!(matches!(error, Error::OwnIdentity), "{error}");
    assert_eq!(error.blame(), Blame::Rejected);
    assert!(world.ask(&mint_for("veilwarden", "other")).await.is_ok());
}

#[tokio::test]
async fn h37_no_credential_is_missing_authentication_whatever_is_configured() {
    let world = World::new(Play::Honest).await;
    let only_session = Authn::new(Some(session()), None);
    for authn in [&*world.authn, &only_session] {
        let error = authn.authenticate(None, PEER).await.unwrap_err();
        assert!(error.to_string().contains("missing authentication"), "{error}");
        assert_eq!(error.blame(), Blame::Missing);
        let error = authn.authenticate(Some(&secret("a wrong session secret")), PEER).await.unwrap_err();
        assert!(error.to_string().contains("invalid session secret"), "{error}");
    }
    assert_eq!(world.server.calls(), 0);
}

#[tokio::test]
async fn h38_without_a_session_secret_that_way_is_off() {
    let authn = Authn::new(None, None);
    for text in ["", SECRET] {
        let error = authn.authenticate(Some(&secret(text)), PEER).await.unwrap_err();
        assert_eq!(error.blame(), Blame::Rejected);
        assert!(error.to_string().contains("disabled"), "{error}");
    }
}

#[tokio::test]
async fn each_review_is_observed_and_a_cached_answer_is_none() {
    let world = World::new(Play::Then(vec![Play::Honest, refused("no")])).await;
    for n in [1, 1, 2, 2] {
        let _ = world.ask(&token(n)).await;
    }
    assert_eq!(*world.reviews.lock().unwrap(), [None, Some("invalid")]);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}
