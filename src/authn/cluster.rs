//! Which cluster judges the tokens, and how we reach it: in-cluster files first, then a kubeconfig.

use std::fmt;
use std::path::PathBuf;

use http::Uri;
use kube::config::{Config, KubeconfigError};

use super::KubernetesSettings;

mod kubeconfig;

/// What the process' surroundings say about a cluster.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `KUBERNETES_SERVICE_HOST`, set by kubelet in every container.
    pub service_host: Option<String>,
    /// `KUBERNETES_SERVICE_PORT`
    pub service_port: Option<String>,
    pub home: Option<PathBuf>,
}

impl Environment {
    pub fn of_this_process() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            service_host: variable("KUBERNETES_SERVICE_HOST"),
            service_port: variable("KUBERNETES_SERVICE_PORT"),
            home: std::env::home_dir(),
        }
    }
}

/// A cluster we know how to reach; whether its API server is up is not asked here.
#[derive(Clone)]
pub struct Cluster {
    pub(super) config: Config,
    /// A file with our own token, renewed in place.
    pub(super) token_file: Option<PathBuf>,
    /// A file with the API server's CA, renewed in place.
    pub(super) ca_file: Option<PathBuf>,
    source: Source,
}

#[derive(Clone)]
enum Source {
    InCluster,
    Kubeconfig { path: PathBuf, context: String },
}

/// Why no cluster can be reached. Raised at the start only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "Kubernetes authentication is on (`kubernetes.enabled: true`, or `auto` where there is KUBERNETES_SERVICE_HOST or a \
         token file), but there is no way to reach a cluster: {in_cluster}; {kubeconfig}. \
         Run in a pod with its ServiceAccount token mounted, or name a kubeconfig (`kubernetes.kubeconfig` or the \
         variable KUBECONFIG), or set `kubernetes.enabled: false`"
    )]
    NoCluster { in_cluster: String, kubeconfig: String },
    #[error("kubeconfig {path}: {cause}")]
    Kubeconfig { path: PathBuf, cause: KubeconfigError },
    #[error("API server address `{address}`: {cause}")]
    Address { address: String, cause: String },
    #[error(
        "kubeconfig {path}: `insecure-skip-tls-verify` is not accepted, because callers' tokens would go to whoever \
         answers; give the cluster's `certificate-authority` instead"
    )]
    UnverifiedTls { path: PathBuf },
    #[error("kubeconfig {path}: `proxy-url` is not supported")]
    Proxy { path: PathBuf },
    #[error("the Kubernetes client cannot be built: {0}")]
    Client(String),
}

impl Cluster {
    /// Finds the cluster: in-cluster files, then `kubernetes.kubeconfig`, then `~/.kube/config`. An `api_server`
    /// replaces the address and nothing else. Only files are read.
    pub async fn find(settings: &KubernetesSettings, environment: &Environment) -> Result<Cluster, Error> {
        let mut cluster = match in_cluster(settings, environment) {
            Ok(uri) => Cluster::in_cluster(settings, uri),
            Err(in_cluster) => Cluster::by_kubeconfig(settings, environment, in_cluster).await?,
        };
        if let Some(address) = &settings.api_server {
            cluster.config.cluster_url = parse_address(address)?;
        }
        check_scheme(&cluster.config.cluster_url)?;
        // Never a retry storm: one review is one call. The deadline of the whole call covers connecting, too.
        cluster.config.default_retry = false;
        cluster.config.connect_timeout = Some(settings.timeout);
        Ok(cluster)
    }

    fn in_cluster(settings: &KubernetesSettings, uri: Uri) -> Cluster {
        Cluster {
            config: Config::new(uri),
            token_file: Some(settings.token_path.clone()),
            ca_file: Some(settings.ca_path.clone()),
            source: Source::InCluster,
        }
    }
}

/// `https://10.96.0.1:443 (in-cluster)`, for the log.
impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.config.cluster_url.to_string().trim_end_matches('/'))?;
        match &self.source {
            Source::InCluster => f.write_str(" (in-cluster)"),
            Source::Kubeconfig { path, context } => write!(f, " (kubeconfig {}, context {context})", path.display()),
        }
    }
}

/// The API server's address if we are in a cluster, else what is missing.
fn in_cluster(settings: &KubernetesSettings, environment: &Environment) -> Result<Uri, String> {
    for path in [&settings.token_path, &settings.ca_path] {
        if !path.is_file() {
            return Err(format!("in-cluster, {} does not exist", path.display()));
        }
    }
    if let Some(address) = &settings.api_server {
        return parse_address(address).map_err(|error| error.to_string());
    }
    let host = environment.service_host.as_deref().ok_or("in-cluster, KUBERNETES_SERVICE_HOST is not set")?;
    let port = environment.service_port.as_deref().unwrap_or("443");
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    parse_address(&format!("https://{host}:{port}")).map_err(|error| error.to_string())
}

fn parse_address(address: &str) -> Result<Uri, Error> {
    let error = |cause: &str| Error::Address { address: address.to_owned(), cause: cause.to_owned() };
    let uri: Uri = address.parse().map_err(|cause: http::uri::InvalidUri| error(&cause.to_string()))?;
    if uri.scheme().is_none() || uri.authority().is_none() {
        return Err(error("not a URL such as https://10.0.0.1:6443"));
    }
    Ok(uri)
}

/// Tokens travel in the body, so plain http is for loopback (`kubectl proxy`) only.
fn check_scheme(uri: &Uri) -> Result<(), Error> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if loopback => Ok(()),
        _ => Err(Error::Address { address: uri.to_string(), cause: "only https, or http on loopback".into() }),
    }
}

#[cfg(test)]
mod tests;
