//! The query: passed on byte for byte, so only what no parser agrees on is refused.

/// Why a query was refused, in words fit for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadQuery(pub &'static str);

/// Allows RFC 3986 section 3.4 and the characters that browsers leave bare; wants every percent sign to begin
/// an encoded octet, and none of them NUL.
pub fn check(query: &str) -> Result<(), BadQuery> {
    let bytes = query.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let fine = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?[]{}|^`%".contains(&byte);
        if !fine {
            return Err(BadQuery("the query has a character that must be percent-encoded"));
        }
        if byte == b'%' {
            match bytes.get(at + 1..at + 3) {
                Some(b"00") => return Err(BadQuery("the query has an encoded NUL")),
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
                _ => return Err(BadQuery("the query has a broken percent-encoding")),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c21_c23_ordinary_queries_pass() {
        for query in [
            "",
            "a=1;b=2",
            "a[]=1",
            "a%5b%5d=1",
            "a=%26b=2",
            "a=1&&=",
            "?a=1",
            "a",
            "a=+",
            "a=%20",
            "a=%2B",
            "/../admin",
            "a={x}|^`",
        ] {
            assert_eq!(check(query), Ok(()), "{query:?}");
        }
    }

    #[test]
    fn c22_invalid_octets_are_refused() {
        for query in ["a=%00", "a=%zz", "a=%2", "a=\"q\"", "a= b", "a=<b>", "a=\\", "a=\u{e9}", "a=%"] {
            assert!(check(query).is_err(), "{query:?}");
        }
    }
}
