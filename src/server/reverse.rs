//! The listener that workloads talk to.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Drain, admin, http2};
use crate::gate::frames::Frames;
use crate::gate::{self, Gate, Handle, REFUSED_METHOD};
use crate::pipeline::{Answer, Pipeline, answer};
use crate::request::fields;

/// hyper buffers so much more than a head can weigh: it must never be the one to refuse.
const PARSER_SLACK: usize = 16 << 10;

/// What every connection needs.
pub struct Reverse {
    pub pipeline: Arc<Pipeline>,
    pub limits: gate::Limits,
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

    async fn run(self: &Arc<Self>, stream: TcpStream, peer: IpAddr, drain: Drain) {
        let connections = &self.pipeline.metrics.connections;
        connections.inc();
        if let Err(error) = self.run_any(stream, peer, drain).await {
            tracing::debug!(%peer, %error, "connection ended");
        }
        connections.dec();
    }

    /// HTTP/1, unless the first bytes are those of HTTP/2.
    async fn run_any(self: &Arc<Self>, stream: TcpStream, peer: IpAddr, mut drain: Drain) -> hyper::Result<()> {
        let gate = Gate::new(stream, self.limits);
        let handle = gate.handle();
        let leaving = drain.clone();
        let service = service_fn(|request| self.answer(request, peer, &handle, &leaving));
        let mut builder = http1::Builder::new();
        // The gate has the limits; hyper's own timers would only double them.
        builder.timer(TokioTimer::new()).header_read_timeout(None).max_headers(self.limits.max_headers.max(1));
        builder.max_buf_size(self.limits.max_target_bytes + self.limits.max_header_bytes + PARSER_SLACK);
        let mut connection = builder.serve_connection(TokioIo::new(gate), service);
        tokio::select! {
            ended = &mut connection => ended,
            () = drain.wait() => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        }?;
        match connection.into_parts().io.into_inner().into_http2() {
            // Boxed, so that connections of HTTP/1 have no room set aside for it.
            Some(frames) => Box::pin(self.run_http2(frames, peer, drain)).await,
            None => Ok(()),
        }
    }

    async fn run_http2<IO>(self: &Arc<Self>, frames: Frames<IO>, peer: IpAddr, drain: Drain) -> hyper::Result<()>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handle = Handle::default();
        let (server, leaving, calls) = (Arc::clone(self), drain.clone(), handle.clone());
        let service = service_fn(move |request| {
            let (server, leaving, calls) = (Arc::clone(&server), leaving.clone(), calls.clone());
            async move { server.answer_http2(request, peer, &calls, &leaving).await }
        });
        http2::serve(frames, service, &handle, self.limits, drain).await
    }

    /// As `answer`, for what the gate has not seen.
    async fn answer_http2(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
        handle: &Handle,
        drain: &Drain,
    ) -> Result<Response<Answer>, Infallible> {
        let to_head = *request.method() == Method::HEAD;
        let answer = match gate::message::check(&mut request, "http", &self.limits) {
            Ok(()) => self.answer(request, peer, handle, drain).await?,
            Err(refusal) => self.pipeline.refuse(refusal.into(), peer).map(|answer| answer.keeping(handle.busy())),
        };
        Ok(if to_head { answer::without_body(answer) } else { answer })
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        handle: &Handle,
        drain: &Drain,
    ) -> Result<Response<Answer>, Infallible> {
        let busy = handle.busy();
        let mut answer = if request.method().as_str() == REFUSED_METHOD {
            self.pipeline.refuse(handle.refusal().into(), peer)
        } else if asks_for_health(&request) {
            admin::healthz(request.method()).map(Answer::own)
        } else {
            self.pipeline.handle(request, peer).await
        };
        // The caller's next connection goes to whoever takes over; a close without a word could meet its next request.
        if drain.announced() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer.map(|answer| answer.keeping(busy)))
    }
}

/// `/healthz` without an upstream's name is a question to us; with one it is that upstream's path.
fn asks_for_health<B>(request: &Request<B>) -> bool {
    request.uri().path() == "/healthz" && !request.headers().contains_key(fields::UPSTREAM_HOST)
}
