//! The harness: a real `App` on port 0, recorders as upstreams, a played API server.
//!
//! `World::new()` has two routes as in `hostile-cases.md`: `a.test` takes `Authorization: Bearer <CANARY_A>`,
//! `b.test` takes `X-Api-Key: <CANARY_B>`. Every secret is unique to its world.

mod assertions;
pub mod canary;
mod configuration;
pub mod doppler;
pub mod exchange;
pub mod keys;
pub mod kubernetes;
pub mod logs;
pub mod namespace;
mod patience;
pub mod pods;
pub mod process;
pub mod raw;
pub mod recorder;
#[path = "../../src/authn/jwks/signer.rs"]
pub mod signer;
mod started;
pub mod tls;
pub mod tunnel;
pub mod way;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use doppler::Doppler;
use kubernetes::Kubernetes;
use recorder::Recorder;

pub use patience::{PATIENCE, until, within};
pub use started::Started;

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

    pub fn canary_a(&self) -> String {
        canary_a(self.number)
    }

    pub fn canary_b(&self) -> String {
        canary_b(self.number)
    }

    pub fn session_secret(&self) -> String {
        session_secret(self.number)
    }
}

fn canary_a(number: u64) -> String {
    format!("canaryA-{number}-f3b1c7")
}

fn canary_b(number: u64) -> String {
    format!("canaryB-{number}-a94e20")
}

fn session_secret(number: u64) -> String {
    format!("session-{number}-canary-5d02")
}
