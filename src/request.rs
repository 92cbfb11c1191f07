//! What a caller asked: target, fields, credential, id; one canonical form, or refused.

pub mod credential;
pub mod fields;
pub mod host;
pub mod id;
pub mod method;
pub mod path;
pub mod query;
pub mod trailers;
pub mod websocket;

pub use credential::Credential;
pub use host::Host;
pub use id::RequestId;
pub use trailers::Trailers;
pub use websocket::Handshake;

/// Why a request was refused for what it says. Each text is ours alone and may be shown to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Malformed(&'static str),
    /// `Host` or `X-Upstream-Host` is no host, or is there more than once.
    #[error("{0}")]
    InvalidHost(&'static str),
    #[error("X-Upstream-Host is missing")]
    MissingHost,
    #[error("the request names another host than the tunnel that it came through")]
    Misdirected,
    #[error(transparent)]
    Path(#[from] path::NotCanonical),
    #[error(transparent)]
    Query(#[from] query::BadQuery),
    #[error("the method {0}")]
    Method(&'static str),
    #[error("the request has been through veilwarden before")]
    Loop,
}
