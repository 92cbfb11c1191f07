//! What a caller asked: target, path, headers, credential; one canonical form, or refused.

pub mod credential;

pub use credential::Credential;
