//! What one connection can hold when every stream that there may be does its worst.

use std::time::Duration;

use super::frames::{good, pseudo, with};
use super::raw::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Raw, SETTINGS, WINDOW_UPDATE, block, frame};
use crate::world::process::Process;
use crate::world::recorder::Step;
use crate::world::{Started, World, until};

const CONNECTIONS: usize = 4;
const STREAMS: usize = 100;

/// Opens connections that read nothing, sends on each stream of them, waits until nothing changes any more, and returns
/// how much each connection holds, in KiB.
async fn held(
    world: &Started,
    process: &Process,
    windows: &[u8],
    sent: impl Fn(u32) -> Vec<u8>,
    mut state: impl FnMut() -> usize,
) -> u64 {
    let before = process.status_kib("VmRSS");
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = Raw::open(world).await;
        raw.send(windows).await;
        for n in 0..STREAMS {
            raw.send(sent(u32::try_from(2 * n + 1).unwrap())).await;
        }
        open.push(raw);
    }
    let (mut quiet, mut last) = (0, (0, 0));
    while quiet < 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = (state(), process.status_kib("VmRSS"));
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
    process.status_kib("VmRSS").saturating_sub(before) / CONNECTIONS as u64
}

#[tokio::test]
async fn a_hostile_connection_without_a_credential_holds_two_megabytes_and_what_it_sends_at_most() {
    let (world, process) = World::new().await.spawn().await;
    world.assert_works("before").await;
    let nobody = [(":method", "GET"), (":scheme", "http"), (":authority", "proxy.test"), (":path", "/x")];
    let large = "x".repeat(15_000);
    let small = block(&nobody);
    let large = block(&[&nobody[..], &[("x-large", &large)]].concat());
    let wrong = pseudo(&world, &[(":method", "GET"), (":path", "//")]);
    let none = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let records = || world.audit().len();
    let mut all = Vec::new();
    // The last is the peer's own megabyte and a half, which is there at once and given back at once.
    for (what, most, sent) in [
        ("refused", 2, &(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &wrong)) as &dyn Fn(u32) -> Vec<u8>),
        ("bodies", 2, &|stream| {
            [frame(HEADERS, END_HEADERS, stream, &small), frame(DATA, 0, stream, &[b'x'; 600])].concat()
        }),
        ("a head without an end", 2, &|stream| match stream {
            1 => frame(HEADERS, 0, 1, &small),
            2..10 => frame(CONTINUATION, 0, 1, &block(&[("x-more", &"y".repeat(15_000))])),
            _ => Vec::new(),
        }),
        ("large heads", 3, &|stream| frame(HEADERS, END_HEADERS, stream, &large)),
    ] {
        all.push((what, most << 10, held(&world, &process, &none, sent, records).await));
    }
    assert!(all.iter().all(|(_, most, each)| each < most), "KiB for each connection: {all:?}");
}

#[tokio::test]
async fn calls_over_one_connection_hold_a_bounded_amount_each() {
    // All calls are of one identity.
    let world = World::new().await.config("limits: {max_concurrent_requests_per_identity: 0}");
    let (world, process) = world.spawn().await;
    world.assert_works("before").await;
    world.a.script(|_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n".to_vec();
        let pieces = (0..16).map(|_| Step::Send(vec![b'x'; 65536]));
        std::iter::once(Step::Send(head)).chain(pieces).chain([Step::Hang]).collect()
    });
    let (none, all) = ([0, 4, 0, 0, 0, 0], [0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let wide = [frame(SETTINGS, 0, 0, &all), frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0xff, 0, 0])].concat();
    let (small, large) = (good(&world), with(&world, &[("x-large", &"x".repeat(15_000))]));
    let mut each = Vec::new();
    for (what, windows, head) in [
        ("answers without a window", frame(SETTINGS, 0, 0, &none), &small),
        ("large heads", frame(SETTINGS, 0, 0, &none), &large),
        ("answers that nobody reads", wide, &small),
    ] {
        let sent = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, head);
        let seen = world.a.seen().len();
        let of_connection = held(&world, &process, &windows, sent, || world.a.written()).await;
        until("the calls", || world.a.seen().len() >= seen + CONNECTIONS * STREAMS).await;
        each.push((what, of_connection / STREAMS as u64));
    }
    assert!(each.iter().all(|(_, call)| *call < 128), "KiB for each call: {each:?}");
}
