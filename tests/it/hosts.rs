//! Group B of hostile-cases.md: which host is meant. One rule: `X-Upstream-Host` alone names it, once, in a form that
//! every parser reads alike, and it is a route's.

mod ports;

use crate::world::{Started, World};

const MALFORMED: (u16, &str) = (400, "INVALID_HOST");
const UNKNOWN: (u16, &str) = (403, "HOST_NOT_ALLOWED");

/// A good request with these lines in the place of `Host` and `X-Upstream-Host`.
fn with_lines(world: &Started, lines: &[u8]) -> Vec<u8> {
    [b"GET /x HTTP/1.1\r\n", lines, world.credential().as_bytes(), b"\r\n"].concat()
}

fn to(world: &Started, host: &[u8]) -> Vec<u8> {
    with_lines(world, &[b"Host: proxy.test\r\nX-Upstream-Host: ", host, b"\r\n"].concat())
}

#[tokio::test]
async fn b01_b02_there_is_exactly_one_host() {
    let world = World::new().await.start().await;
    for (what, lines) in [
        ("b01 no Host", "X-Upstream-Host: a.test\r\n"),
        ("b02 two equal", "Host: p\r\nHost: p\r\nX-Upstream-Host: a.test\r\n"),
        ("b02 two different", "Host: p\r\nX-Upstream-Host: a.test\r\nHost: b.test\r\n"),
    ] {
        world.refuses(with_lines(&world, lines.as_bytes()), MALFORMED, what).await;
    }
}

#[tokio::test]
async fn b03_the_host_field_is_a_host() {
    let world = World::new().await.start().await;
    for host in [
        &b"a.test, b.test"[..],
        b"u@a.test",
        b"a.test/x",
        b"",
        b"a.test:99999",
        b"a.test:0x50",
        b"a.test:",
        b"[::1",
        b"::1",
        b"a.test\tb",
        b"a b",
        b"a..test",
        b"http://a.test",
        b"a.test\xff",
    ] {
        let lines = [b"Host: ", host, b"\r\nX-Upstream-Host: a.test\r\n"].concat();
        world.refuses(with_lines(&world, &lines), MALFORMED, &format!("b03 {}", host.escape_ascii())).await;
    }
    for host in ["proxy.test", "localhost:8088", "127.0.0.1:8088", "[::1]:8088", "PROXY.test.", "b.test"] {
        let lines = format!("Host: {host}\r\nX-Upstream-Host: a.test\r\n");
        let seen = world.forwards(with_lines(&world, lines.as_bytes()), host).await;
        assert_eq!(seen.headers("host"), ["a.test"], "{host}");
    }
    assert_eq!(world.b.bytes(), 0);
}

#[tokio::test]
async fn b04_a_missing_host_is_told_only_to_known_callers() {
    let world = World::new().await.start().await;
    for lines in ["Host: p\r\n", "Host: p\r\nX-Upstream-Host:\r\n", "Host: p\r\nX-Upstream-Host: \r\n"] {
        world.refuses(with_lines(&world, lines.as_bytes()), (400, "MISSING_HOST"), "b04 known").await;
    }
    for lines in ["", "X-Upstream-Host: a.test\r\n", "X-Upstream-Host: c.test\r\n", "X-Upstream-Host: a.test/x\r\n"] {
        let request = format!("GET /x HTTP/1.1\r\nHost: p\r\n{lines}\r\n");
        world.refuses(request, (401, "UNAUTHORIZED"), &format!("b04 unknown: {lines}")).await;
    }
}

#[tokio::test]
async fn b05_policy_and_upstream_see_the_canonical_host() {
    let policy = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\nallow if input.upstream_host == \"a.test\"\n";
    let world = World::new().await.rego(policy).start().await;
    for host in ["a.test", "A.TEST", "a.TeSt.", "A.test:80"] {
        let seen = world.forwards(to(&world, host.as_bytes()), host).await;
        assert_eq!(seen.headers("host"), ["a.test"], "{host}");
    }
    world.refuses(to(&world, b"B.TEST"), (403, "POLICY_DENIED"), "b05 another host").await;
}

#[tokio::test]
async fn b08_b09_exactly_one_field_names_the_upstream() {
    let world = World::new().await.start().await;
    for (what, lines) in [
        ("b08 two different", "X-Upstream-Host: a.test\r\nX-Upstream-Host: b.test\r\n"),
        ("b08 two equal", "X-Upstream-Host: a.test\r\nx-upstream-host: a.test\r\n"),
        ("b08 a list", "X-Upstream-Host: a.test, b.test\r\n"),
        ("b08 a tab", "X-Upstream-Host: a.test\tb.test\r\n"),
    ] {
        world.refuses(with_lines(&world, format!("Host: p\r\n{lines}").as_bytes()), MALFORMED, what).await;
    }
    for name in ["x_upstream_host", "X_UPSTREAM-HOST", "X-Upstream_Host", "X.Upstream.Host"] {
        let lines = format!("Host: p\r\n{name}: b.test\r\nX-Upstream-Host: a.test\r\n");
        let seen = world.forwards(with_lines(&world, lines.as_bytes()), "b09").await;
        assert!(!seen.head.contains("b.test"), "{name}: {}", seen.head);
    }
    let alone = with_lines(&world, b"Host: p\r\nx_upstream_host: a.test\r\n");
    world.refuses(alone, (400, "MISSING_HOST"), "b09 alone").await;
}

#[tokio::test]
async fn b10_to_b13_m07_what_two_parsers_could_read_differently_is_no_host() {
    let world = World::new().await.start().await;
    let long_name = format!("{}a.test", "a.".repeat(124));
    let long_label = format!("{}.test", "a".repeat(64));
    for (id, hosts) in [
        (
            "b10 a part of a URL",
            &[
                &b"a.test@b.test"[..],
                b"a.test#b.test",
                b"a.test?b.test",
                b"a.test/../b.test",
                b"a.test/",
                b"a.test\\\\b.test",
                b"a.test\\b.test",
                b"http://a.test",
                b"//a.test",
                b"@a.test",
                b"a.test;b.test",
                b"a.test|b.test",
                b"*.test",
                b"*",
            ][..],
        ),
        ("b11 percent-encoding", &[b"a%2etest", b"a%00.b.test", b"%61.test", b"a.test%0d%0a", b"a.test%20"]),
        (
            "b12 other alphabets",
            &[
                "ａ.test".as_bytes(),
                "a。test".as_bytes(),
                "а.test".as_bytes(),
                "a.test\u{200b}".as_bytes(),
                b"xn--a-.test",
                b"a.test\xff",
            ],
        ),
        (
            "b13 no name",
            &[
                long_name.as_bytes(),
                long_label.as_bytes(),
                b"a..test",
                b".a.test",
                b"a.test..",
                b".",
                b"-a.test",
                b"a-.test",
                b"a_b.test",
                b"a test",
            ],
        ),
        (
            "b13 m07 an address in an unusual spelling",
            &[
                b"2130706433",
                b"0177.0.0.1",
                b"0x7f.1",
                b"127.1",
                b"[::ffff:7f00:1]",
                b"[::ffff:127.0.0.1]",
                b"127.0.0.1.",
                b"[a.test]",
                b"[::1%25eth0]",
                b"::1",
            ],
        ),
    ] {
        for host in hosts {
            world.refuses(to(&world, host), MALFORMED, &format!("{id}: {}", host.escape_ascii())).await;
        }
    }
}

#[tokio::test]
async fn b20_what_a_proxy_might_believe_steers_nothing() {
    let policy = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
        allow if { input.upstream_host == \"a.test\"; input.method == \"GET\"; input.path == \"/x\"; input.source.ip == \"127.0.0.1\" }\n";
    let world = World::new().await.rego(policy).start().await;
    for (name, value) in [
        ("Forwarded", "host=b.test;for=9.9.9.9"),
        ("X-Forwarded-Host", "b.test"),
        ("X-Forwarded-Server", "b.test"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X_Forwarded_Host", "b.test"),
        ("X-Original-Host", "b.test"),
        ("X-Host", "b.test"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("x_http_method_override", "DELETE"),
    ] {
        let seen = world.forwards(world.ok(&format!("{name}: {value}\r\n")), name).await;
        assert_eq!(seen.line(), "GET /x HTTP/1.1", "{name}");
        assert_eq!(seen.headers("host"), ["a.test"], "{name}");
        assert!(!seen.head.contains(value), "{name}: {}", seen.head);
    }
    assert_eq!(world.b.bytes(), 0);
}

#[tokio::test]
async fn b22_a_refusal_names_no_other_host_and_no_secret() {
    let world = World::new().await.start().await;
    for host in ["c.test", "test", "x.a.test", "a.test.b.test", "127.0.0.1", "[::1]"] {
        let answer = world.refuses(to(&world, host.as_bytes()), UNKNOWN, host).await;
        let everything = format!("{:?} {}", answer.fields, answer.text());
        let (a, b) = (world.a.address.to_string(), world.b.address.to_string());
        for word in ["a.test", "b.test", "KEY_A", "KEY_B", &*a, &b] {
            assert!(!everything.contains(word), "{host}: {everything} names {word}");
        }
    }
}
