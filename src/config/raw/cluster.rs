//! An entry of `kubernetes.clusters`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Time, ValidateMethod};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "issuer"]))]
pub(in crate::config) struct Cluster {
    /// `identity.cluster` in policy input and audit records; a DNS label other than `default`, which is the cluster of the
    /// keys above.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The issuer that its tokens name in `iss`, to the letter; no two clusters may share one.
    #[schemars(length(min = 1))]
    pub issuer: String,
    /// Its API server's address: replaces that of `kubeconfig`, or stands beside `token_path` and `ca_path`.
    pub api_server: String,
    /// The kubeconfig to reach it with.
    pub kubeconfig: String,
    /// The kubeconfig's context. Empty: its current one.
    pub context: String,
    /// A file with a token of veilwarden's own that this cluster has issued (never the one for the cluster it runs in).
    pub token_path: String,
    /// This cluster's CA.
    pub ca_path: String,
    /// As `kubernetes.validate_method`, which it follows when it is not given.
    pub validate_method: Option<ValidateMethod>,
    /// As `kubernetes.audience`, which it follows when it is not given.
    #[schemars(length(min = 1))]
    pub audience: Option<String>,
    /// As `kubernetes.require_audience`, which it follows when it is not given.
    pub require_audience: Option<bool>,
    /// As `kubernetes.max_token_age`, which it follows when it is not given.
    #[schemars(extend("x-duration" = "positive"))]
    pub max_token_age: Option<Time>,
}
