//! From a host name to addresses, with no search domain ever tried.
//!
//! The system's resolver takes a name with a trailing dot as absolute, but then no longer finds it in the hosts
//! file, where Kubernetes puts a pod's `hostAliases`. So that file is read here first.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// A name may have so many addresses; more are ignored.
const MAX_ADDRESSES: usize = 16;
/// Questions for one route's names at the same time. Each occupies a thread, also when its call has given up long ago.
const QUESTIONS: usize = 4;
const HOSTS_FILE: &str = "/etc/hosts";

/// Finds the addresses of one route's names. Nothing is remembered. Cloning shares the places of those who ask.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<Semaphore>);

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver(Arc::new(Semaphore::new(QUESTIONS)))
    }
}

impl Resolver {
    /// The addresses of a canonical host name.
    pub async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(hosts) = tokio::fs::read_to_string(Path::new(HOSTS_FILE)).await {
            let listed = addresses(listed(&hosts, name), port);
            if !listed.is_empty() {
                return Ok(listed);
            }
        }
        // RFC 6761 section 6.3: these names never go to a name server.
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(addresses([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into_iter(), port));
        }
        let absolute = format!("{name}.");
        let ask = move || {
            let found = (absolute.as_str(), port).to_socket_addrs()?;
            Ok(addresses(found.map(|address| address.ip()), port))
        };
        self.ask(ask).await
    }

    /// The system's resolver waits for name servers in a thread, and nobody can stop it.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question();
            drop(place);
            answer
        });
        asked.await.map_err(io::Error::other)?
    }
}

fn addresses(found: impl Iterator<Item = IpAddr>, port: u16) -> Vec<SocketAddr> {
    found.map(|ip| SocketAddr::new(ip, port)).take(MAX_ADDRESSES).collect()
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

    #[test]
    fn k20_of_a_thousand_addresses_few_are_tried() {
        let hosts: String = (0..1000).map(|n| format!("10.0.{}.{} a.test\n", n / 250, n % 250)).collect();
        assert_eq!(addresses(listed(&hosts, "a.test"), 80).len(), MAX_ADDRESSES);
    }

    #[tokio::test]
    async fn k20_a_name_server_that_is_silent_occupies_few_threads() {
        let resolver = Resolver::default();
        let (answer, answers) = std::sync::mpsc::sync_channel::<()>(QUESTIONS + 1);
        let answers = Arc::new(std::sync::Mutex::new(answers));
        let (begun, mut asked) = tokio::sync::mpsc::channel(2 * QUESTIONS);
        // The hosts of a wildcard have one each, with the places of all.
        let ask = |resolver: Resolver| {
            let (answers, begun) = (answers.clone(), begun.clone());
            tokio::spawn(async move {
                let question = move || {
                    begun.blocking_send(()).unwrap();
                    answers.lock().unwrap().recv().map_err(io::Error::other)
                };
                resolver.ask(question).await
            })
        };
        let calls: Vec<_> = (0..20).map(|_| ask(resolver.clone())).collect();
        for _ in 0..QUESTIONS {
            asked.recv().await.unwrap();
        }
        // That nobody waits for them any more changes nothing about the threads.
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        let late = ask(resolver.clone());
        tokio::task::yield_now().await;
        assert!(asked.try_recv().is_err() && resolver.0.available_permits() == 0);
        for _ in 0..=QUESTIONS {
            answer.send(()).unwrap();
        }
        assert!(late.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn localhost_is_this_machine_without_asking_anyone() {
        for name in ["localhost", "anything.localhost"] {
            let found = Resolver::default().resolve(name, 80).await.unwrap();
            assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{name}: {found:?}");
        }
    }
}
