//! Who calls: a credential in, an identity out.

use std::net::IpAddr;
use std::sync::Arc;

use crate::BoxFuture;
use crate::request::Credential;

pub mod identity;

pub use identity::{Identity, User, Workload};

/// Turns a credential into an identity. `peer` is the socket address' IP, for the fair share of reviews.
pub trait Authenticator: Send + Sync {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        peer: IpAddr,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>>;
}

/// Why a caller was not authenticated.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("missing authentication: no bearer token or session secret")]
    Missing,
}

/// The `kubernetes` section, when Kubernetes authentication is on.
#[derive(Debug, Clone)]
pub struct KubernetesSettings {
    /// Replaces the server's address and nothing else of the in-cluster settings or the kubeconfig.
    pub api_server: Option<String>,
    /// `kubernetes.kubeconfig`, else `KUBECONFIG`; `None`: `~/.kube/config` when not in a cluster.
    pub kubeconfig: Option<std::path::PathBuf>,
    pub context: Option<String>,
    pub token_path: std::path::PathBuf,
    pub ca_path: std::path::PathBuf,
    pub audience: String,
    pub require_audience: bool,
    pub cache_ttl: std::time::Duration,
    pub negative_cache_ttl: std::time::Duration,
    pub cache_entries: u64,
    /// One TokenReview call, all included.
    pub timeout: std::time::Duration,
    pub max_reviews_per_second: std::num::NonZeroU32,
}
