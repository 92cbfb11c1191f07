//! Trailers from each version to each, both ways (rows A28 and F24).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::Frame;
use tokio::io::AsyncWriteExt;

use super::peer::{Body, Peer, channel, empty, request};
use super::upstream::{Upstream, in_clear};
use crate::world::{Started, World, raw};

const GOOD: (&str, &str) = ("x-sum", "abc");
const BAD: [(&str, &str); 4] =
    [("authorization", "Bearer evil"), ("set-cookie", "evil"), ("content-length", "9"), ("x-veilwarden-error", "evil")];

fn trailers(more: &[(&'static str, &str)]) -> HeaderMap {
    let all = std::iter::once(&GOOD).chain(&BAD).chain(more);
    all.map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_str(v).unwrap())).collect()
}

/// Of no known length: behind a length, HTTP/1 has no trailers.
fn body(trailers: HeaderMap) -> Body {
    let (sender, body) = channel();
    sender.try_send(Frame::data(Bytes::from_static(b"hi"))).unwrap();
    sender.try_send(Frame::trailers(trailers)).unwrap();
    body
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: abc\r\nSet-Cookie: evil\r\nContent-Length: 9\r\n\r\n";

async fn world() -> (Started, Upstream) {
    let upstream = Upstream::start(|_| {
        Response::builder().header("trailer", "X-Sum, Set-Cookie").body(body(trailers(&[]))).unwrap()
    })
    .await;
    let world = World::new().await.route(&in_clear("h.test", upstream.address)).start().await;
    world.a.answer(ANSWER);
    (world, upstream)
}

#[tokio::test]
async fn f24_an_answers_trailers_pass_when_they_may() {
    let (world, _upstream) = world().await;
    let peer = Peer::connect(&world).await;
    for host in ["a.test", "h.test"] {
        let answer =
            peer.send(request(&world, "GET", "/x", host).header("te", "trailers").body(empty()).unwrap()).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hi"[..]), "{host}");
        let trailers = answer.trailers.unwrap_or_default();
        assert_eq!(
            trailers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect::<Vec<_>>(),
            [GOOD],
            "{host}"
        );

        let mut stream = world.connect().await;
        stream
            .write_all(world.request_to(host, "GET", "/x", "TE: trailers\r\nConnection: TE, close\r\n").as_bytes())
            .await
            .unwrap();
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap().to_lowercase();
        assert!(text.ends_with("0\r\nx-sum: abc\r\n\r\n") && text.contains("\r\ntrailer: x-sum\r\n"), "{host}: {text}");
        assert!(!text.contains("evil"), "{host}: {text}");

        // Whoever did not ask for them gets none, and a whole answer.
        let mut stream = world.connect().await;
        stream.write_all(world.request_to(host, "GET", "/x", "").as_bytes()).await.unwrap();
        let answer = raw::read_answer(&mut stream).await;
        assert!(
            answer.complete && answer.header("trailer").is_none() && answer.header("x-sum").is_none(),
            "{answer:?}"
        );
        assert_eq!(answer.text(), "hi", "{host}");
    }
}

#[tokio::test]
async fn a28_a_requests_trailers_pass_when_they_may() {
    let (world, upstream) = world().await;
    let peer = Peer::connect(&world).await;
    let credential = world.session_secret();
    for host in ["a.test", "h.test"] {
        let copy = [("x-copy", &*credential)];
        let announced = request(&world, "POST", "/x", host).header("trailer", "x-sum, authorization, x-copy");
        assert_eq!(peer.send(announced.body(body(trailers(&copy))).unwrap()).await.status, 200, "{host}");

        let head = world.request_to(
            host,
            "POST",
            "/x",
            "Trailer: X-Sum, Authorization, X-Copy\r\nTransfer-Encoding: chunked\r\n",
        );
        let lines: String = trailers(&copy).iter().map(|(n, v)| format!("{n}: {}\r\n", v.to_str().unwrap())).collect();
        let answer = world.send(format!("{head}2\r\nhi\r\n0\r\n{lines}\r\n")).await;
        assert_eq!((answer.status, answer.text()), (200, "hi".to_owned()), "{host}");
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    for seen in seen {
        let trailers = seen.trailers.unwrap_or_default();
        assert_eq!(trailers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect::<Vec<_>>(), [GOOD]);
        assert_eq!(seen.body, b"hi");
    }
    let everything = String::from_utf8(world.a.everything()).unwrap().to_lowercase();
    assert_eq!(everything.matches("0\r\nx-sum: abc\r\n\r\n").count(), 2, "{everything}");
    assert!(!everything.contains("evil") && !everything.contains(&credential), "{everything}");
}

/// The caller has all of it with the last byte of its length; what HTTP/2 has behind it is nothing to HTTP/1.
#[tokio::test]
async fn i6_the_record_of_an_answer_with_a_length_and_trailers_says_that_it_is_complete() {
    let upstream = Upstream::start(|seen| {
        let length = if seen.uri.ends_with("/none") { "0" } else { "2" };
        let (sender, rest) = channel();
        if length == "2" {
            sender.try_send(Frame::data(Bytes::from_static(b"hi"))).unwrap();
        }
        sender.try_send(Frame::trailers(trailers(&[]))).unwrap();
        Response::builder().header("content-length", length).body(rest).unwrap()
    })
    .await;
    let mut world = World::new().await.route(&in_clear("h.test", upstream.address)).start().await;
    let peer = Peer::connect(&world).await;
    for path in ["/x", "/none"] {
        let answer = world.send(world.request_to("h.test", "GET", path, "")).await;
        assert!(answer.complete && answer.status == 200, "{answer:?}");
        let answer = peer.send(request(&world, "GET", path, "h.test").body(empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let records = world.stop().await;
    assert_eq!(records.len(), 4, "{records:?}");
    assert!(records.iter().all(|record| record["complete"] == true), "{records:?}");
}

/// The library counts them for as long as a connection lives; some servers and clients send one before trailers, always.
#[tokio::test]
async fn an_empty_piece_before_each_messages_trailers_ends_no_connection() {
    let with_an_empty_piece = || {
        let (sender, body) = channel();
        for frame in [Frame::data("hi".into()), Frame::data("".into()), Frame::trailers(trailers(&[]))] {
            sender.try_send(frame).unwrap();
        }
        body
    };
    let upstream = Upstream::start(move |_| Response::new(with_an_empty_piece())).await;
    let world = World::new().await.route(&in_clear("h.test", upstream.address)).start().await;
    let peer = Peer::connect(&world).await;
    for n in 0..150 {
        let call = request(&world, "POST", "/x", "h.test").header("te", "trailers");
        let answer = peer.send(call.body(with_an_empty_piece()).unwrap()).await;
        assert_eq!((answer.status, &answer.body[..], answer.trailers.is_some()), (200, &b"hi"[..], true), "{n}");
    }
    assert!(upstream.seen().iter().all(|seen| seen.connection == 1 && seen.body == b"hi" && seen.trailers.is_some()));
}
