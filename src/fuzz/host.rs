//! An accepted host has one spelling, which other parsers read in the same way.

use std::net::IpAddr;

use http::uri::Authority;

use super::text;
use crate::request::Host;

pub fn host(data: &[u8]) {
    let given = text(data);
    let Ok(host) = Host::parse(given) else { return };
    let written = host.to_string();
    assert_eq!(Host::parse(&written).as_ref(), Ok(&host), "{given:?} is no fixed point");
    assert!(written.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()), "{written:?}");
    assert!(!written.contains(['/', '?', '#', '@', '\\', '%', ',', ';']), "{written:?}");
    assert!(host.name().len() <= 253 && !host.name().is_empty(), "{written:?}");
    let authority: Authority = written.parse().unwrap_or_else(|error| panic!("{written:?} is no authority: {error}"));
    assert_eq!((authority.host(), authority.port_u16()), (host.name(), host.port()));
    let given_name = given.split_once(']').map_or_else(|| given.split(':').next().unwrap_or_default(), |_| given);
    match host.ip() {
        Some(IpAddr::V4(address)) => assert_eq!(address.to_string(), given_name, "an address in another spelling"),
        Some(IpAddr::V6(address)) => {
            assert_eq!(format!("[{address}]"), host.name());
            assert_eq!(address.to_ipv4_mapped(), None, "an IPv4 address as an IPv6 one");
        }
        // What inet_aton would take for an address must not pass for a name: each of these begins with a digit.
        None => {
            let last = host.name().rsplit('.').next().unwrap_or_default();
            assert!(!last.bytes().all(|b| b.is_ascii_digit()) && !last.starts_with("0x"), "{written:?}");
        }
    }
    assert!(host.agrees_with(&host, 443));
}
