//! A real Kubernetes control plane on loopback: etcd and kube-apiserver, without nodes or controllers. Enough for
//! everything that a token's life needs: ServiceAccounts, pods as objects, TokenRequest, TokenReview, RBAC.

use crate::process::Process;
use crate::signing_key::SigningKey;
use crate::until::until;
use kube::Client;
use kube::config::Config;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use secrecy::SecretString;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The audience that the API server itself accepts, and the issuer of its tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The static token of a member of `system:masters`. It lives as long as the temporary cluster.
const ADMIN_TOKEN: &str = "cluster-tests-admin";

/// From process start to a ready API server; three seconds on an idle machine of two cores.
const START_TIMEOUT: Duration = Duration::from_secs(60);

pub struct ControlPlane {
    // Fields are dropped in this order: the API server first, its files last.
    api_server: Option<Process>,
    etcd: Process,
    kube_apiserver: PathBuf,
    etcd_port: u16,
    port: u16,
    ca_der: Vec<u8>,
    signing_key: Arc<SigningKey>,
    directory: TempDir,
}

impl ControlPlane {
    /// Starts both programs on free loopback ports with an empty database, and waits until the API server is ready.
    /// `kube_apiserver` is the binary that `tests/cluster/build-kubernetes` makes; etcd comes from PATH.
    pub async fn start(kube_apiserver: &Path) -> Self {
        let directory =
            TempDir::with_prefix_in("cluster-", env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        let signing_key = Arc::new(SigningKey::new());
        let ca_der = write_pki(directory.path(), &signing_key);
        let [etcd_port, etcd_peer_port, port] = free_ports();
        let mut control_plane = Self {
            api_server: None,
            etcd: start_etcd(directory.path(), etcd_port, etcd_peer_port),
            kube_apiserver: kube_apiserver.to_owned(),
            etcd_port,
            port,
            ca_der,
            signing_key,
            directory,
        };
        control_plane.start_api_server().await;
        control_plane
    }

    /// Ends the API server the hard way: connections break, and its port refuses. etcd keeps what it had stored.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server, on the port it had before, and waits until it is ready.
    pub async fn start_api_server(&mut self) {
        let arguments = self.api_server_arguments();
        let mut api_server =
            Process::start(self.directory.path(), "kube-apiserver", &self.kube_apiserver, &arguments, |_| {});
        let admin = self.admin();
        until("kube-apiserver becomes ready", START_TIMEOUT, async || {
            for (name, process) in [("etcd", &mut self.etcd), ("kube-apiserver", &mut api_server)] {
                if let Some(status) = process.ended() {
                    panic!("{name} ended while starting ({status}):\n{}", process.stderr());
                }
            }
            let readyz = http::Request::get("/readyz").body(Vec::new()).expect("a valid request");
            admin.request_text(readyz).await.ok()
        })
        .await;
        self.api_server = Some(api_server);
    }

    /// Restarts the API server with another key for new tokens. Those of that key are good, and of `others`.
    pub async fn sign_with(&mut self, key: &Arc<SigningKey>, others: &[&SigningKey]) {
        self.stop_api_server();
        let good: String = std::iter::once(&**key).chain(others.iter().copied()).map(SigningKey::public_pem).collect();
        for (name, text) in [("service-account.pub", good), ("service-account.key", key.private_pem())] {
            fs::write(self.directory.path().join(name), text).expect("the test's directory is ours");
        }
        self.signing_key = Arc::clone(key);
        self.start_api_server().await;
    }

    /// A client that may do everything.
    pub fn admin(&self) -> Client {
        self.client(ADMIN_TOKEN)
    }

    /// A client that calls with this bearer token.
    pub fn client(&self, token: &str) -> Client {
        let mut config = Config::new(self.url().parse().expect("a valid URL"));
        config.root_cert = Some(vec![self.ca_der.clone()]);
        config.auth_info.token = Some(SecretString::from(token));
        Client::try_from(config).expect("a client for our own cluster")
    }

    /// Writes a kubeconfig file `name` with this bearer token and returns its path.
    pub fn kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        let path = self.directory.path().join(format!("{name}.kubeconfig"));
        let text = format!(
            "apiVersion: v1\n\
             kind: Config\n\
             current-context: test\n\
             clusters:\n\
             - name: test\n  cluster:\n    server: {url}\n    certificate-authority: {ca}\n\
             users:\n\
             - name: {name}\n  user:\n    token: {token}\n\
             contexts:\n\
             - name: test\n  context:\n    cluster: test\n    user: {name}\n",
            url = self.url(),
            ca = self.ca_file().display(),
        );
        // Trials run at the same time, and another one's kubectl may be reading the file of that name just now.
        let mut whole = tempfile::NamedTempFile::new_in(self.directory.path()).expect("the test's directory is ours");
        whole.write_all(text.as_bytes()).expect("the test's directory is ours");
        whole.persist(&path).expect("the test's directory is ours");
        path
    }

    /// A kubeconfig file with every right.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig("admin", ADMIN_TOKEN)
    }

    /// Where `build-kubernetes` puts its programs.
    pub fn binaries(&self) -> &Path {
        self.kube_apiserver.parent().expect("a file lies in a directory")
    }

    /// The key that signs this cluster's ServiceAccount tokens.
    pub fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.signing_key)
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The roots of the API server's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn api_server_arguments(&self) -> Vec<String> {
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", file("server.pem")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--service-account-issuer={ISSUER}"),
            format!("--service-account-key-file={}", file("service-account.pub")),
            format!("--service-account-signing-key-file={}", file("service-account.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            // The Service `kubernetes` wants an address that is not loopback; nobody uses it here.
            "--advertise-address=192.0.2.1".into(),
            "--endpoint-reconciler-type=none".into(),
            "--service-cluster-ip-range=198.18.0.0/24".into(),
        ]
    }
}

fn start_etcd(directory: &Path, port: u16, peer_port: u16) -> Process {
    let client_url = format!("http://127.0.0.1:{port}");
    let peer_url = format!("http://127.0.0.1:{peer_port}");
    let arguments = [
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={client_url}"),
        format!("--advertise-client-urls={client_url}"),
        format!("--listen-peer-urls={peer_url}"),
        format!("--initial-advertise-peer-urls={peer_url}"),
        format!("--initial-cluster=default={peer_url}"),
        "--unsafe-no-fsync=true".to_owned(), // the data need not survive the machine
    ];
    Process::start(directory, "etcd", Path::new("etcd"), &arguments, |_| {})
}

/// Writes the API server's certificate and keys and the static tokens; returns the CA certificate (DER).
fn write_pki(directory: &Path, signing_key: &SigningKey) -> Vec<u8> {
    let mut ca = CertificateParams::new([]).expect("no names are valid names");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().expect("keys can be made");
    let ca_certificate = ca.self_signed(&ca_key).expect("a CA signs itself");
    let server_key = KeyPair::generate().expect("keys can be made");
    let server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])
        .and_then(|server| server.signed_by(&server_key, &Issuer::new(ca, ca_key)))
        .expect("the CA signs");
    for (name, text) in [
        ("ca.pem", ca_certificate.pem()),
        ("server.pem", server.pem()),
        ("server.key", server_key.serialize_pem()),
        ("service-account.pub", signing_key.public_pem()),
        ("service-account.key", signing_key.private_pem()),
        ("tokens.csv", format!("{ADMIN_TOKEN},admin,admin,system:masters\n")),
    ] {
        fs::write(directory.join(name), text).expect("the test's directory is ours");
    }
    ca_certificate.der().to_vec()
}

/// Ports that were free a moment ago. All are held until the last is found, so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound address").port())
}
