//! Whatever fields a caller sends, none that is not meant for the upstream leaves, and the credential in none.

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;

use crate::request::{credential, fields as filter, trailers};

const INJECTED: HeaderName = HeaderName::from_static("x-api-key");

/// Names that never pass, as a server reads them that takes an underscore for a hyphen.
const NEVER: [&str; 25] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "host",
    "expect",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "x-remote-user",
    "impersonate-user",
    "x-original-url",
    "x-http-method-override",
    "x-upstream-host",
    "x-session-secret",
    "x-veilwarden-token",
    "proxy",
];

/// A byte of switches, then lines `name: value`.
pub fn fields(data: &[u8]) {
    let Some((&switches, lines)) = data.split_first() else { return };
    let mut headers = HeaderMap::new();
    for line in lines.split(|b| *b == b'\n').take(64) {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    answer(headers.clone());
    behind_a_body(headers.clone());
    request(headers, switches);
}

fn request(mut headers: HeaderMap, switches: u8) {
    let slots: &[HeaderName] = if switches & 2 == 2 { &[INJECTED] } else { &[] };
    let taken = credential::take(&mut headers, switches & 1 == 1, slots);
    let nominated = nominated(&headers);
    if filter::strip_request(&mut headers).is_err() {
        return;
    }
    let once = headers.clone();
    assert!(filter::strip_request(&mut headers).is_ok() && headers == once, "a second time takes more out");
    for name in headers.keys() {
        let plain = plain(name);
        assert!(!NEVER.contains(&&*plain), "{name} leaves");
        assert!(!nominated.contains(name), "{name} was nominated and leaves");
        assert!(plain != "content-length" || *name == http::header::CONTENT_LENGTH, "{name} leaves beside the length");
        assert!(plain != "authorization" || *name == http::header::AUTHORIZATION, "{name} leaves for a credential");
    }
    if let Ok(Some(credential)) = taken {
        let secret = credential.expose();
        let recurs = |value: &HeaderValue| memmem::find(value.as_bytes(), secret.as_bytes()).is_some();
        assert!(secret.len() < 16 || !headers.values().any(recurs), "the credential leaves in {headers:?}");
    }
    filter::remove_spellings(&mut headers, &INJECTED);
    assert!(!headers.keys().any(|name| plain(name) == INJECTED.as_str()), "{headers:?}");
}

fn answer(mut headers: HeaderMap) {
    filter::strip_response(&mut headers);
    for name in headers.keys() {
        let plain = plain(name);
        let hop = NEVER.iter().take(10).any(|never| *never == plain);
        assert!(!hop && !["alt-svc", "strict-transport-security"].contains(&&*plain), "{name} returns");
        assert!(plain != "content-length" || *name == http::header::CONTENT_LENGTH, "{name} returns beside the length");
    }
    assert!(!headers.contains_key("x-request-id"), "another id returns beside ours");
}

fn behind_a_body(mut headers: HeaderMap) {
    if trailers::clean(&mut headers).is_ok() {
        let passes = |name: &HeaderName| !NEVER.contains(&&*plain(name)) && !plain(name).starts_with("content-");
        assert!(headers.keys().all(passes), "{headers:?}");
    }
}

/// The fields that `Connection` names.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(http::header::CONNECTION);
    let tokens = values.iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok()).collect()
}

fn plain(name: &HeaderName) -> String {
    let mapped: String = name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    mapped.trim_matches('-').to_owned()
}
