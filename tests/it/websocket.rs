//! WebSocket over HTTP/1.1: rows D30 to D38 of hostile-cases.md where a route has WebSockets.

mod ends;
mod handshake;
mod random;
pub mod upstream;
mod volume;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Started, World, until, within};
use upstream::{Upstream, asking, head, switching};

trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A world with `ws.test`, and its upstream.
async fn world() -> (Started, Upstream) {
    let upstream = Upstream::start().await;
    let world = upstream.route(World::new().await, "").start().await;
    (world, upstream)
}

/// The two ends of a WebSocket that was opened through the proxy.
pub async fn open(world: &Started, upstream: &mut Upstream) -> (TcpStream, TcpStream) {
    let mut caller = world.connect().await;
    caller.write_all(world.request_to("ws.test", "GET", "/chat", &asking()).as_bytes()).await.unwrap();
    let theirs = upstream.opens().await;
    assert!(head(&mut caller).await.starts_with("HTTP/1.1 101 "));
    (caller, theirs)
}

/// Bytes pass from one end to the other.
async fn passes(from: &mut (impl Bytes + ?Sized), to: &mut (impl Bytes + ?Sized), bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    from.flush().await.unwrap();
    let mut arrived = vec![0; bytes.len()];
    within("the bytes", to.read_exact(&mut arrived)).await.unwrap();
    assert_eq!(arrived, bytes);
}

/// Nothing more comes, and the connection ends.
async fn closed(stream: &mut (impl Bytes + ?Sized)) {
    let mut rest = Vec::new();
    // A reset is a close, too.
    let _ = within("the end of a WebSocket", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
}

/// The record of the world's only WebSocket; waits for it.
async fn record(world: &Started) -> Value {
    let find = || world.audit().into_iter().find(|record| record["status"] == 101);
    until("the record", || find().is_some()).await;
    find().unwrap()
}

/// `GET /chat` in each way that leads to `ws.test`, on a connection that is ready for it.
async fn every_way(world: &Started, fields: &str) -> Vec<(&'static str, Box<dyn Bytes>, String)> {
    let (credential, proxy_credential) = (world.credential(), world.proxy_credential());
    let whole = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n{lines}{fields}\r\n");
    vec![
        ("reverse", Box::new(world.connect().await), world.request_to("ws.test", "GET", "/chat", fields)),
        (
            "base URL",
            Box::new(world.connect().await),
            whole("/_route/ws/chat", &format!("Host: 10.1.2.3:8088\r\n{credential}")),
        ),
        (
            "absolute-form",
            Box::new(world.connect().await),
            whole("http://ws.test/chat", &format!("Host: ws.test\r\n{proxy_credential}")),
        ),
        ("tunnel", Box::new(world.tunnel("ws.test:80").await), whole("/chat", "Host: ws.test:80\r\n")),
    ]
}

#[tokio::test]
async fn a_websocket_takes_the_whole_road_in_every_way_in() {
    let mut upstream = Upstream::start().await;
    let mut world = upstream.route(World::new().await.forward(), "").start().await;
    let fields = format!(
        "{}Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: \
         Bearer mine\r\nOrigin: https://app.test\r\n",
        asking()
    );
    let ways = every_way(&world, &fields).await;
    for (way, mut caller, call) in ways {
        caller.write_all(call.as_bytes()).await.unwrap();
        let (seen, mut theirs) = upstream.next().await;
        assert_eq!(seen.line(), "GET /chat HTTP/1.1", "{way}");
        for (name, value) in [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("host", "ws.test"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", upstream::KEY),
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("origin", "https://app.test"),
            ("authorization", &format!("Bearer {}", world.canary_a())),
        ] {
            assert_eq!(seen.headers(name), [value], "{way}");
        }
        assert!(!seen.head.contains(&world.session_secret()), "{way}: {}", seen.head);
        let answer = switching(
            "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nAlt-Svc: h3\r\n",
        );
        // The first frame comes with the answer.
        theirs.write_all(format!("{answer}first").as_bytes()).await.unwrap();
        let head = head(&mut caller).await;
        for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-protocol: chat", "x-request-id: "] {
            assert!(head.to_ascii_lowercase().contains(&format!("\r\n{line}")), "{way}: {head}");
        }
        for name in ["alt-svc", "content-length", "transfer-encoding"] {
            assert!(!head.to_ascii_lowercase().contains(name), "{way}: {head}");
        }
        let mut first = [0; 5];
        within("the first frame", caller.read_exact(&mut first)).await.unwrap();
        assert_eq!(&first, b"first", "{way}");
        passes(&mut *caller, &mut theirs, b"\x81\x85abcd\0\x01\x02\x03\x04GET / HTTP/1.1\r\n\r\n").await;
        passes(&mut theirs, &mut *caller, b"\x81\x05hello").await;
        caller.shutdown().await.unwrap();
        closed(&mut theirs).await;
        drop(theirs);
        closed(&mut *caller).await;
    }
    let records: Vec<Value> = world.stop().await.into_iter().filter(|record| record["method"] == "GET").collect();
    assert_eq!(records.len(), 4, "one record each: {records:?}");
    for record in records {
        assert_eq!((&record["status"], &record["decision"]), (&101.into(), &"allow".into()));
        assert_eq!((&record["upstream_host"], &record["path"]), (&"ws.test".into(), &"/chat".into()));
        assert_eq!((&record["request_bytes"], &record["response_bytes"]), (&29.into(), &12.into()), "{record}");
        assert_eq!((&record["complete"], &record["secret_id"]), (&true.into(), &"KEY_A".into()));
    }
}

#[tokio::test]
async fn a_websocket_is_judged_like_any_call() {
    let upstream = Upstream::start().await;
    let module = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\nallow if input.path == \"/open\"\n";
    let world = upstream.route(World::new().await.rego(module), "").start().await;
    let denied = world.send(world.request_to("ws.test", "GET", "/chat", &asking())).await;
    world.assert_refused(&denied, 403, "POLICY_DENIED", "policy").await;
    let stranger = format!("GET /open HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: ws.test\r\n{}\r\n", asking());
    world.assert_refused(&world.send(stranger).await, 401, "UNAUTHORIZED", "no credential").await;
}
