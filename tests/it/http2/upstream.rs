//! An upstream that speaks HTTP/2, by hyper; and calls that go to one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::peer::{Body, Peer, empty, full, request};
use crate::world::tls::Authority;
use crate::world::{World, raw};

/// One request as it arrived, whole.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub uri: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    pub connection: usize,
}

#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Answer = Response<Body>;

impl Upstream {
    /// Reads each request to its end and answers it so.
    pub async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Upstream {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let list = seen.clone();
        let answer = Arc::new(answer);
        let address = serve(move |request, connection| {
            let (list, answer) = (list.clone(), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let Ok(body) = body.collect().await else { return Response::new(empty()) };
                let trailers = body.trailers().cloned();
                let seen = Seen {
                    method: head.method,
                    uri: head.uri.to_string(),
                    version: head.version,
                    headers: head.headers,
                    body: body.to_bytes().to_vec(),
                    trailers,
                    connection,
                };
                list.lock().unwrap().push(seen.clone());
                answer(&seen)
            }
        })
        .await;
        Upstream { address, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the upstream saw no request")
    }
}

/// Listens in clear for HTTP/2; the service gets the connection's number as well.
pub async fn serve<F, S>(service: S) -> SocketAddr
where
    F: Future<Output = Answer> + Send + 'static,
    S: Fn(Request<Incoming>, usize) -> F + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for connection in 1.. {
            let Ok((stream, _)) = listener.accept().await else { break };
            let service = service.clone();
            let service = service_fn(move |request| {
                let answer = service(request, connection);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// A route in clear to an upstream of HTTP/2.
pub fn in_clear(host: &str, address: SocketAddr) -> String {
    format!(
        "{{upstream_host: {host}, upstream_scheme: http, upstream_http2: true, upstream_address: \"{address}\", secret_id: KEY_A, inject_header: Authorization, header_value_template: \"Bearer {{{{secret}}}}\", timeouts: {{first_byte: 5s, idle: 5s}}}}"
    )
}

#[tokio::test]
async fn an_upstream_that_offers_http_2_gets_it() {
    let authority = Authority::new();
    let upstream = Upstream::start(|seen| Response::new(full(format!("{} bytes", seen.body.len())))).await;
    let both = authority.front_speaking(&["h2", "http/1.1"], "both.test", upstream.address).await;
    let new = authority.front_speaking(&["h2"], "new.test", upstream.address).await;
    let world = World::new().await;
    let old = authority.front_speaking(&["http/1.1"], "old.test", world.a.address).await;
    let never = authority.front_speaking(&["h2", "http/1.1"], "never.test", world.a.address).await;
    let ca = authority.file(world.directory.path());
    let route = |host: &str, address, more: &str| {
        format!(
            "{{upstream_host: {host}, upstream_address: \"{address}\", ca_file: \"{}\", secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"{more}}}",
            ca.display()
        )
    };
    let world = world
        .route(&route("both.test", both.address, ""))
        .route(&route("new.test", new.address, ", upstream_http2: true"))
        .route(&route("old.test", old.address, ""))
        .route(&route("never.test", never.address, ", upstream_http2: false"))
        .start()
        .await;
    let peer = Peer::connect(&world).await;
    for host in ["both.test", "new.test"] {
        let mut connections = std::collections::BTreeSet::new();
        for _ in 0..3 {
            // From HTTP/1.1, and from HTTP/2.
            let fields = "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\nContent-Length: 5\r\n";
            let answer = world.send(format!("{}hello", world.request_to(host, "POST", "/x?y", fields))).await;
            assert_eq!((answer.status, answer.text()), (200, "5 bytes".to_owned()), "{answer:?}");
            let seen = upstream.last();
            assert_eq!((seen.version, &*seen.uri), (Version::HTTP_2, &*format!("https://{host}/x?y")));
            assert_eq!(seen.headers["x-key"], world.canary_a());
            // `host` too: beside `:authority`, nginx takes it for a second one.
            let hop =
                ["host", "connection", "x-hop", "keep-alive", "te", "transfer-encoding", "upgrade", "x-session-secret"];
            for gone in hop {
                assert!(!seen.headers.contains_key(gone), "{gone}: {seen:?}");
            }
            let answer = peer.send(request(&world, "GET", "/", host).body(empty()).unwrap()).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &b"0 bytes"[..]));
            assert_eq!(upstream.last().method, "GET");
            connections.insert(upstream.last().connection);
        }
        assert_eq!(connections.len(), 1, "one connection for all calls");
    }
    for host in ["old.test", "never.test"] {
        assert_eq!(world.get(host).await.status, 200, "{host}");
        assert_eq!(world.a.last().line(), "GET /x HTTP/1.1");
    }
    assert_eq!((both.connections(), new.connections()), (1, 1));
}

#[tokio::test]
async fn http_2_in_clear_is_spoken_where_the_route_says_so() {
    let upstream = Upstream::start(|_| Response::new(full("fine"))).await;
    let world = World::new().await.route(&in_clear("h.test", upstream.address)).start().await;
    let answer = world.get("h.test").await;
    assert_eq!((answer.status, answer.text()), (200, "fine".to_owned()));
    assert_eq!(upstream.last().version, Version::HTTP_2);
    // A body of unknown length, chunked here and framed there.
    let mut stream = world.connect().await;
    let head = world.request_to("h.test", "POST", "/x", "Transfer-Encoding: chunked\r\n");
    stream.write_all(format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer(&mut stream).await.status, 200);
    assert_eq!(upstream.last().body, b"hello");
    assert!(!upstream.last().headers.contains_key("transfer-encoding"));
    // Who does not speak it is a broken upstream.
    let (a, host) = (world.a.address, "http1.test");
    let other = World::new().await.route(&in_clear(host, a)).start().await;
    assert_eq!(other.get(host).await.status, 502);
}
