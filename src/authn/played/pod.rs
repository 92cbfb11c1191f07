//! What veilwarden's own pod has.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::{PlayedApiServer, mint};
use crate::authn::{KubernetesSettings, ValidateMethod};

/// In-cluster files beside a played API server, and settings that point there.
pub struct Pod {
    pub dir: tempfile::TempDir,
    pub settings: KubernetesSettings,
}

impl Pod {
    pub fn beside(server: &PlayedApiServer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (token_path, ca_path) = (dir.path().join("token"), dir.path().join("ca.crt"));
        std::fs::write(&token_path, mint(&json!({"sub": "system:serviceaccount:veilwarden:veilwarden"}))).unwrap();
        std::fs::write(&ca_path, &server.ca).unwrap();
        let settings = KubernetesSettings { api_server: Some(server.url()), ..settings(token_path, ca_path) };
        Self { dir, settings }
    }
}

/// The defaults, but with a deadline and a cap that are not in the way on a busy machine.
pub fn settings(token_path: PathBuf, ca_path: PathBuf) -> KubernetesSettings {
    KubernetesSettings {
        cluster: None,
        validate_method: ValidateMethod::TokenReview,
        issuer: None,
        max_token_age: Duration::from_secs(25 * 3600),
        clusters: Vec::new(),
        api_server: None,
        kubeconfig: None,
        context: None,
        token_path,
        ca_path,
        audience: "veilwarden".into(),
        require_audience: true,
        cache_ttl: Duration::from_secs(30),
        negative_cache_ttl: Duration::from_secs(5),
        cache_entries: 1000,
        timeout: Duration::from_secs(20),
        max_reviews_per_second: std::num::NonZeroU32::new(10_000).unwrap(),
        pods: None,
    }
}
