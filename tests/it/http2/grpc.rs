//! gRPC through the proxy (the protocol's own description: HTTP/2 frames, `te: trailers`, a status behind the body).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;

use super::peer::{Peer, channel, empty, full, request};
use super::upstream::{Upstream, in_clear, serve};
use crate::world::{World, within};

/// A length-prefixed message.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0][..], &length, text.as_bytes()].concat().into()
}

fn status(code: &'static str) -> HeaderMap {
    [("grpc-status", code), ("grpc-message", "as asked"), ("x-trace", "t1")]
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .into_iter()
        .collect()
}

fn call(world: &crate::world::Started, host: &str) -> http::request::Builder {
    request(world, "POST", "/echo.Echo/Say", host)
        .header("te", "trailers")
        .header("content-type", "application/grpc+proto")
}

#[tokio::test]
async fn a_unary_call_gets_its_message_and_its_status() {
    let upstream = Upstream::start(|seen| {
        let (sender, body) = channel();
        sender.try_send(Frame::data(Bytes::copy_from_slice(&seen.body))).unwrap();
        let mut trailers = status("0");
        trailers.insert("set-cookie", HeaderValue::from_static("a=b"));
        sender.try_send(Frame::trailers(trailers)).unwrap();
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await;
    let mut world = World::new().await.route(&in_clear("grpc.test", upstream.address)).start().await;
    let peer = Peer::connect(&world).await;
    let answer = peer.send(call(&world, "grpc.test").body(full(message("hello"))).unwrap()).await;
    assert_eq!((answer.status, answer.body), (200, message("hello").to_vec()));
    let trailers = answer.trailers.expect("trailers");
    assert!(trailers["grpc-status"] == "0" && trailers["x-trace"] == "t1", "{trailers:?}");
    assert!(!trailers.contains_key("set-cookie"));
    let seen = upstream.last();
    assert!(seen.headers["te"] == "trailers" && seen.headers["content-type"] == "application/grpc+proto", "{seen:?}");
    let records = world.stop().await;
    assert_eq!((records.len(), &records[0]["complete"]), (1, &true.into()), "{records:?}");
}

#[tokio::test]
async fn a_status_without_a_message_reaches_the_caller() {
    let upstream = Upstream::start(|_| {
        let mut answer = Response::new(empty());
        answer.headers_mut().extend(status("5"));
        answer
    })
    .await;
    let world = World::new().await.route(&in_clear("grpc.test", upstream.address)).start().await;
    let answer = Peer::connect(&world).await.send(call(&world, "grpc.test").body(full(message("x"))).unwrap()).await;
    assert_eq!((answer.status, &answer.headers["grpc-status"]), (200, &HeaderValue::from_static("5")));
}

/// Each message passes before the next one is sent, either way.
#[tokio::test]
async fn a_stream_both_ways_flows_while_it_is_open() {
    let address = serve(|incoming, _| async move {
        let (sender, body) = channel();
        tokio::spawn(async move {
            let mut incoming = incoming.into_body();
            while let Some(Ok(frame)) = incoming.frame().await {
                let Ok(data) = frame.into_data() else { continue };
                if sender.send(Frame::data(data)).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(Frame::trailers(status("0"))).await;
        });
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await;
    let world = World::new().await.route(&in_clear("grpc.test", address)).start().await;
    let peer = Peer::connect(&world).await;
    let (sender, body) = channel();
    let answer = peer.begin(call(&world, "grpc.test").body(body).unwrap()).await.unwrap();
    let mut answer = answer.into_body();
    for text in ["one", "two", "three"] {
        sender.try_send(Frame::data(message(text))).unwrap();
        let echoed = within(text, answer.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(echoed, message(text));
    }
    drop(sender);
    let end = within("the status", answer.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(end["grpc-status"], "0");
}

/// A client of gRPC makes its status of the HTTP one; the body is for whoever looks.
#[tokio::test]
async fn our_own_refusals_are_http_and_an_upstream_of_http_1_is_one() {
    let world = World::new().await.start().await;
    let peer = Peer::connect(&world).await;
    let refused = peer.send(call(&world, "nobody.test").body(full(message("x"))).unwrap()).await;
    assert_eq!((refused.status, &*refused.code()), (403, "HOST_NOT_ALLOWED"));
    assert_eq!(refused.headers["content-type"], "application/json");
    let old = peer.send(call(&world, "a.test").body(full(message("x"))).unwrap()).await;
    assert_eq!((old.status, &*old.code()), (502, "UPSTREAM_ERROR"));
    world.assert_nothing_sent("gRPC");
}
