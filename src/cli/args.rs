//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use http::HeaderName;

use crate::config::variable_of;

pub mod ca;
pub mod exec;
mod settings;
pub mod snippet;
mod spelling;

use ca::Ca;
pub use exec::Exec;
pub use settings::Settings;
use snippet::Snippet;

const EXAMPLES: &str = "\
Examples:
  veilwarden demo
      Make five calls through a proxy of its own and show what became of them. Needs nothing.
  veilwarden check --config veilwarden.yaml
      Print every mistake of a configuration, and when there is none, of what it names.
  VEILWARDEN_SESSION_SECRET=$(openssl rand -base64 32) veilwarden --config veilwarden.yaml
      Serve on a laptop.
  veilwarden serve --config /etc/veilwarden/config.yaml --k8s-enabled=true --listen 0.0.0.0:8088
      Serve in a cluster.

A flag counts before its variable, a variable before the configuration file. A blank variable counts as unset.
Exit status: 0 good, 1 failed, 2 wrong usage; exec has its own, see its help.";

/// A node-local HTTP proxy that puts the secret into a workload's call, so that the workload never holds it
#[derive(Debug, Parser)]
#[command(name = "veilwarden", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(override_usage = "veilwarden [OPTIONS]\n       veilwarden <COMMAND>")]
struct Cli {
    #[command(subcommand)]
    command: Option<Typed>,

    #[command(flatten)]
    serve: Settings,
}

/// What the program is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Run the proxy. Also what is done when no command is named.
    Serve(Settings),
    /// Check the configuration with the code that `serve` starts with.
    Check(Settings),
    /// Show the whole road with calls of its own.
    Demo(Demo),
    /// The test upstream.
    Echo(Echo),
    /// Run a command whose calls go through veilwarden.
    Exec(Exec),
    /// Write a configuration to start from.
    Init(Init),
    /// Copy the program into a directory.
    Install(Install),
    /// Print a workload that calls through the proxy.
    Snippet(Snippet),
    /// Make or show the CA of forward mode.
    Ca(Ca),
    /// Print the version.
    Version(Version),
    /// Print a completion script.
    Completions(Completions),
    /// Print the JSON Schema of the configuration file.
    ConfigSchema,
}

#[derive(Debug, Subcommand)]
enum Typed {
    /// Run the proxy (what is done when no command is named)
    Serve(Settings),
    /// Print every mistake of the configuration, then of what it names; exit status 1 if there is one
    Check(Settings),
    /// Make five calls through a proxy of its own and show what became of them
    Demo(Demo),
    /// Run the test upstream: it answers with the request it got, as JSON
    Echo(Echo),
    /// Run a command whose calls go through veilwarden, with nothing to change in it
    Exec(Exec),
    /// Write a configuration to start from, with comments
    Init(Init),
    /// Copy this program into a directory, for a container whose image does not have it
    Install(Install),
    /// Print a Kubernetes workload that calls through veilwarden, to be copied
    #[command(subcommand)]
    Snippet(Snippet),
    /// Make or show the CA whose certificates are shown inside of HTTPS tunnels
    #[command(subcommand)]
    Ca(Ca),
    /// Print the version
    Version(Version),
    /// Print a shell's completion script
    Completions(Completions),
    /// Show what the configuration file can say
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(flatten)]
    Later(Later),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the JSON Schema of the configuration file
    Schema,
}

/// Commands of later work: known, so that typing one says so.
#[derive(Debug, Subcommand)]
enum Later {
    #[command(hide = true, disable_help_flag = true)]
    Policy(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Doctor(Anything),
}

#[derive(Debug, Args)]
struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// End after the calls; exit status 0 only if all went as they should
    #[arg(long)]
    pub once: bool,

    /// Use a real ServiceAccount token from this cluster
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// `echo`.
#[derive(Debug, Args)]
pub struct Echo {
    /// Where to listen; port 0 lets the system choose [env: ECHO_ADDR] [default: 127.0.0.1:9090]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Answer over TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// Answer with the SHA-256 of this field's value in place of the value; may be repeated
    #[arg(long, value_name = "FIELD")]
    pub mask: Vec<HeaderName>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The file to write [default: veilwarden.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
}

/// `install`.
#[derive(Debug, Args)]
pub struct Install {
    /// The directory, which must be there; the copy is DIRECTORY/veilwarden
    pub directory: PathBuf,
}

/// `version`.
#[derive(Debug, Args)]
pub struct Version {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
}

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Text,
    Json,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Reads a command line; `argv` starts with the program's name.
///
/// # Errors
/// What `clap` says, help and version included.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(spelling::double_dashes(argv, &command))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok(match cli.command {
        None => Command::Serve(cli.serve),
        Some(Typed::Serve(settings)) => Command::Serve(settings),
        Some(Typed::Check(settings)) => Command::Check(settings),
        Some(Typed::Demo(demo)) => Command::Demo(demo),
        Some(Typed::Echo(echo)) => Command::Echo(echo),
        Some(Typed::Exec(exec)) => Command::Exec(exec),
        Some(Typed::Init(init)) => Command::Init(init),
        Some(Typed::Install(install)) => Command::Install(install),
        Some(Typed::Snippet(snippet)) => Command::Snippet(snippet),
        Some(Typed::Ca(ca)) => Command::Ca(ca),
        Some(Typed::Version(version)) => Command::Version(version),
        Some(Typed::Completions(completions)) => Command::Completions(completions),
        Some(Typed::Config(ConfigCommand::Schema)) => Command::ConfigSchema,
        Some(Typed::Later(later)) => return Err(not_yet(&later, &mut command)),
    })
}

/// The exit status of a program with these arguments that fails by itself, or is not used as it should be (`wrong_usage`).
pub fn status_of_failure(argv: &[OsString], wrong_usage: bool) -> u8 {
    match argv.get(1) {
        Some(name) if name == "exec" => exec::OWN_FAILURE,
        _ if wrong_usage => 2,
        _ => 1,
    }
}

/// The command line's definition, for `completions`. The help of each setting names its variable; the variables
/// themselves are read by [`crate::config`], which knows what counts first and never shows a value.
pub fn command() -> clap::Command {
    let with_variables = |command: clap::Command| {
        command.mut_args(|arg| match (arg.get_long(), arg.get_help()) {
            (Some(flag), Some(help)) if !matches!(flag, "help" | "version") && !arg.is_hide_set() => {
                let borrowed = match flag {
                    "doppler-token" => ", DOPPLER_TOKEN",
                    "doppler-project" => ", DOPPLER_PROJECT",
                    "doppler-config" => ", DOPPLER_CONFIG",
                    _ => "",
                };
                let help = format!("{help} [env: {}{borrowed}]", variable_of(flag));
                arg.help(help)
            }
            _ => arg,
        })
    };
    let command = with_variables(Cli::command());
    command.mut_subcommand("serve", with_variables).mut_subcommand("check", with_variables)
}

fn not_yet(later: &Later, command: &mut clap::Command) -> clap::Error {
    let name = match later {
        Later::Policy(_) => "policy",
        Later::Doctor(_) => "doctor",
    };
    command.error(ErrorKind::InvalidSubcommand, format!("the command '{name}' is not supported yet"))
}

#[cfg(test)]
mod tests;
