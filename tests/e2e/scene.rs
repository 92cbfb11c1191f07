//! What all tests share: veilwarden as the documents install it, an upstream over TLS, callers on both nodes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::authorities::{Ca, upstream_certificates};
use crate::caller::{self, Answer, Pod};
use crate::kubectl;
use crate::until::until;

/// The upstream's name; its route is in deploy/config.yaml.
pub const HOST: &str = "upstream.e2e-upstream.svc.cluster.local";
/// What the route puts in.
pub const SECRET: &str = "e2e-secret-that-no-caller-may-see";
pub const SESSION_SECRET: &str = "e2e-session-secret-of-a-laptop";
/// The namespaces of callers.
pub const TEAM: &str = "team-a";
pub const OTHER_TEAM: &str = "team-b";

/// How long a rollout may take on a busy machine.
const ROLLOUT: &str = "--timeout=240s";

pub struct Scene {
    /// The two nodes' names.
    pub nodes: [String; 2],
    /// The CA of forward mode, which outlives an installation.
    ca: Ca,
}

impl Scene {
    /// Installs everything with kubectl. What was installed before is brought to the same state.
    pub fn install() -> Scene {
        let nodes = worker_nodes();
        for name in ["veilwarden", "e2e-upstream"] {
            namespace(name, "restricted");
        }
        start_upstream();
        let scene = Scene { nodes, ca: Ca::in_use().unwrap_or_else(Ca::make) };
        scene.secrets();
        deploy("tests/e2e/deploy");
        for name in [TEAM, OTHER_TEAM] {
            scene.namespace_of_callers(name, "restricted");
        }
        service_account(TEAM, "other");
        scene.start_callers();
        scene
    }

    /// A namespace with the ServiceAccount `caller`, whose pods may trust our CA. `bundle.crt` would have the public roots
    /// beside it; here the upstream's own CA stands for them.
    pub fn namespace_of_callers(&self, name: &str, security: &str) {
        namespace(name, security);
        service_account(name, "caller");
        let ca = &self.ca.certificate;
        let data = json!({"ca.crt": ca, "bundle.crt": format!("{}{ca}", upstream_root())});
        let metadata = json!({"name": "veilwarden-ca", "namespace": name});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
        kubectl::applied(&object.to_string());
    }

    /// `veilwarden-secrets` with everything that the configuration of the tests reads from it, and `veilwarden-ca`.
    pub fn secrets(&self) {
        let keys = json!({"api-key": SECRET, "session-secret": SESSION_SECRET, "upstream-ca": upstream_root()});
        secret("veilwarden", "veilwarden-secrets", &keys);
        let ca = json!({"tls.crt": self.ca.certificate, "tls.key": self.ca.key});
        secret("veilwarden", "veilwarden-ca", &ca);
    }

    /// One on each node, one of another ServiceAccount, one of another namespace.
    fn start_callers(&self) {
        let pods = [
            Pod { node: Some(&self.nodes[0]), ..Pod::new(TEAM, "caller-1", "caller") },
            Pod { node: Some(&self.nodes[1]), ..Pod::new(TEAM, "caller-2", "caller") },
            Pod { node: Some(&self.nodes[0]), ..Pod::new(TEAM, "other", "other") },
            Pod::new(OTHER_TEAM, "caller", "caller"),
        ];
        pods.iter().for_each(Pod::create);
        pods.iter().for_each(|pod| caller::ready(pod.namespace, pod.name));
    }
}

/// A call from `pod` of the team that the policy knows, with its projected token.
pub fn call(pod: &str, path: &str) -> Answer {
    caller::call(TEAM, pod, &caller::with_token(HOST, path))
}

/// What the upstream answers when the secret came: it shows the field's digest and never its value.
pub fn injected(answer: &Answer) -> bool {
    let expected = format!("sha256:{}", sha256(&format!("Bearer {SECRET}")));
    answer.status == 200 && answer.json()["headers"]["authorization"] == expected
}

fn sha256(text: &str) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Nodes where ordinary pods may run.
fn worker_nodes() -> [String; 2] {
    let nodes = kubectl::json(&["get", "nodes"]);
    let tainted = |node: &Value| {
        node["spec"]["taints"]
            .as_array()
            .is_some_and(|taints| taints.iter().any(|taint| taint["effect"] == "NoSchedule"))
    };
    let names = nodes["items"].as_array().into_iter().flatten().filter(|node| !tainted(node));
    let names: Vec<String> =
        names.map(|node| node["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
    names.try_into().unwrap_or_else(|names| panic!("the tests need exactly two nodes for pods, and found {names:?}"))
}

pub fn namespace(name: &str, security: &str) {
    let labels = json!({"pod-security.kubernetes.io/enforce": security});
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    kubectl::applied(&object.to_string());
}

pub fn service_account(namespace: &str, name: &str) {
    let metadata = json!({"name": name, "namespace": namespace});
    kubectl::applied(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}).to_string());
}

fn secret(namespace: &str, name: &str, keys: &Value) {
    let metadata = json!({"name": name, "namespace": namespace});
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys});
    kubectl::applied(&object.to_string());
}

/// `kubectl apply -k` of a directory of this repository, as the documents say; waits until it is rolled out.
pub fn deploy(directory: &str) {
    kubectl::run(&["apply", "--kustomize", &path(directory).display().to_string()]);
    rolled_out();
}

/// The same for a changed configuration, which pods read at their start only: where nothing else has changed, they are
/// started anew.
pub fn redeploy(directory: &str) {
    let applied = kubectl::run(&["apply", "--kustomize", &path(directory).display().to_string()]);
    if applied.lines().any(|line| line == "daemonset.apps/veilwarden unchanged") {
        kubectl::run(&["rollout", "restart", "--namespace", "veilwarden", "daemonset/veilwarden"]);
    }
    rolled_out();
}

pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Waits until every node has the DaemonSet's newest pod.
pub fn rolled_out() {
    let resource = "daemonset/veilwarden";
    let outcome = kubectl::attempt(&["rollout", "status", "--namespace", "veilwarden", resource, ROLLOUT]);
    if !outcome.succeeded {
        let pods = kubectl::attempt(&["describe", "pods", "--namespace", "veilwarden"]).stdout;
        let log = kubectl::attempt(&["logs", "--namespace", "veilwarden", resource, "--tail=50"]).stdout;
        panic!("{resource} is not rolled out: {}{}\n{pods}\n{log}", outcome.stdout, outcome.stderr);
    }
}

/// The pod of the DaemonSet on a node, newest first if an update is under way.
pub fn proxy_on(node: &str) -> String {
    let selector = format!("spec.nodeName={node},status.phase=Running");
    let pods = kubectl::json(&[
        "get",
        "pods",
        "--namespace",
        "veilwarden",
        "--selector",
        "app=veilwarden",
        "--field-selector",
        &selector,
    ]);
    let names = pods["items"].as_array().into_iter().flatten();
    let live = names.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let name = live.filter_map(|pod| pod["metadata"]["name"].as_str()).next_back();
    name.unwrap_or_else(|| panic!("no veilwarden on {node}: {pods}")).to_owned()
}

/// What all of veilwarden's pods wrote lately: the audit trail and the log.
pub fn proxy_logs() -> String {
    let selected = ["logs", "--namespace", "veilwarden", "--selector", "app=veilwarden", "--tail=-1"];
    // A pod of the last rollout may be gone before its turn to be read comes.
    until("kubectl reads the logs of all pods", Duration::from_secs(30), || {
        let logs = kubectl::attempt(&selected);
        logs.succeeded.then_some(logs.stdout)
    })
}

/// `veilwarden echo` over TLS, with a certificate of a CA that only the route knows. It is made once.
fn start_upstream() {
    if !kubectl::attempt(&["get", "secret", "--namespace", "e2e-upstream", "upstream-tls"]).succeeded {
        let [root, leaf, key] = upstream_certificates();
        secret("e2e-upstream", "upstream-tls", &json!({"ca.crt": root, "tls.crt": leaf, "tls.key": key}));
    }
    kubectl::run(&["apply", "--filename", &path("tests/e2e/deploy/upstream.yaml").display().to_string()]);
    kubectl::run(&["rollout", "status", "--namespace", "e2e-upstream", "deployment/upstream", ROLLOUT]);
}

/// The certificate of the CA that the upstream has its certificate from.
fn upstream_root() -> String {
    value("e2e-upstream", "upstream-tls", "ca.crt")
}

/// A value of a Secret that is there.
pub fn value(namespace: &str, secret: &str, key: &str) -> String {
    let object = kubectl::json(&["get", "secret", "--namespace", namespace, secret]);
    let value = BASE64_STANDARD.decode(object["data"][key].as_str().unwrap_or_default());
    String::from_utf8(value.expect("the API server encodes")).expect("ours are text")
}

/// Waits until the endpoint controllers have seen what was changed: a call from `pod` succeeds.
pub fn answers(pod: &str) {
    crate::until::until("a call succeeds", Duration::from_secs(60), || {
        injected(&call(pod, "/allowed/first")).then_some(())
    });
}
