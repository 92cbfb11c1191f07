//! Fields: what may be asked of an upstream whose answer is searched, and fields that come back.

use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE, SEC_WEBSOCKET_EXTENSIONS,
    TRAILER,
};

use super::stream::mask_whole;
use super::{Reflected, Watch};
use crate::request::fields;

/// What would bring an answer in a form that cannot be searched. The last two are for the messages in a body.
const CODED: [HeaderName; 4] = [
    ACCEPT_ENCODING,
    SEC_WEBSOCKET_EXTENSIONS,
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("connect-accept-encoding"),
];
/// The codings that messages in a body came in.
const OF_MESSAGES: [&str; 2] = ["grpc-encoding", "connect-content-encoding"];

/// Makes a call's fields ask for an answer that can be searched: in no coding, and whole, since a secret that is asked
/// for in two parts is in neither. `allow_range`: the operator takes that upon himself.
pub fn ask(headers: &mut HeaderMap, allow_range: bool) {
    let ranges = [RANGE, IF_RANGE];
    for name in CODED.iter().chain(ranges.iter().filter(|_| !allow_range)) {
        fields::remove_spellings(headers, name);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Masks the values of fields and trailers, and takes out a field whose name has a secret in it, and what announces such a
/// trailer. Whether there was one.
pub fn mask(headers: &mut HeaderMap, watch: &Watch) -> Result<bool, Reflected> {
    let mut found = take_back(headers, watch);
    // A length is digits and no more, and frames the message: whatever it is, it stays.
    for (_, value) in headers.iter_mut().filter(|(name, _)| **name != CONTENT_LENGTH) {
        if let Some(masked) = mask_whole(&watch.needles, value.as_bytes()) {
            found = true;
            // Asterisks may stand in any value; an empty one is what cannot happen.
            *value = HeaderValue::from_maybe_shared(masked).unwrap_or(HeaderValue::from_static(""));
        }
    }
    let named: Vec<HeaderName> =
        headers.keys().filter(|name| watch.needles.stand_in_name(name.as_str())).cloned().collect();
    for name in &named {
        headers.remove(name);
    }
    found |= !named.is_empty();
    if found {
        watch.allow()?;
    }
    Ok(found)
}

/// Takes the names that have a secret in them out of `Trailer`. Whether there was one. They are in lower case there, as names
/// are, so that a secret with capitals is not found in the field's value.
fn take_back(headers: &mut HeaderMap, watch: &Watch) -> bool {
    let Some(announced) = headers.get(TRAILER).and_then(|names| names.to_str().ok()) else { return false };
    let (secret, rest): (Vec<&str>, Vec<&str>) =
        announced.split(", ").partition(|name| watch.needles.stand_in_name(name));
    if secret.is_empty() {
        return false;
    }
    match HeaderValue::try_from(rest.join(", ")) {
        Ok(rest) if !rest.is_empty() => headers.insert(TRAILER, rest),
        _ => headers.remove(TRAILER),
    };
    true
}

/// The name of the coding that the messages in a body came in, if there is one.
pub(super) fn coding_of_messages(headers: &HeaderMap) -> Option<&'static str> {
    let coded = |name: &&str| headers.get_all(*name).iter().any(|coding| coding != "identity");
    OF_MESSAGES.into_iter().find(coded)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::redact::Needles;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    fn watch(block: bool) -> Watch {
        Watch { needles: Arc::new(Needles::new(b"Canary-123456", b"Bearer Canary-123456").unwrap()), block }
    }

    #[test]
    fn d26_no_coding_and_no_part_is_asked_for() {
        let asked = map(&[
            ("accept-encoding", "gzip, br"),
            ("accept_encoding", "gzip"),
            ("range", "bytes=0-1"),
            ("if-range", "\"a\""),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("grpc-accept-encoding", "gzip"),
            ("accept", "*/*"),
        ]);
        let mut whole = asked.clone();
        ask(&mut whole, false);
        assert_eq!(whole, map(&[("accept", "*/*"), ("accept-encoding", "identity")]));
        let mut part = asked;
        ask(&mut part, true);
        assert_eq!((&part["range"], &part["if-range"]), (&"bytes=0-1".parse().unwrap(), &"\"a\"".parse().unwrap()));
        assert_eq!(part["accept-encoding"], "identity");
    }

    #[test]
    fn a_length_stays_what_it_is() {
        let needles = Arc::new(Needles::new(b"12345678", b"12345678").unwrap());
        let mut fields = map(&[("content-length", "12345678"), ("x-echo", "12345678")]);
        assert_eq!(mask(&mut fields, &Watch { needles, block: false }), Ok(true));
        assert_eq!(fields, map(&[("content-length", "12345678"), ("x-echo", "********")]));
    }

    #[test]
    fn f27_a_trailer_whose_name_is_a_secret_is_not_announced() {
        for (announced, left) in [
            ("x-canary-123456, x-sum", &[("trailer", "x-sum")][..]),
            ("x-a, x-b-canary-123456-c, x-b", &[("trailer", "x-a, x-b")]),
            ("x-canary-123456", &[]),
        ] {
            let mut fields = map(&[("trailer", announced)]);
            assert_eq!(mask(&mut fields.clone(), &watch(true)), Err(Reflected), "{announced}");
            assert_eq!((mask(&mut fields, &watch(false)), fields), (Ok(true), map(left)), "{announced}");
        }
        let mut clean = map(&[("trailer", "x-sum, x-canary")]);
        assert_eq!(
            (mask(&mut clean, &watch(true)), &clean["trailer"]),
            (Ok(false), &"x-sum, x-canary".parse().unwrap())
        );
    }

    #[test]
    fn f27_values_are_masked_and_names_go() {
        let mut fields = map(&[
            ("x-echo", "Bearer Canary-123456"),
            ("x-hex", "x43616e6172792d313233343536y"),
            ("location", "/?token=Canary%2D123456&x=1"),
            ("x-canary-123456", "1"),
            ("x-other", "Canary-12345"),
        ]);
        assert_eq!(mask(&mut fields.clone(), &watch(true)), Err(Reflected));
        assert_eq!(mask(&mut fields, &watch(false)), Ok(true));
        assert_eq!(
            fields,
            map(&[
                ("x-echo", "********************"),
                ("x-hex", "x**************************y"),
                ("location", "/?token=***************&x=1"),
                ("x-other", "Canary-12345"),
            ])
        );
        assert_eq!(mask(&mut fields, &watch(true)), Ok(false));
    }
}
