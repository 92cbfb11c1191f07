//! veilwarden: a node-local HTTP proxy that puts the secret into a workload's call.
//!
//! The modules stand in dependency order: a module may use only those above it. `tests/it/layers.rs` checks
//! it. Read `pipeline` for the life of a request in one screen, `stages` for the states it passes through.

#![forbid(unsafe_code)]

/// A future behind the three I/O traits (`Authenticator`, `PolicyEngine`, `SecretStore`).
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub mod authn; // who calls
pub mod cli; // what can be typed, and the subcommands behind it
pub mod client; // the HTTPS client for our own calls to secret stores
pub mod config;
pub mod policy; // may it
pub mod request; // what a caller asked, in one canonical form, or refused
pub mod route; // which host takes which secret, and how it is put in
pub mod secrets; // where secrets come from // the file, the flags and the environment, and what they mean
