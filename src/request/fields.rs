//! Which fields pass the proxy, in either direction.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName};

use super::Error;

/// The field that names the upstream in reverse mode.
pub const UPSTREAM_HOST: HeaderName = HeaderName::from_static("x-upstream-host");
pub const AGENT_ID: HeaderName = HeaderName::from_static("x-agent-id");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What an upstream called the request, for its support desk; our own id has the usual name.
pub const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
/// Tells our own answers from the upstream's.
pub const ERROR: HeaderName = HeaderName::from_static("x-veilwarden-error");

/// A request nominates no more fields than this, ten times what its head may have unless configured otherwise. Each is looked
/// up, and a head has room for 30 000.
const MAX_NOMINATIONS: usize = 1024;

/// Removes from a request what is between the caller and us: hop-by-hop fields, the fields that `Connection`
/// names (RFC 9110 section 7.6.1), everything private to veilwarden, and what could steer an upstream that
/// trusts its proxy.
pub fn strip_request(headers: &mut HeaderMap) -> Result<(), Error> {
    if nominations(headers).nth(MAX_NOMINATIONS).is_some() {
        return Err(Error::Malformed("Connection names too many fields"));
    }
    remove_nominated(headers).map_err(|()| Error::Malformed("Connection names something that is no field"))?;
    remove_where(headers, |name| is_hop_by_hop(name) || is_private(name) || steers_upstream(name));
    // `Authorization_` is no credential to us and must not become one to a lenient upstream, nor `Content_Length`
    // another end of the body.
    remove_disguised(headers, &AUTHORIZATION);
    remove_disguised(headers, &CONTENT_LENGTH);
    Ok(())
}

/// Removes from an answer what is between the upstream and us, what would ask the caller for our proxy
/// credentials, and what would lead it around us.
pub fn strip_response(headers: &mut HeaderMap) {
    // An upstream that nominates nonsense gets its other nominations honoured all the same.
    let _ = remove_nominated(headers);
    remove_where(headers, |name| {
        is_hop_by_hop(name)
            || name.starts_with("x-veilwarden-")
            || matches!(name, "alt-svc" | "strict-transport-security")
    });
    // As in a request: nobody shall read another end of the body out of `Content_Length`.
    remove_disguised(headers, &CONTENT_LENGTH);
    if let Some(id) = headers.remove(REQUEST_ID) {
        headers.insert(UPSTREAM_REQUEST_ID, id);
    }
}

/// Removes every spelling of `name` that some server takes for it (`X_Api_Key` for `X-Api-Key`).
pub fn remove_spellings(headers: &mut HeaderMap, name: &HeaderName) {
    headers.remove(name);
    remove_disguised(headers, name);
}

fn remove_disguised(headers: &mut HeaderMap, name: &HeaderName) {
    let wanted = plain(name.as_str());
    let unwanted: Vec<HeaderName> =
        headers.keys().filter(|other| *other != name && plain(other.as_str()) == wanted).cloned().collect();
    for other in unwanted {
        headers.remove(other);
    }
}

/// Fields that no route may inject: they frame the message or belong to the proxy.
pub fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    is_hop_by_hop(name)
        || is_private(name)
        || matches!(name, "host" | "content-length" | "content-encoding" | "expect" | "max-forwards" | "via")
}

/// Fields that mean something only before a body: they frame, route, authenticate or describe the message (RFC 9110
/// section 6.5.1).
pub fn is_of_the_head_only(name: &HeaderName) -> bool {
    let name = plain(name.as_str());
    is_hop_by_hop(&name)
        || is_private(&name)
        || steers_upstream(&name)
        || name.starts_with("content-")
        || name.starts_with("if-")
        || name.starts_with("access-control-")
        || matches!(
            &*name,
            "authorization"
                | "www-authenticate"
                | "authentication-info"
                | "cookie"
                | "set-cookie"
                | "age"
                | "alt-svc"
                | "cache-control"
                | "date"
                | "expires"
                | "location"
                | "range"
                | "retry-after"
                | "strict-transport-security"
                | "vary"
        )
}

fn remove_where(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(&plain(name.as_str()))).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn remove_nominated(headers: &mut HeaderMap) -> Result<(), ()> {
    if !headers.contains_key(CONNECTION) {
        return Ok(());
    }
    let mut fine = Ok(());
    let mut nominated = Vec::new();
    for token in nominations(headers) {
        match HeaderName::from_bytes(token) {
            Ok(name) => nominated.push(name),
            Err(_) => fine = Err(()),
        }
    }
    for name in nominated {
        headers.remove(name);
    }
    fine
}

/// What `Connection` names, as it stands there.
fn nominations(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let tokens = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    tokens.map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// A name as lenient servers read it: everything but letters and digits is a hyphen, none at the ends.
fn plain(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Cow::Borrowed(name.trim_matches('-'));
    }
    let mapped: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Cow::Owned(mapped.trim_matches('-').to_owned())
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "proxy-connection"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-authentication-info"
            | "http2-settings"
    )
}

/// Between the caller and veilwarden only.
fn is_private(name: &str) -> bool {
    matches!(name, "x-upstream-host" | "x-session-secret" | "x-request-id" | "x-agent-id")
        || name.starts_with("x-veilwarden")
}

/// Claims about where a request comes from or what it really is, which an upstream may believe of a proxy.
fn steers_upstream(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "expect"
            | "early-data"
            | "alt-used"
            | "via"
            | "forwarded"
            | "max-forwards"
            | "proxy" // a CGI program's HTTP_PROXY ("httpoxy")
            | "x-real-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "true-client-ip"
            | "x-host"
            | "x-original-host"
            | "x-original-url"
            | "x-rewrite-url"
            | "x-http-method"
            | "x-http-method-override"
            | "x-method-override"
    ) || name.starts_with("x-forwarded")
        || name.starts_with("x-remote-")
        || name.starts_with("x-envoy-")
        || name.starts_with("impersonate-")
}

#[cfg(test)]
mod tests;
