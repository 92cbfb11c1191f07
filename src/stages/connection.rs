//! What a connection says about every call on it.

use std::sync::Arc;

use super::Tunnel;
use crate::authn::Source;
use crate::ca::ClientName;
use crate::gate::Handle;

/// What is known of a connection beside its bytes.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The socket's other end.
    pub peer: Source,
    /// The name in the certificate that the peer showed, verified, when the listener asks for one.
    pub certificate: Option<Arc<ClientName>>,
    /// Whether it came over TLS to a listener of ours.
    pub tls: bool,
    /// The tunnel that it is the inside of.
    pub tunnel: Option<Arc<Tunnel>>,
    /// Who has to know that its caller is known, if anyone.
    pub handle: Option<Handle>,
}

impl Connection {
    /// A connection of which only the socket is known.
    pub fn from(peer: Source) -> Connection {
        Connection { peer, certificate: None, tls: false, tunnel: None, handle: None }
    }

    /// A caller on it has shown a good credential.
    pub fn vouch(&self) {
        if let Some(handle) = &self.handle {
            handle.vouch();
        }
    }

    /// What came over TLS, or from inside of a tunnel, was sent for `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls || self.tunnel.is_some() { "https" } else { "http" }
    }
}
