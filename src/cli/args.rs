//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

use crate::config::{Overrides, variable_of};

mod spelling;

const EXAMPLES: &str = "\
Examples:
  veilwarden demo
      Make five calls through a proxy of its own and show what became of them. Needs nothing.
  veilwarden check --config veilwarden.yaml
      Print every mistake of a configuration.
  VEILWARDEN_SESSION_SECRET=$(openssl rand -base64 32) veilwarden --config veilwarden.yaml
      Serve on a laptop.
  veilwarden serve --config /etc/veilwarden/config.yaml --k8s-enabled=true --listen 0.0.0.0:8088
      Serve in a cluster.

A flag counts before its variable, a variable before the configuration file. A blank variable counts as unset.
Exit status: 0 good, 1 failed, 2 wrong usage.";

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
    /// Print every mistake of the configuration; exit status 1 if there is one
    Check(Settings),
    /// Make five calls through a proxy of its own and show what became of them
    Demo(Demo),
    /// Run the test upstream: it answers with the request it got, as JSON
    Echo(Echo),
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
    Exec(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Policy(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Ca(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Doctor(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Init(Anything),
    #[command(hide = true, disable_help_flag = true)]
    Snippet(Anything),
}

#[derive(Debug, Args)]
struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

/// The flags of `serve` and `check`. Each has a variable, which [`crate::config`] reads: `--k8s-enabled` is
/// `VEILWARDEN_K8S_ENABLED`.
#[derive(Debug, Args)]
pub struct Settings {
    /// The configuration file [default: veilwarden.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where calls come in; may be repeated [default: 127.0.0.1:8088]
    #[arg(long, value_name = "IP:PORT", help_heading = "Listening")]
    listen: Vec<String>,

    /// Where health and metrics are, or "off" [default: 127.0.0.1:8089]
    #[arg(long, value_name = "IP:PORT", help_heading = "Listening")]
    admin_listen: Option<String>,

    /// A file with the session secret, at least 16 bytes
    #[arg(long, value_name = "FILE", help_heading = "Callers with the session secret")]
    session_secret_file: Option<String>,

    /// The session secret; others can see it in the process list
    #[arg(long, value_name = "SECRET", value_parser = secret, help_heading = "Callers with the session secret")]
    session_secret: Option<SecretString>,

    /// The id that policy sees for these callers
    #[arg(long, value_name = "ID", help_heading = "Callers with the session secret")]
    user_id: Option<String>,

    /// Their mail address
    #[arg(long, value_name = "EMAIL", help_heading = "Callers with the session secret")]
    user_email: Option<String>,

    /// Their organisation
    #[arg(long, value_name = "ORG", help_heading = "Callers with the session secret")]
    user_org: Option<String>,

    /// Whether workloads authenticate with ServiceAccount tokens; auto: inside a cluster [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = ["auto", "true", "false"], help_heading = "Callers in Kubernetes")]
    k8s_enabled: Option<String>,

    /// The API server's address, when it is not the one that the cluster or the kubeconfig names
    #[arg(long, value_name = "URL", help_heading = "Callers in Kubernetes")]
    k8s_api_server: Option<String>,

    /// How tokens are validated: tokenreview [default: tokenreview]
    #[arg(long, value_name = "METHOD", help_heading = "Callers in Kubernetes")]
    k8s_validate_method: Option<String>,

    /// The Doppler token; others can see it in the process list
    #[arg(long, value_name = "TOKEN", value_parser = secret, help_heading = "Secrets")]
    doppler_token: Option<SecretString>,

    /// The Doppler project
    #[arg(long, value_name = "NAME", alias = "project", help_heading = "Secrets")]
    doppler_project: Option<String>,

    /// The Doppler config
    #[arg(long, value_name = "NAME", alias = "config-name", help_heading = "Secrets")]
    doppler_config: Option<String>,

    /// The Doppler API's address [default: https://api.doppler.com]
    #[arg(long, value_name = "URL", help_heading = "Secrets")]
    doppler_base_url: Option<String>,

    /// One call to Doppler [default: 5s]
    #[arg(long, value_name = "DURATION", help_heading = "Secrets")]
    doppler_timeout: Option<String>,

    /// How long a fetched secret is used [default: 5m]
    #[arg(long, value_name = "DURATION", help_heading = "Secrets")]
    secret_cache_ttl: Option<String>,

    /// How much is logged on stderr [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug", "trace"], help_heading = "Seeing it")]
    log_level: Option<String>,

    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    otel_enabled: Option<String>,

    #[arg(long, hide = true)]
    state_dir: Option<String>,
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

impl Settings {
    /// What the flags say, for [`crate::config::Config::load`].
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            admin_listen: self.admin_listen.clone(),
            state_dir: self.state_dir.clone(),
            session_secret: self.session_secret.clone(),
            session_secret_file: self.session_secret_file.clone(),
            user_id: self.user_id.clone(),
            user_email: self.user_email.clone(),
            user_org: self.user_org.clone(),
            k8s_enabled: self.k8s_enabled.clone(),
            k8s_api_server: self.k8s_api_server.clone(),
            k8s_validate_method: self.k8s_validate_method.clone(),
            doppler_token: self.doppler_token.clone(),
            doppler_base_url: self.doppler_base_url.clone(),
            doppler_project: self.doppler_project.clone(),
            doppler_config: self.doppler_config.clone(),
            doppler_timeout: self.doppler_timeout.clone(),
            secret_cache_ttl: self.secret_cache_ttl.clone(),
            otel_enabled: self.otel_enabled.clone(),
            log_level: self.log_level.clone(),
        }
    }
}

/// Reads a command line; `argv` starts with the program's name.
///
/// # Errors
/// What `clap` says, help and version included: print it with [`clap::Error::exit`].
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
        Some(Typed::Version(version)) => Command::Version(version),
        Some(Typed::Completions(completions)) => Command::Completions(completions),
        Some(Typed::Config(ConfigCommand::Schema)) => Command::ConfigSchema,
        Some(Typed::Later(later)) => return Err(not_yet(&later, &mut command)),
    })
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
        Later::Exec(_) => "exec",
        Later::Policy(_) => "policy",
        Later::Ca(_) => "ca",
        Later::Doctor(_) => "doctor",
        Later::Init(_) => "init",
        Later::Snippet(_) => "snippet",
    };
    command.error(ErrorKind::InvalidSubcommand, format!("the command '{name}' is not supported yet"))
}

/// Keeps a secret out of everything that prints arguments. Cannot fail; the type is what `clap` wants.
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests;
