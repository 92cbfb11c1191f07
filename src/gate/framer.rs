//! Where one message ends and the next begins.

use super::chunks::Chunks;
use super::head::{self, Body};
use super::{Limits, Refusal};

/// Follows a byte stream of HTTP/1 requests and says how much of it may be handed on.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    /// Whether CONNECT and absolute-form are taken.
    forward: bool,
    state: State,
    /// Heads approved so far.
    heads: usize,
    /// Bytes of an incomplete head already searched for its end.
    searched: usize,
    /// A refusal found behind bytes that had to be handed on first.
    later: Option<Refusal>,
    starved: bool,
}

#[derive(Debug)]
enum State {
    Head,
    /// So many bytes of a body with `Content-Length` are still to come.
    Length(u64),
    Chunked(Chunks),
    /// Behind a head that may have been the last: nothing passes until that is decided.
    Held,
    /// No longer HTTP: everything passes.
    Through,
}

impl Framer {
    pub fn new(limits: Limits, forward: bool) -> Self {
        Framer { limits, forward, state: State::Head, heads: 0, searched: 0, later: None, starved: true }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether no message has passed yet.
    pub fn untouched(&self) -> bool {
        self.heads == 0
    }

    /// How many heads have passed.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Whether the last head announced a body that has not ended.
    pub fn within_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunked(_))
    }

    /// How many heads have passed, if nothing more may until it is decided what it is.
    pub fn held(&self) -> Option<usize> {
        matches!(self.state, State::Held).then_some(self.heads)
    }

    pub fn is_through(&self) -> bool {
        matches!(self.state, State::Through)
    }

    /// What follows is no longer HTTP.
    pub fn pass_through(&mut self) {
        self.state = State::Through;
        self.starved = false;
    }

    /// What follows is the next message.
    pub fn carry_on(&mut self) {
        self.state = State::Head;
        self.starved = false;
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
        self.starved = true;
        Ok(passed)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match &mut self.state {
            State::Head => {
                let Some(end) = head::find_end(bytes, &mut self.searched, &self.limits)? else { return Ok(0) };
                self.searched = 0;
                self.state = match head::check(&bytes[..end], &self.limits, self.forward)? {
                    Body::None | Body::Length(0) => State::Head,
                    Body::Length(n) => State::Length(n),
                    Body::Chunked => State::Chunked(Chunks::new()),
                    Body::Undecided => State::Held,
                };
                self.heads += 1;
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
            State::Held => Ok(0),
            State::Through => Ok(bytes.len()),
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
        let (mut framer, mut held, mut passed) = (Framer::new(Limits::default(), true), Vec::new(), 0);
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
    fn a_body_ends_where_its_length_says() {
        let good = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let bytes = [&good[..], b"GET / HTTP/1.1\n\n"].concat();
        for size in 1..=bytes.len() {
            let refusal = Refusal::Malformed("a line ends with a bare line feed");
            assert_eq!(feed(&bytes, size), (good.len(), Some(refusal)), "pieces of {size}");
        }
    }

    #[test]
    fn a_refusal_behind_good_bytes_waits_its_turn() {
        let bytes = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), b"GET / HTTP/1.1\nHost: a\n\n"].concat();
        let mut framer = Framer::new(Limits::default(), true);
        assert_eq!(framer.approve(&bytes), Ok(27));
        assert!(!framer.starved());
        assert!(framer.approve(&bytes[27..]).is_err());
    }

    #[test]
    fn g06_what_follows_connect_waits_for_the_decision() {
        let connect = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";
        let next = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (mut framer, bytes) = (Framer::new(Limits::default(), true), [&connect[..], next].concat());
        assert_eq!(framer.approve(&bytes), Ok(connect.len()));
        assert_eq!((framer.held(), framer.approve(next)), (Some(1), Ok(0)));
        framer.carry_on();
        assert!(!framer.starved());
        assert_eq!((framer.approve(next), framer.held()), (Ok(next.len()), None));

        let (mut framer, odd) = (Framer::new(Limits::default(), true), b"\x16\x03\x01\n\n");
        assert_eq!((framer.approve(connect), framer.approve(odd)), (Ok(connect.len()), Ok(0)));
        framer.pass_through();
        assert_eq!(framer.approve(odd), Ok(odd.len()));
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
