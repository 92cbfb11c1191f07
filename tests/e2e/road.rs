//! Calls by ordinary pods: who may, who may not, and what each of them gets.

use std::time::Duration;

use crate::caller::{self, DEFAULT_TOKEN, PROXY, TOKEN, with_token, with_token_at};
use crate::kubectl;
use crate::scene::{HOST, OTHER_TEAM, SECRET, SESSION_SECRET, Scene, TEAM, call, injected, proxy_logs, proxy_on};
use crate::until::until;

pub fn allowed_call_with_injection(_: &Scene) {
    for pod in ["caller-1", "caller-2"] {
        let answer = call(pod, "/allowed/orders?page=2");
        assert!(injected(&answer), "{answer:?}");
        let seen = answer.json();
        assert_eq!(seen["path"], "/allowed/orders?page=2");
        assert_eq!(seen["headers"]["host"], HOST);
        assert!(answer.code().is_empty(), "{answer:?}");
    }
}

pub fn the_caller_never_sees_the_secret_nor_the_upstream_the_token(_: &Scene) {
    let token = kubectl::shell(TEAM, "caller-1", &format!("cat {TOKEN}"));
    let answer = call("caller-1", "/allowed/secret");
    assert!(injected(&answer), "{answer:?}");
    let text = format!("{}{}", answer.headers, answer.body);
    assert!(!text.contains(SECRET), "the secret came back: {text}");
    assert!(!text.contains(token.trim()), "the token went upstream: {text}");
    // Everything that the pod can read about itself, and what veilwarden wrote about all calls.
    let known = kubectl::shell(
        TEAM,
        "caller-1",
        "env; cat /proc/self/environ; find /var/run/secrets /tmp -type f -exec cat {} +",
    );
    assert!(!known.contains(SECRET));
    let logs = proxy_logs();
    assert!(logs.contains("/allowed/secret") && !logs.contains(SECRET) && !logs.contains(token.trim()));
}

pub fn denied_by_namespace(_: &Scene) {
    let answer = caller::call(OTHER_TEAM, "caller", &with_token(HOST, "/allowed/x"));
    assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"), "{answer:?}");
    assert_eq!(answer.json()["hint"], "team-a/caller may read below /allowed");
}

pub fn denied_by_service_account(_: &Scene) {
    let answer = caller::call(TEAM, "other", &with_token(HOST, "/allowed/x"));
    assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"), "{answer:?}");
}

pub fn denied_by_method_and_path(_: &Scene) {
    for (options, path) in [("--request DELETE", "/allowed/x"), ("", "/forbidden"), ("--data a=b", "/allowed/x")] {
        let answer = caller::call(TEAM, "caller-1", &format!("{options} {}", with_token(HOST, path)));
        assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"), "{options} {path}: {answer:?}");
    }
}

pub fn a_host_without_a_route_is_refused(_: &Scene) {
    let answer = caller::call(TEAM, "caller-1", &with_token("api.github.com", "/allowed/x"));
    assert_eq!((answer.status, answer.code().as_str()), (403, "HOST_NOT_ALLOWED"), "{answer:?}");
}

pub fn default_token_refused_with_hint(_: &Scene) {
    let options = with_token_at(PROXY, DEFAULT_TOKEN, HOST, "/allowed/x");
    let answer = caller::call(TEAM, "caller-1", &options);
    assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"), "{answer:?}");
    let hint = answer.json()["hint"].as_str().unwrap_or_default().to_owned();
    assert!(hint.contains("audience") && hint.contains("veilwarden"), "{hint}");
}

pub fn call_reaches_own_node(scene: &Scene) {
    for (pod, node) in [("caller-1", &scene.nodes[0]), ("caller-2", &scene.nodes[1])] {
        for turn in 0..5 {
            let path = format!("/allowed/from-{node}-{turn}");
            assert!(injected(&call(pod, &path)));
            let proxy = proxy_on(node);
            until(&format!("{proxy} on {node} has a record of {path}"), Duration::from_secs(10), || {
                caller::log("veilwarden", &proxy).contains(&path).then_some(())
            });
        }
    }
}

pub fn the_audit_record_names_the_pod_and_the_node(scene: &Scene) {
    let path = "/allowed/audited";
    assert!(injected(&call("caller-2", path)));
    let proxy = proxy_on(&scene.nodes[1]);
    let line = until("the record of the call", Duration::from_secs(10), || {
        caller::log("veilwarden", &proxy).lines().find(|line| line.contains(path)).map(str::to_owned)
    });
    for part in ["team-a", "caller-2", scene.nodes[1].as_str(), "API_KEY", "allow"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

pub fn session_secret_works_beside(_: &Scene) {
    let with = |secret: &str| {
        format!(r#"--header "X-Session-Secret: {secret}" --header "X-Upstream-Host: {HOST}" {PROXY}/anything"#)
    };
    let answer = caller::call(OTHER_TEAM, "caller", &with(SESSION_SECRET));
    assert!(injected(&answer), "{answer:?}");
    let answer = caller::call(OTHER_TEAM, "caller", &with("not-the-session-secret-at-all"));
    assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{answer:?}");
}

pub fn bearer_wins(_: &Scene) {
    let both = |pod: &str, namespace: &str, token: &str| {
        let options = with_token_at(PROXY, token, HOST, "/allowed/both");
        caller::call(namespace, pod, &format!(r#"--header "X-Session-Secret: {SESSION_SECRET}" {options}"#))
    };
    // The session secret alone would be allowed; what counts is that the bearer is of another team.
    let answer = both("caller", OTHER_TEAM, TOKEN);
    assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"), "{answer:?}");
    // A bad bearer is not rescued.
    let answer = both("caller-1", TEAM, DEFAULT_TOKEN);
    assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"), "{answer:?}");
    assert!(injected(&both("caller-1", TEAM, TOKEN)));
}

pub fn no_credential_is_401_with_a_challenge(_: &Scene) {
    let answer = caller::call(TEAM, "caller-1", &format!(r#"--header "X-Upstream-Host: {HOST}" {PROXY}/allowed/x"#));
    assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{answer:?}");
    assert!(answer.headers.to_ascii_lowercase().contains("www-authenticate: bearer"), "{answer:?}");
}
