//! HTTP on any stream of bytes: a socket, the inside of a tunnel.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONNECTION, HOST, HeaderMap, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{Drain, admin, http2};
use crate::gate::frames::Frames;
use crate::gate::{self, After, Gate, Handle, REFUSED_METHOD};
use crate::pipeline::{Answer, Established, Pipeline, answer};
use crate::request::{Host, fields};
use crate::stages::{Connection, local_host};

/// hyper buffers so much more than a head can weigh: it must never be the one to refuse.
const PARSER_SLACK: usize = 16 << 10;

/// Any stream of bytes: a socket, TLS on one, the inside of a tunnel. One type for all of them, since the libraries of both
/// versions would be compiled for each anew: with four types the program was 400 KB larger in memory.
pub type Wire = Box<dyn Bytes>;

/// What can be a [`Wire`].
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Bytes for IO {}

/// What every connection is served with.
pub struct Http {
    pub pipeline: Arc<Pipeline>,
    pub limits: gate::Limits,
    /// Whether CONNECT and absolute-form are taken.
    pub forward: bool,
}

/// One connection's share of the service.
struct Service<'a> {
    http: &'a Http,
    connection: &'a Connection,
    handle: Handle,
    drain: Drain,
    /// The connection after the last request that HTTP may end with, and what follows on it, if that was not refused.
    sequel: Mutex<Option<(OnUpgrade, Option<Established>)>>,
}

/// What becomes of a connection when its parser has gone.
enum Next {
    Rest(Gate<Wire>),
    Http2(Frames<Wire>),
    /// HTTP has ended on it.
    Other(Upgraded, Established),
    End,
}

impl Http {
    /// Serves the connection to its end, or to the end of HTTP on it; says then what follows.
    pub async fn serve(
        self: &Arc<Self>,
        io: Wire,
        connection: &Connection,
        mut drain: Drain,
    ) -> Option<(Upgraded, Established)> {
        let mut gate = Gate::new(io, self.limits, self.forward && connection.tunnel.is_none());
        loop {
            let woken = tokio::select! {
                // What has come is answered, even at the end.
                biased;
                woken = gate.wakes() => woken,
                () = drain.wait() => Ok(false),
            };
            match woken {
                Ok(true) => {}
                Ok(false) => {
                    let _ = gate.shutdown().await;
                    return None;
                }
                Err(error) => {
                    tracing::debug!(peer = %connection.peer, %error, "connection ended");
                    return None;
                }
            }
            // Boxed, both, so that a connection on which nothing is asked has no room set aside for them.
            gate = match Box::pin(self.serve_http1(gate, connection, drain.clone())).await {
                Next::Rest(gate) => gate,
                Next::Http2(frames) => {
                    Box::pin(self.serve_http2(frames, connection, drain)).await;
                    return None;
                }
                Next::Other(bytes, established) => return Some((bytes, established)),
                Next::End => return None,
            };
        }
    }

    /// Serves the connection until nothing is asked on it any more.
    async fn serve_http1(self: &Arc<Self>, gate: Gate<Wire>, connection: &Connection, mut drain: Drain) -> Next {
        let service =
            Service { http: self, connection, handle: gate.handle(), drain: drain.clone(), sequel: Mutex::default() };
        let mut builder = http1::Builder::new();
        // The gate has the limits; hyper's own timers would only double them.
        builder.timer(TokioTimer::new()).header_read_timeout(None).max_headers(self.limits.max_headers.max(1));
        builder.max_buf_size(self.limits.max_target_bytes + self.limits.max_header_bytes + PARSER_SLACK);
        let serving = builder.serve_connection(TokioIo::new(gate), service_fn(|request| service.answer(request)));
        let mut serving = serving.with_upgrades();
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = drain.wait() => {
                std::pin::Pin::new(&mut serving).graceful_shutdown();
                (&mut serving).await
            }
        };
        if let Err(error) = &ended {
            tracing::debug!(peer = %connection.peer, %error, "connection ended");
        }
        // Consumed here: as long as it lives, a connection that broke off is waited for below.
        match serving.into_parts().map(|parts| parts.io.into_inner().after()) {
            Some(After::Rest(gate)) if ended.is_ok() => return Next::Rest(gate),
            Some(After::Http2(frames)) => return Next::Http2(frames),
            Some(After::Rest(_) | After::Nothing) | None => {}
        }
        let sequel = service.sequel.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((upgrade, established)) = sequel else { return Next::End };
        let Ok(upgraded) = upgrade.await else { return Next::End };
        match established {
            Some(established) => Next::Other(upgraded, established),
            None => rest_or_close(upgraded).await,
        }
    }

    /// The same for a connection that begins with HTTP/2.
    pub async fn serve_http2(self: &Arc<Self>, frames: Frames<Wire>, connection: &Connection, drain: Drain) {
        let handle = frames.handle();
        let connection = &Connection { handle: Some(handle.clone()), ..connection.clone() };
        let shared = (Arc::clone(self), connection.clone(), handle.clone(), drain.clone());
        let service = service_fn(move |request| {
            let (http, connection, handle, drain) = shared.clone();
            // Boxed, so that it is gone when the answer's head is there: its stream may last.
            Box::pin(async move {
                let service = Service { http: &http, connection: &connection, handle, drain, sequel: Mutex::default() };
                service.answer_http2(request).await
            })
        });
        if let Err(error) = http2::serve(frames, service, &handle, self.limits, &self.pipeline.metrics, drain).await {
            tracing::debug!(peer = %connection.peer, %error, "connection ended");
        }
    }
}

impl Service<'_> {
    /// As `answer`, for what the gate has not seen.
    async fn answer_http2(&self, mut request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let to_head = *request.method() == Method::HEAD;
        let checked = gate::message::check(&mut request, self.connection.scheme(), &self.http.limits);
        let answer = match checked.and_then(|head| self.handle.hold(head)) {
            Ok(head) => self.answer(request).await?.map(|answer| answer.holding(head)),
            Err(refusal) => {
                let busy = self.handle.busy();
                let refused = self.http.pipeline.refuse(refusal.into(), self.connection);
                refused.map(|answer| answer.keeping(busy))
            }
        };
        // The credential of the tunnel is no longer good; HTTP/1 says so with `Connection: close`.
        if self.connection.tunnel.is_some() && answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            self.handle.leave();
        }
        Ok(if to_head { answer::without_body(answer) } else { answer })
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let busy = self.handle.busy();
        let pipeline = &self.http.pipeline;
        let unread = !request.body().is_end_stream() && request.version() <= Version::HTTP_11;
        let upgrade = may_end_http(&request).then(|| hyper::upgrade::on(&mut request));
        let (mut answer, established) = if request.method().as_str() == REFUSED_METHOD {
            (pipeline.refuse(self.handle.refusal().into(), self.connection), None)
        } else if self.asks_for_health(&request) {
            (admin::healthz(request.method()).map(Answer::own), None)
        } else if *request.method() == Method::CONNECT {
            pipeline.connect(request, self.connection).await
        } else {
            pipeline.handle(request, self.connection).await
        };
        let opened = established.is_some();
        if opened {
            self.handle.pass_through();
        }
        if let Some(upgrade) = upgrade {
            *self.sequel.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, established));
        }
        // The caller's next connection goes to whoever takes over; a close without a word could meet its next request.
        // A tunnel or a WebSocket is no connection for further requests in any case.
        // The same when an error of ours comes in the place of reading the body: the parser closes, and says nothing.
        let breaks_off = unread && answer.headers().contains_key(fields::ERROR);
        if self.drain.announced() && !opened || breaks_off {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer.map(|answer| answer.keeping(busy)))
    }

    /// `/healthz` without an upstream's name, in `X-Upstream-Host` or as `NAME.localhost`, is a question to us; with one it
    /// is that upstream's path.
    fn asks_for_health<B>(&self, request: &Request<B>) -> bool {
        let absolute = request.uri().authority().is_some() && request.version() <= Version::HTTP_11;
        request.uri().path() == "/healthz"
            && !absolute
            && self.connection.tunnel.is_none()
            && !request.headers().contains_key(fields::UPSTREAM_HOST)
            && !names_local_host(request.headers())
    }
}

/// hyper leaves a connection on which that was refused to us, to be treated like any other.
async fn rest_or_close(upgraded: Upgraded) -> Next {
    match upgraded.downcast::<TokioIo<Gate<Wire>>>() {
        Ok(parts) if parts.io.inner().is_resting() => return Next::Rest(parts.io.into_inner()),
        Ok(parts) => drop(parts.io.into_inner().shutdown().await),
        Err(_) => {}
    }
    Next::End
}

/// Whether hyper keeps the connection for us, to be taken over behind the answer.
fn may_end_http<B>(request: &Request<B>) -> bool {
    *request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}

fn names_local_host(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| Host::parse(host.to_str().ok()?).ok());
    host.as_ref().and_then(local_host).is_some()
}
