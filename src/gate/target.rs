//! The request target (RFC 9112 section 3.2), in bytes that the HTTP parser takes, so that no refusal is left to it.

use std::net::Ipv6Addr;

use memchr::{memchr, memchr2};

use super::Refusal;

const NO_CONNECT: &str = "CONNECT is not taken here: inside of a tunnel, or because forward mode is off";
const NO_PATH: &str = "the request target is not a path: send the path and name the upstream in X-Upstream-Host";

/// Origin-form; with `forward` also authority-form for CONNECT, and absolute-form with `http` for everything else.
pub fn check(method: &[u8], target: &[u8], forward: bool) -> Result<(), Refusal> {
    if method == b"CONNECT" {
        return if forward { check_authority_form(target) } else { Err(Refusal::Malformed(NO_CONNECT)) };
    }
    if target.first() == Some(&b'/') {
        return check_path(target);
    }
    match scheme(target) {
        Some((b"http", rest)) if forward => check_absolute(method, rest),
        Some((b"https", _)) if forward => {
            Err(Refusal::Target("the request target is an https URL: use CONNECT for it, as HTTPS_PROXY does"))
        }
        _ => Err(Refusal::Target(NO_PATH)),
    }
}

/// `host:port`, the port written out (RFC 9110 section 9.3.6).
fn check_authority_form(target: &[u8]) -> Result<(), Refusal> {
    match authority(target) {
        Some(Port::Written) => Ok(()),
        Some(Port::Absent) => Err(Refusal::Target("the target of CONNECT has no port")),
        None => Err(Refusal::Target("the target of CONNECT is not a host and a port")),
    }
}

/// What follows `http://`.
fn check_absolute(method: &[u8], rest: &[u8]) -> Result<(), Refusal> {
    let end = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    if authority(&rest[..end]).is_none() {
        return Err(Refusal::Target("the URL's host is not one (a user in front of it is never taken)"));
    }
    if method == b"OPTIONS" && end == rest.len() {
        return Err(Refusal::Target("OPTIONS for a whole server is not passed on"));
    }
    check_path(&rest[end..])
}

fn check_path(target: &[u8]) -> Result<(), Refusal> {
    let path_end = memchr(b'?', target).unwrap_or(target.len());
    let raw = |b: &u8| !b.is_ascii_graphic() || matches!(b, b'"' | b'<' | b'>');
    if target.iter().any(raw) || memchr(b'`', &target[..path_end]).is_some() {
        return Err(Refusal::Target("the request target has a byte that must be percent-encoded"));
    }
    if memchr(b'#', target).is_some() {
        return Err(Refusal::Target("the request target has a fragment"));
    }
    Ok(())
}

/// The scheme, one of the two that are known, and what follows its `://`.
fn scheme(target: &[u8]) -> Option<(&'static [u8], &[u8])> {
    [&b"http"[..], b"https"].into_iter().find_map(|name| {
        let (scheme, rest) = target.split_at_checked(name.len())?;
        let rest = rest.strip_prefix(b"://")?;
        scheme.eq_ignore_ascii_case(name).then_some((name, rest))
    })
}

enum Port {
    Written,
    Absent,
}

/// A name, by its characters, or a bracketed address, with perhaps a port. Whether the name is one is asked when it is
/// known who asks.
fn authority(text: &[u8]) -> Option<Port> {
    let (host, port) = match text.strip_prefix(b"[") {
        Some(rest) => {
            let (address, after) = rest.split_at(memchr(b']', rest)?);
            // The HTTP parser counts colons; nothing that is no address may be left to it.
            std::str::from_utf8(address).ok()?.parse::<Ipv6Addr>().ok()?;
            (address, &after[1..])
        }
        None => {
            let (name, port) = text.split_at(memchr(b':', text).unwrap_or(text.len()));
            let fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            (name.iter().all(fine).then_some(name)?, port)
        }
    };
    match port {
        _ if host.is_empty() => None,
        [] => Some(Port::Absent),
        [b':', digits @ ..] if matches!(digits.len(), 1..=5) && digits.iter().all(u8::is_ascii_digit) => {
            Some(Port::Written)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_takes_a_host_and_a_port() {
        for target in ["a.test:443", "A.TEST.:8443", "127.0.0.1:443", "[::1]:443", "a_b.test:1", "a.test:99999"] {
            assert!(check(b"CONNECT", target.as_bytes(), true).is_ok(), "{target}");
            assert!(check(b"CONNECT", target.as_bytes(), false).is_err(), "{target}");
            assert!(check(b"GET", target.as_bytes(), true).is_err(), "{target}");
        }
        for target in [
            "",
            ":443",
            "a.test",
            "a.test:",
            "a.test:443/",
            "/a.test:443",
            "http://a.test:443",
            "u@a.test:443",
            "u:p@a.test:443",
            "a.test:443?x",
            "a.test:443#x",
            "[a.test]:443",
            "[::1:443",
            "[]:443",
            "[1::2::3]:443",
            "[::::::::::1]:443",
            "a.test:44 3",
            "a.test:0x50",
            "a.test:443:443",
            "a.test,b.test:443",
            "a%2etest:443",
            "*",
            "a.test:000443",
        ] {
            assert!(check(b"CONNECT", target.as_bytes(), true).is_err(), "{target}");
        }
    }

    #[test]
    fn absolute_form_is_http_with_a_plain_host() {
        for target in ["http://a.test/x", "HTTP://a.test/", "http://a.test", "http://a.test?x=1", "http://[::1]:80/x"] {
            assert!(check(b"GET", target.as_bytes(), true).is_ok(), "{target}");
            assert!(check(b"GET", target.as_bytes(), false).is_err(), "{target}");
        }
        for target in [
            "https://a.test/x",
            "ftp://a.test/x",
            "http:/a.test/x",
            "http:///x",
            "http://:80/",
            "http://u@a.test/",
            "http://u:p@a.test/x",
            "http://a.test:80:80/",
            "http://a.test#f",
            "http://a.test/#f",
            "http://a.test\\b/",
            "http://a.test/`",
            "http://a.test:/x",
            "http://[a.test]/x",
            "http://",
            "httpx://a.test/",
            "//a.test/x\x7f",
        ] {
            assert!(check(b"GET", target.as_bytes(), true).is_err(), "{target}");
        }
        assert!(check(b"OPTIONS", b"http://a.test", true).is_err());
        assert!(check(b"OPTIONS", b"http://a.test/", true).is_ok());
    }

    #[test]
    fn a_refused_target_says_what_to_send() {
        for (target, forward, says) in [
            ("https://a.test/x", true, "CONNECT"),
            ("https://a.test/x", false, "X-Upstream-Host"),
            ("ftp://a.test/x", true, "X-Upstream-Host"),
        ] {
            let refusal = check(b"GET", target.as_bytes(), forward).unwrap_err();
            assert!(refusal.to_string().contains(says), "{target} {forward}: {refusal}");
        }
    }
}
