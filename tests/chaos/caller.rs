//! Callers: good ones and bad ones, one request after the other.

pub mod connection;
pub mod http1;
pub mod http2;
pub mod pipeline;
pub mod socket;
pub mod speech;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::stage::{BOUND, Stage};
use crate::verdict;

use connection::Connections;

/// What came of an exchange.
#[derive(Debug)]
pub enum Got {
    Answer(Answer),
    /// The caller left, as planned.
    Left,
    /// The proxy closed, or reset, and said nothing.
    Silence(String),
    /// The connection ended with the answer to a request before this one, which nobody has seen then.
    Unasked,
}

/// What a relay says when it does not get through.
const RELAYS_HINTS: [&str; 2] =
    ["the connection to veilwarden broke off: try again", "veilwarden cannot be reached: see --via"];

#[derive(Default)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    /// Of a WebSocket: all that came behind the head.
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// It ended where its framing says.
    pub complete: bool,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]);
        let how = if self.complete { "whole" } else { "broken off" };
        let (status, fields, trailers) = (self.status, &self.fields, &self.trailers);
        write!(f, "{status} {fields:?} {begin:?}, {} bytes, {trailers:?}, {how}", self.body.len())
    }
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Whether it is one of the proxy's own errors.
    pub fn is_error(&self) -> bool {
        self.one("x-veilwarden-error").is_some()
    }

    /// Whether a relay may have said it, of which the proxy has no record. An answer without a body has no hint that tells.
    pub fn may_be_a_relays(&self) -> bool {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let unreached = match body["hint"].as_str() {
            Some(hint) => RELAYS_HINTS.contains(&hint),
            None => self.body.is_empty(),
        };
        self.one("proxy-authenticate") == Some("Basic realm=\"veilwarden exec\"")
            || unreached && self.one("x-veilwarden-error") == Some("UPSTREAM_ERROR")
    }
}

/// How long the callers go on, and whether they rest.
#[derive(Debug, Clone, Copy)]
pub struct Shift {
    pub requests: u64,
    pub until: Option<Instant>,
    /// Of the time, in parts of a hundred; the rest of it they do nothing.
    pub load: u32,
}

/// One request after the other until the shift is over.
pub async fn work(stage: Arc<Stage>, shift: Shift) {
    let mut connections = Connections::default();
    while shift.until.is_none_or(|end| Instant::now() < end) {
        let number = stage.next();
        if number >= shift.requests {
            return;
        }
        let begun = Instant::now();
        let plans = stage.script.plans(number);
        match tokio::time::timeout(BOUND, call(&plans, &mut connections, &stage)).await {
            Ok(all) => plans.iter().zip(&all).for_each(|(plan, got)| settle(plan, got, begun, &stage)),
            Err(_) => {
                connections = Connections::default();
                stage.ledger.violation(format!("I7: an exchange outlasts {BOUND:?}: {plans:?}"));
            }
        }
        tokio::time::sleep(begun.elapsed() * (100 - shift.load) / shift.load).await;
    }
}

/// What came of each request.
async fn call(plans: &[Plan], connections: &mut Connections, stage: &Stage) -> Vec<Got> {
    match plans {
        [plan] if plan.way.is_http2() => vec![http2::call(plan, stage).await],
        [plan] => vec![http1::call(plan, connections, stage).await],
        _ => pipeline::call(plans, connections, stage).await,
    }
}

/// Judges what came, and leaves to the ledger what the record must say.
fn settle(plan: &Plan, got: &Got, begun: Instant, stage: &Stage) {
    match verdict::judge(plan, got, begun, stage) {
        Ok(how) => stage.ledger.count(&how),
        Err(why) => {
            let phase = stage.script.phase(plan.number);
            let shown = format!("{got:?}");
            stage.ledger.violation(format!("{why}: {plan:?} in phase {phase:?} got {shown:.700}"));
        }
    }
    stage.ledger.settle(plan, got);
}

/// How long a connection that is kept may lie idle: well below the proxy's own limit.
pub const KEPT: Duration = Duration::from_secs(20);
