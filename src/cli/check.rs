//! `veilwarden check`: would it start? Two steps: what the file says; then, when that is good, what it names.

use std::path::Path;
use std::process::ExitCode;

use super::standard;
use crate::app::App;
use crate::config::{Config, Overrides, process_environment};

/// Runs the code that `serve` starts with, up to the sockets. Exits 0 or 1, with `serve`'s messages on stderr.
pub async fn run(file: &Path, overrides: &Overrides) -> ExitCode {
    let config = match Config::load(file, overrides, &process_environment) {
        Ok(config) => config,
        Err(mistakes) => {
            standard::complain(mistakes);
            return ExitCode::FAILURE;
        }
    };
    let warnings = config.warnings.clone();
    let (routes, secrets) = (config.routes.len(), config.secrets.len());
    match App::build(config).await {
        Ok(app) => {
            for warning in &warnings {
                standard::complain(format_args!("warning: {warning}"));
            }
            let cluster = app.cluster().map_or("off".to_owned(), ToOwned::to_owned);
            let file = file.display();
            standard::note(format_args!("{file}: good ({routes} routes, {secrets} secrets; Kubernetes: {cluster})"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            standard::complain(error);
            ExitCode::FAILURE
        }
    }
}
