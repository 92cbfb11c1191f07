//! What follows HTTP on a connection: a tunnel whose TLS ends here, or bytes that pass as they are.

mod hello;
mod intercept;
mod relay;

use std::sync::Arc;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::connection::Http;
use super::{Drain, websocket};
use crate::ca::Ca;
use crate::pipeline::Established;
use crate::stages::Connection;

/// The caller's end of a tunnel.
type Bytes = TokioIo<Upgraded>;

/// TLS alert record (RFC 8446 section 6): fatal, unrecognized_name.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What tunnels need beside what every connection does.
pub struct Forward {
    /// `None`: no CONNECT is answered well that needs one.
    pub ca: Option<Arc<Ca>>,
}

impl Forward {
    /// Runs what follows to its end.
    pub async fn go_on(
        &self,
        http: &Arc<Http>,
        bytes: Upgraded,
        established: Established,
        connection: Connection,
        drain: Drain,
    ) {
        let peer = connection.peer;
        match (established, &self.ca) {
            (Established::Intercepted(tunnel), Some(ca)) => {
                let connection = Connection { tunnel: Some(tunnel.clone()), ..connection };
                intercept::run(http, ca, TokioIo::new(bytes), connection, &tunnel, drain).await;
            }
            (Established::Intercepted(_), None) => tracing::error!("a tunnel without a CA"),
            (Established::Relayed(relay, record), _) => {
                relay::run(http, TokioIo::new(bytes), relay, record, peer).await;
            }
            (Established::WebSocket(opened, record), _) => {
                websocket::run(&http.pipeline, bytes, *opened, record, peer).await;
            }
        }
    }
}
