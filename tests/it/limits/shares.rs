//! Row K12: what one identity can take of the places for calls at the same time.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::http2::peer::{Body, Peer, empty, request};
use crate::http2::raw::{END_HEADERS, END_STREAM, HEADERS, Raw, SETTINGS, block, frame};
use crate::websocket;
use crate::websocket::upstream::Upstream;
use crate::world::recorder::{OK, Step};
use crate::world::{Started, World, raw, until, within};

/// `prod/api` calls a.test, whose answer waits for the test.
async fn begin(world: &Started) -> TcpStream {
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    stream
}

fn token(world: &Started) -> String {
    format!("Bearer {}", world.kubernetes.as_ref().unwrap().token)
}

/// The same identity over HTTP/2.
fn http2(world: &Started, host: &str) -> http::Request<Body> {
    let request = http::Request::get("http://proxy.test/x").header("x-upstream-host", host);
    request.header("authorization", token(world)).body(empty()).unwrap()
}

/// Another identity, the session secret's, is served.
async fn assert_another_is_served(world: &Started, what: &str) {
    let secret = world.session_secret();
    let head = format!("GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: b.test\r\nX-Session-Secret: {secret}\r\n\r\n");
    let answer = world.send(head).await;
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
    let call = request(world, "GET", "/x", "b.test").body(empty()).unwrap();
    assert_eq!(Peer::connect(world).await.send(call).await.status, 200, "{what}, over HTTP/2");
}

/// `prod/api` is told that its share is taken, and its record says who it was.
async fn assert_full(world: &Started, what: &str) {
    let refused = world.get("b.test").await;
    let record = world.assert_refused(&refused, 503, "OVERLOADED", what).await;
    assert_eq!(refused.header("retry-after"), Some("1"), "{what}");
    assert!(refused.json()["hint"].as_str().unwrap().contains("this identity"), "{what}: {refused:?}");
    let who = (&record["identity"]["namespace"], &record["identity"]["service_account"], &record["decision"]);
    assert_eq!(who, (&"prod".into(), &"api".into(), &"none".into()), "{what}: {record}");
}

async fn assert_free(world: &Started, what: &str) {
    within(what, async { while world.get("b.test").await.status != 200 {} }).await;
}

#[tokio::test]
async fn k12_an_identity_that_hangs_with_all_it_may_leaves_room_for_others() {
    let world = World::new().await.kubernetes().await;
    let limits = "limits: {max_concurrent_requests: 3, max_concurrent_requests_per_identity: 2}";
    let world = world.config(limits).start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    world.a.script(move |_| vec![Step::Wait(wait.clone()), Step::Send(OK.to_vec())]);
    // The versions share.
    let mut first = begin(&world).await;
    let peer = Peer::connect(&world).await;
    let (other, call) = (peer.clone(), http2(&world, "a.test"));
    let second = tokio::spawn(async move { other.send(call).await.status });
    until("two calls", || world.a.seen().len() == 2).await;
    for _ in 0..3 {
        assert_full(&world, "over the share").await;
        let refused = peer.send(http2(&world, "b.test")).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "OVERLOADED"));
        assert_another_is_served(&world, "beside it").await;
    }
    let limited = world.sample("veilwarden_limited_total{limit=\"concurrent_requests_per_identity\"}").await;
    assert_eq!(limited, 6.0);
    go.add_permits(2);
    assert_eq!(raw::read_answer(&mut first).await.status, 200);
    assert_eq!(second.await.unwrap(), 200);
    assert_free(&world, "the share when its calls have ended").await;
}

#[tokio::test]
async fn k12_whatever_ends_a_call_gives_its_part_of_the_share_back() {
    let mut upstream = Upstream::start().await;
    let world = World::new().await.forward().kubernetes().await.route("{upstream_host: r.test, relay: true}");
    let world = upstream.route(world.config("limits: {max_concurrent_requests_per_identity: 1}"), "").start().await;
    world.a.script(|_| vec![Step::Hang]);
    let tunnel = world.tunnel("b.test:80").await;

    let caller = begin(&world).await;
    until("the call", || world.a.seen().len() == 1).await;
    assert_full(&world, "beside a call").await;
    drop(caller);
    assert_free(&world, "after a caller that hung up").await;

    let (peer, call) = (Peer::connect(&world).await, http2(&world, "a.test"));
    let stream = tokio::spawn(async move { peer.send(call).await });
    until("the stream", || world.a.seen().len() == 2).await;
    assert_full(&world, "beside a stream").await;
    stream.abort();
    assert_free(&world, "after a stream that was reset").await;

    let (relay, answer) = world.open(world.connect_to("r.test:443", "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_full(&world, "beside a relay").await;
    drop(relay);
    assert_free(&world, "after a relay").await;

    let ends = websocket::open(&world, &mut upstream).await;
    assert_full(&world, "beside a WebSocket").await;
    drop(ends);
    assert_free(&world, "after a WebSocket").await;
    drop(tunnel);
}

#[tokio::test]
async fn k12_no_share_is_one_identity_for_all() {
    let world = World::new().await.kubernetes().await;
    let limits = "limits: {max_concurrent_requests: 2, max_concurrent_requests_per_identity: 0}";
    let world = world.config(limits).start().await;
    world.a.script(|_| vec![Step::Hang]);
    let _open = [begin(&world).await, begin(&world).await];
    until("two calls", || world.a.seen().len() == 2).await;
    let refused = world.get("b.test").await;
    let record = world.assert_refused(&refused, 503, "OVERLOADED", "all places are taken").await;
    assert_eq!(record["identity"], serde_json::Value::Null, "{record}");
}

/// Without a window for its stream an answer stays with us; a refusal's must not keep others out as long.
#[tokio::test]
async fn k12_a_refusal_that_its_caller_does_not_take_holds_no_place() {
    let world = World::new().await.kubernetes().await;
    let limits = "limits: {max_concurrent_requests: 2, max_concurrent_requests_per_identity: 1}";
    let world = world.config(limits).start().await;
    world.a.script(|_| vec![Step::Hang]);
    let mut peer = Raw::open(&world).await;
    peer.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let call = |stream: u32, token: &str| {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "p"), (":path", "/x")];
        let fields = [&fields[..], &[("x-upstream-host", "a.test"), ("authorization", token)]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields))
    };
    for stream in [1, 3] {
        peer.send(call(stream, "Bearer not.a.token")).await;
        assert_eq!(peer.next_of(HEADERS).await.unwrap().stream, stream);
    }
    let token = token(&world);
    peer.send(call(5, &token)).await;
    until("a call that hangs", || world.a.seen().len() == 1).await;
    for stream in [7, 9] {
        peer.send(call(stream, &token)).await;
        assert_eq!(peer.next_of(HEADERS).await.unwrap().stream, stream);
    }
    assert_eq!(world.sample("veilwarden_requests_in_flight").await, 5.0);
    assert_another_is_served(&world, "beside answers that are not taken").await;
}
