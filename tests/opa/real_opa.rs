//! A real OPA, asked on its command line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use veilwarden::policy::input::document;
use veilwarden::policy::input::sample::Call;

/// The binary named by `VEILWARDEN_OPA`.
pub struct Opa {
    binary: PathBuf,
}

/// What OPA says about one call.
pub struct Answer {
    pub allowed: bool,
    pub reason: Option<String>,
}

impl Opa {
    /// `None`, and a line that says so, when the variable is not set.
    pub fn from_environment() -> Option<Self> {
        let binary = std::env::var_os("VEILWARDEN_OPA").map(PathBuf::from);
        if binary.is_none() {
            println!("opa comparison not run: set VEILWARDEN_OPA");
        }
        Some(Self { binary: binary? })
    }

    /// Asks about all calls in one run. `path` is a file or a bundle's directory.
    pub fn decide(&self, path: &Path, decision_path: &str, calls: &[Call]) -> Vec<Answer> {
        let inputs: Vec<Value> = calls.iter().map(|call| document(&call.input()).expect("an input")).collect();
        let (package, rule) = decision_path.rsplit_once('/').expect("a package and a rule");
        let package: String = package.split('/').map(|name| format!("[{}]", json!(name))).collect();
        let each = |rule: &str| {
            format!(
                "{{sprintf(\"%d\", [i]): v | some i; c := input.calls[i]; v := data{package}.{rule} with input as c}}"
            )
        };
        let query = format!("{{\"allow\": {}, \"reason\": {}}}", each(rule), each("deny_reason"));
        let answers = self.eval(path, &query, &json!({ "calls": inputs }));
        let answer = |index: usize| Answer {
            allowed: answers["allow"][index.to_string()] == json!(true),
            reason: answers["reason"][index.to_string()].as_str().map(str::to_owned),
        };
        (0..calls.len()).map(answer).collect()
    }

    /// Runs `opa test` on files.
    pub fn test(&self, files: &[PathBuf]) {
        let output = Command::new(&self.binary).arg("test").args(files).output().expect("opa runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    fn eval(&self, path: &Path, query: &str, input: &Value) -> Value {
        let kind = if path.is_dir() { "--bundle" } else { "--data" };
        let mut command = Command::new(&self.binary);
        command.args(["eval", "--format", "json", "--stdin-input", kind]).arg(path).arg(query);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("opa starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.to_string().as_bytes()).expect("opa reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("opa ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {text}", path.display());
        let result: Value = serde_json::from_str(&text).expect("opa answers in JSON");
        result["result"][0]["expressions"][0]["value"].clone()
    }
}
