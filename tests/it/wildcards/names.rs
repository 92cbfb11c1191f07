//! Which hosts a wildcard is for, and under which name a call to one goes on.

use http::Request;

use super::world;
use crate::http2::peer::{Peer, empty, request};
use crate::world::tunnel::call;
use crate::world::{Started, World};

const MALFORMED: (u16, &str) = (400, "INVALID_HOST");
const UNKNOWN: (u16, &str) = (403, "HOST_NOT_ALLOWED");

/// The call that `a` saw last was for this host, with the route's secret.
fn assert_seen(world: &Started, host: &str, what: &str) {
    let seen = world.a.last();
    assert_eq!((seen.headers("host"), seen.headers("x-key")), (vec![host], vec![&*world.canary_a()]), "{what}");
}

fn absolute(world: &Started, host: &str) -> String {
    format!("GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\n{}\r\n", world.proxy_credential())
}

#[tokio::test]
async fn the_called_host_goes_on_in_every_way_in() {
    let mut world = world().await.forward().start().await;
    for (spelled, host) in [("one.w.test", "one.w.test"), ("TWO.W.test.", "two.w.test"), ("3.w.test:80", "3.w.test")] {
        assert_eq!(world.get(spelled).await.status, 200, "{spelled}");
        assert_seen(&world, host, "X-Upstream-Host");
        assert_eq!(world.send(absolute(&world, spelled)).await.status, 200, "{spelled}");
        assert_seen(&world, host, "absolute-form");
        let peer = Peer::connect(&world).await;
        assert_eq!(peer.send(request(&world, "GET", "/x", spelled).body(empty()).unwrap()).await.status, 200);
        assert_seen(&world, host, "HTTP/2");
        let target = format!("{}:80", host);
        let mut tls = world.tunnel(&target).await;
        let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        assert_seen(&world, host, "CONNECT");
        assert_eq!(world.record(&answer).await["upstream_host"], host);
    }
    let metrics = world.metrics().await;
    let route = "veilwarden_requests_total{route=\"*.w.test\",";
    assert!(metrics.lines().any(|line| line.starts_with(route)), "{metrics}");
    assert!(!metrics.contains("one.w.test") && !metrics.contains("two.w.test"), "{metrics}");
    assert!(world.stop().await.iter().all(|record| record["secret_id"] == "KEY_A"));
}

#[tokio::test]
async fn one_label_and_no_other_name_is_reached() {
    let world = world().await.forward().start().await;
    let longest = format!("{}.w.test", "l".repeat(63));
    assert_eq!(world.get(&longest).await.status, 200);
    assert_seen(&world, &longest, "the longest label");
    assert_eq!(world.get("xn--bcher-kva.w.test").await.status, 200);
    let too_long = format!("{}.w.test", "l".repeat(64));
    let longest_name = format!("{}w.test", "l.".repeat(123));
    let too_long_name = format!("{}w.test", "l.".repeat(125));
    for (host, (status, code)) in [
        ("w.test", UNKNOWN),
        ("w.test.", UNKNOWN),
        ("one.two.w.test", UNKNOWN),
        ("onew.test", UNKNOWN),
        ("one.w.test.b.test", UNKNOWN),
        ("one.w.test:443", UNKNOWN),
        ("one.w.test:8080", UNKNOWN),
        ("one.w.testing", UNKNOWN),
        ("127.0.0.1", UNKNOWN),
        ("w.test.localhost", UNKNOWN),
        ("localhost", UNKNOWN),
        (&longest_name, UNKNOWN),
        ("*.w.test", MALFORMED),
        ("**.w.test", MALFORMED),
        ("*one.w.test", MALFORMED),
        (".w.test", MALFORMED),
        ("..w.test", MALFORMED),
        ("-one.w.test", MALFORMED),
        ("one-.w.test", MALFORMED),
        ("under_score.w.test", MALFORMED),
        ("_one.w.test", MALFORMED),
        ("one%2ew.test", MALFORMED),
        ("b\u{fc}cher.w.test", MALFORMED),
        ("one\u{3002}w.test", MALFORMED),
        ("one.w.test..", MALFORMED),
        ("one.w.test:080", MALFORMED),
        ("u@one.w.test", MALFORMED),
        ("one.w.test,two.w.test", MALFORMED),
        (&too_long, MALFORMED),
        (&too_long_name, MALFORMED),
    ] {
        world.refuses(world.request_to(host, "GET", "/x", ""), (status, code), host).await;
        // A target says it in its own form, where some of these are no target at all.
        for (what, bytes) in [("absolute-form", absolute(&world, host)), ("CONNECT", connect(&world, host))] {
            let sent = world.a.bytes();
            let answer = world.send(&bytes).await;
            assert_eq!(answer.status, status, "{what} {host}: {answer:?}");
            assert_eq!(world.a.bytes(), sent, "{what} {host}: bytes reached the upstream");
        }
    }
}

fn connect(world: &Started, host: &str) -> String {
    let port = if host.contains(':') { "" } else { ":80" };
    world.connect_to(&format!("{host}{port}"), "")
}

#[tokio::test]
async fn the_longest_name_there_is_has_a_tunnel() {
    let label = "l".repeat(63);
    let domain = [&*label, &label, &"d".repeat(61)].join(".");
    let host = format!("{label}.{domain}");
    assert_eq!(host.len(), 253);
    let world = World::new().await.forward().route_to_a(&format!("\"*.{domain}\""), "KEY_A").start().await;
    let mut tls = world.tunnel(&format!("{host}:80")).await;
    let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {host}:80\r\n\r\n")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_seen(&world, &host, "the longest name");
}

#[tokio::test]
async fn nobody_calls_the_wildcard_itself() {
    let world = world().await.forward().start().await;
    let credential = world.credential();
    let field = |host: &str, lines: &str| format!("GET /x HTTP/1.1\r\nHost: {host}\r\n{lines}{credential}\r\n");
    for (what, bytes, code) in [
        ("Host", field("*.w.test", "X-Upstream-Host: one.w.test\r\n"), "INVALID_HOST"),
        ("X-Upstream-Host", field("p", "X-Upstream-Host: *.w.test\r\n"), "INVALID_HOST"),
        ("with its port", field("p", "X-Upstream-Host: *.w.test:80\r\n"), "INVALID_HOST"),
        // It is no target either.
        ("absolute-form", absolute(&world, "*.w.test"), "INVALID_PATH"),
        ("CONNECT", world.connect_to("*.w.test:80", ""), "INVALID_PATH"),
    ] {
        world.refuses(bytes, (400, code), what).await;
    }
    let sent = world.a.bytes();
    let mut tls = world.tunnel("one.w.test:80").await;
    for (host, status) in [("*.w.test:80", 400), ("two.w.test:80", 421), ("one.w.test:80", 200)] {
        let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "inside of a tunnel: {host}: {answer:?}");
        if status != 200 {
            assert_eq!(world.a.bytes(), sent, "{host}");
        }
    }
    // A server name is no pattern either.
    let stream = world.opened("one.w.test:80").await;
    assert!(world.shake_hands(stream, "two.w.test").await.is_err());
    let peer = Peer::connect(&world).await;
    let seen = world.a.seen().len();
    for (uri, named) in [("http://*.w.test/x", "one.w.test"), ("http://p/x", "*.w.test")] {
        let asked =
            Request::get(uri).header("x-upstream-host", named).header("x-session-secret", world.session_secret());
        let answer = peer.send(asked.body(empty()).unwrap()).await;
        assert_eq!((answer.status, &*answer.code()), (400, "INVALID_HOST"), "{uri} {named}: {answer:?}");
    }
    assert_eq!(world.a.seen().len(), seen);
}

#[tokio::test]
async fn a_host_with_a_route_of_its_own_takes_that_one_in_every_way_in() {
    let world = world().await.forward();
    let b = world.b.address;
    let own = |host: &str| {
        format!(
            "{{upstream_host: \"{host}\", upstream_scheme: http, upstream_address: \"{b}\", secret_id: KEY_B, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"
        )
    };
    let world =
        world.route(&own("own.w.test")).route(&own("other.w.test:8080")).route(&own("un_der.w.test")).start().await;
    for (host, to_b) in [
        ("own.w.test", true),
        ("OWN.w.test.:80", true),
        ("un_der.w.test", true),
        ("other.w.test:8080", true),
        ("other.w.test", false),
        ("third.w.test", false),
    ] {
        for bytes in [world.request_to(host, "GET", "/x", ""), absolute(&world, host)] {
            let (a, b) = (world.a.seen().len(), world.b.seen().len());
            let answer = world.send(&bytes).await;
            assert_eq!(answer.status, 200, "{bytes}: {answer:?}");
            let grown = (world.a.seen().len() - a, world.b.seen().len() - b);
            assert_eq!(grown, (usize::from(!to_b), usize::from(to_b)), "{bytes}");
        }
    }
    let (a, b) = (world.canary_a(), world.canary_b());
    assert!(world.b.seen().iter().all(|seen| seen.headers("x-key") == [&*b]));
    assert!(world.a.seen().iter().all(|seen| seen.headers("x-key") == [&*a]));
    for (target, to_b) in [("own.w.test:80", 1), ("other.w.test:8080", 1), ("other.w.test:80", 0)] {
        let before = world.b.seen().len();
        let mut tls = world.tunnel(target).await;
        let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
        assert_eq!((answer.status, world.b.seen().len() - before), (200, to_b), "{target}: {answer:?}");
    }
}

#[tokio::test]
async fn policy_sees_the_called_host() {
    let policy = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
        allow if input.upstream_host in {\"one.w.test\", \"two.w.test\"}\n";
    let world = world().await.forward().rego(policy).start().await;
    for (host, status) in [("one.w.test", 200), ("TWO.w.test:80", 200), ("three.w.test", 403), ("one.w.test", 200)] {
        let answer = world.get(host).await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
        let record = world.record(&answer).await;
        let canonical = host.to_lowercase().replace(":80", "");
        assert_eq!((&record["upstream_host"], &record["secret_id"]), (&canonical.into(), &"KEY_A".into()), "{record}");
    }
    // A tunnel may be opened to each of them; inside it is as outside.
    for (target, status) in [("one.w.test:80", 200), ("three.w.test:80", 403)] {
        let mut tls = world.tunnel(target).await;
        let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
    }
    assert_eq!(world.a.seen().len(), 4);
}

#[tokio::test]
async fn f27_a_secret_that_comes_back_is_masked_whichever_host_says_it() {
    let world = world().await.start().await;
    let canary = world.canary_a();
    world.a.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{canary}", canary.len()));
    for host in ["one.w.test", "two.w.test"] {
        let answer = world.get(host).await;
        assert_eq!((answer.status, answer.text().contains(&canary)), (200, false), "{host}: {answer:?}");
        assert_eq!(world.record(&answer).await["secret_reflected"], true);
    }
    let reflected = world.sample("veilwarden_secret_reflected_total{route=\"*.w.test\",action=\"redact\"}").await;
    assert_eq!(reflected, 2.0);
}

#[tokio::test]
async fn names_below_localhost_lead_to_this_machine() {
    let world = World::new().await;
    let port = world.a.address.port();
    let route = format!("{{upstream_host: \"*.dev.localhost:{port}\", upstream_scheme: http}}");
    let world = world.route(&route).start().await;
    for host in ["one.dev.localhost", "two.dev.localhost"].map(|name| format!("{name}:{port}")) {
        assert_eq!((world.get(&host).await.status, world.a.last().headers("host")), (200, vec![&*host]));
    }
    for host in ["dev.localhost", "localhost", "a.b.dev.localhost"].map(|name| format!("{name}:{port}")) {
        world.refuses(world.request_to(&host, "GET", "/x", ""), UNKNOWN, &host).await;
    }
    // `NAME.localhost` in `Host` names a route by its local name, and a wildcard has none.
    let request = format!("GET /x HTTP/1.1\r\nHost: one.dev.localhost:{port}\r\n{}\r\n", world.credential());
    world.refuses(request, (400, "MISSING_HOST"), "Host alone").await;
}

#[tokio::test]
async fn a_callers_slot_counts_for_each_host() {
    let world = World::new().await;
    let address = world.a.address;
    let world = world
        .route(&format!(
            "{{upstream_host: \"*.w.test\", upstream_scheme: http, upstream_address: \"{address}\", caller_slots: [x-api-key], secret_id: KEY_A, inject_header: X-Api-Key, header_value_template: \"{{{{secret}}}}\"}}"
        ))
        .start()
        .await;
    let secret = world.session_secret();
    let request =
        |host: &str| format!("GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: {host}\r\nX-Api-Key: {secret}\r\n\r\n");
    for host in ["one.w.test", "two.w.test"] {
        let seen = world.forwards(request(host), host).await;
        assert_eq!((seen.headers("host"), seen.headers("x-api-key")), (vec![host], vec![&*world.canary_a()]));
    }
    for host in ["w.test", "one.two.w.test", "a.test"] {
        world.refuses(request(host), (401, "UNAUTHORIZED"), host).await;
    }
}
