//! Secret stores: an id in, a checked value out.

use secrecy::SecretString;

use crate::BoxFuture;

/// A secret's value, checked once (no CR, LF, NUL, not blank; one trailing newline trimmed) and zeroised on drop.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

/// Where secrets come from. Caches are decorators of the same trait.
pub trait SecretStore: Send + Sync {
    fn fetch<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Secret, Error>>;
}

/// Why a secret could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("no secret with this id is configured")]
    Unknown,
}

/// Where one configured secret comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// `value:` in the file.
    Value(SecretString),
    /// `env:` the name of an environment variable, read once at start.
    Env(String),
    /// `file:` a path, read again when it changes.
    File(std::path::PathBuf),
    /// `doppler:` with the store's project and config where the entry names none.
    Doppler { project: Option<String>, config: Option<String>, name: String },
}

/// `secret_stores.doppler` and the flags and variables beside it.
#[derive(Debug, Clone)]
pub struct DopplerSettings {
    /// Without a trailing slash.
    pub base_url: String,
    pub token: SecretString,
    pub project: Option<String>,
    pub config: Option<String>,
    pub timeout: std::time::Duration,
}

/// `secret_stores.cache_ttl` and `max_stale`.
#[derive(Debug, Clone, Copy)]
pub struct CacheSettings {
    pub ttl: std::time::Duration,
    /// How long past its TTL a value may be served while the store fails.
    pub max_stale: std::time::Duration,
}
