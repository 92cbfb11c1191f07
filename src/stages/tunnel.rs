//! What an authenticated CONNECT leads to.

use std::sync::Arc;

use crate::request::{Credential, Host};
use crate::route::Route;

/// A way to one route's host and port. Each request inside is authenticated anew with the credential that opened it.
#[derive(Debug)]
pub struct Tunnel {
    credential: Credential,
    host: Host,
    route: Arc<Route>,
}

/// A tunnel whose bytes pass as they are. Made only when policy has allowed its CONNECT.
#[derive(Debug)]
pub struct Relay(Tunnel);

/// What becomes of a CONNECT.
#[derive(Debug)]
pub enum Opened {
    /// TLS ends here; the requests inside are judged one by one.
    Intercepted(Arc<Tunnel>),
    Relayed(Relay),
}

impl Tunnel {
    pub(super) fn new(credential: Credential, host: Host, route: Arc<Route>) -> Tunnel {
        Tunnel { credential, host, route }
    }

    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The target of the CONNECT, its port included.
    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whether a server name in a ClientHello (RFC 6066 section 3) is the tunnel's host. None is good enough for an
    /// address, which cannot be named there.
    pub fn is_named(&self, server_name: Option<&str>) -> bool {
        match server_name {
            Some(name) => Host::parse(name).is_ok_and(|named| named.name() == self.host.name()),
            None => self.host.ip().is_some(),
        }
    }
}

impl Relay {
    pub(super) fn new(tunnel: Tunnel) -> Relay {
        Relay(tunnel)
    }

    pub fn tunnel(&self) -> &Tunnel {
        &self.0
    }
}
