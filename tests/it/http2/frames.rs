//! What RFC 9113 and RFC 7541 forbid, section by section (the sections are those that h2spec goes through), on a raw
//! socket: a stream's error ends the stream, a connection's the connection, and no upstream sees a byte.

mod connection;

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::raw::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, PADDED, PING, PREFACE, PRIORITY, Raw, SETTINGS,
    WINDOW_UPDATE, WITH_PRIORITY, block, frame,
};
use crate::world::recorder::{OK, Step};
use crate::world::until;
use crate::world::{Started, World};

/// The fields of a good request to a.test.
pub fn good(world: &Started) -> Vec<u8> {
    with(world, &[])
}

/// The same and some more.
pub fn with(world: &Started, more: &[(&str, &str)]) -> Vec<u8> {
    let secret = world.session_secret();
    let fields = [&START[..], &[("x-upstream-host", "a.test"), ("x-session-secret", &secret)], more].concat();
    block(&fields)
}

const START: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "proxy.test"), (":path", "/x")];

/// Pseudo-fields of one's own before a good request's other fields.
pub fn pseudo(world: &Started, start: &[(&str, &str)]) -> Vec<u8> {
    let secret = world.session_secret();
    block(&[start, &[("x-upstream-host", "a.test"), ("x-session-secret", &secret)]].concat())
}

const WHOLE: u8 = END_STREAM | END_HEADERS;

/// An upstream sees one whole request, and its caller the answer.
#[tokio::test]
async fn what_the_standard_allows_is_answered() {
    let world = World::new().await.start().await;
    let (good, half) = (good(&world), good(&world).len() / 2);
    let padded = [&[4][..], &good, &[0; 4]].concat();
    let weighed = [&[0, 0, 0, 0, 15][..], &good].concat();
    let call = frame(HEADERS, WHOLE, 1, &good);
    for (what, bytes) in [
        ("3.4 a request at once", call.clone()),
        ("4.1 a frame of an unknown type", [frame(0x16, 0, 0, &[0; 8]), call.clone()].concat()),
        ("4.1 flags that are not defined", [frame(PING, 0x16, 0, &[0; 8]), call.clone()].concat()),
        ("4.1 the reserved bit", [frame(PING, 0, 1 << 31, &[0; 8]), call.clone()].concat()),
        ("4.3 no field is indexed twice alike", frame(HEADERS, WHOLE, 1, &good)),
        ("5.1 PRIORITY on an idle stream", [frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]), call.clone()].concat()),
        ("5.5 an extension's setting", [frame(SETTINGS, 0, 0, &[0x12, 0x34, 0, 0, 0, 1]), call.clone()].concat()),
        (
            "6.1 padded DATA",
            [frame(HEADERS, END_HEADERS, 1, &good), frame(DATA, END_STREAM | PADDED, 1, &[2, b'h', 0, 0])].concat(),
        ),
        ("6.2 padded HEADERS", frame(HEADERS, WHOLE | PADDED, 1, &padded)),
        ("6.2 HEADERS with a priority", frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &weighed)),
        (
            "6.5 many settings",
            [frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 255, 255, 0, 5, 0, 0, 0x40, 0]), call.clone()]
                .concat(),
        ),
        ("6.9 window updates", [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), call.clone()].concat()),
        (
            "6.10 CONTINUATION",
            [frame(HEADERS, END_STREAM, 1, &good[..half]), frame(CONTINUATION, END_HEADERS, 1, &good[half..])].concat(),
        ),
        (
            "6.10 two of them",
            [
                frame(HEADERS, END_STREAM, 1, &good[..9]),
                frame(CONTINUATION, 0, 1, &good[9..half]),
                frame(CONTINUATION, END_HEADERS, 1, &good[half..]),
            ]
            .concat(),
        ),
        (
            "8.1 trailers",
            [
                frame(HEADERS, END_HEADERS, 1, &good),
                frame(DATA, 0, 1, b"hi"),
                frame(HEADERS, WHOLE, 1, &block(&[("x-sum", "1")])),
            ]
            .concat(),
        ),
        (
            "8.1.1 a length that holds",
            [
                frame(HEADERS, END_HEADERS, 1, &with(&world, &[("content-length", "2")])),
                frame(DATA, END_STREAM, 1, b"hi"),
            ]
            .concat(),
        ),
        ("8.2.2 te: trailers", frame(HEADERS, WHOLE, 1, &with(&world, &[("te", "trailers")]))),
        (
            "8.3.1 no authority but a host",
            frame(
                HEADERS,
                WHOLE,
                1,
                &pseudo(&world, &[(":method", "GET"), (":scheme", "http"), (":path", "/x"), ("host", "p")]),
            ),
        ),
    ] {
        let seen = world.a.seen().len();
        let mut raw = Raw::open(&world).await;
        raw.send(bytes).await;
        assert_eq!(raw.outcome().await, Outcome::Answered(200), "{what}");
        assert_eq!(world.a.seen().len(), seen + 1, "{what}");
    }
}

/// So many are usual until settings say otherwise: callers send them at once, and most do not get over a refused stream.
#[tokio::test]
async fn a_hundred_calls_that_are_sent_before_our_settings_are_seen_go_on_together() {
    let world = World::new().await.start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    world.a.script(move |_| vec![Step::Wait(wait.clone()), Step::Send(OK.to_vec())]);
    let good = good(&world);
    let calls = (0..100).map(|n| frame(HEADERS, WHOLE, 2 * n + 1, &good));
    let mut raw = Raw { stream: world.connect().await, held: Vec::new() };
    raw.send([PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].into_iter().chain(calls).collect::<Vec<_>>().concat())
        .await;
    until("a hundred calls", || world.a.seen().len() == 100).await;
    go.add_permits(100);
    for n in 0..100 {
        assert_eq!(raw.next_of(HEADERS).await.expect("an answer").status(), Some(200), "{n}");
    }
}

#[tokio::test]
async fn e03_to_e11_a_malformed_request_ends_its_stream() {
    let world = World::new().await.start().await;
    let other = |more: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &with(&world, more));
    let start = |start: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &pseudo(&world, start));
    let replaced = |name: &str, value: &str| {
        let fields: Vec<(&str, &str)> = START.iter().map(|(n, v)| (*n, if *n == name { value } else { *v })).collect();
        start(&fields)
    };
    let without = |name: &str| start(&START.iter().copied().filter(|(n, _)| *n != name).collect::<Vec<_>>());
    let twice = |name: &str, value: &str| start(&[&START[..], &[(name, value)]].concat());
    let body = |fields: &[(&str, &str)], data: &[u8]| {
        [frame(HEADERS, END_HEADERS, 1, &with(&world, fields)), frame(DATA, END_STREAM, 1, data)].concat()
    };
    for (what, bytes) in [
        ("e03 neither authority nor host", without(":authority")),
        ("e03 authority and another host", other(&[("host", "b.test")])),
        (
            "e03 two hosts",
            start(&[(":method", "GET"), (":scheme", "http"), (":path", "/x"), ("host", "p"), ("host", "p")]),
        ),
        ("e04 userinfo", replaced(":authority", "u:p@proxy.test")),
        ("e04 an authority that is none", replaced(":authority", "a b")),
        ("e04 an empty authority", replaced(":authority", "")),
        ("e04 ftp", replaced(":scheme", "ftp")),
        ("e04 https in clear", replaced(":scheme", "https")),
        ("e04 an empty scheme", replaced(":scheme", "")),
        ("e05 an empty path", replaced(":path", "")),
        ("e05 no slash", replaced(":path", "x")),
        ("e05 a URL", replaced(":path", "http://evil/x")),
        ("e05 a space", replaced(":path", "/a b")),
        ("e05 CRLF in the path", replaced(":path", "/a\r\nX: y")),
        ("e05 CRLF in the method", replaced(":method", "GET / HTTP/1.1\r\nX: y")),
        ("e05 an empty method", replaced(":method", "")),
        ("e05 an asterisk", replaced(":path", "*")),
        ("e07 CR", other(&[("x", "a\rb")])),
        ("e07 LF", other(&[("x", "a\nb")])),
        ("e07 NUL", other(&[("x", "a\0b")])),
        ("e07 an upper-case name", other(&[("X-Foo", "a")])),
        ("e07 a colon in a name", other(&[("x:y", "a")])),
        ("e07 a space in a name", other(&[("x y", "a")])),
        ("e07 an empty name", other(&[("", "a")])),
        ("e07 a space before a value", other(&[("x", " a")])),
        ("e07 a tab behind a value", other(&[("x", "a\t")])),
        ("e08 connection", other(&[("connection", "close")])),
        ("e08 keep-alive", other(&[("keep-alive", "1")])),
        ("e08 proxy-connection", other(&[("proxy-connection", "close")])),
        ("e08 upgrade", other(&[("upgrade", "h2c")])),
        ("e08 transfer-encoding", other(&[("transfer-encoding", "chunked")])),
        ("e08 te: gzip", other(&[("te", "gzip")])),
        ("e08 te: trailers, gzip", other(&[("te", "trailers, gzip")])),
        ("e09 more than the length", body(&[("content-length", "1")], b"hello")),
        ("e09 less than the length", body(&[("content-length", "9")], b"hello")),
        ("e09 a length and no body", other(&[("content-length", "5")])),
        ("e09 two lengths", body(&[("content-length", "5"), ("content-length", "6")], b"hello")),
        ("e09 the same length twice", body(&[("content-length", "5"), ("content-length", "5")], b"hello")),
        ("e09 a sign", body(&[("content-length", "+5")], b"hello")),
        ("e09 a zero in front", body(&[("content-length", "05")], b"hello")),
        ("e10 a pseudo-field after others", other(&[(":path", "/y")])),
        ("e10 an unknown one", twice(":foo", "x")),
        ("e10 that of an answer", twice(":status", "200")),
        ("e10 two methods", twice(":method", "GET")),
        ("e10 two paths", twice(":path", "/y")),
        ("e10 two schemes", twice(":scheme", "http")),
        ("e10 two authorities", twice(":authority", "proxy.test")),
        ("e10 no method", without(":method")),
        ("e10 no scheme", without(":scheme")),
        ("e10 no path", without(":path")),
        (
            "e10 trailers that do not end the stream",
            [frame(HEADERS, END_HEADERS, 1, &good(&world)), frame(HEADERS, END_HEADERS, 1, &block(&[("x", "y")]))]
                .concat(),
        ),
        ("e11 CONNECT", start(&[(":method", "CONNECT"), (":authority", "b.test:443")])),
        ("e11 CONNECT with a path", replaced(":method", "CONNECT")),
        ("e11 extended CONNECT", start(&[&[(":method", "CONNECT"), (":protocol", "websocket")], &START[1..]].concat())),
        ("e11 a protocol without CONNECT", twice(":protocol", "websocket")),
        (
            "5.3.1 a stream that depends on itself",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &[&[0, 0, 0, 1, 15][..], &good(&world)].concat()),
        ),
    ] {
        let before = world.a.seen().len();
        let mut raw = Raw::open(&world).await;
        raw.send(bytes).await;
        let outcome = raw.outcome().await;
        assert!(!matches!(outcome, Outcome::Answered(200 | 0)), "{what}: {outcome:?}");
        // A length that turns out wrong breaks a request off that had begun; it is never whole.
        assert_eq!(world.a.seen().len(), before, "{what}");
        world.assert_works(what).await;
    }
}

/// The library cuts it off before anyone sees it: policy and upstream look at the same path.
#[tokio::test]
async fn e06_a_fragment_never_leaves() {
    let world = World::new().await.start().await;
    let fields = START.map(|(name, value)| (name, if name == ":path" { "/a?b#c" } else { value }));
    let mut raw = Raw::open(&world).await;
    raw.send(frame(HEADERS, WHOLE, 1, &pseudo(&world, &fields))).await;
    assert_eq!(raw.outcome().await, Outcome::Answered(200));
    assert_eq!(world.a.last().target(), "/a?b");
    until("the record", || world.audit().len() == 1).await;
    assert_eq!(world.audit()[0]["path"], "/a");
}

/// Errors of a stream that had ended or is half closed; others on the connection go on.
#[tokio::test]
async fn an_error_of_a_stream_spares_its_connection() {
    let world = World::new().await.start().await;
    let good = good(&world);
    let open = frame(HEADERS, END_HEADERS, 1, &good);
    for (what, bytes) in [
        ("6.3 PRIORITY of four bytes", [open.clone(), frame(PRIORITY, 0, 1, &[0; 4])].concat()),
        ("6.9 an update of a stream by nothing", [open.clone(), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat()),
        (
            "6.9.1 a stream's window that overflows",
            [open.clone(), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
        ),
        ("8.1.1 a request without a method", frame(HEADERS, WHOLE, 1, &block(&START[1..]))),
    ] {
        let mut raw = Raw::open(&world).await;
        raw.send(bytes).await;
        assert!(matches!(raw.outcome().await, Outcome::Reset | Outcome::GoneAway), "{what}");
        world.assert_works(what).await;
    }
}
