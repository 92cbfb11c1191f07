//! Group C of hostile-cases.md: method, path and query. What policy judges is, byte for byte, what the upstream gets.

use crate::world::way::{ALL, IN_HTTP1, Way};
use crate::world::{Started, World, logs};

/// Allows what lies below /pub/, and only if policy sees what the test says that it will; also `/x`, the good request
/// that follows each refusal.
const POLICY: &str = r#"package veilwarden.authz
import rego.v1
default allow := false
allow if input.path == "/x"
allow if {
    startswith(input.path, "/pub/")
    input.headers["x-path"] == input.path
    input.headers["x-query"] == input.query
    input.headers["x-method"] == input.method
}
"#;

const REFUSED: (u16, &str) = (400, "INVALID_PATH");
const DENIED: (u16, &str) = (403, "POLICY_DENIED");

async fn world() -> Started {
    World::new().await.forward().rego(POLICY).start().await
}

fn request(world: &Started, method: &str, target: &str, path: &str, query: &str) -> String {
    world.request(method, target, &format!("X-Path: {path}\r\nX-Query: {query}\r\nX-Method: {method}\r\n"))
}

/// The target passes, and policy and upstream see this path and this query of it.
async fn one_view(world: &Started, target: &str, path: &str, query: Option<&str>) {
    let seen = world.forwards(request(world, "GET", target, path, query.unwrap_or_default()), target).await;
    let expected = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
    assert_eq!(seen.line(), format!("GET {expected} HTTP/1.1"), "{target}");
}

#[tokio::test]
async fn c01_to_c11_ambiguous_paths_are_refused() {
    let mut world = world().await;
    for (id, targets) in [
        (
            "c01 dot segments",
            &[&b"/pub/../admin"[..], b"/pub/./../admin", b"/pub/.", b"/pub/..", b"/..", b"/pub/..;/admin"][..],
        ),
        (
            "c02 encoded dots",
            &[b"/pub/%2e%2e/admin", b"/pub/%2E./admin", b"/pub/.%2e/admin", b"/pub/%2e", b"/pub/%252e%252e/admin"],
        ),
        (
            "c04 encoded slashes",
            &[b"/pub/..%2fadmin", b"/pub/..%2Fadmin", b"/pub%2f..%2fadmin", b"/pub/a%2fb", b"/pub/a%252fb"],
        ),
        ("c05 backslashes", &[b"/pub/..\\admin", b"/pub\\..\\admin", b"/pub/..%5cadmin", b"/pub/a%5Cb", b"/pub/%255c"]),
        ("c06 empty segments", &[b"//admin", b"/pub//../admin", b"/pub///x", b"/pub//"]),
        ("c07 what looks like an authority", &[b"//evil.test/x", b"//evil.test:80/x", b"//u@evil.test"]),
        ("c08 NUL", &[b"/pub/%00", b"/pub/a%00.json", b"/pub/%2500"]),
        ("c09 line ends", &[b"/pub/%0d%0aX-Injected:%201", b"/pub/%0a", b"/pub/%0D", b"/pub/%250d%250a"]),
        ("c10 broken encoding", &[b"/pub/%zz", b"/pub/%2", b"/pub/%", b"/pub/%u002e", b"/pub/%%32%65"]),
        (
            "c11 octets that are no UTF-8",
            &[b"/pub/%c0%ae%c0%ae/admin", b"/pub/%ff", b"/pub/\xc3\xa9", b"/pub/\xff", b"/pub/%ed%a0%80"],
        ),
    ] {
        for target in targets {
            let request = [b"GET ", *target, b" HTTP/1.1\r\n"].concat();
            let request = [&request, &world.ok("").as_bytes()["GET /x HTTP/1.1\r\n".len()..]].concat();
            for way in ALL.into_iter().filter(|way| way.can_ask_for(target)) {
                world.way = way;
                world.refuses(&request, REFUSED, &format!("{id}, {way:?}: {}", target.escape_ascii())).await;
            }
        }
    }
}

#[tokio::test]
async fn c04_a_route_may_allow_encoded_slashes_but_no_way_up() {
    let world = World::new().await.forward().rego(POLICY).route_options("allow_encoded_slash: true");
    let mut world = world.start().await;
    for way in ALL {
        world.way = way;
        one_view(&world, "/pub/group%2fproject", "/pub/group%2Fproject", None).await;
        for target in
            ["/pub/..%2fadmin", "/pub/a%2f..%2f..%2fadmin", "/pub/a%2f.%2fb", "/pub/a%2f%2e%2e", "/pub/%2f..;x"]
        {
            world.refuses(world.request("GET", target, ""), REFUSED, target).await;
        }
    }
}

#[tokio::test]
async fn c13_c19_one_view_of_equal_spellings() {
    let mut world = world().await;
    for (target, path) in [
        ("/pub/x", "/pub/x"),
        ("/pub/", "/pub/"),
        ("/pub/a%41", "/pub/aA"),
        ("/pub/%7euser", "/pub/~user"),
        ("/pub/A%2Db", "/pub/A-b"),
        ("/p%75b/x", "/pub/x"),
        ("/pub/%c3%a9", "/pub/%C3%A9"),
        ("/pub/a%20b", "/pub/a%20b"),
        ("/pub/%25", "/pub/%25"),
        ("/pub/x;jsessionid=1", "/pub/x;jsessionid=1"),
        ("/pub/;a/x", "/pub/;a/x"),
        ("/pub/...", "/pub/..."),
        ("/pub/a:b@c", "/pub/a:b@c"),
    ] {
        for way in ALL {
            world.way = way;
            one_view(&world, target, path, None).await;
        }
    }
    // c19: a parameter belongs to its segment, so this is not below /pub/.
    for way in ALL {
        world.way = way;
        world.refuses(request(&world, "GET", "/pub;a/x", "/pub;a/x", ""), DENIED, "c19").await;
    }
}

#[tokio::test]
async fn c14_case_is_significant() {
    let mut world = world().await;
    for way in ALL {
        world.way = way;
        world.refuses(request(&world, "GET", "/PUB/x", "/PUB/x", ""), DENIED, "c14").await;
        world.refuses(request(&world, "GET", "/%50UB/x", "/PUB/x", ""), DENIED, "c14 encoded").await;
    }
}

#[tokio::test]
async fn c15_c16_only_origin_form_without_a_fragment() {
    let mut world = world().await;
    for (method, target) in [
        ("GET", "/pub/x#frag"),
        ("GET", "/pub?#x"),
        ("GET", "/pub/x#"),
        ("GET", "*"),
        ("OPTIONS", "*"),
        ("GET", "a/b"),
        ("GET", "@evil/x"),
        ("GET", ":80/x"),
        ("GET", "?x"),
        ("GET", "\\\\evil\\x"),
    ] {
        // Over HTTP/2 there is no other form, and the library cuts fragments off (e06).
        for way in [Way::Reverse, Way::Tunnel] {
            world.way = way;
            world.refuses(world.request(method, target, ""), REFUSED, &format!("{way:?} {method} {target}")).await;
        }
    }
    for way in [Way::Reverse, Way::Tunnel] {
        world.way = way;
        world.refuses(world.request("GET", "", ""), REFUSED, "c16 an empty target").await;
    }
    world.way = Way::Absolute;
    for target in ["/pub/x#frag", "/pub?#x", "/pub/x#"] {
        world.refuses(world.request("GET", target, ""), REFUSED, &format!("c15 absolute {target}")).await;
    }
}

#[tokio::test]
async fn c17_c18_c24_nothing_is_looked_at_past_the_cap() {
    let mut world = world().await;
    let long = |text: &str, times: usize| text.repeat(times);
    for (what, target) in [
        ("c17 65 000 bytes", format!("/pub/{}", long("a", 65_000))),
        ("c17 70 000 bytes", format!("/pub/{}", long("a", 70_000))),
        ("c17 one byte too many", format!("/pub/{}", long("a", 8192 - 4))),
        ("c18 5 000 segments", format!("/pub{}", long("/a", 5_000))),
        ("c18 64 KiB of dots", format!("/pub/{}", long("%2e", 22_000))),
        ("c24 a query of 64 KiB", format!("/pub/x?{}", long("a", 65_536))),
        ("c24 10 000 parameters", format!("/pub/x?{}", long("a=1&", 10_000))),
    ] {
        // Over HTTP/2 a target of that size is a head of that size, which is tried in its own tests (e16).
        for way in IN_HTTP1 {
            world.way = way;
            world.refuses(world.request("GET", &target, ""), (414, "URI_TOO_LONG"), what).await;
        }
    }
    // Up to the cap everything has one view: bounded work, since no step makes a target longer.
    for way in ALL {
        world.way = way;
        // In absolute-form the authority counts as well.
        let room = if way == Way::Absolute { "http://a.test".len() } else { 0 };
        for path in [
            format!("/pub/{}", long("a", 8192 - 5 - room)),
            format!("/pub{}", long("/a", 4_000)),
            long("/pub/%2e%2ea", 600),
        ] {
            one_view(&world, &path, &path.replace("%2e", "."), None).await;
        }
        for query in [long("a=1&", 2_000), long("&", 8_000), long("%41", 2_700)] {
            one_view(&world, &format!("/pub/x?{query}"), "/pub/x", Some(&query)).await;
        }
    }
}

#[tokio::test]
async fn c21_c22_c23_c25_a_query_leaves_byte_for_byte() {
    let mut world = world().await;
    for query in [
        "a=1;b=2",
        "a[]=1",
        "a%5b%5d=1",
        "a=%26b=2",
        "a=1&&=",
        "?a=1",
        "a",
        "",
        "a=%20%0d%0A",
        "a=%22q%22",
        "a=%C3%A9",
        "a=%ff",
        "a=+",
        "a=%20",
        "a=%2B",
        "a=%2b",
        "/../admin",
        "a=../../x",
        "a=1&a=2&A=3",
        "u=http://b.test/x",
    ] {
        for way in ALL {
            world.way = way;
            one_view(&world, &format!("/pub/x?{query}"), "/pub/x", Some(query)).await;
        }
    }
    for query in ["a=%00", "a=%zz", "a=%", "a=%2", "a=\"q\"", "a=<q>", "a=\\", "a=#x"] {
        let target = format!("/pub/x?{query}");
        for way in ALL.into_iter().filter(|way| way.can_ask_for(target.as_bytes())) {
            world.way = way;
            world.refuses(world.request("GET", &target, ""), REFUSED, &format!("c22 {query}")).await;
        }
    }
    for way in ALL {
        world.way = way;
        if !way.is_http2() {
            world.refuses(world.request("GET", "/pub/x?a= b", ""), (400, "BAD_REQUEST"), "c22 a space").await;
        }
        // c25: what stands behind the question mark makes no path.
        world.refuses(request(&world, "GET", "/admin?/pub/x", "/admin", "/pub/x"), DENIED, "c25").await;
    }
}

#[tokio::test]
async fn c26_a_token_in_the_query_is_passed_and_never_logged() {
    let world = world().await;
    one_view(&world, "/pub/x?access_token=querycanary71e", "/pub/x", Some("access_token=querycanary71e")).await;
    world.refuses(world.request("GET", "/admin?access_token=querycanary71e", ""), DENIED, "c26 denied").await;
    let audit = world.audit();
    assert!(audit.iter().any(|record| record["path"] == "/pub/x"), "{audit:?}");
    for (what, text) in [("audit", format!("{audit:?}")), ("log", logs::all()), ("metrics", world.metrics().await)] {
        assert!(!text.contains("querycanary71e"), "{what}");
    }
}

#[tokio::test]
async fn c27_c29_c30_methods_that_are_never_passed_on() {
    let mut world = World::new().await.forward().start().await;
    for way in ALL {
        world.way = way;
        for method in ["TRACE", "TRACK", "DEBUG", "trace", "Track"] {
            world.refuses(world.request(method, "/pub/x", ""), (405, "METHOD_NOT_ALLOWED"), method).await;
        }
        for method in ["get", "Post", "oPTIONS", "G!#$%&'*+-.^_`|~ET", &"A".repeat(33)] {
            world.refuses(world.request(method, "/pub/x", ""), (400, "BAD_REQUEST"), &format!("c29 {method}")).await;
        }
    }
    // What no client of HTTP/2 has a name for.
    for way in IN_HTTP1 {
        world.way = way;
        for method in ["GET/", "G(T", "PRI*"] {
            world.refuses(world.request(method, "/pub/x", ""), (400, "BAD_REQUEST"), &format!("c29 {method}")).await;
        }
    }
    let world = World::new().await.start().await;
    let endless = world.request(&"A".repeat(10_000), "/pub/x", "");
    world.refuses(endless, (414, "URI_TOO_LONG"), "c29 10 000 bytes").await;
    world.refuses(world.request("PRI", "*", ""), REFUSED, "c29 PRI").await;
    for target in ["/x", "b.test", "http://b.test:443", "*"] {
        let bytes = world.request("CONNECT", target, "");
        world.refuses(&bytes, (400, "INVALID_PATH"), &format!("c30 CONNECT {target}")).await;
        world.assert_rejected_and_closed(&bytes, &[400], &format!("c30 CONNECT {target}")).await;
    }
    world.refuses(world.request("CONNECT", "b.test:99999", ""), (400, "INVALID_HOST"), "c30 a port").await;
}

#[tokio::test]
async fn a_method_reaches_policy_and_upstream_as_sent() {
    let mut world = world().await;
    for way in ALL {
        world.way = way;
        for method in ["POST", "PATCH", "MKCOL", "PURGE", "purge", "VERSION-CONTROL", &"A".repeat(32)] {
            let seen = world.forwards(request(&world, method, "/pub/x", "/pub/x", ""), method).await;
            assert_eq!(seen.line(), format!("{method} /pub/x HTTP/1.1"));
        }
    }
}
