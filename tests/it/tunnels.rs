//! Group G of hostile-cases.md: CONNECT, and what is inside of tunnels.

mod inside;
mod relays;
mod rotation;
mod sessions;
mod weaknesses;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::raw;
use crate::world::tunnel::call;
use crate::world::{Started, World, within};

/// Nothing more comes, and the connection ends.
async fn assert_closed(mut stream: TcpStream, what: &str) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is a close, too.
    let _ = within(what, stream.read_to_end(&mut rest)).await;
    rest
}

async fn refused(world: &Started, connect: &str, status: u16, code: &str) {
    let (_, answer) = world.open(connect).await;
    world.assert_refused(&answer, status, code, connect).await;
}

#[tokio::test]
async fn g01_connect_without_a_credential_is_407_and_costs_nothing() {
    let world = World::new().await.forward().start().await;
    let (mut stream, answer) = world.open("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await;
    let record = world.assert_refused(&answer, 407, "UNAUTHORIZED", "g01").await;
    assert_eq!((&record["method"], &record["path"]), (&"CONNECT".into(), &"".into()));
    // The same connection can be used: for a request of another kind, and for a better CONNECT.
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer(&mut stream).await.status, 200);
    stream.write_all(world.connect_to("a.test:80", "").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer_to_connect(&mut stream).await.status, 200);
    let wrong =
        "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\nProxy-Authorization: Bearer wrong-wrong-wrong\r\n\r\n";
    refused(&world, wrong, 407, "UNAUTHORIZED").await;
}

#[tokio::test]
async fn g02_both_schemes_open_a_tunnel_and_requests_inside_need_nothing_more() {
    use base64::Engine as _;
    let world = World::new().await.forward().start().await;
    let secret = world.session_secret();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("x:{secret}"));
    for credential in [
        format!("Proxy-Authorization: Bearer {secret}\r\n"),
        format!("Proxy-Authorization: Basic {basic}\r\n"),
        format!("X-Session-Secret: {secret}\r\n"),
    ] {
        let connect = format!("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n{credential}\r\n");
        let (stream, answer) = world.open(connect).await;
        assert_eq!(answer.status, 200, "{credential}: {answer:?}");
        for field in ["content-length", "transfer-encoding"] {
            assert_eq!(answer.header(field), None, "RFC 9110 section 9.3.6");
        }
        let record = world.record(&answer).await;
        assert_eq!((&record["method"], &record["status"]), (&"CONNECT".into(), &200.into()));
        assert_eq!((&record["upstream_host"], &record["complete"]), (&"a.test".into(), &true.into()));
        let mut tls = world.shake_hands(stream, "a.test").await.unwrap();
        let answer = call(&mut tls, "GET /v1 HTTP/1.1\r\nHost: a.test:80\r\nX-App: mine\r\n\r\n").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        let seen = world.a.last();
        assert_eq!(seen.headers("authorization"), [format!("Bearer {}", world.canary_a())]);
        assert_eq!((seen.headers("host"), seen.header("x-app")), (vec!["a.test"], Some("mine")));
        assert!(!seen.head.contains(&secret) && !seen.head.contains(&basic), "{}", seen.head);
        let record = world.record(&answer).await;
        assert_eq!((&record["method"], &record["intercepted"]), (&"GET".into(), &true.into()));
        assert_eq!((&record["identity"]["user_id"], &record["auth_method"]), (&"alice".into(), &"session".into()));
    }
}

#[tokio::test]
async fn g03_g04_only_hosts_and_ports_of_routes_are_reached() {
    let world = World::new().await.forward().start().await;
    for target in [
        "a.test:443",
        "a.test:22",
        "a.test:25",
        "a.test:6443",
        "a.test:10250",
        "a.test:8088",
        "c.test:80",
        "127.0.0.1:443",
        "[::1]:443",
        "169.254.169.254:80",
    ] {
        refused(&world, &world.connect_to(target, ""), 403, "HOST_NOT_ALLOWED").await;
    }
    for target in ["2130706433:443", "0x7f.1:443", "a..test:80", "-a.test:80", "a.test:99999", "a.test:0080"] {
        let connect = world.connect_to(target, "").replace(&format!("Host: {target}"), "Host: a.test");
        refused(&world, &connect, 400, "INVALID_HOST").await;
    }
    for target in ["[a.test]:443", "a.test", "a.test:", "u:p@a.test:80", "http://a.test:80", "/x", "*"] {
        let connect = world.connect_to(target, "").replace(&format!("Host: {target}"), "Host: a.test");
        refused(&world, &connect, 400, "INVALID_PATH").await;
    }
    for target in ["a.test.:80", "A.TEST:80"] {
        drop(world.opened(target).await);
    }
    world.assert_nothing_sent("no tunnel was used");
}

#[tokio::test]
async fn g04_an_address_is_reached_when_a_route_lists_it() {
    let world = World::new().await.forward();
    let address = world.a.address;
    let world = world.route(&format!("{{upstream_host: \"{address}\", upstream_scheme: http}}")).start().await;
    let stream = world.opened(&address.to_string()).await;
    // A client names no server then.
    let mut tls = world.shake_hands(stream, "127.0.0.1").await.unwrap();
    let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
    assert_eq!((answer.status, world.a.seen().len()), (200, 1));
}

#[tokio::test]
async fn g05_host_agrees_and_there_is_no_body() {
    let world = World::new().await.forward().start().await;
    let with = |lines: &str| format!("CONNECT a.test:80 HTTP/1.1\r\n{lines}{}\r\n", world.proxy_credential());
    for lines in ["Host: b.test:80\r\n", "Host: a.test:443\r\n", "Host: a.test:80\r\nX-Upstream-Host: b.test\r\n"] {
        refused(&world, &with(lines), 400, "INVALID_HOST").await;
    }
    for lines in ["", "Host: a.test:80\r\nHost: a.test:80\r\n"] {
        refused(&world, &with(lines), 400, "INVALID_HOST").await;
    }
    for lines in ["Content-Length: 0\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let connect = format!("{}hello", with(&format!("Host: a.test:80\r\n{lines}")));
        refused(&world, &connect, 400, "BAD_REQUEST").await;
    }
    for connect in [
        with("Host: a.test\r\n"),
        with("Host: A.test.:80\r\n"),
        // Python before 3.12.
        format!("CONNECT a.test:80 HTTP/1.0\r\n{}\r\n", world.proxy_credential()),
    ] {
        let (stream, answer) = world.open(&connect).await;
        assert_eq!(answer.status, 200, "{connect}: {answer:?}");
        assert!(world.shake_hands(stream, "a.test").await.is_ok(), "{connect}");
    }
}

#[tokio::test]
async fn g06_bytes_that_come_with_connect_are_not_lost_and_not_parsed() {
    let world = World::new().await.forward().start().await;
    // A ClientHello in the same segment.
    let mut config = world.trusting();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = rustls_pki_types::ServerName::try_from("a.test").unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut bytes = world.connect_to("a.test:80", "").into_bytes();
    client.write_tls(&mut bytes).unwrap();
    let (mut stream, answer) = world.open(&bytes).await;
    assert_eq!(answer.status, 200);
    let mut chunk = [0; 4096];
    while client.is_handshaking() {
        while client.wants_write() {
            let mut out = Vec::new();
            client.write_tls(&mut out).unwrap();
            stream.write_all(&out).await.unwrap();
        }
        if client.is_handshaking() {
            let n = within("the server's flight", stream.read(&mut chunk)).await.unwrap();
            assert!(n > 0, "closed within the handshake");
            client.read_tls(&mut &chunk[..n]).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));

    // A request in the same segment is no request: it is what should have been TLS.
    let smuggled = format!("{}{}", world.connect_to("a.test:80", ""), world.ok(""));
    let (stream, answer) = world.open(&smuggled).await;
    assert_eq!(answer.status, 200);
    let rest = assert_closed(stream, "g06").await;
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/"), "{}", rest.escape_ascii());
    world.assert_nothing_sent("g06");

    // Behind a refused CONNECT it is a request of its own.
    let both = format!("{}{}", world.connect_to("c.test:80", ""), world.ok(""));
    let (mut stream, answer) = world.open(&both).await;
    assert_eq!(answer.status, 403);
    assert_eq!(raw::read_answer(&mut stream).await.status, 200);
    assert_eq!(world.a.seen().len(), 1);
}

#[tokio::test]
async fn without_a_ca_connect_says_what_to_do() {
    let world = World::new().await.start().await;
    let (_, answer) = world.open(world.connect_to("a.test:80", "")).await;
    world.assert_refused(&answer, 405, "METHOD_NOT_ALLOWED", "no CA").await;
    assert!(answer.json()["hint"].as_str().unwrap().contains("veilwarden ca init"), "{answer:?}");
    world.assert_works("no CA").await;
}

#[tokio::test]
async fn a_tunnel_ends_with_the_drain() {
    let mut world = World::new().await.forward().config("limits: {drain_timeout: 20s}").start().await;
    let mut idle = world.tunnel("a.test:80").await;
    assert_eq!(call(&mut idle, "GET /x HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await.status, 200);
    let stopped = std::time::Instant::now();
    let records = world.stop().await;
    assert!(stopped.elapsed() < Duration::from_secs(15), "an idle tunnel was waited for");
    assert_eq!(records.len(), 2, "{records:?}");
    let mut rest = Vec::new();
    let _ = within("the end", idle.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn an_idle_tunnel_is_closed() {
    let world = World::new().await.forward().config("limits: {idle_timeout: 1s, header_timeout: 1s}").start().await;
    let mut tls = world.tunnel("a.test:80").await;
    let mut rest = Vec::new();
    let _ = within("the end of an idle tunnel", tls.read_to_end(&mut rest)).await;
    assert_closed(world.opened("a.test:80").await, "a tunnel without a ClientHello").await;
}

#[tokio::test]
async fn however_it_ends_a_connection_on_which_connect_was_refused_is_let_go() {
    let world = World::new().await.forward().config("limits: {idle_timeout: 1s, header_timeout: 1s}").start().await;
    let (idle, answer) = world.open(world.connect_to("c.test:80", "")).await;
    assert_eq!(answer.status, 403);
    let (closed, _) = world.open(world.connect_to("c.test:80", "")).await;
    let (reset, _) = world.open(world.connect_to("c.test:80", "")).await;
    let (mut half, _) = world.open(world.connect_to("c.test:80", "")).await;
    half.write_all(b"GET /x HT").await.unwrap();
    drop(closed);
    reset.set_zero_linger().unwrap();
    drop(reset);
    assert_closed(idle, "idle").await;
    assert_closed(half, "half a head").await;
    within("no connection is left", async {
        while world.sample("veilwarden_connections").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
