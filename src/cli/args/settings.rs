//! The flags of `serve` and `check`.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use crate::config::Overrides;

/// The flags of `serve` and `check`. Each has a variable, which [`crate::config`] reads: `--k8s-enabled` is
/// `VEILWARDEN_K8S_ENABLED`.
#[derive(Debug, Args)]
pub struct Settings {
    /// The configuration file [default: veilwarden.yaml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where calls come in, an address or "unix:" and a path; may be repeated [default: 127.0.0.1:8088]
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

    /// How tokens are validated: tokenreview, jwks or both [default: tokenreview]
    #[arg(long, value_name = "METHOD", help_heading = "Callers in Kubernetes")]
    k8s_validate_method: Option<String>,

    /// The node that veilwarden runs on, for kubernetes.pod_binding and pod_metadata
    #[arg(long, value_name = "NAME", help_heading = "Callers in Kubernetes")]
    node_name: Option<String>,

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

    /// Where the CA that veilwarden makes is kept [default: ~/.local/state/veilwarden]
    #[arg(long, value_name = "DIR", help_heading = "Forward mode")]
    state_dir: Option<String>,
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
            node_name: self.node_name.clone(),
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

/// Keeps a secret out of everything that prints arguments. Cannot fail; the type is what `clap` wants.
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}
