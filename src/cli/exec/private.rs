//! A veilwarden for one command alone: on a free port of loopback, with a session secret and a CA that end with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tracing_appender::non_blocking::WorkerGuard;

use super::bundle::Bundle;
use super::environment::Changes;
use super::password::Password;
use super::{complain, readable, scrub};
use crate::app::{App, Running};
use crate::ca;
use crate::cli::log;
use crate::config::{AuditOutput, Config, Endpoint, Overrides, process_environment};
use crate::secrets::Source;

/// What is still under way when the command has ended is nobody's any more.
const DRAIN: Duration = Duration::from_secs(1);

/// The running proxy, and what the command's environment has to say about it.
pub struct Private {
    pub changes: Changes,
    running: Running,
    _bundle: Bundle,
    _log: Option<WorkerGuard>,
}

impl Private {
    /// Starts the proxy that the configuration describes, but for where it listens and whom it lets in: the command,
    /// as the `user` of the file. `state_dir`: where its CA is made; nothing in it is needed afterwards.
    ///
    /// # Errors
    /// As `serve`; every mistake of the configuration.
    pub async fn start(file: PathBuf, log_file: Option<PathBuf>, state_dir: PathBuf) -> Result<Private> {
        let password = Password::generate()?;
        let mut config = load(&file, &password)?;
        let opened =
            |path: PathBuf| log::init_file(config.log, &path).with_context(|| format!("--log-file {}", path.display()));
        let _log = log_file.map(opened).transpose()?;
        for warning in config.warnings.iter().chain(&readable::warnings(&config.secrets, &file)) {
            complain(format_args!("warning: {warning}"));
        }
        let variables = config.secrets.iter().filter_map(|(_, source)| match source {
            Source::Env(name) => Some(name.as_str()),
            Source::Value(_) | Source::File(_) | Source::Doppler { .. } => None,
        });
        let scrubbed = scrub::scrubbed(std::env::vars_os().map(|(name, _)| name), variables);
        let source = ca::Source::Made { state_dir };
        config.forward.enabled = true;
        config.forward.ca = Some(source.clone());
        config.forward.reread = false;
        let app = App::build(config).await.map_err(|errors| anyhow!("{errors}"))?;
        // Else the start would go on without one, as that of `serve` does, and the log may be nowhere.
        let authority = source.read_or_make().context("no CA can be made; TMPDIR names a directory to write to")?;
        let running = app.start().await.map_err(|errors| anyhow!("{errors}"))?;
        let bundle = Bundle::of(&[CertificateDer::from_pem_slice(authority.pem().as_bytes())?])?;
        let address = running.listen.first().and_then(Endpoint::address).context("it does not listen")?;
        let changes = Changes::new(&password.proxy_url(address), Some(bundle.path())).without(scrubbed);
        Ok(Private { changes, running, _bundle: bundle, _log })
    }

    /// Ends the proxy; the last audit records are written.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

fn load(file: &Path, password: &Password) -> Result<Config> {
    // A variable and no flag: a flag's value would be warned about. Nobody sees this environment.
    let environment = |name: &str| match name {
        "VEILWARDEN_SESSION_SECRET" => Some(password.expose().to_owned()),
        "VEILWARDEN_SESSION_SECRET_FILE" => None,
        other => process_environment(other),
    };
    let flags = Overrides { k8s_enabled: Some("false".to_owned()), ..Overrides::default() };
    let mut config = Config::load(file, &flags, &environment).map_err(|mistakes| anyhow!("{mistakes}"))?;
    config.listen = vec![Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))];
    config.listen_tls = None;
    config.admin_listen = None;
    config.allow_peers.clear();
    config.limits.drain_delay = Duration::ZERO;
    config.limits.drain_timeout = DRAIN;
    // Standard output is the command's.
    if config.audit.output == AuditOutput::Stdout {
        config.audit.output = AuditOutput::Off;
    }
    Ok(config)
}
