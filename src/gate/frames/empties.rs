//! Empty pieces of bodies over HTTP/2 (RFC 9113 section 6.1).
//!
//! The library throws away a DATA frame that is empty and not the last, but it counts them for as long as a connection lives, and
//! ends that, with every call on it, at the hundred-and-first. Some servers and clients send one before trailers, always. So
//! they are made frames of a kind that nobody knows, which mean as little and are not counted.

use super::outline::{HEADER, Outline, Part};

/// Where in a frame's header.
const KIND: usize = 3;
const UNKNOWN: u8 = 0xff;

/// Follows what is read of one direction of a connection.
#[derive(Debug)]
pub struct Empties(Outline);

impl Empties {
    /// What a client sends.
    pub fn of_client() -> Empties {
        Empties(Outline::of_client())
    }

    /// What a server sends.
    pub fn of_server() -> Empties {
        Empties(Outline::of_server())
    }

    /// Changes the kind of empty pieces in the next bytes. A frame between whose kind and flags these end stays what it is: its
    /// kind has been handed on when it is seen.
    pub fn rename(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let mut rest = &bytes[at..];
            let head = match self.0.next(&mut rest) {
                Some(Part::Head(head)) => Some((head, HEADER)),
                Some(Part::Payload(_)) => None,
                None => self.0.begun(),
            };
            at = bytes.len() - rest.len();
            let kind =
                head.filter(|(head, _)| head.is_empty_piece()).and_then(|(_, have)| (at + KIND).checked_sub(have));
            if let Some(kind) = kind {
                bytes[kind] = UNKNOWN;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: usize = KIND + 1;
    const PREFACE: usize = 24;
    const DATA: u8 = 0;
    const END_STREAM: u8 = 0x1;

    fn frame(kind: u8, flags: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        [&[0, high, low, kind, flags, 0, 0, 0, 1][..], &vec![0; length.into()]].concat()
    }

    #[test]
    fn only_an_empty_piece_that_is_not_the_last_is_renamed_however_the_frames_are_cut() {
        let (first, second) = (PREFACE, PREFACE + 4 * HEADER + 300);
        let frames = [(DATA, 0, 0), (DATA, END_STREAM, 0), (DATA, 0, 300), (1, 4, 0), (DATA, 0, 0), (DATA, 8, 1)];
        let frames = frames.map(|(kind, flags, length)| frame(kind, flags, length)).concat();
        for (mut empties, preface) in [(Empties::of_client(), PREFACE), (Empties::of_server(), 0)] {
            let before = [vec![0; preface], frames.clone()].concat();
            for size in 1..=before.len() {
                let mut expected = before.clone();
                for at in [first, second].map(|at| at + preface - PREFACE) {
                    // Of one that is cut between kind and flags, the kind has been handed on.
                    if (at + KIND) / size == (at + FLAGS) / size {
                        expected[at + KIND] = UNKNOWN;
                    }
                }
                let mut bytes = before.clone();
                bytes.chunks_mut(size).for_each(|piece| empties.rename(piece));
                assert_eq!(bytes, expected, "{size}");
                empties = if preface > 0 { Empties::of_client() } else { Empties::of_server() };
            }
        }
    }
}
