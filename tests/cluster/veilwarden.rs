//! The program under test: `veilwarden serve`, run as its users run it.

use crate::control_plane::ControlPlane;
use crate::process::Process;
use crate::until::until;
use crate::upstream::Upstream;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The binary that cargo built for this test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_veilwarden");

/// The secret that the route injects, as `authorization: token UPSTREAM_SECRET`.
pub const UPSTREAM_SECRET: &str = "upstream-secret-of-the-cluster-tests";

/// A configuration to start with: one route, `api.test`, to `upstream`; Kubernetes identity through a kubeconfig, or as in
/// a pod.
pub struct Setup {
    /// Where the API server is, as keys of the section `kubernetes`.
    api_server: String,
    upstream: SocketAddr,
    policy: String,
    kubernetes: &'static str,
    session_secret: Option<&'static str>,
}

impl Setup {
    /// `policy` is the body of a Rego module that defines `allow`; without a rule that allows, every call is denied.
    pub fn new(kubeconfig: PathBuf, upstream: &Upstream, policy: impl Into<String>) -> Self {
        Self::at(format!(r#"kubeconfig: "{}""#, kubeconfig.display()), upstream, policy)
    }

    /// The same with a token in a file that somebody renews, as a kubelet does.
    pub fn in_pod(cluster: &ControlPlane, token: &Path, upstream: &Upstream, policy: impl Into<String>) -> Self {
        let (url, ca) = (cluster.url(), cluster.ca_file());
        let keys = format!(r#"api_server: "{url}", token_path: "{}", ca_path: "{}""#, token.display(), ca.display());
        Self::at(keys, upstream, policy)
    }

    fn at(api_server: String, upstream: &Upstream, policy: impl Into<String>) -> Self {
        Self { api_server, upstream: upstream.address, policy: policy.into(), kubernetes: "", session_secret: None }
    }

    /// Further keys of the section `kubernetes`, in YAML's flow form: `cache_ttl: 2s, require_audience: false`.
    pub fn kubernetes(mut self, keys: &'static str) -> Self {
        self.kubernetes = keys;
        self
    }

    pub fn session_secret(mut self, secret: &'static str) -> Self {
        self.session_secret = Some(secret);
        self
    }

    /// Starts veilwarden and waits until it says that it is ready.
    pub async fn start(self) -> Veilwarden {
        let directory = TempDir::with_prefix_in("veilwarden-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let config = self.write(directory.path());
        let arguments = ["serve".to_owned(), "--config".to_owned(), config.display().to_string()];
        let process = Process::start(directory.path(), "veilwarden", Path::new(BINARY), &arguments, |command| {
            command.env_clear().env("HOME", directory.path());
            command.envs(self.session_secret.map(|secret| ("VEILWARDEN_SESSION_SECRET", secret)));
        });
        Veilwarden::ready(process, directory).await
    }

    fn write(&self, directory: &Path) -> PathBuf {
        let policies = directory.join("policies");
        fs::create_dir(&policies).expect("the test's directory is ours");
        let module = format!("package veilwarden.authz\n\ndefault allow := false\n\n{}\n", self.policy);
        fs::write(policies.join("authz.rego"), module).expect("the test's directory is ours");
        let config = directory.join("veilwarden.yaml");
        let text = format!(
            r#"listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
kubernetes: {{enabled: true, {api_server}, {kubernetes}}}
secrets:
- {{id: API_KEY, value: {UPSTREAM_SECRET}}}
routes:
- upstream_host: api.test
  upstream_scheme: http
  upstream_address: "{upstream}"
  secret_id: API_KEY
  inject_header: Authorization
  header_value_template: "token {{{{secret}}}}"
policy: {{enabled: true, engine: opa, policy_path: "{policies}", decision_path: veilwarden/authz/allow}}
"#,
            api_server = self.api_server,
            kubernetes = self.kubernetes,
            upstream = self.upstream,
            policies = policies.display(),
        );
        fs::write(&config, text).expect("the test's directory is ours");
        config
    }
}

/// A running veilwarden. Dropping it kills it; after a failed assertion its log is shown.
pub struct Veilwarden {
    process: Process,
    listen: SocketAddr,
    _directory: TempDir, // after the process that writes into it
}

impl Veilwarden {
    async fn ready(mut process: Process, directory: TempDir) -> Self {
        let listen = until("veilwarden says that it is ready", Duration::from_secs(20), async || {
            if let Some(status) = process.ended() {
                panic!("veilwarden ended while starting ({status}):\n{}", process.stderr());
            }
            process.stderr().lines().find_map(ready_address)
        })
        .await;
        Self { process, listen, _directory: directory }
    }

    /// `GET /v1/things` from `api.test` with further header fields.
    pub async fn call(&self, fields: &[(&str, &str)]) -> Answer {
        self.caller().call(fields).await
    }

    /// The same call with `token` as bearer.
    pub async fn call_with_token(&self, token: &str) -> Answer {
        self.caller().call_with_token(token).await
    }

    /// Makes calls without holding veilwarden itself, for tasks of their own.
    pub fn caller(&self) -> Caller {
        Caller(self.listen)
    }

    /// The program's log so far.
    pub fn log(&self) -> String {
        self.process.stderr()
    }
}

impl Drop for Veilwarden {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of veilwarden:\n{}", self.log());
        }
    }
}

fn ready_address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "ready").then(|| line["listen"].as_str()?.parse().ok()).flatten()
}

/// Where a veilwarden listens.
#[derive(Clone, Copy)]
pub struct Caller(SocketAddr);

impl Caller {
    pub async fn call_with_token(self, token: &str) -> Answer {
        self.call(&[("authorization", &format!("Bearer {token}"))]).await
    }

    async fn call(self, fields: &[(&str, &str)]) -> Answer {
        timeout(Duration::from_secs(10), self.exchange(fields)).await.expect("veilwarden answers within ten seconds")
    }

    /// One call on a connection of its own.
    async fn exchange(self, fields: &[(&str, &str)]) -> Answer {
        let stream = TcpStream::connect(self.0).await.expect("veilwarden accepts");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        let connection = tokio::spawn(connection);
        let mut request = Request::get("/v1/things").header("host", "veilwarden").header("x-upstream-host", "api.test");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a valid request");
        let (head, body) = sender.send_request(request).await.expect("veilwarden answers").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        connection.abort();
        Answer { status: head.status.as_u16(), fields: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
    }
}

/// What a caller got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The error code, if this is veilwarden's own answer and not the upstream's.
    pub fn code(&self) -> Option<&str> {
        self.fields.get("x-veilwarden-error")?.to_str().ok()
    }

    /// The `hint` of an error.
    pub fn hint(&self) -> String {
        let error: Value = serde_json::from_str(&self.body).expect("errors are JSON");
        error["hint"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn came_from_upstream(&self) {
        assert_eq!((self.status, self.body.as_str()), (200, "upstream"), "{self:?}");
    }

    #[track_caller]
    pub fn was_refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, Some(code)), "{self:?}");
    }
}
