//! Calling programs of the documents and snippets, run by their own toolchains against a proxy on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::documents::is_there;
use crate::world::process::{Process, command, file};
use crate::world::until;

/// What `--language` takes.
pub const LANGUAGES: [&str; 4] = ["curl", "go", "python", "node"];

/// A program that calls again and again. It ends when it is dropped.
pub struct Program {
    process: Process,
    token: PathBuf,
    language: String,
    _directory: TempDir, // after the process that reads in it
}

impl Program {
    /// Starts it as a pod would: where veilwarden is and where the token lies is in its environment. `None`, and a
    /// word about it, where its toolchain is not installed.
    pub fn start(language: &str, name: &str, text: &str, proxy: SocketAddr, token: &str) -> Option<Program> {
        let tool = match language {
            "curl" => "curl",
            "go" => "go",
            "python" => "python3",
            "node" => "node",
            other => panic!("nobody knows how to run {other}"),
        };
        if !is_there(tool) {
            eprintln!("not run, for want of {tool}: {name}");
            return None;
        }
        let directory = TempDir::new().unwrap();
        let source = file(directory.path(), name, text);
        let token = PathBuf::from(file(directory.path(), "token", token));
        let mut run = match language {
            "curl" => with_argument("sh", &source),
            "go" => command(built(directory.path(), &source)),
            _ => with_argument(tool, &source),
        };
        run.env("VEILWARDEN_URL", format!("http://{proxy}")).env("VEILWARDEN_TOKEN_FILE", &token);
        run.env("SECONDS_BETWEEN_CALLS", "0.05");
        // What a cluster's operator may have set for other purposes must not get the token.
        run.env("http_proxy", "http://127.0.0.1:9").env("HTTP_PROXY", "http://127.0.0.1:9");
        Some(Program { process: Process::of(run), token, language: language.to_owned(), _directory: directory })
    }

    /// Waits for a line of its output.
    pub async fn prints(&mut self, wanted: &str) {
        until(&format!("{} prints {wanted:?}", self.language), || {
            let (stdout, stderr) = (self.process.stdout(), self.process.stderr());
            assert!(!self.process.has_ended(), "{} has ended:\n{stdout}\n{stderr}", self.language);
            stdout.lines().any(|line| line.trim_end() == wanted)
        })
        .await;
    }

    /// Replaces the token as the kubelet does: at once.
    pub fn renew_token(&self, token: &str) {
        let next = self.token.with_extension("next");
        std::fs::write(&next, token).unwrap();
        std::fs::rename(next, &self.token).unwrap();
    }
}

fn with_argument(program: &str, argument: &str) -> Command {
    let mut command = command(program);
    command.arg(argument);
    command
}

/// `go run` would leave the program behind when it is killed.
fn built(directory: &Path, source: &str) -> PathBuf {
    let program = directory.join("program");
    let mut go = Command::new("go");
    let output = go.args(["build", "-o"]).arg(&program).arg(source).env("GOFLAGS", "").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}
