//! Which cluster judges the tokens, and how we reach it: in-cluster files first, then a kubeconfig.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::KubernetesSettings;

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
        "`kubernetes.enabled: true` but there is no way to reach a cluster: {in_cluster}; {kubeconfig}. \
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

    async fn by_kubeconfig(
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
mod tests {
    use super::*;
    use crate::authn::played::settings;
    use std::fs;

    const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: dev
clusters:
- {name: dev, cluster: {server: "https://dev.example:6443"}}
- {name: lab, cluster: {server: "https://lab.example:6443", tls-server-name: lab}}
- {name: loose, cluster: {server: "https://loose.example:6443", insecure-skip-tls-verify: true}}
- {name: far, cluster: {server: "https://far.example:6443", proxy-url: "http://proxy.example"}}
- {name: plain, cluster: {server: "http://plain.example:8080"}}
- {name: kubectl-proxy, cluster: {server: "http://127.0.0.1:8001"}}
users:
- {name: me, user: {token: my-token}}
- {name: file, user: {tokenFile: token}}
contexts:
- {name: dev, context: {cluster: dev, user: me}}
- {name: lab, context: {cluster: lab, user: file}}
- {name: loose, context: {cluster: loose, user: me}}
- {name: far, context: {cluster: far, user: me}}
- {name: plain, context: {cluster: plain, user: me}}
- {name: kubectl-proxy, context: {cluster: kubectl-proxy, user: me}}
"#;

    /// A directory with nothing in it yet, and settings and surroundings that point there.
    struct World {
        dir: tempfile::TempDir,
        settings: KubernetesSettings,
        environment: Environment,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path().join("token"), dir.path().join("ca.crt"));
        let environment = Environment { home: Some(dir.path().join("home")), ..Environment::default() };
        World { dir, settings, environment }
    }

    impl World {
        fn in_cluster(self) -> Self {
            fs::write(&self.settings.token_path, "t").unwrap();
            fs::write(&self.settings.ca_path, "c").unwrap();
            self
        }

        fn service(mut self, host: &str, port: &str) -> Self {
            self.environment.service_host = Some(host.into());
            self.environment.service_port = Some(port.into());
            self
        }

        fn kubeconfig(mut self, context: Option<&str>) -> Self {
            let path = self.dir.path().join("kubeconfig");
            fs::write(&path, KUBECONFIG).unwrap();
            self.settings.kubeconfig = Some(path);
            self.settings.context = context.map(str::to_owned);
            self
        }

        fn home(self) -> Self {
            let dir = self.dir.path().join("home/.kube");
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("config"), KUBECONFIG.replace("dev.example", "home.example")).unwrap();
            self
        }

        fn api_server(mut self, address: &str) -> Self {
            self.settings.api_server = Some(address.into());
            self
        }

        async fn find(&self) -> Result<Cluster, Error> {
            Cluster::find(&self.settings, &self.environment).await
        }

        async fn described(&self) -> String {
            match self.find().await {
                Ok(cluster) => cluster.to_string().replace(self.dir.path().to_str().unwrap(), "DIR"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn in_cluster_comes_first_and_the_log_names_the_cluster() {
        let cases = [
            (world().in_cluster().service("10.96.0.1", "443").kubeconfig(None), "https://10.96.0.1:443 (in-cluster)"),
            (world().in_cluster().service("fd00::1", "6443"), "https://[fd00::1]:6443 (in-cluster)"),
            (world().in_cluster().api_server("https://10.0.0.9:6443"), "https://10.0.0.9:6443 (in-cluster)"),
            (
                world().in_cluster().service("10.96.0.1", "443").api_server("https://other.example/"),
                "https://other.example (in-cluster)",
            ),
            (world().kubeconfig(None).home(), "https://dev.example:6443 (kubeconfig DIR/kubeconfig, context dev)"),
            (world().kubeconfig(Some("lab")), "https://lab.example:6443 (kubeconfig DIR/kubeconfig, context lab)"),
            (world().in_cluster().home(), "https://home.example:6443 (kubeconfig DIR/home/.kube/config, context dev)"),
            (
                world().kubeconfig(Some("kubectl-proxy")),
                "http://127.0.0.1:8001 (kubeconfig DIR/kubeconfig, context kubectl-proxy)",
            ),
        ];
        for (world, expected) in cases {
            assert_eq!(world.described().await, expected);
        }
    }

    #[tokio::test]
    async fn an_api_server_replaces_the_address_and_nothing_else() {
        let world = world().kubeconfig(Some("lab")).api_server("https://10.0.0.9:6443");
        let cluster = world.find().await.unwrap();
        assert_eq!(cluster.config.cluster_url.to_string(), "https://10.0.0.9:6443/");
        assert_eq!(cluster.config.tls_server_name.as_deref(), Some("lab"));
        assert_eq!(cluster.token_file, Some(world.dir.path().join("token")));
        assert!(cluster.config.auth_info.token_file.is_none(), "the file is ours to read, not kube's");
    }

    #[tokio::test]
    async fn our_own_calls_are_never_retried_and_go_through_no_proxy() {
        for world in [world().in_cluster().service("10.96.0.1", "443"), world().kubeconfig(None)] {
            let cluster = world.find().await.unwrap();
            assert!(!cluster.config.default_retry && cluster.config.proxy_url.is_none());
            assert_eq!(cluster.config.connect_timeout, Some(world.settings.timeout));
        }
    }

    #[tokio::test]
    async fn without_a_cluster_the_error_says_what_is_missing_and_what_to_do() {
        for (world, missing) in [
            (world(), "token does not exist"),
            (world().api_server("https://10.0.0.9:6443"), "token does not exist"),
            (world().in_cluster(), "KUBERNETES_SERVICE_HOST"),
        ] {
            let text = world.find().await.err().expect("no cluster").to_string();
            for part in [missing, "`kubernetes.enabled: true`", "~/.kube/config", "KUBECONFIG", "enabled: false"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[tokio::test]
    async fn a_bad_kubeconfig_is_an_error_that_names_it() {
        let mut missing = world();
        missing.settings.kubeconfig = Some(missing.dir.path().join("nowhere"));
        let garbage = world().kubeconfig(None);
        fs::write(garbage.settings.kubeconfig.as_ref().unwrap(), "{:").unwrap();
        for (world, part) in [
            (missing, "nowhere"),
            (garbage, "kubeconfig"),
            (world().kubeconfig(Some("typo")), "typo"),
            (world().kubeconfig(Some("loose")), "insecure-skip-tls-verify"),
            (world().kubeconfig(Some("far")), "proxy-url"),
            (world().kubeconfig(Some("plain")), "only https"),
            (world().kubeconfig(None).api_server("http://10.0.0.9"), "only https"),
            (world().kubeconfig(None).api_server("10.0.0.9:6443"), "API server address"),
            (world().kubeconfig(None).api_server("ht tp://"), "API server address"),
        ] {
            let text = world.find().await.err().expect(part).to_string();
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[tokio::test]
    async fn kubeconfig_may_be_a_list_of_files() {
        let mut world = world().kubeconfig(Some("extra"));
        let extra = world.dir.path().join("extra");
        fs::write(
            &extra,
            "{apiVersion: v1, kind: Config, clusters: [{name: x, cluster: {server: 'https://x.example'}}], \
             contexts: [{name: extra, context: {cluster: x}}]}",
        )
        .unwrap();
        let list = std::env::join_paths([world.settings.kubeconfig.as_ref().unwrap(), &extra]).unwrap();
        world.settings.kubeconfig = Some(list.into());
        assert!(world.described().await.starts_with("https://x.example (kubeconfig "));
    }
}
