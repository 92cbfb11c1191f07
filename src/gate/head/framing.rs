//! Where a message ends, as its head has it (RFC 9112 section 6).

use super::RequestLine;
use crate::gate::Refusal;

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
    /// The message ends here, and so may HTTP: the service decides what the bytes behind it are.
    Undecided,
}

/// The framing fields seen so far (RFC 9112 section 6); anything doubtful is an error, never a guess.
#[derive(Default)]
pub(super) struct Framing {
    length: Option<u64>,
    chunked: bool,
    /// `Connection: upgrade`.
    upgrade: bool,
    /// `Upgrade: websocket`.
    websocket: bool,
}

impl Framing {
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Refusal::Malformed("Content-Length appears twice"));
            }
            self.length = Some(parse_length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked {
                return Err(Refusal::Malformed("Transfer-Encoding appears twice"));
            }
            if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Malformed("the only Transfer-Encoding accepted is \"chunked\""));
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.upgrade |= lists(value, b"upgrade");
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.websocket |= lists(value, b"websocket");
        }
        Ok(())
    }

    pub(super) fn body(self, line: &RequestLine) -> Result<Body, Refusal> {
        if line.method == b"CONNECT" {
            let bare = !self.chunked && self.length.is_none();
            return if bare { Ok(Body::Undecided) } else { Err(Refusal::Malformed("CONNECT has no body")) };
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::Malformed("Content-Length and Transfer-Encoding together")),
            (true, None) if line.minor == 0 => Err(Refusal::Malformed("Transfer-Encoding with HTTP/1.0")),
            (true, None) => Ok(Body::Chunked),
            (false, None | Some(0)) if self.asks_for_websocket(line) => Ok(Body::Undecided),
            (false, Some(length)) => Ok(Body::Length(length)),
            (false, None) => Ok(Body::None),
        }
    }

    /// RFC 6455 section 4.1, as far as it decides what may follow; the rest is looked at by whoever answers the call.
    fn asks_for_websocket(&self, line: &RequestLine) -> bool {
        self.upgrade && self.websocket && line.method == b"GET" && line.minor == 1
    }
}

/// Whether a comma-separated list has the token, in any case.
fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// 1*DIGIT within 63 bits; signs, lists and white space inside are refused, and zeros in front, which some servers
/// take for octal.
pub fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    const WRONG: Refusal = Refusal::Malformed("Content-Length is not a plain number");
    let digits = value.trim_ascii();
    let octal = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || octal || !digits.iter().all(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    let text = std::str::from_utf8(digits).map_err(|_| WRONG)?;
    text.parse::<u64>().ok().filter(|n| *n <= i64::MAX as u64).ok_or(Refusal::Malformed("Content-Length is too large"))
}
