//! Secret stores: an id in, a checked value out.
//!
//! Stores stand side by side in a [`Secrets`] registry. A value from a file or a remote store lies behind a
//! [`cached::Cached`], a decorator of the same trait.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::BoxFuture;

pub mod cached;
pub mod doppler;
pub mod env;
pub mod file;
pub mod fixed;
mod registry;

pub use registry::{Mistake, Secrets};

/// The longest value that is still a credential and not an accident, in bytes.
pub const MAX_VALUE: usize = 32 * 1024;

/// A shorter value occurs in innocent text, where nobody could tell it from that; in bytes.
pub const SHORTEST_TOLD_APART: usize = 8;

/// What answers can be searched for when this stood in a field: HTTP takes off the white space around a field's value (RFC 9110
/// section 5.5), so that it comes back without. `None`: what is left is shorter than [`SHORTEST_TOLD_APART`].
pub fn told_apart(value: &[u8]) -> Option<&[u8]> {
    Some(value.trim_ascii()).filter(|value| value.len() >= SHORTEST_TOLD_APART)
}

/// A secret's value, checked once, shared by its clones, and zeroised when the last of them is dropped.
///
/// It holds only what HTTP lets a field value hold (RFC 9110, section 5.5) without its obsolete bytes: visible
/// ASCII, blanks and tabs; at least one visible character; at most [`MAX_VALUE`] bytes. Our own buffers on the way
/// here are wiped as well; those inside TLS, HTTP and JSON parsers are not ours to wipe.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Checks a value. One trailing line end, which editors and `echo` leave behind, is taken off first.
    pub fn new(value: String) -> Result<Secret, Error> {
        // The copy below has the exact size: shrinking the caller's string in place could leave a copy behind.
        let value = Zeroizing::new(value);
        let trimmed = value.strip_suffix("\r\n").or_else(|| value.strip_suffix('\n')).unwrap_or(&value);
        if trimmed.len() > MAX_VALUE {
            return Err(Error::InvalidValue("is longer than 32 KiB"));
        }
        if trimmed.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(Error::InvalidValue("holds a line break, a NUL or another control byte"));
        }
        if !trimmed.is_ascii() {
            return Err(Error::InvalidValue("holds characters outside ASCII, which an HTTP field cannot carry"));
        }
        if trimmed.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(Error::InvalidValue("is empty or blank"));
        }
        Ok(Secret(Arc::new(SecretString::new(Box::from(trimmed)))))
    }

    /// By which it is known again.
    pub fn mark(&self) -> Mark {
        Mark(Arc::downgrade(&self.0))
    }

    /// The value, for the few places that write it to a wire.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Tells one secret from another without keeping it.
#[derive(Debug)]
pub struct Mark(Weak<SecretString>);

impl Mark {
    /// Whether this is the secret or a clone of it. Another secret of the same value is another one.
    pub fn is_of(&self, secret: &Secret) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&secret.0))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Where secrets come from. Caches are decorators of the same trait.
pub trait SecretStore: Send + Sync {
    fn fetch<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Secret, Error>>;
}

/// Why a secret could not be had. The words are for the log and hold no value; the caller gets none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no secret with this id is configured")]
    Unknown,
    /// The configuration cannot mean what it says. Found at start.
    #[error("{0}")]
    Misconfigured(String),
    /// The store says no (401, 403) or has no such secret (404). What was cached is gone.
    #[error("the {store} store refused: status {status}{}", said(.message))]
    Rejected { store: &'static str, status: u16, message: String },
    /// The store does not answer, or not with an answer. Trying later may help.
    #[error("the {store} store is unavailable: {reason}")]
    Unavailable { store: &'static str, reason: String, retry_after: Option<Duration> },
    /// The store has a value that cannot be sent. To a cache that is a failing store: the last good value lives on
    /// until `max_stale`.
    #[error("its value {0}")]
    InvalidValue(&'static str),
}

impl Error {
    /// The error's name for metrics, from a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Error::Unknown => "unknown",
            Error::Misconfigured(_) => "misconfigured",
            Error::Rejected { .. } => "rejected",
            Error::Unavailable { .. } => "unavailable",
            Error::InvalidValue(_) => "invalid_value",
        }
    }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(", it says: {message}") }
}

/// Told what the caches do, for metrics. Both labels come from closed sets.
pub trait Observer: Send + Sync {
    /// One fetch from a store ended. `result` is `ok` or an error's label.
    fn fetch(&self, store: &'static str, result: &'static str, took: Duration);
    /// A value past its TTL was handed out because the store fails.
    fn stale_served(&self, store: &'static str);
}

/// Nobody watches.
impl Observer for () {
    fn fetch(&self, _: &'static str, _: &'static str, _: Duration) {}
    fn stale_served(&self, _: &'static str) {}
}

/// Where one configured secret comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// `value:` in the file.
    Value(SecretString),
    /// `env:` the name of an environment variable, read once at start.
    Env(String),
    /// `file:` a path, read again when it changes.
    File(PathBuf),
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
    pub timeout: Duration,
}

/// `secret_stores.cache_ttl` and `max_stale`.
#[derive(Debug, Clone, Copy)]
pub struct CacheSettings {
    pub ttl: Duration,
    /// How long past its TTL a value may be served while the store fails.
    pub max_stale: Duration,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn j08_values_that_no_header_can_carry_are_refused() {
        for value in [
            "canary\r\nX: y",
            "canary\nX: y",
            "canary\n\n",
            "canary\r",
            "\ncanary",
            "can\0ary",
            "can\x7fary",
            "can\x1bary",
            "canaré",
            "canary\u{2028}",
            &"c".repeat(MAX_VALUE + 1),
            &"c".repeat(65536),
        ] {
            let error = Secret::new(value.to_owned()).expect_err(value);
            assert_eq!(error.label(), "invalid_value", "{value:?}");
            assert!(!format!("{error} {error:?}").contains("canar"), "{error}");
        }
    }

    #[test]
    fn j10_empty_and_blank_values_are_refused() {
        for value in ["", " ", "\t  ", "\n", "\r\n", "  \n"] {
            assert!(Secret::new(value.to_owned()).is_err(), "{value:?}");
        }
    }

    #[test]
    fn w45_one_trailing_line_end_is_trimmed_and_the_rest_kept() {
        for (value, kept) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), (" a\tb ", " a\tb "), ("{{secret}}", "{{secret}}")]
        {
            assert_eq!(Secret::new(value.to_owned()).unwrap().expose_secret(), kept);
        }
        assert_eq!(Secret::new("c".repeat(MAX_VALUE)).unwrap().expose_secret().len(), MAX_VALUE);
    }

    #[test]
    fn r107_a_secret_prints_as_nothing() {
        assert_eq!(format!("{:?}", secret("canary")), "Secret(***)");
    }

    proptest::proptest! {
        #[test]
        fn w45_every_accepted_value_is_a_header_value(value in proptest::prelude::any::<String>()) {
            if let Ok(secret) = Secret::new(value) {
                proptest::prop_assert!(http::HeaderValue::from_str(secret.expose_secret()).is_ok());
            }
        }
    }

    /// Collects this thread's log, at trace, until the guard is dropped. The second dispatch is there because with one
    /// alone, tracing asks the thread that meets a log line first whether anybody wants it, and another test's thread says
    /// no for all.
    pub(crate) fn capture_log() -> (Log, (tracing::Dispatch, tracing::subscriber::DefaultGuard)) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        (log, (second, tracing::subscriber::set_default(subscriber)))
    }

    #[derive(Clone, Default)]
    pub(crate) struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Log {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    pub(crate) fn secret(value: &str) -> Secret {
        Secret::new(value.to_owned()).unwrap()
    }

    /// Sees whether a value is still in memory, without keeping it there.
    pub(crate) fn watch(secret: &Secret) -> std::sync::Weak<SecretString> {
        Arc::downgrade(&secret.0)
    }
}
