//! Fields behind a body (RFC 9110 section 6.5), in either direction: which of them pass.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, TRAILER};

use super::Credential;
use super::fields;

/// Fields of one message's trailers, and their bytes together.
const MAX_FIELDS: usize = 64;
const MAX_BYTES: usize = 8 << 10;

/// More trailers than anybody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many trailers")]
pub struct TooMany;

/// What a request's head says about trailers, and what its own may not have in them.
#[derive(Debug, Default)]
pub struct Trailers {
    accepted: bool,
    grpc: bool,
    announced: Option<HeaderValue>,
    credential: Option<Credential>,
}

impl Trailers {
    /// Reads what is about to be stripped: `TE` and `Trailer`.
    pub fn of(headers: &HeaderMap) -> Trailers {
        let accepted = headers.get_all(TE).iter().flat_map(|te| te.as_bytes().split(|b| *b == b','));
        let content = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        Trailers {
            accepted: accepted.map(<[u8]>::trim_ascii).any(|coding| coding.eq_ignore_ascii_case(b"trailers")),
            grpc: content.starts_with(b"application/grpc"),
            announced: announced(headers),
            credential: None,
        }
    }

    /// `TE: trailers`: whoever says it wants those of the answer.
    pub fn accepted(&self) -> bool {
        self.accepted
    }

    /// Whether the call makes no sense without them, nor over HTTP/1.
    pub fn needed(&self) -> bool {
        self.accepted && self.grpc
    }

    /// The `Trailer` field to be sent on: an HTTP/1 peer gets no others than it names.
    pub fn announced(&self) -> Option<HeaderValue> {
        self.announced.clone()
    }

    /// The caller's credential; no trailer with it in its value passes.
    pub fn forbid(&mut self, credential: Option<Credential>) {
        self.credential = credential;
    }

    /// Takes out of a request's trailers what may not pass; `injected` is the field that a secret went into.
    pub fn clean(&self, trailers: &mut HeaderMap, injected: Option<&HeaderName>) -> Result<(), TooMany> {
        clean(trailers)?;
        if let Some(injected) = injected {
            fields::remove_spellings(trailers, injected);
        }
        if let Some(credential) = &self.credential {
            retain(trailers, |_, value| !credential.occurs_in(value.as_bytes()));
        }
        Ok(())
    }
}

/// Takes out of trailers what steers, frames or authenticates a message or belongs to its connection, which none
/// behind a body may do. Everything that goes by another name passes.
pub fn clean(trailers: &mut HeaderMap) -> Result<(), TooMany> {
    let weight = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    if trailers.len() > MAX_FIELDS || trailers.iter().map(weight).sum::<usize>() > MAX_BYTES {
        return Err(TooMany);
    }
    retain(trailers, |name, value| {
        !fields::is_of_the_head_only(name) && value.as_bytes() == value.as_bytes().trim_ascii()
    });
    Ok(())
}

/// `Trailer` with only those names in it that may pass. Of the members of the list, no more are looked at than there may be
/// trailers: over HTTP/2 one byte can bring kilobytes of them (RFC 7541).
pub fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    let members = headers.get_all(TRAILER).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let names = members.take(MAX_FIELDS).filter_map(|member| HeaderName::from_bytes(member.trim_ascii()).ok());
    let names: Vec<HeaderName> = names.filter(|name| !fields::is_of_the_head_only(name)).collect();
    let text = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text).ok().filter(|text| !text.is_empty())
}

fn retain(map: &mut HeaderMap, keep: impl Fn(&HeaderName, &HeaderValue) -> bool) {
    let gone: Vec<HeaderName> =
        map.iter().filter(|(name, value)| !keep(name, value)).map(|(name, _)| name.clone()).collect();
    for name in gone {
        map.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a28_f24_what_frames_steers_or_authenticates_is_no_trailer() {
        let mut trailers = map(&[
            ("grpc-status", "0"),
            ("grpc-message", "fine"),
            ("x-sum", "1"),
            ("authorization", "Bearer evil"),
            ("authorization_", "Bearer evil"),
            ("cookie", "a"),
            ("set-cookie", "a"),
            ("content-length", "9"),
            ("content_length", "9"),
            ("content-type", "text/html"),
            ("transfer-encoding", "chunked"),
            ("host", "b"),
            ("connection", "close"),
            ("trailer", "x"),
            ("te", "trailers"),
            ("x-upstream-host", "b.test"),
            ("x-veilwarden-error", "FAKE"),
            ("x-session-secret", "s"),
            ("x-forwarded-for", "1.2.3.4"),
            ("proxy-authenticate", "Basic"),
            ("www-authenticate", "Basic"),
            ("location", "/"),
            ("cache-control", "no-store"),
        ]);
        clean(&mut trailers).unwrap();
        let mut names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["grpc-message", "grpc-status", "x-sum"]);
        assert_eq!(announced(&map(&[("trailer", "X-Sum, Authorization, ,\"q\"")])).unwrap(), "x-sum");
        assert_eq!(announced(&map(&[("trailer", "Host")])), None);
    }

    #[test]
    fn neither_the_credential_nor_the_injected_field_passes() {
        let mut trailers = map(&[("x-copy", "v=a-secret-of-some-length;"), ("x_api_key", "mine"), ("x-sum", "1")]);
        let mut head = Trailers::of(&map(&[("te", "gzip, Trailers"), ("content-type", "application/grpc+proto")]));
        assert!(head.accepted() && head.needed());
        head.forbid(Some(Credential::SessionSecret(SecretString::from("a-secret-of-some-length"))));
        head.clean(&mut trailers, Some(&HeaderName::from_static("x-api-key"))).unwrap();
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
    }

    #[test]
    fn a29_too_many_trailers_are_an_error() {
        let names: HeaderMap = (0..65)
            .map(|at| (HeaderName::try_from(format!("x-{at}")).unwrap(), HeaderValue::from_static("y")))
            .collect();
        assert_eq!(clean(&mut names.clone()), Err(TooMany));
        let mut long = HeaderMap::new();
        long.insert("x", HeaderValue::try_from("y".repeat(MAX_BYTES)).unwrap());
        assert_eq!(clean(&mut long), Err(TooMany));
    }

    #[test]
    fn a29_limits_of_trailers_hold_to_the_byte() {
        let many = |count: usize| -> HeaderMap {
            let name = |at: usize| HeaderName::try_from(format!("x-{at}")).unwrap();
            (0..count).map(|at| (name(at), HeaderValue::from_static("y"))).collect()
        };
        assert_eq!(clean(&mut many(64)), Ok(()));
        assert_eq!(clean(&mut many(65)), Err(TooMany));
        let long = |bytes: usize| {
            let value = HeaderValue::try_from("y".repeat(bytes - "x-y: \r\n".len())).unwrap();
            HeaderMap::from_iter([(HeaderName::from_static("x-y"), value)])
        };
        assert_eq!(clean(&mut long(8192)), Ok(()));
        assert_eq!(clean(&mut long(8193)), Err(TooMany));
    }

    #[test]
    fn a29_of_an_announcement_no_more_is_read_than_there_may_be_trailers() {
        for useless in ["host,", "\"q\",", ","] {
            let told = |members: usize| {
                let value = |text: String| HeaderValue::try_from(text).unwrap();
                let (half, rest) = (useless.repeat(members / 2), useless.repeat(members - members / 2));
                let lines = [value(half + "x-first"), value(rest + "x-last")];
                announced(&lines.into_iter().map(|line| (TRAILER, line)).collect())
            };
            assert_eq!(told(62).unwrap(), "x-first, x-last", "{useless}");
            assert_eq!(told(63).unwrap(), "x-first", "{useless}");
            assert_eq!(told(60_000), None, "{useless}");
        }
    }

    #[test]
    fn a_trailer_with_space_around_its_value_goes() {
        let mut trailers = map(&[("x-a", " 1"), ("x-b", "1\t"), ("x-c", "1 2")]);
        clean(&mut trailers).unwrap();
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-c"]);
    }

    #[test]
    fn a_head_says_whether_trailers_are_wanted_and_which_come() {
        let (te, grpc, sum) = (("te", "trailers"), ("content-type", "application/grpc"), ("trailer", "x-sum, host"));
        for (fields, accepted, needed, announced) in [
            (&[][..], false, false, None),
            (&[te], true, false, None),
            (&[grpc], false, false, None),
            (&[te, grpc], true, true, None),
            (&[("te", "gzip"), grpc, sum], false, false, Some("x-sum")),
        ] {
            let head = Trailers::of(&map(fields));
            assert_eq!((head.accepted(), head.needed()), (accepted, needed), "{fields:?}");
            assert_eq!(head.announced(), announced.map(HeaderValue::from_static), "{fields:?}");
        }
    }
}
