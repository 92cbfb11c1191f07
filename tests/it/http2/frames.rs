//! What RFC 9113 and RFC 7541 forbid, section by section (the sections are those that h2spec goes through), on a raw
//! socket: a stream's error ends the stream, a connection's the connection, and no upstream sees a byte.

use super::raw::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PADDED, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RESET, Raw, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, block, frame,
};
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

#[tokio::test]
async fn a_broken_frame_ends_the_connection() {
    let world = World::new().await.start().await;
    let good = good(&world);
    let call = frame(HEADERS, WHOLE, 1, &good);
    let after = |more: Vec<u8>| [call.clone(), more].concat();
    let begun = frame(HEADERS, END_STREAM, 1, &good);
    let open = frame(HEADERS, END_HEADERS, 1, &good);
    let setting = |id: u8, value: u32| frame(SETTINGS, 0, 0, &[&[0, id][..], &value.to_be_bytes()].concat());
    for (what, bytes) in [
        ("4.2 a frame that is too large", frame(HEADERS, WHOLE, 1, &vec![0; 16385])),
        ("4.2 DATA that is too large", [open.clone(), frame(DATA, 0, 1, &vec![0; 16385])].concat()),
        ("4.3 no HPACK", frame(HEADERS, WHOLE, 1, &[0x7f; 4])),
        ("4.3 PRIORITY within a head", [begun.clone(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])].concat()),
        ("4.3 another stream within a head", [begun.clone(), frame(HEADERS, WHOLE, 3, &good)].concat()),
        ("5.1 DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x")),
        ("5.1 RST_STREAM on an idle stream", frame(RESET, 0, 1, &[0; 4])),
        ("5.1 WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("5.1 CONTINUATION on an idle stream", frame(CONTINUATION, END_HEADERS, 1, &good)),
        ("5.1.1 an even stream", frame(HEADERS, WHOLE, 2, &good)),
        ("5.1.1 a smaller one", [frame(HEADERS, WHOLE, 5, &good), frame(HEADERS, WHOLE, 3, &good)].concat()),
        ("5.5 an unknown frame within a head", [begun.clone(), frame(0x16, 0, 0, &[0; 8])].concat()),
        ("6.1 DATA on no stream", frame(DATA, END_STREAM, 0, b"x")),
        ("6.1 more padding than frame", [open.clone(), frame(DATA, END_STREAM | PADDED, 1, &[9, 1, 2])].concat()),
        ("6.2 DATA within a head", [begun.clone(), frame(DATA, END_STREAM, 1, b"x")].concat()),
        ("6.2 HEADERS on no stream", frame(HEADERS, WHOLE, 0, &good)),
        ("6.2 more padding than head", frame(HEADERS, WHOLE | PADDED, 1, &[255, 1, 2])),
        ("6.3 PRIORITY on no stream", frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 1])),
        ("6.4 RST_STREAM on no stream", frame(RESET, 0, 0, &[0; 4])),
        ("6.4 RST_STREAM of three bytes", after(frame(RESET, 0, 1, &[0; 3]))),
        ("6.5 an acknowledgement with settings", frame(SETTINGS, ACK, 0, &[0, 1, 0, 0, 0, 0])),
        ("6.5 settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("6.5 half a setting", frame(SETTINGS, 0, 0, &[0, 1, 0])),
        ("6.5.2 push that is neither on nor off", setting(2, 2)),
        ("6.5.2 a window that is too large", setting(4, 1 << 31)),
        ("6.5.2 frames that are too small", setting(5, 16383)),
        ("6.5.2 frames that are too large", setting(5, 1 << 24)),
        (
            "6.6 PUSH_PROMISE from a client",
            [open.clone(), frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &good].concat())].concat(),
        ),
        ("6.7 PING of a stream", frame(PING, 0, 1, &[0; 8])),
        ("6.7 PING of six bytes", frame(PING, 0, 0, &[0; 6])),
        ("6.8 GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        ("6.9 an update of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])),
        ("6.9 an update by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("6.9.1 a window that overflows", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("6.10 CONTINUATION on no stream", [begun.clone(), frame(CONTINUATION, END_HEADERS, 0, &[])].concat()),
        ("6.10 CONTINUATION behind a whole head", [open.clone(), frame(CONTINUATION, END_HEADERS, 1, &[])].concat()),
        (
            "6.10 CONTINUATION behind DATA",
            [open.clone(), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
        ),
        ("hpack 2.3.3 an index that is not there", frame(HEADERS, WHOLE, 1, &[&good[..], &[0xff, 0x7f]].concat())),
        ("hpack 4.2 a new size at the end", frame(HEADERS, WHOLE, 1, &[&good[..], &[0x20]].concat())),
        ("hpack 5.2 EOS", frame(HEADERS, WHOLE, 1, &[&good[..], &[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]].concat())),
        ("hpack 6.1 index zero", frame(HEADERS, WHOLE, 1, &[&good[..], &[0x80]].concat())),
        ("hpack 6.3 a size over the limit", frame(HEADERS, WHOLE, 1, &[&[0x3f, 0xe1, 0xff, 0x7f][..], &good].concat())),
    ] {
        let mut raw = Raw::open(&world).await;
        raw.send(bytes).await;
        // An answer may have been on its way.
        let mut outcome = raw.outcome().await;
        while matches!(outcome, Outcome::Answered(_)) {
            outcome = raw.outcome().await;
        }
        assert!(matches!(outcome, Outcome::GoneAway | Outcome::Closed | Outcome::Reset), "{what}: {outcome:?}");
        while raw.next().await.is_some() {}
        world.assert_works(what).await;
    }
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

#[tokio::test]
async fn a_preface_that_is_none_is_no_http_2() {
    let world = World::new().await.start().await;
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\nHost: p\r\n\r\nSM\r\n\r\n",
        b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"pri * http/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        world.assert_rejected_and_closed(bytes, &[400], &String::from_utf8_lossy(bytes)).await;
    }
    let mut twice = Raw::open(&world).await;
    twice.send(PREFACE).await;
    while twice.next().await.is_some() {}
    world.assert_works("a second preface").await;
}

#[tokio::test]
async fn pings_and_settings_are_answered_and_streams_are_counted() {
    let world = World::new().await.start().await;
    let mut raw = Raw::open(&world).await;
    let settings = raw.next_of(SETTINGS).await.unwrap();
    let setting =
        |id: u8| settings.payload.chunks(6).find(|s| s[1] == id).map(|s| u32::from_be_bytes([s[2], s[3], s[4], s[5]]));
    assert_eq!(setting(3), Some(100), "streams at a time");
    assert_eq!(setting(8), None, "extended CONNECT is not offered");
    raw.send(frame(PING, 0, 0, b"veilward")).await;
    let pong = raw.next_of(PING).await.unwrap();
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"veilward"[..]));

    let head = good(&world);
    for stream in 0..101 {
        raw.send(frame(HEADERS, END_HEADERS, 2 * stream + 1, &head)).await;
    }
    let refused = raw.next_of(RESET).await.unwrap();
    assert_eq!((refused.stream, refused.payload[3]), (201, 7), "REFUSED_STREAM");
}
