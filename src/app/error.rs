//! Why the program does not start, and what to do about it.

use std::io;

use rustix::io::Errno;

use crate::authn::cluster;
use crate::authn::session::TooShort;
use crate::config::{AuditOutput, Endpoint};
use crate::policy::Problems;
use crate::{ca, client, route, secrets};

/// Everything that is wrong, at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Errors(pub Vec<Error>);

/// One thing that is wrong at the start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("policy:\n{0}")]
    Policy(Problems),
    #[error("secrets:\n{}", lines(.0))]
    Secrets(Vec<secrets::Mistake>),
    #[error("routes:\n{}", lines(&.0.iter().map(|(index, error)| format!("routes[{index}]: {error}")).collect::<Vec<_>>()))]
    Routes(Vec<(usize, route::Error)>),
    #[error("route {route}: {cause}")]
    Tls { route: String, cause: client::Error },
    #[error("session secret: {0}")]
    SessionSecret(#[from] TooShort),
    #[error("forward: {0}")]
    Ca(#[from] ca::Error),
    #[error("kubernetes: {0}")]
    Kubernetes(#[from] cluster::Error),
    #[error("kubernetes.clusters, {name}: {cause}")]
    Cluster { name: String, cause: cluster::Error },
    #[error("audit.output {output}: {cause}{}", audit_hint(.cause))]
    Audit { output: AuditOutput, cause: io::Error },
    #[error("listen_tls: {0}")]
    ListenTls(ca::Error),
    #[error("cannot listen on {address}: {cause}{}", listen_hint(address, .cause))]
    Listen { address: Endpoint, cause: io::Error },
}

fn lines<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("  {item}")).collect::<Vec<_>>().join("\n")
}

fn audit_hint(cause: &io::Error) -> &'static str {
    if Errno::from_io_error(cause) == Some(Errno::NXIO) {
        return "; it is a named pipe that nobody reads, or a socket: start its reader first, or name a file";
    }
    match cause.kind() {
        io::ErrorKind::IsADirectory => "; name a file in it",
        io::ErrorKind::NotFound => "; its directory must be there",
        io::ErrorKind::PermissionDenied => "; the user that runs veilwarden must be able to write to it, or make it",
        _ => "; name a file that can be written, or stdout",
    }
}

fn listen_hint(address: &Endpoint, cause: &io::Error) -> &'static str {
    match (address, cause.kind()) {
        (Endpoint::Unix(_), kind) => unix_hint(kind),
        (Endpoint::Tcp(_), kind) => tcp_hint(kind),
    }
}

fn unix_hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "; another process listens there: end that one or choose another path",
        io::ErrorKind::PermissionDenied => "; the user that runs veilwarden must be able to write to its directory",
        io::ErrorKind::NotFound => "; its directory must be there",
        _ => "",
    }
}

fn tcp_hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "; another program has it: end that one or choose another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose a higher one",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}
