//! A request path in one canonical form, the one that policy judges and the upstream receives.
//!
//! Normalised, since RFC 3986 section 6.2.2 makes the spellings equal: percent-encoded unreserved characters are
//! decoded, hex digits become upper case. Refused, since an upstream may read them differently than we do: dot
//! segments, empty segments, backslashes, control characters, encoded slashes (a route may allow those), octets
//! that are no UTF-8, all of it also behind a second round of encoding.

use std::borrow::Cow;

/// How often a path may be percent-encoded over; more is an attack.
const MAX_ENCODING_DEPTH: usize = 3;

/// Why a path was refused, in words fit for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotCanonical(pub &'static str);

/// Checks and normalises an origin-form path (without its query). Whether it has an encoded slash is told
/// apart, since only the route knows whether that is allowed.
pub fn canonical(path: &str) -> Result<Canonical<'_>, NotCanonical> {
    if !path.starts_with('/') {
        return Err(NotCanonical("the path does not begin with a slash"));
    }
    let path = normalise(path)?;
    let encoded_slash = check_segments(&path)?;
    Ok(Canonical { path, encoded_slash })
}

/// A path that every normaliser leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical<'a> {
    pub path: Cow<'a, str>,
    /// A segment has a `%2F` in it.
    pub encoded_slash: bool,
}

/// pchar of RFC 3986 section 3.3 and the slash; also `[`, `]` and `|`, which clients send bare and no parser
/// gives a meaning.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/[]|%".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn normalise(path: &str) -> Result<Cow<'_, str>, NotCanonical> {
    if !path.bytes().all(is_path_byte) {
        return Err(NotCanonical("the path has a character that must be percent-encoded"));
    }
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut out = String::with_capacity(path.len());
    let mut parts = path.split('%');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let octet = leading_hex(part).ok_or(NotCanonical("the path has a broken percent-encoding"))?;
        if is_unreserved(octet) {
            out.push(char::from(octet));
        } else {
            out.push('%');
            out.push_str(&part[..2].to_ascii_uppercase());
        }
        out.push_str(&part[2..]);
    }
    Ok(Cow::Owned(out))
}

fn leading_hex(text: &str) -> Option<u8> {
    let digits = text.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

/// Looks at every segment as an upstream that decodes once, twice or more would see it.
fn check_segments(path: &str) -> Result<bool, NotCanonical> {
    let mut encoded_slash = false;
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        // A single empty segment at the end is the trailing slash.
        if segment.is_empty() && segments.peek().is_some() {
            return Err(NotCanonical("the path has an empty segment"));
        }
        if segment.contains('%') {
            encoded_slash |= check_encoded_segment(segment)?;
        } else {
            check_dots(segment)?;
        }
    }
    Ok(encoded_slash)
}

/// Returns whether a slash came to light.
fn check_encoded_segment(segment: &str) -> Result<bool, NotCanonical> {
    let mut text = segment.to_owned();
    let mut slash = false;
    for _ in 0..MAX_ENCODING_DEPTH {
        let octets = percent_encoding::percent_decode_str(&text).collect::<Vec<u8>>();
        let decoded = String::from_utf8(octets).map_err(|_| NotCanonical("the path is no UTF-8 once decoded"))?;
        if decoded.bytes().any(|b| b.is_ascii_control()) {
            return Err(NotCanonical("the path has an encoded control character"));
        }
        if decoded.contains('\\') {
            return Err(NotCanonical("the path has an encoded backslash"));
        }
        slash |= decoded.contains('/');
        for piece in decoded.split('/') {
            check_dots(piece)?;
        }
        if !holds_encoding(&decoded) {
            return Ok(slash);
        }
        text = decoded;
    }
    Err(NotCanonical("the path is percent-encoded over and over"))
}

/// Whether something is left that another round would decode.
fn holds_encoding(text: &str) -> bool {
    text.split('%').skip(1).any(|part| leading_hex(part).is_some())
}

/// `.` and `..`, also before a `;` parameter, where some servers look for them.
fn check_dots(segment: &str) -> Result<(), NotCanonical> {
    match segment.split(';').next().unwrap_or_default() {
        "." | ".." => Err(NotCanonical("the path has a dot segment")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c13_equal_spellings_become_one() {
        for (path, expected) in [
            ("/", "/"),
            ("/pub/x", "/pub/x"),
            ("/pub/", "/pub/"),
            ("/pub/a%41", "/pub/aA"),
            ("/pub/%7euser", "/pub/~user"),
            ("/pub/A%2Db", "/pub/A-b"),
            ("/pub/%e2%82%ac", "/pub/%E2%82%AC"),
            ("/pub/x;jsessionid=1", "/pub/x;jsessionid=1"),
            ("/pub/a%20b", "/pub/a%20b"),
            ("/pub/100%25", "/pub/100%25"),
            ("/pub/a%2520b", "/pub/a%2520b"),
            ("/pub/...", "/pub/..."),
            ("/v1/models/a:generate", "/v1/models/a:generate"),
        ] {
            assert_eq!(canonical(path).map(|c| c.path.into_owned()).as_deref(), Ok(expected), "{path:?}");
        }
    }

    #[test]
    fn c01_to_c16_ambiguous_paths_are_refused() {
        for path in [
            "/pub/../admin",
            "/pub/./../admin",
            "/pub/%2e%2e/admin",
            "/pub/%2E./admin",
            "/pub/.%2e/admin",
            "/pub/..%2fadmin",
            "/pub%2f..%2fadmin",
            "/pub/..\\admin",
            "/pub\\..\\admin",
            "/pub/..%5cadmin",
            "//admin",
            "/pub//../admin",
            "/pub///x",
            "//evil.test/x",
            "/pub/%00",
            "/pub/a%00.json",
            "/pub/%0d%0aX-Injected:%201",
            "/pub/%zz",
            "/pub/%2",
            "/pub/%u002e",
            "/pub/%c0%ae%c0%ae/admin",
            "/pub/%ff",
            "/pub/\u{e9}",
            "/pub/..",
            "/.",
            "/pub/..;/admin",
            "/pub/%252e%252e/admin",
            "/pub/%25252e%25252e/x",
            "/a%2525252525",
            "/pub/%255cx",
            "/pub/\"x\"",
            "",
            "*",
            "a/b",
            "@evil/x",
            ":80/x",
            "/pub/%%32%65%%32%65/x",
        ] {
            assert!(canonical(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn c04_an_encoded_slash_is_told_to_the_route() {
        assert_eq!(canonical("/a%2fb").map(|c| (c.path.into_owned(), c.encoded_slash)), Ok(("/a%2Fb".into(), true)));
        assert!(canonical("/a%252fb").is_ok_and(|c| c.encoded_slash));
        assert!(canonical("/ab").is_ok_and(|c| !c.encoded_slash));
    }

    /// What upstreams do to paths: decode, merge slashes, resolve dots, turn backslashes.
    fn resolve(path: &str) -> String {
        let mut out: Vec<&str> = Vec::new();
        for segment in path.split('/').skip(1) {
            match segment {
                "." => {}
                ".." => drop(out.pop()),
                other => out.push(other),
            }
        }
        format!("/{}", out.join("/"))
    }

    proptest! {
        #[test]
        fn an_accepted_path_is_a_fixed_point_of_every_normaliser(tail in "([a-z./;%\\\\:|]|%2[ef]|%5c|%25){0,24}") {
            let path = format!("/{tail}");
            if let Ok(found) = canonical(&path) {
                let path = found.path.into_owned();
                prop_assert_eq!(&canonical(&path).unwrap().path, &path);
                prop_assert_eq!(&resolve(&path), &path);
                prop_assert!(!path.contains("//") && !path.contains('\\'));
                let decoded = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap();
                prop_assert_eq!(&resolve(&decoded), &*decoded);
            }
        }

        #[test]
        fn no_path_panics(path in "\\PC{0,60}") {
            let _ = canonical(&path);
        }
    }
}
