//! Routes that are named by a URL alone: `/_route/NAME/…` and `NAME.localhost`.

use crate::world::{Started, World};

const UNKNOWN: (u16, &str) = (403, "HOST_NOT_ALLOWED");
const AMBIGUOUS: (u16, &str) = (400, "INVALID_PATH");
const DIFFERENT: (u16, &str) = (400, "INVALID_HOST");
const UNNAMED: (u16, &str) = (400, "MISSING_HOST");

/// `GET` for a target, with these lines in the place of `Host` and `X-Upstream-Host`.
fn get(world: &Started, target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{lines}{}\r\n", world.credential())
}

/// A third and a fourth route, whose upstream is `a` too: `api` allows encoded slashes, `other` does not.
async fn world() -> World {
    let world = World::new().await;
    let address = world.a.address;
    let to_a = format!("upstream_scheme: http, upstream_address: \"{address}\"");
    world
        .route(&format!("{{upstream_host: api.test, {to_a}, local_name: api, allow_encoded_slash: true}}"))
        .route(&format!("{{upstream_host: other.test, {to_a}, local_name: other}}"))
}

#[tokio::test]
async fn a_prefix_names_the_route_under_any_host() {
    let world = world().await.start().await;
    for (target, path) in [
        ("/_route/api/v1/models?limit=3", "/v1/models?limit=3"),
        ("/_route/api/", "/"),
        ("/_route/api", "/"),
        ("/_route/api?x=/../", "/?x=/../"),
        ("/_route/api/healthz", "/healthz"),
        ("/%5froute/ap%69/v1", "/v1"),
        ("/_route/api/_route/other/x", "/_route/other/x"),
        ("/_route/api/%5Froute/x", "/_route/x"),
        ("/_route/api/a%2fb", "/a%2Fb"),
    ] {
        for host in
            ["10.1.2.3:8088", "veilwarden.veilwarden.svc:8088", "localhost", "other.localhost", "none.localhost"]
        {
            let seen = world.forwards(get(&world, target, &format!("Host: {host}\r\n")), target).await;
            assert_eq!((seen.target(), seen.header("host")), (path, Some("api.test")), "{target} {host}");
        }
    }
}

#[tokio::test]
async fn a_host_below_localhost_names_the_route() {
    let world = world().await.start().await;
    for host in ["api.localhost:8088", "api.localhost", "API.LocalHost.:8088"] {
        for target in ["/v1?a=b", "/healthz", "/_routes/x"] {
            let seen = world.forwards(get(&world, target, &format!("Host: {host}\r\n")), target).await;
            assert_eq!((seen.target(), seen.header("host")), (target, Some("api.test")), "{target} {host}");
        }
    }
    for host in ["none.localhost", "a.test.localhost", "xapi.localhost"] {
        let refusal = if host == "a.test.localhost" { UNNAMED } else { UNKNOWN };
        world.refuses(get(&world, "/v1", &format!("Host: {host}\r\n")), refusal, host).await;
    }
    // Whatever veilwarden itself is called, `X-Upstream-Host` alone decides.
    let lines = "Host: veilwarden.localhost:8088\r\nX-Upstream-Host: a.test\r\n";
    let seen = world.forwards(get(&world, "/v1", lines), "veilwarden's own name").await;
    assert_eq!(seen.header("host"), Some("a.test"));
}

#[tokio::test]
async fn nothing_is_smuggled_through_the_prefix() {
    let world = world().await.start().await;
    for (target, refusal) in [
        ("/_route/api/../other/x", AMBIGUOUS),
        ("/_route/../_route/api/x", AMBIGUOUS),
        ("/_route/api/%2e%2e/x", AMBIGUOUS),
        ("/_route/api/..%2fx", AMBIGUOUS),
        ("/_route/api/%252e%252e/x", AMBIGUOUS),
        ("/_route/./api/x", AMBIGUOUS),
        ("/_route//x", AMBIGUOUS),
        ("/_route//api/x", AMBIGUOUS),
        ("/_route/api//x", AMBIGUOUS),
        ("//_route/api/x", AMBIGUOUS),
        ("/_route/api\\x", AMBIGUOUS),
        ("/_route/api;/../x", AMBIGUOUS),
        ("/_route/api%00/x", AMBIGUOUS),
        ("/_route/other/a%2fb", AMBIGUOUS),
        ("/_route", UNNAMED),
        ("/_route/", UNNAMED),
        ("/_route?x", UNNAMED),
        ("/_route/none/x", UNKNOWN),
        ("/_route/API/x", UNKNOWN),
        ("/_route/a.test/x", UNKNOWN),
        ("/_route/api%2fv1/x", UNKNOWN),
        ("/_route/api;v=1/x", UNKNOWN),
        ("/_route/api.localhost/x", UNKNOWN),
        ("/_route/other@api/x", UNKNOWN),
        ("/_Route/api/x", UNNAMED),
        ("/x/_route/api/x", UNNAMED),
        ("/%2F_route/api/x", UNNAMED),
    ] {
        // The parser of a URL is not asked: these bytes are on the wire.
        let refused = world.send(get(&world, target, "Host: proxy.test\r\n")).await;
        let (status, code) = refusal;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{target}: {refused:?}");
    }
    world.assert_nothing_sent("refused targets");
}

#[tokio::test]
async fn a_local_name_and_the_field_mean_the_same_or_nothing() {
    let world = world().await.start().await;
    for lines in ["X-Upstream-Host: api.test\r\n", "X-Upstream-Host: API.test.:80\r\n"] {
        world.forwards(get(&world, "/_route/api/x", &format!("Host: p\r\n{lines}")), lines).await;
        world.forwards(get(&world, "/x", &format!("Host: api.localhost\r\n{lines}")), lines).await;
    }
    for value in ["a.test", "other.test", "none.test", "", "a b", "api.test\r\nX-Upstream-Host: api.test"] {
        let lines = format!("X-Upstream-Host: {value}\r\n");
        let by_path = get(&world, "/_route/api/x", &format!("Host: p\r\n{lines}"));
        world.refuses(by_path, DIFFERENT, &format!("path and {value}")).await;
        let by_host = get(&world, "/x", &format!("Host: api.localhost\r\n{lines}"));
        world.refuses(by_host, DIFFERENT, &format!("host and {value}")).await;
    }
    world
        .refuses(get(&world, "/_route/none/x", "Host: p\r\nX-Upstream-Host: a.test\r\n"), UNKNOWN, "no such name")
        .await;
}

#[tokio::test]
async fn a_credential_in_a_name_is_recorded_nowhere() {
    let world = world().await.start().await;
    let secret = world.session_secret();
    for (request, refusal) in [
        (get(&world, "/x", &format!("Host: {secret}.localhost\r\n")), UNNAMED),
        (get(&world, "/x", &format!("Host: p\r\nX-Upstream-Host: {secret}\r\n")), UNNAMED),
        (get(&world, &format!("/_route/{secret}/x"), "Host: p\r\n"), (400, "BAD_REQUEST")),
        (get(&world, &format!("http://{secret}/x"), &format!("Host: {secret}\r\n")), (400, "BAD_REQUEST")),
    ] {
        let answer = world.refuses(&request, refusal, &request).await;
        assert!(!answer.text().contains(&secret), "{answer:?}");
    }
    let records = std::fs::read_to_string(world.audit_file()).unwrap();
    assert!(!records.contains(&secret), "{records}");
}

#[tokio::test]
async fn names_are_told_only_to_known_callers() {
    let world = world().await.start().await;
    let unknown = (401, "UNAUTHORIZED");
    for target in ["/_route/api/x", "/_route/none/x", "/_route", "/_route/a.test/x", "/_route/other/a%2fb"] {
        world.refuses(format!("GET {target} HTTP/1.1\r\nHost: p\r\n\r\n"), unknown, target).await;
    }
    for host in ["api.localhost", "none.localhost"] {
        for target in ["/x", "/healthz"] {
            world.refuses(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"), unknown, host).await;
        }
    }
}

#[tokio::test]
async fn policy_and_record_have_the_path_without_the_prefix() {
    let policy = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
        allow if { input.path == \"/v1/models\"; input.path_segments == [\"v1\", \"models\"]; input.upstream_host == \"api.test\" }\n\
        deny_reason := input.path\n";
    let world = world().await.rego(policy).start().await;
    let answer = world.send(get(&world, "/_route/api/v1/mod%65ls", "Host: p\r\n")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = world.record(&answer).await;
    assert_eq!((&record["path"], &record["upstream_host"]), (&"/v1/models".into(), &"api.test".into()));
    let denied = world.send(get(&world, "/_route/api/_route/api/v1/models", "Host: p\r\n")).await;
    assert_eq!(denied.json()["hint"], "/_route/api/v1/models", "{denied:?}");
    let unknown = world.send(get(&world, "/_route/none/x", "Host: p\r\n")).await;
    let record = world.assert_refused(&unknown, 403, "HOST_NOT_ALLOWED", "no such name").await;
    assert_eq!(record["upstream_host"], "none.localhost");
}
