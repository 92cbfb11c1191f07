//! Made-up calls: what a policy is tried on before it is used, and what tests start from.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use crate::authn::pods::{Metadata, Texts};
use crate::authn::{Identity, Source, User, Workload};
use crate::ca::ClientName;
use crate::policy::Input;

/// An owned call; change its parts, then judge [`Call::input`].
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: String,
    pub upstream_host: String,
    pub secret_id: String,
    pub request_id: String,
    pub timestamp: SystemTime,
    pub identity: Identity,
    pub headers: HeaderMap,
    pub agent_id: String,
    pub source: Source,
    pub certificate: Option<ClientName>,
    pub intercepted: bool,
}

impl Call {
    /// A call by a workload of which everything is known.
    pub fn kubernetes() -> Self {
        Self::by(Identity::Kubernetes(Workload {
            namespace: "sample".to_owned(),
            service_account: "app".to_owned(),
            username: "system:serviceaccount:sample:app".to_owned(),
            service_account_uid: Some("4b1f0c3e-6f0e-4c3a-9a41-0d7f3b0f6c11".to_owned()),
            pod_name: Some("app-7d4b9c6f5-x2x9k".to_owned()),
            pod_uid: Some("9c8a2d52-51f5-4d5b-8f0e-2f1f4f6f7a90".to_owned()),
            node_name: Some("node-1".to_owned()),
            groups: vec!["system:serviceaccounts".to_owned(), "system:serviceaccounts:sample".to_owned()],
            audiences: vec!["veilwarden".to_owned()],
            expires_at: Some(1_767_229_200),
            cluster: Some("sample".to_owned()),
            metadata: Metadata {
                pod_labels: texts(&[("app.kubernetes.io/name", "app"), ("tier", "backend")]),
                pod_annotations: texts(&[("example.com/owner", "team-sample")]),
                namespace_labels: texts(&[("kubernetes.io/metadata.name", "sample"), ("environment", "test")]),
            },
        }))
    }

    /// The same call by the configured user.
    pub fn user() -> Self {
        Self::by(Identity::Static(User {
            id: "alice".to_owned(),
            email: "alice@example.com".to_owned(),
            org: "engineering".to_owned(),
        }))
    }

    fn by(identity: Identity) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("sample/1.0"));
        Self {
            method: "GET".to_owned(),
            path: "/v1/items/a%20b".to_owned(),
            query: "page=2&sort=name+up".to_owned(),
            upstream_host: "api.example.com".to_owned(),
            secret_id: "SAMPLE_KEY".to_owned(),
            request_id: "6f1d2c3b4a5968778695a4b3".to_owned(),
            // 2026-01-01T00:00:00Z
            timestamp: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
            identity,
            headers,
            agent_id: "sample-agent".to_owned(),
            source: Source::Ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
            certificate: None,
            intercepted: false,
        }
    }

    /// The call as a policy is asked about it.
    pub fn input(&self) -> Input<'_> {
        Input {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            upstream_host: &self.upstream_host,
            secret_id: &self.secret_id,
            request_id: &self.request_id,
            timestamp: self.timestamp,
            identity: &self.identity,
            headers: &self.headers,
            agent_id: &self.agent_id,
            source: self.source,
            certificate: self.certificate.as_ref(),
            intercepted: self.intercepted,
        }
    }
}

fn texts(texts: &[(&str, &str)]) -> Option<Arc<Texts>> {
    let owned = texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Some(Arc::new(Texts::Whole(owned.collect())))
}
