//! What one connection can hold when every stream that there may be does its worst.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::frames::pseudo;
use super::peer::{Peer, empty, full};
use super::raw::{CONTINUATION, DATA, END_HEADERS, HEADERS, Raw, SETTINGS, WINDOW_UPDATE, block, frame, whole};
use super::upstream::{in_clear, serve};
use crate::world::process::Process;
use crate::world::recorder::Step;
use crate::world::{Started, World};

const CONNECTIONS: usize = 4;
const STREAMS: usize = 100;
/// For each stream, as a setting.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// What is done over one connection.
struct Attack<'a> {
    settings: &'a [u8],
    /// Sent on each stream.
    sent: &'a dyn Fn(u32) -> Vec<u8>,
    /// Whether what comes is read.
    reads: bool,
}

/// Opens connections, sends on each stream of them, waits until nothing changes any more, and returns how much each
/// connection holds, in KiB, and how many calls go on. Without the pages of the program's file, which are read once for all.
async fn held(
    world: &Started,
    process: &Process,
    attack: Attack<'_>,
    mut state: impl FnMut() -> usize,
) -> (u64, usize) {
    let before = process.status_kib("RssAnon");
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = Raw::open(world).await;
        // The connection's window is there from then on.
        raw.next_of(WINDOW_UPDATE).await.expect("a connection");
        raw.send(frame(SETTINGS, 0, 0, attack.settings)).await;
        raw.send(frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0xff, 0, 0])).await;
        for n in 0..STREAMS {
            raw.send((attack.sent)(u32::try_from(2 * n + 1).unwrap())).await;
        }
        open.push(raw);
    }
    let (mut quiet, mut last) = (0, (0, 0));
    let mut away = vec![0; 1 << 16];
    while quiet < 10 {
        for raw in open.iter().filter(|_| attack.reads) {
            while raw.stream.try_read(&mut away).is_ok_and(|n| n > 0) {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = (state(), process.status_kib("RssAnon"));
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
    let calls = world.sample("veilwarden_requests_in_flight").await as usize;
    (last.1.saturating_sub(before) / CONNECTIONS as u64, calls)
}

#[tokio::test]
async fn a_hostile_connection_without_a_credential_holds_half_a_megabyte_at_most() {
    let nobody = [(":method", "GET"), (":scheme", "http"), (":authority", "proxy.test"), (":path", "/x")];
    let large = "x".repeat(15_000);
    let small = block(&nobody);
    let large = block(&[&nobody[..], &[("x-large", &large)]].concat());
    let mut all = Vec::new();
    for what in ["refused", "bodies", "a head without an end", "large heads"] {
        let (world, process) = World::new().await.spawn().await;
        world.assert_works("before").await;
        let wrong = [&nobody[..3], &[(":path", "//")]].concat();
        let wrong = pseudo(&world, &wrong);
        let sent = |stream| match (what, stream) {
            ("refused", _) => whole(stream, &wrong),
            ("bodies", _) => {
                [frame(HEADERS, END_HEADERS, stream, &small), frame(DATA, 0, stream, &[b'x'; 2600])].concat()
            }
            ("large heads", _) => frame(HEADERS, END_HEADERS, stream, &large),
            (_, 1) => frame(HEADERS, 0, 1, &small),
            (_, 2..10) => frame(CONTINUATION, 0, 1, &block(&[("x-more", &"y".repeat(15_000))])),
            _ => Vec::new(),
        };
        let attack = Attack { settings: &NO_WINDOW, sent: &sent, reads: false };
        let (each, _) = held(&world, &process, attack, || world.audit().len()).await;
        all.push((what, each));
    }
    assert!(all.iter().all(|(_, each)| *each < 512), "KiB for each connection: {all:?}");
}

/// Of a hundred calls each, all but a few wait outside, so that many connections hold little together.
#[tokio::test]
async fn e19_connections_that_take_no_refusals_hold_little_together() {
    let (world, process) = World::new().await.spawn().await;
    world.assert_works("before").await;
    for path in ["/x", "/healthz"] {
        let head = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "proxy.test"), (":path", path)]);
        let before = process.status_kib("RssAnon");
        let mut open = Vec::new();
        for _ in 0..50 {
            let mut raw = Raw::open(&world).await;
            raw.send(frame(SETTINGS, 0, 0, &NO_WINDOW)).await;
            let calls: Vec<u8> = (0..100).flat_map(|n| whole(2 * n + 1, &head)).collect();
            raw.send(calls).await;
            open.push(raw);
        }
        for raw in &mut open {
            for _ in 0..8 {
                raw.next_of(HEADERS).await.expect("a refusal");
            }
        }
        let grown = process.status_kib("RssAnon").saturating_sub(before);
        assert!(grown < 50 * 160, "{path}: {grown} KiB more");
        world.assert_works(path).await;
    }
}

#[tokio::test]
async fn a_caller_that_reads_gets_each_of_a_hundred_refusals_at_a_time() {
    let world = World::new().await.start().await;
    let peer = Peer::connect(&world).await;
    for round in 0..5 {
        let mut calls = JoinSet::new();
        for _ in 0..STREAMS {
            let peer = peer.clone();
            let call = Request::get("http://proxy.test/x").body(empty()).unwrap();
            calls.spawn(async move { peer.send(call).await.code() });
        }
        assert_eq!(calls.join_all().await, ["UNAUTHORIZED"; STREAMS], "{round}");
    }
}

/// Fields that fill a head to its limit, or nearly.
fn huge() -> [(&'static str, String); 4] {
    ["x-1", "x-2", "x-3", "x-4"].map(|name| (name, "y".repeat(15_000)))
}

/// Upstreams over HTTP/1.1 and over HTTP/2: `/answer` is a megabyte, `/head` the same behind a huge head, anything else takes
/// nothing and says nothing.
async fn with_upstreams() -> (Started, Process) {
    let over_http2 = serve(|request, _| async move {
        let mut answer = Response::builder();
        match request.uri().path() {
            "/answer" => {}
            "/head" => answer = huge().into_iter().fold(answer, |answer, (name, value)| answer.header(name, value)),
            _ => std::future::pending().await,
        }
        answer.body(full(vec![b'x'; 1 << 20])).unwrap()
    })
    .await;
    // All calls are of one identity.
    let world = World::new().await.config("limits: {max_concurrent_requests_per_identity: 0}");
    let (world, process) = world.route(&in_clear("h.test", over_http2)).spawn().await;
    world.assert_works("before").await;
    let never = Arc::new(Semaphore::new(0));
    world.a.eager();
    world.a.script(move |seen| {
        let fields = match seen.target() {
            "/answer" => String::new(),
            "/head" => huge().map(|(name, value)| format!("{name}: {value}\r\n")).concat(),
            _ => return vec![Step::Wait(never.clone())],
        };
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1048576\r\n\r\n");
        vec![Step::Send(head.into_bytes()), Step::Send(vec![b'x'; 1 << 20]), Step::Hang]
    });
    (world, process)
}

/// In MiB for each connection with its 100 calls, over HTTP/1.1 and over HTTP/2 to the upstream. A build for debugging.
#[tokio::test]
async fn e19_calls_over_one_connection_hold_a_bounded_amount_each() {
    let (one, some, all) = ([0, 4, 0, 0, 0, 1], [0, 4, 0, 2, 0, 0], [0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let huge = huge();
    let huge: Vec<(&str, &str)> = huge.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut each = Vec::new();
    for (what, settings, path, reads, most) in [
        ("calls that are not answered", NO_WINDOW, "/silence", false, [3, 2]),
        ("huge heads", NO_WINDOW, "/silence", false, [3, 2]),
        ("uploads that are not taken", NO_WINDOW, "/silence", false, [4, 3]),
        ("answers without a window", NO_WINDOW, "/answer", false, [4, 5]),
        ("answers with a window of one byte", one, "/answer", true, [4, 5]),
        ("answers that stop in the middle", some, "/answer", true, [6, 5]),
        ("answers that nobody reads", all, "/answer", false, [6, 5]),
        ("huge heads of answers that nobody reads", all, "/head", false, [12, 6]),
    ] {
        for (host, most) in ["a.test", "h.test"].into_iter().zip(most) {
            let (world, process) = with_upstreams().await;
            let secret = world.session_secret();
            let call = |method, more: &[(&str, &str)]| {
                let start = [(":method", method), (":scheme", "http"), (":authority", "proxy.test"), (":path", path)];
                block(&[&start[..], &[("x-upstream-host", host), ("x-session-secret", &secret)], more].concat())
            };
            let sent = |stream| match what {
                "huge heads" => whole(stream, &call("GET", &huge)),
                "uploads that are not taken" => {
                    let data = frame(DATA, 0, stream, &[b'x'; 2600]);
                    [frame(HEADERS, END_HEADERS, stream, &call("POST", &[])), data].concat()
                }
                _ => whole(stream, &call("GET", &[])),
            };
            let attack = Attack { settings: &settings, sent: &sent, reads };
            let (of_connection, calls) = held(&world, &process, attack, || world.a.written()).await;
            // Some heads are refused; some answers find room between the two sockets.
            let least = if what == "huge heads" { CONNECTIONS } else { CONNECTIONS * STREAMS * 9 / 10 };
            assert!(calls >= least, "{what}: {calls} calls");
            each.push((what, host, most << 10, of_connection));
        }
    }
    assert!(each.iter().all(|(_, _, most, connection)| connection < most), "KiB for each connection: {each:#?}");
}
