//! The ways in which a value may be written, and reading text in each of them.

/// One way of writing a value. Each is read from left to right without ever going back, so that what a reading costs is
/// bounded by the value's length, in however many pieces the text comes.
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

/// How far a value has been read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    units: usize,
    bytes: usize,
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

    /// Reads the value at the beginning of `text`, of which so much has been read before.
    pub(super) fn read(self, value: &[u8], text: &[u8], progress: &mut Progress) -> Reading {
        match self {
            Spelling::Raw => read(value.iter(), text, progress, |byte, text| raw(*byte, text)),
            Spelling::Percent => read(value.iter(), text, progress, |byte, text| percent(*byte, text)),
            Spelling::Json => read(value.iter(), text, progress, |byte, text| json(*byte, text)),
            Spelling::Hex => read(value.iter(), text, progress, |byte, text| hex(*byte, text)),
            Spelling::Base64(before) => {
                read(0..self.units(value), text, progress, |unit, text| base64(sextet(value, before, unit), text))
            }
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
                let (bits, known) = sextet(value, before, unit);
                (0..=127).filter(|c| six_bits(*c).is_some_and(|six| six & known == bits)).map(|c| vec![c]).collect()
            }
        }
    }
}

/// What text is of one unit of the value: so many bytes of it, or `None` when it ends too early.
type Unit = Result<Option<usize>, Mismatch>;
struct Mismatch;

/// Goes on with the units that are left.
fn read<T>(
    units: impl Iterator<Item = T>,
    text: &[u8],
    progress: &mut Progress,
    unit: impl Fn(T, &[u8]) -> Unit,
) -> Reading {
    let mut bytes = progress.bytes;
    for (read, next) in units.enumerate().skip(progress.units) {
        match unit(next, text.get(bytes..).unwrap_or_default()) {
            Ok(Some(took)) => bytes += took,
            Ok(None) => {
                *progress = Progress { units: read, bytes };
                return Reading::Begun;
            }
            Err(Mismatch) => return Reading::Other,
        }
    }
    Reading::Whole(bytes)
}

fn raw(byte: u8, text: &[u8]) -> Unit {
    match text {
        [] => Ok(None),
        [first, ..] if *first == byte => Ok(Some(1)),
        _ => Err(Mismatch),
    }
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

fn base64((bits, known): (u8, u8), text: &[u8]) -> Unit {
    match text {
        [] => Ok(None),
        [character, ..] if six_bits(*character).is_some_and(|six| six & known == bits) => Ok(Some(1)),
        _ => Err(Mismatch),
    }
}

/// A value is read from the first character that holds bits of it alone to the last that holds any. The one before these
/// has two or four bits of the value's first byte, and so many beginnings that text would be held back for it all the time.
fn first(before: usize) -> usize {
    (8 * before).div_ceil(6)
}

/// The bits of a character that the value decides when `before` bytes stand before it, and which they are.
fn sextet(value: &[u8], before: usize, unit: usize) -> (u8, u8) {
    let at = first(before) + unit;
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
    use std::cell::Cell;

    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const VALUE: &[u8] = b"s3 cr%t\"\\/\t+k";

    fn read(spelling: Spelling, text: &[u8]) -> Reading {
        spelling.read(VALUE, text, &mut Progress::default())
    }

    /// Every beginning is one, the whole is the whole, whether it is read at once or goes on with each byte; and each
    /// changed character makes it something else.
    fn reads(spelling: Spelling, text: &str) {
        let text = text.as_bytes();
        let mut progress = Progress::default();
        for end in 0..text.len() {
            let begun = &text[..end];
            assert_eq!(read(spelling, begun), Reading::Begun, "{spelling:?} {}", begun.escape_ascii());
            assert_eq!(
                spelling.read(VALUE, begun, &mut progress),
                Reading::Begun,
                "{spelling:?} {}",
                begun.escape_ascii()
            );
        }
        let more = [text, b"!"].concat();
        assert_eq!(read(spelling, &more), Reading::Whole(text.len()), "{spelling:?} {}", text.escape_ascii());
        assert_eq!(spelling.read(VALUE, &more, &mut progress), Reading::Whole(text.len()), "{spelling:?} bytewise");
        for at in 0..text.len() {
            let mut other = text.to_vec();
            other[at] = b'~';
            assert_eq!(read(spelling, &other), Reading::Other, "{spelling:?} {}", other.escape_ascii());
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
    fn what_has_been_read_is_not_read_again() {
        let text = "%73%33%20%63%72%25%74%22%5c%2f%09%2b%6b".as_bytes();
        let (mut progress, looks) = (Progress::default(), Cell::new(0));
        for end in 1..=text.len() {
            super::read(VALUE.iter(), &text[..end], &mut progress, |byte, text| {
                looks.set(looks.get() + 1);
                percent(*byte, text)
            });
        }
        // One with each byte, and one at the end of each unit but the last.
        assert_eq!(looks.get(), text.len() + VALUE.len() - 1);
    }

    #[test]
    fn f27_base64_is_read_wherever_it_begins() {
        for before in 0..3 {
            for after in ["", "x", "yz", "\u{7f}zyx"] {
                let whole = [&b"\xff\x00"[..before], VALUE, after.as_bytes()].concat();
                let units = Spelling::Base64(before).units(VALUE);
                for text in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
                    let at = &text.as_bytes()[first(before)..];
                    assert_eq!(read(Spelling::Base64(before), at), Reading::Whole(units), "{before} {text}");
                    assert_eq!(read(Spelling::Base64(before), &at[..units - 1]), Reading::Begun);
                    assert_eq!(read(Spelling::Base64((before + 1) % 3), at), Reading::Other);
                }
            }
        }
    }
}
