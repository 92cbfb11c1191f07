//! A real ServiceAccount token, by the TokenRequest API.

use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

const AUDIENCE: &str = "veilwarden";
/// The shortest life that an API server grants.
const SECONDS: i64 = 600;

/// Asks the kubeconfig's cluster for a token of `default/default` with our audience.
pub async fn request(kubeconfig: &Path) -> Result<String> {
    let file = Kubeconfig::read_from(kubeconfig).with_context(|| format!("{}", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(Client::try_from(config)?, "default");
    let spec = TokenRequestSpec {
        audiences: vec![AUDIENCE.to_owned()],
        expiration_seconds: Some(SECONDS),
        ..Default::default()
    };
    let wanted = TokenRequest { spec, ..Default::default() };
    let answer = accounts
        .create_token_request("default", &PostParams::default(), &wanted)
        .await
        .context("the cluster issues no token for the ServiceAccount `default` of namespace `default`")?;
    Ok(answer.status.context("the cluster's answer has no token")?.token)
}

/// The same token with another signature.
pub fn forge(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    format!("{signed}.{}", signature.chars().rev().collect::<String>())
}
