//! The harness: a real [`App`] on port 0, recorders as upstreams, a played API server.
//!
//! `World::new()` has two routes as in `hostile-cases.md`: `a.test` takes `Authorization: Bearer <CANARY_A>`,
//! `b.test` takes `X-Api-Key: <CANARY_B>`. Every secret is unique to its world.

pub mod canary;
pub mod doppler;
pub mod exchange;
pub mod keys;
pub mod kubernetes;
pub mod logs;
pub mod namespace;
pub mod pods;
pub mod process;
pub mod raw;
pub mod recorder;
#[path = "../../src/authn/jwks/signer.rs"]
pub mod signer;
pub mod tls;
pub mod tunnel;
pub mod way;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use veilwarden::app::{App, Errors, Running};
use veilwarden::config::{Config, Overrides};

use doppler::Doppler;
use kubernetes::Kubernetes;
use process::Process;
use raw::Answer;
use recorder::Recorder;
use way::Way;

/// Anything that should happen, happens within this time, however loaded the machine is.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What is about to be started.
pub struct World {
    pub a: Recorder,
    pub b: Recorder,
    pub kubernetes: Option<Kubernetes>,
    pub doppler: Option<Doppler>,
    pub directory: TempDir,
    route_lines: String,
    more_routes: String,
    more_secrets: String,
    store_lines: String,
    doppler_lines: String,
    kubernetes_lines: String,
    policy: String,
    rest: String,
    listen: String,
    number: u64,
}

/// A started world.
pub struct Started {
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    pub a: Recorder,
    pub b: Recorder,
    pub kubernetes: Option<Kubernetes>,
    pub doppler: Option<Doppler>,
    pub directory: TempDir,
    /// How [`Started::send`] sends.
    pub way: Way,
    running: Option<Running>,
    number: u64,
}

/// Ends a test that waits for something that never comes.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

impl World {
    /// Two routes, a session secret, policy `default_allow: true`.
    pub async fn new() -> World {
        static NUMBER: AtomicU64 = AtomicU64::new(1000);
        logs::capture();
        World {
            a: Recorder::start().await,
            b: Recorder::start().await,
            kubernetes: None,
            doppler: None,
            directory: TempDir::new().unwrap(),
            route_lines: String::new(),
            more_routes: String::new(),
            more_secrets: String::new(),
            store_lines: String::new(),
            doppler_lines: String::new(),
            kubernetes_lines: String::new(),
            policy: "{engine: config, default_allow: true}".to_owned(),
            rest: String::new(),
            listen: "127.0.0.1:0".to_owned(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Turns Kubernetes on, judged by a played API server that knows one workload: `prod/api`.
    pub async fn kubernetes(mut self) -> World {
        self.kubernetes = Some(Kubernetes::start(self.number).await);
        self
    }

    /// Turns Doppler on, played by a server of the test's own; see [`Doppler::set`].
    pub async fn doppler(mut self) -> World {
        self.doppler = Some(Doppler::start(self.number).await);
        self
    }

    /// The policy is this Rego module, with a budget that a busy machine keeps.
    pub fn rego(self, module: &str) -> World {
        std::fs::create_dir_all(self.policies()).unwrap();
        std::fs::write(self.policies().join("policy.rego"), module).unwrap();
        let policies = self.policies();
        self.policy(&format!("{{engine: opa, policy_path: {}, timeout: 10s}}", policies.display()))
    }

    /// The directory that `rego` writes to.
    pub fn policies(&self) -> PathBuf {
        self.directory.path().join("policies")
    }

    /// The `policy` section (flow style).
    pub fn policy(mut self, section: &str) -> World {
        self.policy = section.to_owned();
        self
    }

    /// One more route (flow style).
    pub fn route(mut self, line: &str) -> World {
        self.more_routes.push_str(&format!("  - {line}\n"));
        self
    }

    /// One more route to the recorder `a`: `host` gets `X-Key: <secret id's value>`.
    pub fn route_to_a(self, host: &str, secret_id: &str) -> World {
        let address = self.a.address;
        self.route(&format!(
            "{{upstream_host: {host}, upstream_scheme: http, upstream_address: \"{address}\", secret_id: {secret_id}, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"
        ))
    }

    /// One more entry of `secrets` (flow style).
    pub fn secret(mut self, line: &str) -> World {
        self.more_secrets.push_str(&format!("  - {line}\n"));
        self
    }

    /// Lines added to `secret_stores` (flow style).
    pub fn store_options(mut self, lines: &str) -> World {
        self.store_lines = format!(", {lines}");
        self
    }

    /// Lines added to `secret_stores.doppler` (flow style).
    pub fn doppler_options(mut self, lines: &str) -> World {
        self.doppler_lines = format!(", {lines}");
        self
    }

    /// Lines added to both routes, `key: value` joined by commas (flow style).
    pub fn route_options(mut self, lines: &str) -> World {
        self.route_lines = format!(", {lines}");
        self
    }

    /// Lines added to the `kubernetes` section (flow style).
    pub fn kubernetes_options(mut self, lines: &str) -> World {
        self.kubernetes_lines = format!(", {lines}");
        self
    }

    /// `listen` (flow style); the first entry is what calls are sent to.
    pub fn listen(mut self, entries: &str) -> World {
        self.listen = entries.to_owned();
        self
    }

    /// Lines added at the top level of the configuration.
    pub fn config(mut self, lines: &str) -> World {
        self.rest.push_str(lines);
        self.rest.push('\n');
        self
    }

    /// The configuration as text.
    pub fn yaml(&self) -> String {
        let (a, b, lines, policy, rest) = (self.a.address, self.b.address, &self.route_lines, &self.policy, &self.rest);
        let directory = self.directory.path().display();
        let listen = &self.listen;
        let kubernetes = match &self.kubernetes {
            Some(kubernetes) => kubernetes.section(self.directory.path(), &self.kubernetes_lines),
            None => "{enabled: false}".to_owned(),
        };
        let doppler = match &self.doppler {
            Some(doppler) => doppler.section(self.directory.path(), &self.doppler_lines),
            None => "{}".to_owned(),
        };
        let (store_lines, more_secrets, more_routes) = (&self.store_lines, &self.more_secrets, &self.more_routes);
        let (canary_a, canary_b) = (self.canary_a(), self.canary_b());
        format!(
            "listen: {listen}\nadmin_listen: 127.0.0.1:0\nuser: {{id: alice, email: alice@example.com, org: engineering}}\n\
             kubernetes: {kubernetes}\n\
             secrets:\n  - {{id: KEY_A, value: {canary_a}}}\n  - {{id: KEY_B, value: {canary_b}}}\n{more_secrets}\
             secret_stores: {{doppler: {doppler}{store_lines}}}\n\
             routes:\n\
             \x20 - {{upstream_host: a.test, upstream_scheme: http, upstream_address: \"{a}\", secret_id: KEY_A, inject_header: Authorization, header_value_template: \"Bearer {{{{secret}}}}\"{lines}}}\n\
             \x20 - {{upstream_host: b.test, upstream_scheme: http, upstream_address: \"{b}\", secret_id: KEY_B, inject_header: X-Api-Key, header_value_template: \"{{{{secret}}}}\"{lines}}}\n{more_routes}\
             policy: {policy}\naudit: {{output: \"{directory}/audit.jsonl\"}}\n{rest}\n"
        )
    }

    pub fn canary_a(&self) -> String {
        format!("canaryA-{}-f3b1c7", self.number)
    }

    pub fn canary_b(&self) -> String {
        format!("canaryB-{}-a94e20", self.number)
    }

    pub fn session_secret(&self) -> String {
        session_secret(self.number)
    }

    /// The configuration, as the app gets it.
    pub fn parsed(&self) -> Config {
        let secret = self.session_secret();
        let environment = |name: &str| (name == "VEILWARDEN_SESSION_SECRET").then(|| secret.clone());
        Config::parse(&self.yaml(), Path::new("world.yaml"), &Overrides::default(), &environment)
            .unwrap_or_else(|mistakes| panic!("{mistakes}\n{}", self.yaml()))
    }

    /// Builds, starts, and panics with the mistakes if it cannot.
    pub async fn start(self) -> Started {
        self.try_start().await.unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub async fn try_start(self) -> Result<Started, Errors> {
        let running = App::build(self.parsed()).await?.start().await?;
        Ok(Started {
            proxy: running.listen[0].address().unwrap(),
            admin: running.admin_listen.unwrap(),
            a: self.a,
            b: self.b,
            kubernetes: self.kubernetes,
            doppler: self.doppler,
            directory: self.directory,
            way: Way::Reverse,
            running: Some(running),
            number: self.number,
        })
    }

    /// The same as a process of its own: the binary, with this world's configuration in a file.
    pub async fn spawn(self) -> (Started, Process) {
        let file = process::file(self.directory.path(), "veilwarden.yaml", self.yaml());
        let environment = [("VEILWARDEN_SESSION_SECRET", &*session_secret(self.number))];
        let mut process = Process::spawn(&["serve", "--config", &file], &environment);
        let (proxy, admin) = process::addresses(&process.ready().await);
        let World { a, b, kubernetes, doppler, directory, number, .. } = self;
        (
            Started { proxy, admin, a, b, kubernetes, doppler, directory, way: Way::Reverse, running: None, number },
            process,
        )
    }
}

fn session_secret(number: u64) -> String {
    format!("session-{number}-canary-5d02")
}

impl Started {
    pub fn canary_a(&self) -> String {
        format!("canaryA-{}-f3b1c7", self.number)
    }

    pub fn canary_b(&self) -> String {
        format!("canaryB-{}-a94e20", self.number)
    }

    pub fn session_secret(&self) -> String {
        session_secret(self.number)
    }

    /// The header line that authenticates: a token with Kubernetes on, else the session secret.
    pub fn credential(&self) -> String {
        match &self.kubernetes {
            Some(kubernetes) => format!("Authorization: Bearer {}\r\n", kubernetes.token),
            None => format!("X-Session-Secret: {}\r\n", self.session_secret()),
        }
    }

    /// `OK(fields)` of hostile-cases.md for `GET /x`.
    pub fn ok(&self, fields: &str) -> String {
        self.request("GET", "/x", fields)
    }

    /// A good request head for a.test; `fields` are whole lines with their CRLF.
    pub fn request(&self, method: &str, target: &str, fields: &str) -> String {
        self.request_to("a.test", method, target, fields)
    }

    /// A good request head for a host.
    pub fn request_to(&self, host: &str, method: &str, target: &str, fields: &str) -> String {
        let credential = self.credential();
        format!("{method} {target} HTTP/1.1\r\nHost: proxy.test\r\nX-Upstream-Host: {host}\r\n{credential}{fields}\r\n")
    }

    /// `GET /x` for a host, whole.
    pub async fn get(&self, host: &str) -> Answer {
        self.send(self.request_to(host, "GET", "/x", "")).await
    }

    /// `GET /x` for a.test with a bearer token.
    pub async fn bearer(&self, token: &str) -> Answer {
        let head = "GET /x HTTP/1.1\r\nHost: proxy.test\r\nX-Upstream-Host: a.test\r\n";
        self.send(format!("{head}Authorization: Bearer {token}\r\n\r\n")).await
    }

    pub async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.proxy).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes on a new connection, in the world's way, and reads everything until the proxy closes or one answer is complete.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        self.go(bytes.as_ref()).await
    }

    /// As `send`, to any address: the admin listener for instance.
    pub async fn send_to(&self, address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(bytes.as_ref()).await;
        raw::read_answer(&mut stream).await
    }

    /// REJ: refused with 400 (or the status given), nothing reached an upstream, the connection is closed, and
    /// the next good request on a new one works.
    pub async fn assert_rejected(&self, bytes: impl AsRef<[u8]>, statuses: &[u16], what: &str) {
        let before = (self.a.bytes(), self.b.bytes());
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes.as_ref()).await;
        let answer = raw::read_answer(&mut stream).await;
        assert!(answer.status == 0 || statuses.contains(&answer.status), "{what}: {answer:?}");
        if answer.status != 0 {
            let code = answer.json()["error"].as_str().map(str::to_owned);
            assert_eq!(answer.header("x-veilwarden-error"), code.as_deref(), "{what}: {answer:?}");
            assert!(answer.header("x-request-id").is_some(), "{what}: {answer:?}");
        }
        assert_eq!((self.a.bytes(), self.b.bytes()), before, "{what}: bytes reached an upstream");
        self.assert_works(what).await;
    }

    /// As above, and the connection is closed by the proxy.
    pub async fn assert_rejected_and_closed(&self, bytes: impl AsRef<[u8]>, statuses: &[u16], what: &str) {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes.as_ref()).await;
        let mut rest = Vec::new();
        // A reset is a close, too.
        let _ = within(what, stream.read_to_end(&mut rest)).await;
        let answers = raw::parse_answers(&rest);
        assert!(answers.len() <= 1, "{what}: {answers:?}");
        self.assert_rejected(bytes, statuses, what).await;
    }

    /// The next good request on a new connection works.
    pub async fn assert_works(&self, what: &str) {
        let answer = self.send(self.ok("")).await;
        assert_eq!(answer.status, 200, "{what}: then a good request: {answer:?}");
    }

    /// The audit record of the call with this request id.
    pub async fn record_of(&self, id: &str) -> Value {
        let find = || self.audit().into_iter().find(|record| record["request_id"] == id);
        until("the audit record", || find().is_some()).await;
        find().unwrap()
    }

    /// The audit records so far.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("audit.jsonl")).unwrap_or_default();
        // The last line may still be in the making.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The record of the call with this answer; waits for it.
    pub async fn record(&self, answer: &Answer) -> Value {
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("no request id: {answer:?}")).to_owned();
        let find = || self.audit().into_iter().find(|record| record["request_id"] == id.as_str());
        until("the audit record", || find().is_some()).await;
        find().unwrap()
    }

    /// The value of a metric's sample (`name{labels}`); 0 when it is not there yet.
    pub async fn sample(&self, sample: &str) -> f64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Asserts what every refusal has in common: its status and code, in the body and in `X-Veilwarden-Error`, a
    /// request id, and an audit record that says the same. Returns the record.
    pub async fn assert_refused(&self, answer: &Answer, status: u16, code: &str, what: &str) -> Value {
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {answer:?}");
        assert_eq!(answer.headers("x-veilwarden-error"), [code], "{what}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}: {answer:?}");
        assert!(answer.complete, "{what}: {answer:?}");
        let challenge = (status == 401).then_some("Bearer realm=\"veilwarden\"");
        assert_eq!(answer.header("www-authenticate"), challenge, "{what}: {answer:?}");
        let challenge = (status == 407).then_some("Basic realm=\"veilwarden\", Bearer realm=\"veilwarden\"");
        assert_eq!(answer.header("proxy-authenticate"), challenge, "{what}: {answer:?}");
        let record = self.record(answer).await;
        assert_eq!(answer.json()["request_id"], record["request_id"], "{what}: {answer:?}");
        assert_eq!((&record["status"], &record["error"]), (&status.into(), &code.into()), "{what}: {record}");
        record
    }

    /// Nothing ever reached an upstream.
    pub fn assert_nothing_sent(&self, what: &str) {
        assert_eq!((self.a.bytes(), self.b.bytes()), (0, 0), "{what}: bytes reached an upstream");
    }

    pub async fn metrics(&self) -> String {
        self.send_to(self.admin, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.text()
    }

    /// Stops as SIGTERM does and returns everything that was written to the audit file.
    pub async fn stop(&mut self) -> Vec<Value> {
        if let Some(running) = self.running.take() {
            within("the stop", running.stop()).await;
        }
        self.audit()
    }
}
