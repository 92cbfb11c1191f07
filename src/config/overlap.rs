//! Two addresses of ours of which the system gives us only one.

use std::fs;
use std::net::{IpAddr, SocketAddr};

/// Whether only one of the two can be listened on: they have a port in common, and one has it of every address.
pub(super) fn exclude(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && one.port() != 0 && (one == other || covers(a, b) || covers(b, a))
}

/// Whether a listener on `wide` takes what is sent to `narrow`.
fn covers(wide: IpAddr, narrow: IpAddr) -> bool {
    let shared = wide.is_ipv4() == narrow.is_ipv4() || (wide.is_ipv6() && takes_ipv4());
    shared && (wide.is_unspecified() || wide.is_ipv4() && wide == narrow)
}

/// Whether `[::]` takes IPv4 as well, as on every Linux that was not told otherwise (ip(7), `bindv6only`).
fn takes_ipv4() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/bindv6only").map_or(true, |set| set.trim() != "1")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpListener;

    use super::*;

    const IPS: [&str; 7] =
        ["127.0.0.1", "127.0.0.2", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"];

    /// Whether the system refuses the second beside the first; `None`: one of them is no address here. A port may happen to be
    /// somebody else's, several hardly are.
    fn is_refused(first: &str, second: &str) -> Option<bool> {
        for _ in 0..4 {
            let held = TcpListener::bind(format!("{first}:0")).ok()?;
            match TcpListener::bind(format!("{second}:{}", held.local_addr().ok()?.port())) {
                Ok(_) => return Some(false),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(_) => return None,
            }
        }
        Some(true)
    }

    #[test]
    fn what_is_refused_is_what_the_system_refuses() {
        for (first, second) in IPS.iter().flat_map(|first| IPS.map(|second| (*first, second))) {
            let [one, other] = [first, second].map(|ip| format!("{ip}:9").parse().unwrap());
            let Some(refused) = is_refused(first, second) else { continue };
            assert_eq!(exclude(one, other), refused, "{first} and {second}");
        }
    }

    #[test]
    fn the_port_that_the_system_chooses_is_always_another() {
        let [one, other] = ["0.0.0.0:0", "127.0.0.1:0"].map(|address| address.parse().unwrap());
        assert!(!exclude(one, other) && !exclude(one, one));
    }
}
