//! `ca`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with the CA.
#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Make a CA: in a directory for the Kubernetes Secret "veilwarden-ca", or where serve looks for it
    Init(Init),
    /// Print the CA's certificate as PEM, for those who are to trust it
    Export(Where),
    /// Print the CA's subject, validity and fingerprint
    Show(Where),
}

/// `ca init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Write ca.crt and ca.key to this directory instead
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "state_dir"])]
    pub out_dir: Option<PathBuf>,

    #[command(flatten)]
    pub place: Where,
}

/// Which CA is meant.
#[derive(Debug, Args)]
pub struct Where {
    /// The configuration file that names the CA or its directory [default: veilwarden.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The directory in which serve keeps the CA that it made; no configuration is read then
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub state_dir: Option<PathBuf>,
}
