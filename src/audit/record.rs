//! What is recorded of one call.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::visible;
use super::writer::{Place, Trail};
use crate::authn::{Identity, Source};
use crate::ca::ClientName;
use crate::error::Code;
use crate::limits::{Call, Share};
use crate::metrics::Metrics;
use crate::redact::Redaction;
use crate::request::{RequestId, method};
use crate::route::Route;

/// Most lines are no longer, in bytes: their buffer does not have to grow.
const USUAL_LINE: usize = 1 << 10;

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
    started: Instant,
    timestamp: SystemTime,
    trail: Trail,
    place: Option<Place>,
    metrics: Arc<Metrics>,
    id: RequestId,
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
    reflected: AtomicBool,
}

/// The line, field by field. Nothing here can hold a credential or a secret's value: the query is left out
/// because callers put keys there.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    #[serde(rename = "type")]
    kind: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<IpAddr>,
    /// In place of an address, for a call through a Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_uid: Option<u32>,
    auth_method: &'static str,
    identity: Option<Who<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    agent_id: &'a str,
    method: &'a str,
    upstream_host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    intercepted: bool,
    decision: Outcome,
    reason: &'a str,
    secret_id: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_bytes: Option<u64>,
    response_bytes: u64,
    complete: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    secret_reflected: bool,
    latency_ms: f64,
}

#[derive(Serialize)]
struct Who<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    attributes: Attributes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_subject: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Attributes<'a> {
    Kubernetes {
        #[serde(skip_serializing_if = "Option::is_none")]
        cluster: Option<&'a str>,
        namespace: &'a str,
        service_account: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pod_name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pod_uid: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        node_name: Option<&'a str>,
    },
    Static {
        user_id: &'a str,
        user_email: &'a str,
        user_org: &'a str,
    },
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

    fn line(&self) -> Vec<u8> {
        let timestamp = OffsetDateTime::from(self.timestamp).format(&Rfc3339).unwrap_or_default();
        let line = Line {
            timestamp,
            kind: "call",
            request_id: self.id.as_str(),
            source_ip: self.source.ip(),
            peer_uid: self.source.uid(),
            auth_method: self.auth_method,
            identity: self.identity.as_deref().map(|identity| Who::of(identity, self)),
            agent_id: &self.agent_id,
            method: &self.method,
            upstream_host: &self.upstream_host,
            path: &self.path,
            intercepted: self.intercepted,
            decision: self.decision,
            reason: &self.reason,
            secret_id: self.route.as_deref().map_or("", |route| route.secret_id()),
            status: self.status,
            error: self.code.map(Code::as_str),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            complete: self.complete,
            secret_reflected: self.reflected.load(Ordering::Relaxed),
            latency_ms: (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
        };
        // Strings and numbers always serialise; a failure would leave an empty line, not a lost call.
        let mut json = Vec::with_capacity(USUAL_LINE);
        let written = serde_json::to_writer(&mut json, &line).is_ok();
        let json = String::from_utf8(json).ok().filter(|_| written).unwrap_or_default();
        let escaped = match visible(&json) {
            Cow::Owned(escaped) => Some(escaped),
            Cow::Borrowed(_) => None,
        };
        let mut out = escaped.unwrap_or(json).into_bytes();
        out.push(b'\n');
        out
    }
}

impl<'a> Who<'a> {
    fn of(identity: &'a Identity, record: &'a Record) -> Who<'a> {
        let attributes = match identity {
            Identity::Kubernetes(workload) => Attributes::Kubernetes {
                cluster: workload.cluster.as_deref(),
                namespace: &workload.namespace,
                service_account: &workload.service_account,
                pod_name: workload.pod_name.as_deref(),
                pod_uid: workload.pod_uid.as_deref(),
                node_name: workload.node_name.as_deref(),
            },
            Identity::Static(user) => {
                Attributes::Static { user_id: &user.id, user_email: &user.email, user_org: &user.org }
            }
        };
        let (spiffe_id, certificate_subject) = match record.certificate.as_deref() {
            Some(ClientName::Spiffe(id)) => (Some(id.as_str()), None),
            Some(ClientName::Subject(subject)) => (None, Some(subject.as_str())),
            None => (None, None),
        };
        Who { kind: identity.kind(), attributes, peer_uid: record.source.uid(), spiffe_id, certificate_subject }
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
