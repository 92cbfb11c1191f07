//! Absolute-form: a caller that takes us for its HTTP proxy. It takes the same road as `X-Upstream-Host`.

use crate::world::{Started, World};

/// A request with the proxy's credential and these lines.
fn request(world: &Started, target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{lines}{}\r\n", world.proxy_credential())
}

#[tokio::test]
async fn absolute_form_takes_the_same_road() {
    let world = World::new().await.start().await;
    for (target, host, seen_as) in [
        ("http://a.test/v1?x=1", "a.test", "/v1?x=1"),
        ("HTTP://A.TEST./v1", "a.test", "/v1"),
        ("http://a.test:80/v1", "a.test", "/v1"),
        ("http://a.test/v1", "A.test.:80", "/v1"),
        ("http://a.test", "a.test", "/"),
        ("http://a.test/healthz", "a.test", "/healthz"),
        ("http://a.test?x=1", "a.test", "/?x=1"),
    ] {
        let answer = world.send(request(&world, target, &format!("Host: {host}\r\n"))).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        let seen = world.a.last();
        assert_eq!((seen.line(), seen.headers("host")), (&*format!("GET {seen_as} HTTP/1.1"), vec!["a.test"]));
        assert_eq!(seen.headers("authorization"), [format!("Bearer {}", world.canary_a())]);
        assert_eq!(seen.header("proxy-authorization"), None);
        let record = world.record(&answer).await;
        assert_eq!((&record["upstream_host"], &record["decision"]), (&"a.test".into(), &"allow".into()));
    }
}

#[tokio::test]
async fn a_call_without_a_credential_is_asked_for_one_for_a_proxy() {
    let world = World::new().await.start().await;
    let answer = world.send("GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    world.assert_refused(&answer, 407, "UNAUTHORIZED", "no credential").await;
    let hint = serde_json::from_str::<serde_json::Value>(&answer.text()).unwrap()["hint"].to_string();
    assert!(hint.contains("Proxy-Authorization") && !hint.contains("ServiceAccount"), "{hint}");
    let wrong = "GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Digest x\r\n\r\n";
    let answer = world.send(wrong).await;
    world.assert_refused(&answer, 407, "INVALID_TOKEN", "another scheme").await;
    world.assert_nothing_sent("no credential");
}

#[tokio::test]
async fn b15_to_b19_what_else_looks_absolute_is_refused() {
    let world = World::new().await.start().await;
    for target in [
        "http://u:p@b.test/x",
        "https://b.test/x",
        "ftp://b.test/x",
        "ws://b.test/x",
        "file:///etc/passwd",
        "gopher://b.test/x",
        "http://b.test#@a.test/x",
        "http://b.test:80:80/",
        "http://:80/",
        "http:///x",
        "b.test/x",
        "b.test:80",
    ] {
        let answer = world.send(request(&world, target, "Host: b.test\r\n")).await;
        world.assert_refused(&answer, 400, "INVALID_PATH", target).await;
    }
    for (lines, what) in [
        ("Host: b.test\r\n", "another Host"),
        ("Host: a.test:81\r\n", "another port"),
        ("Host: a.test\r\nX-Upstream-Host: b.test\r\n", "b19 another X-Upstream-Host"),
        ("Host: a.test\r\nX-Upstream-Host: a.test\r\nX-Upstream-Host: a.test\r\n", "two X-Upstream-Host"),
    ] {
        let answer = world.send(request(&world, "http://a.test/x", lines)).await;
        world.assert_refused(&answer, 400, "INVALID_HOST", what).await;
    }
    for target in ["http://c.test/x", "http://a.test:81/x"] {
        let host = target.trim_start_matches("http://").trim_end_matches("/x");
        let answer = world.send(request(&world, target, &format!("Host: {host}\r\n"))).await;
        world.assert_refused(&answer, 403, "HOST_NOT_ALLOWED", target).await;
    }
    world.assert_nothing_sent("refused");
    let answer = world.send(request(&world, "http://a.test/x", "Host: a.test\r\nX-Upstream-Host: A.test\r\n")).await;
    assert_eq!(answer.status, 200, "b19 the same X-Upstream-Host: {answer:?}");
}

#[tokio::test]
async fn forward_mode_can_be_turned_off() {
    let world = World::new().await.forward().config("forward: {enabled: false}").start().await;
    let answer = world.send(request(&world, "http://a.test/x", "Host: a.test\r\n")).await;
    world.assert_refused(&answer, 400, "INVALID_PATH", "absolute-form").await;
    let (_, answer) = world.open(world.connect_to("a.test:80", "")).await;
    world.assert_refused(&answer, 400, "BAD_REQUEST", "CONNECT").await;
    assert!(!world.directory.path().join("state").exists(), "no CA is made");
}
