//! Upgrades, as long as none is supported: a request that asks for one is an ordinary request.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::World;
use crate::framing::fill;
use crate::world::exchange::Pieces;
use crate::world::raw;

#[tokio::test]
async fn d30_d34_nobody_is_asked_to_upgrade() {
    let world = World::new().await.start().await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (what, method, fields) in [
        (
            "d30 h2c",
            "GET",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n".to_owned(),
        ),
        ("d34 a WebSocket", "GET", format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}")),
        ("d34 by POST", "POST", format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}Content-Length: 0\r\n")),
        ("d34 without Connection", "GET", format!("Upgrade: websocket\r\n{key}")),
    ] {
        let seen = world.forwards(world.request(method, "/x", &fields), what).await;
        for name in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(seen.header(name), None, "{what}");
        }
    }
    world.a.answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let answer = world.send(world.ok(&format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}"))).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "UPSTREAM_ERROR"));
}

#[tokio::test]
async fn d31_what_follows_a_refused_upgrade_is_a_request_of_its_own() {
    for protocol in ["foo", "websocket"] {
        what_follows_is_a_request(protocol).await;
    }
}

async fn what_follows_is_a_request(protocol: &str) {
    let mut world = World::new().await.start().await;
    let upgrade = format!("GET /x HTTP/1.1\r\n$OKConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    let stranger = "GET /stranger HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n\r\n";
    let probe = "GET /probe HTTP/1.1\r\nConnection: close\r\n$OK\r\n";
    let outcome = world.exchange(&fill(&world, format!("{upgrade}{stranger}{probe}").as_bytes()), Pieces::Whole).await;
    assert_eq!(outcome.answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 401, 200]);
    assert_eq!(outcome.left.iter().map(|seen| seen.target()).collect::<Vec<_>>(), ["/x", "/probe"]);
    assert_eq!(world.stop().await.len(), 3);
}

/// hyper keeps such a connection for a protocol that might follow, which none does.
#[tokio::test]
async fn d31_a_connection_on_which_an_upgrade_was_refused_outlasts_a_pause() {
    let world = World::new().await.forward().start().await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (what, asked) in [
        ("h2c", world.ok("Connection: Upgrade\r\nUpgrade: h2c\r\n")),
        ("a WebSocket", world.ok(&format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}"))),
        ("CONNECT", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".to_owned()),
    ] {
        let mut caller = world.connect().await;
        for at in ["at once", "after a pause", "after another"] {
            caller.write_all(asked.as_bytes()).await.unwrap();
            assert_ne!(raw::read_answer(&mut caller).await.status, 0, "{what} {at}");
            // Longer than a parser is kept for the next request: time is what is tested.
            let closed = tokio::time::timeout(Duration::from_millis(300), caller.read(&mut [0; 1])).await;
            assert!(closed.is_err(), "{what} {at}: {closed:?}");
        }
        caller.write_all(world.ok("Connection: close\r\n").as_bytes()).await.unwrap();
        assert_eq!(raw::read_answer(&mut caller).await.status, 200, "{what}");
    }
}
