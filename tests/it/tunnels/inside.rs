//! The requests inside of a tunnel: each is judged on its own.

use serde_json::Value;

use super::{World, call};
use crate::world::tls::Authority;

const PATHS: &str = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
    allow if { input.intercepted; input.path == \"/allowed\"; input.upstream_host == \"a.test\" }\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test:80\r\n\r\n")
}

#[tokio::test]
async fn g13_requests_in_one_tunnel_are_judged_one_by_one() {
    let mut world = World::new().await.forward().rego(PATHS).start().await;
    let mut tls = world.tunnel("a.test:80").await;
    for (path, status) in [("/allowed", 200), ("/other", 403), ("/allowed", 200)] {
        let answer = call(&mut tls, get(path)).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    assert_eq!(world.a.seen().len(), 2);
    drop(tls);
    let records = world.stop().await;
    let column = |name: &str| records.iter().map(|record| record[name].clone()).collect::<Vec<Value>>();
    assert_eq!(column("method"), ["CONNECT", "GET", "GET", "GET"]);
    assert_eq!(column("decision"), ["none", "allow", "deny", "allow"]);
    assert_eq!(column("status"), [200, 200, 403, 200]);
    // The same path without a tunnel is not intercepted, and the policy knows.
    assert!(records.iter().skip(1).all(|record| record["intercepted"] == true));
}

#[tokio::test]
async fn policy_is_told_when_nothing_was_intercepted() {
    let world = World::new().await.forward().rego(PATHS).start().await;
    let answer = world.send(world.request("GET", "/allowed", "")).await;
    assert_eq!(answer.code(), "POLICY_DENIED");
}

#[tokio::test]
async fn what_is_inside_names_the_tunnels_host() {
    let world = World::new().await.forward().start().await;
    for lines in [
        "Host: b.test\r\n",
        "Host: b.test:80\r\n",
        "Host: a.test\r\n",
        "Host: a.test:443\r\n",
        "Host: a.test:80\r\nX-Upstream-Host: b.test\r\n",
    ] {
        let mut tls = world.tunnel("a.test:80").await;
        let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\n{lines}\r\n")).await;
        world.assert_refused(&answer, 421, "MISDIRECTED", lines).await;
        // The tunnel lives on.
        assert_eq!(call(&mut tls, get("/x")).await.status, 200, "{lines}");
    }
    assert_eq!(world.b.bytes(), 0);
}

#[tokio::test]
async fn g12_no_tunnel_and_no_proxy_inside_of_a_tunnel() {
    let world = World::new().await.forward().start().await;
    let connect = world.connect_to("b.test:80", "");
    for (request, code) in [
        (&*connect, "BAD_REQUEST"),
        ("GET http://a.test:80/x HTTP/1.1\r\nHost: a.test:80\r\n\r\n", "INVALID_PATH"),
        ("GET https://a.test:80/x HTTP/1.1\r\nHost: a.test:80\r\n\r\n", "INVALID_PATH"),
    ] {
        let mut tls = world.tunnel("a.test:80").await;
        let answer = call(&mut tls, request).await;
        let record = world.assert_refused(&answer, 400, code, request).await;
        assert_eq!(record["intercepted"], true, "{record}");
    }
    world.assert_nothing_sent("g12");
}

#[tokio::test]
async fn only_the_credential_of_the_connect_counts() {
    let world = World::new().await.forward().start().await;
    let mut tls = world.tunnel("b.test:80").await;
    let (secret, fields) = (world.session_secret(), "Authorization: Bearer app-key\r\n");
    let ours = format!(
        "X-Copy: {secret}\r\nX-Session-Secret: nonsense\r\nProxy-Authorization: Digest x\r\nX-Veilwarden-Token: a.b.c\r\n"
    );
    let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: b.test:80\r\n{fields}{ours}\r\n")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = world.b.last();
    assert_eq!(seen.headers("authorization"), ["Bearer app-key"]);
    for name in ["x-copy", "x-session-secret", "proxy-authorization", "x-veilwarden-token"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_health_check_inside_is_the_upstreams() {
    let world = World::new().await.forward().start().await;
    let mut tls = world.tunnel("a.test:80").await;
    assert_eq!(call(&mut tls, get("/healthz")).await.text(), "ok");
    assert_eq!(world.a.last().target(), "/healthz");
}

#[tokio::test]
async fn a_revoked_token_ends_at_the_next_request() {
    let world = World::new().await.kubernetes().await.kubernetes_options("cache_ttl: 0s, negative_cache_ttl: 0s");
    let world = world.forward().start().await;
    let mut tls = world.tunnel("a.test:80").await;
    assert_eq!(call(&mut tls, get("/x")).await.status, 200);
    world.kubernetes.as_ref().unwrap().revoke();
    let answer = call(&mut tls, get("/x")).await;
    world.assert_refused(&answer, 407, "INVALID_TOKEN", "revoked").await;
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(world.a.seen().len(), 1);
}

#[tokio::test]
async fn g16_g17_an_upstream_that_is_not_who_it_should_be_is_502() {
    let world = World::new().await.forward();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let fine = ours.front("t.test", world.a.address).await;
    let (other_name, other_ca) =
        (ours.front("other.test", world.a.address).await, theirs.front("w.test", world.a.address).await);
    let ca = ours.file(world.directory.path()).display().to_string();
    let route = |host: &str, address: std::net::SocketAddr| {
        format!(
            "{{upstream_host: {host}, upstream_address: \"{address}\", ca_file: {ca}, secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"
        )
    };
    let world = world
        .route(&route("t.test", fine.address))
        .route(&route("v.test", other_name.address))
        .route(&route("w.test", other_ca.address));
    let world = world.start().await;
    for (host, status) in [("t.test", 200), ("v.test", 502), ("w.test", 502)] {
        let mut tls = world.tunnel(&format!("{host}:443")).await;
        let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
    assert_eq!(world.a.seen().len(), 1);
    assert_eq!(world.a.last().headers("x-key"), [world.canary_a()]);
}
