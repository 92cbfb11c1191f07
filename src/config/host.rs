//! `upstream_host`: the one spelling that a route's host may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::is_metadata;
use super::mistakes::quoted;

/// A host name (RFC 1123: letters, digits and hyphens) or an IP literal, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Host {
    /// In lower case; an IPv6 literal in brackets.
    pub name: String,
    pub port: Option<u16>,
}

impl Host {
    /// Reads `name`, `name:port`, `1.2.3.4`, `[::1]:8443`. The error is the text for a person.
    pub fn parse(text: &str) -> Result<Host, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split('/').next().unwrap_or_default();
            return Err(format!("is a host without a scheme; did you mean {}?", quoted(host)));
        }
        if text.contains(['/', '?', '#', '@']) {
            return Err(format!("{} is not a host; a host has no path and no user", quoted(text)));
        }
        if text.contains('*') {
            return Err("wildcard hosts are not supported yet".to_owned());
        }
        let (name, port) = split_port(text)?;
        let name = match name.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(literal)) => format!("[{}]", ipv6(literal)?),
            Some(None) => return Err(format!("{} lacks its closing bracket", quoted(text))),
            None => domain(name)?,
        };
        Ok(Host { name, port })
    }

    /// The port that a call goes to.
    pub fn effective_port(&self, scheme_default: u16) -> u16 {
        self.port.unwrap_or(scheme_default)
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address stands in brackets; did you mean \"[{text}]\"?"));
    }
    let after_literal = text.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = text[after_literal..].find(':').map(|at| at + after_literal) else { return Ok((text, None)) };
    let (name, port) = (&text[..colon], &text[colon + 1..]);
    let plain = !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if plain && port > 0 => Ok((name, Some(port))),
        _ => Err(format!("{} is not a port", quoted(port))),
    }
}

fn ipv6(literal: &str) -> Result<Ipv6Addr, String> {
    let address: Ipv6Addr = literal.parse().map_err(|_| format!("{} is not an IPv6 address", quoted(literal)))?;
    if address.to_string() != literal {
        return Err(format!("not the usual spelling of this address; did you mean \"[{address}]\"?"));
    }
    reachable(IpAddr::V6(address)).map(|()| address)
}

fn domain(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    if !name.is_ascii() {
        return Err("a name outside ASCII is written in its xn-- form".to_owned());
    }
    if let Some(bare) = name.strip_suffix('.') {
        return Err(format!("a host has no dot at its end; did you mean {}?", quoted(bare)));
    }
    let last = lower.rsplit('.').next().unwrap_or_default();
    // What ends in a number is an address to a resolver, in one of many spellings (`127.1`, `0x7f000001`).
    if last.starts_with("0x") || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) {
        let address: Ipv4Addr = lower.parse().map_err(|_| format!("{} is not an IPv4 address", quoted(name)))?;
        return reachable(IpAddr::V4(address)).map(|()| lower);
    }
    if lower.len() > 253 || !lower.split('.').all(is_label) {
        return Err(format!("{} is not a host name: letters, digits, hyphens and dots", quoted(name)));
    }
    Ok(lower)
}

fn reachable(ip: IpAddr) -> Result<(), String> {
    if is_metadata(ip) { Err("a metadata address is never dialled".to_owned()) } else { Ok(()) }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r24_a_host_is_a_name_or_a_literal_with_an_optional_port() {
        for (text, name, port) in [
            ("api.github.com", "api.github.com", None),
            ("API.GitHub.com:8443", "api.github.com", Some(8443)),
            ("localhost", "localhost", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("10.1.2.3:80", "10.1.2.3", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(443)),
            ("1and1.com", "1and1.com", None),
        ] {
            assert_eq!(Host::parse(text), Ok(Host { name: name.to_owned(), port }), "{text}");
        }
    }

    #[test]
    fn a_host_in_any_other_spelling_is_refused() {
        for text in [
            "",
            "https://a.test",
            "a.test/",
            "a.test/v1",
            "u@a.test",
            "a.test?",
            "a.test#",
            "*.example.com",
            "a..test",
            ".a",
            "-a.test",
            "a-.test",
            "a_b.test",
            "a b",
            "a\n",
            "bücher.example",
            "a.test.",
            "a.test:",
            "a.test:0",
            "a.test:080",
            "a.test:65536",
            "a.test:+80",
            "a.test:80:80",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "1.2.3.4.5",
            "256.1.1.1",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]x:80",
            "[0:0:0:0:0:0:0:1]",
            "[::FFFF:1.2.3.4]",
            "[a.test]",
            "[fe80::1%eth0]",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
        ] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
        assert!(Host::parse(&format!("{}.test", "a".repeat(64))).is_err());
        assert!(Host::parse(&format!("{}test", "a.".repeat(130))).is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_its_own_canonical_form(text in "[a-zA-Z0-9.:\\[\\]-]{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.name), Ok(Host { name: host.name.clone(), port: None }));
                prop_assert_eq!(host.name.to_ascii_lowercase(), host.name);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = Host::parse(&text);
        }
    }
}
