//! The configuration: what the file, the environment and the flags say, and what they mean.
//!
//! The way of a file: `document` reads YAML into a tree that knows its positions; `shape` checks it against the types of
//! `raw` and takes out what is wrong; `read` turns the rest into those types; the other modules turn them into the
//! settings that the program takes. Each step reports what it finds, so that all mistakes are shown at once.

use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

use crate::authn::{KubernetesSettings, User};
use crate::route::RouteSettings;
use crate::secrets::{CacheSettings, DopplerSettings, Source};

mod address;
mod clusters;
mod credentials;
mod document;
mod duration;
mod endpoint;
mod files;
mod forward;
mod host;
mod injection;
mod listeners;
mod mistakes;
mod operation;
mod overlap;
mod overrides;
mod place;
mod pods;
mod policy;
mod raw;
mod read;
mod reference;
mod routes;
mod secrets;
mod shape;
mod spelling;

pub use endpoint::Endpoint;
pub use forward::Forward;
pub use listeners::ListenTls;
pub use mistakes::{Mistake, Mistakes};
pub use operation::{AuditOutput, AuditSettings, Limits, LogFormat, LogSettings, WhenFull};
pub use overrides::{Environment, Overrides, file_path, process_environment, variable_of};
pub use place::{Place, Position};
pub use reference::{reference, schema};

use mistakes::Report;
use overrides::Outside;

/// Everything the program needs to know, checked as far as that goes without opening policies, certificates or
/// connections.
#[derive(Debug)]
pub struct Config {
    /// At least one.
    pub listen: Vec<Endpoint>,
    /// `None`: what comes over TCP is in clear.
    pub listen_tls: Option<ListenTls>,
    /// `None`: off.
    pub admin_listen: Option<SocketAddr>,
    /// Over TCP. Empty: everybody may connect.
    pub allow_peers: Vec<IpNet>,
    /// At least 16 bytes that a header can carry. This or `kubernetes` is there.
    pub session_secret: Option<SecretString>,
    /// The identity of session-secret callers.
    pub user: User,
    /// `None`: Kubernetes authentication is off.
    pub kubernetes: Option<KubernetesSettings>,
    /// Ids are unique.
    pub secrets: Vec<(String, Source)>,
    /// `None`: no Doppler token is given.
    pub doppler: Option<DopplerSettings>,
    pub cache: CacheSettings,
    /// At least one; hosts are unique by name and effective port.
    pub routes: Vec<RouteSettings>,
    pub policy: crate::policy::Settings,
    pub forward: Forward,
    pub limits: Limits,
    pub audit: AuditSettings,
    pub log: LogSettings,
    /// What the operator should know at every start; one sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the file at `path` and everything that overrides it.
    ///
    /// # Errors
    /// Every mistake that is there, not only the first.
    pub fn load(path: &Path, flags: &Overrides, env: Environment) -> Result<Config, Mistakes> {
        match files::config(path) {
            Ok(text) => Config::parse(&text, path, flags, env),
            Err(message) => {
                let mut report = Report::default();
                report.add(&Place::root(), message);
                Err(report.into_mistakes(path))
            }
        }
    }

    /// The same for a text that stands in no file; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, name: &Path, flags: &Overrides, env: Environment) -> Result<Config, Mistakes> {
        let mut report = Report::default();
        let file = match read_file(text, &mut report) {
            Ok(file) => file,
            Err(mistake) => {
                report.push(mistake);
                return Err(report.into_mistakes(name));
            }
        };
        let config = build(&file, &Outside { flags, env }, &mut report);
        if report.is_empty() {
            Ok(Config { warnings: report.into_warnings(), ..config })
        } else {
            Err(report.into_mistakes(name))
        }
    }
}

impl Forward {
    /// Only what the file at `path` says about forward mode, for those who need nothing else of it.
    ///
    /// # Errors
    /// What is wrong with the file's form or with this part of it.
    pub fn load(path: &Path, flags: &Overrides, env: Environment) -> Result<Forward, Mistakes> {
        let mut report = Report::default();
        let text = match files::config(path) {
            Ok(text) => text,
            Err(message) => {
                report.add(&Place::root(), message);
                return Err(report.into_mistakes(path));
            }
        };
        match read_file(&text, &mut report) {
            Ok(file) => {
                let settings = forward::forward(&file.forward, &file.state_dir, &Outside { flags, env }, &mut report);
                if report.is_empty() { Ok(settings) } else { Err(report.into_mistakes(path)) }
            }
            Err(mistake) => {
                report.push(mistake);
                Err(report.into_mistakes(path))
            }
        }
    }
}

/// What the file says, without what is wrong in it. `Err`: nothing can be read at all.
fn read_file(text: &str, report: &mut Report) -> Result<raw::File, Mistake> {
    let mut root = document::parse(text, report)?;
    shape::check(&mut root, shape::shape(), &Place::root(), report);
    let at = root.at;
    let file = raw::File::deserialize(read::Reader(&root));
    report.attach(root);
    // What fits the shape can be read. Should that ever be untrue, the text of the error could hold a secret.
    file.map_err(|_| Mistake { at: Some(at), place: Place::root(), message: "not a configuration".to_owned() })
}

fn build(file: &raw::File, outside: &Outside, report: &mut Report) -> Config {
    refuse_later_flags(outside, report);
    let listen = listeners::listen(&file.listen, outside, report);
    let admin_listen = listeners::admin(&file.admin_listen, &listen, outside, report);
    let session = credentials::session_secret(&file.session_secret_file, outside, report);
    let kubernetes = credentials::kubernetes(&file.kubernetes, outside, report);
    if matches!(session, Ok(None)) && kubernetes.is_none() && !report.is_broken(&Place::of("kubernetes.enabled")) {
        credentials::refuse_without_any(report);
    }
    let doppler = secrets::doppler(&file.secret_stores.doppler, outside, report);
    let known = routes::Known { entries: &file.secrets, doppler: doppler.given };
    let routes = routes::routes(&file.routes, &known, report);
    secrets::check_doppler(&doppler, &file.secrets, routes::look_up(&routes, &file.secrets), report);
    Config {
        listen_tls: listeners::tls(&file.listen_tls, report),
        allow_peers: listeners::networks(&file.allow_peers, &Place::of("allow_peers"), report),
        session_secret: session.unwrap_or_default(),
        user: credentials::user(&file.user, outside),
        secrets: secrets::entries(&file.secrets, report),
        doppler: doppler.settings,
        cache: secrets::cache(&file.secret_stores, outside, report),
        policy: policy::policy(file.policy.as_ref(), kubernetes.is_some(), report),
        forward: forward::forward(&file.forward, &file.state_dir, outside, report),
        limits: operation::limits(&file.limits),
        audit: operation::audit(&file.audit, report),
        log: operation::log(&file.log, outside, report),
        listen,
        admin_listen,
        kubernetes,
        routes,
        warnings: Vec::new(),
    }
}

/// Flags of later work are refused by name, never ignored.
fn refuse_later_flags(outside: &Outside, report: &mut Report) {
    match outside.given("--otel-enabled", outside.flags.otel_enabled.as_deref()) {
        Some(given) if given.value != "false" => report.add(&given.from, "not supported yet"),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
