//! The one credential a call is judged by, and how it is kept from going any further.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::fields;

pub const TOKEN_FIELD: HeaderName = HeaderName::from_static("x-veilwarden-token");
pub const SESSION_SECRET_FIELD: HeaderName = HeaderName::from_static("x-session-secret");

/// No session secret is shorter, in bytes, and every token is longer.
const SHORTEST: usize = 16;

/// A caller's credential, taken out of the slot that decided (spec: "one slot decides").
#[derive(Debug, Clone)]
pub enum Credential {
    /// A Kubernetes ServiceAccount token (three dot-separated parts, or whatever came as a bearer).
    Token(SecretString),
    /// The laptop's session secret.
    SessionSecret(SecretString),
}

/// The deciding slot holds something that is no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCredential(pub &'static str);

impl Credential {
    /// The credential's bytes, for the authenticator and for the search that keeps it from going upstream.
    pub fn expose(&self) -> &str {
        match self {
            Credential::Token(value) | Credential::SessionSecret(value) => value.expose_secret(),
        }
    }

    /// Whether `text` has the credential in it. One that is too short to be good is in nothing: what it happens to
    /// occur in would be refused or taken out for no reason.
    pub fn occurs_in(&self, text: &[u8]) -> bool {
        let needle = self.expose().as_bytes();
        needle.len() >= SHORTEST && needle.len() <= text.len() && memmem::find(text, needle).is_some()
    }
}

/// Takes the credential out of the first slot that is present, then removes every field in which it recurs and
/// every field that only ever carries credentials for us. A bad credential in an earlier slot is never rescued
/// by a later one. `kubernetes`: whether a bearer in `Authorization` is meant for us. `caller_slots`: the route's own
/// slots, which are for us whichever slot decides.
pub fn take(
    headers: &mut HeaderMap,
    kubernetes: bool,
    caller_slots: &[HeaderName],
) -> Result<Option<Credential>, BadCredential> {
    let found = find(headers, kubernetes, caller_slots);
    remove_slots(headers, caller_slots);
    let found = found?;
    if let Some((slot, credential)) = &found {
        if *slot == AUTHORIZATION {
            headers.remove(AUTHORIZATION);
        }
        remove_recurrences(headers, credential);
    }
    Ok(found.map(|(_, credential)| credential))
}

/// For a request inside a tunnel: the credential is the tunnel's. The fields that only ever carry credentials for us go,
/// the route's own slots among them, and so does every field in which the tunnel's recurs; any other `Authorization` is
/// the application's own.
pub fn inherit(headers: &mut HeaderMap, credential: &Credential, caller_slots: &[HeaderName]) -> Credential {
    remove_slots(headers, caller_slots);
    remove_recurrences(headers, credential);
    credential.clone()
}

fn remove_slots(headers: &mut HeaderMap, caller_slots: &[HeaderName]) {
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove(TOKEN_FIELD);
    headers.remove(SESSION_SECRET_FIELD);
    for slot in caller_slots {
        fields::remove_spellings(headers, slot);
    }
}

fn find(
    headers: &HeaderMap,
    kubernetes: bool,
    caller_slots: &[HeaderName],
) -> Result<Option<(HeaderName, Credential)>, BadCredential> {
    if let Some(value) = headers.get(PROXY_AUTHORIZATION) {
        let text = bearer(value)?.map_or_else(|| basic_password(value), Ok)?;
        return Ok(Some((PROXY_AUTHORIZATION, either(text, kubernetes))));
    }
    if let Some(value) = headers.get(TOKEN_FIELD) {
        return Ok(Some((TOKEN_FIELD, either(visible(value)?, kubernetes))));
    }
    if let Some((slot, value)) = caller_slots.iter().find_map(|slot| Some((slot, headers.get(slot)?))) {
        let text = if *slot == AUTHORIZATION { after_scheme(value)? } else { visible(value)? };
        return Ok(Some((slot.clone(), either(text, kubernetes))));
    }
    if kubernetes
        && let Some(value) = headers.get(AUTHORIZATION)
        && let Some(token) = bearer(value)?
    {
        return Ok(Some((AUTHORIZATION, Credential::Token(token))));
    }
    match headers.get(SESSION_SECRET_FIELD) {
        // One that cannot be text is a wrong one, and looks like it.
        Some(value) => {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            Ok(Some((SESSION_SECRET_FIELD, Credential::SessionSecret(SecretString::from(text)))))
        }
        None => Ok(None),
    }
}

/// A slot that takes both kinds: three dot-separated parts mean a token.
fn either(text: SecretString, kubernetes: bool) -> Credential {
    if kubernetes && text.expose_secret().split('.').count() == 3 {
        Credential::Token(text)
    } else {
        Credential::SessionSecret(text)
    }
}

/// `Bearer` of RFC 6750, its scheme in any case and exactly one space behind it; `None` for another scheme.
fn bearer(value: &HeaderValue) -> Result<Option<SecretString>, BadCredential> {
    const SCHEME: usize = "bearer".len();
    let bytes = value.as_bytes();
    let is_bearer = bytes.len() >= SCHEME
        && bytes[..SCHEME].eq_ignore_ascii_case(b"bearer")
        && bytes.get(SCHEME).is_none_or(|b| !b.is_ascii_alphanumeric());
    if !is_bearer {
        return Ok(None);
    }
    let token =
        bytes[SCHEME..].strip_prefix(b" ").ok_or(BadCredential("one space belongs between Bearer and the token"))?;
    let plain = !token.is_empty() && is_b64token(token);
    let text =
        std::str::from_utf8(token).ok().filter(|_| plain).ok_or(BadCredential("the bearer token is malformed"))?;
    Ok(Some(SecretString::from(text)))
}

/// The characters of RFC 6750 section 2.1. No early exit: without one the compiler looks at many bytes at once, and a
/// token has a thousand.
fn is_b64token(token: &[u8]) -> bool {
    token.iter().fold(true, |fine, &b| {
        fine & matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    })
}

/// What an API's client sends as its key in `Authorization`: `Bearer KEY`, `token KEY` or the password of `Basic`.
fn after_scheme(value: &HeaderValue) -> Result<SecretString, BadCredential> {
    const WRONG: BadCredential =
        BadCredential("the credential in Authorization is neither Bearer nor token nor Basic with a password");
    if let Some(token) = bearer(value)? {
        return Ok(token);
    }
    match value.as_bytes().split_at_checked("token ".len()) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"token ") => {
            let text = std::str::from_utf8(key).ok().filter(|text| !text.is_empty() && is_b64token(text.as_bytes()));
            text.map(SecretString::from).ok_or(WRONG)
        }
        _ => basic_password(value).map_err(|_| WRONG),
    }
}

/// The password of `Basic` (RFC 7617), which is how proxy variables carry a credential.
fn basic_password(value: &HeaderValue) -> Result<SecretString, BadCredential> {
    const WRONG: BadCredential = BadCredential("the proxy credential is neither Bearer nor Basic with a password");
    let decoded = decode_basic(value).ok_or(WRONG)?;
    let text = std::str::from_utf8(&decoded).map_err(|_| WRONG)?;
    let (_, password) = text.split_once(':').filter(|(_, password)| !password.is_empty()).ok_or(WRONG)?;
    Ok(SecretString::from(password))
}

fn decode_basic(value: &HeaderValue) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, rest) = value.as_bytes().split_at_checked("basic ".len())?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| STANDARD.decode(rest).ok().map(Zeroizing::new))?
}

fn visible(value: &HeaderValue) -> Result<SecretString, BadCredential> {
    let text = value.to_str().map_err(|_| BadCredential("the credential has characters other than visible ASCII"))?;
    Ok(SecretString::from(text))
}

fn remove_recurrences(headers: &mut HeaderMap, credential: &Credential) {
    let carries = |name: &HeaderName, value: &HeaderValue| {
        credential.occurs_in(value.as_bytes())
            || (*name == AUTHORIZATION && decode_basic(value).is_some_and(|decoded| credential.occurs_in(&decoded)))
    };
    let names: Vec<HeaderName> =
        headers.iter().filter(|(name, value)| carries(name, value)).map(|(name, _)| name.clone()).collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;
