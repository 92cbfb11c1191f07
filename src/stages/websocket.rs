//! What a call for a WebSocket leads to.

use super::Tunnel;
use crate::request::Handshake;

/// A WebSocket that policy has allowed on a route that has them. Its bytes pass as they are once the upstream has opened it.
#[derive(Debug)]
pub struct WebSocket {
    handshake: Handshake,
    tunnel: Tunnel,
}

impl WebSocket {
    pub(super) fn new(handshake: Handshake, tunnel: Tunnel) -> WebSocket {
        WebSocket { handshake, tunnel }
    }

    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// No extension has been offered to the upstream.
    pub fn forgo_extensions(&mut self) {
        self.handshake.forgo_extensions();
    }

    /// Where it leads, and with whose credential it was asked for.
    pub fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }
}
