//! Section F of the hostile cases: what an upstream does wrong, and what the caller sees of it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::world::raw::{self, Answer};
use crate::world::recorder::{Down, OK, Recorder, Step};
use crate::world::{Started, World, logs, until, within};

/// Stands in what upstreams send where a caller must see none of it.
const MARK: &str = "upstream-mark-7e1d";

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// Plays the bytes once: our own 502, nothing of the upstream's in it, one request sent, and the next call works.
async fn assert_fault(world: &Started, bytes: impl Into<Vec<u8>>, what: &str) {
    let (bytes, before) = (bytes.into(), world.a.seen().len());
    world.a.script(move |_| vec![Step::Send(bytes.clone()), Step::Close]);
    let mut answer = world.send(world.ok("")).await;
    answer.fields.iter_mut().for_each(|(_, value)| value.truncate(500));
    let record = world.assert_refused(&answer, 502, "UPSTREAM_ERROR", what).await;
    assert_eq!((&record["decision"], &record["secret_id"]), (&"allow".into(), &"KEY_A".into()), "{what}: {record}");
    assert!(!format!("{answer:?}").contains(MARK), "{what}: {answer:?}");
    assert_eq!(world.a.seen().len(), before + 1, "{what}: sent more than once");
    world.a.answer(OK);
    world.assert_works(what).await;
}

/// The answer begins, and once its first bytes are with the caller it breaks off in a way that nobody can take for
/// its end.
async fn assert_broken_off(world: &Started, first: Vec<u8>, then: Vec<Step>, what: &str) {
    let go = Arc::new(Semaphore::new(0));
    let steps = [vec![Step::Send(first), Step::Wait(go.clone())], then].concat();
    world.a.script(move |_| steps.clone());
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
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
    let world = World::new().await.start().await;
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
    let world = World::new().await.start().await;
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

#[tokio::test]
async fn f10_f11_what_is_no_answer_is_a_fault() {
    let world = World::new().await.start().await;
    let tls_alert: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";
    for bytes in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: upstream-mark-7e1d\rX-B: 1\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: upstream-mark-7e1d\x00\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: upstream-mark-7e1d\r\n folded\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A : upstream-mark-7e1d\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nupstream-mark-7e1d\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 O\x01K upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 099 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 999 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 600 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 20 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/2.0 200 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: upstream-mark-7e1d\r\nConnection: upgrade\r\n\r\n".to_vec(),
        b"upstream-mark-7e1d\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nX-A: upstream-mark-7e1d".to_vec(),
        b"<html>upstream-mark-7e1d</html>".to_vec(),
        tls_alert.to_vec(),
        Vec::new(),
    ] {
        let what = String::from_utf8_lossy(&bytes).into_owned();
        assert_fault(&world, bytes, &what).await;
    }
}

#[tokio::test]
async fn f11_a_sloppy_answer_is_tidied_up_or_a_fault() {
    let world = World::new().await.start().await;
    for bytes in [&b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"[..], b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"] {
        world.a.answer(bytes);
        let answer = world.send(world.ok("")).await;
        let tidy = (answer.status, answer.text().as_str(), answer.headers("content-length")) == (200, "ok", vec!["2"]);
        assert!(tidy || answer.code() == "UPSTREAM_ERROR", "{answer:?}");
        assert!(answer.fields.iter().all(|(name, value)| !format!("{name}{value}").contains('\n')), "{answer:?}");
    }
}

#[tokio::test]
async fn f12_an_answer_with_too_much_head_is_a_fault() {
    let world = World::new().await.start().await;
    let many: String = (0..105).map(|n| format!("\r\nX-{n}: {MARK}")).collect();
    assert_fault(&world, answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2{many}"), "ok"), "105 fields").await;
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: {}{MARK}", "a".repeat(500_000));
    assert_fault(&world, answer(&long, "ok"), "a field of 500 kB").await;
}

#[tokio::test]
async fn f13_fields_that_appear_twice_pass_as_they_are() {
    let world = World::new().await.start().await;
    let cookies: String = (0..60).map(|n| format!("\r\nSet-Cookie: c{n}=v, w; Path=/")).collect();
    let fields = "\r\nLocation: /a\r\nLocation: /b\r\nContent-Type: text/a\r\nContent-Type: text/b";
    world.a.answer(answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2{cookies}{fields}"), "ok"));
    let answer = world.send(world.ok("")).await;
    let expected: Vec<String> = (0..60).map(|n| format!("c{n}=v, w; Path=/")).collect();
    assert_eq!(answer.headers("set-cookie"), expected, "{answer:?}");
    assert_eq!(answer.headers("location"), ["/a", "/b"]);
    assert_eq!(answer.headers("content-type"), ["text/a", "text/b"]);
}

/// One more route to `a`, under the name `hasty.test`, with limits that are meant to be reached.
async fn hasty(timeouts: &str) -> Started {
    let world = World::new().await;
    let address = world.a.address;
    let route = format!(
        "{{upstream_host: hasty.test, upstream_scheme: http, upstream_address: \"{address}\", timeouts: {timeouts}}}"
    );
    world.route(&route).start().await
}

#[tokio::test]
async fn f14_an_upstream_that_never_answers_is_504_and_costs_no_slot() {
    let world = hasty("{first_byte: 200ms}").await;
    let endless = b"HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n".repeat(10_000);
    for (steps, what) in [
        (vec![Step::Hang], "silence"),
        (vec![Step::Send(b"HTTP/1.1 200 OK\r\nX-A: ".to_vec()), Step::Hang], "half a head"),
        (vec![Step::Send(endless), Step::Hang], "interim answers without end"),
    ] {
        world.a.script(move |_| steps.clone());
        let answer = world.get("hasty.test").await;
        world.assert_refused(&answer, 504, "UPSTREAM_TIMEOUT", what).await;
        until("the connection to be given up", || world.a.open() == 0).await;
    }
    assert_eq!(world.sample("veilwarden_requests_in_flight").await, 0.0);
    assert_eq!(world.sample("veilwarden_errors_total{code=\"UPSTREAM_TIMEOUT\"}").await, 3.0);
    world.a.answer(OK);
    world.assert_works("after timeouts").await;
}

#[tokio::test]
async fn f15_an_upstream_without_tls_is_a_fault_within_the_connect_limit() {
    let silent = Recorder::start().await;
    let chatty = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = |host: &str, address: SocketAddr, connect: &str| {
        let secret = "secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{secret}}\"";
        format!(
            "{{upstream_host: {host}, upstream_address: \"{address}\", {secret}, timeouts: {{connect: {connect}}}}}"
        )
    };
    let world = World::new().await.route(&route("silent.test", silent.address, "200ms"));
    let world = world.route(&route("chatty.test", chatty.local_addr().unwrap(), "15s")).start().await;
    let answer = world.get("silent.test").await;
    world.assert_refused(&answer, 504, "UPSTREAM_TIMEOUT", "no ServerHello").await;
    until("the connection to be given up", || silent.open() == 0).await;
    assert!(!silent.everything().windows(7).any(|w| w == b"canaryA"), "the secret went out in clear");

    let plain = tokio::spawn(async move {
        let (mut stream, _) = chatty.accept().await.unwrap();
        let mut received = Vec::new();
        stream.write_all(OK).await.unwrap();
        let _ = stream.read_to_end(&mut received).await;
        received
    });
    let answer = world.get("chatty.test").await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "HTTP where TLS is due").await;
    let received = within("the connection's end", plain).await.unwrap();
    assert!(!received.windows(7).any(|w| w == b"canaryA"), "the secret went out in clear");
}

#[tokio::test]
async fn f16_a_connection_refused_or_reset_is_a_fault() {
    let down = Down::new();
    let world = World::new().await;
    let address = down.address;
    let world = world
        .route(&format!("{{upstream_host: down.test, upstream_scheme: http, upstream_address: \"{address}\"}}"))
        .start()
        .await;
    let answer = world.get("down.test").await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "refused").await;
    let recorder = down.up();
    assert_eq!(world.get("down.test").await.status, 200, "it heals alone");
    assert_eq!(recorder.seen().len(), 1);

    world.a.script(|_| vec![Step::Reset]);
    for (method, body) in [("GET", ""), ("POST", "Content-Length: 0\r\n")] {
        let before = world.a.seen().len();
        let answer = world.send(world.request(method, "/x", body)).await;
        world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "reset after the request").await;
        assert_eq!(world.a.seen().len(), before + 1, "{method}: sent more than once");
    }
}

#[tokio::test]
async fn f16_a_call_on_a_connection_that_dies_is_sent_at_most_once() {
    let world = World::new().await.start().await;
    world.a.script(|seen| if seen.target() == "/die" { vec![Step::Reset] } else { vec![Step::Send(OK.to_vec())] });
    for round in 0..10 {
        world.assert_works("a connection for the pool").await;
        let before = world.a.seen().len();
        let answer = world.send(world.request("POST", "/die", "Content-Length: 0\r\n")).await;
        world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "reset on a pooled connection").await;
        assert_eq!(world.a.seen().len(), before + 1, "round {round}");
    }
}

#[tokio::test]
async fn f18_silence_ends_an_answer_and_no_total_limit_does() {
    let world = hasty("{idle: 200ms}").await;
    world.a.script(|_| vec![Step::Send(answer("HTTP/1.1 200 OK\r\nContent-Length: 10", "ab")), Step::Hang]);
    let broken = world.get("hasty.test").await;
    assert_eq!((broken.status, broken.complete, broken.text().as_str()), (200, false, "ab"), "{broken:?}");
    assert_eq!(world.record(&broken).await["complete"], false);
    until("the upstream's connection to be given up", || world.a.open() == 0).await;

    let patient = hasty("{first_byte: 1s, idle: 1s}").await;
    let piece = || [Step::Pause(Duration::from_millis(250)), Step::Send(b"2\r\nab\r\n".to_vec())];
    let head = Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec());
    let mut steps = vec![head];
    steps.extend((0..6).flat_map(|_| piece()));
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    patient.a.script(move |_| steps.clone());
    let whole = patient.get("hasty.test").await;
    assert_eq!((whole.status, whole.complete, whole.text().as_str()), (200, true, "abababababab"), "{whole:?}");
}

async fn read_exactly(stream: &mut TcpStream, wanted: &str) {
    let mut bytes = vec![0; wanted.len()];
    within(wanted, stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), wanted);
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.unwrap());
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn f20_each_event_arrives_before_the_next_one_is_sent() {
    let world = World::new().await.start().await;
    let next = Arc::new(Semaphore::new(0));
    let permits = next.clone();
    world.a.script(move |_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut steps = vec![Step::Send(head.as_bytes().to_vec())];
        for n in 0..5 {
            steps.extend([Step::Wait(permits.clone()), Step::Send(format!("9\r\ndata: {n}\n\n\r\n").into_bytes())]);
        }
        steps.extend([Step::Wait(permits.clone()), Step::Send(b"0\r\n\r\n".to_vec())]);
        steps
    });
    let mut stream = world.connect().await;
    stream.write_all(world.ok("Accept: text/event-stream\r\n").as_bytes()).await.unwrap();
    // The head alone, before any event exists.
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream") && head.contains("transfer-encoding: chunked"), "{head}");
    for n in 0..5 {
        next.add_permits(1);
        read_exactly(&mut stream, &format!("9\r\ndata: {n}\n\n\r\n")).await;
    }
    next.add_permits(1);
    read_exactly(&mut stream, "0\r\n\r\n").await;
}

#[tokio::test]
async fn f21_an_early_refusal_of_an_upload_reaches_the_caller_at_once() {
    let world = World::new().await.start().await;
    world.a.eager();
    world.a.answer(answer("HTTP/1.1 413 Too Large\r\nContent-Length: 3", "big"));
    let mut stream = world.connect().await;
    let head = world.request("POST", "/upload", "Content-Length: 1000000\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b'a'; 10_000]).await.unwrap();
    let early = raw::read_answer(&mut stream).await;
    assert_eq!((early.status, early.text().as_str(), early.complete), (413, "big", true), "{early:?}");
    assert_eq!(world.record(&early).await["status"], 413);
    // Whatever becomes of the rest of the body, nothing in it is a request.
    let smuggled = world.request("GET", "/smuggled", "").repeat(20);
    let _ = stream.write_all(smuggled.as_bytes()).await;
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    let _ = within("the connection's end", stream.read_to_end(&mut rest)).await;
    assert!(raw::parse_answers(&rest).is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert!(world.audit().iter().all(|record| record["path"] != "/smuggled"));
}

#[tokio::test]
async fn f24_trailers_are_not_passed_on() {
    let world = World::new().await.start().await;
    let trailers = "Authorization: evil\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\nX-Veilwarden-Error: FAKE\r\n";
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie";
    world.a.answer(answer(head, &format!("2\r\nok\r\n0\r\n{trailers}\r\n")));
    let mut stream = world.connect().await;
    stream.write_all(world.ok("TE: trailers\r\nConnection: close, TE\r\n").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    within("the answer", stream.read_to_end(&mut bytes)).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    assert!(text.ends_with("2\r\nok\r\n0\r\n\r\n"), "{text}");
    assert!(!text.contains("evil") && !text.contains("set-cookie"), "{text}");
}

#[tokio::test]
async fn f26_a_401_of_the_upstream_passes_and_starts_no_retries() {
    let world = World::new().await.doppler().await.route_to_a("stored.test", "STORED").start().await;
    world.doppler.as_ref().unwrap().set("STORED", "value");
    world
        .a
        .answer(answer("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2", "no"));
    let answer = world.get("stored.test").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "no"), "{answer:?}");
    assert_eq!(answer.headers("www-authenticate"), ["Basic realm=\"x\""]);
    assert_eq!(answer.header("x-veilwarden-error"), None, "it is the upstream's answer, not ours");
    assert_eq!(world.a.seen().len(), 1);
    assert!(world.doppler.as_ref().unwrap().calls() <= 2);
    assert_eq!(world.record(&answer).await["error"], serde_json::Value::Null);
}

#[tokio::test]
async fn f29_a_407_never_asks_the_caller_for_its_credential_to_us() {
    let world = World::new().await.start().await;
    let head = "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic realm=\"upstream-mark-7e1d\"\r\nContent-Length: 2";
    assert_fault(&world, answer(head, "no"), "407").await;
    world.a.answer(answer("HTTP/1.1 200 OK\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2", "ok"));
    let answer = world.send(world.ok("")).await;
    assert_eq!((answer.status, answer.header("proxy-authenticate")), (200, None), "{answer:?}");
}

#[tokio::test]
async fn f31_what_would_lead_the_caller_around_us_is_taken_out() {
    let world = World::new().await.start().await;
    let fields = "Strict-Transport-Security: max-age=31536000\r\nAlt-Svc: h3=\":443\"\r\nX-Veilwarden-Error: FAKE\r\n\
                  X-Request-Id: theirs\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nUpgrade: h2c";
    world.a.answer(answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}"), "ok"));
    let answer = world.send(world.ok("X-Request-Id: ours\r\n")).await;
    for gone in ["strict-transport-security", "alt-svc", "x-veilwarden-error", "keep-alive", "x-hop", "upgrade"] {
        assert_eq!(answer.header(gone), None, "{gone}: {answer:?}");
    }
    assert_eq!(answer.headers("x-request-id"), ["ours"]);
    assert_eq!(answer.header("x-upstream-request-id"), Some("theirs"));
}

#[tokio::test]
async fn f32_f33_nothing_is_remembered_between_calls() {
    let world = World::new().await.start().await;
    let head = "HTTP/1.1 200 OK\r\nSet-Cookie: sid=1\r\nCache-Control: public, max-age=600\r\nETag: \"1\"\r\nContent-Length: 2";
    world.a.answer(answer(head, "ok"));
    for calls in 1..=3 {
        let answer = world.send(world.ok("")).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (200, Some("sid=1")));
        let seen = world.a.last();
        assert_eq!((world.a.seen().len(), seen.header("cookie"), seen.header("if-none-match")), (calls, None, None));
    }
}

#[tokio::test]
async fn f34_a_slow_upstream_slows_nobody_elses_calls() {
    let world = World::new().await.start().await;
    world.a.script(|_| vec![Step::Hang]);
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut stream = world.connect().await;
        stream.write_all(world.ok("").as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    until("fifty calls to hang", || world.a.seen().len() == 50).await;
    for _ in 0..10 {
        let answer: Answer = world.get("b.test").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(world.sample("veilwarden_requests_in_flight").await, 50.0);
    drop(waiting);
    until("the calls of callers that hung up to end", || world.a.open() == 0).await;
    until("their records", || world.audit().len() == 60).await;
    let records = world.audit();
    let given_up = records.iter().filter(|record| record["upstream_host"] == "a.test");
    for record in given_up {
        assert_eq!((&record["status"], &record["complete"]), (&0.into(), &false.into()), "{record}");
    }
}
