//! The cluster that a kubeconfig names.

use std::path::{Path, PathBuf};

use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::{Cluster, Environment, Error, Source};
use crate::authn::KubernetesSettings;

impl Cluster {
    /// `in_cluster`: why we are in none.
    pub(super) async fn by_kubeconfig(
        settings: &KubernetesSettings,
        environment: &Environment,
        in_cluster: String,
    ) -> Result<Cluster, Error> {
        let Some(path) = kubeconfig_path(settings, environment) else {
            let kubeconfig = "no kubeconfig is named and there is no ~/.kube/config".into();
            return Err(Error::NoCluster { in_cluster, kubeconfig });
        };
        let kubeconfig = read_kubeconfig(&path)?;
        let context = settings.context.clone().or(kubeconfig.current_context.clone()).unwrap_or_default();
        let has_proxy = has_proxy(&kubeconfig, &context);
        let options = KubeConfigOptions { context: settings.context.clone(), cluster: None, user: None };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|cause| Error::Kubeconfig { path: path.clone(), cause })?;
        if config.accept_invalid_certs {
            return Err(Error::UnverifiedTls { path });
        }
        if has_proxy {
            return Err(Error::Proxy { path });
        }
        // kube also takes HTTPS_PROXY from the environment. That may be ourselves.
        config.proxy_url = None;
        let token_file = take_token_file(&mut config);
        Ok(Cluster { config, token_file, ca_file: None, source: Source::Kubeconfig { path, context } })
    }
}

fn kubeconfig_path(settings: &KubernetesSettings, environment: &Environment) -> Option<PathBuf> {
    settings
        .kubeconfig
        .clone()
        .or_else(|| environment.home.as_ref().map(|home| home.join(".kube/config")).filter(|path| path.is_file()))
}

/// Reads one file, or the list of files that KUBECONFIG may be; the first to name a thing wins, as kubectl has it.
fn read_kubeconfig(path: &Path) -> Result<Kubeconfig, Error> {
    let read =
        |path: &Path| Kubeconfig::read_from(path).map_err(|cause| Error::Kubeconfig { path: path.to_owned(), cause });
    if path.is_file() {
        return read(path);
    }
    std::env::split_paths(path.as_os_str())
        .filter(|path| !path.as_os_str().is_empty())
        .try_fold(Kubeconfig::default(), |merged, path| {
            merged.merge(read(&path)?).map_err(|cause| Error::Kubeconfig { path, cause })
        })
}

fn has_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    let context = kubeconfig.contexts.iter().find(|named| named.name == context);
    let Some(cluster) = context.and_then(|named| named.context.as_ref()).map(|context| &context.cluster) else {
        return false;
    };
    let named = kubeconfig.clusters.iter().find(|named| named.name == *cluster);
    let proxy = named.and_then(|named| named.cluster.as_ref()).and_then(|cluster| cluster.proxy_url.as_deref());
    proxy.is_some_and(|proxy| !proxy.is_empty())
}

/// kube would read the file once a minute and take an empty one for a token. Other credentials go before a token file.
fn take_token_file(config: &mut Config) -> Option<PathBuf> {
    let auth = &mut config.auth_info;
    let basic = auth.username.is_some() && auth.password.is_some();
    if auth.token.is_some() || auth.auth_provider.is_some() || basic {
        return None;
    }
    auth.token_file.take().map(PathBuf::from)
}
