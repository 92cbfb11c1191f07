//! The sockets that calls come in by.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{Error, Errors};
use crate::config::Endpoint;
use crate::server::unix::Unix;

/// One entry of `listen`, bound.
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(Unix),
}

impl Bound {
    pub async fn to(endpoint: &Endpoint) -> Result<Bound, Errors> {
        match endpoint {
            Endpoint::Tcp(address) => bind(*address).await.map(Bound::Tcp),
            Endpoint::Unix(path) => {
                Unix::bind(path).await.map(Bound::Unix).map_err(|cause| refused(endpoint.clone(), cause))
            }
        }
    }

    /// Where it is, with the port that was chosen for port 0.
    pub fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().ok().map(Endpoint::Tcp),
            Bound::Unix(unix) => Some(Endpoint::Unix(unix.path().to_owned())),
        }
    }
}

/// One TCP listener.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Errors> {
    TcpListener::bind(address).await.map_err(|cause| refused(Endpoint::Tcp(address), cause))
}

fn refused(address: Endpoint, cause: io::Error) -> Errors {
    Errors(vec![Error::Listen { address, cause }])
}
