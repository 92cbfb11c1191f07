//! `upstream_host`: what [`Names`] reads, with hints for what people write instead.

use std::net::Ipv6Addr;

use super::mistakes::quoted;
use crate::route::Names;
use crate::route::metadata::is_metadata;

/// Reads `name`, `name:port`, `1.2.3.4`, `[::1]:8443`, `*.domain`, `*.domain:port`. The error is the text for a person.
pub(super) fn parse(text: &str) -> Result<Names, String> {
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
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address stands in brackets; did you mean \"[{text}]\"?"));
    }
    if !text.is_ascii() {
        return Err("a name outside ASCII is written in its xn-- form".to_owned());
    }
    let names = Names::parse(text).map_err(|why| format!("{} is not a host: {why}", quoted(text)))?;
    if names.host().ip().is_some_and(is_metadata) {
        return Err("a metadata address is never dialled".to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_instead_of_a_host_gets_a_hint() {
        for (text, hint) in [
            ("https://a.test/v1", "did you mean \"a.test\"?"),
            ("a.test/v1", "no path and no user"),
            ("u@a.test", "no path and no user"),
            ("*.com", "write *.example.com, or each host by itself"),
            ("a*.example.com", "write *.example.com, or each host by itself"),
            ("*.10.0.0.1", "write each address by itself"),
            ("*.[::1]", "write each address by itself"),
            ("*.b\u{fc}cher.example", "xn--"),
            ("::1", "did you mean \"[::1]\"?"),
            ("b\u{fc}cher.example", "xn--"),
            ("", "must not be empty"),
            ("a.test:080", "not a plain number"),
            ("169.254.169.254", "metadata"),
            ("[fd00:ec2::254]", "metadata"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(hint), "{text:?}: {message}");
        }
        for text in [
            "api.github.com",
            "API.GitHub.com:8443",
            "localhost",
            "a_b.test",
            "10.1.2.3:80",
            "[2001:db8::1]:443",
            "a.test.",
            "*.example.com",
            "*.example.com:8443",
        ] {
            assert!(parse(text).is_ok(), "{text:?}");
        }
    }
}
