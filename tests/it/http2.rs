//! HTTP/2 in front: what works over HTTP/1.1 works over it, with the same answers and records.

mod frames;
mod floods;
pub mod peer;
mod faults;
mod grpc;
mod isolation;
mod memory;
pub mod raw;
mod trailers;
mod tunnels;
pub mod upstream;

use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::world::recorder::{OK, Step};
use crate::world::{World, raw as http1, until, within};
use peer::{Peer, empty, full, request};
use raw::{GOAWAY, HEADERS, PREFACE, RESET, Raw, SETTINGS, frame};

#[tokio::test]
async fn e01_a_call_by_prior_knowledge_is_a_call_like_any_other() {
    let mut world = World::new().await.start().await;
    let peer = Peer::connect(&world).await;
    let answer = peer.send(request(&world, "GET", "/x?y=1", "a.test").body(empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "{answer:?}");
    let seen = world.a.last();
    assert_eq!(seen.line(), "GET /x?y=1 HTTP/1.1");
    assert_eq!(seen.header("host"), Some("a.test"));
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {}", world.canary_a())));
    for gone in ["x-session-secret", "x-upstream-host", "te", "connection", "transfer-encoding"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    let sent = peer.send(request(&world, "POST", "/body", "b.test").body(full("hello")).unwrap()).await;
    assert_eq!(sent.status, 200);
    assert_eq!((world.b.last().header("content-length"), &world.b.last().body[..]), (Some("5"), &b"hello"[..]));
    let health = Request::get("http://proxy.test/healthz").body(empty()).unwrap();
    assert_eq!(peer.send(health).await.body, br#"{"status":"ok"}"#);
    drop(peer);
    let records = world.stop().await;
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(records[0]["request_id"], answer.headers["x-request-id"].to_str().unwrap());
    assert!(records.iter().all(|record| record["decision"] == "allow" && record["complete"] == true), "{records:?}");
}

/// Each with its code, its id and its record; the connection lives on.
#[tokio::test]
async fn e03_e04_e07_e11_refusals_are_those_of_http_1() {
    let mut world = World::new().await.start().await;
    let peer = Peer::connect(&world).await;
    let secret = world.session_secret();
    let long = "y".repeat(8192);
    let build = |method: &str, uri: &str, fields: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(empty()).unwrap()
    };
    let credential = ("x-session-secret", &*secret);
    let (to_a, to_nobody) = (("x-upstream-host", "a.test"), ("x-upstream-host", "nobody.test"));
    let (loops, tall) = (("via", "2 veilwarden"), format!("http://proxy.test/{long}"));
    type Fields<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, u16, &str, &str, Fields)] = &[
        ("BAD_REQUEST", 400, "GET", "https://proxy.test/", &[to_a, credential]),
        ("BAD_REQUEST", 400, "GET", "ftp://proxy.test/", &[to_a, credential]),
        ("BAD_REQUEST", 400, "GET", "http://proxy.test/", &[("host", "b.test"), to_a, credential]),
        ("INVALID_HOST", 400, "GET", "http://u:p@proxy.test/", &[to_a, credential]),
        ("INVALID_HOST", 400, "GET", "http://127.1/", &[to_a, credential]),
        ("INVALID_PATH", 400, "GET", "http://proxy.test/a//b", &[to_a, credential]),
        ("INVALID_PATH", 400, "GET", "http://proxy.test/..%2fadmin", &[to_a, credential]),
        ("URI_TOO_LONG", 414, "GET", &tall, &[to_a, credential]),
        ("METHOD_NOT_ALLOWED", 405, "TRACE", "http://proxy.test/", &[to_a, credential]),
        ("BAD_REQUEST", 400, "get", "http://proxy.test/", &[to_a, credential]),
        ("BAD_REQUEST", 400, "G!T", "http://proxy.test/", &[to_a, credential]),
        ("BAD_REQUEST", 400, "GET", "http://proxy.test/", &[to_a, credential, credential]),
        ("LOOP_DETECTED", 508, "GET", "http://proxy.test/", &[to_a, credential, loops]),
        ("UNAUTHORIZED", 401, "GET", "http://proxy.test/", &[to_a]),
        ("MISSING_HOST", 400, "GET", "http://proxy.test/", &[credential]),
        ("HOST_NOT_ALLOWED", 403, "GET", "http://proxy.test/", &[to_nobody, credential]),
    ];
    for (code, status, method, uri, fields) in cases {
        let answer = peer.send(build(method, uri, fields)).await;
        assert_eq!((answer.status, &*answer.code()), (*status, *code), "{method} {uri}: {answer:?}");
        assert_eq!(answer.headers["x-veilwarden-error"], *code);
        assert!(!answer.headers.contains_key("connection"), "{answer:?}");
        until("the record", || {
            world.audit().iter().any(|r| r["request_id"] == answer.headers["x-request-id"].to_str().unwrap())
        })
        .await;
    }
    let connect = Request::connect("b.test:443").body(empty()).unwrap();
    assert_eq!(peer.begin(connect).await.unwrap().status(), 400);
    world.assert_nothing_sent("refused");
    let head = peer.send(build("HEAD", "http://proxy.test/", &[to_a])).await;
    assert_eq!((head.status, head.body.len()), (401, 0));
    assert!(head.headers["content-length"].to_str().unwrap().parse::<u32>().unwrap() > 50, "{head:?}");
    let good = peer.send(request(&world, "GET", "/x", "a.test").body(empty()).unwrap()).await;
    assert_eq!(good.status, 200, "the connection lives on");
    assert_eq!(world.stop().await.len(), cases.len() + 3);
}

#[tokio::test]
async fn d18_e16_cookie_crumbs_are_one_field_and_count_before_they_are_joined() {
    let world = World::new().await.start().await;
    let peer = Peer::connect(&world).await;
    let crumbs = |n: usize| {
        let mut request = request(&world, "GET", "/x", "a.test");
        for at in 0..n {
            request = request.header("cookie", format!("c{at}={at}"));
        }
        request.body(empty()).unwrap()
    };
    assert_eq!(peer.send(crumbs(3)).await.status, 200);
    assert_eq!(world.a.last().headers("cookie"), ["c0=0; c1=1; c2=2"]);
    let answer = peer.send(crumbs(101)).await;
    assert_eq!((answer.status, &*answer.code()), (431, "HEADERS_TOO_LARGE"));
    assert_eq!(world.a.seen().len(), 1);
}

#[tokio::test]
async fn the_preface_in_pieces_is_http_2_and_after_a_request_it_is_not() {
    let world = World::new().await.start().await;
    let mut raw = Raw { stream: world.connect().await, held: Vec::new() };
    for byte in PREFACE.iter().chain(&frame(SETTINGS, 0, 0, &[])) {
        assert!(raw.send([*byte]).await);
        tokio::task::yield_now().await;
    }
    assert!(raw.next_of(SETTINGS).await.is_some());

    let mut late = world.connect().await;
    late.write_all(world.ok("").as_bytes()).await.unwrap();
    assert_eq!(http1::read_answer(&mut late).await.status, 200);
    late.write_all(PREFACE).await.unwrap();
    assert_eq!(http1::read_answer(&mut late).await.status, 400);
}

#[tokio::test]
async fn many_calls_share_a_connection_and_a_slow_one_holds_up_none() {
    let world = World::new().await.start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    world.a.script(move |_| vec![Step::Wait(wait.clone()), Step::Send(OK.to_vec())]);
    let peer = Peer::connect(&world).await;
    let slow = {
        let (peer, request) = (peer.clone(), request(&world, "GET", "/slow", "a.test").body(empty()).unwrap());
        tokio::spawn(async move { peer.send(request).await })
    };
    until("the slow call", || world.a.seen().len() == 1).await;
    for _ in 0..50 {
        assert_eq!(peer.send(request(&world, "GET", "/x", "b.test").body(empty()).unwrap()).await.status, 200);
    }
    go.add_permits(1);
    assert_eq!(within("the slow answer", slow).await.unwrap().status, 200);
    assert!(world.metrics().await.contains("veilwarden_connections 1\n"));
}

#[tokio::test]
async fn a_connection_without_calls_is_asked_to_leave_and_one_with_a_call_is_not() {
    let world = World::new().await.config("limits: {idle_timeout: 1s, header_timeout: 1s}").start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    world.a.script(move |_| vec![Step::Wait(wait.clone()), Step::Send(OK.to_vec())]);
    let busy = Peer::connect(&world).await;
    let call = {
        let (busy, request) = (busy.clone(), request(&world, "GET", "/x", "a.test").body(empty()).unwrap());
        tokio::spawn(async move { busy.send(request).await.status })
    };
    until("the call", || world.a.seen().len() == 1).await;
    // A peer that says nothing to it is left all the same, pings or not.
    let mut raw = Raw::open(&world).await;
    assert!(raw.next_of(GOAWAY).await.is_some());
    while raw.next().await.is_some() {}
    assert!(!busy.is_closed());
    go.add_permits(1);
    assert_eq!(within("the answer", call).await.unwrap(), 200);
    until("its end", || busy.is_closed()).await;
}

/// Neither a preface nor a head may take for ever.
#[tokio::test]
async fn what_was_begun_is_finished_in_time_or_the_connection_ends() {
    let world = World::new().await.config("limits: {idle_timeout: 60s, header_timeout: 300ms}").start().await;
    let begun = frame(HEADERS, 0, 1, &raw::block(&[(":method", "GET")]));
    for (what, bytes) in [
        ("half a preface", PREFACE[..7].to_vec()),
        ("the HTTP/1 part of it", PREFACE[..18].to_vec()),
        ("no settings", PREFACE.to_vec()),
        ("a head to be continued", [PREFACE, &frame(SETTINGS, 0, 0, &[]), &begun].concat()),
        ("half a frame", [PREFACE, &frame(SETTINGS, 0, 0, &[]), &begun[..12]].concat()),
        ("half a frame's header", [PREFACE, &frame(SETTINGS, 0, 0, &[]), &begun[..4]].concat()),
    ] {
        let mut raw = Raw { stream: world.connect().await, held: Vec::new() };
        raw.send(bytes).await;
        within(what, async { while raw.next().await.is_some() {} }).await;
    }
}

#[tokio::test]
async fn e20_a_drain_says_goaway_lets_calls_end_and_takes_no_new_ones() {
    let (world, mut process) = World::new().await.config("limits: {drain_delay: 0s}").spawn().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    world.a.script(move |_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst".to_vec();
        vec![Step::Send(head), Step::Wait(wait.clone()), Step::Send(b"other".to_vec())]
    });
    let peer = Peer::connect(&world).await;
    let open = peer.begin(request(&world, "GET", "/x", "a.test").body(empty()).unwrap()).await.unwrap();
    process.signal(Signal::TERM);
    let late = || request(&world, "GET", "/late", "b.test").body(empty()).unwrap();
    within("new calls to be refused", async { while peer.begin(late()).await.is_ok() {} }).await;
    assert!(!process.has_ended(), "a call is open");
    go.add_permits(1);
    let body = within("the rest", open.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(body, "firstother");
    process.end().await;
    assert_eq!(world.audit().len(), 1 + world.b.seen().len());
}

#[tokio::test]
async fn e20_the_last_goaway_names_the_last_stream() {
    let (world, mut process) = World::new().await.config("limits: {drain_delay: 0s}").spawn().await;
    let mut raw = Raw::open(&world).await;
    raw.send(frame(HEADERS, raw::END_STREAM | raw::END_HEADERS, 1, &frames::good(&world))).await;
    assert_eq!(raw.next_of(HEADERS).await.unwrap().status(), Some(200));
    process.signal(Signal::TERM);
    let first = raw.next_of(GOAWAY).await.unwrap();
    assert_eq!(first.payload[..4], [0x7f, 0xff, 0xff, 0xff]);
    let ping = raw.next_of(raw::PING).await.unwrap();
    raw.send(frame(raw::PING, raw::ACK, 0, &ping.payload)).await;
    let last = raw.next_of(GOAWAY).await.unwrap();
    assert_eq!(last.payload[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
    process.end().await;
}

/// As in HTTP/1: a caller that takes nothing is given up, its call recorded, the upstream's connection freed.
#[tokio::test]
async fn e19_an_answer_that_is_not_taken_holds_little_and_ends() {
    let (world, process) = World::new().await.config("limits: {idle_timeout: 2s}").spawn().await;
    world.a.script(|_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n".to_vec();
        std::iter::once(Step::Send(head)).chain((0..1600).map(|_| Step::Send(vec![b'x'; 65536]))).collect()
    });
    let before = process.status_kib("VmRSS");
    let mut raw = Raw::open(&world).await;
    // A window of one byte for every stream, and a byte now and then.
    raw.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])).await;
    for stream in [1, 3, 5, 7] {
        raw.send(frame(HEADERS, raw::END_STREAM | raw::END_HEADERS, stream, &frames::good(&world))).await;
    }
    let dribble = frame(raw::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    let (mut resets, mut dribbles) = (0, 0);
    while resets < 4 {
        let frame = raw.next().await.expect("the connection lives on");
        if frame.kind == raw::DATA && frame.stream == 1 && dribbles < 1000 {
            dribbles += 1;
            raw.send(&dribble).await;
        }
        resets += usize::from(frame.kind == RESET);
    }
    let grown = process.status_kib("VmHWM").saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB more");
    until("the records", || world.audit().len() == 4).await;
    assert!(world.audit().iter().all(|record| record["complete"] == false), "{:?}", world.audit());
    until("the upstream's connections' end", || world.a.open() == 0).await;
}

/// A stream may be reset for no error; what came of its body is no whole one for all that.
#[tokio::test]
async fn e09_a_body_that_its_caller_resets_never_ends_at_the_upstream() {
    let world = World::new().await.start().await;
    let head = [(":method", "POST"), (":scheme", "http"), (":authority", "proxy.test"), (":path", "/x")];
    for reason in [0, 8] {
        let mut raw = Raw::open(&world).await;
        raw.send(frame(HEADERS, raw::END_HEADERS, 1, &frames::pseudo(&world, &head))).await;
        let before = world.a.bytes();
        let sent = || String::from_utf8_lossy(&world.a.everything()[before..]).into_owned();
        raw.send(frame(raw::DATA, 0, 1, b"part")).await;
        until("the part", || sent().contains("part")).await;
        raw.send(frame(RESET, 0, 1, &[0, 0, 0, reason])).await;
        until("the upstream's connection's end", || world.a.open() == 0).await;
        let everything = sent();
        assert!(!everything.contains("\r\n0\r\n"), "reason {reason}: {everything}");
    }
}
