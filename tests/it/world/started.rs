//! A world that runs: what is sent to it, and what it left behind.

use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use veilwarden::app::{App, Errors, Running};

use super::doppler::Doppler;
use super::kubernetes::Kubernetes;
use super::process::{self, Process};
use super::raw::{self, Answer};
use super::recorder::Recorder;
use super::way::Way;
use super::{World, canary_a, canary_b, session_secret, until, within};

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

impl World {
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
        let way = Way::Reverse;
        (Started { proxy, admin, a, b, kubernetes, doppler, directory, way, running: None, number }, process)
    }
}

impl Started {
    pub fn canary_a(&self) -> String {
        canary_a(self.number)
    }

    pub fn canary_b(&self) -> String {
        canary_b(self.number)
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

    /// Sends bytes on a new connection, in the world's way, and reads everything until the proxy closes or one answer is
    /// complete.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        // Boxed: a test has room for many of these on its stack.
        Box::pin(self.go(self.way, bytes.as_ref())).await
    }

    /// As `send`, to any address: the admin listener for instance.
    pub async fn send_to(&self, address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(bytes.as_ref()).await;
        raw::read_answer(&mut stream).await
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
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("no request id: {answer:?}"));
        self.record_of(id).await
    }

    /// The value of a metric's sample (`name{labels}`); 0 when it is not there yet.
    pub async fn sample(&self, sample: &str) -> f64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
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
