//! Rows of group A about size, order and time: what is too large for the tables, and what depends on who speaks when.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{chunk_data, fill};
use crate::world::exchange::{Pieces, is_refusal};
use crate::world::recorder::{OK, Seen, Step};
use crate::world::{Started, World, logs, raw, within};

const CHUNKED: &str = "POST /x HTTP/1.1\r\n$OKTransfer-Encoding: chunked\r\n\r\n";

/// Sends a chunked body that must be broken off: no whole request leaves and the connection ends.
async fn breaks_off(world: &Started, body: &str, what: &str) {
    let bytes = fill(world, format!("{CHUNKED}{body}").as_bytes());
    let outcome = world.exchange(&bytes, Pieces::Whole).await;
    assert!(outcome.left.is_empty(), "{what}: a whole request left");
    assert!(outcome.answers.len() <= 1 && outcome.answers.iter().all(|answer| answer.status >= 400), "{what}");
    assert!(outcome.bytes < 64 << 10, "{what}: {} bytes left", outcome.bytes);
    world.assert_works(what).await;
}

#[tokio::test]
async fn a14_a_body_of_http_1_0_never_ends_with_the_connection() {
    let mut world = World::new().await.start().await;
    let outcome = world.exchange(&fill(&world, b"POST /x HTTP/1.0\r\n$OK\r\nhi"), Pieces::Whole).await;
    assert_eq!(outcome.answers.len(), 1, "{outcome:?}");
    assert_eq!(outcome.left.len(), 1, "{outcome:?}");
    assert_eq!((outcome.left[0].line(), outcome.left[0].body.len()), ("POST /x HTTP/1.1", 0));
    assert_eq!(outcome.left[0].header("transfer-encoding"), None);
    // What follows is not taken for a body, so it is a request of its own, if the connection lives on for one.
    let kept = fill(&world, b"POST /x HTTP/1.0\r\n$OKConnection: keep-alive\r\n\r\nhi\r\n\r\n");
    let outcome = world.exchange(&kept, Pieces::Whole).await;
    assert_eq!(outcome.left.len(), 1, "{outcome:?}");
    assert_eq!(outcome.left[0].body.len(), 0);
    assert!(outcome.answers[1..].iter().all(|answer| is_refusal(answer, 400).is_ok()), "{outcome:?}");
    world.stop().await;
}

#[tokio::test]
async fn a26_extensions_without_end_are_refused() {
    let world = World::new().await.start().await;
    let extension = "e".repeat(100);
    breaks_off(&world, &format!("1;{extension}\r\nx\r\n").repeat(10_000), "small extensions").await;
    breaks_off(&world, &format!("1;{}", "e".repeat(1 << 20)), "one extension").await;
}

#[tokio::test]
async fn a29_trailers_without_end_are_refused() {
    let world = World::new().await.start().await;
    breaks_off(&world, &format!("0\r\n{}\r\n", "X: y\r\n".repeat(200)), "200 trailers").await;
    breaks_off(&world, &format!("0\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)), "a trailer of 1 MiB").await;
}

#[tokio::test]
async fn a27_many_small_chunks_grow_by_a_constant() {
    let world = World::new().await.start().await;
    // A fifth of the row's number: that the work grows linearly shows as well, and sooner.
    let count = 20_000;
    let body = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(count));
    let bytes = fill(&world, format!("{CHUNKED}{body}GET /probe HTTP/1.1\r\nConnection: close\r\n$OK\r\n").as_bytes());
    let outcome = world.exchange(&bytes, Pieces::Whole).await;
    assert_eq!(outcome.answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(chunk_data(&outcome.left[0].body).len(), count);
    // A chunk of one byte is six bytes on the wire; nothing makes more of it than that.
    assert!(outcome.bytes <= bytes.len() + 1024, "{} bytes in, {} out", bytes.len(), outcome.bytes);
}

#[tokio::test]
async fn a28_no_trailer_leaves_as_a_field() {
    let world = World::new().await.start().await;
    let trailers = "Authorization: Bearer evil\r\nHost: b\r\nContent-Length: 9\r\nX-Trailer: t\r\n";
    let head = "POST /x HTTP/1.1\r\n$OKTrailer: X-Trailer\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bytes = fill(&world, format!("{head}2\r\nhi\r\n0\r\n{trailers}\r\n").as_bytes());
    let seen = world.forwards(bytes, "a28").await;
    assert!(seen.body.starts_with(b"2\r\nhi\r\n0\r\n"), "{seen:?}");
    assert_eq!(seen.header("x-trailer"), None);
    let everything = String::from_utf8(world.a.everything()).unwrap().to_lowercase();
    // One that was announced and that means nothing in a head stays what it is.
    assert!(everything.ends_with("\r\n0\r\nx-trailer: t\r\n\r\n"), "{everything}");
    for gone in ["evil", "content-length", "host: b\r"] {
        assert!(!everything.contains(gone), "{gone} left in {everything}");
    }
}

#[tokio::test]
async fn a33_obs_text_leaves_unchanged_and_every_log_line_stays_json() {
    let world = World::new().await.start().await;
    let odd = b"X-Odd: \xff\x85z\r\nUser-Agent: \xff\x85\r\nX-Agent-Id: \xffid\r\nX-Request-Id: \xff\r\n";
    let bytes = [b"GET /x HTTP/1.1\r\n$OK", &odd[..], b"\r\n"].concat();
    let answer = world.send(fill(&world, &bytes)).await;
    assert_eq!(answer.status, 200);
    let arrived = world.a.everything();
    assert!(arrived.windows(3).any(|window| window == b"\xff\x85z"), "{}", arrived.escape_ascii());
    // `record` and `audit` parse every line.
    assert_eq!(world.record(&answer).await["agent_id"], "id");
    for line in logs::all().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[tokio::test]
async fn a36_a_flood_of_empty_lines_is_refused() {
    let world = World::new().await.start().await;
    let flood = fill(&world, format!("{}GET /x HTTP/1.1\r\n$OK\r\n", "\r\n".repeat(100_000)).as_bytes());
    let outcome = world.exchange(&flood, Pieces::Whole).await;
    assert_eq!((outcome.answers.len(), outcome.bytes), (1, 0), "{outcome:?}");
    is_refusal(&outcome.answers[0], 400).unwrap();
    world.assert_works("then").await;
}

/// Everything up to a pattern, or to the end.
async fn read_past(stream: &mut tokio::net::TcpStream, pattern: &str) -> String {
    let mut text = String::new();
    within(pattern, async {
        while !text.contains(pattern) {
            match stream.read_u8().await {
                Ok(byte) => text.push(char::from(byte)),
                Err(_) => break,
            }
        }
    })
    .await;
    text
}

#[tokio::test]
async fn a39_a_waiting_caller_is_told_to_go_on_once_and_only_when_allowed() {
    let world = World::new().await.start().await;
    let head = "POST /x HTTP/1.1\r\n$OKExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut stream = world.connect().await;
    stream.write_all(&fill(&world, head.as_bytes())).await.unwrap();
    let interim = read_past(&mut stream, "\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    stream.write_all(b"hi").await.unwrap();
    // `read_answer` would skip a second interim answer.
    let last = read_past(&mut stream, "ok").await;
    assert!(last.starts_with("HTTP/1.1 200 "), "{last}");
    assert_eq!((&*world.a.last().body, world.a.last().header("expect")), (&b"hi"[..], None));

    let denied = [
        head.replace("$OK", "Host: p\r\nX-Upstream-Host: a.test\r\n"),
        head.replace("$OK", "$OKX-Upstream-Host: c.test\r\n"),
    ];
    for (head, status) in denied.iter().zip([" 401 ", " 400 "]) {
        let mut stream = world.connect().await;
        stream.write_all(&fill(&world, head.as_bytes())).await.unwrap();
        let answer = read_past(&mut stream, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1") && answer.contains(status), "{answer}");
    }
    assert_eq!(world.a.seen().len(), 1);
}

#[tokio::test]
async fn a41_a_body_that_nobody_read_is_never_a_request() {
    let mut world = World::new().await.start().await;
    world.a.eager();
    world.a.script(|seen| match seen.line().starts_with("POST") {
        true => vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly".to_vec()),
            Step::Hang,
        ],
        false => vec![Step::Send(OK.to_vec())],
    });
    let smuggled = String::from_utf8(fill(&world, b"GET /smug HTTP/1.1\r\n$OK\r\n")).unwrap();
    let body = smuggled.repeat(10_000);
    let post = format!("POST /early HTTP/1.1\r\n$OKContent-Length: {}\r\n\r\n{body}", body.len());
    let bytes = fill(&world, format!("{post}GET /probe HTTP/1.1\r\nConnection: close\r\n$OK\r\n").as_bytes());
    let outcome = world.exchange(&bytes, Pieces::Whole).await;
    assert!((1..=2).contains(&outcome.answers.len()), "{:?}", outcome.answers);
    assert_eq!(raw_text(&outcome.answers[0]), (200, "early".to_owned()));
    for seen in &outcome.left {
        assert_ne!(seen.target(), "/smug");
    }
    let records = world.stop().await;
    assert_eq!(records.len(), outcome.answers.len(), "{records:?}");
    assert!(records.iter().all(|record| record["path"] != "/smug"), "{records:?}");
}

/// Whatever refused the call, its body was announced and is skipped or ends with the connection.
#[tokio::test]
async fn a41_the_body_of_a_refused_call_is_never_a_request() {
    let policy =
        "package veilwarden.authz\nimport rego.v1\ndefault allow := false\nallow if input.path != \"/denied\"\n";
    let mut world = World::new().await.rego(policy).start().await;
    let smuggled = String::from_utf8(fill(&world, b"GET /smug HTTP/1.1\r\n$OK\r\n")).unwrap();
    let mut calls = 0;
    for (status, line, fields) in [
        (401, "POST /x", "Host: p\r\nX-Upstream-Host: a.test\r\n"),
        (401, "POST /x", "Host: p\r\nX-Upstream-Host: a.test\r\nX-Session-Secret: wrong\r\n"),
        (400, "POST /x", "$OKHost: q\r\n"),
        (400, "POST /x", "$OKX-Upstream-Host: b.test\r\n"),
        (400, "POST /x//y", "$OK"),
        (403, "POST /denied", "$OK"),
        (405, "TRACE /x", "$OK"),
        (405, "DELETE /healthz", "Host: p\r\n"),
        (508, "POST /x", "$OKVia: 1.1 veilwarden\r\n"),
    ] {
        for (framing, body) in [
            (format!("Content-Length: {}", smuggled.len()), smuggled.clone()),
            (format!("Expect: 100-continue\r\nContent-Length: {}", smuggled.len()), smuggled.clone()),
            ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len())),
            (format!("Content-Length: {}", smuggled.len() * 4000), smuggled.repeat(4000)),
        ] {
            let what = format!("{line}\n{fields}{framing}");
            let call = format!("{line} HTTP/1.1\r\n{fields}{framing}\r\n\r\n{body}");
            let probe = "GET /probe HTTP/1.1\r\nConnection: close\r\n$OK\r\n";
            let outcome = world.exchange(&fill(&world, format!("{call}{probe}").as_bytes()), Pieces::Whole).await;
            let answers = &outcome.answers;
            assert!((1..=2).contains(&answers.len()) && answers[0].status == status, "{what}: {answers:?}");
            assert!(answers[1..].iter().all(|answer| answer.status == 200), "{what}: {answers:?}");
            let left: Vec<_> = outcome.left.iter().map(Seen::target).collect();
            assert_eq!(left, vec!["/probe"; answers.len() - 1], "{what}");
            // Health is no call.
            calls += answers.len() - usize::from(line.ends_with("healthz"));
        }
    }
    let records = world.stop().await;
    assert_eq!(records.len(), calls);
    assert!(records.iter().all(|record| record["path"] != "/smug"), "{records:?}");
}

/// What is left of the body is not read, so the connection ends; a caller that is not told may lose its next request.
#[tokio::test]
async fn a41_an_error_before_the_body_was_read_says_that_the_connection_ends() {
    let world = World::new().await.start().await;
    for framing in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut stream = world.connect().await;
        let refused = format!("POST /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n{framing}\r\n");
        stream.write_all(refused.as_bytes()).await.unwrap();
        let answer = raw::read_answer(&mut stream).await;
        assert_eq!((answer.status, answer.header("connection")), (401, Some("close")), "{framing}: {answer:?}");
    }
    let mut stream = world.connect().await;
    let refused = "POST /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(refused.as_bytes()).await.unwrap();
    let answer = raw::read_answer(&mut stream).await;
    assert_eq!((answer.status, answer.header("connection")), (401, None), "{answer:?}");
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer(&mut stream).await.status, 200);
}

fn raw_text(answer: &raw::Answer) -> (u16, String) {
    (answer.status, answer.text())
}
