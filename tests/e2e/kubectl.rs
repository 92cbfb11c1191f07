//! kubectl, the way that a person uses it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a command did: whether it succeeded, and what it wrote.
#[derive(Debug)]
pub struct Outcome {
    pub succeeded: bool,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { succeeded: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// `VEILWARDEN_KUBECTL`, or the one on the PATH. Which cluster it talks to is KUBECONFIG's business.
pub fn command() -> Command {
    Command::new(std::env::var_os("VEILWARDEN_KUBECTL").unwrap_or_else(|| "kubectl".into()))
}

/// Runs it with words as arguments, whatever comes of it.
pub fn attempt(arguments: &[&str]) -> Outcome {
    let output = command().args(arguments).stdin(Stdio::null()).output().expect("kubectl can be started");
    output.into()
}

/// Runs it and gives its output. It must succeed.
pub fn run(arguments: &[&str]) -> String {
    let outcome = attempt(arguments);
    assert!(outcome.succeeded, "kubectl {}: {}{}", arguments.join(" "), outcome.stdout, outcome.stderr);
    outcome.stdout
}

/// An object, or a list of them, as JSON.
pub fn json(arguments: &[&str]) -> Value {
    let text = run(&[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&text).expect("kubectl writes JSON")
}

/// `kubectl apply` of objects given as YAML or JSON, with further arguments.
pub fn apply(objects: &str, arguments: &[&str]) -> Outcome {
    let mut child = command()
        .args(["apply", "--filename", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl can be started");
    child.stdin.take().expect("a pipe").write_all(objects.as_bytes()).expect("kubectl reads its input");
    child.wait_with_output().expect("our own child").into()
}

/// The same, and it must succeed.
pub fn applied(objects: &str) {
    let outcome = apply(objects, &[]);
    assert!(outcome.succeeded, "kubectl apply: {}\n{objects}", outcome.stderr);
}

/// Runs a shell script inside a pod and gives what it wrote to standard output.
pub fn shell(namespace: &str, pod: &str, script: &str) -> String {
    run(&["exec", "--namespace", namespace, pod, "--", "sh", "-c", script])
}
