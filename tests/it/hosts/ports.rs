//! B07 and B23: which port is meant when none is written, and which spellings of one are none.

use super::{MALFORMED, UNKNOWN, to};
use crate::world::{Started, World};

/// How a host was understood.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// The route of this name is meant.
    Route(&'static str),
    Unknown,
    Malformed,
}

/// The rule behind HAProxy's table: a scheme's own port and no port are one host; every other difference counts.
#[tokio::test]
async fn b07_b23_the_default_port_is_no_port() {
    use Meaning::{Malformed, Route, Unknown};
    let closed = "upstream_address: \"127.0.0.1:1\"";
    let world = World::new()
        .await
        .route(&format!("{{upstream_host: s.test, upstream_scheme: https, {closed}}}"))
        .route(&format!("{{upstream_host: \"p.test:8443\", upstream_scheme: https, {closed}}}"))
        .route(&format!("{{upstream_host: \"e.test:80\", upstream_scheme: http, {closed}}}"))
        .route(&format!("{{upstream_host: \"f.test:443\", upstream_scheme: http, {closed}}}"))
        .start()
        .await;
    for (name, cases) in [
        ("a.test", [Route("a.test"), Route("a.test"), Unknown, Unknown, Unknown]),
        ("s.test", [Route("s.test"), Unknown, Route("s.test"), Unknown, Unknown]),
        ("p.test", [Unknown, Unknown, Unknown, Route("p.test:8443"), Unknown]),
        ("e.test", [Route("e.test"), Route("e.test"), Unknown, Unknown, Unknown]),
        ("f.test", [Unknown, Unknown, Route("f.test:443"), Unknown, Unknown]),
        ("u.test", [Unknown, Unknown, Unknown, Unknown, Unknown]),
    ] {
        for (port, expected) in ["", ":80", ":443", ":8443", ":65535"].iter().zip(cases) {
            for spelled in [format!("{name}{port}"), format!("{}.{port}", name.to_uppercase())] {
                assert_eq!(meaning(&world, &spelled).await, expected, "{spelled}");
            }
        }
        for port in [":", ":0", ":080", ":0443", ":65536", ":+80", ":-80", ":80:80", ":http", ":8 0"] {
            assert_eq!(meaning(&world, &format!("{name}{port}")).await, Malformed, "{name}{port}");
        }
    }
}

/// Asks for `/x` on a host. Routes other than a.test lead to a closed port, so that 502 means "found".
async fn meaning(world: &Started, host: &str) -> Meaning {
    let answer = world.send(to(world, host.as_bytes())).await;
    match (answer.status, answer.code().as_str()) {
        (200, _) | (502, "UPSTREAM_ERROR") => {
            let name = world.record(&answer).await["upstream_host"].as_str().unwrap().to_owned();
            let known = ["a.test", "s.test", "p.test:8443", "e.test", "f.test:443"];
            Meaning::Route(known.into_iter().find(|known| *known == name).unwrap_or_else(|| panic!("{name}")))
        }
        UNKNOWN => Meaning::Unknown,
        MALFORMED => Meaning::Malformed,
        _ => panic!("{host}: {answer:?}"),
    }
}
