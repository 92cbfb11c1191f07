//! Rows N01 and N02: the walk, and a search of all that came of it.

use super::stage::{Canaries, Stage, stage};
use super::walk::{Walk, walk};
use crate::world::canary::{Canary, assert_absent};
use crate::world::recorder::Recorder;
use crate::world::{Started, logs, until};

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
