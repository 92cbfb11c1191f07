//! The header of a token that is to be verified here (RFC 7515 section 4): what it may say, and nothing else.

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use crate::authn::Error;
use crate::authn::token;

/// A header that names its key and one of the two algorithms we know.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// What the token claims; only the key's own algorithm counts, and this has to equal it.
    pub algorithm: Algorithm,
    pub kid: String,
}

/// An allow-list. A parameter that changes what the rest means (`crit`, `b64`, `zip`) or that names a key or a place to
/// fetch one from (`jku`, `x5u`, `jwk`, `x5c`) is thereby refused; the API server sets none of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    alg: String,
    #[serde(default)]
    kid: String,
    typ: Option<String>,
}

impl Header {
    /// Reads the decoded first part of a token.
    pub fn read(json: &[u8]) -> Result<Header, Error> {
        let raw: Raw = token::object(json)
            .map_err(|_| Error::Malformed("its header has not exactly `alg` and `kid`, and `typ` if need be"))?;
        let algorithm = match raw.alg.as_str() {
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            _ => return Err(Error::Malformed("its algorithm is neither RS256 nor ES256")),
        };
        if raw.kid.is_empty() {
            return Err(Error::Malformed("its header names no key (`kid`)"));
        }
        if raw.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(Error::Malformed("its `typ` is not JWT"));
        }
        Ok(Header { algorithm, kid: raw.kid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_the_api_server_is_read() {
        for (json, algorithm) in [
            (r#"{"alg":"RS256","kid":"k"}"#, Algorithm::RS256),
            (r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#, Algorithm::ES256),
            (r#"{"typ":"jwt","kid":"k","alg":"ES256"}"#, Algorithm::ES256),
        ] {
            assert_eq!(Header::read(json.as_bytes()).unwrap(), Header { algorithm, kid: "k".into() });
        }
    }

    #[test]
    fn h28_h29_h30_every_other_header_is_refused() {
        for json in [
            r#"{"alg":"none","kid":"k"}"#,
            r#"{"alg":"None","kid":"k"}"#,
            r#"{"alg":"","kid":"k"}"#,
            r#"{"alg":"rs256","kid":"k"}"#,
            r#"{"alg":"HS256","kid":"k"}"#,
            r#"{"alg":"PS256","kid":"k"}"#,
            r#"{"alg":"RS384","kid":"k"}"#,
            r#"{"alg":"ES384","kid":"k"}"#,
            r#"{"alg":"EdDSA","kid":"k"}"#,
            r#"{"alg":["RS256"],"kid":"k"}"#,
            r#"{"alg":"RS256","alg":"RS256","kid":"k"}"#,
            r#"{"kid":"k"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":""}"#,
            r#"{"alg":"RS256","kid":null}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","kid":"k","kid":"l"}"#,
            r#"{"alg":"RS256","kid":"k","typ":"JWE"}"#,
            r#"{"alg":"RS256","kid":"k","typ":1}"#,
            r#"{"alg":"RS256","kid":"k","crit":["exp"]}"#,
            r#"{"alg":"RS256","kid":"k","b64":false,"crit":["b64"]}"#,
            r#"{"alg":"RS256","kid":"k","b64":true}"#,
            r#"{"alg":"RS256","kid":"k","zip":"DEF"}"#,
            r#"{"alg":"RS256","kid":"k","enc":"A128GCM"}"#,
            r#"{"alg":"RS256","kid":"k","jku":"https://evil.test/jwks"}"#,
            r#"{"alg":"RS256","kid":"k","x5u":"https://evil.test/cert"}"#,
            r#"{"alg":"RS256","kid":"k","jwk":{"kty":"RSA"}}"#,
            r#"{"alg":"RS256","kid":"k","x5c":["MII"]}"#,
            r#"{"alg":"RS256","kid":"k","x5t":"x"}"#,
            "[]",
            "",
        ] {
            assert!(matches!(Header::read(json.as_bytes()), Err(Error::Malformed(_))), "{json}");
        }
    }
}
