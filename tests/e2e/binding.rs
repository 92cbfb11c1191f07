//! A token is good from its own pod only, and that pod's labels count.

use std::time::Duration;

use crate::caller::{self, Answer, DEFAULT_TOKEN, PROXY, TOKEN, with_token_at};
use crate::kubectl;
use crate::scene::{self, HOST, Scene, TEAM, call, injected, proxy_logs};
use crate::until::until;

/// How long a change of a label may take to be felt.
const FELT: Duration = Duration::from_secs(20);

/// Tokens for anybody are accepted, but from their own pods only.
pub fn bind(_: &Scene) {
    scene::redeploy("tests/e2e/deploy-bound");
}

/// Back to tokens that everybody may spend. The rights to watch pods go, too.
pub fn unbind(_: &Scene) {
    scene::redeploy("tests/e2e/deploy");
    let names = ["veilwarden-pods", "veilwarden-namespaces"];
    kubectl::run(&[&["delete", "clusterrole,clusterrolebinding", "--ignore-not-found"], &names[..]].concat());
}

pub fn default_token_accepted_without_require_audience(_: &Scene) {
    let answer = caller::call(TEAM, "caller-1", &with_token_at(PROXY, DEFAULT_TOKEN, HOST, "/allowed/default"));
    assert!(injected(&answer), "{answer:?}");
    assert!(injected(&call("caller-1", "/allowed/projected")), "a token for us is good all the same");
    assert!(proxy_logs().contains("require_audience"), "the start warns of it");
}

/// A call by `caller-1` with the token that another pod holds now.
fn spend_token_of(pod: &str) -> Answer {
    let token = kubectl::shell(TEAM, pod, &format!("cat {TOKEN}"));
    let options = format!(
        "--header 'Authorization: Bearer {}' --header 'X-Upstream-Host: {HOST}' {PROXY}/allowed/stolen",
        token.trim()
    );
    caller::call(TEAM, "caller-1", &options)
}

pub fn a_stolen_token_is_refused(_: &Scene) {
    // One of a pod on the same node, one of a pod on the other.
    for owner in ["other", "caller-2"] {
        let answer = spend_token_of(owner);
        assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"), "{owner}: {answer:?}");
        assert!(answer.json()["hint"].as_str().unwrap_or_default().contains("pod"), "{owner}: {answer:?}");
    }
    // In its own pod each is good.
    assert!(injected(&call("caller-2", "/allowed/own")));
    assert_eq!(call("other", "/allowed/own").code(), "POLICY_DENIED");
    assert!(injected(&spend_token_of("caller-1")), "so is one's own");
}

pub fn a_label_of_the_pod_decides(_: &Scene) {
    let label = |label: &str| kubectl::run(&["label", "pod", "--namespace", TEAM, "caller-2", label, "--overwrite"]);
    let becomes = |allowed: bool| {
        until(&format!("allowed: {allowed}"), FELT, || {
            let answer = call("caller-2", "/gold/bar");
            assert!(injected(&answer) || answer.code() == "POLICY_DENIED", "{answer:?}");
            (injected(&answer) == allowed).then_some(())
        });
    };
    becomes(false);
    label("tier=gold");
    becomes(true);
    assert_eq!(call("caller-1", "/gold/bar").code(), "POLICY_DENIED", "the label is another pod's");
    label("tier-");
    becomes(false);
}
