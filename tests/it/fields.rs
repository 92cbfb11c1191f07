//! Rows D01 to D34 of hostile-cases.md: which fields pass, which decide, and which claim more than they may.

mod claims;
mod credentials;
mod hops;
mod upgrades;

use crate::world::way::ALL;
use crate::world::{Started, World};

/// A world with the workload `prod/api`, so that `Authorization` carries the caller's token.
async fn with_tokens() -> Started {
    World::new().await.kubernetes().await.start().await
}

/// A good request for b.test, which gets `X-Api-Key`.
fn to_b(world: &Started, fields: &str) -> String {
    world.request_to("b.test", "GET", "/x", fields)
}

#[tokio::test]
async fn d15_the_injected_field_is_there_once_whatever_the_caller_sends() {
    let mut world = World::new().await.forward().start().await;
    for name in ["X-Api-Key", "x-api-key", "X-API-KEY", "X_Api_Key", "x_api-key", "X.Api.Key", "x-api-key_"] {
        for (value, way) in ["mine", ""].into_iter().flat_map(|value| ALL.map(|way| (value, way))) {
            world.way = way;
            let answer = world.send(to_b(&world, &format!("{name}: {value}\r\n{name}: again\r\n"))).await;
            assert_eq!(answer.status, 200, "{name}");
            let seen = world.b.last();
            assert_eq!(seen.headers("x-api-key"), [world.canary_b()], "{name}: {}", seen.head);
            assert!(!seen.head.contains("mine") && !seen.head.contains("again"), "{name}: {}", seen.head);
        }
    }
    assert_eq!(world.a.bytes(), 0);
}

#[tokio::test]
async fn d19_the_templates_value_is_there_exactly_and_once() {
    let world = World::new().await;
    let address = world.a.address;
    let route = format!(
        "{{upstream_host: t.test, upstream_scheme: http, upstream_address: \"{address}\", secret_id: KEY_A, \
         inject_header: Authorization, header_value_template: \"token {{{{secret}}}}\"}}"
    );
    let mut world = world.forward().route(&route).start().await;
    for own in ["", "Authorization: Basic YTpi\r\n", "authorization: token mine\r\n", "AUTHORIZATION: \r\n"] {
        for way in ALL {
            world.way = way;
            let seen = world.forwards(world.request_to("t.test", "GET", "/x", own), own).await;
            assert_eq!(seen.headers("authorization"), [format!("token {}", world.canary_a())], "{way:?} {own}");
        }
    }
}

#[tokio::test]
async fn d18_every_cookie_passes() {
    let mut world = World::new().await.forward().start().await;
    for way in ALL {
        world.way = way;
        let seen = world.forwards(world.ok("Cookie: a=1; b=2\r\nCookie: c=3\r\ncookie: a=4\r\n"), "d18").await;
        assert_eq!(seen.headers("cookie").join("; "), "a=1; b=2; c=3; a=4", "{way:?}");
    }
}

#[tokio::test]
async fn d25_a_thousand_ranges_pass_and_an_endless_one_does_not() {
    let world = World::new().await.route_options("allow_range: true").start().await;
    let ranges = format!("bytes={}0-0", "0-0,1-1,".repeat(500));
    let seen = world.forwards(world.ok(&format!("Range: {ranges}\r\n")), "d25").await;
    assert_eq!(seen.headers("range"), [ranges]);
    let endless = format!("Range: bytes={}0-0\r\n", "0-0,".repeat(5_000));
    world.refuses(world.ok(&endless), (431, "HEADERS_TOO_LARGE"), "d25 20 KB").await;
}

#[tokio::test]
async fn d27_too_many_or_too_large_fields_are_refused() {
    let world = World::new().await.start().await;
    // Host, X-Upstream-Host and the credential are three of them.
    let seen = world.forwards(world.ok(&"X-Many: y\r\n".repeat(97)), "d27 100 fields").await;
    assert_eq!(seen.headers("x-many").len(), 97);
    let large = |size: usize| format!("X-Large: {}\r\n", "y".repeat(size - "X-Large: ".len()));
    let seen = world.forwards(world.ok(&large(16 << 10)), "d27 a field of 16 KiB").await;
    assert_eq!(seen.headers("x-large").len(), 1);
    for (what, fields) in [
        ("d27 101 fields", "X-Many: y\r\n".repeat(98)),
        ("d27 a field of 16 KiB and a byte", large((16 << 10) + 1)),
        ("d27 a field of 64 KiB", large(64 << 10)),
        ("d27 65 KiB together", large(13 << 10).repeat(5)),
        ("d27 430 KB together", large(4300).repeat(100)),
    ] {
        let request = world.ok(&fields);
        world.refuses(&request, (431, "HEADERS_TOO_LARGE"), what).await;
        world.assert_rejected_and_closed(&request, &[431], what).await;
    }
}
