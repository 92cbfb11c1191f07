//! The identity a call is judged and recorded under.

/// Who calls, as established by an authenticator; never by what the caller merely claims.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each caller, behind an Arc")]
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
    /// When the token ends for us, seconds since the epoch: its `exp`, or sooner by `kubernetes.max_token_age`; absent for
    /// tokens without one.
    pub expires_at: Option<u64>,
    /// The configured name of the cluster, when there are several. Names and namespaces mean something within one only.
    pub cluster: Option<String>,
    /// The pod's labels and the like; not from the review, and never remembered with it.
    pub metadata: super::pods::Metadata,
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

    /// The attributes that are known, under the names that policy and audit use; empty texts are not known. Lists are
    /// always there, if empty.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, Attribute<'_>)> {
        let attributes = match self {
            Identity::Kubernetes(workload) => workload.attributes(),
            Identity::Static(user) => user.attributes(),
        };
        attributes.into_iter().flatten()
    }
}

/// An attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Attribute<'a> {
    Text(&'a str),
    List(&'a [String]),
    /// Seconds since the epoch.
    Time(u64),
}

/// As many as the richer kind has; an array, so that nothing is allocated for them.
type Attributes<'a> = [Option<(&'static str, Attribute<'a>)>; 11];

fn text<'a>(name: &'static str, value: &'a str) -> Option<(&'static str, Attribute<'a>)> {
    (!value.is_empty()).then_some((name, Attribute::Text(value)))
}

fn optional<'a>(name: &'static str, value: &'a Option<String>) -> Option<(&'static str, Attribute<'a>)> {
    text(name, value.as_deref()?)
}

impl Workload {
    fn attributes(&self) -> Attributes<'_> {
        [
            text("namespace", &self.namespace),
            text("service_account", &self.service_account),
            text("username", &self.username),
            optional("pod_name", &self.pod_name),
            optional("pod_uid", &self.pod_uid),
            optional("node_name", &self.node_name),
            optional("service_account_uid", &self.service_account_uid),
            Some(("groups", Attribute::List(&self.groups))),
            Some(("audiences", Attribute::List(&self.audiences))),
            self.expires_at.map(|at| ("expires_at", Attribute::Time(at))),
            optional("cluster", &self.cluster),
        ]
    }
}

impl User {
    fn attributes(&self) -> Attributes<'_> {
        let mut attributes = [None; 11];
        attributes[0] = text("user_id", &self.id);
        attributes[1] = text("user_email", &self.email);
        attributes[2] = text("user_org", &self.org);
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn workload() -> Workload {
        Workload {
            namespace: "production".into(),
            service_account: "api-server".into(),
            username: "system:serviceaccount:production:api-server".into(),
            service_account_uid: Some("uid-1".into()),
            pod_name: Some("api-server-7d9f8".into()),
            pod_uid: Some("uid-2".into()),
            node_name: Some("n1".into()),
            groups: vec!["system:serviceaccounts".into()],
            audiences: vec!["veilwarden".into()],
            expires_at: Some(1_800_000_000),
            cluster: Some("east".into()),
            metadata: Default::default(),
        }
    }

    fn json_of(identity: &Identity) -> Value {
        identity.attributes().map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }

    #[test]
    fn kubernetes_identity_type() {
        assert_eq!(Identity::Kubernetes(workload()).kind(), "kubernetes");
        assert_eq!(Identity::Static(User::default()).kind(), "static");
    }

    #[test]
    fn kubernetes_identity_attributes() {
        let identity = Identity::Kubernetes(workload());
        let text = |name| identity.attributes().find(|(known, _)| *known == name).map(|(_, value)| value);
        assert_eq!(text("namespace"), Some(Attribute::Text("production")));
        assert_eq!(text("service_account"), Some(Attribute::Text("api-server")));
        assert_eq!(text("pod_name"), Some(Attribute::Text("api-server-7d9f8")));
        assert_eq!(text("username"), Some(Attribute::Text("system:serviceaccount:production:api-server")));
    }

    #[test]
    fn kubernetes_identity_policy_input() {
        let expected = json!({
            "namespace": "production",
            "service_account": "api-server",
            "username": "system:serviceaccount:production:api-server",
            "pod_name": "api-server-7d9f8",
            "pod_uid": "uid-2",
            "node_name": "n1",
            "service_account_uid": "uid-1",
            "groups": ["system:serviceaccounts"],
            "audiences": ["veilwarden"],
            "expires_at": 1_800_000_000,
            "cluster": "east",
        });
        assert_eq!(json_of(&Identity::Kubernetes(workload())), expected);
    }

    #[test]
    fn kubernetes_identity_policy_input_without_pod_name() {
        for pod_name in [None, Some(String::new())] {
            let identity = Identity::Kubernetes(Workload { pod_name, expires_at: None, ..workload() });
            let input = json_of(&identity);
            assert!(input.get("pod_name").is_none() && input.get("expires_at").is_none(), "{input}");
        }
    }

    #[test]
    fn static_identity_attributes() {
        let user = User { id: "alice".into(), email: String::new(), org: "engineering".into() };
        assert_eq!(json_of(&Identity::Static(user)), json!({"user_id": "alice", "user_org": "engineering"}));
    }
}
