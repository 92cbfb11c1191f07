//! Peers that stand still: nobody may hold a connection, a call or the drain for ever by taking nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::http2::raw::{DATA, Raw, SETTINGS, block, frame, whole};
use crate::world::recorder::{OK, Step};
use crate::world::{Started, World, raw, until, within};

const LIMITS: &str = "timeouts: {first_byte: 1s, idle: 1s}";

async fn world() -> Started {
    World::new().await.route_options(LIMITS).config("limits: {idle_timeout: 1s}").start().await
}

/// Sends a body without end until the proxy closes.
async fn pump(stream: &mut tokio::net::TcpStream) {
    while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
}

async fn no_caller_is_left(world: &Started) {
    within("the connections' end", async {
        while !world.metrics().await.contains("veilwarden_connections 0\n") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn k02_an_upstream_that_answers_early_and_takes_nothing_is_given_up() {
    let world = world().await;
    world.a.eager();
    world.a.script(|_| vec![Step::Send(OK.to_vec()), Step::Pause(Duration::from_secs(15)), Step::Close]);
    let mut stream = world.connect().await;
    stream.write_all(world.request("POST", "/x", "Content-Length: 1000000000\r\n").as_bytes()).await.unwrap();
    within("the end of the call", pump(&mut stream)).await;
    drop(stream);
    no_caller_is_left(&world).await;
}

#[tokio::test]
async fn k03_a_caller_that_takes_nothing_is_given_up_and_recorded() {
    let world = world().await;
    world.a.script(|_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n".to_vec();
        std::iter::once(Step::Send(head)).chain((0..15_000).map(|_| Step::Send(vec![b'x'; 65536]))).collect()
    });
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    until("the record", || world.audit().len() == 1).await;
    assert_eq!(world.audit()[0]["complete"], false);
    no_caller_is_left(&world).await;
    until("the upstream's connections' end", || world.a.open() == 0).await;
}

/// The window has room for a refusal's first byte. The library has the rest of it, and no task of ours has it any more.
#[tokio::test]
async fn e19_a_refusal_that_is_not_taken_ends_with_its_connection() {
    let world = World::new().await.config("limits: {idle_timeout: 1s, header_timeout: 1s}").start().await;
    let head = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "proxy.test"), (":path", "/x")]);
    // The ninth waits, and nothing behind it is read, the connection's end neither.
    for (calls, stays) in [(1, true), (9, true), (9, false)] {
        let mut raw = Raw::open(&world).await;
        raw.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])).await;
        raw.send((0..calls).flat_map(|n| whole(2 * n + 1, &head)).collect::<Vec<u8>>()).await;
        for _ in 0..calls.min(8) {
            raw.next_of(DATA).await.expect("a refusal's first byte");
        }
        let stays = stays.then_some(raw);
        no_caller_is_left(&world).await;
        drop(stays);
    }
}

#[tokio::test]
async fn an_upload_may_pause_longer_than_an_answer_may_take() {
    let world = World::new().await.route_options("timeouts: {first_byte: 300ms, idle: 20s}").start().await;
    let mut stream = world.connect().await;
    stream.write_all(world.request("POST", "/x", "Content-Length: 6\r\n").as_bytes()).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    // The pause is what is tested.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stream.write_all(b"def").await.unwrap();
    let answer = raw::read_answer(&mut stream).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(world.a.last().body, b"abcdef");
}

#[tokio::test]
async fn a37_a_chunked_body_goes_up_whatever_the_method() {
    let world = World::new().await.start().await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
        let head = world.request(method, "/x", "Transfer-Encoding: chunked\r\n");
        let mut stream = world.connect().await;
        stream.write_all(format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes()).await.unwrap();
        until("the request", || world.a.seen().last().is_some_and(|seen| seen.line().starts_with(method))).await;
        let seen = world.a.last();
        assert_eq!(seen.headers("transfer-encoding"), ["chunked"], "{method}");
        assert!(String::from_utf8_lossy(&seen.body).contains("hello"), "{method}: {seen:?}");
    }
}
