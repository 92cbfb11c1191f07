//! A host name, and its port, in one canonical form (RFC 3986 section 3.2.2, RFC 1123 section 2.1).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// A canonical host with the port that was written, if any. Two spellings of one host compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

/// The text is no host; says why in words fit for a caller and a configuration error alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAHost(pub &'static str);

impl Host {
    /// Reads `name`, `name:port`, `IPv4[:port]` or `[IPv6][:port]`. Case and one trailing dot are normalised;
    /// anything that two parsers could read differently is refused, IP addresses in other than their canonical
    /// spelling included.
    pub fn parse(text: &str) -> Result<Host, NotAHost> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) =
                    rest.split_once(']').ok_or(NotAHost("the bracket of an IPv6 address is not closed"))?;
                let name = format!("[{}]", canonical_ipv6(address)?);
                match after.strip_prefix(':') {
                    Some(port) => (name, Some(port)),
                    None if after.is_empty() => (name, None),
                    None => return Err(NotAHost("something other than a port follows the IPv6 address")),
                }
            }
            None => match text.split_once(':') {
                Some((name, port)) => (canonical_name(name)?, Some(port)),
                None => (canonical_name(text)?, None),
            },
        };
        Ok(Host { name, port: port.map(parse_port).transpose()? })
    }

    /// Lower-case name, or an address as it stands in a URI (IPv6 in brackets).
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same host with another port, or none.
    pub fn with_port(self, port: Option<u16>) -> Host {
        Host { name: self.name, port }
    }

    /// Whether both mean the same, a port that was not written being `default`.
    pub fn agrees_with(&self, other: &Host, default: u16) -> bool {
        self.name == other.name && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }

    /// The address when the host is an IP literal.
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        self.name.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Plain decimal without leading zeros, 1 to 65535.
fn parse_port(text: &str) -> Result<u16, NotAHost> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotAHost("the port is not a plain number"));
    }
    text.parse().map_err(|_| NotAHost("the port is out of range"))
}

fn canonical_name(text: &str) -> Result<String, NotAHost> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.is_empty() {
        return Err(NotAHost("the host is empty"));
    }
    if bare.len() > MAX_NAME {
        return Err(NotAHost("the host is longer than 253 characters"));
    }
    let name = bare.to_ascii_lowercase();
    for label in name.split('.') {
        check_label(label)?;
    }
    // Parsers disagree on numbers in the last place (127.1, 0x7f.1, 2130706433): only a dotted quad passes.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
        let canonical = text.parse::<Ipv4Addr>().is_ok_and(|address| address.to_string() == text);
        return if canonical { Ok(name) } else { Err(NotAHost("the host is an address in an unusual spelling")) };
    }
    Ok(name)
}

/// Letters, digits and inner hyphens; an underscore too, which some names have (a route has to name it).
fn check_label(label: &str) -> Result<(), NotAHost> {
    if label.is_empty() || label.len() > MAX_LABEL {
        return Err(NotAHost("a label of the host is empty or longer than 63 characters"));
    }
    if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(NotAHost("the host has a character that no host name has"));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NotAHost("a label of the host begins or ends with a hyphen"));
    }
    Ok(())
}

fn canonical_ipv6(text: &str) -> Result<Ipv6Addr, NotAHost> {
    let address: Ipv6Addr = text.parse().map_err(|_| NotAHost("the brackets hold no IPv6 address"))?;
    if address.to_ipv4_mapped().is_some() {
        return Err(NotAHost("the host is an IPv4 address in IPv6 spelling"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn b05_spellings_of_one_host_become_one() {
        for (text, canonical) in [
            ("a.test", "a.test"),
            ("A.TEST", "a.test"),
            ("a.test.", "a.test"),
            ("a.test:8443", "a.test:8443"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0::1]", "[::1]"),
            ("a_b.test", "a_b.test"),
            ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ] {
            assert_eq!(Host::parse(text).map(|h| h.to_string()).as_deref(), Ok(canonical), "{text:?}");
        }
    }

    #[test]
    fn m07_what_two_parsers_could_read_differently_is_no_host() {
        let long_label = format!("{}.test", "a".repeat(64));
        let long_name = format!("{}test", "a.".repeat(125));
        for text in [
            "",
            ".",
            "a..test",
            "a.test..",
            "-a.test",
            "a-.test",
            "xn--a-.test",
            &long_label,
            &long_name,
            "a.test:",
            "a.test:0443",
            "a.test:99999",
            "a.test:0x50",
            "a.test:+80",
            "a.test:80:80",
            "[::1",
            "[::1]x",
            "[a.test]:443",
            "[::ffff:7f00:1]",
            "u@a.test",
            "a.test/x",
            "a.test@b.test",
            "a.test#b.test",
            "a.test?b.test",
            "a.test\\b.test",
            "http://a.test",
            "a%2etest",
            "a.test%00.b.test",
            "a.test, b.test",
            "a.test\tb.test",
            " a.test",
            "\u{ff41}.test",
            "a\u{3002}test",
            "\u{430}test",
            "2130706433",
            "0177.0.0.1",
            "0x7f.1",
            "127.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "::1",
        ] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_host_has_a_name_perhaps_a_port_and_perhaps_an_address() {
        for (text, name, port, address) in [
            ("A.test:8443", "a.test", Some(8443), None),
            ("a.test", "a.test", None, None),
            ("127.0.0.1:1", "127.0.0.1", Some(1), Some("127.0.0.1")),
            ("[::1]:65535", "[::1]", Some(65535), Some("::1")),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!((host.name(), host.port()), (name, port), "{text}");
            assert_eq!(host.ip(), address.map(|address| address.parse().unwrap()), "{text}");
            for other in [None, Some(7)] {
                let moved = host.clone().with_port(other);
                assert_eq!((moved.name(), moved.port()), (name, other), "{text}");
            }
        }
    }

    #[test]
    fn hosts_agree_when_name_and_port_do() {
        for (one, other, agree) in [
            ("a.test", "a.test", true),
            ("a.test:443", "A.test", true),
            ("a.test:443", "a.test:443", true),
            ("a.test", "b.test", false),
            ("a.test:80", "a.test", false),
            ("a.test:80", "b.test:443", false),
        ] {
            let (left, right) = (Host::parse(one).unwrap(), Host::parse(other).unwrap());
            assert_eq!((left.agrees_with(&right, 443), right.agrees_with(&left, 443)), (agree, agree), "{one} {other}");
        }
    }

    #[test]
    fn names_and_labels_have_their_longest() {
        let label = |n: usize| Host::parse(&format!("{}.test", "a".repeat(n)));
        assert!(label(63).is_ok());
        assert!(label(64).is_err());
        let name = |n: usize| Host::parse(&format!("{}{}", "a.".repeat(100), "b".repeat(n - 200)));
        assert!(name(253).is_ok());
        assert!(name(254).is_err());
    }

    proptest! {
        #[test]
        fn a_canonical_host_is_a_fixed_point(text in "[a-zA-Z0-9.:_\\[\\]-]{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
        }
    }
}
