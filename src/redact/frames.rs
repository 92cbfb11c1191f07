//! An upstream's half of a WebSocket (RFC 6455 section 5), searched while it passes.
//!
//! Frames go on as they came, with the same borders; only payload is read and masked.

use std::collections::VecDeque;

use bytes::Bytes;

use super::stream::mask_whole;
use super::{Reflected, Stream, Watch};

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// The longest payload of a control frame (section 5.5).
const MAX_CONTROL: u64 = 125;
/// So much may wait behind payload that is held back, in bytes: small frames without an end would fill memory.
const MAX_WAITING: usize = 64 << 10;

/// Why a WebSocket ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Reflected(#[from] Reflected),
    /// What follows cannot be read, and so not be searched.
    #[error("WebSocket: {0}")]
    Unreadable(&'static str),
}

/// Takes bytes of frames and gives back those that may go on.
#[derive(Debug)]
pub struct Frames {
    watch: Watch,
    message: Stream,
    /// What there is of a frame's header.
    header: Vec<u8>,
    frame: Option<Frame>,
    waiting: VecDeque<Part>,
    weight: usize,
    found: bool,
}

/// The frame whose payload is coming.
#[derive(Debug)]
struct Frame {
    rest: u64,
    last: bool,
    /// What there is of a control frame, which may come between the fragments of a message.
    control: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    /// So much of the message, when it has been searched.
    Payload(usize),
}

impl Frames {
    pub fn new(watch: Watch) -> Frames {
        Frames {
            message: Stream::new(watch.clone()),
            watch,
            header: Vec::new(),
            frame: None,
            waiting: VecDeque::new(),
            weight: 0,
            found: false,
        }
    }

    /// Takes what came and adds to `out` what may go on: all of it, as long as nothing may be the beginning of a secret.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        while !bytes.is_empty() {
            if self.frame.is_none() {
                let (byte, rest) = bytes.split_at(1);
                self.header.extend_from_slice(byte);
                bytes = rest;
                self.begin()?;
            }
            let Some(frame) = &mut self.frame else { continue };
            let (payload, rest) = bytes.split_at(bytes.len().min(usize::try_from(frame.rest).unwrap_or(usize::MAX)));
            frame.rest -= payload.len() as u64;
            bytes = rest;
            self.take(payload, out)?;
            if self.weight > MAX_WAITING {
                return Err(Broken::Unreadable("too many small frames inside of what may be a secret"));
            }
        }
        Ok(())
    }

    /// Whether a secret has been seen so far.
    pub fn found(&self) -> bool {
        self.found || self.message.found()
    }

    /// Reads the header once it is there.
    fn begin(&mut self) -> Result<(), Broken> {
        let [first, second, extended @ ..] = &self.header[..] else { return Ok(()) };
        if first & RESERVED != 0 {
            return Err(Broken::Unreadable("a frame of an extension that was not asked for"));
        }
        if second & MASKED != 0 {
            return Err(Broken::Unreadable("a masked frame from a server"));
        }
        let (short, last) = (u64::from(second & !MASKED), first & FINAL != 0);
        let more = [0, 2, 8][usize::from(short > 125) + usize::from(short > 126)];
        if extended.len() < more {
            return Ok(());
        }
        let long = extended.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        let rest = if more == 0 { short } else { long };
        let header = std::mem::take(&mut self.header);
        let control = match header[0] & 15 {
            0..=2 => {
                self.wait(Part::Bytes(header));
                None
            }
            8..=10 if last && rest <= MAX_CONTROL => Some(header),
            8..=10 => return Err(Broken::Unreadable("a control frame that is too long or not whole")),
            _ => return Err(Broken::Unreadable("a frame of a kind that there is not")),
        };
        self.frame = Some(Frame { rest, last, control });
        Ok(())
    }

    fn take(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let Some(frame) = &mut self.frame else { return Ok(()) };
        let (ended, last) = (frame.rest == 0, frame.last);
        let mut text = Bytes::new();
        match &mut frame.control {
            Some(control) => {
                control.extend_from_slice(payload);
                if ended {
                    let control = std::mem::take(control);
                    let control = self.search_control(control)?;
                    self.wait(Part::Bytes(control));
                }
            }
            None => {
                text = self.message.push(Bytes::copy_from_slice(payload))?;
                self.wait(Part::Payload(payload.len()));
            }
        }
        let data = self.frame.as_ref().is_some_and(|frame| frame.control.is_none());
        self.release(&text, out);
        if ended && last && data {
            // The receiver may wait for the message's end before it says anything.
            let rest = self.message.end();
            self.release(&rest, out);
        }
        if ended {
            self.frame = None;
        }
        Ok(())
    }

    fn search_control(&mut self, mut frame: Vec<u8>) -> Result<Vec<u8>, Broken> {
        // Its header has two bytes.
        if let Some(masked) = mask_whole(&self.watch.needles, &frame[2..]) {
            self.found = true;
            self.watch.allow()?;
            frame[2..].copy_from_slice(&masked);
        }
        Ok(frame)
    }

    fn wait(&mut self, part: Part) {
        match (self.waiting.back_mut(), part) {
            (Some(Part::Payload(before)), Part::Payload(more)) => *before += more,
            (_, part) => {
                self.weight += part.weight();
                self.waiting.push_back(part);
            }
        }
    }

    /// So much of the message has been searched; whatever stands before what is still held goes on.
    fn release(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while let Some(part) = self.waiting.front_mut() {
            match part {
                Part::Bytes(bytes) => out.extend_from_slice(bytes),
                Part::Payload(length) => {
                    let (now, later) = text.split_at(text.len().min(*length));
                    out.extend_from_slice(now);
                    text = later;
                    *length -= now.len();
                    if *length > 0 {
                        return;
                    }
                }
            }
            self.weight -= part.weight();
            self.waiting.pop_front();
        }
    }
}

impl Part {
    /// What it takes to wait, roughly.
    fn weight(&self) -> usize {
        match self {
            Part::Bytes(bytes) => size_of::<Part>() + bytes.len(),
            Part::Payload(_) => size_of::<Part>(),
        }
    }
}

#[cfg(test)]
mod tests {
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
}
