//! Calls as curl makes them, and what one slow caller costs.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;

use crate::world::process::{self, Process, curl, file};
use crate::world::recorder::Step;
use crate::world::{Started, World, until, within};

async fn spawn() -> (Started, Process) {
    World::new().await.spawn().await
}

/// Arguments for curl that name the upstream and authenticate.
fn to_a(world: &Started) -> [String; 4] {
    let secret = format!("X-Session-Secret: {}", world.session_secret());
    ["-H".into(), secret, "-H".into(), "X-Upstream-Host: a.test".into()]
}

async fn curl_a(world: &Started, arguments: &[&str], target: &str) -> String {
    let (common, url) = (to_a(world), format!("http://{}{target}", world.proxy));
    let common: Vec<&str> = common.iter().map(String::as_str).collect();
    curl(&[&common[..], arguments, &[&url]].concat()).await
}

#[tokio::test]
async fn curl_uploads_arrive_whole_with_their_framing_kept() {
    let (world, _process) = spawn().await;
    let body: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
    let path = file(world.directory.path(), "upload", &body);
    let data = format!("@{path}");
    let binary = ["-X", "POST", "-H", "Content-Type: application/octet-stream", "--data-binary", &data];
    assert_eq!(curl_a(&world, &binary, "/upload").await, "ok");
    let seen = world.a.last();
    assert_eq!(seen.headers("content-length"), [(1 << 20).to_string()]);
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(seen.header("expect"), None);
    assert!(seen.body == body, "the body is another one");

    let chunked = [&binary[..], &["-H", "Transfer-Encoding: chunked", "-H", "Content-Length:"]].concat();
    assert_eq!(curl_a(&world, &chunked, "/chunked").await, "ok");
    let seen = world.a.last();
    assert_eq!(seen.headers("transfer-encoding"), ["chunked"]);
    assert_eq!(seen.header("content-length"), None);
    assert!(dechunked(&seen.body) == body, "the body is another one");
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        out.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
        if size == 0 {
            return out;
        }
    }
}

#[tokio::test]
async fn curl_sees_answers_without_a_body_as_they_are() {
    let (world, _process) = spawn().await;
    world.a.script(|seen| {
        let head = match seen.target() {
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"1\"",
            "/204" => "HTTP/1.1 204 No Content",
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 0",
        };
        vec![Step::Send(format!("{head}\r\n\r\n").into_bytes())]
    });
    let head = curl_a(&world, &["--head"], "/head").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(world.a.last().line(), "HEAD /head HTTP/1.1");
    assert!(head.to_ascii_lowercase().contains("\r\ncontent-length: 1234\r\n"), "{head}");
    for (target, status) in [("/204", "204"), ("/304", "304"), ("/empty", "200")] {
        let out = curl_a(&world, &["--write-out", "%{http_code} %{size_download}"], target).await;
        assert_eq!(out, format!("{status} 0"), "{target}");
    }
}

#[tokio::test]
async fn f25_a_redirect_is_passed_on_and_never_followed() {
    let (world, _process) = spawn().await;
    let location = format!("http://{}/elsewhere", world.b.address);
    for status in [301, 302, 303, 307, 308] {
        world.a.answer(format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
        let out = curl_a(&world, &["--write-out", "%{http_code} %{redirect_url}"], "/x").await;
        assert_eq!(out, format!("{status} {location}"));
    }
    assert_eq!((world.a.seen().len(), world.b.connections()), (5, 0), "the redirect was followed");
}

#[tokio::test]
async fn f20_curl_sees_each_event_before_the_next_one_is_sent() {
    let (world, _process) = spawn().await;
    let next = Arc::new(Semaphore::new(0));
    let permits = next.clone();
    world.a.script(move |_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        let mut steps = vec![Step::Send(head.to_vec())];
        for n in 0..5 {
            let event = format!("id: {n}\ndata: event {n}\n\n").into_bytes();
            steps.extend([Step::Wait(permits.clone()), Step::Send(event)]);
        }
        steps.extend([Step::Wait(permits.clone()), Step::Close]);
        steps
    });
    let mut command = process::command("curl");
    command.args(["--silent", "--no-buffer", "--noproxy", "*", "-H", "Accept: text/event-stream"]);
    command.args(to_a(&world)).arg(format!("http://{}/events", world.proxy));
    let mut curl = command.stdout(std::process::Stdio::piped()).spawn().expect("these tests run curl: install it");
    let events = pipe::Receiver::from_owned_fd(curl.stdout.take().unwrap().into()).unwrap();
    let mut events = BufReader::new(events);
    for n in 0..5 {
        next.add_permits(1);
        for wanted in [format!("id: {n}\n"), format!("data: event {n}\n"), "\n".to_owned()] {
            let mut line = String::new();
            within(&wanted, events.read_line(&mut line)).await.unwrap();
            assert_eq!(line, wanted);
        }
    }
    next.add_permits(1);
    let mut rest = String::new();
    within("the stream's end", events.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "");
    within("curl's end", tokio::task::spawn_blocking(move || curl.wait())).await.unwrap().unwrap();
}

#[tokio::test]
async fn f19_a_large_answer_to_a_caller_that_does_not_read_stays_upstream() {
    const SIZE: usize = 256 << 20;
    let (world, process) = spawn().await;
    world.assert_works("warm").await;
    world.a.script(|_| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
        vec![Step::Send(head), Step::Send(vec![b'a'; SIZE])]
    });
    let before = process.status_kib("VmHWM");
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    // Until the upstream gets nothing more rid of: both sockets' buffers are full, and ours.
    let mut written = 0;
    within("the upstream to be held back", async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = world.a.written();
            if now == written && now > 1 << 16 {
                return;
            }
            written = now;
        }
    })
    .await;
    assert!(written < SIZE / 2, "{written} bytes left the upstream for a caller that does not read");
    let grown = process.status_kib("VmHWM") - before;
    assert!(grown < 8 << 10, "{grown} KiB more memory for one slow caller");
    drop(stream);
    until("the upstream to be let go", || world.a.open() == 0).await;
}
