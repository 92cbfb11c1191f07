//! The road as a user walks it: who, may it, which secret, what the upstream sees, what is recorded.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::recorder::{OK, Step};
use crate::world::{World, raw, within};

const POLICY: &str = r#"package veilwarden.authz
import rego.v1
default allow := false
allow if { input.namespace == "prod"; input.service_account == "api"; input.method == "GET"; startswith(input.path, "/user") }
deny_reason := "prod/api may only read /user" if { not startswith(input.path, "/user") }
"#;

#[tokio::test]
async fn a_workload_gets_the_answer_and_never_the_secret() {
    let world = World::new().await.kubernetes().await.rego(POLICY).start().await;
    let answer = world.send(world.request("GET", "/user?page=2", "Accept: */*\r\nX-Agent-Id: ci\r\n")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{answer:?}");
    let seen = world.a.last();
    assert_eq!(seen.line(), "GET /user?page=2 HTTP/1.1");
    assert_eq!(seen.headers("authorization"), [format!("Bearer {}", world.canary_a())]);
    assert_eq!(seen.headers("host"), ["a.test"]);
    for gone in ["x-upstream-host", "x-agent-id", "x-request-id", "x-session-secret"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    let record = world.record(&answer).await;
    for (name, value) in [
        ("decision", "allow"),
        ("method", "GET"),
        ("path", "/user"),
        ("upstream_host", "a.test"),
        ("secret_id", "KEY_A"),
        ("agent_id", "ci"),
    ] {
        assert_eq!(record[name], value, "{record}");
    }
    assert_eq!(record["status"], 200);
    assert_eq!(record["complete"], true);
    assert_eq!(record["identity"]["type"], "kubernetes");
    assert_eq!(record["identity"]["service_account"], "api");
    assert_eq!(record["identity"]["pod_name"], "api-1");
}

#[tokio::test]
async fn a_denial_names_its_reason_and_sends_nothing() {
    let world = World::new().await.kubernetes().await.rego(POLICY).start().await;
    let answer = world.send(world.request("GET", "/admin", "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"));
    assert_eq!(answer.json()["hint"], "prod/api may only read /user");
    assert_eq!(world.a.bytes(), 0);
    let record = world.record(&answer).await;
    assert_eq!((&record["decision"], &record["reason"]), (&"deny".into(), &"prod/api may only read /user".into()));
}

#[tokio::test]
async fn a_bearer_beats_the_session_secret_and_a_bad_one_is_not_rescued() {
    let world = World::new().await.kubernetes().await.start().await;
    let secret = format!("X-Session-Secret: {}\r\n", world.session_secret());
    let both = world.send(world.ok(&secret)).await;
    assert_eq!(world.record(&both).await["identity"]["type"], "kubernetes");
    let head = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n";
    let alone = world.send(format!("{head}{secret}\r\n")).await;
    assert_eq!(alone.status, 200);
    assert_eq!(world.record(&alone).await["identity"]["user_id"], "alice");
    let bad = world.send(format!("{head}Authorization: Bearer a.b.c\r\n{secret}\r\n")).await;
    assert_eq!((bad.status, bad.code().as_str()), (401, "INVALID_TOKEN"));
    assert_eq!(bad.header("www-authenticate"), Some("Bearer realm=\"veilwarden\""));
}

#[tokio::test]
async fn health_and_metrics_answer() {
    let world = World::new().await.start().await;
    world.assert_works("a first call").await;
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = world.send_to(world.admin, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let health = world.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((health.status, health.text().as_str()), (200, r#"{"status":"ok"}"#));
    assert_eq!(health.header("content-type"), Some("application/json"));
    let post = world.send("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(post.status, 405);
    let metrics = world.metrics().await;
    for line in [
        "veilwarden_requests_total{route=\"a.test\",method=\"GET\",status=\"200\"} 1",
        "veilwarden_auth_attempts_total{method=\"session\",result=\"success\"} 1",
        "veilwarden_policy_decisions_total{decision=\"allow\"} 1",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn an_answer_may_take_longer_than_the_idle_limit_and_an_idle_connection_may_not() {
    let world = World::new().await.config("limits: {idle_timeout: 300ms}").start().await;
    world.a.script(|_| vec![Step::Pause(Duration::from_millis(900)), Step::Send(OK.to_vec())]);
    let mut stream = world.connect().await;
    for _ in 0..2 {
        stream.write_all(world.ok("").as_bytes()).await.unwrap();
        assert_eq!(raw::read_answer(&mut stream).await.status, 200);
    }
    assert_eq!(within("the idle limit", stream.read(&mut [0; 1])).await.unwrap(), 0);
}
