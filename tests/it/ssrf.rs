//! Section M of the hostile cases, where it means something: in a network of its own, whose `lo` owns the forbidden
//! addresses, with a listener on all of them and a name server that says what it likes. `make test-ssrf` runs these.

mod resolution;
mod names;

use std::net::IpAddr;

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::world::namespace::{inside, own};
use crate::world::recorder::{Recorder, Step};
use crate::world::{Started, World, logs};
use names::{Names, Reply};

/// Where clouds hand out credentials.
const METADATA: [&str; 10] = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
];

/// The inside, in every spelling. All but the last lines can be reached when they are listed.
const INSIDE: [&str; 23] = [
    "127.0.0.1",
    "127.88.0.1",
    "::1",
    "0.0.0.0",
    "::",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "169.254.1.1",
    "240.0.0.1",
    "fc00::1",
    "fd12:3456::1",
    // This node's own, though they belong to the internet.
    "93.184.216.34",
    "2606:2800:220:1::1",
    // A socket of TCP gets to none of these.
    "224.0.0.1",
    "255.255.255.255",
    "ff02::1",
];
const UNREACHABLE: [&str; 3] = ["224.0.0.1", "255.255.255.255", "ff02::1"];

/// An address of the internet that is not this node's, and to which no way leads from here.
const ELSEWHERE: &str = "198.41.0.4";

/// Those that an interface can have. Mapped ones are IPv4's, the unspecified ones are every interface's.
fn ownable() -> Vec<&'static str> {
    let excluded = ["127.0.0.1", "127.88.0.1", "::1", "0.0.0.0", "::"];
    let all = METADATA.into_iter().chain(INSIDE);
    all.filter(|ip| !excluded.contains(ip) && !UNREACHABLE.contains(ip) && !ip.starts_with("::ffff:")).collect()
}

/// A place in which `lo` owns all of that, and a listener for all of it at port 80.
async fn place(search: &str) -> (TempDir, Recorder) {
    let directory = own(&ownable(), search);
    (directory, Recorder::on(TcpListener::bind("[::]:80").await.unwrap()))
}

/// A route without an address of its own: `host` is resolved for every connection.
fn resolved(host: &str, more: &str) -> String {
    format!(
        "{{upstream_host: \"{host}\", upstream_scheme: http, allow_cleartext: true, secret_id: KEY_A, inject_header: Authorization, header_value_template: \"Bearer {{{{secret}}}}\", timeouts: {{connect: 2s}}{more}}}"
    )
}

/// A good answer behind which the connection ends, so that the next call makes a new one.
const CLOSING: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

const ALL: &str = ", allow_cidrs: [0.0.0.0/0, \"::/0\"]";

/// The call is refused with a reason in the log that has these words, and none of it in the answer.
async fn refused(world: &Started, host: &str, why: &str) {
    let answer = world.get(host).await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", host).await;
    let id = answer.header("x-request-id").unwrap();
    let log = logs::all();
    let line = log.lines().find(|line| line.contains(id)).unwrap_or_else(|| panic!("{host}: no line for {id}"));
    assert!(line.contains(why), "{host}: {line}");
    for internal in ["127.", "169.254", "address", "metadata", "allow_cidrs"] {
        assert!(!answer.text().contains(internal), "{host}: {answer:?}");
    }
}

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().unwrap()).collect()
}

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn m01_m02_m03_a_name_of_a_forbidden_address_gets_not_a_byte() {
    inside("ssrf::m01_m02_m03_a_name_of_a_forbidden_address_gets_not_a_byte", async {
        let (_directory, everywhere) = place("test").await;
        let all: Vec<&str> = METADATA.into_iter().chain(INSIDE).collect();
        let listed = all.clone();
        let _names = Names::start(move |name, _| {
            let number = name.trim_start_matches(char::is_alphabetic).trim_end_matches(".test");
            let known = number.parse().ok().and_then(|n: usize| listed.get(n));
            match (known, name) {
                (Some(ip), _) => Reply::Addresses(addresses(&[ip])),
                (None, "metadata.google.internal") => Reply::Addresses(addresses(&["169.254.169.254"])),
                (None, "mixed.test") => Reply::Addresses(addresses(&[ELSEWHERE, "127.0.0.1"])),
                (None, "elsewhere.test") => Reply::Addresses(addresses(&[ELSEWHERE])),
                (None, _) => Reply::NoSuchName,
            }
        })
        .await;
        let mut world = World::new().await.forward();
        for n in 0..all.len() {
            world = world.route(&resolved(&format!("n{n}.test"), ""));
            world = world.route(&resolved(&format!("c{n}.test"), ALL));
        }
        for (host, more) in [("metadata.google.internal", ALL), ("mixed.test", ""), ("elsewhere.test", "")] {
            world = world.route(&resolved(host, more));
        }
        // The ways around the pool dial through the same guard.
        world = world.route("{upstream_host: \"relay0.test:80\", relay: true}");
        world = world.route(&resolved("ws0.test", ", websocket: true"));
        let world = world.start().await;
        for n in 0..all.len() {
            refused(&world, &format!("n{n}.test"), "address not allowed").await;
        }
        let stream = world.opened("relay0.test:80").await;
        world.shake_hands(stream, "relay0.test").await.unwrap_err();
        let asking = crate::websocket::upstream::asking();
        let answer = world.send(world.request_to("ws0.test", "GET", "/x", &asking)).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        // Consent of the operator makes no difference for metadata.
        for n in 0..METADATA.len() {
            refused(&world, &format!("c{n}.test"), "a cloud metadata address").await;
        }
        refused(&world, "metadata.google.internal", "a cloud metadata address").await;
        refused(&world, "mixed.test", "address not allowed").await;
        // What is not forbidden is dialled, in vain.
        refused(&world, "elsewhere.test", "no connection").await;
        assert_eq!((everywhere.connections(), everywhere.bytes()), (0, 0), "{:?}", everywhere.reached());
        for (n, ip) in all.iter().enumerate().skip(METADATA.len()) {
            let answer = world.get(&format!("c{n}.test")).await;
            let status = if UNREACHABLE.contains(ip) { 502 } else { 200 };
            assert_eq!(answer.status, status, "{ip} with consent: {answer:?}");
        }
        assert_eq!(everywhere.connections(), INSIDE.len() - UNREACHABLE.len(), "{:?}", everywhere.reached());
    });
}

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn m01_m02_m06_each_name_below_a_wildcard_is_judged_by_its_own_addresses() {
    inside("ssrf::m01_m02_m06_each_name_below_a_wildcard_is_judged_by_its_own_addresses", async {
        let (_directory, everywhere) = place("test").await;
        let names = Names::start(|name, _| match name {
            "listed.w.test" => Reply::Addresses(addresses(&["10.0.0.1"])),
            "private.w.test" => Reply::Addresses(addresses(&["192.168.0.1"])),
            "metadata.w.test" => Reply::Addresses(addresses(&["169.254.169.254"])),
            "localhost.w.test" => Reply::Addresses(addresses(&["127.0.0.1"])),
            "alias.w.test" => Reply::Aliases(vec!["localhost"], addresses(&["127.0.0.1"])),
            "mixed.w.test" => Reply::Addresses(addresses(&["10.0.0.1", "127.0.0.1"])),
            _ => Reply::NoSuchName,
        })
        .await;
        let route = resolved("*.w.test", ", allow_cidrs: [10.0.0.1/32, 169.254.0.0/16]");
        let world = World::new().await.route(&route).start().await;
        everywhere.script(|_| vec![Step::Send(CLOSING.to_vec()), Step::Close]);
        // What one name may reach, or has reached, says nothing about the others.
        for n in 1..3 {
            assert_eq!((world.get("listed.w.test").await.status, names.times("listed.w.test")), (200, n));
            for (name, why) in [
                ("private", "a private address"),
                ("metadata", "a cloud metadata address"),
                ("localhost", "a loopback address"),
                ("alias", "a loopback address"),
                ("mixed", "a loopback address"),
                ("unknown", "does not resolve"),
            ] {
                refused(&world, &format!("{name}.w.test"), why).await;
            }
        }
        assert_eq!((everywhere.connections(), everywhere.last().headers("host")), (2, vec!["listed.w.test"]));
        assert!(
            names.asked().iter().all(|name| name.ends_with(".w.test") && !name.contains('*')),
            "{:?}",
            names.asked()
        );
    });
}

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn m08_this_nodes_services_and_our_own_listeners_are_no_upstreams() {
    inside("ssrf::m08_this_nodes_services_and_our_own_listeners_are_no_upstreams", async {
        const NODE: &str = "93.184.216.34";
        let (_directory, _) = place("test").await;
        let _names = Names::start(|name, _| match name {
            "node.test" => Reply::Addresses(addresses(&[NODE])),
            "any.test" => Reply::Addresses(addresses(&["0.0.0.0"])),
            "home.test" => Reply::Addresses(addresses(&["127.0.0.1"])),
            _ => Reply::NoSuchName,
        })
        .await;
        // The kubelet, kube-proxy, etcd, an API server: whatever listens on the node's own address.
        let ports = [10250, 10255, 10248, 10249, 2379, 6443];
        let mut services = Vec::new();
        let mut world = World::new().await.listen("\"[::]:8088\"");
        for port in ports {
            services.push(Recorder::on(TcpListener::bind((NODE, port)).await.unwrap()));
            world = world.route(&resolved(&format!("node.test:{port}"), ""));
        }
        let ours = ["node.test:8088", "any.test:8088", "home.test:8088"];
        let world = ours.iter().fold(world, |world, host| world.route(&resolved(host, ALL)));
        let world = world.start().await;
        for port in ports {
            refused(&world, &format!("node.test:{port}"), "an address of this node").await;
        }
        for host in ours {
            refused(&world, host, "our own listener").await;
        }
        for service in &services {
            assert_eq!((service.connections(), service.bytes()), (0, 0), "{}", service.address);
        }
    });
}

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn m09_the_api_server_is_an_upstream_only_by_an_explicit_route() {
    inside("ssrf::m09_the_api_server_is_an_upstream_only_by_an_explicit_route", async {
        let (_directory, everywhere) = place("test").await;
        let _names = Names::start(|name, _| match name {
            "kubernetes.default.svc" | "kubernetes.default.svc.cluster.local" => {
                Reply::Addresses(addresses(&["10.0.0.1"]))
            }
            _ => Reply::NoSuchName,
        })
        .await;
        let (short, long) = ("kubernetes.default.svc", "kubernetes.default.svc.cluster.local");
        let world = World::new().await.route(&resolved(short, ""));
        let world = world.route(&resolved(long, ", allow_cidrs: [10.0.0.0/24]")).start().await;
        refused(&world, short, "a private address").await;
        assert_eq!(everywhere.connections(), 0);
        let fields =
            "Impersonate-User: system:admin\r\nimpersonate-group: system:masters\r\nImpersonate-Extra-a: b\r\n";
        let answer = world.send(world.request_to(long, "GET", "/api", fields)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let head = everywhere.last().head.to_ascii_lowercase();
        assert!(head.starts_with("get /api ") && !head.contains("impersonate"), "{head}");
    });
}
