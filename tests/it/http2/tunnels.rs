//! HTTP/2 inside of a tunnel, chosen by ALPN.

use http::Request;

use super::peer::{Answer, Peer, empty, full};
use super::upstream::{Upstream, in_clear};
use crate::world::tunnel::call;
use crate::world::{World, until};

async fn get(peer: &Peer, uri: &str) -> Answer {
    peer.send(Request::get(uri).body(empty()).unwrap()).await
}

#[tokio::test]
async fn g20_each_side_speaks_what_it_can() {
    let upstream = Upstream::start(|seen| http::Response::new(full(seen.uri.clone()))).await;
    let mut world = World::new().await.forward().route(&in_clear("h.test", upstream.address)).start().await;
    // HTTP/2 to an upstream of HTTP/1.1.
    let tls = world.tunnel_in("a.test:80", &["h2", "http/1.1"]).await;
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let peer = Peer::over(tls).await;
    let answer = get(&peer, "https://a.test:80/x?y").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "{answer:?}");
    assert_eq!(world.a.last().line(), "GET /x?y HTTP/1.1");
    assert_eq!(world.a.last().header("authorization"), Some(&*format!("Bearer {}", world.canary_a())));
    // The rules of the E rows hold, and the tunnel's host.
    for (uri, status, code) in [
        ("http://a.test:80/x", 400, "BAD_REQUEST"),
        ("https://b.test:80/x", 421, "MISDIRECTED"),
        ("https://a.test:80/a//b", 400, "INVALID_PATH"),
    ] {
        let answer = get(&peer, uri).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{uri}: {answer:?}");
    }
    assert_eq!(get(&peer, "https://a.test:80/healthz").await.body, b"ok", "a path of the upstream");
    // HTTP/1.1 to one of HTTP/2, and HTTP/2 to it.
    let mut tls = world.tunnel_in("h.test:80", &["http/1.1"]).await;
    let answer = call(&mut tls, "GET /one HTTP/1.1\r\nHost: h.test:80\r\n\r\n").await;
    assert_eq!((answer.status, answer.text()), (200, "http://h.test/one".to_owned()), "{answer:?}");
    let peer = Peer::over(world.tunnel_in("h.test:80", &["h2"]).await).await;
    assert_eq!(get(&peer, "https://h.test:80/two").await.body, b"http://h.test/two");
    drop((peer, tls));
    let records = world.stop().await;
    let inside = records.iter().filter(|record| record["method"] == "GET").count();
    assert_eq!(inside, 6, "{records:?}");
}

#[tokio::test]
async fn a_revoked_token_ends_the_connection_inside() {
    let world = World::new().await.kubernetes().await.kubernetes_options("cache_ttl: 0s, negative_cache_ttl: 0s");
    let world = world.forward().start().await;
    let peer = Peer::over(world.tunnel_in("a.test:80", &["h2"]).await).await;
    assert_eq!(get(&peer, "https://a.test:80/x").await.status, 200);
    world.kubernetes.as_ref().unwrap().revoke();
    assert_eq!(get(&peer, "https://a.test:80/x").await.status, 407);
    until("the connection's end", || peer.is_closed()).await;
    assert_eq!(world.a.seen().len(), 1);
}
