//! A target that the gate lets through is one that the HTTP parser takes, and takes for the same.

use http::Uri;

use super::text;
use crate::gate::target;
use crate::request::Host;

pub fn connect(data: &[u8]) {
    assert!(target::check(b"CONNECT", data, false).is_err(), "a CONNECT where there is no forward mode");
    if target::check(b"CONNECT", data, true).is_ok() {
        authority_form(data);
    }
    for (method, forward) in [(&b"GET"[..], true), (b"GET", false), (b"OPTIONS", true)] {
        if target::check(method, data, forward).is_ok() {
            other_form(data, forward);
        }
    }
}

fn parsed(target: &[u8]) -> Uri {
    Uri::try_from(target).unwrap_or_else(|error| panic!("{} passes and is no target: {error}", target.escape_ascii()))
}

fn authority_form(target: &[u8]) {
    let uri = parsed(target);
    assert!(uri.scheme().is_none() && uri.path_and_query().is_none(), "{uri:?}");
    let authority = uri.authority().expect("an authority");
    assert_eq!(authority.as_str().as_bytes(), target);
    assert!(!authority.as_str().contains('@'), "{authority}");
    let (_, port) = authority.as_str().rsplit_once(':').expect("a port");
    assert!((1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()), "{authority}");
    if let Ok(host) = Host::parse(authority.as_str()) {
        let name = authority.host().to_ascii_lowercase();
        assert_eq!(host.port(), port.parse().ok(), "{authority}");
        assert!(host.ip().is_some() || host.name() == name.strip_suffix('.').unwrap_or(&name), "{authority}");
    }
}

fn other_form(target: &[u8], forward: bool) {
    let uri = parsed(target);
    assert!(!target.contains(&b'#') && target.is_ascii(), "{}", target.escape_ascii());
    match uri.authority() {
        None => assert_eq!(uri.path_and_query().map(|target| target.as_str().as_bytes()), Some(target)),
        Some(authority) => {
            assert!(forward && uri.scheme_str() == Some("http"), "{uri:?}");
            assert!(!authority.as_str().contains('@') && !authority.host().is_empty(), "{uri:?}");
            let rest = text(&target["http://".len() + authority.as_str().len()..]);
            let path = uri.path_and_query().map_or("", |target| target.as_str());
            assert!(path == rest || path == format!("/{rest}"), "{path:?} of {uri:?}");
        }
    }
}
