//! Errors of the connection, and what is answered on it.

use super::{WHOLE, good};
use crate::http2::raw::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PADDED, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RESET, Raw, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::world::World;

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
