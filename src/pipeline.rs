//! The life of a request, in one screen.

pub mod answer;
mod caught;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::audit::{Record, Trail};
use crate::authn::{Authn, Source};
use crate::error::{Error, WaysIn};
use crate::limits::{Calls, Limit, Rate, Shares};
use crate::metrics::Metrics;
use crate::request::{RequestId, fields};
use crate::secrets::SecretStore;
use crate::stages::{Arrival, Connection, Opened, Prepared, Received, Relay, Rules, Tunnel};
use crate::upstream::Upstreams;
use crate::upstream::websocket::{self, Reply};

pub use answer::Answer;
pub use caught::{Panicked, caught};

/// Everything a call meets on its way.
pub struct Pipeline {
    pub authn: Authn,
    /// Whether a bearer in `Authorization` is a credential for us.
    pub kubernetes: bool,
    /// Room for calls at the same time.
    pub calls: Calls,
    /// `None`: one identity may take all of it.
    pub shares: Option<Shares>,
    /// `None`: an identity may call as often as it likes.
    pub rate: Option<Rate>,
    pub rules: Rules,
    pub secrets: Box<dyn SecretStore>,
    pub upstreams: Upstreams,
    pub metrics: Arc<Metrics>,
    pub trail: Trail,
    /// Whether there is a CA to intercept tunnels with.
    pub ca: bool,
    /// How often what outlives a request asks the authenticator again.
    pub recheck: Duration,
}

/// What follows the last answer of HTTP on a connection.
#[derive(Debug)]
pub enum Established {
    /// TLS and then requests, which come to [`Pipeline::handle`].
    Intercepted(Arc<Tunnel>),
    /// Bytes; the record is written when they end.
    Relayed(Relay, Box<Record>),
    /// Frames to and from the upstream's end; the record as above.
    WebSocket(Box<websocket::Opened>, Box<Record>),
}

/// Where the road led.
enum Reached {
    Answer(Response<Answer>),
    WebSocket(Response<Answer>, Box<websocket::Opened>),
}

impl Pipeline {
    /// Takes one call from its head to its answer's head, and says what follows that if it is no further call. Never
    /// fails: a failure is an answer too.
    pub async fn handle(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> (Response<Answer>, Option<Established>) {
        let Some(mut record) = self.record(connection) else { return (self.refuse_unrecorded(), None) };
        let reached = {
            let road = pin!(self.road(request, connection, &mut record));
            self.survive(caught(road).await)
        };
        match reached {
            Ok(Reached::Answer(answer)) => (self.finish(Ok(answer), record), None),
            Ok(Reached::WebSocket(answer, opened)) => {
                let (answer, record) = last(answer, record);
                if opened.reflected {
                    record.reflected();
                }
                (answer, Some(Established::WebSocket(opened, record)))
            }
            Err(error) => (self.finish(Err(error), record), None),
        }
    }

    /// Takes a CONNECT to its answer, and says what follows that.
    pub async fn connect(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> (Response<Answer>, Option<Established>) {
        let Some(mut record) = self.record(connection) else { return (self.refuse_unrecorded(), None) };
        let opened = {
            let opening = pin!(self.open(request, connection, &mut record));
            self.survive(caught(opening).await)
        };
        match opened {
            Ok(Opened::Intercepted(tunnel)) => {
                let answer = self.finish(Ok(established()), record);
                (answer, Some(Established::Intercepted(tunnel)))
            }
            Ok(Opened::Relayed(relay)) => {
                let (answer, record) = last(established(), record);
                (answer, Some(Established::Relayed(relay, record)))
            }
            Err(error) => (self.finish(Err(error), record), None),
        }
    }

    /// Whether a tunnel's credential is still good; asked again and again by what outlives a request.
    pub async fn authenticate_again(&self, tunnel: &Tunnel, peer: Source) -> Result<(), Error> {
        self.authn.authenticate(Some(tunnel.credential()), peer).await.map(drop).map_err(Error::from)
    }

    /// A panic is a failure of this call alone.
    fn survive<T>(&self, outcome: Result<Result<T, Error>, Panicked>) -> Result<T, Error> {
        outcome.unwrap_or_else(|Panicked| {
            self.metrics.panicked();
            Err(Error::Internal("a panic"))
        })
    }

    /// Takes a place among the calls at the same time, before anything is asked of others.
    fn take_place(&self, record: &mut Record) -> Result<(), Error> {
        let call = self.calls.begin().inspect_err(|limit| self.metrics.limited(*limit));
        record.call = Some(call.map_err(Error::Overloaded)?);
        Ok(())
    }

    /// An identity with too many calls at the same time gets no further.
    fn within_share(&self, record: &mut Record) -> Result<(), Error> {
        let (Some(shares), Some(identity)) = (&self.shares, &record.identity) else { return Ok(()) };
        let share = shares.take(identity).inspect_err(|limit| self.metrics.limited(*limit));
        record.share = Some(share.map_err(Error::Overloaded)?);
        Ok(())
    }

    /// An identity that calls too often gets no further.
    async fn within_rate(&self, record: &Record) -> Result<(), Error> {
        let (Some(rate), Some(identity)) = (&self.rate, &record.identity) else { return Ok(()) };
        rate.draw(identity).await.map_err(|wait| {
            self.metrics.limited(Limit::RequestsPerSecond);
            Error::RateLimited(wait)
        })
    }

    /// What a connection over the limit is told, as bytes of HTTP/1.
    pub fn too_many_connections(&self, limit: Limit) -> Vec<u8> {
        let error = Error::Overloaded(limit);
        self.metrics.failed(error.code().as_str());
        let id = RequestId::generate();
        let mut answer = answer::refusal(&error, id.as_str(), WaysIn::default());
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        answer.headers_mut().insert(fields::REQUEST_ID, id.header_value());
        answer::written(answer)
    }

    /// Boxed: it goes with the answer through many hands.
    fn record(&self, connection: &Connection) -> Option<Box<Record>> {
        let place = self.trail.reserve()?;
        let mut record = Record::new(self.trail.clone(), place, Arc::clone(&self.metrics), connection.peer);
        record.certificate.clone_from(&connection.certificate);
        Some(Box::new(record))
    }

    async fn open(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<Opened, Error> {
        let (parts, body) = request.into_parts();
        let received = Received::parse(parts, body, self.arrival(connection), record)?;
        self.take_place(record)?;
        let authenticated = received.authenticate(&self.authn, &self.metrics, record).await?;
        self.within_share(record)?;
        self.within_rate(record).await?;
        authenticated.open(&self.rules, self.ca, &self.metrics, record).await
    }

    fn arrival<'a>(&'a self, connection: &'a Connection) -> Arrival<'a> {
        Arrival { connection, kubernetes: self.kubernetes, routes: &self.rules.routes }
    }

    /// Each step consumes what the last one made: nothing is sent that was not prepared, nothing prepared that
    /// was not authorised, nothing authorised for a caller who is not known.
    async fn road(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<Reached, Error> {
        let (parts, body) = request.into_parts();
        let received = Received::parse(parts, body, self.arrival(connection), record)?;
        self.take_place(record)?;
        let authenticated = received.authenticate(&self.authn, &self.metrics, record).await?;
        connection.vouch();
        self.within_share(record)?;
        self.within_rate(record).await?;
        let authorized = authenticated.authorize(&self.rules, &self.metrics, record).await?;
        let prepared = authorized.prepare(&*self.secrets).await?;
        if prepared.asks_for_websocket() {
            // Boxed, so that other calls have no room set aside for it.
            return Box::pin(self.open_websocket(prepared)).await;
        }
        let idle = prepared.route().timeouts.idle;
        let answer = self.upstreams.send(prepared, &self.metrics).await?;
        Ok(Reached::Answer(answer.map(|body| Answer::upstream(body, idle))))
    }

    async fn open_websocket(&self, prepared: Prepared<Incoming>) -> Result<Reached, Error> {
        let idle = prepared.route().timeouts.idle;
        Ok(match self.upstreams.open(prepared, &self.metrics).await? {
            Reply::Opened(head, opened) => Reached::WebSocket(head.map(|()| Answer::own(Vec::new())), opened),
            Reply::Answered(answer) => Reached::Answer(answer.map(|body| Answer::upstream(body, idle))),
        })
    }

    /// A message that the gate did not let through: it has no form, only a reason.
    pub fn refuse(&self, error: Error, connection: &Connection) -> Response<Answer> {
        let Some(mut record) = self.record(connection) else { return self.refuse_unrecorded() };
        record.intercepted = connection.tunnel.is_some();
        self.finish(Err(error), record)
    }

    /// The one exit: request id, audit record, metrics, the error's JSON.
    fn finish(&self, result: Result<Response<Answer>, Error>, mut record: Box<Record>) -> Response<Answer> {
        let id = record.request_id();
        let mut answer = match result {
            Ok(answer) => answer,
            Err(error) => self.refusal(&error, &mut record),
        };
        answer.headers_mut().insert(fields::REQUEST_ID, id.header_value());
        record.status = answer.status().as_u16();
        answer.map(|body| body.recorded(record))
    }

    fn refusal(&self, error: &Error, record: &mut Record) -> Response<Answer> {
        self.note(error, record);
        // Whoever is slow to take a refusal keeps nobody else out.
        (record.call, record.share) = (None, None);
        let id = record.request_id();
        let (token, session) = (self.kubernetes, self.authn.takes_session_secret());
        let mut answer = answer::refusal(error, id.as_str(), WaysIn { token, session, forward: record.forward });
        // The tunnel's credential will not get better: the caller has to open another one.
        if record.intercepted && answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// Writes a failure into metrics, record and log.
    pub fn note(&self, error: &Error, record: &mut Record) {
        let code = error.code();
        self.metrics.failed(code.as_str());
        if matches!(error, Error::Reflected(_)) {
            record.reflected();
        }
        record.code = Some(code);
        // The record of a relay or a WebSocket has the reason for which it was allowed.
        let allowed = [StatusCode::OK.as_u16(), StatusCode::SWITCHING_PROTOCOLS.as_u16()].contains(&record.status);
        if record.reason.is_empty() || allowed {
            record.reason = code.message().to_owned();
        }
        let id = record.request_id();
        if code.status().is_server_error() {
            tracing::warn!(request_id = id.as_str(), code = code.as_str(), host = record.upstream_host, cause = %error, "call failed");
        } else {
            tracing::info!(request_id = id.as_str(), code = code.as_str(), host = record.upstream_host, cause = %error, "call refused");
        }
    }

    /// No room for a record, so no call: `audit.when_full` is `refuse`.
    fn refuse_unrecorded(&self) -> Response<Answer> {
        self.metrics.failed(Error::AuditFull.code().as_str());
        let id = RequestId::generate();
        let mut answer = answer::refusal(&Error::AuditFull, id.as_str(), WaysIn::default());
        answer.headers_mut().insert(fields::REQUEST_ID, id.header_value());
        answer
    }
}

/// The last answer of HTTP on a connection, whose record goes on with what follows.
fn last(mut answer: Response<Answer>, mut record: Box<Record>) -> (Response<Answer>, Box<Record>) {
    answer.headers_mut().insert(fields::REQUEST_ID, record.request_id().header_value());
    record.status = answer.status().as_u16();
    (answer, record)
}

/// The good answer to CONNECT (RFC 9110 section 9.3.6): no body, and then no HTTP.
fn established() -> Response<Answer> {
    Response::new(Answer::own(Vec::new()))
}
