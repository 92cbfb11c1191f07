//! Empty pieces of bodies over HTTP/2 (RFC 9113 section 6.1).
//!
//! The library throws away a DATA frame that is empty and not the last, but it counts them for as long as a connection lives, and
//! ends that, with every call on it, at the hundred-and-first. Some servers and clients send one before trailers, always. So
//! they are made frames of a kind that nobody knows, which mean as little and are not counted.

/// What a connection begins with, from the client (RFC 9113 section 3.4).
const PREFACE: usize = 24;
const HEADER: usize = 9;
/// Where in a frame's header.
const KIND: usize = 3;
const FLAGS: usize = 4;

const DATA: u8 = 0;
const END_STREAM: u8 = 0x1;
const UNKNOWN: u8 = 0xff;

/// Follows what is read of one direction of a connection.
#[derive(Debug)]
pub struct Empties {
    /// Bytes of the preface or of a payload still to come.
    skip: usize,
    header: [u8; HEADER],
    have: usize,
}

impl Empties {
    /// What a client sends.
    pub fn of_client() -> Empties {
        Empties { skip: PREFACE, header: [0; HEADER], have: 0 }
    }

    /// What a server sends.
    pub fn of_server() -> Empties {
        Empties { skip: 0, header: [0; HEADER], have: 0 }
    }

    /// Changes the kind of empty pieces in the next bytes. A frame between whose kind and flags these end stays what it is: its
    /// kind has been handed on when it is seen.
    pub fn rename(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let skipped = bytes.len().min(self.skip);
            self.skip -= skipped;
            bytes = &mut bytes[skipped..];
            let (from, taken) = (self.have, bytes.len().min(HEADER - self.have));
            let (header, rest) = bytes.split_at_mut(taken);
            self.header[from..from + taken].copy_from_slice(header);
            self.have += taken;
            if from <= KIND && self.have > FLAGS && self.is_empty_piece() {
                header[KIND - from] = UNKNOWN;
            }
            if self.have == HEADER {
                (self.have, self.skip) = (0, self.length());
            }
            bytes = rest;
        }
    }

    fn is_empty_piece(&self) -> bool {
        self.length() == 0 && self.header[KIND] == DATA && self.header[FLAGS] & END_STREAM == 0
    }

    fn length(&self) -> usize {
        self.header[..KIND].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                empties.skip = preface;
            }
        }
    }
}
