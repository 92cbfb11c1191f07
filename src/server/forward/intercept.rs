//! A tunnel whose TLS ends here, and the HTTP inside of it.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Bytes, UNRECOGNIZED_NAME};
use crate::ca::Ca;
use crate::gate::deadline::timeout;
use crate::gate::frames::Frames;
use crate::pipeline::Established;
use crate::server::connection::{Http, Wire};
use crate::server::{Drain, websocket};
use crate::stages::{Connection, Tunnel};

/// Shakes hands as the tunnel's host and serves what comes; `connection` is the inside of the tunnel.
pub async fn run(http: &Arc<Http>, ca: &Ca, bytes: Bytes, connection: Connection, tunnel: &Tunnel, drain: Drain) {
    let shaken = timeout(http.limits.header_timeout, shake_hands(ca, bytes, tunnel)).await;
    match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(tls) => {
            let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            let tls: Wire = Box::new(tls);
            if http2 {
                http.serve_http2(Frames::new(tls, http.limits), &connection, drain).await;
            } else if let Some((bytes, Established::WebSocket(opened, record))) =
                http.serve(tls, &connection, drain).await
            {
                websocket::run(&http.pipeline, bytes, *opened, record, connection.peer).await;
            }
        }
        Err(error) => {
            tracing::info!(peer = %connection.peer, host = %tunnel.host(), %error, "no TLS session inside of the tunnel")
        }
    }
}

/// The certificate is chosen only when the caller has said whom it expects.
async fn shake_hands(ca: &Ca, bytes: Bytes, tunnel: &Tunnel) -> io::Result<TlsStream<Bytes>> {
    let mut start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), bytes).await?;
    if !tunnel.is_named(start.client_hello().server_name()) {
        // Best effort: the connection is closed in any case.
        let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
        let _ = start.io.shutdown().await;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the server name is not the tunnel's host"));
    }
    let mut config = ca.server_config(tunnel.host()).await.map_err(io::Error::other)?;
    // Browsers that speak HTTP/2 ask for WebSockets in it (RFC 8441), which we do not offer.
    if tunnel.route().websocket {
        Arc::make_mut(&mut config).alpn_protocols.retain(|version| version != b"h2");
    }
    start.into_stream(config).await
}
