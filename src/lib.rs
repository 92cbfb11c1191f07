//! veilwarden: a node-local HTTP proxy that puts the secret into a workload's call.
//!
//! The modules stand in dependency order: a module may use only those above it. `tests/it/layers.rs` checks
//! it. Read `pipeline` for the life of a request in one screen, `stages` for the states it passes through.

#![forbid(unsafe_code)]
// They panic where nothing can be written; `cli::standard` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

/// A future behind the three I/O traits (`Authenticator`, `PolicyEngine`, `SecretStore`).
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub mod gate; // bytes that must never reach the HTTP parser
pub mod request; // what a caller asked, in one canonical form, or refused
pub mod client; // the HTTPS client for our own calls to secret stores
pub mod ca; // the CA of forward mode and the certificates it signs
pub mod authn; // who calls
pub mod limits; // connections, calls at a time, calls a second
pub mod secrets; // where secrets come from
pub mod redact; // injected secrets never come back
pub mod route; // which host takes which secret, and how it is put in
pub mod policy; // may it
pub mod config; // the file, the flags and the environment, and what they mean
pub mod error; // every failure, its code, status and JSON
pub mod metrics; // what is counted and timed
pub mod audit; // one record a call
pub mod stages; // Received -> Authenticated -> Authorized -> Prepared
pub mod upstream; // dials a checked address, sends a prepared call, streams the answer
pub mod pipeline; // the life of a request, in one screen
pub mod server; // listeners and drain
pub mod app; // Config -> App; the only place that names concrete backends
pub mod cli; // subcommands
#[cfg(any(test, fuzzing))]
pub mod fuzz; // what must hold whatever bytes arrive
