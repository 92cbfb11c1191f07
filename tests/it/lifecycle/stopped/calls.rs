//! Calls that are in flight when the process is stopped, each somewhere else on its way.

use std::sync::Arc;

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::servers::{self, LARGE, Secure};
use super::{Flight, Stopped, expect};
use crate::http2::peer::{self, Peer, empty};
use crate::websocket;
use crate::websocket::upstream::Upstream;
use crate::world::kubernetes::token;
use crate::world::{Started, raw, until, within};

/// Writes a request and, when the process is stopped, reads its answer.
async fn asked(world: &Arc<Started>, request: &str) -> TcpStream {
    let mut stream = world.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The upstream has the request.
async fn arrived(world: &Started, line: &str) {
    until(line, || memchr::memmem::find(&world.a.everything(), line.as_bytes()).is_some()).await;
}

async fn answered(mut stream: TcpStream, body: &str) -> Result<(), String> {
    let answer = raw::read_answer(&mut stream).await;
    expect((answer.status, answer.text(), answer.complete), (200, body.to_owned(), true))
}

/// It has had a call, and the next one comes meanwhile.
pub async fn idle(world: &Arc<Started>, stopped: &Stopped, name: &'static str) -> Flight {
    let mut stream = asked(world, &world.ok("")).await;
    assert_eq!(raw::read_answer(&mut stream).await.status, 200);
    let next = world.ok("");
    Flight::new(name, stopped, async move {
        stream.write_all(next.as_bytes()).await.map_err(|error| error.to_string())?;
        answered(stream, "ok").await
    })
}

pub async fn websocket(world: &Arc<Started>, stopped: &Stopped, upstream: &mut Upstream) -> Flight {
    let (mut caller, mut theirs) = websocket::open(world, upstream).await;
    Flight::new("a WebSocket", stopped, async move {
        let (mut up, mut down) = ([0; 2], [0; 4]);
        let passed = async {
            caller.write_all(b"up").await?;
            theirs.write_all(b"down").await?;
            theirs.read_exact(&mut up).await?;
            caller.read_exact(&mut down).await
        };
        within("what both sides said", passed).await.map_err(|error| error.to_string())?;
        expect((&up, &down), (b"up", b"down"))
    })
}

pub async fn head(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    let request = world.ok("");
    let (first, second) = request.split_at(request.len() / 2);
    let (mut stream, second) = (asked(world, first).await, second.to_owned());
    Flight::new("a head", stopped, async move {
        stream.write_all(second.as_bytes()).await.map_err(|error| error.to_string())?;
        answered(stream, "ok").await
    })
}

pub async fn answer(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    let stream = asked(world, &world.request("GET", "/pieces", "")).await;
    within("the first piece", async {
        let mut seen = [0; 4096];
        while !seen.windows(5).any(|piece| piece == b"first") {
            stream.readable().await.unwrap();
            let _ = stream.peek(&mut seen).await.unwrap();
        }
    })
    .await;
    Flight::new("an answer in pieces", stopped, answered(stream, "firstother"))
}

pub async fn first_byte(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    let stream = asked(world, &world.request("GET", "/late", "")).await;
    arrived(world, "GET /late").await;
    Flight::new("an answer's first byte", stopped, answered(stream, "ok"))
}

pub async fn upload(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    let head = world.request("POST", "/upload", "Content-Length: 19\r\n");
    let mut stream = asked(world, &format!("{head}first half")).await;
    arrived(world, "first half").await;
    Flight::new("an upload", stopped, async move {
        stream.write_all(b" and other").await.map_err(|error| error.to_string())?;
        answered(stream, "ok").await
    })
}

pub async fn over_http2(world: &Arc<Started>, stopped: &Stopped, host: &str, name: &'static str) -> Flight {
    let peer = Peer::connect(world).await;
    let answer = peer.begin(peer::request(world, "GET", "/pieces", host).body(empty()).unwrap()).await.unwrap();
    Flight::new(name, stopped, async move {
        let body =
            within("the second piece", answer.into_body().collect()).await.map_err(|error| format!("{error:?}"))?;
        drop(peer);
        expect(&body.to_bytes()[..], b"firstother")
    })
}

pub async fn idle_over_http2(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    let (peer, again) = (Peer::connect(world).await, world.clone());
    let request = |world: &Started| peer::request(world, "GET", "/x", "a.test").body(empty()).unwrap();
    assert_eq!(peer.send(request(world)).await.status, 200);
    Flight::new("an idle connection of HTTP/2", stopped, async move {
        let answer = peer.begin(request(&again)).await.map_err(|error| format!("{error:?}"))?;
        expect(answer.status().as_u16(), 200)
    })
}

/// The caller shakes hands meanwhile, which takes a turn of ours in the middle.
pub async fn tunnel(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    let (stream, inside) = (world.opened("a.test:80").await, world.clone());
    Flight::new("a handshake in a tunnel", stopped, async move {
        let mut tls = inside.shake_hands(stream, "a.test").await.map_err(|error| error.to_string())?;
        tls.write_all(b"GET /x HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await.map_err(|error| error.to_string())?;
        expect(raw::read_answer(&mut tls).await.status, 200)
    })
}

/// The same on the other side.
pub async fn handshake_with_an_upstream(world: &Arc<Started>, stopped: &Stopped, secure: &Secure) -> Flight {
    let stream = asked(world, &world.request_to("tls.test", "GET", "/x", "")).await;
    within("the connection", secure.connected.acquire()).await.unwrap().forget();
    Flight::new("a handshake with an upstream", stopped, answered(stream, "ok"))
}

pub async fn secret(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    servers::secret(world, stopped);
    let fields = format!("X-Session-Secret: {}\r\n", world.session_secret());
    let head = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: stored.test\r\n";
    let stream = asked(world, &format!("{head}{fields}\r\n")).await;
    until("the store to be asked", || world.doppler.as_ref().unwrap().calls() > 0).await;
    Flight::new("a secret", stopped, answered(stream, "ok"))
}

/// The caller takes nothing until then.
pub async fn large(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    let mut stream = asked(world, &world.request("GET", "/large", "")).await;
    arrived(world, "GET /large").await;
    let mut written = 0;
    // All buffers are full when it goes no further.
    until("a standstill", || {
        let before = std::mem::replace(&mut written, world.a.written());
        written > 1 << 20 && written == before
    })
    .await;
    Flight::new("an answer that waits for its caller", stopped, async move {
        let mut body = vec![0; LARGE];
        websocket::upstream::head(&mut stream).await;
        let read = within("a large answer", stream.read_exact(&mut body)).await;
        read.map(drop).map_err(|error| error.to_string())
    })
}

pub async fn review(world: &Arc<Started>, stopped: &Stopped) -> Flight {
    servers::review(world, stopped);
    let before = world.kubernetes.as_ref().unwrap().reviews();
    let bearer = format!("Authorization: Bearer {}\r\n", token("k22", "veilwarden", 3600));
    let stream = asked(world, &format!("GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n{bearer}\r\n")).await;
    until("a review", || world.kubernetes.as_ref().unwrap().reviews() > before).await;
    Flight::new("a review", stopped, answered(stream, "ok"))
}
