//! What a connection says about every call on it.

use std::net::IpAddr;
use std::sync::Arc;

use super::Tunnel;

/// What is known of a connection beside its bytes.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The address of the socket's other end.
    pub peer: IpAddr,
    /// The tunnel that it is the inside of.
    pub tunnel: Option<Arc<Tunnel>>,
}
