//! From a host name to addresses, with no search domain ever tried.
//!
//! The system's resolver takes a name with a trailing dot as absolute, but then no longer finds it in the hosts
//! file, where Kubernetes puts a pod's `hostAliases`. So that file is read here first.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// A name may have so many addresses; more are ignored.
const MAX_ADDRESSES: usize = 16;
const HOSTS_FILE: &str = "/etc/hosts";

/// The addresses of a canonical host name.
pub async fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let with_port = |ip: IpAddr| SocketAddr::new(ip, port);
    if let Ok(hosts) = tokio::fs::read_to_string(Path::new(HOSTS_FILE)).await {
        let listed: Vec<SocketAddr> = listed(&hosts, name).map(with_port).take(MAX_ADDRESSES).collect();
        if !listed.is_empty() {
            return Ok(listed);
        }
    }
    // RFC 6761 section 6.3: these names never go to a name server.
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![with_port(Ipv4Addr::LOCALHOST.into()), with_port(Ipv6Addr::LOCALHOST.into())]);
    }
    let absolute = format!("{name}.");
    let found = tokio::net::lookup_host((absolute.as_str(), port)).await?;
    Ok(found.take(MAX_ADDRESSES).collect())
}

/// The addresses that a hosts file (hosts(5)) gives a name.
fn listed<'a>(hosts: &'a str, name: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    hosts.lines().filter_map(move |line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_hosts_file_is_found_there() {
        let hosts =
            "127.0.0.1\tlocalhost\n# 10.0.0.1 a.test\n10.0.0.2 other A.test # b.test\n::1 a.test\nnonsense a.test\n";
        let find = |name| listed(hosts, name).map(|ip| ip.to_string()).collect::<Vec<_>>();
        assert_eq!(find("a.test"), ["10.0.0.2", "::1"]);
        assert!(find("b.test").is_empty() && find("test").is_empty());
    }

    #[tokio::test]
    async fn localhost_is_this_machine_without_asking_anyone() {
        for name in ["localhost", "anything.localhost"] {
            let found = resolve(name, 80).await.unwrap();
            assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{name}: {found:?}");
        }
    }
}
