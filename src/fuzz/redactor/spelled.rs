//! Spellings by the plainest reading there is: all texts that a byte may be, one byte after the other, at every place.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// One spelling of one value: for each unit the texts that it may be, of which none begins another.
type Units = Vec<Vec<Vec<u8>>>;

/// All spellings of some values.
pub(super) struct Spelled {
    all: Vec<Units>,
    has_asterisk: bool,
}

/// How far a text is a value.
enum Reading {
    Other,
    Begun,
    Whole(usize),
}

impl Spelled {
    /// Of those values that are long enough to be looked for.
    pub(super) fn of(values: &[&[u8]]) -> Spelled {
        let values = values.iter().filter(|value| value.len() >= 8);
        let each = |value: &[u8], texts: fn(u8) -> Vec<Vec<u8>>| value.iter().map(|byte| texts(*byte)).collect();
        let one = |value: &&[u8]| -> Vec<Units> {
            let by_byte = [|byte| vec![vec![byte]], percent, json, hex].map(|texts| each(value, texts));
            by_byte.into_iter().chain((0..3).map(|before| base64(value, before))).collect()
        };
        Spelled { has_asterisk: values.clone().any(|value| value.contains(&b'*')), all: values.flat_map(one).collect() }
    }

    /// Whether a value has the character that masks.
    pub(super) fn has_asterisk(&self) -> bool {
        self.has_asterisk
    }

    /// For each byte whether it belongs to a value that stands there whole.
    pub(super) fn places(&self, text: &[u8]) -> Vec<bool> {
        let mut places = vec![false; text.len()];
        for start in 0..text.len() {
            for units in &self.all {
                if let Reading::Whole(length) = read(units, &text[start..]) {
                    places[start..start + length].fill(true);
                }
            }
        }
        places
    }

    /// Whether the whole text may be the beginning of a value.
    pub(super) fn begun(&self, text: &[u8]) -> bool {
        self.all.iter().any(|units| matches!(read(units, text), Reading::Begun))
    }

    /// From where on a text may be the beginning of a value, if anywhere.
    pub(super) fn live(&self, text: &[u8]) -> Option<usize> {
        (0..text.len()).find(|start| self.begun(&text[*start..]))
    }
}

fn read(units: &Units, text: &[u8]) -> Reading {
    let mut rest = text;
    for texts in units {
        if let Some(after) = texts.iter().find_map(|one| rest.strip_prefix(&one[..])) {
            rest = after;
        } else if texts.iter().any(|one| one.starts_with(rest)) {
            return Reading::Begun;
        } else {
            return Reading::Other;
        }
    }
    Reading::Whole(text.len() - rest.len())
}

fn hex(byte: u8) -> Vec<Vec<u8>> {
    let ([low, high], [a, b]) = ([format!("{byte:02x}"), format!("{byte:02X}")], [0, 1]);
    let of = |first: &str, second: &str| vec![first.as_bytes()[a], second.as_bytes()[b]];
    vec![of(&low, &low), of(&low, &high), of(&high, &low), of(&high, &high)]
}

fn behind(start: &str, texts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    texts.into_iter().map(|text| [start.as_bytes(), &text].concat()).collect()
}

fn percent(byte: u8) -> Vec<Vec<u8>> {
    let mut texts = behind("%", hex(byte));
    texts.extend((byte != b'%').then_some(vec![byte]));
    texts.extend((byte == b' ').then_some(vec![b'+']));
    texts
}

fn json(byte: u8) -> Vec<Vec<u8>> {
    let mut texts = behind("\\u00", hex(byte));
    texts.extend((byte != b'\\').then_some(vec![byte]));
    texts.extend(byte.is_ascii_punctuation().then_some(vec![b'\\', byte]));
    texts.extend((byte == b'\t').then_some(b"\\t".to_vec()));
    texts
}

/// The characters of base64 that are the value's, when so many bytes stand before it; see `own`.
fn base64(value: &[u8], before: usize) -> Units {
    let own = own(value, before);
    let mut units: Units = vec![Vec::new(); own.len()];
    // What follows decides the rest of the last character's bits, at most four.
    for after in (0..16).map(|high| high << 4) {
        let whole = [&[0; 2][..before], value, &[after]].concat();
        for text in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
            for (unit, character) in units.iter_mut().zip(&text.as_bytes()[own.clone()]) {
                if !unit.contains(&vec![*character]) {
                    unit.push(vec![*character]);
                }
            }
        }
    }
    units
}

/// From the first character that has bits of the value alone to the last that has any.
fn own(value: &[u8], before: usize) -> Range<usize> {
    (before * 8).div_ceil(6)..((before + value.len()) * 8).div_ceil(6)
}

/// The value as some encoder writes it, and which part of that is to be masked.
pub(super) fn write(spelling: u8, value: &[u8]) -> (Vec<u8>, Range<usize>) {
    let each = |form: fn(&u8) -> String| value.iter().map(form).collect::<String>().into_bytes();
    let text = match spelling % 13 {
        0 => value.to_vec(),
        1 => percent_encode(value, NON_ALPHANUMERIC).to_string().into_bytes(),
        2 => each(|byte| format!("%{byte:02x}")),
        3 => {
            let json = serde_json::Value::from(String::from_utf8_lossy(value)).to_string();
            json.as_bytes()[1..json.len() - 1].to_vec()
        }
        4 => each(|byte| format!("\\u{byte:04X}")),
        5 => each(|byte| format!("{byte:02x}")),
        6 => each(|byte| format!("{byte:02X}")),
        other => {
            let before = usize::from(other - 7) / 2;
            let whole = [&b"\xfe\xff"[..before], value].concat();
            let text = if other % 2 == 0 { STANDARD.encode(&whole) } else { URL_SAFE_NO_PAD.encode(&whole) };
            return (text.into_bytes(), own(value, before));
        }
    };
    let own = 0..text.len();
    (text, own)
}
