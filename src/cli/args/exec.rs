//! `exec`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  veilwarden exec -- my-agent
      Run a program behind a proxy of its own, as veilwarden.yaml describes it, that ends with it.
  veilwarden exec --via http://veilwarden.veilwarden.svc:8088 --token-file /var/run/secrets/veilwarden/token -- my-agent
      Run a program in a pod; each of its calls is sent with the token that the file holds at that moment.

Exit status: the command's; 128 and a signal's number if that ended it; 125 if veilwarden failed, wrong usage
included; 126 if the command cannot be run, 127 if there is none.";

/// What `env`, `timeout` and their like exit with when they fail themselves, wrong usage included. Any other status would
/// look like the command's.
pub const OWN_FAILURE: u8 = 125;

/// `exec`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = "veilwarden exec [--config FILE] [--log-file FILE] -- CMD [ARG]...\n       veilwarden exec --via URL --token-file FILE [--ca-file FILE] -- CMD [ARG]...")]
pub struct Exec {
    /// The configuration of a proxy for the command alone [default: veilwarden.yaml]
    #[arg(long, value_name = "FILE", conflicts_with = "via")]
    pub config: Option<PathBuf>,

    /// Where that proxy's log goes; without, nowhere
    #[arg(long, value_name = "FILE", conflicts_with = "via")]
    pub log_file: Option<PathBuf>,

    /// The veilwarden that the command's calls are sent to; without, one of its own
    #[arg(long, value_name = "URL")]
    pub via: Option<String>,

    /// The file with the ServiceAccount token that proves who calls; read again as it changes
    #[arg(long, value_name = "FILE", requires = "via", conflicts_with = "session_secret_file")]
    pub token_file: Option<PathBuf>,

    /// The file with the session secret that proves who calls
    #[arg(long, value_name = "FILE", requires = "via")]
    pub session_secret_file: Option<PathBuf>,

    /// The CA (PEM) whose certificates veilwarden shows inside of tunnels; the command is told to trust it
    #[arg(long, value_name = "FILE", requires = "via")]
    pub ca_file: Option<PathBuf>,

    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, num_args = 1..)]
    pub command: Vec<OsString>,
}
