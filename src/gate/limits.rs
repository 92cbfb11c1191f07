//! What a message head may weigh and how long it may take.

use std::time::Duration;

/// What a message head may weigh, in bytes unless said otherwise, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Number of field lines.
    pub max_headers: usize,
    /// All field lines together.
    pub max_header_bytes: usize,
    pub max_target_bytes: usize,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Between requests, and between two pieces of an answer that the peer takes.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_headers: 100,
            max_header_bytes: 64 << 10,
            max_target_bytes: 8 << 10,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
        }
    }
}
