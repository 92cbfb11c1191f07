//! `veilwarden exec`: runs one command whose calls go through veilwarden, with nothing to change in it.

mod bundle;
mod child;
mod credential;
mod environment;
mod relay;
mod via;

use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::args;
use bundle::Bundle;
use child::Child;
use credential::CredentialFile;
use environment::Changes;
use relay::Relay;
use via::Via;

/// What `env`, `timeout` and their like exit with when they fail themselves.
const OWN_FAILURE: u8 = 125;

/// Runs the command and ends as it does: with its exit status, or 128 and the number of the signal that ended it.
pub async fn run(settings: args::Exec) -> ExitCode {
    match execute(settings).await {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("veilwarden exec: {error:#}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}

async fn execute(settings: args::Exec) -> Result<u8> {
    let Some(via) = &settings.via else { bail!("a private proxy is not supported yet: name a veilwarden with --via") };
    let credential = match (&settings.token_file, &settings.session_secret_file) {
        (Some(file), None) | (None, Some(file)) => CredentialFile::open(file).await?,
        _ => bail!("--via needs --token-file, or --session-secret-file"),
    };
    let via = Via::parse(via, settings.ca_file.as_deref()).context("--via")?;
    let relay = Relay::start(via, credential).await.context("no port on loopback")?;
    let bundle = settings.ca_file.as_deref().map(Bundle::write).transpose()?;
    let changes = Changes::new(&relay.url(), bundle.as_ref().map(Bundle::path));
    run_command(&settings.command, &changes, Arc::new(relay), bundle).await
}

/// The relay and the bundle are there for as long as the command runs.
async fn run_command(
    words: &[std::ffi::OsString],
    changes: &Changes,
    relay: Arc<Relay>,
    bundle: Option<Bundle>,
) -> Result<u8> {
    let Some((program, arguments)) = words.split_first() else { bail!("no command is named") };
    let mut command = Command::new(program);
    command.args(arguments);
    changes.apply(&mut command);
    let serving = tokio::spawn(Arc::clone(&relay).serve());
    let status = match Child::spawn(command) {
        Ok(child) => child.wait().await?,
        Err(error) => {
            eprintln!("veilwarden exec: {}: {error}", program.display());
            child::status_of_failed_start(&error)
        }
    };
    serving.abort();
    drop(bundle);
    Ok(status)
}
