//! The one credential a call is judged by.

use secrecy::{ExposeSecret, SecretString};

/// A caller's credential, taken out of the slot that decided (spec: "one slot decides").
#[derive(Debug, Clone)]
pub enum Credential {
    /// A Kubernetes ServiceAccount token (three dot-separated parts, or whatever came as a bearer).
    Token(SecretString),
    /// The laptop's session secret.
    SessionSecret(SecretString),
}

impl Credential {
    /// The credential's bytes, for the authenticator and for the search that keeps it from going upstream.
    pub fn expose(&self) -> &str {
        match self {
            Credential::Token(value) | Credential::SessionSecret(value) => value.expose_secret(),
        }
    }
}
