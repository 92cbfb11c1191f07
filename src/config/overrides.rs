//! What flags and environment variables say, and which of them counts.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::place::Place;

/// A look-up of environment variables. Passed in, so that tests need no environment of their own.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The process's own environment. What is not UTF-8 is read with replacement characters, never dropped.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// What the flags said, as typed; `None` where a flag was not given. A blank value counts as not given.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub listen: Vec<String>,
    pub admin_listen: Option<String>,
    pub state_dir: Option<String>,
    pub session_secret: Option<SecretString>,
    pub session_secret_file: Option<String>,
    pub user_id: Option<String>,
    pub user_email: Option<String>,
    pub user_org: Option<String>,
    pub k8s_enabled: Option<String>,
    pub k8s_api_server: Option<String>,
    pub k8s_validate_method: Option<String>,
    pub node_name: Option<String>,
    pub doppler_token: Option<SecretString>,
    pub doppler_base_url: Option<String>,
    pub doppler_project: Option<String>,
    pub doppler_config: Option<String>,
    pub doppler_timeout: Option<String>,
    pub secret_cache_ttl: Option<String>,
    pub otel_enabled: Option<String>,
    pub log_level: Option<String>,
}

/// The configuration file: the flag, else `VEILWARDEN_CONFIG`, else `veilwarden.yaml`.
pub fn file_path(flag: Option<PathBuf>, env: Environment) -> PathBuf {
    let variable = || env("VEILWARDEN_CONFIG").filter(|value| !value.trim().is_empty()).map(PathBuf::from);
    flag.or_else(variable).unwrap_or_else(|| PathBuf::from("veilwarden.yaml"))
}

/// The variable of a flag: `--k8s-enabled` is `VEILWARDEN_K8S_ENABLED`.
pub fn variable_of(flag: &str) -> String {
    format!("VEILWARDEN_{}", flag.trim_start_matches('-').replace('-', "_").to_ascii_uppercase())
}

/// A value and where it came from.
pub(super) struct Given<T = String> {
    pub value: T,
    pub from: Place,
}

/// Everything that is not the file.
pub(super) struct Outside<'a> {
    pub flags: &'a Overrides,
    pub env: Environment<'a>,
}

impl Outside<'_> {
    /// The variable `name`, unless it is blank.
    pub fn variable(&self, name: &str) -> Option<Given> {
        let value = (self.env)(name).filter(|value| !value.trim().is_empty())?;
        Some(Given { value, from: Place::outside(name) })
    }

    /// The flag, else its variable.
    pub fn given(&self, flag: &str, value: Option<&str>) -> Option<Given> {
        match value.filter(|value| !value.trim().is_empty()) {
            Some(value) => Some(Given { value: value.to_owned(), from: Place::outside(flag) }),
            None => self.variable(&variable_of(flag)),
        }
    }

    /// The flag, else its variable, else what the file says (or its default).
    pub fn or_file(&self, flag: &str, value: Option<&str>, path: &str, text: &str) -> Given {
        self.given(flag, value).unwrap_or_else(|| Given { value: text.to_owned(), from: Place::of(path) })
    }

    /// The same for a secret that only flags and variables carry.
    pub fn secret(&self, flag: &str, value: Option<&SecretString>) -> Option<Given<SecretString>> {
        match value.filter(|value| !value.expose_secret().trim().is_empty()) {
            Some(value) => Some(Given { value: value.clone(), from: Place::outside(flag) }),
            None => self.secret_variable(&variable_of(flag)),
        }
    }

    /// A variable that carries a secret.
    pub fn secret_variable(&self, name: &str) -> Option<Given<SecretString>> {
        self.variable(name).map(|given| Given { value: given.value.into(), from: given.from })
    }
}
