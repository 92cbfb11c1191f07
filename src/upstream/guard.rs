//! Which addresses may be dialled: the guard against requests forged towards the inside (SSRF).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use rustix::io::Errno;

use crate::route::Route;
use crate::route::metadata::{is_metadata, plain};

/// Our own listeners, known once they are bound; never an upstream.
#[derive(Debug, Clone, Default)]
pub struct Own(Arc<OnceLock<Vec<SocketAddr>>>);

impl Own {
    /// Says where we listen. Only the first call counts.
    pub fn set(&self, listeners: Vec<SocketAddr>) {
        let _ = self.0.set(listeners);
    }

    fn listens_on(&self, address: SocketAddr) -> bool {
        let listeners = self.0.get().map(Vec::as_slice).unwrap_or_default();
        // Whoever dials an unspecified address gets to a listener on loopback.
        listeners.iter().filter(|own| own.port() == address.port()).any(|own| {
            plain(own.ip()) == address.ip()
                || address.ip().is_unspecified()
                || (own.ip().is_unspecified() && is_of_this_node(address.ip()))
        })
    }
}

/// What a route's operator has agreed to.
#[derive(Debug, Clone)]
pub struct Consent {
    named: Option<IpAddr>,
    loopback: bool,
    cidrs: Vec<IpNet>,
    own: Own,
}

impl Consent {
    /// Naming an address, as `upstream_address` or as the host itself, is consent to reach it; so is
    /// `localhost` or a name below it for loopback (RFC 6761 section 6.3), and `allow_cidrs` for what lies in them.
    pub fn of(route: &Route, own: Own) -> Consent {
        let named = route.upstream_address.map(|address| address.ip()).or(route.host.ip());
        let name = route.host.name();
        let loopback = name == "localhost" || name.ends_with(".localhost");
        Consent { named, loopback, cidrs: route.allow_cidrs.clone(), own }
    }

    /// Whether the address may be dialled; if not, why, for the log.
    pub fn check(&self, address: SocketAddr) -> Result<(), String> {
        let ip = plain(address.ip());
        if is_metadata(ip) {
            return Err(format!("{ip} is a cloud metadata address"));
        }
        if self.own.listens_on(SocketAddr::new(ip, address.port())) {
            return Err(format!("{address} is our own listener"));
        }
        let agreed = self.named.is_some_and(|named| plain(named) == ip)
            || (self.loopback && ip.is_loopback())
            || self.cidrs.iter().any(|cidr| cidr.contains(&ip));
        if agreed {
            return Ok(());
        }
        match special(ip) {
            Some(kind) => Err(format!("{ip} is {kind}; list it in the route's allow_cidrs if it is meant")),
            None if is_of_this_node(ip) => {
                Err(format!("{ip} is an address of this node; list it in the route's allow_cidrs if it is meant"))
            }
            None => Ok(()),
        }
    }
}

/// What kind of address it is, if it is not one of the public internet (IANA special-purpose registries).
fn special(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        _ if ip.is_loopback() => Some("a loopback address"),
        _ if ip.is_private() => Some("a private address"),
        _ if ip.is_link_local() => Some("a link-local address"),
        (0, ..) => Some("an unspecified address"),
        (100, 64..=127, _) => Some("a shared (carrier-grade NAT) address"),
        (192, 0, 0) | (198, 18..=19, _) => Some("a special-purpose address"),
        (224.., ..) => Some("a multicast, reserved or broadcast address"),
        _ => None,
    }
}

fn special_v6(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        _ if ip.is_loopback() => Some("a loopback address"),
        [0, 0, 0, 0, 0, 0, ..] => Some("an unspecified address"),
        _ if ip.is_unicast_link_local() => Some("a link-local address"),
        _ if ip.is_unique_local() => Some("a private address"),
        _ if ip.is_multicast() => Some("a multicast address"),
        [0xfec0..=0xfeff, ..] => Some("a site-local address"),
        [0x100, 0, 0, 0, ..] => Some("a special-purpose address"),
        [0x2001, 0, ..] => Some("a tunnelling (Teredo) address"),
        _ => None,
    }
}

/// Only an address of this node can be bound to. Asked once a connection, not once a call.
fn is_of_this_node(ip: IpAddr) -> bool {
    may_be_of_this_node(&UdpSocket::bind((ip, 0)))
}

/// What is not known, because there are no descriptors left for instance, counts as this node's.
fn may_be_of_this_node<T>(bound: &io::Result<T>) -> bool {
    let Err(error) = bound else { return true };
    ![Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT].map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent(cidrs: &[&str]) -> Consent {
        let cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        Consent { named: None, loopback: false, cidrs, own: Own::default() }
    }

    fn address(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 443)
    }

    #[test]
    fn m01_m03_the_inside_is_refused_unless_listed() {
        for ip in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "2001:0:7f00:1::1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "fc00::1",
            "fe80::1",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "169.254.1.1",
            "198.18.0.1",
        ] {
            assert!(consent(&[]).check(address(ip)).is_err(), "{ip}");
        }
        for ip in ["93.184.216.34", "2606:2800:220:1::1"] {
            assert!(consent(&[]).check(address(ip)).is_ok(), "{ip}");
        }
        assert!(consent(&["10.0.0.0/8"]).check(address("10.0.0.1")).is_ok());
        assert!(consent(&["10.0.0.0/8"]).check(address("::ffff:10.0.0.1")).is_ok());
        assert!(consent(&["10.0.0.0/8"]).check(address("192.168.0.1")).is_err());
    }

    #[test]
    fn m02_metadata_is_refused_always() {
        for ip in [
            "169.254.169.254",
            "fd00:ec2::254",
            "169.254.170.2",
            "100.100.100.200",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "168.63.129.16",
        ] {
            let mut consent = consent(&["0.0.0.0/0", "::/0"]);
            consent.named = Some(ip.parse().unwrap());
            assert!(consent.check(address(ip)).is_err(), "{ip}");
        }
    }

    #[test]
    fn m08_our_own_listener_is_no_upstream() {
        let consent = consent(&["127.0.0.0/8"]);
        consent.own.set(vec!["127.0.0.1:443".parse().unwrap(), "0.0.0.0:8088".parse().unwrap()]);
        assert!(consent.check(address("127.0.0.1")).is_err());
        assert!(consent.check("127.0.0.1:8088".parse().unwrap()).is_err());
        assert!(consent.check("127.0.0.1:8443".parse().unwrap()).is_ok());
        // The kernel takes an unspecified address for loopback.
        let consent = Consent { named: Some([0, 0, 0, 0].into()), ..consent };
        assert!(consent.check("0.0.0.0:443".parse().unwrap()).is_err());
        assert!(consent.check("0.0.0.0:444".parse().unwrap()).is_ok());
    }

    #[test]
    fn m08_an_address_that_cannot_be_looked_into_counts_as_this_nodes() {
        let failed = |errno: Errno| io::Result::<()>::Err(errno.into());
        assert!(may_be_of_this_node(&Ok(())) && may_be_of_this_node(&failed(Errno::MFILE)));
        assert!(!may_be_of_this_node(&failed(Errno::ADDRNOTAVAIL)));
        assert!(!may_be_of_this_node(&failed(Errno::AFNOSUPPORT)), "without IPv6 there is no such address");
    }
}
