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
        for part in [missing, "`kubernetes.enabled: true`, or `auto`", "~/.kube/config", "KUBECONFIG", "enabled: false"]
        {
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
