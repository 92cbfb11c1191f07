//! Callers of one upstream that speaks HTTP/2 do each other no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use super::peer::{channel, full};
use super::raw::{END_HEADERS, END_STREAM, HEADERS, Raw, SETTINGS, WINDOW_UPDATE, block, frame};
use super::upstream::{Upstream, in_clear, serve};
use crate::world::{World, raw, until, within};

/// Sends a body of many pieces. `broken` counts those for which nobody is there any more.
async fn send(body: mpsc::Sender<Frame<Bytes>>, broken: Arc<AtomicUsize>) {
    for _ in 0..9_000 {
        if body.send(Frame::data(Bytes::from_static(b"1234567"))).await.is_err() {
            broken.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}

#[tokio::test]
async fn each_identity_has_connections_of_its_own() {
    let upstream = Upstream::start(|_| Response::new(full("fine"))).await;
    let world = World::new().await.kubernetes().await.route(&in_clear("h.test", upstream.address)).start().await;
    let secret = format!("X-Session-Secret: {}\r\n", world.session_secret());
    let user = format!("GET /x HTTP/1.1\r\nHost: proxy.test\r\nX-Upstream-Host: h.test\r\n{secret}\r\n");
    for _ in 0..2 {
        assert_eq!(world.get("h.test").await.status, 200);
        assert_eq!(world.send(&user).await.status, 200);
    }
    let connections: Vec<_> = upstream.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 2, 1, 2]);
}

/// What is not taken of answers in small pieces weighs more than their bytes, and ends the connection that they come over.
#[tokio::test]
async fn a_caller_that_takes_nothing_breaks_no_answer_but_its_own() {
    let (go, broken) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (waiting, counted) = (go.clone(), broken.clone());
    let address = serve(move |request, _| {
        let (go, broken) = (waiting.clone(), counted.clone());
        async move {
            let (sender, body) = channel();
            if request.uri().path() == "/tiny" {
                tokio::spawn(send(sender, broken));
            } else {
                tokio::spawn(async move {
                    sender.send(Frame::data(Bytes::from_static(b"first"))).await.unwrap();
                    go.notified().await;
                    sender.send(Frame::data(Bytes::from_static(b"last"))).await.unwrap();
                });
            }
            Response::new(body)
        }
    })
    .await;
    let world = World::new().await.kubernetes().await.route(&in_clear("h.test", address)).start().await;
    let mut innocent = world.connect().await;
    innocent.write_all(world.request_to("h.test", "GET", "/slow", "Connection: close\r\n").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer_to_head(&mut innocent).await.status, 200);

    let secret = world.session_secret();
    let tiny = block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "proxy.test"),
        (":path", "/tiny"),
        ("x-upstream-host", "h.test"),
        ("x-session-secret", &secret),
    ]);
    let mut taker = Raw::open(&world).await;
    taker.next_of(WINDOW_UPDATE).await.expect("a connection");
    taker.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    for n in 0..100 {
        taker.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &tiny)).await;
    }
    until("the end of what is not taken", || broken.load(Ordering::Relaxed) == 100).await;
    go.notify_one();
    let mut rest = String::new();
    within("the rest", innocent.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.ends_with("4\r\nlast\r\n0\r\n\r\n"), "{rest}");
}
