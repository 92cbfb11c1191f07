//! An API server that fails, hangs, or is not the one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Semaphore;

use super::{api_server, forgetful, logged, says};
use crate::http2::raw::{HEADERS, RESET, Raw, block, frame, whole};
use crate::world::kubernetes::{Mode, accepted, http, review_with, token};
use crate::world::recorder::{Down, Step};
use crate::world::tls::Authority;
use crate::world::{PATIENCE, World, logs, until, within};

#[tokio::test]
async fn h03_h09_h11_an_api_server_without_an_answer_is_503_and_says_when_to_come_again() {
    let world = forgetful().await;
    let huge = format!("{{\"status\": \"{}\"}}", "a".repeat(2 << 20));
    let head =
        "HTTP/1.1 201 X\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n";
    let part =
        b"HTTP/1.1 201 X\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"status\": {\"auth".to_vec();
    for (mode, label, retry_after, what) in [
        (Mode::Raw(201, json!({"kind": "TokenReview"}).to_string()), None, "1", "no status"),
        (says(json!({})), None, "1", "an empty status"),
        (says(json!({"authenticated": "true"})), None, "1", "a string for yes"),
        (Mode::Raw(403, json!({"reason": "Forbidden"}).to_string()), Some("rbac"), "5", "RBAC lost"),
        (Mode::Raw(401, String::new()), Some("own_credentials"), "5", "our own credentials refused"),
        (Mode::Raw(500, "{}".into()), Some("api_server_error"), "1", "500"),
        (Mode::Raw(302, String::new()), Some("api_server_error"), "1", "a redirect"),
        (Mode::Raw(200, "<html>hello</html>".into()), Some("unreadable"), "1", "HTML"),
        (Mode::Raw(201, huge), Some("unreadable"), "1", "2 MiB"),
        (
            Mode::Play(vec![Step::Send([head.as_bytes(), b"\x1f\x8b\x08\x00"].concat())]),
            Some("unreadable"),
            "1",
            "gzip",
        ),
        (Mode::Play(vec![Step::Send(part), Step::Close]), None, "1", "closed within the JSON"),
        (Mode::Close, Some("network_error"), "1", "closed"),
    ] {
        api_server(&world).mode(mode);
        let answer = world.bearer(&token(what, "veilwarden", 600)).await;
        // A status that says neither yes nor no may be taken for a no.
        if answer.status == 401 && label.is_none() {
            world.assert_refused(&answer, 401, "INVALID_TOKEN", what).await;
            continue;
        }
        let record = world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", what).await;
        assert_eq!(answer.header("retry-after"), Some(retry_after), "{what}: {answer:?}");
        assert_eq!(logged(&record)["level"], "WARN", "{what}");
        if let Some(label) = label {
            let sample = format!("veilwarden_auth_attempts_total{{method=\"kubernetes\",result=\"{label}\"}}");
            assert!(world.sample(&sample).await >= 1.0, "{what}: {sample}\n{}", world.metrics().await);
            let reviews = format!("veilwarden_k8s_tokenreview_errors_total{{reason=\"{label}\"}}");
            assert!(world.sample(&reviews).await >= 1.0, "{what}: {reviews}\n{}", world.metrics().await);
        }
        if what == "RBAC lost" {
            assert!(logged(&record)["cause"].as_str().unwrap().contains("RBAC"), "{record}");
            assert!(!answer.text().contains("RBAC"), "a caller is told about our rights: {answer:?}");
        }
    }
    world.assert_nothing_sent("an API server that fails");
    api_server(&world).mode(Mode::Normal);
    world.assert_works("the API server is back").await;
}

#[tokio::test]
async fn h09_the_wait_that_a_busy_api_server_asks_for_is_passed_on() {
    let world = forgetful().await;
    let busy = b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".to_vec();
    api_server(&world).mode(Mode::Play(vec![Step::Send(busy)]));
    let answer = world.send(world.ok("")).await;
    world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "429").await;
    assert_eq!(answer.header("retry-after"), Some("7"), "{answer:?}");
}

#[tokio::test]
async fn h11_an_api_server_that_hangs_is_503_at_the_deadline() {
    let world = World::new().await.kubernetes().await.kubernetes_options("timeout: 300ms").start().await;
    let slow = (0..1000).flat_map(|_| [Step::Send(b"H".to_vec()), Step::Pause(Duration::from_millis(20))]).collect();
    for (mode, what) in [(Mode::Hang, "silence"), (Mode::Play(slow), "a byte now and then")] {
        api_server(&world).mode(mode);
        let asked = Instant::now();
        let answer = world.bearer(&token(what, "veilwarden", 600)).await;
        world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", what).await;
        assert!(asked.elapsed() < PATIENCE / 2, "{what}: {:?}", asked.elapsed());
    }
    world.assert_nothing_sent("an API server that hangs");
}

#[tokio::test]
async fn h06_no_token_is_sent_to_an_api_server_that_nobody_vouches_for() {
    let world = World::new().await.kubernetes().await;
    let behind = world.kubernetes.as_ref().unwrap().recorder.address;
    let front = Authority::new().front("localhost", behind).await;
    let options = format!("api_server: \"https://localhost:{}\"", front.address.port());
    let world = world.kubernetes_options(&options).start().await;
    let answer = world.send(world.ok("")).await;
    let record = world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "an unknown CA").await;
    assert!(logged(&record)["cause"].as_str().unwrap().contains("TLS"), "{}", logged(&record));
    assert!(front.connections() > 0);
    assert_eq!((front.sessions(), api_server(&world).recorder.bytes()), (0, 0), "something was sent");
    world.assert_nothing_sent("an unknown CA");
}

#[tokio::test]
async fn h24_no_call_fails_while_our_own_token_is_renewed() {
    let world = forgetful().await;
    world.assert_works("with the first token").await;
    let path = world.directory.path().join("own-token");
    for (content, what) in [("", "an empty file"), ("renewed-own-token", "a renewed one"), ("\n", "a blank file")] {
        let next = world.directory.path().join("next-token");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(&next, &path).unwrap();
        let reviews = api_server(&world).reviews();
        within(what, async {
            while api_server(&world).reviews() == reviews {
                world.assert_works(what).await;
            }
        })
        .await;
    }
    let shown = api_server(&world).recorder.last();
    assert_eq!(shown.headers("authorization"), ["Bearer renewed-own-token"]);
}

#[tokio::test]
async fn l10_an_api_server_that_is_down_at_the_start_heals_alone() {
    let down = Down::new();
    let options = format!("api_server: \"http://{}\", max_reviews_per_second: 1000", down.address);
    let world = World::new().await.kubernetes().await.kubernetes_options(&options).start().await;
    let ready = world.send_to(world.admin, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(ready.status, 200);
    let answer = world.send(world.ok("")).await;
    world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "down").await;
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    // The session secret needs no API server.
    let head = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n";
    let session = world.send(format!("{head}X-Session-Secret: {}\r\n\r\n", world.session_secret())).await;
    assert_eq!(session.status, 200, "{session:?}");
    let up = down.up();
    up.answer(http(201, &review_with(accepted("system:serviceaccount:prod:api")).to_string()));
    world.assert_works("the API server is up").await;
    assert!(logs::all().contains("tokens can be reviewed again"));
}

/// Behind a slow review calls wait outside of the library, and so does what their caller does meanwhile: it gives them all up.
#[tokio::test]
async fn e19_calls_that_are_given_up_while_they_wait_end_nothing_but_themselves() {
    let world = World::new().await.kubernetes().await.start().await;
    let go = Arc::new(Semaphore::new(0));
    let good = http(201, &review_with(accepted("system:serviceaccount:prod:api")).to_string());
    api_server(&world).mode(Mode::Play(vec![Step::Wait(go.clone()), Step::Send(good)]));
    let bearer = format!("Bearer {}", token("given up", "veilwarden", 600));
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "proxy.test"), (":path", "/x")];
    let head = block(&[&fields[..], &[("x-upstream-host", "a.test"), ("authorization", &bearer)]].concat());
    let mut raw = Raw::open(&world).await;
    let streams = || (0..100).map(|n| 2 * n + 1);
    raw.send(streams().flat_map(|stream| whole(stream, &head)).collect::<Vec<_>>()).await;
    until("the review", || api_server(&world).reviews() > 0).await;
    raw.send(streams().flat_map(|stream| frame(RESET, 0, stream, &[0, 0, 0, 8])).collect::<Vec<_>>()).await;
    raw.send(whole(201, &head)).await;
    go.add_permits(100);
    let answer = raw.next_of(HEADERS).await.expect("the connection lives on");
    assert_eq!((answer.stream, answer.status()), (201, Some(200)));
}
