//! Which hosts an entry of `routes` is for: one, or every name one label below a domain.

use std::fmt;

use crate::request::Host;
use crate::request::host::NotAHost;

/// What `upstream_host` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// This host alone.
    One(Host),
    /// `*.example.com`: every name of one label before this domain, neither the domain itself nor what lies deeper.
    Below(Host),
}

const NOT_A_LABEL: NotAHost = NotAHost(
    "\"*\" stands for the whole first label of a name and for nothing else: write *.example.com, or each host by itself",
);
const TOO_SHORT: NotAHost = NotAHost(
    "behind \"*.\" stands a domain of at least two labels, which should be wholly yours: write *.example.com, or each \
     host by itself",
);
const AN_ADDRESS: NotAHost = NotAHost("addresses have no wildcard: write each address by itself");

impl Names {
    /// Reads a host as [`Host::parse`] does, or `*.` and a domain of at least two labels, with an optional port.
    pub fn parse(text: &str) -> Result<Names, NotAHost> {
        if !text.contains('*') {
            return Host::parse(text).map(Names::One);
        }
        let domain = text.strip_prefix("*.").filter(|domain| !domain.contains('*')).ok_or(NOT_A_LABEL)?;
        if is_like_an_address(domain) {
            return Err(AN_ADDRESS);
        }
        let domain = Host::parse(domain)?;
        if !domain.name().contains('.') {
            return Err(TOO_SHORT);
        }
        // Else no name would be short enough to lie below it.
        Host::parse(&format!("x.{domain}"))?;
        Ok(Names::Below(domain))
    }

    /// The host itself, or the domain that the others lie below.
    pub fn host(&self) -> &Host {
        match self {
            Names::One(host) | Names::Below(host) => host,
        }
    }

    /// The same with another port, or none.
    pub fn with_port(self, port: Option<u16>) -> Names {
        match self {
            Names::One(host) => Names::One(host.with_port(port)),
            Names::Below(domain) => Names::Below(domain.with_port(port)),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Names::One(host) => write!(f, "{host}"),
            Names::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// In brackets, or with a number where a top-level domain would stand.
fn is_like_an_address(domain: &str) -> bool {
    let name = domain.split(':').next().unwrap_or_default();
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    domain.starts_with('[') || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_the_whole_first_label_before_a_domain() {
        for (text, canonical) in [
            ("*.example.com", "*.example.com"),
            ("*.Example.COM.", "*.example.com"),
            ("*.example.com:8443", "*.example.com:8443"),
            ("*.ns.svc.cluster.local", "*.ns.svc.cluster.local"),
            ("*.dev.localhost", "*.dev.localhost"),
            ("*.a_b.test", "*.a_b.test"),
            ("*.xn--bcher-kva.example", "*.xn--bcher-kva.example"),
        ] {
            let names = Names::parse(text).unwrap();
            assert!(matches!(names, Names::Below(_)), "{text}");
            assert_eq!(names.to_string(), canonical, "{text}");
        }
        assert_eq!(Names::parse("A.test:80"), Host::parse("a.test:80").map(Names::One));
    }

    #[test]
    fn any_other_wildcard_is_refused_with_what_to_write() {
        let long = format!("*.{}.test", ["a"; 124].join("."));
        for (text, why) in [
            ("*", "whole first label"),
            ("*:443", "whole first label"),
            ("**.a.test", "whole first label"),
            ("*.*.test", "whole first label"),
            ("a*.a.test", "whole first label"),
            ("*a.a.test", "whole first label"),
            ("a.*.test", "whole first label"),
            ("a.test.*", "whole first label"),
            ("*.com", "at least two labels"),
            ("*.com.", "at least two labels"),
            ("*.localhost:8443", "at least two labels"),
            ("*.10.0.0.1", "no wildcard"),
            ("*.0.0.1:80", "no wildcard"),
            ("*.1", "no wildcard"),
            ("*.10.0.0.1.", "no wildcard"),
            ("*.[::1]", "no wildcard"),
            ("*.[::1]:443", "no wildcard"),
            ("*.", "empty"),
            ("*..test", "empty"),
            ("*.a.0x7f", "unusual spelling"),
            ("*.-a.test", "hyphen"),
            ("*.a.test:", "port"),
            ("*.a.test:080", "port"),
            ("*.a test.test", "character"),
            (&long, "longer than 253"),
        ] {
            let NotAHost(message) = Names::parse(text).unwrap_err();
            assert!(message.contains(why), "{text:?}: {message}");
        }
    }
}
