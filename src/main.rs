//! Arguments, the process' own protection, exit code.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use veilwarden::cli::args::{self, Command, OutputFormat};
use veilwarden::cli::{ca, check, demo, echo, exec, init, install, panics, serve, snippet, standard};
use veilwarden::config::{self, file_path, process_environment};

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    perform(&argv).unwrap_or_else(|error| {
        standard::complain(format_args!("Error: {error:?}"));
        ExitCode::from(args::status_of_failure(&argv, false))
    })
}

fn perform(argv: &[OsString]) -> Result<ExitCode> {
    protect_memory().context("secrets in memory cannot be protected")?;
    std::panic::set_hook(Box::new(panics::note));
    let command = match args::parse(argv.iter().cloned()) {
        Ok(command) => command,
        Err(told) => {
            // Help, version, or what is wrong; whether it can be said changes nothing.
            let _ = told.print();
            let wrong = told.use_stderr();
            return Ok(if wrong { ExitCode::from(args::status_of_failure(argv, true)) } else { ExitCode::SUCCESS });
        }
    };
    // Before anything builds a TLS configuration: no library may choose another provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match command {
        Command::Version(version) => print(&version_text(version.output))?,
        Command::Completions(completions) => {
            let mut script = Vec::new();
            clap_complete::generate(completions.shell, &mut args::command(), "veilwarden", &mut script);
            print(&String::from_utf8_lossy(&script))?;
        }
        Command::ConfigSchema => print(&format!("{:#}\n", config::schema()))?,
        Command::Install(wanted) => install::run(&wanted.directory)?,
        Command::Snippet(wanted) => print(&snippet::render(&wanted))?,
        Command::Ca(command) => print(&ca::run(&command)?)?,
        Command::Init(wanted) => {
            return Ok(init::run(&file_path(wanted.config, &process_environment), wanted.force));
        }
        command => {
            let runtime = runtime()?;
            let code = runtime.block_on(run(command));
            // Whatever still waits for a file or a name server is not waited for.
            runtime.shutdown_background();
            return code;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(command: Command) -> Result<ExitCode> {
    let file = |flag| file_path(flag, &process_environment);
    Ok(match command {
        Command::Serve(settings) => serve::run(&file(settings.config.clone()), &settings.overrides()).await,
        Command::Check(settings) => check::run(&file(settings.config.clone()), &settings.overrides()).await,
        Command::Demo(settings) => demo::run(settings.once, settings.kubeconfig).await,
        Command::Echo(settings) => {
            echo::run(&settings).await?;
            ExitCode::SUCCESS
        }
        Command::Exec(settings) => exec::run(settings).await,
        Command::Version(_)
        | Command::Completions(_)
        | Command::ConfigSchema
        | Command::Install(_)
        | Command::Snippet(_)
        | Command::Init(_)
        | Command::Ca(_) => ExitCode::SUCCESS,
    })
}

/// Nobody may read our memory through /proc or attach to us, and a crash writes no core file: it would hold
/// secrets. The first thing that the program does.
fn protect_memory() -> rustix::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn version_text(format: OutputFormat) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match format {
        OutputFormat::Text => format!("veilwarden {version}\n"),
        OutputFormat::Json => format!("{{\"version\":\"{version}\"}}\n"),
    }
}

fn print(text: &str) -> Result<()> {
    standard::print(text).context("standard output cannot be written")
}
