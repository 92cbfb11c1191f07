//! What is recorded of one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use serde::Serialize;

use super::trail::{Place, Trail};
use crate::authn::{Identity, Source};
use crate::ca::ClientName;
use crate::error::Code;
use crate::limits::{Call, Share};
use crate::metrics::Metrics;
use crate::redact::Redaction;
use crate::request::{RequestId, method};
use crate::route::Route;

/// What became of the question "may it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Allow,
    Deny,
    /// The policy failed, which is a refusal.
    Error,
    /// The call never got as far.
    None,
}

impl Outcome {
    /// The word in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Allow => "allow",
            Outcome::Deny => "deny",
            Outcome::Error => "error",
            Outcome::None => "none",
        }
    }
}

/// The one record of a call. It fills up as the call passes its stages and is written when it is dropped: with
/// the answer's last byte, or when the caller hangs up before, but always and only once.
#[derive(Debug)]
pub struct Record {
    pub(super) started: Instant,
    pub(super) timestamp: SystemTime,
    trail: Trail,
    place: Option<Place>,
    metrics: Arc<Metrics>,
    pub(super) id: RequestId,
    pub source: Source,
    /// The name in the client certificate that the peer showed.
    pub certificate: Option<Arc<ClientName>>,
    pub method: String,
    /// As the caller named it, canonical when it is a host at all.
    pub upstream_host: String,
    pub route: Option<Arc<Route>>,
    pub path: String,
    pub agent_id: String,
    pub identity: Option<Arc<Identity>>,
    pub auth_method: &'static str,
    /// Absolute-form, CONNECT, or inside of a tunnel: a missing credential is 407 then, not 401.
    pub forward: bool,
    /// Inside of a tunnel whose TLS ended here.
    pub intercepted: bool,
    pub decision: Outcome,
    pub reason: String,
    pub status: u16,
    pub code: Option<Code>,
    /// Known of a relay only.
    pub request_bytes: Option<u64>,
    pub response_bytes: u64,
    /// The answer's last byte was handed to the caller.
    pub complete: bool,
    /// The call's place among those at the same time, kept until it ends or is refused.
    pub call: Option<Call>,
    /// Its part of its identity's share, kept as long.
    pub share: Option<Share>,
    /// The upstream sent the secret back.
    pub(super) reflected: AtomicBool,
}

impl Record {
    pub fn new(trail: Trail, place: Place, metrics: Arc<Metrics>, source: Source) -> Record {
        metrics.in_flight.inc();
        Record {
            started: Instant::now(),
            timestamp: SystemTime::now(),
            trail,
            place: Some(place),
            metrics,
            id: RequestId::generate(),
            source,
            certificate: None,
            method: String::new(),
            upstream_host: String::new(),
            route: None,
            path: String::new(),
            agent_id: String::new(),
            identity: None,
            auth_method: "none",
            forward: false,
            intercepted: false,
            decision: Outcome::None,
            reason: String::new(),
            status: 0,
            code: None,
            request_bytes: None,
            response_bytes: 0,
            complete: false,
            call: None,
            share: None,
            reflected: AtomicBool::new(false),
        }
    }

    /// The upstream has sent the secret back: said at once, in the log and in the metrics, and once a call.
    pub fn reflected(&self) {
        if self.reflected.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(route) = &self.route else { return };
        let action = if route.redaction == Redaction::Block { "block" } else { "redact" };
        self.metrics.reflected(route.label(), action);
        tracing::warn!(
            request_id = self.id.as_str(),
            host = route.name(),
            secret_id = route.secret_id(),
            action,
            "secret_reflected: the upstream sent the secret back"
        );
    }

    /// The call's id; a fresh one until the caller's own is known.
    pub fn request_id(&self) -> RequestId {
        self.id.clone()
    }

    /// The caller named its call well.
    pub fn identify(&mut self, id: RequestId) {
        self.id = id;
    }

    /// When the call came in, for the policy input.
    pub fn timestamp(&self) -> SystemTime {
        self.timestamp
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let route = self.route.as_deref().map_or("none", |route| route.label());
        self.metrics.finished(route, method::label(&self.method), self.status, self.started.elapsed());
        if let Some(place) = self.place.take() {
            let line = self.line();
            self.trail.write(place, line);
        }
    }
}
