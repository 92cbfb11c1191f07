//! The life of a request, in one screen.

pub mod answer;

use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use crate::audit::{Record, Trail};
use crate::authn::Authn;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::request::{RequestId, fields};
use crate::secrets::SecretStore;
use crate::stages::{Arrival, Received, Rules};
use crate::upstream::Upstreams;

pub use answer::Answer;

/// Everything a call meets on its way.
pub struct Pipeline {
    pub authn: Authn,
    /// Whether a bearer in `Authorization` is a credential for us.
    pub kubernetes: bool,
    pub rules: Rules,
    pub secrets: Box<dyn SecretStore>,
    pub upstreams: Upstreams,
    pub metrics: Arc<Metrics>,
    pub trail: Trail,
}

impl Pipeline {
    /// Takes one call from its head to its answer's head. Never fails: a failure is an answer too.
    pub async fn handle(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Answer> {
        let Some(place) = self.trail.reserve() else { return self.refuse_unrecorded() };
        let mut record = Record::new(self.trail.clone(), place, Arc::clone(&self.metrics), peer);
        let result = self.road(request, peer, &mut record).await;
        self.finish(result, record)
    }

    /// Each step consumes what the last one made: nothing is sent that was not prepared, nothing prepared that
    /// was not authorised, nothing authorised for a caller who is not known.
    async fn road(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        record: &mut Record,
    ) -> Result<Response<Answer>, Error> {
        let (parts, body) = request.into_parts();
        let arrival = Arrival { peer, kubernetes: self.kubernetes };
        let received = Received::parse(parts, body, arrival, record)?;
        let authenticated = received.authenticate(&self.authn, &self.metrics, record).await?;
        let authorized = authenticated.authorize(&self.rules, &self.metrics, record).await?;
        let prepared = authorized.prepare(&*self.secrets).await?;
        let idle = prepared.route().timeouts.idle;
        let answer = self.upstreams.send(prepared, &self.metrics).await?;
        Ok(answer.map(|body| Answer::upstream(body, idle)))
    }

    /// A message that the gate did not let through: it has no form, only a reason.
    pub fn refuse(&self, error: Error, peer: IpAddr) -> Response<Answer> {
        let Some(place) = self.trail.reserve() else { return self.refuse_unrecorded() };
        let record = Record::new(self.trail.clone(), place, Arc::clone(&self.metrics), peer);
        self.finish(Err(error), record)
    }

    /// The one exit: request id, audit record, metrics, the error's JSON.
    fn finish(&self, result: Result<Response<Answer>, Error>, mut record: Record) -> Response<Answer> {
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
        let code = error.code();
        self.metrics.failed(code.as_str());
        record.code = Some(code);
        if record.reason.is_empty() {
            record.reason = code.message().to_owned();
        }
        let id = record.request_id();
        if code.status().is_server_error() {
            tracing::warn!(request_id = id.as_str(), code = code.as_str(), host = record.upstream_host, cause = %error, "call failed");
        } else {
            tracing::info!(request_id = id.as_str(), code = code.as_str(), host = record.upstream_host, cause = %error, "call refused");
        }
        answer::refusal(error, id.as_str())
    }

    /// No room for a record, so no call: `audit.when_full` is `refuse`.
    fn refuse_unrecorded(&self) -> Response<Answer> {
        self.metrics.failed(Error::AuditFull.code().as_str());
        let id = RequestId::generate();
        let mut answer = answer::refusal(&Error::AuditFull, id.as_str());
        answer.headers_mut().insert(fields::REQUEST_ID, id.header_value());
        answer
    }
}
