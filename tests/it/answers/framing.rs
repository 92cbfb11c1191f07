//! Where an answer ends: F3 to F9.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::{MARK, answer, assert_fault, read_head};
use crate::world::raw;
use crate::world::recorder::{OK, Step};
use crate::world::way::{IN_HTTP1, Way};
use crate::world::{Started, World, logs, until, within};

/// The answer begins, and once its first bytes are with the caller it breaks off in a way that nobody can take for its end:
/// in each way in over HTTP/1.1 (those of HTTP/2 are in `http2/faults.rs`).
async fn assert_broken_off(world: &Started, first: Vec<u8>, then: Vec<Step>, what: &str) {
    for way in IN_HTTP1 {
        let what = format!("{way:?}: {what}");
        match way {
            Way::Tunnel => breaks_off(world, way, world.tunnel("a.test:80").await, &first, &then, &what).await,
            _ => breaks_off(world, way, world.connect().await, &first, &then, &what).await,
        }
    }
}

async fn breaks_off(
    world: &Started,
    way: Way,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    first: &[u8],
    then: &[Step],
    what: &str,
) {
    let go = Arc::new(Semaphore::new(0));
    let steps = [&[Step::Send(first.to_vec()), Step::Wait(go.clone())], then].concat();
    world.a.script(move |_| steps.clone());
    stream.write_all(&world.written(way, world.ok("").as_bytes())).await.unwrap();
    let mut bytes = read_head(&mut stream).await.into_bytes();
    go.add_permits(1);
    // A reset is an end, too.
    let _ = within(what, stream.read_to_end(&mut bytes)).await;
    let answer = raw::parse_answers(&bytes).remove(0);
    assert_eq!((answer.status, answer.complete), (200, false), "{what}: {answer:?}");
    let record = world.record(&answer).await;
    assert_eq!((&record["status"], &record["complete"]), (&200.into(), &false.into()), "{what}: {record}");
    let id = answer.header("x-request-id").unwrap().to_owned();
    let said = || logs::all().lines().any(|line| line.contains("answer broken off") && line.contains(&id));
    until("the log to say that an answer broke off", said).await;
    world.a.answer(OK);
    world.assert_works(what).await;
}

#[tokio::test]
async fn f03_f04_doubtful_framing_of_an_answer_is_a_fault() {
    let world = World::new().await.forward().start().await;
    let body = format!("5\r\n{}\r\n0\r\n\r\n", &MARK[..5]);
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5,5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: ",
        "Content-Length: 18446744073709551618",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: ",
    ] {
        assert_fault(&world, answer(&format!("HTTP/1.1 200 OK\r\n{fields}"), &body), fields).await;
    }
    let old = answer("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", &body);
    assert_fault(&world, old, "HTTP/1.0 with Transfer-Encoding").await;
}

#[tokio::test]
async fn f05_f16_a_truncated_answer_is_never_a_clean_end() {
    let world = World::new().await.forward().start().await;
    let length = answer("HTTP/1.1 200 OK\r\nContent-Length: 10", "ab");
    let chunked = answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "2\r\nab\r\n");
    for (first, rest, end, what) in [
        (&length, "", Step::Close, "a short body"),
        (&length, "", Step::Reset, "a reset within the body"),
        (&chunked, "", Step::Close, "no last chunk"),
        (&chunked, "", Step::Reset, "a reset between chunks"),
        (&chunked, "5\r\nab", Step::Close, "an end within a chunk"),
        (&chunked, "0\r\n", Step::Close, "no end of the trailers"),
        (&chunked, "xyz\r\n", Step::Hang, "a broken chunk line"),
        (&chunked, "2\r\nabcd\r\n0\r\n\r\n", Step::Hang, "a chunk that is longer than it says"),
        (&chunked, "ffffffffffffffff1\r\n", Step::Hang, "a chunk size that no number holds"),
    ] {
        assert_broken_off(&world, first.clone(), vec![Step::Send(rest.into()), end], what).await;
    }
    // All at once: the caller gets a part, or nothing at all.
    world.a.answer([&chunked[..], b"xyz\r\n"].concat());
    let answer = world.send(world.ok("")).await;
    assert!(!answer.complete && (answer.status == 0 || answer.status == 200), "{answer:?}");
    until("its record", || world.audit().last().is_some_and(|record| record["complete"] == false)).await;
}

#[tokio::test]
async fn f06_a_second_answer_that_nobody_asked_for_reaches_nobody() {
    let world = World::new().await.start().await;
    let stray = answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}", MARK.len()), MARK);
    let (late, waiting) = (Arc::new(Semaphore::new(0)), stray.clone());
    let wait = late.clone();
    world.a.script(move |seen| {
        let own = answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}", seen.target().len()), seen.target());
        match seen.target().contains("late") {
            true => vec![Step::Send(own), Step::Wait(wait.clone()), Step::Send(waiting.clone())],
            false => vec![Step::Send([own, stray.clone()].concat())],
        }
    });
    for n in 0..30 {
        let target = format!("/at-once-{n}");
        let answer = world.send(world.request("GET", &target, "")).await;
        assert_eq!((answer.status, answer.text(), answer.rest.len()), (200, target, 0), "{answer:?}");
    }
    let connections: HashSet<usize> = world.a.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 30, "a connection with a stray answer in it was used again");
    for n in 0..5 {
        let target = format!("/late-{n}");
        let answer = world.send(world.request("GET", &target, "")).await;
        assert_eq!((answer.status, answer.text()), (200, target), "{answer:?}");
        late.add_permits(1);
        until("the proxy to close a connection that speaks unasked", || world.a.open() == 0).await;
    }
}

#[tokio::test]
async fn f07_an_answer_that_has_no_body_gets_none() {
    let world = World::new().await.start().await;
    let body = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{MARK}", MARK.len());
    for (method, status) in [("GET", 204), ("GET", 304), ("HEAD", 200), ("POST", 204)] {
        let bytes = answer(&format!("HTTP/1.1 {status} X\r\nETag: \"1\""), &body);
        world
            .a
            .script(move |seen| vec![Step::Send(if seen.target() == "/next" { OK.to_vec() } else { bytes.clone() })]);
        let mut stream = world.connect().await;
        let fields = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        stream.write_all(world.request(method, "/x", fields).as_bytes()).await.unwrap();
        let first = raw::read_answer_to_head(&mut stream).await;
        assert_eq!((first.status, first.header("etag")), (status, Some("\"1\"")), "{method}: {first:?}");
        stream.write_all(world.request("GET", "/next", "").as_bytes()).await.unwrap();
        let next = raw::read_answer(&mut stream).await;
        assert_eq!((next.status, next.text().as_str(), next.rest.len()), (200, "ok", 0), "{method} {status}: {next:?}");
    }
}

#[tokio::test]
async fn f07_the_length_of_what_is_not_sent_is_kept_where_it_may_be() {
    let world = World::new().await.start().await;
    // A 304 may have the length that a 200 would have had, and need not.
    for (method, status, length) in [("HEAD", 200, Some("1234")), ("GET", 304, None), ("GET", 204, None)] {
        world.a.answer(answer(&format!("HTTP/1.1 {status} X\r\nContent-Length: 1234"), ""));
        let mut stream = world.connect().await;
        stream.write_all(world.request(method, "/x", "").as_bytes()).await.unwrap();
        let seen = raw::read_answer_to_head(&mut stream).await;
        assert_eq!((seen.status, seen.header("content-length")), (status, length), "{method}: {seen:?}");
        assert_eq!(seen.header("transfer-encoding"), None, "{method} {status}: {seen:?}");
    }
}

#[tokio::test]
async fn f09_interim_answers_end_in_the_final_one() {
    let world = World::new().await.start().await;
    let early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n";
    world.a.answer([&early.repeat(3)[..], b"HTTP/1.1 100 Continue\r\n\r\n", OK].concat());
    let answer = world.send(world.ok("")).await;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("link")), (200, "ok", None), "{answer:?}");
}
