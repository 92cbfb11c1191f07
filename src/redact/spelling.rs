//! The ways in which a value may be written, and reading text in each of them.

/// One way of writing a value. Each is read from left to right without ever going back, so that the cost of a look is
/// bounded by the value's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As it is.
    Raw,
    /// Percent-encoded (RFC 3986 section 2.1): all characters, or those that some encoder thinks need it, in either case
    /// of the digits; a blank also as `+`. The percent sign itself is always encoded.
    Percent,
    /// Inside a JSON string (RFC 8259 section 7): any character as `\u00XX` in either case, punctuation and tabs also by the
    /// short escapes. The backslash itself is always escaped.
    Json,
    /// Two hexadecimal digits a byte, in either case.
    Hex,
    /// Base64 (RFC 4648), both alphabets, with so many bytes (modulo three) of something else before it.
    Base64(usize),
}

/// What text begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Other,
    /// The text ends before the value does.
    Begun,
    /// So many bytes are the value.
    Whole(usize),
}

impl Spelling {
    pub(super) const ALL: [Spelling; 7] = [
        Spelling::Raw,
        Spelling::Percent,
        Spelling::Json,
        Spelling::Hex,
        Spelling::Base64(0),
        Spelling::Base64(1),
        Spelling::Base64(2),
    ];

    /// Reads the value at the beginning of `text`.
    pub(super) fn read(self, value: &[u8], text: &[u8]) -> Reading {
        match self {
            Spelling::Raw => read_raw(value, text),
            Spelling::Percent => read_units(value, text, percent),
            Spelling::Json => read_units(value, text, json),
            Spelling::Hex => read_units(value, text, hex),
            Spelling::Base64(before) => read_base64(value, before, text),
        }
    }

    /// How many units there are: characters of base64, else bytes of the value.
    pub(super) fn units(self, value: &[u8]) -> usize {
        match self {
            Spelling::Base64(before) => (8 * (before + value.len())).div_ceil(6) - first(before),
            _ => value.len(),
        }
    }

    /// The shortest text that one unit can be, in bytes.
    pub(super) fn least(self) -> usize {
        if self == Spelling::Hex { 2 } else { 1 }
    }

    /// Every text that one unit can be, in lower case only where case makes no difference.
    pub(super) fn texts(self, value: &[u8], unit: usize) -> Vec<Vec<u8>> {
        let byte = value.get(unit).copied().unwrap_or_default();
        match self {
            Spelling::Raw => vec![vec![byte]],
            Spelling::Hex => vec![format!("{byte:02x}").into_bytes()],
            Spelling::Percent => {
                let mut texts = vec![format!("%{byte:02x}").into_bytes()];
                texts.extend((byte != b'%').then(|| vec![byte]));
                texts.extend((byte == b' ').then(|| vec![b'+']));
                texts
            }
            Spelling::Json => {
                let mut texts = vec![format!("\\u{byte:04x}").into_bytes()];
                texts.extend((byte != b'\\').then(|| vec![byte]));
                texts.extend(short_escape(byte).map(|short| vec![b'\\', short]));
                texts
            }
            Spelling::Base64(before) => {
                let (bits, known) = sextet(value, before, first(before) + unit);
                (0..=127).filter(|c| six_bits(*c).is_some_and(|six| six & known == bits)).map(|c| vec![c]).collect()
            }
        }
    }
}

fn read_raw(value: &[u8], text: &[u8]) -> Reading {
    if text.starts_with(value) {
        Reading::Whole(value.len())
    } else if value.starts_with(text) {
        Reading::Begun
    } else {
        Reading::Other
    }
}

/// What text is of one byte of the value: so many bytes of it, or `None` when it ends too early.
type Unit = Result<Option<usize>, Mismatch>;
struct Mismatch;

fn read_units(value: &[u8], text: &[u8], unit: fn(u8, &[u8]) -> Unit) -> Reading {
    let mut at = 0;
    for byte in value {
        match unit(*byte, text.get(at..).unwrap_or_default()) {
            Ok(Some(took)) => at += took,
            Ok(None) => return Reading::Begun,
            Err(Mismatch) => return Reading::Other,
        }
    }
    Reading::Whole(at)
}

fn percent(byte: u8, text: &[u8]) -> Unit {
    match text {
        [] => Ok(None),
        [b'%', digits @ ..] => Ok(hex(byte, digits)?.map(|took| took + 1)),
        [b'+', ..] if byte == b' ' => Ok(Some(1)),
        [first, ..] if *first == byte => Ok(Some(1)),
        _ => Err(Mismatch),
    }
}

fn json(byte: u8, text: &[u8]) -> Unit {
    match text {
        [] | [b'\\'] => Ok(None),
        [b'\\', b'u', digits @ ..] => {
            let zeros = digits.len().min(2);
            if digits[..zeros].iter().any(|zero| *zero != b'0') {
                return Err(Mismatch);
            }
            Ok(hex(byte, &digits[zeros..])?.map(|took| took + 4))
        }
        [b'\\', short, ..] if short_escape(byte) == Some(*short) => Ok(Some(2)),
        [first, ..] if *first == byte && byte != b'\\' => Ok(Some(1)),
        _ => Err(Mismatch),
    }
}

/// JSON has short escapes for quote, backslash and slash; JavaScript and shells put a backslash before any punctuation.
fn short_escape(byte: u8) -> Option<u8> {
    match byte {
        b'\t' => Some(b't'),
        _ => byte.is_ascii_punctuation().then_some(byte),
    }
}

fn hex(byte: u8, text: &[u8]) -> Unit {
    let is = |digit: u8, value: u8| char::from(digit).to_digit(16) == Some(value.into());
    match text {
        [] => Ok(None),
        [high, ..] if !is(*high, byte >> 4) => Err(Mismatch),
        [_] => Ok(None),
        [_, low, ..] if is(*low, byte & 15) => Ok(Some(2)),
        _ => Err(Mismatch),
    }
}

/// From the first character that holds bits of the value alone to the last that holds any. The one before these has two or
/// four bits of the value's first byte, and so many beginnings that text would be held back for it all the time.
fn read_base64(value: &[u8], before: usize, text: &[u8]) -> Reading {
    let units = Spelling::Base64(before).units(value);
    for unit in 0..units {
        let Some(character) = text.get(unit) else { return Reading::Begun };
        let (bits, known) = sextet(value, before, first(before) + unit);
        if six_bits(*character).is_none_or(|six| six & known != bits) {
            return Reading::Other;
        }
    }
    Reading::Whole(units)
}

/// The first character that is the value's alone.
fn first(before: usize) -> usize {
    (8 * before).div_ceil(6)
}

/// The bits of character `at` that the value decides when `before` bytes stand before it, and which they are.
fn sextet(value: &[u8], before: usize, at: usize) -> (u8, u8) {
    let byte = |at: usize| at.checked_sub(before).and_then(|at| value.get(at)).copied();
    let (first, second) = (byte(6 * at / 8), byte(6 * at / 8 + 1));
    let cut = |first: u8, second: u8| (u16::from_be_bytes([first, second]) >> (10 - 6 * at % 8) & 63) as u8;
    let all = |byte: Option<u8>| byte.map_or(0, |_| u8::MAX);
    (cut(first.unwrap_or(0), second.unwrap_or(0)), cut(all(first), all(second)))
}

fn six_bits(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const VALUE: &[u8] = b"s3 cr%t\"\\/\t+k";

    /// Every beginning is one, the whole is the whole, and each changed character makes it something else.
    fn reads(spelling: Spelling, text: &str) {
        let text = text.as_bytes();
        for end in 0..text.len() {
            assert_eq!(
                spelling.read(VALUE, &text[..end]),
                Reading::Begun,
                "{spelling:?} {}",
                text[..end].escape_ascii()
            );
        }
        let more = [text, b"!"].concat();
        assert_eq!(spelling.read(VALUE, &more), Reading::Whole(text.len()), "{spelling:?} {}", text.escape_ascii());
        for at in 0..text.len() {
            let mut other = text.to_vec();
            other[at] = b'~';
            assert_eq!(spelling.read(VALUE, &other), Reading::Other, "{spelling:?} {}", other.escape_ascii());
        }
    }

    #[test]
    fn f27_a_value_is_read_in_every_spelling() {
        reads(Spelling::Raw, "s3 cr%t\"\\/\t+k");
        reads(Spelling::Percent, "s3%20cr%25t%22%5C%2F%09%2Bk");
        reads(Spelling::Percent, "s3+cr%25t%22%5c/%09+k");
        reads(Spelling::Percent, "%73%33%20%63%72%25%74%22%5c%2f%09%2b%6b");
        reads(Spelling::Json, "s3 cr%t\\\"\\\\/\\t+k");
        reads(Spelling::Json, "s3 cr%t\\u0022\\u005c\\/\\u0009\\u002Bk");
        reads(Spelling::Json, "\\u0073\\u0033\\u0020\\u0063r%t\\\"\\u005C/\\u0009\\u002b\\u006b");
        reads(Spelling::Hex, "73332063722574225c2f092b6b");
        reads(Spelling::Hex, "73332063722574225C2F092B6b");
    }

    #[test]
    fn f27_base64_is_read_wherever_it_begins() {
        for before in 0..3 {
            for after in ["", "x", "yz", "\u{7f}zyx"] {
                let whole = [&b"\xff\x00"[..before], VALUE, after.as_bytes()].concat();
                let units = Spelling::Base64(before).units(VALUE);
                for text in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                    let at = &text.as_bytes()[first(before)..];
                    assert_eq!(Spelling::Base64(before).read(VALUE, at), Reading::Whole(units), "{before} {text}");
                    assert_eq!(Spelling::Base64(before).read(VALUE, &at[..units - 1]), Reading::Begun);
                    assert_eq!(Spelling::Base64((before + 1) % 3).read(VALUE, at), Reading::Other);
                }
            }
        }
    }
}
