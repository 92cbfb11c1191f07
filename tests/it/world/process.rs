//! The real binary as a process of its own: started, signalled, waited for, ended with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{PATIENCE, until};

/// The binary that these tests were built with.
pub const VEILWARDEN: &str = env!("CARGO_BIN_EXE_veilwarden");

/// A running or ended veilwarden. It is killed when it is dropped.
pub struct Process {
    child: Child,
    stdout: Pipe,
    stderr: Pipe,
    ended: Option<ExitStatus>,
}

type Pipe = Arc<Mutex<Vec<String>>>;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
}

/// A command with nothing of this process' environment in it but the path to programs.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

/// Runs to its end and returns how it ended, its standard output and its standard error.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (End, String, String) {
    let mut process = Process::spawn(arguments, environment);
    let end = process.end().await;
    (end, process.stdout(), process.stderr())
}

impl Process {
    pub fn spawn(arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut veilwarden = command(VEILWARDEN);
        veilwarden.args(arguments).envs(environment.iter().copied());
        Process::of(veilwarden)
    }

    pub fn of(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Process { child, stdout: lines_of(stdout), stderr: lines_of(stderr), ended: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().join("\n")
    }

    /// Waits for the line that says where it listens.
    pub async fn ready(&mut self) -> Value {
        until("the ready line", || {
            assert!(!self.has_ended(), "ended before it was ready: {:?}\n{}", self.ended, self.stderr());
            self.ready_line().is_some()
        })
        .await;
        self.ready_line().unwrap()
    }

    fn ready_line(&self) -> Option<Value> {
        let lines = self.stderr.lock().unwrap();
        lines.iter().find_map(|line| match serde_json::from_str::<Value>(line) {
            Ok(line) => (line["message"] == "ready").then_some(line),
            Err(_) => ready_text(line),
        })
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        kill_process(pid, signal).expect("the process is there");
    }

    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    /// Waits until it has ended and everything that it wrote was read.
    pub async fn end(&mut self) -> End {
        until("the process to end", || self.has_ended()).await;
        until("the process' pipes to close", || [&self.stdout, &self.stderr].iter().all(|p| Arc::strong_count(p) == 1))
            .await;
        let status = self.ended.unwrap();
        status.code().map_or_else(|| End::Signal(status.signal().unwrap_or_default()), End::Exit)
    }

    /// Whether its end left a core file.
    pub fn dumped_core(&self) -> bool {
        self.ended.is_some_and(|status| status.core_dumped())
    }

    /// A line of /proc/PID/status in KiB.
    pub fn status_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Collects lines in a thread that ends with the pipe.
fn lines_of(pipe: impl Read + Send + 'static) -> Pipe {
    let lines = Pipe::default();
    let held = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            held.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
    lines
}

/// The same of `log.format: text`.
fn ready_text(line: &str) -> Option<Value> {
    let (_, fields) = line.split_once(" ready ")?;
    let pairs = fields.split(' ').filter_map(|field| field.split_once('='));
    Some(pairs.map(|(name, value)| (name.to_owned(), Value::from(value.trim_matches('"')))).collect())
}

/// The addresses of a ready line; of several listeners the first.
pub fn addresses(ready: &Value) -> (SocketAddr, SocketAddr) {
    let first = |name: &str| ready[name].as_str().unwrap().split(',').next().unwrap().to_owned();
    let address = |name: &str| first(name).parse().unwrap_or_else(|e| panic!("{name}: {e}: {ready}"));
    (address("listen"), address("admin_listen"))
}

/// Runs curl as README does and returns its standard output.
pub async fn curl(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let limit = PATIENCE.as_secs().to_string();
    let run = move || {
        let mut curl = command("curl");
        curl.args(["--silent", "--show-error", "--max-time", &limit, "--noproxy", "*"]).args(arguments);
        curl.output().expect("these tests run curl: install it")
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file with this content in a directory; its path.
pub fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// A pipe at whose other end nobody is: opening it takes for ever. Its path.
pub fn named_pipe(directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    assert!(command("mkfifo").arg(&path).status().unwrap().success());
    path.display().to_string()
}
