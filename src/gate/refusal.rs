//! Why bytes are refused, and the request that takes their place.

/// The method of the stand-in request. The gate lets no caller's method with this character through.
pub const REFUSED_METHOD: &str = "!";

pub(super) const STAND_IN: &[u8] = b"! / HTTP/1.1\r\nhost: refused\r\n\r\n";

/// Why bytes were not let through. The text is ours alone and may be shown to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("{0}")]
    Target(&'static str),
    #[error("the request target is longer than limits.max_target_bytes, which the operator sets")]
    TargetTooLong,
    #[error("{0}")]
    HeadersTooLarge(&'static str),
}
