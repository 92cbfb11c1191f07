//! What the relay on loopback adds, hands on and refuses.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::via;
use crate::world::process::{End, Process, file, run};
use crate::world::recorder::{OK, Recorder, Step};
use crate::world::{raw, until, within};

/// A command that prints its proxy and then waits for the test's end.
struct Held {
    process: Process,
    proxy: SocketAddr,
    /// A whole field.
    password: String,
    directory: tempfile::TempDir,
}

async fn held(upstream: &Recorder) -> Held {
    let directory = tempfile::tempdir().unwrap();
    let end = directory.path().join("end");
    let script = format!("echo \"$HTTPS_PROXY\"; until [ -e {} ]; do sleep 0.02; done", end.display());
    let process = via(upstream, directory.path(), &[], &script);
    until("the proxy's URL", || process.stdout().contains("http://")).await;
    let url = process.stdout().trim().to_owned();
    let (user, address) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
    let password = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(user));
    Held { proxy: address.parse().unwrap(), password, process, directory }
}

impl Held {
    async fn send(&self, head: &str) -> raw::Answer {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        raw::read_answer(&mut stream).await
    }

    async fn end(mut self) -> String {
        file(self.directory.path(), "end", "");
        assert_eq!(self.process.end().await, End::Exit(0), "{}", self.process.stderr());
        self.process.stderr()
    }
}

#[tokio::test]
async fn each_call_of_the_command_carries_the_credential() {
    let (upstream, directory) = (Recorder::start().await, tempfile::tempdir().unwrap());
    let script = "curl -s http://a.test/x?y=z; curl -s -d body http://a.test/post; echo $HTTP_PROXY >&2";
    let mut process = via(&upstream, directory.path(), &[], script);
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
    assert_eq!(process.stdout(), "okok");
    let seen = upstream.seen();
    assert_eq!(seen[0].line(), "GET http://a.test/x?y=z HTTP/1.1");
    assert_eq!(seen[0].headers("proxy-authorization"), ["Bearer a.b.c"]);
    assert_eq!((seen[1].line(), &*seen[1].body), ("POST http://a.test/post HTTP/1.1", &b"body"[..]));
    let url = process.stderr();
    let password = url.trim().split_once("veilwarden:").unwrap().1.split('@').next().unwrap();
    let everything = String::from_utf8(upstream.everything()).unwrap();
    assert!(password.len() >= 43 && !everything.contains(password), "{everything}");
    assert!(!everything.contains(&STANDARD.encode(format!("veilwarden:{password}"))), "{everything}");
}

#[tokio::test]
async fn the_command_lives_on_when_its_token_is_renewed() {
    let (upstream, directory) = (Recorder::start().await, tempfile::tempdir().unwrap());
    upstream.script(|seen| {
        let new = seen.headers("proxy-authorization") == ["Bearer d.e.f"];
        let body = if new { "new" } else { "old" };
        vec![Step::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{body}").into())]
    });
    let script = "until [ \"$(curl -s http://a.test/)\" = new ]; do sleep 0.05; done; curl -s http://a.test/";
    let mut process = via(&upstream, directory.path(), &[], script);
    until("a call with the old token", || !upstream.seen().is_empty()).await;
    // As the kubelet does it: another file under the same name, and for a moment none.
    std::fs::remove_file(directory.path().join("token")).unwrap();
    let so_far = upstream.seen().len();
    until("calls without a file", || upstream.seen().len() > so_far + 30).await;
    file(directory.path(), "next", "d.e.f");
    std::fs::rename(directory.path().join("next"), directory.path().join("token")).unwrap();
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
    assert_eq!(process.stdout(), "new");
    assert_eq!(process.stderr().matches("last good credential").count(), 1, "{}", process.stderr());
}

#[tokio::test]
async fn a_tunnel_is_bytes_in_both_directions() {
    let upstream = Recorder::start().await;
    upstream.script(|seen| match seen.line().split(' ').next() {
        Some("CONNECT") => vec![Step::Send(b"HTTP/1.1 200 OK\r\nX-From: veilwarden\r\n\r\n".to_vec())],
        _ => vec![Step::Send(OK.to_vec())],
    });
    let held = held(&upstream).await;
    let mut stream = TcpStream::connect(held.proxy).await.unwrap();
    let connect = format!("CONNECT inside.test:443 HTTP/1.1\r\nHost: inside.test:443\r\n{}\r\n", held.password);
    stream.write_all(connect.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("the answer to CONNECT", stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("x-from: veilwarden"), "{head}");
    let body = vec![b'x'; 1 << 20];
    let inside =
        format!("POST /inside HTTP/1.1\r\nProxy-Authorization: mine\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[inside.as_bytes(), &body].concat()).await.unwrap();
    assert_eq!(raw::read_answer(&mut stream).await.text(), "ok");
    let seen = upstream.seen();
    assert_eq!(seen[0].line(), "CONNECT inside.test:443 HTTP/1.1");
    assert_eq!(seen[0].headers("proxy-authorization"), ["Bearer a.b.c"]);
    // What is inside of the tunnel is nobody's business here.
    assert_eq!(seen[1].headers("proxy-authorization"), ["mine"]);
    assert_eq!(seen[1].body.len(), body.len());
    drop(stream);
    until("the tunnel's end", || upstream.open() == 0).await;
    held.end().await;
}

#[tokio::test]
async fn a_call_that_switches_protocols_goes_on_as_bytes() {
    let upstream = Recorder::start().await;
    upstream.script(|seen| match seen.header("upgrade") {
        Some(_) => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            vec![Step::Send(head.into()), Step::Send(b"first".to_vec())]
        }
        None => vec![Step::Send(b"second".to_vec())],
    });
    let held = held(&upstream).await;
    let mut stream = TcpStream::connect(held.proxy).await.unwrap();
    let head = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    stream.write_all(format!("{head}{}\r\n", held.password).as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"first") {
        read.push(within("the upgrade", stream.read_u8()).await.unwrap());
    }
    assert!(read.starts_with(b"HTTP/1.1 101 "), "{}", read.escape_ascii());
    stream.write_all(b"bytes\r\n\r\n").await.unwrap();
    let mut answer = [0; 6];
    within("bytes", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!((&answer, upstream.last().line()), (b"second", "bytes"));
    held.end().await;
}

#[tokio::test]
async fn what_veilwarden_refuses_is_refused() {
    let upstream = Recorder::start().await;
    upstream.answer(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Bearer\r\nX-Veilwarden-Error: TOKEN_EXPIRED\r\nContent-Length: 4\r\n\r\nbody",
    );
    let held = held(&upstream).await;
    for head in
        ["CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n", "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n"]
    {
        let answer = held.send(&format!("{head}{}\r\n", held.password)).await;
        assert_eq!((answer.status, &*answer.text()), (407, "body"), "{head}: {answer:?}");
        assert_eq!(answer.header("x-veilwarden-error"), Some("TOKEN_EXPIRED"));
    }
    held.end().await;
}

#[tokio::test]
async fn only_the_command_has_the_password() {
    let upstream = Recorder::start().await;
    let held = held(&upstream).await;
    let wrong = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode("veilwarden:wrong-password-here"));
    let doubled = held.password.repeat(2);
    let token = "Proxy-Authorization: Bearer a.b.c\r\n".to_owned();
    let elsewhere = held.password.replace("Proxy-Authorization: Basic ", "X-Veilwarden-Token: ");
    for line in
        ["CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n", "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n"]
    {
        for password in ["", &*wrong, &*doubled, &*token, &*elsewhere] {
            let answer = held.send(&format!("{line}{password}\r\n")).await;
            assert_eq!(answer.status, 407, "{line}{password}: {answer:?}");
            assert_eq!(answer.header("proxy-authenticate"), Some("Basic realm=\"veilwarden exec\""));
        }
    }
    let origin = held.send(&format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{}\r\n", held.password)).await;
    assert_eq!((origin.status, origin.code()), (400, "BAD_REQUEST".to_owned()), "{origin:?}");
    assert_eq!(upstream.bytes(), 0, "nothing left");
    held.end().await;
}

#[tokio::test]
async fn an_answer_of_the_relays_own_has_the_form_of_every_other() {
    let held = held(&Recorder::start().await).await;
    for (lines, code) in [("", "UNAUTHORIZED"), (&*held.password, "BAD_REQUEST")] {
        for (id, claimed) in [("", None), ("X-Request-Id: my-id\r\n", Some("my-id")), ("X-Request-Id: no id\r\n", None)]
        {
            let answer = held.send(&format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{id}{lines}\r\n")).await;
            let body: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
            let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["error", "message", "request_id", "hint"], "{body}");
            assert_eq!((&body["error"], answer.header("x-request-id")), (&code.into(), body["request_id"].as_str()));
            assert!(claimed.is_none_or(|id| body["request_id"] == id) && body["request_id"] != "no id", "{body}");
        }
    }
    held.end().await;
}

#[tokio::test]
async fn a_veilwarden_that_is_away_is_said() {
    let upstream = Recorder::start().await;
    let directory = tempfile::tempdir().unwrap();
    let token = file(directory.path(), "token", "a.b.c");
    let away = crate::world::recorder::Down::new();
    let url = format!("http://{}", away.address);
    let (end, out, err) = run(
        &["exec", "--via", &url, "--token-file", &token, "--", "curl", "-s", "-w", " %{http_code}", "http://a.test/"],
        &[],
    )
    .await;
    assert_eq!(end, End::Exit(0), "{err}");
    assert!(out.ends_with(" 502") && out.contains("veilwarden cannot be reached"), "{out}");
    assert_eq!(upstream.bytes(), 0);
}

/// Closing with input that nobody has read resets a connection, and what is on its way is lost.
#[tokio::test]
async fn a41_f21_a_refusal_without_a_look_at_the_body_costs_no_answer() {
    const LONG: usize = 1 << 20;
    let upstream = Recorder::start().await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
    upstream.script(move |_| vec![Step::Send([head.as_bytes(), &[b'x'; LONG]].concat())]);
    let held = held(&upstream).await;
    let socket = TcpSocket::new_v4().unwrap();
    // What is not taken yet waits on the relay's side.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(held.proxy).await.unwrap();
    let good = format!("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{}\r\n", held.password);
    let stranger = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000\r\n\r\n";
    let calls = [good.as_bytes(), stranger.as_bytes(), &[b'y'; 50_000]].concat();
    let (mut read, mut write) = stream.split();
    let mut answers = Vec::new();
    let exchange = async { tokio::join!(write.write_all(&calls), read.read_to_end(&mut answers)) };
    let (_, read) = within("the answers", exchange).await;
    read.unwrap();
    let answers = raw::parse_answers(&answers);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 407]);
    assert_eq!(answers[0].body.len(), LONG);
    assert_eq!((answers[1].complete, answers[1].header("connection")), (true, Some("close")));
    assert_eq!(upstream.seen().len(), 1);
    held.end().await;
}
