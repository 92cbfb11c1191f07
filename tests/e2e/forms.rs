//! The other forms of installing it.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::caller::{self, DEFAULT_TOKEN, Pod, TOKEN, with_token_at};
use crate::kubectl;
use crate::scene::{self, HOST, Scene, answers, injected, path};

/// The namespace of callers that need what only `privileged` namespaces have.
pub const ON_HOST: &str = "team-on-host";

pub fn pod_security_accepts(_: &Scene) {
    let namespace = kubectl::json(&["get", "namespace", "veilwarden"]);
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let warned = |overlay: &str| {
        let directory = path(&format!("deploy/kubernetes/{overlay}")).display().to_string();
        let outcome = kubectl::attempt(&["apply", "--kustomize", &directory, "--dry-run=server"]);
        assert!(outcome.succeeded, "{overlay}: {}", outcome.stderr);
        outcome.stderr.contains("would violate PodSecurity")
    };
    for overlay in ["base", "overlays/production"] {
        assert!(!warned(overlay), "{overlay} does not pass `restricted`");
    }
    // The namespace of this dry run is still the restricted one: the check can fail.
    assert!(warned("overlays/host-network"), "host-network needs `privileged`");
}

pub fn rbac_is_minimal(_: &Scene) {
    let may = |words: &[&str]| {
        let who = ["--as=system:serviceaccount:veilwarden:veilwarden", "--quiet"];
        kubectl::attempt(&[&["auth", "can-i"], words, &who].concat()).succeeded
    };
    assert!(may(&["create", "tokenreviews.authentication.k8s.io"]));
    for words in [
        &["get", "tokenreviews.authentication.k8s.io"][..],
        &["list", "tokenreviews.authentication.k8s.io"],
        &["get", "secrets", "--namespace", "veilwarden"],
        &["list", "secrets", "--all-namespaces"],
        &["list", "pods", "--all-namespaces"],
        &["get", "configmaps", "--namespace", "veilwarden"],
        &["create", "serviceaccounts/token", "--namespace", "veilwarden"],
        &["impersonate", "serviceaccounts"],
        &["create", "pods", "--namespace", "veilwarden"],
    ] {
        assert!(!may(words), "veilwarden may {}", words.join(" "));
    }
}

/// The overlay `host-network`, in which the Unix socket is tried out as well.
pub fn deploy_on_host(scene: &Scene) {
    scene::redeploy("tests/e2e/deploy-host-network");
    scene.namespace_of_callers(ON_HOST, "privileged");
}

pub fn host_network_overlay(scene: &Scene) {
    for (number, node) in scene.nodes.iter().enumerate() {
        let name = format!("on-host-{}", number + 1);
        Pod { node: Some(node), host_network: true, ..Pod::new(ON_HOST, &name, "caller") }.start();
        for token in [TOKEN, DEFAULT_TOKEN] {
            let options = with_token_at("http://localhost:8088", token, HOST, "/allowed/localhost");
            let answer = caller::call(ON_HOST, &name, &options);
            assert!(injected(&answer), "{node}, {token}: {answer:?}");
        }
    }
    // Ordinary pods still go by the Service.
    answers("caller-1");
}

/// The chart in place of the manifests: the same calls have the same answers, and `helm test` succeeds.
pub fn helm_gives_the_same(scene: &Scene) {
    // The names are the same in every form.
    kubectl::run(&["delete", "--kustomize", &path("tests/e2e/deploy").display().to_string(), "--wait=true"]);
    scene::namespace("veilwarden", "restricted");
    scene.secrets();
    let chart = path("deploy/helm/veilwarden").display().to_string();
    let values = path("tests/e2e/helm-values.yaml").display().to_string();
    helm(&[
        "install",
        "veilwarden",
        &chart,
        "--namespace",
        "veilwarden",
        "--values",
        &values,
        "--wait",
        "--timeout=240s",
    ]);
    answers("caller-1");
    answers("caller-2");
    let tunnelled = caller::call_by_proxy(scene::TEAM, "caller-1", TOKEN, &format!("https://{HOST}/allowed/tunnel"));
    assert!(injected(&tunnelled), "{tunnelled:?}");
    let denied = caller::call(scene::OTHER_TEAM, "caller", &caller::with_token(HOST, "/allowed/x"));
    assert_eq!(denied.code(), "POLICY_DENIED", "{denied:?}");
    helm(&["test", "veilwarden", "--namespace", "veilwarden"]);
    let release: Value =
        serde_json::from_str(&helm(&["list", "--namespace", "veilwarden", "--output=json"])).expect("JSON");
    assert_eq!(release[0]["status"], "deployed", "{release}");
    helm(&["uninstall", "veilwarden", "--namespace", "veilwarden", "--wait"]);
}

fn helm(arguments: &[&str]) -> String {
    let program = std::env::var_os("VEILWARDEN_HELM").unwrap_or_else(|| "helm".into());
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("helm can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm {}: {text}{told}", arguments.join(" "));
    text
}
