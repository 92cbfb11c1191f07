//! The line that a record becomes.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::record::{Outcome, Record};
use super::visible;
use crate::authn::Identity;
use crate::ca::ClientName;
use crate::error::Code;

/// Most lines are no longer, in bytes: their buffer does not have to grow.
const USUAL_LINE: usize = 1 << 10;

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
    /// One line of JSON, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
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
