//! The local look at a token, before anybody is asked about it. Nothing here is verified: a claim may only refuse a
//! token or pick a question, never accept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny};

use super::Error;

/// Longer tokens are refused unread. Real ones have about 1 KiB; header fields end at 16 KiB too.
pub const MAX_BYTES: usize = 16 * 1024;

/// How far `nbf` and `iat` may lie ahead of our clock. `exp` has no leeway.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// The unverified claims of a token (RFC 7519 section 4.1) that has the shape of one and is in its time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    pub issuer: Option<String>,
    pub subject: Option<String>,
    /// Empty if the token has no `aud`, as ServiceAccount tokens from before Kubernetes 1.21.
    pub audiences: Vec<String>,
    /// `exp`, seconds since the epoch.
    pub expires_at: Option<u64>,
}

impl Claims {
    /// Reads a compact JWS (RFC 7515 section 7.1): three base64url parts without padding, the first two JSON objects.
    pub fn read(token: &str, now: SystemTime) -> Result<Claims, Error> {
        let payload = Payload::decode(token)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if has_passed(payload.exp, now) {
            return Err(Error::Expired);
        }
        let latest = now.saturating_add(LEEWAY.as_secs());
        if payload.nbf.is_some_and(|nbf| nbf > latest) || payload.iat.is_some_and(|iat| iat > latest) {
            return Err(Error::NotYetValid);
        }
        Ok(Claims {
            issuer: payload.iss,
            subject: payload.sub,
            audiences: payload.aud.map(Audience::into_vec).unwrap_or_default(),
            expires_at: payload.exp,
        })
    }
}

/// The `sub` and `aud` of a token, whatever its times say; for our own token, whose user name it is.
pub fn subject_and_audiences(token: &str) -> (Option<String>, Vec<String>) {
    let Ok(payload) = Payload::decode(token) else { return (None, Vec::new()) };
    (payload.sub, payload.aud.map(Audience::into_vec).unwrap_or_default())
}

/// "On or after which the JWT must not be accepted": RFC 7519 section 4.1.4, no leeway. Both in seconds since the epoch.
pub fn has_passed(exp: Option<u64>, now: u64) -> bool {
    exp.is_some_and(|exp| now >= exp)
}

#[derive(serde::Deserialize)]
struct Payload {
    #[serde(default, deserialize_with = "present")]
    exp: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Audience>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn into_vec(self) -> Vec<String> {
        match self {
            Audience::One(one) => vec![one],
            Audience::Several(several) => several,
        }
    }
}

/// A claim that is there has to have its type; `null` is not "absent".
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Payload {
    fn decode(token: &str) -> Result<Payload, Error> {
        let parts = Parts::split(token)?;
        object::<std::collections::BTreeMap<String, IgnoredAny>>(&parts.header)?;
        object(&parts.payload)
    }
}

/// A compact JWS taken apart (RFC 7515 section 7.1).
pub struct Parts<'a> {
    /// Decoded; not yet known to be JSON.
    pub header: Vec<u8>,
    /// Decoded; not yet known to be JSON.
    pub payload: Vec<u8>,
    /// What the signature is over: the first two parts, as they came.
    pub signed: &'a str,
    /// As it came: base64url without padding, not empty.
    pub signature: &'a str,
}

impl<'a> Parts<'a> {
    pub fn split(token: &'a str) -> Result<Parts<'a>, Error> {
        if token.len() > MAX_BYTES {
            return Err(Error::Malformed("longer than 16 KiB"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::Malformed("not three parts with dots between"));
        };
        if base64url(signature)?.is_empty() {
            return Err(Error::Malformed("no signature"));
        }
        let signed = &token[..header.len() + 1 + payload.len()];
        Ok(Parts { header: base64url(header)?, payload: base64url(payload)?, signed, signature })
    }
}

fn base64url(part: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Malformed("a part is not base64url"))
}

/// Reads a JSON object, and nothing else that would fit `T`.
pub fn object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    // A struct would also be read from a JSON array.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::Malformed("header or payload is not a JSON object"));
    }
    serde_json::from_slice(json).map_err(|_| Error::Malformed("header or payload has not the claims of a token"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn part(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    fn token(payload: &str) -> String {
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(payload), part("signature"))
    }

    fn read(payload: Value) -> Result<Claims, Error> {
        Claims::read(&token(&payload.to_string()), at(NOW))
    }

    #[test]
    fn claims_are_read() {
        let claims = read(json!({
            "iss": "https://issuer", "sub": "system:serviceaccount:a:b", "aud": ["x", "y"],
            "exp": NOW + 1, "nbf": NOW, "iat": NOW, "jti": "z", "kubernetes.io": {"namespace": "a"}
        }));
        let expected = Claims {
            issuer: Some("https://issuer".into()),
            subject: Some("system:serviceaccount:a:b".into()),
            audiences: vec!["x".into(), "y".into()],
            expires_at: Some(NOW + 1),
        };
        assert_eq!(claims.unwrap(), expected);
        assert_eq!(read(json!({"aud": "x"})).unwrap().audiences, ["x"]);
        assert_eq!(read(json!({})).unwrap(), Claims::default());
    }

    #[test]
    fn exp_has_no_leeway_and_nbf_and_iat_have_sixty_seconds() {
        assert!(matches!(read(json!({"exp": NOW - 1})), Err(Error::Expired)));
        assert!(matches!(read(json!({"exp": NOW})), Err(Error::Expired)));
        assert!(read(json!({"exp": NOW + 1})).is_ok());
        for claim in ["nbf", "iat"] {
            assert!(read(json!({claim: NOW + 60})).is_ok(), "{claim}");
            assert!(matches!(read(json!({claim: NOW + 61})), Err(Error::NotYetValid)), "{claim}");
        }
    }

    #[test]
    fn a_clock_before_the_epoch_is_no_panic() {
        let then = UNIX_EPOCH - Duration::from_secs(1);
        assert!(Claims::read(&token(r#"{"exp": 1}"#), then).is_ok());
    }

    #[test]
    fn h17_a_token_that_is_not_three_base64url_parts_is_refused_locally() {
        let good = token("{}");
        assert!(Claims::read(&good, at(NOW)).is_ok());
        let [header, payload, signature] = [part("{}"), part("{}"), part("s")];
        let cases = [
            String::new(),
            "x".into(),
            ".".into(),
            "..".into(),
            format!("{header}.{payload}"),
            format!("{header}.{payload}."),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            format!("{good}."),
            format!("{good}.a.b"),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{header}=.{payload}.{signature}"),
            format!("{header}.{payload}=.{signature}"),
            format!("{header}.{payload}.a+/b"),
            format!("{header}.{payload}.é"),
            format!("{}.{payload}.{signature}", part("[]")),
            format!("{header}.{}.{signature}", part("[1,2,3,\"a\",\"b\",\"c\"]")),
            format!("{header}.{}.{signature}", part("null")),
            format!("{header}.{}.{signature}", part("{")),
            format!("{header}.{}.{signature}", part("{} {}")),
            format!("{header}.{payload}.{}", "A".repeat(MAX_BYTES)),
        ];
        for case in cases {
            assert!(matches!(Claims::read(&case, at(NOW)), Err(Error::Malformed(_))), "{case:.80}");
        }
    }

    #[test]
    fn h31_claims_of_another_type_are_malformed() {
        for claim in ["exp", "nbf", "iat"] {
            for value in ["null", "1e400", "1e3", "1.5", "-1", "\"1900000000\"", "[]", "true", "99999999999999999999"] {
                let token = token(&format!("{{\"{claim}\":{value}}}"));
                assert!(matches!(Claims::read(&token, at(NOW)), Err(Error::Malformed(_))), "{claim} {value}");
            }
        }
        for payload in [
            r#"{"aud":1}"#,
            r#"{"aud":null}"#,
            r#"{"aud":["a",1]}"#,
            r#"{"aud":{}}"#,
            r#"{"sub":1}"#,
            r#"{"iss":[]}"#,
            r#"{"exp":1900000000,"exp":1900000001}"#,
        ] {
            assert!(matches!(Claims::read(&token(payload), at(NOW)), Err(Error::Malformed(_))), "{payload}");
        }
    }

    #[test]
    fn an_error_never_repeats_the_token() {
        let error = Claims::read("tok-canary.tok-canary.tok-canary!", at(NOW)).unwrap_err();
        assert!(!error.to_string().contains("canary") && !format!("{error:?}").contains("canary"));
    }

    #[test]
    fn subject_and_audiences_of_our_own_token_are_read_even_when_it_has_expired() {
        let own = token(r#"{"sub":"me","aud":["api"],"exp":1}"#);
        assert_eq!(subject_and_audiences(&own), (Some("me".into()), vec!["api".into()]));
        assert_eq!(subject_and_audiences("opaque"), (None, Vec::new()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), now in any::<u32>()) {
            let _ = Claims::read(&text, at(now.into()));
        }

        #[test]
        fn no_payload_panics(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), signature in any::<Vec<u8>>()) {
            let [header, payload, signature] = [header, payload, signature].map(|part| URL_SAFE_NO_PAD.encode(part));
            let _ = Claims::read(&format!("{header}.{payload}.{signature}"), at(NOW));
        }

        #[test]
        fn no_claim_value_panics(exp in any::<i128>(), nbf in any::<f64>(), aud in "\\PC*") {
            let _ = read(json!({"exp": exp.to_string(), "nbf": nbf, "aud": aud}));
            let _ = Claims::read(&token(&format!("{{\"exp\":{exp},\"iat\":{exp}}}")), at(NOW));
        }

        #[test]
        fn what_is_accepted_has_not_expired(exp in 0u64..u64::MAX, now in 0u64..4_000_000_000) {
            let outcome = Claims::read(&token(&format!("{{\"exp\":{exp}}}")), at(now));
            prop_assert_eq!(outcome.is_ok(), exp > now);
        }
    }
}
