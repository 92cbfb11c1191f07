use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::redact::Needles;

const SECRET: &[u8] = b"sk-live_4f9a";

fn frames(block: bool) -> Frames {
    Frames::new(Watch { needles: Arc::new(Needles::new(SECRET, SECRET).unwrap()), block })
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let header = match length {
        0..126 => vec![first, length as u8],
        126..65536 => [&[first, 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [header, payload.to_vec()].concat()
}

fn pass(frames: &mut Frames, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frames.push(bytes, &mut out).unwrap();
    out
}

#[test]
fn f27_a_secret_is_masked_across_fragments_and_around_control_frames() {
    let said = [
        frame(0x01, b"{\"key\": \"sk-li"),
        frame(0x89, b"ping sk-live_4f9a"),
        frame(0x00, b""),
        frame(0x00, b"ve_4f"),
        frame(0x80, b"9a\"}"),
        frame(0x82, &[b"\x00sk-live_4f9a".as_slice(), &[1; 300]].concat()),
    ]
    .concat();
    let expected = [
        frame(0x01, b"{\"key\": \"*****"),
        frame(0x89, b"ping ************"),
        frame(0x00, b""),
        frame(0x00, b"*****"),
        frame(0x80, b"**\"}"),
        frame(0x82, &[b"\x00************".as_slice(), &[1; 300]].concat()),
    ]
    .concat();
    for size in [1, 2, 3, 7, 1000] {
        let mut frames = frames(false);
        let out: Vec<u8> = said.chunks(size).flat_map(|piece| pass(&mut frames, piece)).collect();
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{size}");
        assert!(frames.found());
    }
    let mut out = Vec::new();
    assert_eq!(frames(true).push(&said, &mut out), Err(Broken::Reflected(Reflected)));
    assert!(!out.windows(2).any(|two| two == b"sk"), "{}", out.escape_ascii());
}

#[test]
fn a_whole_message_is_never_held_back_and_a_clean_fragment_neither() {
    let mut frames = frames(false);
    for whole in [frame(0x81, b"sk-live"), frame(0x01, b"half"), frame(0x80, b"sk-"), frame(0x88, b"\x03\xe8sk-")] {
        assert_eq!(pass(&mut frames, &whole), whole);
    }
    assert_eq!(pass(&mut frames, &frame(0x01, b"a sk-")), frame(0x01, b"a sk-")[..4]);
    assert_eq!(pass(&mut frames, &frame(0x80, b"ip")), [&b"sk-"[..], &frame(0x80, b"ip")].concat());
    assert!(!frames.found());
}

#[test]
fn what_cannot_be_read_ends_it() {
    for (bytes, what) in [
        (&[0xc1, 0x00][..], "compressed"),
        (&[0x81, 0x81, 0, 0, 0, 0, 0], "masked"),
        (&[0x83, 0x00], "no kind of frame"),
        (&[0x09, 0x00], "half a ping"),
        (&[0x89, 126, 0, 126], "a long ping"),
    ] {
        assert!(matches!(frames(false).push(bytes, &mut Vec::new()), Err(Broken::Unreadable(_))), "{what}");
    }
}

#[test]
fn what_waits_behind_a_held_beginning_is_bounded() {
    for small in [frame(0x00, b""), frame(0x89, &[b'x'; 125])] {
        let (mut frames, mut out) = (frames(false), Vec::new());
        frames.push(&frame(0x01, b"sk-"), &mut out).unwrap();
        let mut sent = 0;
        while frames.push(&small, &mut out).is_ok() {
            sent += small.len();
            assert!(sent < 1 << 20);
        }
        assert_eq!(out, frame(0x01, b"")[..1].iter().chain(&[3]).copied().collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn clean_frames_arrive_byte_for_byte(
        parts in vec((0..6_usize, vec(any::<u8>(), 0..200), 0..3_usize), 1..12),
        size in 1..200_usize,
    ) {
        let first = [0x81, 0x82, 0x01, 0x00, 0x80, 0x89];
        let said: Vec<u8> = parts.iter().flat_map(|(kind, payload, times)| {
            // Pings are short.
            let times = if *kind == 5 { 0 } else { 10_usize.pow(*times as u32) };
            frame(first[*kind], &if times == 0 { payload[..payload.len().min(125)].to_vec() } else { payload.repeat(times) })
        }).chain(frame(0x80, b"")).collect();
        let mut frames = frames(false);
        let out: Vec<u8> = said.chunks(size).flat_map(|piece| pass(&mut frames, piece)).collect();
        prop_assert!(out == said);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..400), size in 1..50_usize) {
        let (mut frames, mut out) = (frames(false), Vec::new());
        for piece in bytes.chunks(size) {
            if frames.push(piece, &mut out).is_err() { break }
        }
        prop_assert!(bytes.starts_with(&out));
    }
}
