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
mod start;
mod via;

use std::ffi::OsString;
use std::fmt::Display;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::signals::Signals;
use super::{args, standard};
use crate::config::{file_path, process_environment};
use bundle::Bundle;
use child::{Child, status_of_signal};
use credential::CredentialFile;
use environment::Changes;
use private::Private;
use relay::Relay;
use start::{Interrupted, start};
use via::Via;

/// Runs the command and ends as it does: with its exit status, or 128 and the number of the signal that ended it.
pub async fn run(mut settings: args::Exec) -> ExitCode {
    let words = std::mem::take(&mut settings.command);
    let outcome = match settings.via.take() {
        Some(via) => behind_another(via, settings, &words).await,
        None => behind_its_own(settings, &words).await,
    };
    ExitCode::from(outcome.unwrap_or_else(|error| match error.downcast_ref() {
        Some(Interrupted(number)) => status_of_signal(*number),
        None => {
            complain(format_args!("{error:#}"));
            args::exec::OWN_FAILURE
        }
    }))
}

/// The veilwarden is there already; a relay adds the credential.
async fn behind_another(via: String, settings: args::Exec, words: &[OsString]) -> Result<u8> {
    let mut signals = signals()?;
    let (relay, bundle) = start(&mut signals, || relay(via, settings)).await?;
    let changes = Changes::new(&relay.url(), bundle.as_ref().map(Bundle::path));
    let serving = tokio::spawn(Arc::new(relay).serve());
    let ended = run_command(words, &changes, signals).await;
    serving.abort();
    ended
}

async fn relay(via: String, settings: args::Exec) -> Result<(Relay, Option<Bundle>)> {
    let credential = match (&settings.token_file, &settings.session_secret_file) {
        (Some(file), None) | (None, Some(file)) => CredentialFile::open(file).await?,
        _ => bail!("--via needs --token-file, or --session-secret-file"),
    };
    let ca_file = settings.ca_file.as_deref();
    let via = Via::parse(&via, ca_file).context("--via")?;
    let relay = Relay::start(via, credential).await.context("no port on loopback")?;
    Ok((relay, ca_file.map(Bundle::write).transpose()?))
}

/// The veilwarden is this process, and ends with the command.
async fn behind_its_own(settings: args::Exec, words: &[OsString]) -> Result<u8> {
    let mut signals = signals()?;
    let file = file_path(settings.config, &process_environment);
    // The CA's key is in a file until the proxy has it, which is before there is a command to read it. The directory is
    // ours and not the start's, which may hang.
    let state = bundle::directory()?;
    let state_dir = state.path().to_owned();
    let private = start(&mut signals, || Private::start(file, settings.log_file, state_dir)).await?;
    state.close().context("the CA's key cannot be deleted")?;
    if let Some(list) = private.changes.removed_keys() {
        complain(format_args!("removed from the command's environment: {list}"));
    }
    let ended = run_command(words, &private.changes, signals).await;
    private.stop().await;
    ended
}

/// Before anything is made that has to be removed again.
fn signals() -> Result<Signals> {
    Signals::listen(child::signals()).context("no signal handler can be installed")
}

async fn run_command(words: &[OsString], changes: &Changes, signals: Signals) -> Result<u8> {
    let Some((program, arguments)) = words.split_first() else { bail!("no command is named") };
    let mut command = Command::new(program);
    command.args(arguments);
    changes.apply(&mut command);
    match Child::spawn(command, signals) {
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
