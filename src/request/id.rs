//! Request ids.

use std::cell::RefCell;

use http::HeaderValue;

/// Random bytes of an id.
const BYTES: usize = 12;
/// Ids whose bytes are fetched together. The generator takes its time for each request (it asks the processor for fresh
/// randomness, too), however little is asked for.
const AHEAD: usize = 64;

thread_local! {
    /// Random bytes that no id was made of yet, the rest of them zeros.
    static UNUSED: RefCell<Unused> = const { RefCell::new(Unused { bytes: [[0; BYTES]; AHEAD], left: 0 }) };
}

struct Unused {
    bytes: [[u8; BYTES]; AHEAD],
    left: usize,
}

impl Unused {
    fn next(&mut self) -> [u8; BYTES] {
        if self.left == 0 {
            // Without randomness the id is all zeros: a duplicate id is better than a refused call.
            let _ = aws_lc_rs::rand::fill(self.bytes.as_flattened_mut());
            self.left = AHEAD;
        }
        self.left -= 1;
        std::mem::take(&mut self.bytes[self.left])
    }
}

/// 1 to 64 characters of `[A-Za-z0-9._-]`: safe in a header, a log line and a JSON string as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's own id, when it is well-formed.
    pub fn accept(claimed: &HeaderValue) -> Option<RequestId> {
        is_well_formed(claimed.as_bytes()).then(|| RequestId(claimed.clone()))
    }

    /// 24 hex characters: 96 random bits.
    pub fn generate() -> RequestId {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let random = UNUSED.with_borrow_mut(Unused::next);
        let mut text = [0u8; 2 * BYTES];
        for (pair, byte) in text.chunks_exact_mut(2).zip(random) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        RequestId(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("000000000000000000000000")))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn d21_only_short_and_plain_ids_are_kept() {
        for (claimed, kept) in [
            ("req-1", true),
            (&*"a".repeat(64), true),
            (&*"a".repeat(65), false),
            ("\"}", false),
            ("a b", false),
            ("", false),
        ] {
            let value = HeaderValue::from_str(claimed).unwrap();
            let id = RequestId::accept(&value);
            assert_eq!(id.as_ref().map(RequestId::header_value), kept.then_some(value), "{claimed:?}");
            assert_eq!(id.as_ref().map(RequestId::as_str), kept.then_some(claimed), "{claimed:?}");
        }
    }

    #[test]
    fn generated_ids_are_24_hex_characters_and_differ() {
        let ids: HashSet<String> = (0..3 * AHEAD + 1).map(|_| RequestId::generate().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 3 * AHEAD + 1);
        assert!(ids.iter().all(|id| id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        let elsewhere = std::thread::spawn(|| RequestId::generate().as_str().to_owned()).join().unwrap();
        assert!(!ids.contains(&elsewhere));
    }
}
