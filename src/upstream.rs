//! Sends a prepared call to its upstream over a connection to a checked address, and streams the answer.
//!
//! Over HTTP/1.1 a call has a connection to itself (`line`), which waits in its host's `pool` between calls. `shared` is
//! for HTTP/2, and for upstreams of which it is not known yet what they speak.

pub mod answer;
mod body;
pub mod dial;
pub mod guard;
mod hosts;
mod line;
mod pool;
mod race;
mod recent;
mod resolve;
mod shared;
mod stream;
pub mod upload;
pub mod websocket;

use std::error::Error as StdError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderValue, TE, TRAILER, TRANSFER_ENCODING};
use http::{Request, Response, Uri, Version};
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use crate::authn::Identity;
use crate::error::{Error, Fault};
use crate::gate::deadline::timeout_at;
use crate::limits::Who;
use crate::metrics::Metrics;
use crate::redact;
use crate::request::trailers;
use crate::route::{Entry, Listed, Route, Timeouts};
use crate::stages::{Prepared, Relay};

use dial::{DialError, Dialer, Means};
use hosts::Hosts;
use line::Line;
use pool::{Pool, Seats};
use shared::Shared;
use stream::Stream;
use upload::{Progress, Upload};

pub use body::Body;
pub use guard::Own;

/// Idle connections to an upstream are closed after so long; most servers keep them for a minute or longer.
const POOL_IDLE: Duration = Duration::from_secs(55);
/// What is held of an answer before it is passed on, its head included, and of a body that is not taken, in bytes.
const MAX_BUFFER: usize = 64 << 10;

/// An answer's body as it may go to the caller.
pub type Searched = redact::Body<Body>;

/// What there is for the hosts of each route, in the routes' order. Each host has connections of its own: no two routes,
/// and no two hosts of a wildcard, ever share one.
#[derive(Debug)]
pub struct Upstreams(Vec<Place>);

#[derive(Debug)]
enum Place {
    One(Arc<Upstream>),
    Wildcard(Hosts),
}

#[derive(Debug)]
struct Upstream {
    dialer: Dialer,
    pool: Pool,
    shared: Shared,
}

impl Upstreams {
    /// `tls` gives the TLS settings of an entry that needs some, and is asked once for each.
    pub fn new<'a, E>(
        routes: impl Iterator<Item = &'a Listed>,
        own: &Own,
        tls: impl Fn(&Entry) -> Result<Arc<rustls::ClientConfig>, E>,
    ) -> Result<Upstreams, E> {
        let upstream = |listed: &Listed| {
            let means = Means::of(listed.entry(), own.clone(), || tls(listed.entry()))?;
            Ok(match listed {
                Listed::One(route) => Place::One(Arc::new(Upstream::new(route, &means, Seats::default()))),
                Listed::Wildcard(_) => Place::Wildcard(Hosts::new(means)),
            })
        };
        routes.map(upstream).collect::<Result<_, E>>().map(Upstreams)
    }

    /// What there is for the route's host.
    fn of(&self, route: &Route) -> Result<Arc<Upstream>, Error> {
        match self.0.get(route.index).ok_or(Error::Internal("a route without an upstream"))? {
            Place::One(upstream) => Ok(Arc::clone(upstream)),
            Place::Wildcard(hosts) => Ok(hosts.of(route)),
        }
    }

    /// Sends the call and returns the answer's head with its body still to come. Whatever the upstream does
    /// wrong becomes a [`Fault`], never part of an answer; of the secret nothing comes back as it was sent.
    pub async fn send(&self, call: Prepared<Incoming>, metrics: &Metrics) -> Result<Response<Searched>, Error> {
        let upstream = self.of(call.route())?;
        let outgoing = call.into_outgoing()?;
        let timeouts = outgoing.route.timeouts;
        let (accepted, needed) = (outgoing.trailers.accepted(), outgoing.trailers.needed());
        let announced = outgoing.trailers.announced();
        let (body, progress) = Upload::new(outgoing.body, outgoing.trailers, Arc::clone(&outgoing.route));
        let mut request = Request::new(body);
        *request.method_mut() = outgoing.method;
        *request.uri_mut() = Uri::from(outgoing.target);
        // gRPC over HTTP/1 is none: without HTTP/2 such a call fails before anything is sent.
        *request.version_mut() = if needed { Version::HTTP_2 } else { Version::HTTP_11 };
        *request.headers_mut() = outgoing.headers;
        if accepted && (needed || upstream.dialer.speaks_http2()) {
            request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        }
        if let Some(announced) = announced.filter(|_| !request.body().is_end_stream()) {
            request.headers_mut().insert(TRAILER, announced);
        }
        frame(&mut request);
        let sent = Instant::now();
        let mut answer = upstream.ask(&outgoing.caller, request, &progress, timeouts).await?;
        metrics.upstream_answered(outgoing.route.label(), sent.elapsed());
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
        let upstream = self.of(relay.tunnel().route())?;
        upstream.dialer.connect().await.map_err(|error| error.fault().into())
    }
}

impl Upstream {
    fn new(route: &Route, means: &Means, seats: Seats) -> Upstream {
        let dialer = Dialer::new(route, means);
        Upstream { pool: Pool::new(seats), shared: Shared::new(route, dialer.clone()), dialer }
    }

    async fn ask(
        &self,
        caller: &Identity,
        mut request: Request<Box<Upload>>,
        progress: &Progress,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, Error> {
        while request.version() == Version::HTTP_11 && self.dialer.speaks_http1() {
            let (mut line, reused) = match self.pool.take() {
                Some(line) => (line, true),
                // Boxed, so that a call that waits for its answer has no room set aside for a handshake.
                None => match Box::pin(self.dial()).await? {
                    Some(line) => (line, false),
                    None => break,
                },
            };
            let asked = until_head(pin!(line.ask(request)), progress, timeouts).await?;
            match asked {
                Ok(answer) => return Ok(self.body(line, answer, progress)),
                Err(mut error) => match error.take_message() {
                    // The upstream has closed a connection that waited, and has not seen anything of the call.
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(fault(&error.into_error()).into()),
                },
            }
        }
        // Boxed, as few calls need it whose upstream speaks HTTP/1.1.
        let who = Who::of(caller);
        Ok(Body::of(Box::pin(self.shared.ask(&who, request, progress, timeouts)).await?))
    }

    /// A new connection; `None` when the upstream would now rather speak HTTP/2 on it.
    async fn dial(&self) -> Result<Option<Box<Line>>, Error> {
        match self.dialer.connect_for_one_call().await.map_err(|error| error.fault())? {
            Some(stream) => Ok(Some(Box::new(Line::over(stream).await.map_err(|error| fault(&error))?))),
            None => Ok(None),
        }
    }

    /// An answer that comes before the end of the caller's body must not keep the rest of that from going up: a caller
    /// may take nothing of it until then. A task of its own drives the connection then.
    fn body(&self, mut line: Box<Line>, answer: Response<Incoming>, progress: &Progress) -> Response<Body> {
        if progress.ended_before(Instant::now()).is_some() {
            return answer.map(|incoming| Body::over(line, incoming, self.pool.clone()));
        }
        let pool = self.pool.clone();
        tokio::spawn(async move {
            if line.idle().await {
                pool.put(line);
            }
        });
        Body::of(answer)
    }
}

/// hyper leaves out a body of unknown length when the method rarely has one, unless it is told.
fn frame(request: &mut Request<Box<Upload>>) {
    let body = request.body();
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Waits for the answer's head over a connection that is there. The limit runs from the moment when the caller's body has
/// ended, which has a limit of its own.
async fn until_head<T>(
    mut answer: Pin<&mut impl Future<Output = T>>,
    progress: &Progress,
    timeouts: Timeouts,
) -> Result<T, Fault> {
    let mut since = Instant::now();
    loop {
        match timeout_at(since + timeouts.first_byte, &mut answer).await {
            Ok(answer) => return Ok(answer),
            Err(_) if progress.stalled(Instant::now(), timeouts.idle) => return Err(Fault::FirstByteTimeout),
            Err(_) => match progress.ended_before(since) {
                None => since = Instant::now(),
                Some(ended) if ended > since => since = ended,
                Some(_) => return Err(Fault::FirstByteTimeout),
            },
        }
    }
}

/// Finds out whose fault a failed exchange is.
fn fault(error: &(dyn StdError + 'static)) -> Fault {
    let mut cause = Some(error);
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
    Fault::BadAnswer(last)
}
