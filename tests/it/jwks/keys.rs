//! Where the keys come from, and what happens when they change or do not come.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{accepts, api_server, refused, start, with};
use crate::world::keys::{ISSUER, signed, signed_with};
use crate::world::kubernetes::{Mode, claims};
use crate::world::recorder::{Down, Recorder, Step};
use crate::world::signer::Signer;
use crate::world::{PATIENCE, Started, World, within};

async fn readyz(world: &Started) -> u16 {
    world.send_to(world.admin, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await.status
}

#[tokio::test]
async fn h29_unknown_keys_are_401_and_cause_one_fetch() {
    let world = start("validate_method: jwks").await;
    world.assert_works("before").await;
    let signer = &api_server(&world).signer;
    let long = "k".repeat(10_000);
    let named = |header: Value| signed_with(signer, &header.to_string(), &claims(0).to_string());
    for (header, what) in [
        (json!({"alg": "ES256"}), "no kid"),
        (json!({"alg": "ES256", "kid": ""}), "an empty kid"),
        (json!({"alg": "ES256", "kid": null}), "null"),
        (json!({"alg": "ES256", "kid": 1}), "a number"),
        (json!({"alg": "ES256", "kid": "../../etc/passwd"}), "a path"),
        (json!({"alg": "ES256", "kid": "KEY-1"}), "another case"),
        (json!({"alg": "ES256", "kid": "key-1 "}), "a blank"),
        (json!({"alg": "ES256", "kid": long}), "10 kB"),
    ] {
        refused(&world, &named(header), what).await;
    }
    let huge = named(json!({"alg": "ES256", "kid": "k".repeat(1 << 20)}));
    assert!([0, 431].contains(&world.bearer(&huge).await.status), "1 MiB");
    for n in 0..200 {
        refused(&world, &named(json!({"alg": "ES256", "kid": format!("unknown-{n}")})), "unknown").await;
    }
    assert_eq!(api_server(&world).fetches(), 2, "one at the start, one for all of these");
    world.assert_works("after").await;
}

#[tokio::test]
async fn h34_without_keys_at_the_start_it_is_not_ready_and_heals_alone() {
    let down = Down::new();
    for method in ["jwks", "both"] {
        let options = format!("validate_method: {method}, api_server: \"http://{}\"", down.address);
        let world = World::new().await.kubernetes().await.kubernetes_options(&options).start().await;
        assert_eq!(readyz(&world).await, 503);
        let answer = world.send(world.ok("")).await;
        world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", method).await;
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        let head = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n";
        let session = world.send(format!("{head}X-Session-Secret: {}\r\n\r\n", world.session_secret())).await;
        assert_eq!(session.status, 200, "the session secret needs no keys: {session:?}");
        assert_eq!(world.sample("veilwarden_jwks_failing{cluster=\"default\"}").await, 1.0);
    }
    let options = format!("validate_method: jwks, api_server: \"http://{}\"", down.address);
    let world = World::new().await.kubernetes().await.kubernetes_options(&options).start().await;
    assert_eq!(readyz(&world).await, 503);
    let (up, documents) = (down.up(), api_server(&world).documents.clone());
    up.script(move |seen| documents.play(seen).unwrap());
    within("readiness", async { while readyz(&world).await != 200 {} }).await;
    world.assert_works("the keys are there").await;
    assert_eq!(world.sample("veilwarden_jwks_failing{cluster=\"default\"}").await, 0.0);
}

#[tokio::test]
async fn h34_the_last_good_keys_stay_while_the_endpoint_fails() {
    let elsewhere = Recorder::start().await;
    let moved = format!("HTTP/1.1 302 X\r\nLocation: http://{}/jwks\r\nContent-Length: 0\r\n\r\n", elsewhere.address);
    let flood = format!("{{\"keys\":[{}]}}", "{},".repeat(1 << 19));
    for (mode, label) in [
        (Mode::Raw(500, "{}".into()), "api_server_error"),
        (Mode::Raw(403, "{}".into()), "rbac"),
        (Mode::Raw(200, String::new()), "unreadable"),
        (Mode::Raw(200, "{\"keys\":[]}".into()), "unreadable"),
        (Mode::Raw(200, "<html>hello</html>".into()), "unreadable"),
        (Mode::Raw(200, flood), "unreadable"),
        (Mode::Play(vec![Step::Send(moved.into_bytes())]), "api_server_error"),
        (Mode::Close, "network_error"),
    ] {
        let world = start("validate_method: jwks, cache_ttl: 1ms, issuer: \"https://played.test\"").await;
        world.assert_works("before").await;
        let api = api_server(&world);
        api.documents.mode(mode);
        // An unknown key is the only thing that makes it fetch now, and nobody can say whether it is a new one.
        let answer = world.bearer(&signed(&Signer::p256("new"), &claims(0))).await;
        world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", label).await;
        world.assert_works(label).await;
        assert_eq!(readyz(&world).await, 200, "{label}");
        let failed = format!("veilwarden_jwks_fetches_total{{cluster=\"default\",result=\"{label}\"}}");
        assert_eq!(world.sample(&failed).await, 1.0, "{failed}\n{}", world.metrics().await);
        assert_eq!(world.sample("veilwarden_jwks_failing{cluster=\"default\"}").await, 1.0);
        assert!(world.sample("veilwarden_jwks_last_success_timestamp_seconds{cluster=\"default\"}").await > 1e9);
    }
    assert_eq!(elsewhere.connections(), 0, "a redirect was followed");
}

#[tokio::test]
async fn h34_an_endpoint_that_hangs_costs_a_call_its_timeout() {
    let world = World::new().await.kubernetes().await;
    world.kubernetes.as_ref().unwrap().documents.mode(Mode::Hang);
    let world = world.kubernetes_options("validate_method: jwks, timeout: 300ms").start().await;
    let asked = Instant::now();
    let answer = world.send(world.ok("")).await;
    world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "silence").await;
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
    api_server(&world).documents.mode(Mode::Normal);
    within("readiness", async { while readyz(&world).await != 200 {} }).await;
    world.assert_works("the keys are there").await;
}

#[tokio::test]
async fn h35_a_new_key_is_accepted_after_one_fetch() {
    let world = start("validate_method: jwks").await;
    world.assert_works("the old key").await;
    let (api, new) = (api_server(&world), Signer::rsa("key-2"));
    api.documents.publish(&[&api.signer, &new]);
    let used = Instant::now();
    accepts(&world, &signed(&new, &claims(0)), "the new key").await;
    let took = used.elapsed();
    assert_eq!(api.fetches(), 2);
    assert!(took < Duration::from_secs(1), "{took:?}");
    world.assert_works("the old key, too").await;
    assert_eq!(api.fetches(), 2);
}

#[tokio::test]
async fn a_configured_issuer_needs_no_discovery() {
    let world = World::new().await.kubernetes().await;
    world.kubernetes.as_ref().unwrap().documents.issuer("https://first.test");
    let options = format!("validate_method: jwks, issuer: \"{ISSUER}\"");
    let world = world.kubernetes_options(&options).start().await;
    world.assert_works("the configured issuer").await;
    let asked: Vec<_> = api_server(&world).recorder.seen().iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(asked, ["/openid/v1/jwks"]);

    let world = World::new().await.kubernetes().await;
    world.kubernetes.as_ref().unwrap().documents.issuer("https://first.test");
    let world = world.kubernetes_options("validate_method: jwks").start().await;
    refused(&world, &api_server(&world).token, "another issuer is discovered").await;
    accepts(&world, &api_server(&world).sign(&with("/iss", json!("https://first.test"))), "the discovered one").await;
}
