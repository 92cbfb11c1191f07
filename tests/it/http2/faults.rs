//! What an upstream that speaks HTTP/2 may do wrong (rows F22 and F23).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::server::{Connection, SendResponse};
use http::Response;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::peer::{Peer, empty, request};
use super::raw::{DATA, END_HEADERS, END_STREAM, HEADERS, RESET, SETTINGS, block, frame};
use super::upstream::in_clear;
use crate::world::{World, until, within};

#[derive(Debug, Clone, Copy)]
enum Fault {
    Refused,
    Reset,
    GoAway,
    HangUp,
    ResetWithin,
}

/// Commits the fault in every call but those to `/good`; returns its address and how many calls it saw.
async fn faulty(fault: Fault) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, fault, counted.clone()));
        }
    });
    (address, calls)
}

async fn serve(stream: TcpStream, fault: Fault, calls: Arc<AtomicUsize>) {
    let Ok(mut connection): Result<Connection<TcpStream, Bytes>, _> = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        calls.fetch_add(1, Ordering::SeqCst);
        if request.uri().path() == "/good" {
            respond.send_response(Response::new(()), true).unwrap();
            continue;
        }
        match fault {
            Fault::Refused => respond.send_reset(Reason::REFUSED_STREAM),
            Fault::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
            Fault::GoAway => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
            Fault::HangUp => return,
            Fault::ResetWithin => within_body(respond),
        }
    }
}

fn within_body(mut respond: SendResponse<Bytes>) {
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(b"part"), false).unwrap();
    tokio::spawn(async move {
        // After the part has left.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        body.send_reset(Reason::INTERNAL_ERROR);
    });
}

#[tokio::test]
async fn f22_a_stream_that_ends_badly_is_one_502_and_the_next_call_works() {
    for fault in [Fault::Refused, Fault::Reset, Fault::GoAway, Fault::HangUp] {
        let (address, calls) = faulty(fault).await;
        let mut world = World::new().await.route(&in_clear("h.test", address)).start().await;
        for method in ["GET", "POST"] {
            let answer = world.send(world.request_to("h.test", method, "/bad", "")).await;
            world.assert_refused(&answer, 502, "UPSTREAM_ERROR", &format!("{fault:?} {method}")).await;
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2, "{fault:?}: no call is sent twice");
        let good = world.send(world.request_to("h.test", "GET", "/good", "")).await;
        assert_eq!(good.status, 200, "{fault:?}");
        assert_eq!(world.stop().await.len(), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn f05_f22_an_answer_that_is_reset_is_never_a_whole_one() {
    let (address, _) = faulty(Fault::ResetWithin).await;
    let world = World::new().await.route(&in_clear("h.test", address)).start().await;
    let answer = world.send(world.request_to("h.test", "GET", "/bad", "")).await;
    assert_eq!((answer.status, answer.complete), (200, false), "{answer:?}");
    until("the record", || world.audit().len() == 1).await;
    assert_eq!(world.audit()[0]["complete"], false);
}

/// Answers one call with these frames, on stream 1. No library sends most of them: they are written by hand.
pub async fn answering(frames: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        // Once the request is there: its head is the only frame of that kind.
        let mut peer = super::raw::Raw { stream, held: Vec::new() };
        peer.skip(super::raw::PREFACE.len()).await;
        peer.next_of(HEADERS).await;
        peer.send(frames).await;
        while peer.next().await.is_some() {}
    });
    address
}

/// RFC 9113 section 8.1.1. What was announced may be there in full when the stream turns out to be wrong, and a caller over
/// HTTP/1.1 would take it for the whole answer.
#[tokio::test]
async fn f05_an_answer_that_its_stream_does_not_end_cleanly_is_never_a_whole_one() {
    let head =
        |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS, 1, &block(&[&[(":status", "200")], fields].concat()));
    let five = head(&[("content-length", "5")]);
    let data = |bytes: &[u8], flags: u8| frame(DATA, flags, 1, bytes);
    let reset = |reason: u8| frame(RESET, 0, 1, &[0, 0, 0, reason]);
    let (no_error, cancel) = (0, 8);
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x-sum", "1")]));
    for (what, whole, frames) in [
        ("a piece more", false, [five.clone(), data(b"hello", 0), data(b"more", END_STREAM)].concat()),
        ("a piece that is too long", false, [five.clone(), data(b"hellomore", END_STREAM)].concat()),
        ("too little", false, [five.clone(), data(b"hell", END_STREAM)].concat()),
        ("a reset behind the last byte", false, [five.clone(), data(b"hello", 0), reset(cancel)].concat()),
        ("a reset without an error", false, [five.clone(), data(b"hello", 0), reset(no_error)].concat()),
        ("a reset of what has no length", false, [head(&[]), data(b"hello", 0), reset(no_error)].concat()),
        ("an end with the last byte", true, [five.clone(), data(b"hello", END_STREAM)].concat()),
        ("an end of its own", true, [five.clone(), data(b"hel", 0), data(b"lo", 0), data(b"", END_STREAM)].concat()),
        ("empty pieces", true, [five.clone(), data(b"hello", 0), data(b"", 0), data(b"", END_STREAM)].concat()),
        ("trailers", true, [five.clone(), data(b"hello", 0), trailers].concat()),
        ("a reset behind the end", true, [five.clone(), data(b"hello", END_STREAM), reset(no_error)].concat()),
    ] {
        let to = async || World::new().await.route(&in_clear("h.test", answering(frames.clone()).await)).start().await;
        let world = to().await;
        let answer = world.send(world.request_to("h.test", "GET", "/x", "")).await;
        assert_eq!((answer.status, answer.complete), (200, whole), "{what}: {answer:?}");
        assert!(!whole || answer.text() == "hello", "{what}: {answer:?}");
        assert!(!answer.text().contains("more"), "{what}: {answer:?}");
        until("the record", || world.audit().len() == 1).await;
        assert_eq!(world.audit()[0]["complete"], whole, "{what}");

        let world = to().await;
        let call = request(&world, "GET", "/x", "h.test").body(empty()).unwrap();
        let body = Peer::connect(&world).await.begin(call).await.unwrap().into_body();
        let body = within(what, body.collect()).await.map(|body| body.to_bytes());
        assert_eq!(body.as_ref().ok().map(|body| &body[..]), whole.then_some(&b"hello"[..]), "{what}, over HTTP/2");
        until("the record", || world.audit().len() == 1).await;
        assert_eq!(world.audit()[0]["complete"], whole, "{what}, over HTTP/2");
    }
}

#[tokio::test]
async fn f23_an_answer_that_http_1_could_not_say_is_502() {
    let fine = [(":status", "200")];
    for (what, fields) in [
        ("CR and LF in a value", &[&fine[..], &[("x", "a\r\nset-cookie: b")]].concat()[..]),
        ("transfer-encoding", &[&fine[..], &[("transfer-encoding", "chunked")]].concat()),
        ("connection", &[&fine[..], &[("connection", "close")]].concat()),
        ("an upper-case name", &[&fine[..], &[("X-Foo", "a")]].concat()),
        ("no status", &[("x", "y")]),
        ("two statuses", &[&fine[..], &fine].concat()),
        ("two lengths", &[&fine[..], &[("content-length", "0"), ("content-length", "0")]].concat()),
        ("switching", &[(":status", "101")]),
        ("407", &[(":status", "407")]),
        ("999", &[(":status", "999")]),
    ] {
        let address = answering(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))).await;
        let world = World::new().await.route(&in_clear("h.test", address)).start().await;
        let answer = world.get("h.test").await;
        world.assert_refused(&answer, 502, "UPSTREAM_ERROR", what).await;
        assert_eq!(answer.header("set-cookie"), None, "{what}");
    }
}

/// A stream without a window stops its body, and the socket says nothing of it.
#[tokio::test]
async fn a_body_that_its_upstream_does_not_take_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = super::raw::Raw { stream, held: Vec::new() };
        peer.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
        peer.skip(super::raw::PREFACE.len()).await;
        while peer.next().await.is_some() {}
    });
    let route = in_clear("h.test", address).replace("first_byte: 5s, idle: 5s", "first_byte: 300ms, idle: 300ms");
    let world = World::new().await.route(&route).start().await;
    let body = "x".repeat(1 << 20);
    let call =
        format!("{}{body}", world.request_to("h.test", "POST", "/x", &format!("Content-Length: {}\r\n", body.len())));
    let answer = within("the refusal", world.send(call)).await;
    assert_eq!((answer.status, &*answer.code()), (504, "UPSTREAM_TIMEOUT"), "{answer:?}");
}
