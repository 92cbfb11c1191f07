//! The chunked coding of a request body (RFC 9112 section 7.1), followed but not decoded.

use super::Refusal;

/// Extensions of all chunks of one body together; they carry nothing that we or an upstream need.
const MAX_EXTENSION_BYTES: usize = 4 << 10;
/// The whole trailer section. Trailers are checked and then dropped.
const MAX_TRAILER_BYTES: usize = 8 << 10;
const MAX_TRAILERS: usize = 32;

/// Follows one chunked body to its end.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk's size, after so many digits.
    Size {
        value: u64,
        digits: u8,
    },
    /// In a chunk's extensions.
    Extension {
        last: bool,
        size: u64,
    },
    /// After the CR that ends a size line.
    SizeEnd {
        last: bool,
        size: u64,
    },
    Data {
        left: u64,
    },
    /// After a chunk's data: its CR, then its LF.
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName {
        any: bool,
    },
    TrailerValue,
    TrailerLf,
    /// The LF of the empty line that ends the body.
    EndLf,
    Ended,
}

impl Chunks {
    pub fn new() -> Self {
        Chunks { state: State::Size { value: 0, digits: 0 }, extension_bytes: 0, trailer_bytes: 0, trailers: 0 }
    }

    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// How many of `bytes` belong to the body; all of them unless it ends among them. A fault is told only
    /// when it comes first, so that what was good before it can be handed on.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Ended {
            if let State::Data { left } = self.state {
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += n;
                let left = left - n as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                continue;
            }
            match self.next(bytes[at]) {
                Ok(state) => self.state = state,
                Err(_) if at > 0 => return Ok(at),
                Err(refusal) => return Err(refusal),
            }
            at += 1;
        }
        Ok(at)
    }

    fn next(&mut self, byte: u8) -> Result<State, Refusal> {
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // 15 digits stay below 2^60: no size can overflow.
                if digits >= 15 {
                    return Err(Refusal::Malformed("a chunk size is too large"));
                }
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                State::Size { value: value * 16 + u64::from(digit), digits: digits + 1 }
            }
            (State::Size { value, digits: 1.. }, b'\r') => State::SizeEnd { last: value == 0, size: value },
            (State::Size { value, digits: 1.. }, b';') => self.extension(value == 0, value)?,
            (State::Extension { last, size }, b'\r') => State::SizeEnd { last, size },
            (State::Extension { last, size }, b'\t' | 0x20..=0x7e) => self.extension(last, size)?,
            (State::SizeEnd { last: true, .. }, b'\n') => State::TrailerStart,
            (State::SizeEnd { last: false, size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Ended,
            (State::TrailerStart, _) => {
                self.trailers += 1;
                if self.trailers > MAX_TRAILERS {
                    return Err(Refusal::HeadersTooLarge("too many trailer fields"));
                }
                self.trailer_name(false, byte)?
            }
            (State::TrailerName { any }, _) => self.trailer_name(any, byte)?,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b'\t' | 0x20..=0x7e | 0x80..=0xff) => self.trailer(State::TrailerValue)?,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            _ => return Err(Refusal::Malformed("the chunked body is malformed")),
        })
    }

    fn extension(&mut self, last: bool, size: u64) -> Result<State, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(Refusal::Malformed("the chunk extensions are too large"));
        }
        Ok(State::Extension { last, size })
    }

    fn trailer_name(&mut self, any: bool, byte: u8) -> Result<State, Refusal> {
        match byte {
            b':' if any => self.trailer(State::TrailerValue),
            b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => self.trailer(State::TrailerName { any: true }),
            _ => Err(Refusal::Malformed("a trailer name is not a token")),
        }
    }

    fn trailer(&mut self, next: State) -> Result<State, Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(Refusal::HeadersTooLarge("the trailer section is too large"));
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judge(body: &[u8]) -> Result<usize, Refusal> {
        let (mut chunks, mut at) = (Chunks::new(), 0);
        while at < body.len() && !chunks.ended() {
            at += chunks.follow(&body[at..])?;
        }
        Ok(at)
    }

    #[test]
    fn a_chunked_body_ends_at_its_last_line() {
        for body in [
            "0\r\n\r\n",
            "2\r\nhi\r\n0\r\n\r\n",
            "00A\r\n0123456789\r\n0\r\n\r\n",
            "1a\r\n0123456789abcdefghijklmnop\r\n0\r\n\r\n",
            "2;a=b\r\nhi\r\n0;x\r\nA: b\r\nC:\r\n\r\n",
        ] {
            assert_eq!(judge(format!("{body}GET /").as_bytes()), Ok(body.len()), "{body:?}");
        }
    }

    #[test]
    fn odd_chunk_lines_are_refused() {
        for body in [
            "0x2\r\nhi\r\n",
            "+2\r\nhi",
            " 2\r\nhi",
            "2_\r\nhi",
            "\r\nhi",
            "ffffffffffffffff1\r\n",
            "2\nhi",
            "2;a\nhi\r\n",
            "2\r\r;a\r\nhi\r\n",
            "2 \r\nhi",
            "2\r\nhi!!",
            "2\r\nhi\n",
            "0\n\n",
            "0\r\n\n",
            "0\r\n: v\r\n\r\n",
            "0\r\nA b: v\r\n\r\n",
            "0\r\nA: \0\r\n\r\n",
            "0\r\n A: b\r\n\r\n",
        ] {
            assert!(judge(body.as_bytes()).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a26_a29_extensions_and_trailers_are_bounded() {
        assert!(judge("1;aaaaaaaaaaaaaaaa\r\nx\r\n".repeat(60_000).as_bytes()).is_err());
        assert!(judge(format!("0\r\n{}\r\n", "A: b\r\n".repeat(200)).as_bytes()).is_err());
        assert!(judge(format!("0\r\nA: {}\r\n\r\n", "b".repeat(1 << 20)).as_bytes()).is_err());
    }

    #[test]
    fn k15_limits_of_a_chunked_body_hold_to_the_byte() {
        let size = |digits: usize| format!("{:0digits$}\r\nx\r\n0\r\n\r\n", 1);
        let extension = |bytes: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(bytes - 1));
        let extensions = |bytes: usize| format!("1;a\r\nx\r\n{}", extension(bytes - 2));
        let trailers = |count: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
        let trailer = |bytes: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(bytes - 3));
        let together = |bytes: usize| format!("0\r\nA:b\r\nA:{}\r\n\r\n", "b".repeat(bytes - 5));
        for (body, most) in [
            (&size as &dyn Fn(usize) -> String, 15),
            (&extension, 4096),
            (&extensions, 4096),
            (&trailers, 32),
            (&trailer, 8192),
            (&together, 8192),
        ] {
            assert_eq!(judge(body(most).as_bytes()), Ok(body(most).len()), "{most}");
            assert!(judge(body(most + 1).as_bytes()).is_err(), "{most} and one");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_more_than_given_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(n) = judge(&bytes) {
                prop_assert!(n <= bytes.len());
            }
        }
    }
}
