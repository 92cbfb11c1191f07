//! Rows E13 to E18, and the same of upstreams: peers that send what costs them nothing. The connection or the call ends, memory
//! stays, others are served.

use super::faults::answering;
use super::frames::good;
use super::peer::{Peer, empty, request};
use super::raw::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, PING, PRIORITY, PUSH_PROMISE, RESET, Raw,
    SETTINGS, WINDOW_UPDATE, block, frame, whole,
};
use super::upstream::in_clear;
use crate::world::recorder::Step;
use crate::world::{World, until, within};

/// Repeats of each flood: more than any budget has.
const MANY: usize = 20_000;

#[tokio::test]
async fn e13_e14_e17_e18_a_flood_ends_its_connection_and_nothing_else() {
    let (world, process) = World::new().await.spawn().await;
    world.a.script(|_| vec![Step::Hang]);
    let other = Peer::connect(&world).await;
    let call = || request(&world, "GET", "/x", "b.test").body(empty()).unwrap();
    assert_eq!(other.send(call()).await.status, 200);
    let before = process.status_kib("VmRSS");

    let open = frame(HEADERS, END_HEADERS, 1, &good(&world));
    let begun = frame(HEADERS, END_STREAM, 1, &good(&world));
    let stream = |at: usize| u32::try_from(2 * at + 1).unwrap();
    let rapid = |at: usize| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &good(&world));
        [head, frame(RESET, 0, stream(at), &[0, 0, 0, 8])].concat()
    };
    let made = |at: usize| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &good(&world));
        [head, frame(WINDOW_UPDATE, 0, stream(at), &[0, 0, 0, 0])].concat()
    };
    let same = |first: &[u8], repeated: Vec<u8>| [first.to_vec(), repeated.repeat(MANY)].concat();
    for (what, bytes) in [
        ("e13 CONTINUATION without end", same(&begun, frame(CONTINUATION, 0, 1, &block(&[("x", "y")])))),
        ("e13 empty CONTINUATION", same(&begun, frame(CONTINUATION, 0, 1, &[]))),
        ("e14 rapid reset", (0..MANY).flat_map(rapid).collect()),
        ("e14 MadeYouReset", (0..MANY).flat_map(made).collect()),
        ("e14 a zero update on an open stream", same(&open, frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 0]))),
        ("e17 empty DATA", same(&open, frame(DATA, 0, 1, &[]))),
        ("e18 PING", same(&[], frame(PING, 0, 0, &[0; 8]))),
        ("e18 PING answers", same(&[], frame(PING, ACK, 0, &[0; 8]))),
        ("e18 SETTINGS", same(&[], frame(SETTINGS, 0, 0, &[]))),
        ("e18 SETTINGS answers", same(&[], frame(SETTINGS, ACK, 0, &[]))),
        ("e18 PRIORITY", same(&[], frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]))),
        ("e18 WINDOW_UPDATE by one", same(&open, frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]))),
        ("e18 WINDOW_UPDATE by one on the connection", same(&[], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        ("e18 RST_STREAM on an idle stream", same(&[], frame(RESET, 0, 1, &[0; 4]))),
        ("e18 frames that nobody knows", same(&[], frame(0x42, 0, 0, &[]))),
    ] {
        let seen = world.a.seen().len();
        let mut raw = Raw::open(&world).await;
        // Without reading; the proxy may close at any time.
        raw.send(bytes).await;
        within(what, async { while raw.next().await.is_some() {} }).await;
        let started = world.a.seen().len() - seen;
        assert!(started <= 50, "{what}: {started} upstream requests");
        assert_eq!(other.send(call()).await.status, 200, "{what}");
    }
    let grown = process.status_kib("VmHWM").saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
    until("only the other connection", || world.a.open() == 0).await;
}

/// Indexed fields weigh a byte on the wire and forty in memory.
#[tokio::test]
async fn e16_fields_count_as_they_weigh_in_memory() {
    let (world, process) = World::new().await.spawn().await;
    let before = process.status_kib("VmRSS");
    let start = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    for (what, first) in [("crumbs", &[0x60, 3, b'a', b'=', b'1'][..]), ("hosts", &[0x66, 1, b'a'])] {
        for many in [10_000, 16_000] {
            let bomb = [&start[..], first, &vec![0xbe; many]].concat();
            let mut raw = Raw::open(&world).await;
            for stream in [1, 3, 5] {
                raw.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)).await;
                let outcome = raw.outcome().await;
                assert!(outcome != Outcome::Answered(200), "{what}: {outcome:?}");
            }
        }
    }
    world.assert_nothing_sent("a bomb");
    let grown = process.status_kib("VmHWM").saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB more");
}

/// Names can be made up that collide in the library's map, where each then costs as much as all before it: a caller is answered
/// as long as it is one too many, and its connection ends before so many of them are decoded that this counts.
#[tokio::test]
async fn e16_a_head_or_trailers_with_twice_the_fields_are_refused_and_with_more_the_connection_ends() {
    let world = World::new().await.start().await;
    let names: Vec<String> = (0..3700).map(|at| format!("x-{at}")).collect();
    let fields = |count: usize| block(&names[..count].iter().map(|name| (&**name, "")).collect::<Vec<_>>());
    let good = good(&world);
    let (pseudo, ours) = (4, 2);
    for (count, ends) in [(150, false), (200 - ours, false), (200 - ours + 1, true), (3600, true)] {
        let head = [&good[..], &fields(count)].concat();
        let mut raw = Raw::open(&world).await;
        for stream in [1, 3, 5] {
            raw.send(whole(stream, &head)).await;
            // The status is none of the static table's: 431.
            let expected = if ends { Outcome::Closed } else { Outcome::Answered(0) };
            assert_eq!(raw.outcome().await, expected, "{count} fields");
        }
        let mut raw = Raw::open(&world).await;
        raw.send(frame(HEADERS, END_HEADERS, 1, &good)).await;
        raw.send(whole(1, &fields(count + ours + pseudo))).await;
        let gone = raw.outcome().await;
        assert_eq!(gone == Outcome::Closed, ends, "{count} trailers: {gone:?}");
        world.assert_works("others are served").await;
    }
}

/// Beside its head, an upstream may send what costs it little: it waits no longer for that, and nothing of it is kept.
#[tokio::test]
async fn f12_f14_floods_of_an_upstream_end_with_their_call_and_hold_little() {
    let early = block(&[(":status", "103"), ("link", &"x".repeat(200))]);
    // A field goes into the table once (RFC 7541 section 6.2.1); a byte for each further one is a hundred of memory.
    let heavy = |fields: &[u8]| frame(HEADERS, END_HEADERS, 1, &[&block(&[(":status", "103")])[..], fields].concat());
    let fields = block(&[("x-more", &"y".repeat(8000))]);
    let good = frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "200")]));
    let pushed = [&[0, 0, 0, 2][..], &block(&[(":method", "GET"), (":path", "/pushed")])].concat();
    let again = |frame: Vec<u8>, times: usize| frame.repeat(times);
    for (what, status, flood) in [
        ("1xx heads", 504, again(frame(HEADERS, END_HEADERS, 1, &early), 100_000)),
        ("heavy 1xx heads", 504, [heavy(b"\x40\x01a\x00"), again(heavy(&[0xbe; 1800]), 10_000)].concat()),
        ("PING", 504, again(frame(PING, 0, 0, &[0; 8]), 20_000)),
        ("SETTINGS", 504, again(frame(SETTINGS, 0, 0, &[]), 20_000)),
        ("windows", 504, again(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 20_000)),
        ("unknown frames", 504, again(frame(0x42, 0, 0, &[0; 100]), 20_000)),
        (
            "a head without an end",
            502,
            [frame(HEADERS, 0, 1, &early), again(frame(CONTINUATION, 0, 1, &fields), 1000)].concat(),
        ),
        ("pushed calls", 502, frame(PUSH_PROMISE, END_HEADERS, 1, &pushed)),
        ("empty pieces", 200, [good.clone(), again(frame(DATA, 0, 1, &[]), 20_000)].concat()),
        ("tiny pieces", 200, [good.clone(), again(frame(DATA, 0, 1, b"x"), 20_000)].concat()),
    ] {
        let route =
            in_clear("h.test", answering(flood).await).replace("first_byte: 5s, idle: 5s", "first_byte: 1s, idle: 1s");
        let (world, process) = World::new().await.route(&route).spawn().await;
        world.assert_works(what).await;
        let before = process.status_kib("RssAnon");
        let answer = within(what, world.get("h.test")).await;
        // The connection may end before its answer's head was looked at.
        assert!(answer.status == status || status == 200 && answer.status == 502, "{what}: {answer:?}");
        assert_eq!(answer.complete, answer.status != 200, "{what}: {answer:?}");
        let grown = process.status_kib("RssAnon").saturating_sub(before);
        // What arrives at once: of the heads, some megabytes at a time, of the seventy or two thousand that all would be.
        assert!(grown < 16 << 10, "{what}: {grown} KiB more");
        world.assert_works(what).await;
    }
}
