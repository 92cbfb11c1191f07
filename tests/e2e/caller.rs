//! Pods that call through veilwarden, as the documents tell their authors to.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kubectl;
use crate::until::until;

/// The base's Service.
pub const PROXY: &str = "http://veilwarden.veilwarden.svc:8088";
/// Where the projected token is.
pub const TOKEN: &str = "/var/run/secrets/veilwarden/token";
/// Where the ConfigMap `veilwarden-ca` of the pod's namespace is: `ca.crt` and `bundle.crt`.
pub const ROOTS: &str = "/etc/veilwarden-ca";
/// A pod's ordinary token, for the API server.
pub const DEFAULT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How long a pod may take from being made to being ready on a busy machine.
const READY: Duration = Duration::from_secs(120);

/// A pod to be made.
pub struct Pod<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub service_account: &'a str,
    /// Where it must run; anywhere if there is none.
    pub node: Option<&'a str>,
    /// What it does; without this it waits to be told, by [`call`].
    pub script: Option<&'a str>,
    pub host_network: bool,
}

impl Pod<'_> {
    pub fn new<'a>(namespace: &'a str, name: &'a str, service_account: &'a str) -> Pod<'a> {
        Pod { namespace, name, service_account, node: None, script: None, host_network: false }
    }

    /// Makes it, without waiting for it.
    pub fn create(&self) {
        kubectl::applied(&self.object().to_string());
    }

    /// Makes it and waits until it is ready.
    pub fn start(&self) {
        self.create();
        ready(self.namespace, self.name);
    }

    /// Passes Pod Security `restricted` unless it is on the host's network.
    pub fn object(&self) -> Value {
        let command = self.script.map_or(json!(["sleep", "2147483647"]), |script| json!(["sh", "-c", script]));
        let token =
            json!({"serviceAccountToken": {"path": "token", "audience": "veilwarden", "expirationSeconds": 600}});
        let mut spec = json!({
            "serviceAccountName": self.service_account,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "main",
                "image": client_image(),
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [
                    {"name": "veilwarden", "mountPath": "/var/run/secrets/veilwarden", "readOnly": true},
                    {"name": "roots", "mountPath": ROOTS, "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "veilwarden", "projected": {"sources": [token]}},
                {"name": "roots", "configMap": {"name": "veilwarden-ca"}},
            ],
        });
        if let Some(node) = self.node {
            spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        }
        if self.host_network {
            spec["hostNetwork"] = json!(true);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        })
    }
}

/// The image with curl and a shell.
pub fn client_image() -> String {
    std::env::var("VEILWARDEN_CLIENT_IMAGE").unwrap_or_else(|_| "veilwarden.test/client:1".to_owned())
}

pub fn ready(namespace: &str, pod: &str) {
    let timeout = format!("{}s", READY.as_secs());
    let arguments = ["wait", "--for=condition=Ready", "--namespace", namespace, "pod", pod, "--timeout", &timeout];
    let outcome = kubectl::attempt(&arguments);
    if !outcome.succeeded {
        let told = kubectl::attempt(&["describe", "--namespace", namespace, "pod", pod]);
        panic!("pod {namespace}/{pod} is not ready: {}\n{}", outcome.stderr, told.stdout);
    }
}

/// What a caller got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of our own errors; empty for the upstream's answers.
    pub fn code(&self) -> String {
        let value = |line: &str| line.to_ascii_lowercase().starts_with("x-veilwarden-error:").then(|| line.to_owned());
        let line = self.headers.lines().find_map(value).unwrap_or_default();
        line.split_once(':').map(|(_, code)| code.trim().to_owned()).unwrap_or_default()
    }
}

/// A call from inside a pod with curl. `options` is what a person would type, quoted for the shell.
pub fn call(namespace: &str, pod: &str, options: &str) -> Answer {
    answered(namespace, pod, "", options)
}

/// The same with veilwarden as the proxy that curl finds in its environment, and `token` as the password for it. Only
/// veilwarden's CA is trusted.
pub fn call_by_proxy(namespace: &str, pod: &str, token: &str, options: &str) -> Answer {
    answered(namespace, pod, &proxy_variables(token), options)
}

/// What a call by proxy comes to that need not be answered: the status of its CONNECT, which is 000 if there was none.
pub fn connect_by_proxy(namespace: &str, pod: &str, token: &str, url: &str) -> String {
    let curl = "curl --silent --max-time 30 --output /dev/null --write-out '%{http_connect}'";
    kubectl::shell(namespace, pod, &format!("{}{curl} {url} || true", proxy_variables(token)))
}

/// As a job in a pod sets them, for a shell. `token` is a file.
fn proxy_variables(token: &str) -> String {
    let address = PROXY.trim_start_matches("http://");
    format!(
        r#"export HTTPS_PROXY="http://x:$(cat {token})@{address}" CURL_CA_BUNDLE={ROOTS}/ca.crt
export http_proxy="$HTTPS_PROXY"
"#
    )
}

fn answered(namespace: &str, pod: &str, before: &str, options: &str) -> Answer {
    let script =
        format!("{before}curl --silent --show-error --max-time 30 --include --suppress-connect-headers {options}");
    let text = kubectl::shell(namespace, pod, &script);
    let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = headers.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no answer: {text}")),
        headers: headers.to_owned(),
        body: body.to_owned(),
    }
}

/// Options for [`call`]: with the projected token, to `path` of the upstream `host`.
pub fn with_token(host: &str, path: &str) -> String {
    with_token_at(PROXY, TOKEN, host, path)
}

/// The same for another proxy, and another token file.
pub fn with_token_at(proxy: &str, token: &str, host: &str, path: &str) -> String {
    format!(r#"--header "Authorization: Bearer $(cat {token})" --header "X-Upstream-Host: {host}" {proxy}{path}"#)
}

/// What a pod wrote so far; nothing when it has not begun.
pub fn log(namespace: &str, pod: &str) -> String {
    let outcome = kubectl::attempt(&["logs", "--namespace", namespace, pod]);
    if outcome.succeeded { outcome.stdout } else { String::new() }
}

/// Waits until a pod has written a line that begins so.
pub fn wrote(namespace: &str, pod: &str, line: &str, within: Duration) {
    until(&format!("{namespace}/{pod} writes `{line}`"), within, || {
        log(namespace, pod).lines().any(|written| written.starts_with(line)).then_some(())
    });
}
