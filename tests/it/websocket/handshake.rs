//! What opens a WebSocket, and what does not.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::upstream::{ACCEPT, Upstream, asking, head, switching};
use super::{closed, open, passes, world};
use crate::world::tls::Authority;
use crate::world::tunnel::call;
use crate::world::{World, raw, until, within};

#[tokio::test]
async fn nothing_of_the_caller_goes_up_before_the_answer() {
    let (world, mut upstream) = world().await;
    let mut caller = world.connect().await;
    let call = world.request_to("ws.test", "GET", "/chat", &asking());
    caller.write_all(format!("{call}\u{1}early").as_bytes()).await.unwrap();
    let (_, mut theirs) = upstream.next().await;
    world.assert_works("meanwhile").await;
    let nothing = theirs.try_read(&mut [0; 16]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    theirs.write_all(switching("").as_bytes()).await.unwrap();
    assert!(head(&mut caller).await.starts_with("HTTP/1.1 101 "));
    let mut early = [0; 6];
    within("the early bytes", theirs.read_exact(&mut early)).await.unwrap();
    assert_eq!(&early, b"\x01early");
}

#[tokio::test]
async fn d31_another_answer_is_an_ordinary_one_and_what_follows_is_judged_anew() {
    let (mut world, mut upstream) = world().await;
    let call = world.request_to("ws.test", "GET", "/chat", &asking());
    let stranger = "GET /stranger HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: ws.test\r\n\r\n";
    let last = world.request_to("a.test", "GET", "/x", "Connection: close\r\n");
    let mut caller = world.connect().await;
    caller.write_all(format!("{call}{stranger}{last}").as_bytes()).await.unwrap();
    let (_, mut theirs) = upstream.next().await;
    theirs.write_all(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 3\r\nUpgrade: foo\r\n\r\nnot").await.unwrap();
    closed(&mut theirs).await;
    let mut rest = Vec::new();
    within("the answers", caller.read_to_end(&mut rest)).await.unwrap();
    let answers = raw::parse_answers(&rest);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [426, 401, 200]);
    assert_eq!((answers[0].text().as_str(), answers[0].header("upgrade")), ("not", None));
    assert_eq!(world.stop().await.len(), 3);
}

#[tokio::test]
async fn a_wrong_101_is_the_upstreams_fault() {
    let (world, mut upstream) = world().await;
    let good = switching("");
    for wrong in [
        good.replace(ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),
        good.replace(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"), ""),
        good.replace("Upgrade: websocket", "Upgrade: h2c"),
        good.replace("Upgrade: websocket\r\n", "Upgrade: websocket\r\nUpgrade: h2c\r\n"),
        good.replace("Connection: Upgrade\r\n", ""),
        switching("Sec-WebSocket-Protocol: not-asked-for\r\n"),
        switching("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    ] {
        let mut caller = world.connect().await;
        caller.write_all(world.request_to("ws.test", "GET", "/chat", &asking()).as_bytes()).await.unwrap();
        let (_, mut theirs) = upstream.next().await;
        theirs.write_all(wrong.as_bytes()).await.unwrap();
        let answer = raw::read_answer(&mut caller).await;
        world.assert_refused(&answer, 502, "UPSTREAM_ERROR", &wrong).await;
        closed(&mut theirs).await;
    }
}

#[tokio::test]
async fn a_peer_that_is_gone_before_the_answer_ends_the_call() {
    let mut upstream = Upstream::start().await;
    let world = upstream.route(World::new().await, ", timeouts: {first_byte: 1s}").start().await;
    let call = world.request_to("ws.test", "GET", "/chat", &asking());

    let mut caller = world.connect().await;
    caller.write_all(call.as_bytes()).await.unwrap();
    let (_, mut theirs) = upstream.next().await;
    drop(caller);
    closed(&mut theirs).await;
    until("the record", || world.audit().len() == 1).await;

    let mut caller = world.connect().await;
    caller.write_all(call.as_bytes()).await.unwrap();
    drop(upstream.next().await);
    let answer = raw::read_answer(&mut caller).await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "the upstream is gone").await;

    caller.write_all(call.as_bytes()).await.unwrap();
    let (_, mut theirs) = upstream.next().await;
    let answer = raw::read_answer(&mut caller).await;
    world.assert_refused(&answer, 504, "UPSTREAM_TIMEOUT", "the upstream is silent").await;
    closed(&mut theirs).await;
}

#[tokio::test]
async fn d30_d34_what_asks_for_something_else_is_an_ordinary_request() {
    let (world, mut upstream) = world().await;
    let good = asking();
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n".to_owned();
    for (what, method, fields) in [
        ("d30 h2c", "GET", h2c),
        ("d30 both", "GET", good.replace("Upgrade: websocket", "Upgrade: websocket, h2c")),
        ("d34 by POST", "POST", format!("{good}Content-Length: 0\r\n")),
        ("d34 without Connection", "GET", good.replace("keep-alive, Upgrade", "keep-alive")),
        ("d34 version 12", "GET", good.replace("Version: 13", "Version: 12")),
        ("d34 no key", "GET", good.replace("Sec-WebSocket-Key", "X-Key")),
        ("d34 a short key", "GET", good.replace("==", "")),
    ] {
        let mut caller = world.connect().await;
        caller.write_all(world.request_to("ws.test", method, "/chat", &fields).as_bytes()).await.unwrap();
        let (seen, mut theirs) = upstream.next().await;
        for name in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(seen.header(name), None, "{what}");
        }
        theirs.write_all(switching("").as_bytes()).await.unwrap();
        assert_eq!(raw::read_answer(&mut caller).await.code(), "UPSTREAM_ERROR", "{what}");
    }
    let old = world.request_to("ws.test", "GET", "/chat", &good).replace("HTTP/1.1", "HTTP/1.0");
    let mut caller = world.connect().await;
    caller.write_all(old.as_bytes()).await.unwrap();
    assert_eq!(upstream.next().await.0.header("upgrade"), None, "d34 HTTP/1.0");
}

#[tokio::test]
async fn d33_a_call_for_a_websocket_with_a_body_is_refused() {
    let (world, _upstream) = world().await;
    for host in ["ws.test", "a.test"] {
        for body in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
            let call = world.request_to(host, "GET", "/chat", &format!("{}{body}", asking()));
            world.assert_rejected(format!("{call}hello"), &[400], body).await;
        }
    }
}

#[tokio::test]
async fn under_tls_the_upstream_is_asked_for_http_1() {
    let mut upstream = Upstream::start().await;
    let authority = Authority::new();
    let front = authority.front_speaking(&["h2", "http/1.1"], "tls.test", upstream.address).await;
    let world = World::new().await;
    let ca = authority.file(world.directory.path()).display().to_string();
    let address = front.address;
    let route = format!("{{upstream_host: tls.test, upstream_address: \"{address}\", ca_file: {ca}, websocket: true}}");
    let world = world.route(&route).start().await;
    let mut caller = world.connect().await;
    caller.write_all(world.request_to("tls.test", "GET", "/chat", &asking()).as_bytes()).await.unwrap();
    let mut theirs = upstream.opens().await;
    assert!(head(&mut caller).await.starts_with("HTTP/1.1 101 "));
    passes(&mut caller, &mut theirs, b"up").await;
    passes(&mut theirs, &mut caller, b"down").await;
}

#[tokio::test]
async fn tunnels_of_a_route_with_websockets_speak_no_http_2() {
    let upstream = Upstream::start().await;
    let world = upstream.route(World::new().await.forward(), "").start().await;
    let mut config = world.trusting();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    // Twice, as certificates are kept.
    for (host, version) in [("ws.test", "http/1.1"), ("a.test", "h2"), ("ws.test", "http/1.1"), ("a.test", "h2")] {
        let stream = world.opened(&format!("{host}:80")).await;
        let name = host.to_owned().try_into().unwrap();
        let tls = within("TLS", TlsConnector::from(config.clone()).connect(name, stream)).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(version.as_bytes()), "{host}");
    }
}

#[tokio::test]
async fn without_the_key_a_route_has_no_websockets() {
    let world = World::new().await.start().await;
    let answer = world.send(world.ok(&asking())).await;
    assert_eq!((answer.status, world.a.last().header("upgrade")), (200, None));
}

#[tokio::test]
async fn a_connection_on_which_none_was_opened_is_closed_like_any_other() {
    let world = World::new().await.forward().start().await;
    for upgrade in [asking(), "Connection: Upgrade\r\nUpgrade: foo\r\n".to_owned()] {
        let mut tls = world.tunnel("a.test:80").await;
        let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: a.test:80\r\n{upgrade}\r\n")).await;
        assert_eq!(answer.status, 200, "{upgrade}");
        let last = "GET /x HTTP/1.1\r\nHost: a.test:80\r\nConnection: close\r\n\r\n";
        assert_eq!(call(&mut tls, last).await.status, 200, "{upgrade}");
        // An end without `close_notify` would be an error.
        assert_eq!(within("the end", tls.read_to_end(&mut Vec::new())).await.unwrap(), 0, "{upgrade}");
    }
}

#[tokio::test]
async fn a_websocket_leaves_other_calls_alone() {
    let (world, mut upstream) = world().await;
    let (mut caller, mut theirs) = open(&world, &mut upstream).await;
    world.assert_works("beside a WebSocket").await;
    passes(&mut caller, &mut theirs, b"still there").await;
}
