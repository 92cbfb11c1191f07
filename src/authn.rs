//! Who calls: a credential in, an identity out.
//!
//! `token` looks at a token locally, `token_review` asks the API server, `jwks` verifies by its keys, `both` does one
//! after the other, `cached` remembers what they said, `clusters` picks the cluster, `pods` looks at the caller's pod,
//! `session` knows the laptop's shared secret. [`Authn`] sends each credential to the one authenticator that is for it.

use std::sync::Arc;

use aws_lc_rs::digest;

use crate::BoxFuture;
use crate::request::Credential;

pub mod api_server;
pub mod both;
pub mod cached;
pub mod cluster;
pub mod clusters;
pub mod error;
mod fair_share;
#[cfg(test)]
mod hostile;
pub mod identity;
pub mod jwks;
mod own_token;
#[cfg(test)]
mod played;
pub mod pods;
pub(crate) mod service_account;
pub mod session;
mod source;
pub(crate) mod token;
pub mod token_review;

pub use error::{Blame, Error, Unavailable};
pub(crate) use service_account::{is_label, is_subdomain};

pub use identity::{Attribute, Identity, User, Workload};
pub use source::Source;

/// A credential's SHA-256: what is kept of it.
type Sha256 = [u8; digest::SHA256_OUTPUT_LEN];

fn sha256(credential: &str) -> Sha256 {
    let mut out = Sha256::default();
    out.copy_from_slice(digest::digest(&digest::SHA256, credential.as_bytes()).as_ref());
    out
}

/// Turns a credential into an identity. `peer` is for the fair share of reviews, and to compare with the
/// caller's pod.
pub trait Authenticator: Send + Sync {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        peer: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>>;

    /// The program has started: begins what goes on in the background. Needs a runtime.
    fn begin(&self) {}

    /// Whether it can judge at all; once it can, it stays so.
    fn ready(&self) -> bool {
        true
    }
}

/// The configured ways to authenticate. A credential is judged by exactly one of them; a bad one is never rescued.
pub struct Authn {
    session: Option<session::Session>,
    kubernetes: Option<Box<dyn Authenticator>>,
}

impl Authn {
    /// `kubernetes` is given when Kubernetes authentication is on, `session` when a session secret is configured.
    pub fn new(session: Option<session::Session>, kubernetes: Option<Box<dyn Authenticator>>) -> Self {
        Self { session, kubernetes }
    }

    /// Whether there is a session secret that a caller could have.
    pub fn takes_session_secret(&self) -> bool {
        self.session.is_some()
    }

    /// The program has started; see [`Authenticator::begin`].
    pub fn begin(&self) {
        self.kubernetes.iter().for_each(|kubernetes| kubernetes.begin());
    }

    /// Whether workloads can be judged; see [`Authenticator::ready`].
    pub fn ready(&self) -> bool {
        self.kubernetes.as_ref().is_none_or(|kubernetes| kubernetes.ready())
    }

    /// Who presents this credential; `None` if no slot of the request held one.
    pub async fn authenticate(&self, credential: Option<&Credential>, peer: Source) -> Result<Arc<Identity>, Error> {
        match credential {
            None => Err(Error::Missing),
            Some(token @ Credential::Token(_)) => match &self.kubernetes {
                Some(kubernetes) => kubernetes.authenticate(token, peer).await,
                None => Err(Error::KubernetesDisabled),
            },
            Some(secret @ Credential::SessionSecret(_)) => match &self.session {
                Some(session) => session.authenticate(secret, peer).await,
                None => Err(Error::SessionDisabled),
            },
        }
    }
}

/// The name of the cluster that is not in the list of further ones.
pub const DEFAULT_CLUSTER: &str = "default";

/// How a token is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidateMethod {
    /// The API server is asked.
    TokenReview,
    /// By the keys that the API server signs with.
    Jwks,
    /// By its keys, and then it is asked.
    Both,
}

/// The `kubernetes` section, when Kubernetes authentication is on; or one further cluster of it.
#[derive(Debug, Clone)]
pub struct KubernetesSettings {
    /// The cluster's name in identities, when there are several.
    pub cluster: Option<String>,
    pub validate_method: ValidateMethod,
    /// What tokens have in `iss`; `None`: what the API server's discovery document says.
    pub issuer: Option<String>,
    /// How long after its `iat` a token is accepted that the API server is not asked about.
    pub max_token_age: std::time::Duration,
    /// Further clusters; each has an issuer and none of its own.
    pub clusters: Vec<KubernetesSettings>,
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
    /// `None`: callers' pods are not looked at.
    pub pods: Option<pods::Settings>,
}

impl KubernetesSettings {
    /// Whether policies see workloads without labels and annotations.
    pub fn is_without_metadata(&self) -> bool {
        self.pods.as_ref().is_none_or(|pods| !pods.metadata)
    }
}
