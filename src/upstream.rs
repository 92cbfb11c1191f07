//! Sends a prepared call to its upstream over a connection to a checked address, and streams the answer.

pub mod answer;
pub mod dial;
pub mod guard;
pub mod resolve;
pub mod upload;
pub mod websocket;

use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue, TE, TRAILER, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme as UriScheme};
use http::{Request, Response, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Fault};
use crate::metrics::Metrics;
use crate::redact;
use crate::request::trailers;
use crate::route::{Http2, Route, Scheme, Timeouts};
use crate::stages::{Prepared, Relay};

use dial::{DialError, Dialer, Stream};
use upload::{Progress, Upload};

pub use guard::Own;

/// Idle connections to an upstream are closed after so long; most servers keep them for a minute or longer.
const POOL_IDLE: Duration = Duration::from_secs(55);
/// What is held of an answer before it is passed on, its head included, and of a body that is not taken, in bytes.
const MAX_BUFFER: usize = 64 << 10;

/// What one HTTP/2 answer may be ahead of its caller.
const STREAM_WINDOW: u32 = 256 << 10;
/// A hundred times that, and more: callers that take nothing must not stop the answers of the others.
const CONNECTION_WINDOW: u32 = 32 << 20;
/// What is held of one body that an HTTP/2 upstream does not take.
const SEND_BUFFER: usize = 64 << 10;
/// An HTTP/2 connection carries many calls; whether its other end is still there is asked while any is open.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// One pool of connections per route, so that no two routes ever share one.
#[derive(Debug)]
pub struct Upstreams(Vec<Upstream>);

#[derive(Debug)]
struct Upstream {
    client: legacy::Client<Dialer, Upload>,
    dialer: Dialer,
    scheme: UriScheme,
    authority: Authority,
}

impl Upstreams {
    /// One upstream for each route, in their order. `tls` gives a route's TLS settings.
    pub fn new<'a, E>(
        routes: impl Iterator<Item = &'a Arc<Route>>,
        own: &Own,
        mut tls: impl FnMut(&Route) -> Result<Arc<rustls::ClientConfig>, E>,
    ) -> Result<Upstreams, E> {
        routes
            .map(|route| Ok(Upstream::new(route, Dialer::new(route, own.clone(), tls(route)?))))
            .collect::<Result<_, E>>()
            .map(Upstreams)
    }

    /// Sends the call and returns the answer's head with its body still to come. Whatever the upstream does
    /// wrong becomes a [`Fault`], never part of an answer; of the secret nothing comes back as it was sent.
    pub async fn send(&self, call: Prepared<Incoming>, metrics: &Metrics) -> Result<Response<redact::Body>, Error> {
        let upstream = self.0.get(call.route().index).ok_or(Error::Internal("a route without an upstream"))?;
        let outgoing = call.into_outgoing()?;
        let timeouts = outgoing.route.timeouts;
        let (accepted, needed) = (outgoing.trailers.accepted(), outgoing.trailers.needed());
        let announced = outgoing.trailers.announced();
        let (body, progress) = Upload::new(outgoing.body, outgoing.trailers, Arc::clone(&outgoing.route));
        let mut request = Request::new(body);
        *request.method_mut() = outgoing.method;
        *request.uri_mut() = upstream.uri(outgoing.target)?;
        // gRPC over HTTP/1 is none: without HTTP/2 such a call fails before anything is sent.
        *request.version_mut() = if needed { Version::HTTP_2 } else { Version::HTTP_11 };
        *request.headers_mut() = outgoing.headers;
        // The client takes it from the URI, as `Host` or as `:authority`: with both, nginx refuses a request of HTTP/2.
        request.headers_mut().remove(HOST);
        if accepted && (needed || upstream.dialer.speaks_http2()) {
            request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        }
        if let Some(announced) = announced.filter(|_| !request.body().is_end_stream()) {
            request.headers_mut().insert(TRAILER, announced);
        }
        frame(&mut request);
        let connection = capture_connection(&mut request);
        let answer = upstream.client.request(request);
        let sent = Instant::now();
        let mut answer = await_head(answer, connection, &progress, timeouts).await?;
        metrics.upstream_answered(outgoing.route.name(), sent.elapsed());
        answer::check(&answer)?;
        let announced = accepted.then(|| trailers::announced(answer.headers())).flatten();
        answer::strip(&mut answer);
        if let Some(announced) = announced {
            answer.headers_mut().insert(TRAILER, announced);
        }
        let mut answer = redact::Body::search(answer, outgoing.watch)?;
        answer.body_mut().look_ahead().await?;
        Ok(answer)
    }

    /// A connection to the relay's host for the bytes of its caller, without TLS of our own.
    pub async fn relay(&self, relay: &Relay) -> Result<Stream, Error> {
        let upstream =
            self.0.get(relay.tunnel().route().index).ok_or(Error::Internal("a route without an upstream"))?;
        upstream.dialer.connect().await.map_err(|error| error.fault().into())
    }
}

impl Upstream {
    fn new(route: &Route, dialer: Dialer) -> Upstream {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(MAX_BUFFER)
            .http2_only(route.http2 == Http2::Only)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(answer::MAX_HEAD as u32)
            .http2_max_send_buf_size(SEND_BUFFER)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .timer(TokioTimer::new())
            .set_host(true)
            .build(dialer.clone());
        let scheme = match route.scheme {
            Scheme::Https => UriScheme::HTTPS,
            Scheme::Http => UriScheme::HTTP,
        };
        // A canonical host is an authority; the fallback would only name the pool's key.
        let authority = Authority::try_from(route.name()).unwrap_or(Authority::from_static("upstream"));
        Upstream { client, dialer, scheme, authority }
    }

    fn uri(&self, target: http::uri::PathAndQuery) -> Result<Uri, Error> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).map_err(|_| Error::Internal("a canonical target is no URI"))
    }
}

/// hyper leaves out a body of unknown length when the method rarely has one, unless it is told.
fn frame(request: &mut Request<Upload>) {
    let body = request.body();
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Waits for the answer's head. The limit runs from the moment when both a connection is there (dialling has a
/// limit of its own) and the caller's body has ended (so does that).
async fn await_head(
    answer: impl Future<Output = Result<Response<Incoming>, legacy::Error>>,
    mut connection: CaptureConnection,
    progress: &Progress,
    timeouts: Timeouts,
) -> Result<Response<Incoming>, Error> {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        early = &mut answer => return early.map_err(|error| fault(&error).into()),
        _ = connection.wait_for_connection_metadata() => {}
    }
    let mut since = Instant::now();
    loop {
        match timeout_at(since + timeouts.first_byte, &mut answer).await {
            Ok(answer) => return answer.map_err(|error| fault(&error).into()),
            Err(_) if progress.stalled(Instant::now(), timeouts.idle) => return Err(Fault::FirstByteTimeout.into()),
            Err(_) => match progress.ended_before(since) {
                None => since = Instant::now(),
                Some(ended) if ended > since => since = ended,
                Some(_) => return Err(Fault::FirstByteTimeout.into()),
            },
        }
    }
}

/// Finds out whose fault a failed exchange is.
fn fault(error: &legacy::Error) -> Fault {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut last = error.to_string();
    while let Some(at) = cause {
        if let Some(dial) = at.downcast_ref::<DialError>() {
            return dial.fault();
        }
        if let Some(body) = at.downcast_ref::<upload::Broken>() {
            return Fault::CallerBody(body.to_string());
        }
        last = at.to_string();
        cause = at.source();
    }
    if error.is_connect() { Fault::Unreachable(last) } else { Fault::BadAnswer(last) }
}
