//! The program itself, as a process of its own whose output is read as it comes and not kept.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::cast::CREDENTIAL;
use crate::relays::Relays;
use crate::stage::Stage;
use crate::wire::{Framing, Wire};

/// The start and the stop, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Program {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    pub listen: SocketAddr,
    admin: SocketAddr,
}

/// How much it holds.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub memory: f64,
    pub descriptors: f64,
    /// Connections of callers.
    pub connections: f64,
}

impl Program {
    /// Starts it and waits until it is ready. From then on each line of its audit trail goes to the ledger, and no line of
    /// its log may hold a secret.
    pub fn start(configuration: &str, stage: &Arc<Stage>) -> Program {
        // It ends with the thread that starts it, also when this process is killed. The system has that in prctl(2), for
        // which util-linux has a program that then becomes ours.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_veilwarden")]);
        command.env_clear().env("VEILWARDEN_SESSION_SECRET", format!("{CREDENTIAL}-session"));
        command.args(["serve", "--config", configuration]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("util-linux has setpriv");
        let (sender, ready) = mpsc::sync_channel(1);
        let (trail, log) = (Arc::clone(stage), Arc::clone(stage));
        let readers = vec![
            lines(child.stdout.take().unwrap(), move |line| {
                search(&trail, &line, "the audit trail");
                trail.ledger.record(&line);
            }),
            lines(child.stderr.take().unwrap(), move |line| {
                search(&log, &line, "the log");
                if line.contains("panicked") || line.contains("INTERNAL_ERROR") {
                    log.ledger.violation(format!("it says: {line}"));
                }
                if line.contains("\"message\":\"ready\"") || !line.starts_with('{') {
                    let _ = sender.try_send(line);
                }
            }),
        ];
        let said = ready.recv_timeout(PATIENCE).expect("it gets ready");
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("it does not start: {said}"));
        let address = |name: &str| said[name].as_str().and_then(|address| address.parse().ok()).expect("an address");
        Program { child, readers, listen: address("listen"), admin: address("admin_listen") }
    }

    /// What it says of itself.
    pub async fn metrics(&self) -> String {
        let mut wire = Wire::new(TcpStream::connect(self.admin).await.expect("the admin listener"));
        wire.stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .expect("a request");
        let head = wire.head().await.expect("metrics");
        let body = wire.body(head.framing().unwrap_or(Framing::Close), usize::MAX).await;
        String::from_utf8_lossy(&body.bytes).into_owned()
    }

    pub async fn sample(&self) -> Sample {
        let metrics = self.metrics().await;
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
        };
        Sample {
            memory: value("process_resident_memory_bytes"),
            descriptors: value("process_open_fds"),
            connections: value("veilwarden_connections"),
        }
    }

    /// Stops it as a supervisor does, and waits until all that it wrote was read.
    pub fn stop(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub fn search(stage: &Stage, text: &str, place: &str) {
    for canary in [&stage.secrets, &stage.credentials, &stage.own] {
        if let Some(form) = canary.found_in(text.as_bytes()) {
            stage.ledger.violation(format!("I5: {} is in {place}, {form}: {text:.400}", canary.name));
        }
    }
}

/// Reads lines in a thread that ends with the pipe.
pub fn lines(pipe: impl Read + Send + 'static, mut take: impl FnMut(String) + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            take(String::from_utf8_lossy(&line).into_owned());
        }
    })
}

/// Fills a stage's `proxy` with where the program listens, the relays, and what its tunnels' callers trust.
pub fn introduce(program: &Program, relays: &Relays, directory: &Path, stage: &Stage) {
    let ca = directory.join("state/ca.crt");
    let (http1, http2) = (crate::stage::connector(&ca, b"http/1.1"), crate::stage::connector(&ca, b"h2"));
    let proxy = crate::stage::Proxy { address: program.listen, relays: relays.relays(), http1, http2 };
    assert!(stage.proxy.set(proxy).is_ok(), "introduced twice");
}
