//! `veilwarden serve`: runs until a signal says otherwise.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log;
use crate::app::{App, Errors, Running};
use crate::config::{Config, Overrides, process_environment};

/// Starts, serves, and stops in order. Configuration mistakes go to stderr as they are, one a line.
pub async fn run(file: &Path, overrides: &Overrides) -> ExitCode {
    let config = match Config::load(file, overrides, &process_environment) {
        Ok(config) => config,
        Err(mistakes) => return fail(&mistakes),
    };
    // Before anything slow: a signal that comes during the start must not be lost.
    let Ok(mut signals) = Signals::listen() else { return fail(&"no signal handler can be installed") };
    log::init(config.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    tokio::select! {
        running = start(config) => match running {
            Ok(running) => serve(running, &mut signals).await,
            Err(error) => fail(&error),
        },
        name = signals.next() => {
            tracing::info!(signal = name, "stopped while starting");
            ExitCode::SUCCESS
        }
    }
}

async fn start(config: Config) -> Result<Running, Errors> {
    let app = App::build(config).await?;
    if let Some(cluster) = app.cluster() {
        tracing::info!(cluster, "tokens are judged by this cluster");
    }
    app.start().await
}

async fn serve(running: Running, signals: &mut Signals) -> ExitCode {
    let listen = running.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let admin_listen = running.admin_listen.map_or("off".to_owned(), |address| address.to_string());
    tracing::info!(target: log::READY, listen, admin_listen, version = env!("CARGO_PKG_VERSION"), "ready");
    let name = signals.next().await;
    tracing::info!(signal = name, "draining");
    tokio::select! {
        () = running.stop() => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        name = signals.next() => {
            tracing::warn!(signal = name, "second signal: stopped at once");
            ExitCode::FAILURE
        }
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// SIGTERM and SIGINT, which mean the same.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next signal's name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
