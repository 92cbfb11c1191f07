//! Every way in but the header `X-Upstream-Host`, which all other tests use: proxy variables, base URLs, a Unix socket.

use std::time::Duration;

use serde_json::Value;

use crate::caller::{self, DEFAULT_TOKEN, PROXY, ROOTS, TOKEN, call_by_proxy, connect_by_proxy};
use crate::forms::ON_HOST;
use crate::kubectl;
use crate::recipes;
use crate::scene::{HOST, OTHER_TEAM, Scene, TEAM, injected, proxy_on};
use crate::until::until;

/// The record of a call, from the veilwarden of a node.
fn record(node: &str, path: &str) -> Value {
    let proxy = proxy_on(node);
    let line = until(&format!("a record of {path}"), Duration::from_secs(10), || {
        caller::log("veilwarden", &proxy).lines().find(|line| line.contains(path)).map(str::to_owned)
    });
    serde_json::from_str(&line).expect("records are JSON")
}

/// Only veilwarden's CA is trusted here, and the upstream's certificate is from another.
pub fn https_proxy_opens_a_tunnel_in_which_the_secret_is_put(scene: &Scene) {
    for (pod, node) in [("caller-1", &scene.nodes[0]), ("caller-2", &scene.nodes[1])] {
        let path = format!("/allowed/tunnel-from-{node}");
        let answer = call_by_proxy(TEAM, pod, TOKEN, &format!("'https://{HOST}{path}?page=2'"));
        assert!(injected(&answer), "{answer:?}");
        assert!(answer.headers.starts_with("HTTP/2 "), "{answer:?}");
        let seen = answer.json();
        assert_eq!((&seen["path"], &seen["headers"]["host"]), (&format!("{path}?page=2").into(), &HOST.into()));
        assert!(seen["headers"].get("proxy-authorization").is_none(), "{seen}");
        let record = record(node, &path);
        assert_eq!((&record["intercepted"], &record["decision"]), (&true.into(), &"allow".into()), "{record}");
        assert_eq!(record["identity"]["pod_name"], pod, "{record}");
    }
}

pub fn what_is_inside_a_tunnel_is_judged(_: &Scene) {
    for (namespace, pod, options) in [
        (TEAM, "caller-1", format!("--request DELETE https://{HOST}/allowed/x")),
        (TEAM, "caller-1", format!("https://{HOST}/forbidden")),
        (TEAM, "other", format!("https://{HOST}/allowed/x")),
        (OTHER_TEAM, "caller", format!("https://{HOST}/allowed/x")),
    ] {
        let answer = call_by_proxy(namespace, pod, TOKEN, &options);
        assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"), "{pod} {options}: {answer:?}");
    }
}

pub fn no_tunnel_without_a_good_token_or_a_route(_: &Scene) {
    let upstream = format!("https://{HOST}/allowed/x");
    for (token, url, status) in [
        (TOKEN, upstream.as_str(), "200"),
        (DEFAULT_TOKEN, &upstream, "407"),
        ("/dev/null", &upstream, "407"),
        (TOKEN, "https://api.github.com/", "403"),
    ] {
        assert_eq!(connect_by_proxy(TEAM, "caller-1", token, url), status, "{token} {url}");
    }
}

pub fn http_proxy_takes_absolute_urls(_: &Scene) {
    for pod in ["caller-1", "caller-2"] {
        let answer = call_by_proxy(TEAM, pod, TOKEN, &format!("http://{HOST}/allowed/absolute"));
        assert!(injected(&answer), "{answer:?}");
        assert_eq!(answer.json()["path"], "/allowed/absolute");
    }
    let answer = call_by_proxy(TEAM, "caller-1", DEFAULT_TOKEN, &format!("http://{HOST}/allowed/absolute"));
    assert_eq!((answer.status, answer.code().as_str()), (407, "INVALID_TOKEN"), "{answer:?}");
}

/// With the bundle, tunnels work and so do calls that go past veilwarden.
pub fn the_bundle_trusts_what_was_trusted_before_and_our_ca(_: &Scene) {
    let url = format!("https://{HOST}/allowed/bundle");
    let bundle = format!("--cacert {ROOTS}/bundle.crt {url}");
    let answer = call_by_proxy(TEAM, "caller-1", TOKEN, &bundle);
    assert!(injected(&answer), "{answer:?}");
    let direct = caller::call(TEAM, "caller-1", &bundle);
    assert_eq!(direct.status, 200, "{direct:?}");
    assert!(direct.json()["headers"].get("authorization").is_none(), "it went past us: {direct:?}");
    let untrusted = format!("curl --silent --output /dev/null --cacert {ROOTS}/ca.crt {url}; echo $?");
    assert_eq!(kubectl::shell(TEAM, "caller-1", &untrusted), "60\n", "our CA alone is not the upstream's");
}

pub fn a_base_url_names_the_route(_: &Scene) {
    let bearer = format!(r#"--header "Authorization: Bearer $(cat {TOKEN})""#);
    for pod in ["caller-1", "caller-2"] {
        let answer = caller::call(TEAM, pod, &format!("{bearer} {PROXY}/_route/upstream/allowed/base-url"));
        assert!(injected(&answer), "{answer:?}");
        assert_eq!(answer.json()["path"], "/allowed/base-url");
    }
    let answer = caller::call(TEAM, "caller-1", &format!("{bearer} {PROXY}/_route/elsewhere/allowed/x"));
    assert_eq!((answer.status, answer.code().as_str()), (403, "HOST_NOT_ALLOWED"), "{answer:?}");
}

pub fn the_key_of_an_sdk_carries_the_token(_: &Scene) {
    let with_key = |token: &str| {
        let options = format!(r#"--header "X-Api-Key: $(cat {token})" {PROXY}/_route/upstream/allowed/sdk"#);
        caller::call(TEAM, "caller-2", &options)
    };
    let answer = with_key(TOKEN);
    assert!(injected(&answer), "{answer:?}");
    assert!(answer.json()["headers"].get("x-api-key").is_none(), "the token went upstream: {answer:?}");
    let answer = with_key(DEFAULT_TOKEN);
    assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"), "{answer:?}");
}

/// The pod of docs/listeners.md, on both nodes; and one without the socket's group.
pub fn a_unix_socket_of_the_node_tells_the_callers_uid(scene: &Scene) {
    let put_in = [
        ("api.github.com", HOST),
        ("http://veilwarden/zen", "http://veilwarden/allowed/by-socket"),
        ("sleep 60", "sleep 1"),
    ];
    let pod = recipes::pod("docs/listeners.md", "by-socket", &put_in);
    let mut outsider = pod.clone();
    outsider["spec"]["securityContext"].as_object_mut().expect("a map").remove("supplementalGroups");
    recipes::create(pod.clone(), ON_HOST, "by-socket-1", Some(&scene.nodes[0]));
    recipes::create(pod, ON_HOST, "by-socket-2", Some(&scene.nodes[1]));
    recipes::create(outsider, ON_HOST, "outsider", Some(&scene.nodes[0]));
    for (name, node) in [("by-socket-1", &scene.nodes[0]), ("by-socket-2", &scene.nodes[1])] {
        caller::wrote(ON_HOST, name, "200", Duration::from_secs(120));
        let record = record(node, "/allowed/by-socket");
        assert_eq!((&record["peer_uid"], &record["decision"]), (&10001.into(), &"allow".into()), "{record}");
        assert!(record.get("source_ip").is_none(), "{record}");
        assert_eq!(record["identity"]["pod_name"], name, "{record}");
    }
    caller::wrote(ON_HOST, "outsider", "000", Duration::from_secs(120));
    let log = caller::log(ON_HOST, "outsider");
    assert!(!log.lines().any(|line| line.starts_with("200")), "{log}");
}
