//! TLS with the called host and no other, relays, WebSockets.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::websocket::upstream::{Upstream as Sockets, asking, head, switching};
use crate::world::tls::{Authority, Front};
use crate::world::tunnel::{call, trusting};
use crate::world::{Started, World, logs, until, within};

/// `*.w.test` behind a server whose certificate is for `name`, with further lines of the route.
async fn behind(name: &str, more: &str) -> (Started, Front) {
    let authority = Authority::new();
    let world = World::new().await.forward();
    let front = authority.front(name, world.a.address).await;
    let ca = authority.file(world.directory.path()).display().to_string();
    let route =
        format!("{{upstream_host: \"*.w.test\", upstream_address: \"{}\", ca_file: {ca}{more}}}", front.address);
    (world.route(&route).start().await, front)
}

const SECRET: &str = ", secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{secret}}\"";

#[tokio::test]
async fn a_certificate_for_another_host_of_the_wildcard_is_not_good_enough() {
    let (world, front) = behind("one.w.test", SECRET).await;
    for (host, good) in [("one.w.test", true), ("two.w.test", false), ("one.w.test", true)] {
        let before = (world.a.seen().len(), front.sessions());
        let answer = world.get(host).await;
        if good {
            assert_eq!((answer.status, world.a.last().headers("host")), (200, vec![host]), "{answer:?}");
            continue;
        }
        world.assert_refused(&answer, 502, "UPSTREAM_ERROR", host).await;
        let id = answer.header("x-request-id").unwrap();
        let said = || logs::all().lines().any(|line| line.contains(id) && line.contains("no TLS session"));
        until("the log to say why", said).await;
        assert_eq!((world.a.seen().len(), front.sessions()), before, "a call with {host}");
    }
    // Nor does what one host has settled count for the other, in a tunnel.
    let before = front.sessions();
    let mut tls = world.tunnel("two.w.test:443").await;
    let answer = call(&mut tls, "GET /x HTTP/1.1\r\nHost: two.w.test\r\n\r\n").await;
    assert_eq!((answer.status, front.sessions()), (502, before), "{answer:?}");
}

#[tokio::test]
async fn a_certificate_for_all_of_them_is_good_for_each() {
    let (world, front) = behind("*.w.test", SECRET).await;
    for host in ["one.w.test", "two.w.test"] {
        assert_eq!((world.get(host).await.status, world.a.last().headers("host")), (200, vec![host]));
    }
    assert_eq!(front.sessions(), 2);
}

#[tokio::test]
async fn a_relay_leads_to_the_host_of_its_connect() {
    let (world, front) = behind("*.w.test", ", relay: true").await;
    let config = Arc::new(trusting(&world.directory.path().join("ca.pem")));
    for (host, name, good) in
        [("one.w.test", "one.w.test", true), ("one.w.test", "two.w.test", false), ("two.w.test", "two.w.test", true)]
    {
        let before = front.connections();
        let stream = world.opened(&format!("{host}:443")).await;
        let connecting = TlsConnector::from(config.clone()).connect(name.to_owned().try_into().unwrap(), stream);
        let opened = within("TLS through a relay", connecting).await;
        assert_eq!((opened.is_ok(), front.connections() - before), (good, usize::from(good)), "{name} in {host}");
        if let Ok(mut tls) = opened {
            let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!((answer.status, world.a.last().headers("host")), (200, vec![host]));
        }
    }
    let (_, answer) = world.open(world.connect_to("w.test:443", "")).await;
    world.assert_refused(&answer, 403, "HOST_NOT_ALLOWED", "the domain itself").await;
}

#[tokio::test]
async fn a_websocket_is_opened_with_the_called_host() {
    let mut upstream = Sockets::start().await;
    let world = World::new().await;
    let route = format!(
        "{{upstream_host: \"*.w.test\", upstream_scheme: http, upstream_address: \"{}\", websocket: true}}",
        upstream.address
    );
    let world = world.route(&route).start().await;
    for host in ["one.w.test", "two.w.test"] {
        let mut caller = world.connect().await;
        caller.write_all(world.request_to(host, "GET", "/chat", &asking()).as_bytes()).await.unwrap();
        let (seen, mut theirs) = upstream.next().await;
        assert_eq!(seen.headers("host"), [host]);
        theirs.write_all(switching("").as_bytes()).await.unwrap();
        assert!(head(&mut caller).await.starts_with("HTTP/1.1 101 "), "{host}");
    }
}
