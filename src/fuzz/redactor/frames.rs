//! The WebSocket's frames: the same bytes go on as a second reader of frames lets go on.

use super::{Case, Passed};
use crate::redact::Frames;
use crate::redact::frames::{Broken, TOO_MUCH_WAITS};

/// A message of these fragments, with pings between some of them.
pub(super) fn pack(text: &[u8], pieces: Vec<&[u8]>) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut frame = |first: u8, payload: &[u8]| {
        packed.push(first);
        match u8::try_from(payload.len()) {
            Ok(length @ 0..126) => packed.push(length),
            _ => packed.extend([&[126][..], &(payload.len() as u16).to_be_bytes()].concat()),
        }
        packed.extend_from_slice(payload);
    };
    for (at, piece) in pieces.iter().enumerate() {
        frame(u8::from(at == 0), piece);
        if at % 3 == 2 {
            frame(0x89, &text[..text.len().min(5)]);
        }
    }
    frame(0x80, b"");
    packed
}

/// What came of the bytes, whole and in pieces.
pub(super) fn pass(case: &Case, bytes: &[u8]) {
    let read = Read::of(case, bytes);
    for pieces in [vec![bytes], case.pieces(bytes)] {
        let (mut frames, mut out) = (Frames::new(case.watch.clone()), Vec::new());
        let outcome = pieces.iter().try_for_each(|piece| frames.push(piece, &mut out));
        let (broken, outcome) = match outcome {
            Ok(()) => (false, Ok(frames.found())),
            // The second reader has no such bound: what went on before that is no more than it lets go on.
            Err(Broken::Unreadable(TOO_MUCH_WAITS)) => {
                assert!(out.len() <= read.free, "{}", bytes.escape_ascii());
                case.are_none(&Read::of(case, &out).places, &out);
                continue;
            }
            Err(Broken::Unreadable(_)) => (true, Ok(frames.found())),
            Err(Broken::Reflected(reflected)) => (false, Err(reflected)),
        };
        if outcome.is_ok() {
            assert_eq!((broken, out.len()), (read.broken, read.free), "{}", bytes.escape_ascii());
        }
        // A length may be a character of it, which nobody takes for one.
        case.are_none(&Read::of(case, &out).places, &out);
        case.judge_bytes(bytes, &read.places, &Passed { out, outcome });
    }
}

/// What there is in bytes that are frames.
struct Read {
    /// Which bytes belong to a secret.
    places: Vec<bool>,
    /// So many bytes may go on.
    free: usize,
    broken: bool,
}

impl Read {
    fn of(case: &Case, bytes: &[u8]) -> Read {
        let mut read = Read { places: vec![false; bytes.len()], free: 0, broken: false };
        // Where the bytes of the message stand.
        let mut message = Vec::new();
        while let Some(next) = Header::read(&bytes[read.free..]) {
            let Ok(header) = next else {
                read.broken = true;
                break;
            };
            let start = read.free + header.length;
            let end = usize::try_from(header.payload).map_or(usize::MAX, |length| start.saturating_add(length));
            let there = start..end.min(bytes.len());
            if header.control && end > bytes.len() {
                break;
            }
            read.free = there.end;
            if header.control {
                read.search(case, bytes, &there.collect::<Vec<_>>());
                continue;
            }
            message.extend(there);
            if end > bytes.len() {
                break;
            }
            if header.last {
                read.search(case, bytes, &std::mem::take(&mut message));
            }
        }
        read.search(case, bytes, &message);
        let text: Vec<u8> = message.iter().map(|at| bytes[*at]).collect();
        if let Some(live) = case.spelled.live(&text) {
            read.free = message[live];
        }
        read
    }

    /// Looks for the secret in the bytes that stand there.
    fn search(&mut self, case: &Case, bytes: &[u8], stand: &[usize]) {
        let text: Vec<u8> = stand.iter().map(|at| bytes[*at]).collect();
        for (at, place) in stand.iter().zip(case.spelled.places(&text)) {
            self.places[*at] = place;
        }
    }
}

/// RFC 6455 section 5.2, for what a server sends.
struct Header {
    length: usize,
    payload: u64,
    last: bool,
    control: bool,
}

struct NoFrame;

impl Header {
    /// `None`: it has not come whole.
    fn read(bytes: &[u8]) -> Option<Result<Header, NoFrame>> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        if first & 0x70 != 0 || second >= 128 {
            return Some(Err(NoFrame));
        }
        let (length, payload) = match second {
            126 => (4, u16::from_be_bytes(*rest.first_chunk()?).into()),
            127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
            short => (2, short.into()),
        };
        let (last, control) = (first >= 128, first & 8 != 0);
        let is_one = if control { last && payload <= 125 && first & 15 <= 10 } else { first & 15 <= 2 };
        Some(if is_one { Ok(Header { length, payload, last, control }) } else { Err(NoFrame) })
    }
}
