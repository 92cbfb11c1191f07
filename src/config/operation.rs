//! How the program runs: limits, audit, log.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::mistakes::{Report, quoted};
use super::overrides::Outside;
use super::place::Place;
use super::{raw, spelling};
use crate::gate;

/// Bounds on what a peer can make the process hold, and on its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub gate: gate::Limits,
    /// Connections to the listeners, in all.
    pub max_connections: usize,
    /// Of one address, or of one user over Unix sockets.
    pub max_connections_per_peer: usize,
    pub max_concurrent_requests: usize,
    /// Of one identity; `None`: as many as there are.
    pub max_concurrent_requests_per_identity: Option<NonZeroUsize>,
    /// Of one identity; `None`: as many as come.
    pub requests_per_second: Option<NonZeroU32>,
    /// How long new calls are still taken after the signal to stop, while `/readyz` says no.
    pub drain_delay: Duration,
    /// How long calls may go on after that.
    pub drain_timeout: Duration,
}

/// Where audit records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    pub output: AuditOutput,
    pub when_full: WhenFull,
}

/// `audit.output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOutput {
    Stdout,
    Off,
    File(PathBuf),
}

impl fmt::Display for AuditOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuditOutput::Stdout => f.write_str("stdout"),
            AuditOutput::Off => f.write_str("off"),
            AuditOutput::File(path) => path.display().fmt(f),
        }
    }
}

/// `audit.when_full`: what a full queue means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The record is dropped, counted, and said in the log.
    Drop,
    /// The call is refused with 503 `OVERLOADED`.
    Refuse,
}

/// The program's own log, on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    pub level: tracing::Level,
    pub format: LogFormat,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

pub(super) fn limits(file: &raw::Limits) -> Limits {
    let gate = gate::Limits {
        max_headers: file.max_headers as usize,
        max_header_bytes: file.max_header_bytes as usize,
        max_target_bytes: file.max_target_bytes as usize,
        header_timeout: file.header_timeout.0,
        idle_timeout: file.idle_timeout.0,
    };
    Limits {
        gate,
        max_connections: file.max_connections as usize,
        max_connections_per_peer: file.max_connections_per_peer as usize,
        max_concurrent_requests: file.max_concurrent_requests as usize,
        max_concurrent_requests_per_identity: NonZeroUsize::new(file.max_concurrent_requests_per_identity as usize),
        requests_per_second: NonZeroU32::new(file.requests_per_second),
        drain_delay: file.drain_delay.0,
        drain_timeout: file.drain_timeout.0,
    }
}

pub(super) fn audit(file: &raw::Audit, report: &mut Report) -> AuditSettings {
    let output = match file.output.as_str() {
        // By its path it can be opened by its owner only, which in a container is root.
        "stdout" | "/dev/stdout" => AuditOutput::Stdout,
        "off" => AuditOutput::Off,
        log @ ("stderr" | "/dev/stderr") => {
            let file = if log == "stderr" { "; a file of that name is \"./stderr\"" } else { "" };
            let message = format!("\"{log}\" has the log; use stdout, off or a file's path{file}");
            report.add(&Place::of("audit.output"), message);
            AuditOutput::Off
        }
        path => {
            // A slip would otherwise make a file of that name, and the records would be looked for in vain.
            if let Some(near) = spelling::nearest(path, ["stdout", "off"].into_iter()).filter(|_| !path.contains('/')) {
                let message = format!("{} looks like \"{near}\"; a file of that name is \"./{path}\"", quoted(path));
                report.add(&Place::of("audit.output"), message);
            }
            AuditOutput::File(PathBuf::from(path))
        }
    };
    let when_full = match file.when_full {
        raw::AuditWhenFull::Drop => WhenFull::Drop,
        raw::AuditWhenFull::Refuse => WhenFull::Refuse,
    };
    AuditSettings { output, when_full }
}

pub(super) fn log(file: &raw::Log, outside: &Outside, report: &mut Report) -> LogSettings {
    let format = match file.format {
        raw::LogFormat::Json => LogFormat::Json,
        raw::LogFormat::Text => LogFormat::Text,
    };
    let mut level = match file.level {
        raw::LogLevel::Error => tracing::Level::ERROR,
        raw::LogLevel::Warn => tracing::Level::WARN,
        raw::LogLevel::Info => tracing::Level::INFO,
        raw::LogLevel::Debug => tracing::Level::DEBUG,
        raw::LogLevel::Trace => tracing::Level::TRACE,
    };
    if let Some(given) = outside.given("--log-level", outside.flags.log_level.as_deref()) {
        // By name only: the type would also read the numbers 1 to 5.
        let named = given.value.parse().ok().filter(|_| given.value.bytes().all(|byte| byte.is_ascii_lowercase()));
        match named {
            Some(named) => level = named,
            None => report.add(
                &given.from,
                format!("unknown value {}; use error, warn, info, debug or trace", quoted(&given.value)),
            ),
        }
    }
    LogSettings { level, format }
}
