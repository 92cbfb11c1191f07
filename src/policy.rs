//! May it: an input in, a decision out.

use std::time::SystemTime;

use http::HeaderMap;

use crate::BoxFuture;
use crate::authn::{Identity, Source};
use crate::ca::ClientName;

pub mod fixed;
pub mod input;
pub mod loader;
pub mod rego;

pub use fixed::{Fixed, Off};
pub use loader::{Bundle, Problem, Problems};
pub use rego::Rego;

/// What a policy is asked about: the call exactly as it will be sent, and who makes it.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub method: &'a str,
    /// The canonical path, byte for byte what goes upstream.
    pub path: &'a str,
    /// The raw query without `?`, byte for byte what goes upstream; empty when there is none.
    pub query: &'a str,
    /// The route's canonical host, with its port when that is not the scheme's default.
    pub upstream_host: &'a str,
    /// The route's secret id; empty when the route injects nothing.
    pub secret_id: &'a str,
    pub request_id: &'a str,
    pub timestamp: SystemTime,
    pub identity: &'a Identity,
    /// What will be sent upstream, before injection: credentials and private fields are already gone.
    pub headers: &'a HeaderMap,
    /// `X-Agent-Id` as the caller claims it; empty when absent.
    pub agent_id: &'a str,
    /// The socket's peer, never a forwarded-for field.
    pub source: Source,
    /// The name in the client certificate that the peer showed, verified.
    pub certificate: Option<&'a ClientName>,
    /// Whether the call was read inside an intercepted tunnel.
    pub intercepted: bool,
}

/// What an engine decided. Only `allowed == true` lets a call through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// `deny_reason` of the policy, or the engine's own words; shown to the caller on refusal.
    pub reason: String,
}

/// An engine that decides. An error is a refusal.
pub trait PolicyEngine: Send + Sync {
    fn decide<'a>(&'a self, input: Input<'a>) -> BoxFuture<'a, Result<Decision, Error>>;
    /// `opa` or `config`, for records.
    fn name(&self) -> &'static str;
}

/// Why no decision was made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("policy evaluation failed: {0}")]
    Evaluation(String),
    #[error("policy evaluation ran over its time budget")]
    Timeout,
}

/// The `policy` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// `enabled: false` written out, or no section and no Kubernetes: whatever the routes allow.
    Off,
    /// `engine: config`.
    Fixed { default_allow: bool },
    /// `engine: opa`. `decision_path` is `veilwarden/authz/allow`, not yet a Rego reference.
    Rego { policy_path: std::path::PathBuf, decision_path: String, timeout: std::time::Duration },
}
