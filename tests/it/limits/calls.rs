//! Rows K12, K13, K16: calls at the same time, and calls a second of one identity.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::http2::peer::{Peer, empty, request};
use crate::world::recorder::{OK, Step};
use crate::world::{Started, World, raw, until, within};

/// Sends a call whose answer waits for the test.
async fn begin(world: &Started) -> TcpStream {
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn k12_one_call_too_many_is_refused_at_once_and_a_place_is_free_when_an_answer_has_ended() {
    let world = World::new().await.config("limits: {max_concurrent_requests: 2}").start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    world.a.script(move |_| vec![Step::Wait(wait.clone()), Step::Send(OK.to_vec())]);
    let mut calls = [begin(&world).await, begin(&world).await];
    until("two calls", || world.a.seen().len() == 2).await;
    for what in ["once", "again"] {
        let refused = world.get("b.test").await;
        let record = world.assert_refused(&refused, 503, "OVERLOADED", what).await;
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!((&record["path"], &record["identity"]), (&"/x".into(), &serde_json::Value::Null), "{record}");
    }
    // Another version, the same places.
    let peer = Peer::connect(&world).await;
    let refused = peer.send(request(&world, "GET", "/x", "b.test").body(empty()).unwrap()).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "OVERLOADED"));
    for (address, path) in [(world.proxy, "/healthz"), (world.admin, "/healthz"), (world.admin, "/readyz")] {
        let health = world.send_to(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(health.status, 200, "{path}: {health:?}");
    }
    assert_eq!(world.sample("veilwarden_limited_total{limit=\"concurrent_requests\"}").await, 3.0);
    go.add_permits(2);
    for call in &mut calls {
        assert_eq!(raw::read_answer(call).await.status, 200);
    }
    assert!(world.b.seen().is_empty(), "a refused call was sent");
    within("a place", async { while world.get("b.test").await.status != 200 {} }).await;
}

#[tokio::test]
async fn k12_a_relay_is_a_call_until_it_ends_and_a_tunnel_is_none() {
    let world = World::new().await.forward().route("{upstream_host: r.test, relay: true}");
    let world = world.config("limits: {max_concurrent_requests: 1}").start().await;
    let tunnel = world.tunnel("a.test:80").await;
    world.assert_works("beside a tunnel on which nothing is asked").await;
    let (relay, answer) = world.open(world.connect_to("r.test:443", "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let refused = world.send(world.ok("")).await;
    world.assert_refused(&refused, 503, "OVERLOADED", "beside a relay").await;
    drop(relay);
    within("the place of the relay", async { while world.send(world.ok("")).await.status != 200 {} }).await;
    drop(tunnel);
}

#[tokio::test]
async fn k13_an_identity_over_its_rate_is_refused_by_name_and_another_is_not() {
    let world = World::new().await.kubernetes().await.config("limits: {requests_per_second: 1}").start().await;
    let mut flood = world.connect().await;
    // Many at once: a second that passes lets one of them through, not all.
    flood.write_all(world.ok("").repeat(60).as_bytes()).await.unwrap();
    let mut refused = Vec::new();
    let mut rest = Vec::new();
    for _ in 0..60 {
        let answer = raw::read_next(&mut flood, &mut rest).await;
        if answer.status != 200 {
            refused.push(answer);
        }
    }
    assert!(refused.len() > 20, "{} of 60 were refused", refused.len());
    for answer in &refused {
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    }
    let record = world.assert_refused(&refused[0], 429, "RATE_LIMITED", "over the rate").await;
    assert_eq!((&record["identity"]["namespace"], &record["decision"]), (&"prod".into(), &"none".into()), "{record}");
    let other = format!(
        "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: b.test\r\nX-Session-Secret: {}\r\n\r\n",
        world.session_secret()
    );
    let answer = world.send(&other).await;
    assert_eq!(answer.status, 200, "another identity: {answer:?}");
    let limited = world.sample("veilwarden_limited_total{limit=\"requests_per_second\"}").await;
    assert_eq!(limited, refused.len() as f64);
    // A caller that is not known has no rate, and costs nobody his.
    assert_eq!(world.bearer("not.a.token").await.status, 401);
}

#[tokio::test]
async fn k16_a_compressed_body_is_never_unpacked() {
    let world = World::new().await.start().await;
    // A gzip member of which each byte stands for a thousand.
    let bomb =
        [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xed, 0xc1, 1, 1, 0, 0, 0, 0x80, 0x90], &[0; 4000]].concat();
    let fields = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", bomb.len());
    let answer = world.send([world.request("POST", "/x", &fields).into_bytes(), bomb.clone()].concat()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = world.a.last();
    assert_eq!((seen.header("content-encoding"), &seen.body), (Some("gzip"), &bomb));
}
