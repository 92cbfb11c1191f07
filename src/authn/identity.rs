//! The identity a call is judged and recorded under.

/// Who calls, as established by an authenticator; never by what the caller merely claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    Kubernetes(Workload),
    Static(User),
}

/// A Kubernetes workload, from `authentication.k8s.io/v1` `TokenReview.status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub namespace: String,
    pub service_account: String,
    /// `system:serviceaccount:NAMESPACE:NAME`
    pub username: String,
    pub service_account_uid: Option<String>,
    pub pod_name: Option<String>,
    pub pod_uid: Option<String>,
    pub node_name: Option<String>,
    pub groups: Vec<String>,
    pub audiences: Vec<String>,
    /// The token's `exp`, seconds since the epoch; absent for tokens without one.
    pub expires_at: Option<u64>,
}

/// The configured identity of session-secret callers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub email: String,
    pub org: String,
}

impl Identity {
    /// `kubernetes` or `static`, as in `input.identity.type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Identity::Kubernetes(_) => "kubernetes",
            Identity::Static(_) => "static",
        }
    }
}
