//! What is checked is what is dialled, whatever a name server says.

use std::net::IpAddr;

use tokio::io::AsyncWriteExt;

use super::names::{Names, Reply};
use super::{ALL, CLOSING, addresses, place, refused, resolved};
use crate::world::namespace::inside;
use crate::world::recorder::{OK, Step};
use crate::world::{World, raw};

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn m06_an_alias_is_judged_by_the_addresses_it_leads_to() {
    inside("ssrf::resolution::m06_an_alias_is_judged_by_the_addresses_it_leads_to", async {
        let (_directory, everywhere) = place("test").await;
        let _names = Names::start(|name, _| match name {
            "one.test" => Reply::Aliases(vec!["metadata.internal"], addresses(&["169.254.169.254"])),
            "far.test" => Reply::Aliases(vec!["a.example", "b.example", "c.internal"], addresses(&["10.0.0.1"])),
            "home.test" => Reply::Aliases(vec!["localhost"], addresses(&["127.0.0.1", "::1"])),
            _ => Reply::NoSuchName,
        })
        .await;
        let hosts = ["one.test", "far.test", "home.test"];
        let world = hosts.iter().fold(World::new().await, |world, host| world.route(&resolved(host, "")));
        let world = world.start().await;
        for host in hosts {
            refused(&world, host, "address not allowed").await;
        }
        assert_eq!((everywhere.connections(), everywhere.bytes()), (0, 0));
    });
}

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn m06_what_is_checked_is_what_is_dialled_however_answers_change() {
    inside("ssrf::resolution::m06_what_is_checked_is_what_is_dialled_however_answers_change", async {
        const LISTED: &str = "10.0.0.1";
        let (_directory, everywhere) = place("test").await;
        // A check and a dial that each asked would get two answers, and so would two checks.
        let names = Names::start(|_, before| {
            let other = ["127.0.0.1", "169.254.169.254", "192.168.0.1"][before / 2 % 3];
            Reply::Addresses(addresses(&[if before % 2 == 0 { LISTED } else { other }]))
        })
        .await;
        let route = resolved("rebinding.test", &format!(", allow_cidrs: [{LISTED}/32]"));
        let world = World::new().await.route(&route).start().await;
        everywhere.script(|_| vec![Step::Send(CLOSING.to_vec()), Step::Close]);
        for n in 0..24 {
            let answer = world.get("rebinding.test").await;
            let expected = if n % 2 == 0 { 200 } else { 502 };
            assert_eq!((answer.status, names.times("rebinding.test")), (expected, n + 1), "{answer:?}");
        }
        let reached = everywhere.reached();
        assert_eq!(reached.len(), 12);
        assert!(reached.iter().all(|ip| *ip == LISTED.parse::<IpAddr>().unwrap()), "{reached:?}");
    });
}

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn m10_no_search_domain_is_tried() {
    inside("ssrf::resolution::m10_no_search_domain_is_tried", async {
        let (_directory, everywhere) = place("evil.test svc.cluster.local").await;
        // Whatever is below a search domain is there, listed and waiting.
        let names = Names::start(|name, _| match name.ends_with(".evil.test") || name.ends_with(".cluster.local") {
            true => Reply::Addresses(addresses(&["10.0.0.1"])),
            false => Reply::NoSuchName,
        })
        .await;
        let hosts = ["a", "x.test", "api.prod", "five.labels.are.in.here"];
        let world = hosts.iter().fold(World::new().await, |world, host| world.route(&resolved(host, ALL)));
        let world = world.start().await;
        for host in hosts {
            refused(&world, host, "does not resolve").await;
            assert!(names.times(host) > 0, "{host} was not asked for");
        }
        let asked = names.asked();
        assert!(asked.iter().all(|name| hosts.contains(&name.as_str())), "{asked:?}");
        assert_eq!(everywhere.connections(), 0);
    });
}

#[test]
#[ignore = "in a network of its own: make test-ssrf"]
fn k20_a_name_server_that_fails_or_says_too_much_costs_a_bounded_time() {
    inside("ssrf::resolution::k20_a_name_server_that_fails_or_says_too_much_costs_a_bounded_time", async {
        let (_directory, everywhere) = place("test").await;
        let names = Names::start(|name, _| match name {
            "many.test" => {
                Reply::Addresses((0..1000).map(|n| IpAddr::from([10, 9, (n / 250) as u8, (n % 250) as u8])).collect())
            }
            "loop.test" => Reply::Aliases(vec!["other.test", "loop.test", "other.test"], Vec::new()),
            "nothing.test" => Reply::Addresses(Vec::new()),
            "short.test" => Reply::Addresses(addresses(&["10.0.0.1"])),
            "silent.test" => Reply::Silence,
            _ => Reply::NoSuchName,
        })
        .await;
        let hosts = ["many.test", "loop.test", "nothing.test", "short.test", "silent.test", "unknown.test"];
        let world = hosts.iter().fold(World::new().await, |world, host| world.route(&resolved(host, ALL)));
        let world = world.start().await;
        for host in ["loop.test", "nothing.test", "unknown.test"] {
            refused(&world, host, "does not resolve").await;
        }
        // None of them is there: those that are tried fail at once, and the others are never tried.
        refused(&world, "many.test", "no connection").await;
        assert!(names.times("many.test") > 0);
        // Its resolver gives up, or the limit of the route does.
        let answer = world.get("silent.test").await;
        assert!(matches!(answer.status, 502 | 504), "{answer:?}");
        // A name is asked for again with every connection, and only then.
        everywhere.script(|_| vec![Step::Send(CLOSING.to_vec()), Step::Close]);
        for n in 1..4 {
            assert_eq!(world.get("short.test").await.status, 200);
            assert_eq!(names.times("short.test"), n);
        }
        everywhere.answer(OK);
        let mut stream = world.connect().await;
        for _ in 0..3 {
            stream.write_all(world.request_to("short.test", "GET", "/x", "").as_bytes()).await.unwrap();
            assert_eq!(raw::read_answer(&mut stream).await.status, 200);
        }
        assert_eq!(names.times("short.test"), 4);
    });
}
