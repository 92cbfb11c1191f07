//! `limits`, `audit` and `log`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Connections to `listen`, in all; one more is answered 503 `OVERLOADED` and closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: u32,
    /// Connections to `listen` from one address, or of one user over Unix sockets; one more as above.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_per_peer: u32,
    /// Header fields of one request; over it 431.
    #[schemars(range(min = 1, max = 1000))]
    pub max_headers: u32,
    /// All header fields of one request together, in bytes; over it 431. One field may have 16384.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub max_header_bytes: u32,
    /// The request target, in bytes; over it 414.
    #[schemars(range(min = 64, max = 65_000))]
    pub max_target_bytes: u32,
    /// Calls at the same time, each until its answer has ended; one more is 503 `OVERLOADED`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concurrent_requests: u32,
    /// Of these, calls of one identity (all pods of a ServiceAccount together); one more as above. 0, or as many as
    /// `max_concurrent_requests`: one identity may take all.
    #[schemars(range(max = 1_000_000))]
    pub max_concurrent_requests_per_identity: u32,
    /// Calls a second of one identity (all pods of a ServiceAccount together), and as many at once; one more is 429
    /// `RATE_LIMITED`. 0: no limit.
    #[schemars(range(max = 1_000_000))]
    pub requests_per_second: u32,
    /// From a connection's first byte of a request to the end of its header.
    #[schemars(extend("x-duration" = "positive"))]
    pub header_timeout: Time,
    /// Between two requests on one connection, and between two pieces of an answer that the caller takes.
    #[schemars(extend("x-duration" = "positive"))]
    pub idle_timeout: Time,
    /// How long new calls are still taken after the signal to stop, while `/readyz` says 503 already. In Kubernetes, some
    /// seconds, until no endpoint names the pod any more.
    pub drain_delay: Time,
    /// How long calls may go on after that.
    pub drain_timeout: Time,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 4096,
            max_connections_per_peer: 1024,
            max_headers: 100,
            max_header_bytes: 65_536,
            max_target_bytes: 8192,
            max_concurrent_requests: 1024,
            max_concurrent_requests_per_identity: 256,
            requests_per_second: 0,
            header_timeout: Time::seconds(10),
            idle_timeout: Time::seconds(60),
            drain_delay: Time::seconds(0),
            drain_timeout: Time::seconds(25),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum AuditWhenFull {
    Drop,
    Refuse,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Audit {
    /// `stdout`, `off`, or a file's path.
    #[schemars(length(min = 1))]
    pub output: String,
    /// When the queue is full: `drop` the record (counted, and said in the log) or `refuse` the call (503 `OVERLOADED`).
    pub when_full: AuditWhenFull,
}

impl Default for Audit {
    fn default() -> Self {
        Audit { output: "stdout".to_owned(), when_full: AuditWhenFull::Drop }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Log {
    /// How much is logged. Flag `--log-level`.
    pub level: LogLevel,
    /// `json` lines, or `text` for people.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: LogLevel::Info, format: LogFormat::Json }
    }
}
