//! What the file says. One type for each section; the doc comments are the descriptions in the JSON Schema and in
//! `docs/configuration.md`, the `Default`s are the documented defaults.
//!
//! Three extensions of the schema drive `shape`: `x-later` (a key of later work: refused unless it says its default),
//! `x-later-values` (the same for some values of a key), `x-duration` (`"positive"` or `"any"`).

use schemars::JsonSchema;
use serde::Deserialize;

mod cluster;
mod kubernetes;
mod operation;
mod pods;
mod policy;
mod route;
mod scalar;
mod secret;

pub(super) use cluster::Cluster;
pub(super) use kubernetes::{Kubernetes, ValidateMethod};
pub(super) use operation::{Audit, AuditWhenFull, Limits, Log, LogFormat, LogLevel};
pub(super) use pods::PodBinding;
pub(super) use policy::{Engine, Policy};
pub(super) use route::{Redaction, Route, Scheme};
pub(super) use scalar::{OneOrMany, Switch, Time};
pub(super) use secret::{DopplerStore, SecretEntry, SecretStores};

/// One YAML file. Precedence of settings that have several places: flag, environment variable, this file, default.
/// Durations are written as `30s`, `5m` or `1h30m`. Unknown keys, duplicate keys and wrong types are errors.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "veilwarden configuration")]
pub(super) struct File {
    /// Where calls come in: one address and port, or a list of them. `unix:` and an absolute path is a Unix socket, made
    /// with mode 0660. Flag `--listen` (repeatable).
    pub listen: OneOrMany,
    /// TLS on the TCP addresses of `listen`, with HTTP/2 and HTTP/1.1. Unix sockets stay in clear. The files are read
    /// again when they change.
    pub listen_tls: ListenTls,
    /// Health and metrics. `off` turns the admin listener off. Flag `--admin-listen`.
    pub admin_listen: String,
    /// Networks (CIDR) whose hosts may connect to `listen`. Empty: all. Says nothing about Unix sockets.
    pub allow_peers: Vec<String>,
    /// Where the CA that veilwarden makes is kept. Flag `--state-dir`. Empty: `$STATE_DIRECTORY`, else
    /// `$XDG_STATE_HOME/veilwarden`, else `~/.local/state/veilwarden`.
    pub state_dir: String,
    /// A file with the session secret, at least 16 bytes. Beside it: flags `--session-secret-file` and
    /// `--session-secret`, variables `VEILWARDEN_SESSION_SECRET_FILE` and `VEILWARDEN_SESSION_SECRET`.
    /// Optional when Kubernetes authentication is on.
    pub session_secret_file: String,
    /// The identity of callers that come with the session secret. Flags `--user-id`, `--user-email`, `--user-org`.
    pub user: User,
    /// Authentication of workloads by their ServiceAccount tokens.
    pub kubernetes: Kubernetes,
    /// Secrets by id. A `secret_id` that no entry names is looked up in Doppler when a Doppler token is given.
    pub secrets: Vec<SecretEntry>,
    /// Where secrets are fetched from, and how long they are kept.
    pub secret_stores: SecretStores,
    /// The hosts that may be called, and what is put into the calls. At least one.
    pub routes: Vec<Route>,
    /// Who may do what. Without this section, everything that the routes allow is allowed when Kubernetes
    /// authentication is off (with a warning at every start), and the start is refused when it is on.
    pub policy: Option<Policy>,
    /// Forward mode (`HTTP_PROXY`, `HTTPS_PROXY`).
    pub forward: Forward,
    /// Bounds on what a peer can make the process hold.
    pub limits: Limits,
    /// One JSON line for each call.
    pub audit: Audit,
    /// The program's own log, on stderr.
    pub log: Log,
}

impl Default for File {
    fn default() -> Self {
        File {
            listen: OneOrMany(vec!["127.0.0.1:8088".to_owned()]),
            listen_tls: ListenTls::default(),
            admin_listen: "127.0.0.1:8089".to_owned(),
            allow_peers: Vec::new(),
            state_dir: String::new(),
            session_secret_file: String::new(),
            user: User::default(),
            kubernetes: Kubernetes::default(),
            secrets: Vec::new(),
            secret_stores: SecretStores::default(),
            routes: Vec::new(),
            policy: None,
            forward: Forward::default(),
            limits: Limits::default(),
            audit: Audit::default(),
            log: Log::default(),
        }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListenTls {
    /// The certificate chain, PEM.
    pub cert_file: String,
    /// Its private key, PEM. Others than its owner and group must not be able to read it.
    pub key_file: String,
    /// Roots for client certificates, PEM. A client may show none; one that these roots have not signed is refused. Its
    /// SPIFFE id or else its subject joins the identity, and is never a credential. Empty: none are asked for.
    pub client_ca_file: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct User {
    /// `user_id` in policy input.
    pub id: String,
    /// `user_email` in policy input.
    pub email: String,
    /// `user_org` in policy input.
    pub org: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Forward {
    /// Whether CONNECT and absolute-form requests are taken.
    pub enabled: bool,
    /// The CA that signs the certificates shown inside of tunnels, PEM. Empty: a CA is made once under `state_dir`.
    pub ca_cert_file: String,
    /// Its private key, PEM. Others than its owner and group must not be able to read it.
    pub ca_key_file: String,
}

impl Default for Forward {
    fn default() -> Self {
        Forward { enabled: true, ca_cert_file: String::new(), ca_key_file: String::new() }
    }
}
