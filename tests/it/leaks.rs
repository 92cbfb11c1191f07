//! Section N of the hostile cases: every family of scenarios with secrets of its own, and then a search for each of
//! them, in many forms, in everything that the proxy wrote, and for credentials in everything that an upstream got.

mod exec;
mod process;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use veilwarden::BoxFuture;
use veilwarden::audit::{Record, Trail};
use veilwarden::authn::session::{Session, SessionSecret};
use veilwarden::authn::{Authn, Source, User};
use veilwarden::config::{AuditOutput, AuditSettings, Config, Overrides, WhenFull};
use veilwarden::metrics::Metrics;
use veilwarden::policy::Off;
use veilwarden::route::Routes;
use veilwarden::secrets::{self, Secret, SecretStore};
use veilwarden::stages::{Arrival, Connection, Received, Rules};

use crate::world::canary::{Canary, assert_absent};
use crate::world::doppler::{self, Mode as Stored};
use crate::world::kubernetes::{self, Mode, token};
use crate::world::process::file;
use crate::world::raw::Answer;
use crate::world::recorder::{OK, Recorder, Step};
use crate::world::tls::Authority;
use crate::world::{Started, World, logs, until, within};

const POLICY: &str = r#"package veilwarden.authz
import rego.v1
default allow := false
allow if { print("policy print", input); startswith(input.path, "/allowed") }
allow := [1 | input.path][0] if input.path == "/error"
deny_reason := "only /allowed is allowed" if not startswith(input.path, "/allowed")
"#;

/// A world with every kind of secret, a policy that prints its input, and a name for each secret.
struct Stage {
    world: World,
    canaries: Canaries,
    tls: Recorder,
}

/// What must not be found: `secrets` in what we write, `credentials` neither there nor in what an upstream gets.
struct Canaries {
    secrets: Vec<Canary>,
    credentials: Vec<Canary>,
    good: String,
    refused: String,
    expired: String,
    wrong_session: String,
    stored: Vec<(&'static str, String)>,
    /// One for each fault of the API server, because its refusals are remembered.
    judged: Vec<String>,
}

impl Canaries {
    fn all(&self) -> Vec<Canary> {
        [&self.secrets[..], &self.credentials].concat()
    }
}

/// `log` is how the log is written.
async fn stage(tag: &str, log: &str) -> Stage {
    let (world, tls, authority) = (World::new().await, Recorder::start().await, Authority::new());
    let front = authority.front("tls.test", tls.address).await;
    let ca = authority.file(world.directory.path());
    let filed = format!("filed/{tag}?\"quoted\"\\=filed");
    let over_tls = format!("over+{tag}/tls==tls");
    let file = file(world.directory.path(), "secret", &filed);
    let address = front.address;
    let world = world
        .kubernetes()
        .await
        .kubernetes_options("cache_ttl: 1ms, negative_cache_ttl: 1ms, max_reviews_per_second: 10000")
        .doppler()
        .await
        .store_options("cache_ttl: 10m")
        .rego(POLICY)
        .config(&format!("log: {{level: trace, format: {log}}}"))
        .secret(&format!("{{id: OVER_TLS, value: \"{over_tls}\"}}"))
        .secret(&format!("{{id: FILED, file: \"{file}\"}}"))
        .route(&format!("{{upstream_host: tls.test, upstream_address: \"{address}\", ca_file: \"{}\", secret_id: OVER_TLS, inject_header: X-Key, header_value_template: \"key={{{{secret}}}};\"}}", ca.display()))
        .route_to_a("filed.test", "FILED");
    let a = world.a.address;
    let world = world.route(&format!("{{upstream_host: blocked.test, upstream_scheme: http, upstream_address: \"{a}\", redact: block, secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"));
    let stored: Vec<(&str, String)> =
        ["STORED_0", "STORED_1", "STORED_2", "STORED_3", "STORED_4", "STORED_5", "STORED_6", "STORED_7"]
            .into_iter()
            .map(|name| (name, format!("{name}-{tag}-7f3a9c")))
            .collect();
    let world = stored.iter().fold(world, |world, (name, _)| world.route_to_a(&host_of(name), name));
    let world = ways::opened(world);
    let canaries = canaries(&world, tag, stored, &[("FILED", &filed), ("OVER_TLS", &over_tls)]);
    Stage { world, canaries, tls }
}

fn host_of(secret_id: &str) -> String {
    format!("{}.test", secret_id.to_ascii_lowercase().replace('_', "-"))
}

/// The secret part of a token. Whatever holds the whole of it, in any form, holds this in the same form.
fn signature(token: &str) -> &str {
    token.rsplit('.').next().unwrap()
}

/// Faults of the API server that are played.
const FAULTS: usize = 11;

fn canaries(world: &World, tag: &str, stored: Vec<(&'static str, String)>, more: &[(&str, &String)]) -> Canaries {
    let (kubernetes, doppler) = (world.kubernetes.as_ref().unwrap(), world.doppler.as_ref().unwrap());
    let good = kubernetes.token.clone();
    let refused = token(&format!("refused-{tag}"), "veilwarden", 3600);
    let expired = token(&format!("expired-{tag}"), "veilwarden", -60);
    let wrong_session = format!("wrong-session-{tag}-secret");
    let mut secrets = vec![
        Canary::new("KEY_A", &world.canary_a()),
        Canary::new("KEY_B", &world.canary_b()),
        Canary::new("the Doppler token", &doppler.token),
        Canary::new("our own token", signature(&kubernetes.own_token)),
    ];
    secrets.extend(stored.iter().map(|(name, value)| Canary::new(name, value)));
    secrets.extend(more.iter().map(|(name, value)| Canary::new(name, value)));
    let session = world.session_secret();
    let mut credentials = vec![Canary::new("the session secret", &session), Canary::new("a wrong one", &wrong_session)];
    let judged: Vec<String> = (0..FAULTS).map(|n| token(&format!("judged-{n}-{tag}"), "veilwarden", 3600)).collect();
    let tokens = [("the good token", &good), ("the refused token", &refused), ("the expired token", &expired)];
    for (name, token) in tokens.into_iter().chain(judged.iter().map(|token| ("a token of a failing API server", token)))
    {
        credentials.push(Canary::new(name, signature(token)));
    }
    Canaries { secrets, credentials, good, refused, expired, wrong_session, stored, judged }
}

/// What came of a walk.
#[derive(Default)]
struct Walk {
    answers: Vec<Answer>,
}

impl Walk {
    async fn call(&mut self, world: &Started, host: &str, target: &str, fields: &str) -> u16 {
        let head = format!("GET {target} HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: {host}\r\n");
        self.send(world, format!("{head}{fields}\r\n")).await
    }

    async fn send(&mut self, world: &Started, bytes: impl AsRef<[u8]>) -> u16 {
        let answer = world.send(bytes).await;
        let status = answer.status;
        self.answers.push(answer);
        status
    }

    /// All answers, whole.
    fn all(&self) -> String {
        self.answers.iter().map(|answer| format!("{:?}\n{}\n", answer.fields, answer.text())).collect()
    }

    /// Our own answers, whole.
    fn own(&self) -> String {
        let own = self.answers.iter().filter(|answer| answer.header("x-veilwarden-error").is_some());
        own.map(|answer| format!("{:?}\n{}\n", answer.fields, answer.text())).collect()
    }
}

/// All families: allowed calls, each kind of refusal, stores, upstreams and an API server that fail and reflect.
async fn walk(world: &Started, c: &Canaries) -> Walk {
    let mut walk = Walk::default();
    allowed(&mut walk, world, c).await;
    refused(&mut walk, world, c).await;
    stores(&mut walk, world, c).await;
    upstreams(&mut walk, world, c).await;
    api_servers(&mut walk, world, c).await;
    ways::walk(&mut walk, world, c).await;
    walk
}

async fn allowed(walk: &mut Walk, world: &Started, c: &Canaries) {
    let (bearer, session) = (format!("Authorization: Bearer {}\r\n", c.good), world.session_secret());
    for (name, value) in &c.stored {
        world.doppler.as_ref().unwrap().set(name, value);
    }
    for host in ["a.test", "b.test", "tls.test", "filed.test", &host_of("STORED_0")] {
        assert_eq!(walk.call(world, host, "/allowed", &bearer).await, 200, "{host}");
    }
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("x:{}", c.good));
    for slot in [
        format!("X-Session-Secret: {session}\r\n"),
        format!("Proxy-Authorization: Bearer {}\r\n", c.good),
        format!("Proxy-Authorization: Basic {basic}\r\n"),
        format!("X-Veilwarden-Token: {}\r\n", c.good),
        format!("X-Veilwarden-Token: {session}\r\nAuthorization: Basic Zm9vOmJhcg==\r\n"),
        format!("{bearer}X-Session-Secret: {session}\r\nCookie: t={}\r\nX-Custom: {}\r\n", c.good, c.good),
    ] {
        assert_eq!(walk.call(world, "a.test", "/allowed", &slot).await, 200, "{slot}");
    }
}

async fn refused(walk: &mut Walk, world: &Started, c: &Canaries) {
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let (good, session) = (bearer(&c.good), world.session_secret());
    let with = |slot: String| format!("{slot}X-Agent-Id: {0}\r\nX-Request-Id: {0}\r\n", &session);
    for (host, target, fields, status) in [
        ("a.test", "/allowed", String::new(), 401),
        ("a.test", "/allowed", format!("X-Session-Secret: {}\r\n", c.wrong_session), 401),
        ("a.test", "/allowed", format!("X-Session-Secret: {}\u{e4}\r\n", session), 401),
        ("a.test", "/allowed", bearer(&c.refused), 401),
        ("a.test", "/allowed", bearer(&c.expired), 401),
        ("a.test", "/allowed", bearer(&c.wrong_session), 401),
        ("a.test", "/allowed", bearer(&format!("{}.{}", c.good, c.good)), 401),
        ("a.test", "/allowed", format!("Authorization: Bearer  {}\r\n", c.good), 401),
        ("a.test", "/allowed", format!("{good}Authorization: Bearer {}\r\n", c.refused), 400),
        ("a.test", "/allowed", format!("{good}X-Bad : {}\r\n", c.good), 400),
        ("a.test", "/denied", good.clone(), 403),
        ("a.test", "/error", good.clone(), 500),
        ("a.test", "/allowed/../denied", good.clone(), 400),
        ("nowhere.test", "/allowed", good.clone(), 403),
        (&*session, "/allowed", with(format!("X-Session-Secret: {session}\r\n")), 400),
        ("a.test", "/denied", with(format!("X-Session-Secret: {session}\r\n")), 403),
        ("a.test", "/allowed", format!("{good}Via: 1.1 veilwarden\r\n"), 508),
    ] {
        assert_eq!(walk.call(world, host, target, &fields).await, status, "{host} {target}");
    }
    // In the target: the token, and percent-encoded in the path.
    for target in [format!("/allowed/{}", c.good), format!("/allowed?t={}", c.good), format!("/denied?t={}", c.good)] {
        assert_eq!(walk.call(world, "a.test", &target, &good).await, 400);
    }
    let encoded = session.replace("session", "%73ession");
    let slot = format!("X-Session-Secret: {session}\r\n");
    assert_eq!(walk.call(world, "a.test", &format!("/allowed/{encoded}"), &slot).await, 400);
    assert_eq!(walk.send(world, format!("TRACE /allowed HTTP/1.1\r\nHost: p\r\n{good}\r\n")).await, 405);
    assert_eq!(walk.send(world, format!("GET /allowed HTTP/1.1\r\n{good}\r\n")).await, 400);
    assert_eq!(walk.send(world, format!("GET /allowed HTTP/1.1\nHost: p\n{good}\n")).await, 400);
}

async fn stores(walk: &mut Walk, world: &Started, c: &Canaries) {
    let store = world.doppler.as_ref().unwrap();
    let good = format!("Authorization: Bearer {}\r\n", c.good);
    let says = |status: u16, words: String| {
        let body = json!({"messages": [words], "success": false}).to_string();
        vec![Step::Send(doppler::http(status, "", &body))]
    };
    let value = |n: usize| c.stored[n].1.clone();
    for (n, steps) in [
        (1, says(500, format!("your token {} is odd", store.token))),
        (2, says(403, format!("your token {} is odd", store.token))),
        (3, vec![Step::Send(doppler::secret("STORED_3", &format!("{}\r\nX-A: b", value(3))))]),
        (4, vec![Step::Send(doppler::http(200, "", &format!("{{\"value\":\"{}\"", value(4))))]),
        (5, vec![Step::Send(doppler::http(302, &format!("Location: /{}\r\n", value(5)), ""))]),
        (6, vec![Step::Send(format!("HTTP/1.1 200 {}\x01\r\n\r\n", value(6)).into_bytes()), Step::Close]),
        (7, vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{".to_vec()), Step::Close]),
    ] {
        store.mode(Stored::Play(steps));
        assert_eq!(walk.call(world, &host_of(c.stored[n].0), "/allowed", &good).await, 502, "{n}");
    }
    store.mode(Stored::Normal);
    files(walk, world, &good).await;
}

/// A file that no longer holds a value, and then is gone. The last good value lives on.
async fn files(walk: &mut Walk, world: &Started, good: &str) {
    let path = world.directory.path().join("secret");
    let value = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{value}\u{1}")).unwrap();
    for result in ["invalid_value", "unavailable"] {
        let failed = format!("veilwarden_secret_fetches_total{{store=\"file\",result=\"{result}\"}}");
        within(result, async {
            while world.sample(&failed).await == 0.0 {
                assert_eq!(walk.call(world, "filed.test", "/allowed", good).await, 200);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let _ = std::fs::remove_file(&path);
    }
}

async fn upstreams(walk: &mut Walk, world: &Started, c: &Canaries) {
    let good = format!("Authorization: Bearer {}\r\n", c.good);
    type Reflect = fn(&str) -> Vec<Step>;
    let faults: [(Reflect, u16); 8] = [
        (|secret| vec![Step::Send(format!("HTTP/1.1 200 {secret}\x01\r\n\r\n").into_bytes()), Step::Close], 502),
        (|secret| vec![Step::Send(format!("HTTP/1.1 200 OK\r\nX-A: {secret}\x00\r\n\r\n").into_bytes())], 502),
        (|secret| vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{secret}\r\n\r\n").into_bytes())], 502),
        (|secret| vec![Step::Send(format!("{secret}\r\n\r\n").into_bytes()), Step::Close], 502),
        (
            |secret| vec![Step::Send(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {secret}\r\n\r\n").into_bytes())],
            502,
        ),
        (|secret| vec![Step::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {secret}\r\n\r\n").into_bytes())], 502),
        (
            |secret| {
                vec![Step::Send(
                    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n").into_bytes(),
                )]
            },
            200,
        ),
        (|_| vec![Step::Reset], 502),
    ];
    for (reflect, status) in faults {
        world.a.script(move |seen| reflect(seen.header("authorization").unwrap_or_default()));
        let got = walk.call(world, "a.test", "/allowed", &good).await;
        assert!(got == status || (status, got) == (200, 0), "{got}");
    }
    // A whole answer that reflects, and one that is refused for it.
    world.a.script(|seen| {
        let secret = seen.header("authorization").or(seen.header("x-key")).unwrap_or_default();
        let head = format!("HTTP/1.1 200 OK\r\nX-Echo: {secret}\r\nX-Request-Id: {}\r\n", secret.replace(' ', "-"));
        vec![Step::Send(format!("{head}Content-Length: {}\r\n\r\n{}", seen.head.len(), seen.head).into_bytes())]
    });
    for (host, status) in [("a.test", 200), ("filed.test", 200), ("blocked.test", 502)] {
        assert_eq!(walk.call(world, host, "/allowed", &good).await, status, "{host}");
    }
    world.a.answer(OK);
}

async fn api_servers(walk: &mut Walk, world: &Started, c: &Canaries) {
    type Fault = fn(&str) -> Mode;
    let server = world.kubernetes.as_ref().unwrap();
    fn status(value: Value) -> Mode {
        Mode::Raw(201, kubernetes::review_with(value).to_string())
    }
    fn failure(code: u16, echo: &str) -> Mode {
        Mode::Raw(code, json!({"kind": "Status", "message": echo, "reason": echo}).to_string())
    }
    let faults: [(Fault, u16); FAULTS] = [
        (|echo| status(json!({"authenticated": false, "error": echo})), 401),
        (|echo| status(kubernetes::accepted(echo)), 401),
        (|echo| status(kubernetes::accepted(&format!("system:serviceaccount:prod:{echo}"))), 401),
        (
            |echo| {
                status(
                    json!({"authenticated": true, "audiences": [echo], "user": {"username": "system:serviceaccount:a:b"}}),
                )
            },
            401,
        ),
        (|echo| failure(401, echo), 503),
        (|echo| failure(403, echo), 503),
        (|echo| failure(500, echo), 503),
        (|echo| Mode::Raw(201, format!("<html>{echo}</html>")), 503),
        (|echo| Mode::Raw(201, format!("{{\"status\": {{\"authenticated\": \"{echo}\"}}}}")), 503),
        (
            |echo| Mode::Play(vec![Step::Send(format!("HTTP/1.1 201 {echo}\x01\r\n\r\n").into_bytes()), Step::Close]),
            503,
        ),
        (|_| Mode::Close, 503),
    ];
    for ((fault, expected), token) in faults.into_iter().zip(&c.judged) {
        server.mode(fault(&format!("token {token} seen by {}", server.own_token)));
        let bearer = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(walk.call(world, "a.test", "/allowed", &bearer).await, expected);
    }
    server.mode(Mode::Normal);
}

/// Searches all that the proxy wrote and all that it sent. `log`: what it logged.
async fn search(world: &Started, canaries: &Canaries, walk: &Walk, tls: &Recorder, log: &str) {
    let all = canaries.all();
    until("a record of every call", || world.audit().len() >= walk.answers.len()).await;
    let audit = std::fs::read(world.directory.path().join("audit.jsonl")).unwrap();
    assert_absent(&all, &audit, "the audit trail");
    assert_absent(&all, log, "the log");
    assert_absent(&all, world.metrics().await, "the metrics");
    for path in ["/healthz", "/livez", "/readyz", "/debug", "/config"] {
        let answer = world.send_to(world.admin, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_absent(&all, format!("{answer:?}"), path);
    }
    let own = walk.own();
    assert!(own.len() > 1000, "no answers of our own: {own}");
    assert_absent(&all, &own, "an answer of our own");
    assert_absent(&canaries.secrets, walk.all(), "an answer");

    // I4: a caller's credential goes to no upstream and no store.
    let store = &world.doppler.as_ref().unwrap().recorder;
    for (recorder, place) in
        [(&world.a, "what a.test got"), (&world.b, "what b.test got"), (tls, "what tls.test got"), (store, "the store")]
    {
        assert!(recorder.bytes() > 0, "{place}: nothing was sent there");
        assert_absent(&canaries.credentials, recorder.everything(), place);
    }
    // What is for one is for no other.
    let named = |names: &[&str]| -> Vec<Canary> {
        canaries.secrets.iter().filter(|canary| !names.contains(&canary.name.as_str())).cloned().collect()
    };
    assert_absent(&named(&["KEY_B"]), world.b.everything(), "what b.test got");
    assert_absent(&named(&["OVER_TLS"]), tls.everything(), "what tls.test got");
    assert_absent(&named(&["the Doppler token"]), store.everything(), "what the store got");
    let server = &world.kubernetes.as_ref().unwrap().recorder;
    assert_absent(&named(&["our own token"]), server.everything(), "what the API server got");
    assert!(KEY_A_IS_SENT.iter().all(|(name, recorder)| {
        let canary = canaries.secrets.iter().find(|canary| canary.name == *name).unwrap();
        canary.found_in(&recorder(world, tls).everything()).is_some()
    }));
}

type Reach = fn(&Started, &Recorder) -> Recorder;
/// The search finds what is there: each of these secrets did reach its upstream.
const KEY_A_IS_SENT: [(&str, Reach); 5] = [
    ("KEY_A", |world, _| world.a.clone()),
    ("KEY_B", |world, _| world.b.clone()),
    ("FILED", |world, _| world.a.clone()),
    ("STORED_0", |world, _| world.a.clone()),
    ("OVER_TLS", |_, tls| tls.clone()),
];

#[tokio::test]
async fn n01_n02_no_secret_is_in_anything_that_the_proxy_writes() {
    let Stage { world, canaries, tls } = stage("in-process", "json").await;
    let world = world.start().await;
    let walk = walk(&world, &canaries).await;
    let log = logs::all();
    for word in [
        "call refused",
        "call failed",
        "policy print",
        "answer broken off",
        "secret_reflected",
        "a secret could not be fetched",
    ] {
        assert!(log.contains(word), "the log says nothing like {word:?}");
    }
    search(&world, &canaries, &walk, &tls, &log).await;
    check_bodies(&world, &walk);
}

#[tokio::test]
async fn n01_nor_in_what_the_binary_writes_at_trace() {
    let Stage { world, canaries, tls } = stage("as-binary", "json").await;
    let (world, mut process) = world.spawn().await;
    let walk = walk(&world, &canaries).await;
    search(&world, &canaries, &walk, &tls, &process.stderr()).await;
    process.signal(rustix::process::Signal::TERM);
    process.end().await;
    assert_absent(&canaries.all(), format!("{}\n{}", process.stderr(), process.stdout()), "the log at the end");
    assert!(process.stderr().contains("policy print"), "it does not log at trace: {}", process.stderr());
}

/// N02: every body of ours is one of a fixed table; nothing that belongs to this machine or to others is in it.
fn check_bodies(world: &Started, walk: &Walk) {
    let mut seen = std::collections::BTreeMap::new();
    for answer in walk.answers.iter().filter(|answer| answer.header("x-veilwarden-error").is_some()) {
        let body = answer.json();
        let mut fields: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert!(fields == ["error", "hint", "message", "request_id"] || fields == ["error", "message", "request_id"]);
        let text = body["message"].clone();
        let before = seen.insert(answer.code(), text.clone());
        assert!(before.is_none_or(|before| before == text), "{}: two texts for one code", answer.code());
        let directory = world.directory.path().to_str().unwrap();
        for internal in
            ["127.0.0.1", directory, "STORED", "KEY_", "doppler", "odd", "seen by", env!("CARGO_PKG_VERSION")]
        {
            assert!(!answer.text().contains(internal), "{internal:?} is in {}", answer.text());
        }
    }
    let codes: Vec<&str> = seen.keys().map(String::as_str).collect();
    for code in [
        "AUTH_UNAVAILABLE",
        "BAD_REQUEST",
        "HOST_NOT_ALLOWED",
        "INVALID_PATH",
        "INVALID_TOKEN",
        "LOOP_DETECTED",
        "METHOD_NOT_ALLOWED",
        "POLICY_DENIED",
        "POLICY_ERROR",
        "SECRET_ERROR",
        "SECRET_REFLECTED",
        "TOKEN_EXPIRED",
        "UNAUTHORIZED",
        "UPSTREAM_ERROR",
    ] {
        assert!(codes.contains(&code), "{code} did not occur: {codes:?}");
    }
}

/// A store with one secret.
struct Fixed(String);

impl SecretStore for Fixed {
    fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Secret, secrets::Error>> {
        Box::pin(std::future::ready(Secret::new(self.0.clone())))
    }
}

#[tokio::test]
async fn n03_no_type_shows_a_secret_in_its_debug_output() {
    let Stage { world, canaries, .. } = stage("debug", "json").await;
    let config: Config = world.parsed();
    let overrides = Overrides {
        session_secret: Some(world.session_secret().into()),
        doppler_token: Some(world.doppler.as_ref().unwrap().token.clone().into()),
        ..Overrides::default()
    };
    let mut shown = vec![format!("{config:?} {config:#?}"), format!("{overrides:?}")];
    let secret = Secret::new(world.canary_a()).unwrap();
    shown.push(format!("{secret:?} {:?}", canaries.good.parse::<http::HeaderValue>().is_ok()));

    let metrics = Arc::new(Metrics::default());
    let off = AuditSettings { output: AuditOutput::Off, when_full: WhenFull::Drop };
    let (trail, _writer) = Trail::open(&off).unwrap();
    let place = trail.reserve().unwrap();
    let peer = Source::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let mut record = Record::new(trail, place, metrics.clone(), peer);
    let rules = Rules { routes: Routes::compile(config.routes.clone()).unwrap(), policy: Box::new(Off) };
    let session = SessionSecret::new(config.session_secret.as_ref().unwrap()).unwrap();
    let authn = Authn::new(Some(Session::new(session, User::default())), None);
    let request = Request::get("/allowed?a=b")
        .header("host", "p")
        .header("x-upstream-host", "a.test")
        .header("x-session-secret", world.session_secret())
        .header("x-veilwarden-other", &canaries.good)
        .header("cookie", format!("t={}", world.session_secret()))
        .header("x-agent-id", world.session_secret());
    let (parts, body) = request.body(()).unwrap().into_parts();
    let connection = Connection::from(peer);
    let arrival = Arrival { connection: &connection, kubernetes: false, routes: &rules.routes };
    let received = Received::parse(parts, body, arrival, &mut record).unwrap();
    shown.push(format!("{received:?}"));
    let authenticated = received.authenticate(&authn, &metrics, &mut record).await.unwrap();
    shown.push(format!("{authenticated:?}"));
    let authorized = authenticated.authorize(&rules, &metrics, &mut record).await.unwrap();
    shown.push(format!("{authorized:?}"));
    let prepared = authorized.prepare(&Fixed(world.canary_a())).await.unwrap();
    shown.push(format!("{prepared:?}"));
    shown.push(format!("{record:?}"));
    for text in &shown {
        assert!(text.len() > 10, "{text}");
        assert_absent(&canaries.all(), text, "a Debug output");
    }
}

#[test]
fn n03_a_broken_configuration_is_told_about_without_its_secrets() {
    let secret = "canary-in-the-file-5d1e";
    let canary = [Canary::new("a secret in the file", secret)];
    let rest = "routes: [{upstream_host: a.test}]\npolicy: {default_allow: true}\n";
    let environment =
        |name: &str| (name == "VEILWARDEN_SESSION_SECRET").then(|| "a-session-secret-for-tests".to_owned());
    for secrets in [
        format!("secrets: [{{id: KEY, value: \"{secret}\\n\\nx\"}}]"),
        format!("secrets: [{{id: KEY, value: \"{secret}\\0\"}}]"),
        format!("secrets: [{{id: KEY, value: [{secret}]}}]"),
        format!("secrets: [{{id: KEY, value: {{a: {secret}}}}}]"),
        format!("secrets: [{{id: KEY, value: {secret}, value: {secret}}}]"),
        format!("secrets: [{{id: KEY, value: {secret}, env: {secret}}}]"),
        format!("secrets: [{{id: KEY, valeu: {secret}}}]"),
        format!("secrets: {secret}"),
        format!("secrets: [{secret}]"),
        format!("secrets: {{KEY: {secret}}}"),
        format!("secrets: [{{id: KEY, value: {secret}"),
        format!("secrets: [{{id: KEY, value: \"{secret}}}]"),
        format!("secrets:\n  - id: KEY\n    value: {secret}: {secret}"),
        format!("secrets:\n  - id: KEY\n    value: *{secret}"),
        format!("secrets:\n  - id: KEY\n  value: {secret}\n - x"),
        format!("session_secret: {secret}"),
    ] {
        let text = format!("{secrets}\n{rest}");
        let said = Config::parse(&text, "v.yaml".as_ref(), &Overrides::default(), &environment).expect_err(&secrets);
        assert_absent(&canary, format!("{said} {said:?}"), &format!("what is said about\n{secrets}\n"));
    }
}

#[tokio::test]
async fn n05_metrics_and_pages_name_no_more_than_routes() {
    let options = "max_reviews_per_second: 10000";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).start().await;
    let lines = async || {
        world.assert_works("a call").await;
        let metrics = world.metrics().await;
        metrics
            .lines()
            .filter(|line| line.starts_with("veilwarden_"))
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for method in ["GET", "N05METHOD0"] {
        world.send(world.request_to("n05-host.test", method, "/x", "")).await;
        world.send(world.request_to("a.test", method, "/x", "")).await;
    }
    world.bearer(&token("n05", "veilwarden", 600)).await;
    let before = lines().await;
    for n in 0..50 {
        world.send(world.request_to(&format!("n05-host-{n}.test"), "GET", &format!("/n05-path-{n}"), "")).await;
        let fields = format!("X-Agent-Id: n05-agent-{n}\r\nX-Request-Id: n05-id-{n}\r\n");
        world.send(world.request("GET", &format!("/n05-path-{n}"), &fields)).await;
        world.send(world.request(&format!("N05METHOD{n}"), "/x", "")).await;
        world.bearer(&token(&format!("n05-{n}"), "veilwarden", 600)).await;
    }
    let after = lines().await;
    let grown: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(grown.is_empty(), "callers make samples: {grown:#?}");
    let metrics = world.metrics().await;
    for word in ["n05", "N05", "prod", "api-1", "alice", "KEY_A"] {
        assert!(!metrics.contains(word), "{word} is in the metrics");
    }
    for path in ["/", "/debug", "/debug/pprof", "/config", "/status", "/metrics/x", "/%2e%2e/"] {
        let answer = world.send_to(world.admin, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

/// What terminals and editors obey: control characters, and those that turn the direction of text.
fn is_plain(text: &str) -> bool {
    let bidi = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t' || bidi(c) || matches!(c, '\u{2028}' | '\u{2029}'))
}

const NASTY: &str = "n06\u{1b}[31m\u{202e}red\u{7}\r\n{\"a\":\"b\"}\u{2028}\u{9b}0m\u{0}";

/// Calls that carry nasty text to every place that is logged or recorded.
async fn say_nasty_things(world: &Started) {
    let store = world.doppler.as_ref().unwrap();
    store.answers(500, "", &json!({"messages": [NASTY], "success": false}).to_string());
    assert_eq!(world.send(world.request_to("stored-0.test", "GET", "/allowed", "")).await.status, 502);
    let server = world.kubernetes.as_ref().unwrap();
    server.mode(Mode::Raw(201, kubernetes::review_with(json!({"authenticated": false, "error": NASTY})).to_string()));
    assert_eq!(world.bearer(&token("n06", "veilwarden", 600)).await.status, 401);
    server.mode(Mode::Raw(500, json!({"kind": "Status", "message": NASTY, "reason": NASTY}).to_string()));
    assert_eq!(world.bearer(&token("n06-b", "veilwarden", 600)).await.status, 503);
    server.mode(Mode::Normal);
    world.a.answer(format!("HTTP/1.1 200 {NASTY}\r\n\r\n"));
    assert_eq!(world.send(world.request("GET", "/allowed", "")).await.status, 502);
    world.a.answer(OK);
    for field in ["User-Agent", "X-Agent-Id", "X-Request-Id", "X-Upstream-Host", "Cookie"] {
        for value in ["n06\u{202e}\u{2028}x", "n06\u{1b}[31m", "n06\",\"decision\":\"allow", "n06\\u001b"] {
            world.send(world.request("GET", "/allowed", &format!("{field}: {value}\r\n"))).await;
        }
    }
    for target in ["/allowed/%1b%5b31m", "/allowed/%e2%80%ae", "/allowed/\u{202e}", "/denied?%1b=\u{1b}"] {
        world.send(world.request("GET", target, "")).await;
    }
}

#[tokio::test]
async fn n06_what_is_logged_is_plain_text_whatever_others_say() {
    for format in ["json", "text"] {
        let Stage { world, .. } = stage(&format!("n06-{format}"), format).await;
        let (world, mut process) = world.spawn().await;
        say_nasty_things(&world).await;
        process.signal(rustix::process::Signal::TERM);
        process.end().await;
        let (log, audit) =
            (process.stderr(), std::fs::read_to_string(world.directory.path().join("audit.jsonl")).unwrap());
        assert!(log.contains("n06"), "{log}");
        for line in log.lines().chain(audit.lines()) {
            assert!(is_plain(line), "{line:?}");
        }
        if format == "json" {
            assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
        }
        // Each record is one line, and says what happened, not what somebody wrote into it.
        assert!(world.audit().len() >= 28, "{}", world.audit().len());
    }
}
