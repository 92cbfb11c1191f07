//! The `kubernetes` section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cluster, PodBinding, Switch, Time};

/// How a token is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ValidateMethod {
    Tokenreview,
    Jwks,
    Both,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Kubernetes {
    /// `auto` is on when the file at `token_path` or the variable `KUBERNETES_SERVICE_HOST` exists. Flag `--k8s-enabled`
    /// overrides the file, `auto` on the flag included.
    pub enabled: Switch,
    /// Replaces the API server's address and nothing else of the in-cluster settings or the kubeconfig; https, or http on
    /// loopback. Empty: what they say (in a cluster `https://kubernetes.default.svc`). Flag `--k8s-api-server`.
    pub api_server: String,
    /// The kubeconfig to use outside a cluster. Empty: the variable `KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: String,
    /// The kubeconfig's context. Empty: its current one.
    pub context: String,
    /// veilwarden's own ServiceAccount token, when it runs in a cluster.
    pub token_path: String,
    /// The API server's CA, when veilwarden runs in a cluster.
    pub ca_path: String,
    /// How tokens are validated: the API server is asked about each (`tokenreview`), they are verified here by the keys that
    /// the API server signs with (`jwks`; a deleted pod's token is then accepted until it ends), or verified here first and
    /// then asked about (`both`). Flag `--k8s-validate-method`.
    pub validate_method: ValidateMethod,
    /// The audience that a workload's token must carry, asked for in the review and checked in its answer.
    #[schemars(length(min = 1))]
    pub audience: String,
    /// `true` with `jwks` and `both`: no other audience may stand beside ours. `false` also accepts tokens for the API server
    /// itself: whoever receives a pod's ordinary token elsewhere can then spend it here.
    pub require_audience: bool,
    /// The issuer that tokens must name in `iss`, to the letter, for `jwks` and `both`. Empty: what the API server's discovery
    /// document says. With `clusters`: tokens that name neither this nor a cluster's are refused unasked.
    pub issuer: String,
    /// How long after it was issued a token is accepted with `jwks`, even if its `exp` is later: Kubernetes puts off the `exp`
    /// of a pod's ordinary token by a year (`warnafter`). The kubelet renews every token file within 24 hours.
    #[schemars(extend("x-duration" = "positive"))]
    pub max_token_age: Time,
    /// How long a good token is remembered; never past its `exp`.
    pub cache_ttl: Time,
    /// How long a refused token is remembered.
    pub negative_cache_ttl: Time,
    /// How many tokens are remembered.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub cache_entries: u64,
    /// One TokenReview call, or one fetch of the keys, all included.
    #[schemars(extend("x-duration" = "positive"))]
    pub timeout: Time,
    /// TokenReview calls a second, in all: a share for each peer address and a reserve for tokens that were good before.
    /// Over it, calls get 503 `AUTH_UNAVAILABLE`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_reviews_per_second: u32,
    /// Further clusters whose workloads may call. A token is judged by the cluster whose `issuer` it names.
    pub clusters: Vec<Cluster>,
    /// Whether a call must come from an address of the pod that its token names: `warn` logs and counts what `enforce`
    /// refuses. Needs `node_name` and the ClusterRole `veilwarden-pods`.
    pub pod_binding: PodBinding,
    /// Whether policies see labels and annotations of the caller's pod and labels of its namespace. Needs `node_name` and
    /// the ClusterRoles `veilwarden-pods` and `veilwarden-namespaces`.
    pub pod_metadata: bool,
    /// The node that veilwarden runs on; only its pods are watched. Flag `--node-name`; in a DaemonSet the variable
    /// `VEILWARDEN_NODE_NAME` by the downward API (`spec.nodeName`).
    pub node_name: String,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Kubernetes {
            enabled: Switch::Auto,
            api_server: String::new(),
            kubeconfig: String::new(),
            context: String::new(),
            token_path: "/var/run/secrets/kubernetes.io/serviceaccount/token".to_owned(),
            ca_path: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt".to_owned(),
            validate_method: ValidateMethod::Tokenreview,
            audience: "veilwarden".to_owned(),
            require_audience: true,
            issuer: String::new(),
            max_token_age: Time::seconds(25 * 3600),
            cache_ttl: Time::seconds(30),
            negative_cache_ttl: Time::seconds(5),
            cache_entries: 10_000,
            timeout: Time::seconds(2),
            max_reviews_per_second: 50,
            clusters: Vec::new(),
            pod_binding: PodBinding::Off,
            pod_metadata: false,
            node_name: String::new(),
        }
    }
}
