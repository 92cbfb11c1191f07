//! `veilwarden exec`: runs one command whose calls go through veilwarden, with nothing to change in it.

mod bundle;
mod child;
mod credential;
mod environment;
mod lingering;
mod password;
mod private;
mod readable;
mod relay;
mod scrub;
mod via;

use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::{args, standard};
use crate::config::{file_path, process_environment};
use bundle::Bundle;
use child::Child;
use credential::CredentialFile;
use environment::Changes;
use private::Private;
use relay::Relay;
use via::Via;

/// What `env`, `timeout` and their like exit with when they fail themselves.
const OWN_FAILURE: u8 = 125;

/// Runs the command and ends as it does: with its exit status, or 128 and the number of the signal that ended it.
pub async fn run(settings: args::Exec) -> ExitCode {
    let outcome = match &settings.via {
        Some(via) => behind_another(via, &settings).await,
        None => behind_its_own(&settings).await,
    };
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::from(OWN_FAILURE)
        }
    }
}

/// The veilwarden is there already; a relay adds the credential.
async fn behind_another(via: &str, settings: &args::Exec) -> Result<u8> {
    let credential = match (&settings.token_file, &settings.session_secret_file) {
        (Some(file), None) | (None, Some(file)) => CredentialFile::open(file).await?,
        _ => bail!("--via needs --token-file, or --session-secret-file"),
    };
    let ca_file: Option<&Path> = settings.ca_file.as_deref();
    let via = Via::parse(via, ca_file).context("--via")?;
    let relay = Arc::new(Relay::start(via, credential).await.context("no port on loopback")?);
    let bundle = ca_file.map(Bundle::write).transpose()?;
    let changes = Changes::new(&relay.url(), bundle.as_ref().map(Bundle::path));
    let serving = tokio::spawn(relay.serve());
    let ended = run_command(&settings.command, &changes).await;
    serving.abort();
    ended
}

/// The veilwarden is this process, and ends with the command.
async fn behind_its_own(settings: &args::Exec) -> Result<u8> {
    let file = file_path(settings.config.clone(), &process_environment);
    let private = Private::start(&file, settings.log_file.as_deref()).await?;
    if let Some(list) = private.changes.removed_keys() {
        complain(format_args!("removed from the command's environment: {list}"));
    }
    let ended = run_command(&settings.command, &private.changes).await;
    private.stop().await;
    ended
}

async fn run_command(words: &[OsString], changes: &Changes) -> Result<u8> {
    let Some((program, arguments)) = words.split_first() else { bail!("no command is named") };
    let mut command = Command::new(program);
    command.args(arguments);
    changes.apply(&mut command);
    match Child::spawn(command) {
        Ok(child) => Ok(child.wait().await?),
        Err(error) => {
            complain(format_args!("{}: {error}", program.display()));
            Ok(child::status_of_failed_start(&error))
        }
    }
}

/// Standard error is the command's as well, so a line says whose it is.
fn complain(what: impl Display) {
    standard::complain(format_args!("veilwarden exec: {what}"));
}
