//! No two hosts of a wildcard ever share a connection, though one address may be behind all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Response;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use super::world;
use crate::http2::peer::full;
use crate::http2::upstream::{Upstream, in_clear};
use crate::world::recorder::{OK, Step};
use crate::world::tls::Authority;
use crate::world::{Started, World, raw, until};

/// One after the other, so that a connection of the host before waits for its next call.
async fn call_in_turns(world: &Started, hosts: &[&str]) {
    let mut stream = world.connect().await;
    for host in std::iter::repeat_n(hosts, 4).flatten() {
        stream.write_all(world.request_to(host, "GET", "/x", "").as_bytes()).await.unwrap();
        let answer = raw::read_answer(&mut stream).await;
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

/// Each host had one connection for all its calls, and no other host's call was on it.
fn assert_apart(seen: impl Iterator<Item = (usize, String)>, hosts: usize) {
    let (mut of_connection, mut of_host) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::<_, BTreeSet<_>>::new());
    for (connection, host) in seen {
        of_connection.entry(connection).or_default().insert(host.clone());
        of_host.entry(host).or_default().insert(connection);
    }
    assert!(of_connection.values().all(|hosts| hosts.len() == 1), "{of_connection:?}");
    assert!(of_host.len() == hosts && of_host.values().all(|used| used.len() == 1), "{of_host:?}");
}

#[tokio::test]
async fn each_host_has_connections_of_its_own_over_http_1() {
    let world = world().await.start().await;
    call_in_turns(&world, &["one.w.test", "two.w.test", "three.w.test"]).await;
    assert_apart(world.a.seen().into_iter().map(|seen| (seen.connection, seen.headers("host").concat())), 3);
}

#[tokio::test]
async fn each_host_has_connections_of_its_own_over_http_2() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| Response::new(full("fine"))).await;
    // A certificate for all of them invites to put their calls on one connection (RFC 9113 section 9.1.1).
    let front = authority.front_speaking(&["h2", "http/1.1"], "*.s.test", upstream.address).await;
    let world = World::new().await;
    let ca = authority.file(world.directory.path()).display().to_string();
    let secured = format!("{{upstream_host: \"*.s.test\", upstream_address: \"{}\", ca_file: {ca}}}", front.address);
    let world = world.route(&in_clear("\"*.h.test\"", upstream.address)).route(&secured).start().await;
    call_in_turns(&world, &["one.h.test", "two.h.test", "one.s.test", "two.s.test"]).await;
    let authority = |uri: &str| uri.split('/').nth(2).unwrap().to_owned();
    assert_apart(upstream.seen().into_iter().map(|seen| (seen.connection, authority(&seen.uri))), 4);
    assert_eq!((front.connections(), front.sessions()), (2, 2));
}

/// Callers choose the names, and with each name they could choose as many connections again.
#[tokio::test]
async fn the_hosts_together_keep_as_many_connections_waiting_as_one_may() {
    const HOSTS: usize = 50;
    const EACH: usize = 5;
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let world = world().await.start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    world.a.script(move |_| vec![Step::Wait(wait.clone()), Step::Send(OK.to_vec())]);
    for round in 1..=5 {
        let mut callers = Vec::new();
        for n in 0..HOSTS * EACH {
            let mut caller = world.connect().await;
            let host = format!("h{}-{round}.w.test", n / EACH);
            caller.write_all(world.request_to(&host, "GET", "/x", "").as_bytes()).await.unwrap();
            callers.push(caller);
        }
        until("the calls", || world.a.seen().len() == round * callers.len()).await;
        go.add_permits(callers.len());
        for caller in &mut callers {
            assert_eq!(raw::read_answer(caller).await.status, 200);
        }
    }
    assert_eq!(world.a.connections(), 5 * HOSTS * EACH);
    until("the end of those that are too many", || world.a.open() == 1024).await;
}
