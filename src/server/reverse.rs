//! The listeners that workloads talk to.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::net::{TcpStream, UnixStream};

use super::Drain;
use super::connection::{Http, Wire};
use super::door::Door;
use super::forward::Forward;
use super::tls::Tls;
use crate::authn::Source;
use crate::gate::deadline::timeout;
use crate::gate::frames::Frames;
use crate::limits::Seat;
use crate::pipeline::caught;
use crate::stages::Connection;

/// What every connection of the listeners needs.
pub struct Reverse {
    pub http: Arc<Http>,
    pub door: Door,
    pub forward: Forward,
    /// Peers that may connect over TCP; all when empty.
    pub allow_peers: Vec<IpNet>,
    /// `None`: what comes over TCP is in clear.
    pub tls: Option<Arc<Tls>>,
}

impl Reverse {
    /// Serves one connection over TCP, unless its peer may not connect or there are too many.
    pub fn serve(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: Source,
        drain: Drain,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let allowed = |ip| self.allow_peers.iter().any(|cidr| cidr.contains(&ip));
        if !self.allow_peers.is_empty() && !peer.ip().is_some_and(allowed) {
            tracing::info!(%peer, "connection refused: the peer is not in allow_peers");
            return None;
        }
        // Nobody waits for an answer in clear where TLS is spoken.
        let (stream, seat) = self.door.enter(stream, peer, self.tls.is_none(), &self.http.pipeline)?;
        // Small messages go out at once; a failure here costs latency only.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(self);
        Some(async move {
            let connection = pin!(async {
                match &server.tls {
                    // A handshake is large, and most listeners are in clear.
                    Some(tls) => Box::pin(server.shake_hands(tls, stream, peer, drain)).await,
                    None => server.run(Box::new(stream), Connection::from(peer), drain).await,
                }
            });
            server.counted(connection, seat).await;
        })
    }

    /// Serves one connection over a Unix socket: whom its file lets connect, may, and TLS would protect nothing.
    pub fn serve_unix(
        self: &Arc<Self>,
        stream: UnixStream,
        peer: Source,
        drain: Drain,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (stream, seat) = self.door.enter(stream, peer, true, &self.http.pipeline)?;
        let server = Arc::clone(self);
        Some(async move {
            let connection = pin!(server.run(Box::new(stream), Connection::from(peer), drain));
            server.counted(connection, seat).await;
        })
    }

    /// Serves a connection to its end, which may be a panic.
    async fn counted(&self, connection: impl Future<Output = ()> + Unpin, seat: Seat) {
        let metrics = &self.http.pipeline.metrics;
        metrics.connections.inc();
        if caught(connection).await.is_err() {
            metrics.panicked();
        }
        metrics.connections.dec();
        drop(seat);
    }

    async fn run(&self, io: Wire, connection: Connection, drain: Drain) {
        if let Some((bytes, established)) = self.http.serve(io, &connection, drain.clone()).await {
            // A large future that few connections need.
            Box::pin(self.forward.go_on(&self.http, bytes, established, connection, drain)).await;
        }
    }

    async fn shake_hands(&self, tls: &Tls, stream: TcpStream, peer: Source, drain: Drain) {
        let limit = self.http.limits.header_timeout;
        let shaken = timeout(limit, tls.accept(stream)).await;
        match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok((stream, certificate)) => {
                let connection = Connection { certificate, tls: true, ..Connection::from(peer) };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let stream: Wire = Box::new(stream);
                if http2 {
                    self.http.serve_http2(Frames::new(stream, self.http.limits), &connection, drain).await;
                } else {
                    self.run(stream, connection, drain).await;
                }
            }
            Err(error) => log_failure(peer, &error),
        }
    }
}

/// Whoever shows a certificate that is not to be trusted is worth a line; whoever only looks whether the port is open, or
/// speaks in clear, is not.
fn log_failure(peer: Source, error: &io::Error) {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let about_certificate = matches!(
        cause,
        Some(
            rustls::Error::InvalidCertificate(_) | rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_)
        )
    );
    if about_certificate || error.get_ref().is_some_and(|cause| cause.is::<crate::ca::BadName>()) {
        tracing::info!(%peer, %error, "no TLS session");
    } else {
        tracing::debug!(%peer, %error, "no TLS session");
    }
}
