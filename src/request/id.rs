//! Request ids.

use http::HeaderValue;

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
        let mut random = [0u8; 12];
        // Without randomness the id is all zeros: a duplicate id is better than a refused call.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let mut text = [0u8; 24];
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
            assert_eq!(id.as_ref().map(RequestId::as_str), kept.then_some(claimed), "{claimed:?}");
        }
    }

    #[test]
    fn generated_ids_are_24_hex_characters_and_differ() {
        let (a, b) = (RequestId::generate(), RequestId::generate());
        assert_eq!(a.as_str().len(), 24);
        assert_ne!(a, b);
    }
}
