//! What is counted and timed, in Prometheus' terms. Every label comes from a closed set.

use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::limits::Limit;
use crate::secrets;
use labels::{
    AuthLabels, CodeLabels, DecisionLabels, FetchLabels, LimitLabels, ReasonLabels, ReflectionLabels, RequestLabels,
    ResultLabels, RouteLabels, StoreLabels,
};

mod keys;
mod labels;
pub mod process;
mod reloads;

/// OpenTelemetry's buckets for HTTP durations, with finer ones in front: most calls take less than 5 ms.
const REQUEST_BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const POLICY_BUCKETS: [f64; 10] = [1e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3, 5e-3, 1e-2, 5e-2];

/// One family each; names as in the design document.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<RouteLabels, Histogram>,
    upstream_duration: Family<RouteLabels, Histogram>,
    errors: Family<CodeLabels, Counter>,
    auth_attempts: Family<AuthLabels, Counter>,
    policy_decisions: Family<DecisionLabels, Counter>,
    policy_duration: Histogram,
    tokenreview_duration: Histogram,
    tokenreview_errors: Family<ReasonLabels, Counter>,
    keys: keys::Keys,
    pod_bindings: Family<ResultLabels, Counter>,
    secret_fetches: Family<FetchLabels, Counter>,
    secret_fetch_duration: Family<StoreLabels, Histogram>,
    secret_stale_served: Family<StoreLabels, Counter>,
    secret_reflected: Family<ReflectionLabels, Counter>,
    listen_tls: reloads::Reloads,
    forward_ca: reloads::Reloads,
    limited: Family<LimitLabels, Counter>,
    panics: Counter,
    pub in_flight: Gauge,
    pub connections: Gauge,
}

/// The audit trail's counts, read when the metrics are asked for.
pub struct AuditCounts {
    pub written: u64,
    pub dropped: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests_of = || Histogram::new(REQUEST_BUCKETS);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("veilwarden"),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(requests_of),
            upstream_duration: Family::new_with_constructor(requests_of),
            errors: Family::default(),
            auth_attempts: Family::default(),
            policy_decisions: Family::default(),
            policy_duration: Histogram::new(POLICY_BUCKETS),
            tokenreview_duration: requests_of(),
            tokenreview_errors: Family::default(),
            keys: keys::Keys::default(),
            pod_bindings: Family::default(),
            secret_fetches: Family::default(),
            secret_fetch_duration: Family::new_with_constructor(requests_of),
            secret_stale_served: Family::default(),
            secret_reflected: Family::default(),
            listen_tls: reloads::Reloads::default(),
            forward_ca: reloads::Reloads::default(),
            limited: Family::default(),
            panics: Counter::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("build", "The running program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register("requests", "Calls answered", self.requests.clone());
        r.register_with_unit(
            "request_duration",
            "From a call's head to its answer's last byte",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        r.register_with_unit(
            "upstream_duration",
            "From a prepared call to its answer's head",
            Unit::Seconds,
            self.upstream_duration.clone(),
        );
        r.register("errors", "Answers of our own, by error code", self.errors.clone());
        r.register("auth_attempts", "Credentials judged", self.auth_attempts.clone());
        r.register("policy_decisions", "Policy decisions", self.policy_decisions.clone());
        r.register_with_unit("policy_duration", "One policy decision", Unit::Seconds, self.policy_duration.clone());
        r.register_with_unit(
            "k8s_tokenreview_duration",
            "One TokenReview call",
            Unit::Seconds,
            self.tokenreview_duration.clone(),
        );
        r.register("k8s_tokenreview_errors", "TokenReview calls without an identity", self.tokenreview_errors.clone());
        self.keys.register(r);
        r.register("pod_binding", "Callers' addresses compared with their pods", self.pod_bindings.clone());
        r.register("secret_fetches", "Calls to secret stores", self.secret_fetches.clone());
        r.register_with_unit(
            "secret_fetch_duration",
            "One call to a secret store",
            Unit::Seconds,
            self.secret_fetch_duration.clone(),
        );
        r.register(
            "secret_stale_served",
            "Secrets served past their TTL while the store failed",
            self.secret_stale_served.clone(),
        );
        r.register(
            "secret_reflected",
            "Answers in which an upstream sent the injected secret back",
            self.secret_reflected.clone(),
        );
        self.listen_tls.register(r, "listen_tls", "listen_tls");
        self.forward_ca.register(r, "forward_ca", "forward mode's CA");
        r.register("limited", "Connections and calls refused because a limit was reached", self.limited.clone());
        r.register(
            "panics",
            "Panics that were caught, each at the cost of one call or connection",
            self.panics.clone(),
        );
        r.register("requests_in_flight", "Calls being served", self.in_flight.clone());
        r.register("connections", "Open connections from callers", self.connections.clone());
    }

    /// A call has been answered, or was given up by its caller (status 0). `route` is `none` without one.
    pub fn finished(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), method, status }).inc();
        self.request_duration.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    pub fn upstream_answered(&self, route: &str, took: Duration) {
        self.upstream_duration.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    pub fn failed(&self, code: &'static str) {
        self.errors.get_or_create(&CodeLabels { code }).inc();
    }

    pub fn authenticated(&self, method: &'static str, result: &'static str) {
        self.auth_attempts.get_or_create(&AuthLabels { method, result }).inc();
    }

    pub fn decided(&self, decision: &'static str, took: Duration) {
        self.policy_decisions.get_or_create(&DecisionLabels { decision }).inc();
        self.policy_duration.observe(took.as_secs_f64());
    }

    /// `error` is a reason from a closed set when the review brought no identity.
    pub fn reviewed(&self, took: Duration, error: Option<&'static str>) {
        self.tokenreview_duration.observe(took.as_secs_f64());
        if let Some(reason) = error {
            self.tokenreview_errors.get_or_create(&ReasonLabels { reason }).inc();
        }
    }

    /// The keys that sign a cluster's tokens were fetched, so many, or not, for a reason from a closed set.
    pub fn keys_fetched(&self, cluster: &str, outcome: Result<usize, &'static str>) {
        self.keys.fetched(cluster, outcome);
    }

    /// A caller's address was compared with its pod: `match`, or why not.
    pub fn bound(&self, result: &'static str) {
        self.pod_bindings.get_or_create(&ResultLabels { result }).inc();
    }

    /// An answer had the injected secret in it, which was masked or ended the answer: `redact` or `block`.
    pub fn reflected(&self, route: &str, action: &'static str) {
        self.secret_reflected.get_or_create(&ReflectionLabels { route: route.to_owned(), action }).inc();
    }

    /// The files of `listen_tls` have changed, and are in use now or not good.
    pub fn listen_tls_reloaded(&self, good: bool) {
        self.listen_tls.reloaded(good);
    }

    /// The files of forward mode's CA have changed, and are in use now or not good.
    pub fn forward_ca_reloaded(&self, good: bool) {
        self.forward_ca.reloaded(good);
    }

    /// A connection or a call was refused because of this limit.
    pub fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&LimitLabels { limit: limit.as_str() }).inc();
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// The exposition text (OpenMetrics 1.0), process metrics included.
    pub fn render(&self, audit: AuditCounts) -> Result<String, std::fmt::Error> {
        let mut extra = Registry::default();
        let (written, dropped) = (ConstCounter::new(audit.written), ConstCounter::new(audit.dropped));
        extra.register("veilwarden_audit_events", "Audit records written", written);
        extra.register(
            "veilwarden_audit_dropped",
            "Audit records lost because the queue was full or the output failed",
            dropped,
        );
        process::register(&mut extra);
        let mut out = String::new();
        text::encode_registry(&mut out, &self.registry)?;
        text::encode_registry(&mut out, &extra)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

impl secrets::Observer for Metrics {
    fn fetch(&self, store: &'static str, result: &'static str, took: Duration) {
        self.secret_fetches.get_or_create(&FetchLabels { store, result }).inc();
        self.secret_fetch_duration.get_or_create(&StoreLabels { store }).observe(took.as_secs_f64());
    }

    fn stale_served(&self, store: &'static str) {
        self.secret_stale_served.get_or_create(&StoreLabels { store }).inc();
    }
}
