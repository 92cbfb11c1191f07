//! Where one message ends and the next begins.

use super::chunks::Chunks;
use super::head::{self, Body};
use super::{Limits, Refusal};

/// Follows a byte stream of HTTP/1 requests and says how much of it may be handed on.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
    /// Bytes of an incomplete head already searched for its end.
    searched: usize,
    /// A refusal found behind bytes that had to be handed on first.
    later: Option<Refusal>,
    starved: bool,
    untouched: bool,
}

#[derive(Debug)]
enum State {
    Head,
    /// So many bytes of a body with `Content-Length` are still to come.
    Length(u64),
    Chunked(Chunks),
}

impl Framer {
    pub fn new(limits: Limits) -> Self {
        Framer { limits, state: State::Head, searched: 0, later: None, starved: true, untouched: true }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether no message has passed yet.
    pub fn untouched(&self) -> bool {
        self.untouched
    }

    /// Whether the last head announced a body that has not ended.
    pub fn within_body(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Whether more bytes are needed before anything can be approved.
    pub fn starved(&self) -> bool {
        self.starved && self.later.is_none()
    }

    /// How many bytes from the start of `bytes` may pass. They are then forgotten: the next call begins with
    /// the first byte not approved, longer or not. 0 means that more bytes are needed.
    pub fn approve(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        if let Some(refusal) = self.later.take() {
            return Err(refusal);
        }
        let mut passed = 0;
        while passed < bytes.len() {
            match self.step(&bytes[passed..]) {
                Ok(0) => break,
                Ok(n) => passed += n,
                Err(refusal) if passed == 0 => return Err(refusal),
                Err(refusal) => {
                    self.later = Some(refusal);
                    break;
                }
            }
        }
        self.starved = passed == 0 || passed < bytes.len();
        Ok(passed)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match &mut self.state {
            State::Head => {
                let Some(end) = head::find_end(bytes, &mut self.searched, &self.limits)? else { return Ok(0) };
                self.searched = 0;
                self.state = match head::check(&bytes[..end], &self.limits)? {
                    Body::None | Body::Length(0) => State::Head,
                    Body::Length(n) => State::Length(n),
                    Body::Chunked => State::Chunked(Chunks::new()),
                };
                self.untouched = false;
                Ok(end)
            }
            State::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= n as u64;
                if *left == 0 {
                    self.state = State::Head;
                }
                Ok(n)
            }
            State::Chunked(chunks) => {
                let n = chunks.follow(bytes)?;
                if chunks.ended() {
                    self.state = State::Head;
                }
                Ok(n)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &[u8] = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";

    /// Feeds `bytes` in pieces of `size`; how many were approved before the end or the refusal.
    fn feed(bytes: &[u8], size: usize) -> (usize, Option<Refusal>) {
        let (mut framer, mut held, mut passed) = (Framer::new(Limits::default()), Vec::new(), 0);
        for piece in bytes.chunks(size) {
            held.extend_from_slice(piece);
            loop {
                match framer.approve(&held) {
                    Ok(0) => break,
                    Ok(n) => {
                        held.drain(..n);
                        passed += n;
                        if held.is_empty() {
                            break;
                        }
                    }
                    Err(refusal) => return (passed, Some(refusal)),
                }
            }
        }
        (passed, None)
    }

    #[test]
    fn a43_a_split_stream_is_judged_as_the_whole_one() {
        for size in 1..GOOD.len() {
            assert_eq!(feed(GOOD, size), (GOOD.len(), None), "pieces of {size}");
        }
    }

    #[test]
    fn a_refusal_behind_good_bytes_waits_its_turn() {
        let bytes = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), b"GET / HTTP/1.1\nHost: a\n\n"].concat();
        let mut framer = Framer::new(Limits::default());
        assert_eq!(framer.approve(&bytes), Ok(27));
        assert!(!framer.starved());
        assert!(framer.approve(&bytes[27..]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_get_the_same_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
            prop_assert_eq!(feed(&bytes, size).0, feed(&bytes, bytes.len().max(1)).0);
        }

        #[test]
        fn a_damaged_request_is_judged_alike_in_any_pieces(at in 0..GOOD.len(), byte: u8, size in 1usize..40) {
            let mut bytes = GOOD.to_vec();
            bytes[at] = byte;
            prop_assert_eq!(feed(&bytes, size), feed(&bytes, bytes.len()));
        }
    }
}
