//! The listener that workloads talk to.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::net::TcpStream;

use super::Drain;
use super::connection::Http;
use super::forward::Forward;
use crate::stages::Connection;

/// What every connection of the listener needs.
pub struct Reverse {
    pub http: Arc<Http>,
    pub forward: Forward,
    /// Peers that may connect; all when empty.
    pub allow_peers: Vec<IpNet>,
}

impl Reverse {
    /// Serves one connection, unless its peer may not connect.
    pub fn serve(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        drain: Drain,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let peer = peer.ip().to_canonical();
        if !self.allow_peers.is_empty() && !self.allow_peers.iter().any(|cidr| cidr.contains(&peer)) {
            tracing::info!(%peer, "connection refused: the peer is not in allow_peers");
            return None;
        }
        // Small messages go out at once; a failure here costs latency only.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(self);
        Some(async move { server.run(stream, peer, drain).await })
    }

    async fn run(&self, stream: TcpStream, peer: IpAddr, drain: Drain) {
        let connections = &self.http.pipeline.metrics.connections;
        connections.inc();
        let connection = Connection { peer, tunnel: None };
        if let Some((bytes, established)) = self.http.serve(stream, &connection, drain.clone()).await {
            // A large future that few connections need.
            Box::pin(self.forward.go_on(&self.http, bytes, established, peer, drain)).await;
        }
        connections.dec();
    }
}
