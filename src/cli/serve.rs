//! `veilwarden serve`: runs until a signal says otherwise.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::runtime::Handle;
use tracing_appender::non_blocking::WorkerGuard;

use super::signals::{STOP, Signals, answer_hangups, name};
use super::{log, standard};
use crate::app::{App, Running};
use crate::config::{Config, Overrides, process_environment};
use crate::server::descriptors;

/// Starts, serves, and stops in order. Configuration mistakes go to stderr as they are, one a line.
pub async fn run(file: &Path, overrides: &Overrides) -> ExitCode {
    // Before anything else: a signal that comes during the start must not be lost.
    let (Ok(mut signals), Ok(())) = (Signals::listen(STOP), answer_hangups()) else {
        return fail("no signal handler can be installed");
    };
    // On a thread of its own, because files are waited for without yielding: one that does not answer (a pipe, a
    // server that is gone) must not keep us from hearing a signal, which takes a free worker, and there may be only one.
    let (file, overrides) = (file.to_owned(), overrides.clone());
    let starting = tokio::task::spawn_blocking(|| Handle::current().block_on(start(file, overrides)));
    tokio::select! {
        started = starting => match started {
            Ok(Ok((running, _log))) => serve(running, &mut signals).await,
            Ok(Err(mistakes)) => fail(&mistakes),
            Err(_) => fail("the start broke off"),
        },
        signal = signals.next() => {
            tracing::info!(signal = name(signal), "stopped while starting");
            ExitCode::SUCCESS
        }
    }
}

/// The error is what to print.
async fn start(file: PathBuf, overrides: Overrides) -> Result<(Running, WorkerGuard), String> {
    let config = Config::load(&file, &overrides, &process_environment).map_err(|mistakes| mistakes.to_string())?;
    let log = log::init(config.log);
    for warning in &config.warnings {
        tracing::warn!(target: log::START, "{warning}");
    }
    let needed = descriptors::needed(&config.limits);
    if let Some(open_files) = descriptors::raise().filter(|open_files| *open_files < needed) {
        tracing::warn!(
            target: log::START,
            open_files,
            needed,
            "the limit of open files is too low for limits.max_connections and limits.max_concurrent_requests: raise it (ulimit -n), or lower them"
        );
    }
    let app = App::build(config).await.map_err(|errors| errors.to_string())?;
    if let Some(cluster) = app.cluster() {
        tracing::info!(cluster, "tokens are judged by this cluster");
    }
    let running = app.start().await.map_err(|errors| errors.to_string())?;
    Ok((running, log))
}

async fn serve(running: Running, signals: &mut Signals) -> ExitCode {
    let listen = running.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let admin_listen = running.admin_listen.map_or("off".to_owned(), |address| address.to_string());
    tracing::info!(target: log::START, listen, admin_listen, version = env!("CARGO_PKG_VERSION"), "ready");
    let signal = signals.next().await;
    tracing::info!(signal = name(signal), "draining");
    tokio::select! {
        () = running.stop() => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        signal = signals.next() => {
            tracing::warn!(signal = name(signal), "second signal: stopped at once");
            ExitCode::FAILURE
        }
    }
}

fn fail(error: &str) -> ExitCode {
    standard::complain(error);
    ExitCode::FAILURE
}
