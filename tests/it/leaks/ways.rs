//! The same secrets and credentials by every other way in: absolute-form, tunnels, HTTP/2, WebSockets, base URLs, a Unix
//! socket.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::stage::Canaries;
use super::walk::Walk;
use crate::http2::peer::{self, Peer, empty};
use crate::websocket::upstream::{asking, head, switching};
use crate::world::raw::{self, Answer};
use crate::world::recorder::{OK, Step};
use crate::world::tunnel::call;
use crate::world::{Started, World, within};

/// A world in which these ways lead somewhere.
pub fn opened(world: World) -> World {
    let (address, socket) = (world.a.address, world.directory.path().join("v.sock"));
    world.forward().listen(&format!("[127.0.0.1:0, \"unix:{}\"]", socket.display())).route(&format!(
        "{{upstream_host: ws.test, upstream_scheme: http, upstream_address: \"{address}\", local_name: ws, websocket: true, secret_id: KEY_A, inject_header: Authorization, header_value_template: \"Bearer {{{{secret}}}}\"}}"
    ))
}

pub async fn walk(walk: &mut Walk, world: &Started, c: &Canaries) {
    for (scheme, secret, path, status) in cases(c, &world.session_secret()) {
        absolute(walk, world, (scheme, secret), path, status).await;
        tunnel(walk, world, (scheme, secret), path, status).await;
    }
    let good = (Scheme::Bearer, &*c.good);
    world.a.script(|seen| {
        let secret = seen.header("authorization").unwrap_or_default();
        vec![Step::Send(format!("HTTP/1.1 200 {secret}\x01\r\n\r\n").into_bytes()), Step::Close]
    });
    absolute(walk, world, good, "/allowed", 502).await;
    tunnel(walk, world, good, "/allowed", 502).await;
    world.a.answer(OK);
    http2(walk, world, c).await;
    websockets(walk, world, c).await;
    sockets(walk, world, c).await;
}

/// How a credential is shown to a proxy.
#[derive(Clone, Copy)]
enum Scheme {
    Basic,
    Bearer,
}

/// The lines of a caller that shows its credential, and repeats it where it does not belong.
fn lines((scheme, secret): (Scheme, &str)) -> String {
    let value = match scheme {
        Scheme::Basic => format!("Basic {}", STANDARD.encode(format!("x:{secret}"))),
        Scheme::Bearer => format!("Bearer {secret}"),
    };
    format!("Proxy-Authorization: {value}\r\nX-Custom: {secret}\r\n")
}

/// A credential, a path, and what has to become of both.
fn cases<'a>(c: &'a Canaries, session: &'a str) -> [(Scheme, &'a str, &'static str, u16); 8] {
    [
        (Scheme::Bearer, &c.good, "/allowed", 200),
        (Scheme::Basic, &c.good, "/allowed", 200),
        (Scheme::Basic, session, "/allowed", 200),
        (Scheme::Bearer, &c.good, "/denied", 403),
        (Scheme::Bearer, &c.good, "/error", 500),
        (Scheme::Basic, &c.refused, "/allowed", 407),
        (Scheme::Bearer, &c.expired, "/allowed", 407),
        (Scheme::Basic, &c.wrong_session, "/allowed", 407),
    ]
}

async fn absolute(walk: &mut Walk, world: &Started, credential: (Scheme, &str), path: &str, status: u16) {
    let request = format!("GET http://a.test{path} HTTP/1.1\r\nHost: a.test\r\n{}\r\n", lines(credential));
    assert_eq!(walk.send(world, request).await, status, "absolute-form, {path}");
}

async fn tunnel(walk: &mut Walk, world: &Started, credential: (Scheme, &str), path: &str, status: u16) {
    let connect = format!("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n{}\r\n", lines(credential));
    let (stream, answer) = world.open(connect).await;
    let answer = match answer.status {
        200 => {
            let mut tls = world.shake_hands(stream, "a.test").await.unwrap();
            let lines = format!("Host: a.test:80\r\nX-Custom: {}\r\n", credential.1);
            call(&mut tls, format!("GET {path} HTTP/1.1\r\n{lines}\r\n")).await
        }
        _ => answer,
    };
    assert_eq!(answer.status, status, "tunnel, {path}");
    walk.answers.push(answer);
}

async fn http2(walk: &mut Walk, world: &Started, c: &Canaries) {
    let peer = Peer::connect(world).await;
    for (token, path, status) in [
        (&c.good, "/allowed", 200),
        (&c.good, "/denied", 403),
        (&c.refused, "/allowed", 401),
        (&c.expired, "/allowed", 401),
    ] {
        let request = Request::get(format!("http://proxy.test{path}"))
            .header("x-upstream-host", "a.test")
            .header("authorization", format!("Bearer {token}"))
            .header("cookie", format!("t={token}"));
        let answer = of_http1(peer.send(request.body(empty()).unwrap()).await);
        assert_eq!(answer.status, status, "HTTP/2, {path}");
        walk.answers.push(answer);
    }
}

/// The same as an answer of HTTP/1.1.
fn of_http1(answer: peer::Answer) -> Answer {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let fields = answer.headers.iter().map(field).collect();
    Answer { status: answer.status, fields, body: answer.body, complete: true, rest: Vec::new() }
}

/// The upstream sends the secret in a frame, which is the caller's affair and nobody else's.
async fn websockets(walk: &mut Walk, world: &Started, c: &Canaries) {
    world.a.script(|seen| {
        let secret = seen.header("authorization").unwrap_or_default();
        let frame = [&[0x81, secret.len() as u8], secret.as_bytes()].concat();
        vec![Step::Send([switching("").as_bytes(), &frame].concat()), Step::Close]
    });
    let request = |path: &str, token: &str| {
        let credential = format!("Authorization: Bearer {token}\r\n");
        format!("GET {path} HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: ws.test\r\n{credential}{}\r\n", asking())
    };
    let mut stream = world.connect().await;
    stream.write_all(request("/allowed", &c.good).as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
    within("the end of a WebSocket", stream.read_to_end(&mut Vec::new())).await.unwrap();
    drop(stream);
    world.a.answer(OK);
    for (path, token, status) in [("/denied", &c.good, 403), ("/allowed", &c.refused, 401)] {
        assert_eq!(walk.send(world, request(path, token)).await, status, "WebSocket, {path}");
    }
}

/// A base URL, and the Unix socket.
async fn sockets(walk: &mut Walk, world: &Started, c: &Canaries) {
    for (path, token, status) in [("/allowed", &c.good, 200), ("/denied", &c.good, 403), ("/allowed", &c.refused, 401)]
    {
        let credential = format!("Authorization: Bearer {token}\r\n");
        let request = format!("GET /_route/ws{path} HTTP/1.1\r\nHost: p\r\n{credential}\r\n");
        assert_eq!(walk.send(world, &request).await, status, "base URL, {path}");
        let mut stream = UnixStream::connect(world.directory.path().join("v.sock")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = raw::read_answer(&mut stream).await;
        assert_eq!(answer.status, status, "Unix socket, {path}");
        walk.answers.push(answer);
    }
}
