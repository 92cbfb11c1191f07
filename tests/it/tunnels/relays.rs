//! Relays: TLS passes untouched, and policy judges the CONNECT.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::{Started, World, assert_closed, call};
use crate::world::tls::{Authority, Front};
use crate::world::{tunnel, within};

const CONNECTS: &str = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
    allow if { input.method == \"CONNECT\"; input.path == \"\"; not input.intercepted; input.upstream_host == \"r.test\" }\n";

async fn world(kubernetes: bool) -> (Started, Front) {
    let world = World::new().await.rego(CONNECTS);
    let world = if kubernetes {
        world.kubernetes().await.kubernetes_options("cache_ttl: 0s, negative_cache_ttl: 0s")
    } else {
        world
    };
    let authority = Authority::new();
    let front = authority.front("r.test", world.a.address).await;
    authority.file(world.directory.path());
    let route = |host: &str| format!("{{upstream_host: {host}, upstream_address: \"{}\", relay: true}}", front.address);
    (world.route(&route("r.test")).route(&route("s.test")).start().await, front)
}

/// A session with the upstream itself, through the relay.
async fn through(
    world: &Started,
    name: &str,
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let stream = world.opened("r.test:443").await;
    let config = tunnel::trusting(&world.directory.path().join("ca.pem"));
    let name = name.to_owned().try_into().unwrap();
    within("TLS through a relay", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

#[tokio::test]
async fn g30_a_relay_passes_the_upstreams_own_tls() {
    let (mut world, front) = world(false).await;
    let mut tls = through(&world, "r.test").await.unwrap();
    let answer = call(&mut tls, "GET /x HTTP/1.1\r\nHost: r.test\r\nAuthorization: Bearer mine\r\n\r\n").await;
    assert_eq!((answer.text().as_str(), front.sessions()), ("ok", 1));
    assert_eq!(world.a.last().headers("authorization"), ["Bearer mine"], "nothing is put in");
    tls.shutdown().await.unwrap();
    drop(tls);
    let records = world.stop().await;
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!((&record["method"], &record["decision"]), (&"CONNECT".into(), &"allow".into()));
    assert_eq!((&record["status"], &record["error"]), (&200.into(), &serde_json::Value::Null));
    for bytes in ["request_bytes", "response_bytes"] {
        assert!(record[bytes].as_u64().unwrap() > 100, "{record}");
    }
}

#[tokio::test]
async fn policy_judges_the_connect_of_a_relay() {
    let (world, front) = world(false).await;
    let (_, answer) = world.open(world.connect_to("s.test:443", "")).await;
    world.assert_refused(&answer, 403, "POLICY_DENIED", "s.test").await;
    assert_eq!(front.connections(), 0);
}

#[tokio::test]
async fn a_relay_takes_nothing_but_tls_for_its_host() {
    let (mut world, front) = world(false).await;
    assert!(through(&world, "a.test").await.unwrap_err().to_string().contains("UnrecognisedName"));
    assert!(through(&world, "127.0.0.1").await.is_err(), "no name");
    let mut stream = world.opened("r.test:443").await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    assert_closed(stream, "no TLS").await;
    drop(world.opened("r.test:443").await);
    assert_eq!(front.connections(), 0);
    let records = world.stop().await;
    let mut codes: Vec<_> = records.iter().map(|record| record["error"].as_str().unwrap_or("none")).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["BAD_REQUEST", "BAD_REQUEST", "MISDIRECTED", "MISDIRECTED"]);
}

#[tokio::test]
async fn a_relay_ends_when_its_token_is_revoked() {
    let (world, _front) = world(true).await;
    let mut tls = through(&world, "r.test").await.unwrap();
    assert_eq!(call(&mut tls, "GET /x HTTP/1.1\r\nHost: r.test\r\n\r\n").await.status, 200);
    world.kubernetes.as_ref().unwrap().revoke();
    let mut rest = Vec::new();
    let _ = within("the end of the relay", tls.read_to_end(&mut rest)).await;
    crate::world::until("the record", || {
        world.audit().iter().any(|record| record["method"] == "CONNECT" && record["error"] == "INVALID_TOKEN")
    })
    .await;
}

#[tokio::test]
async fn an_idle_relay_is_closed() {
    let world = World::new().await;
    let authority = Authority::new();
    let front = authority.front("r.test", world.a.address).await;
    authority.file(world.directory.path());
    let route = format!(
        "{{upstream_host: r.test, upstream_address: \"{}\", relay: true, timeouts: {{idle: 1s}}}}",
        front.address
    );
    let world = world.route(&route).start().await;
    let mut tls = through(&world, "r.test").await.unwrap();
    let mut rest = Vec::new();
    let _ = within("the end of the relay", tls.read_to_end(&mut rest)).await;
}
