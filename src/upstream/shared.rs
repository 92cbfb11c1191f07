//! Connections that carry many calls at a time (HTTP/2), and those of which nobody knows yet what they will speak.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, Scheme as UriScheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::dial::Dialer;
use super::recent::Recent;
use super::upload::{Progress, Upload};
use super::{MAX_BUFFER, POOL_IDLE, answer, fault, until_head};
use crate::error::{Error, Fault};
use crate::limits::Who;
use crate::route::{Http2, Route, Scheme, Timeouts};

/// What one HTTP/2 answer may be ahead of its caller.
const STREAM_WINDOW: u32 = 64 << 10;
/// What all answers over one connection may be. Pieces of under 256 bytes that nobody has taken count as so much, too, and the
/// library ends the connection when they come to half of this: each takes some 200 bytes of memory.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// What is held of one body that an HTTP/2 upstream does not take.
const SEND_BUFFER: usize = 16 << 10;
/// An HTTP/2 connection carries many calls; whether its other end is still there is asked while any is open.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

type Client = legacy::Client<Dialer, Box<Upload>>;

/// A host's clients for both versions, one for each identity: whoever takes nothing of many answers stops or ends the connection
/// that they come over, which must be none but his own.
#[derive(Debug)]
pub struct Shared {
    clients: Recent<Who, Client>,
    builder: legacy::Builder,
    dialer: Dialer,
    scheme: UriScheme,
    authority: Authority,
}

impl Shared {
    pub fn new(route: &Route, dialer: Dialer) -> Shared {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(TokioTimer::new())
            // One carries all calls; those of HTTP/1.1 find theirs in the pool from then on.
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(MAX_BUFFER)
            .http2_only(route.http2 == Http2::Only)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(answer::MAX_HEAD as u32)
            .http2_max_send_buf_size(SEND_BUFFER)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .timer(TokioTimer::new())
            .set_host(true);
        let scheme = match route.scheme {
            Scheme::Https => UriScheme::HTTPS,
            Scheme::Http => UriScheme::HTTP,
        };
        // A canonical host is an authority; the fallback would only name the pool's key.
        let authority = Authority::try_from(route.name()).unwrap_or(Authority::from_static("upstream"));
        Shared { clients: Recent::default(), builder, dialer, scheme, authority }
    }

    /// Sends somebody's request in origin form with `Host` and waits for its answer's head.
    pub async fn ask(
        &self,
        who: &Who,
        mut request: Request<Box<Upload>>,
        progress: &Progress,
        timeouts: Timeouts,
    ) -> Result<Response<Incoming>, Error> {
        let client = self.clients.of(who, || self.builder.build(self.dialer.clone()));
        *request.uri_mut() = self.absolute(request.uri())?;
        // The client takes it from the URI, as `Host` or as `:authority`: with both, nginx refuses a request of HTTP/2.
        request.headers_mut().remove(HOST);
        let connection = capture_connection(&mut request);
        let answer = client.request(request);
        await_head(answer, connection, progress, timeouts).await
    }

    fn absolute(&self, target: &Uri) -> Result<Uri, Error> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = target.path_and_query().cloned();
        Uri::from_parts(parts).map_err(|_| Error::Internal("a canonical target is no URI"))
    }
}

/// The limit begins when there is a connection; dialling has a limit of its own.
async fn await_head(
    answer: impl Future<Output = Result<Response<Incoming>, legacy::Error>>,
    mut connection: CaptureConnection,
    progress: &Progress,
    timeouts: Timeouts,
) -> Result<Response<Incoming>, Error> {
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        early = &mut answer => return early.map_err(|error| of_client(&error).into()),
        _ = connection.wait_for_connection_metadata() => {}
    }
    until_head(answer, progress, timeouts).await?.map_err(|error| of_client(&error).into())
}

fn of_client(error: &legacy::Error) -> Fault {
    match fault(error) {
        Fault::BadAnswer(why) if error.is_connect() => Fault::Unreachable(why),
        fault => fault,
    }
}
