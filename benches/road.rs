//! The parts of the road that every call goes through, each on its own: `cargo bench`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::Request;
use tokio::io::{AsyncRead, ReadBuf};

use veilwarden::audit::{Outcome, Record, Trail, Writer};
use veilwarden::authn::{Identity, Source};
use veilwarden::config::{AuditOutput, AuditSettings, WhenFull};
use veilwarden::gate::{Gate, Limits};
use veilwarden::metrics::Metrics;
use veilwarden::policy::input::sample::Call;
use veilwarden::policy::{PolicyEngine, Rego};
use veilwarden::route::{Routes, Template};
use veilwarden::secrets::Secret;
use veilwarden::stages::{Arrival, Connection, Received};

const PEER: Source = Source::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
const TARGET: &str = "/api/0/projects/acme/web/?statsPeriod=24h";

/// The fields of an everyday call: a client's usual ones, a token of 1 KB, the upstream's name.
fn fields() -> Vec<(&'static str, String)> {
    let token = ["e".repeat(30), "P".repeat(650), "s".repeat(342)].join(".");
    vec![
        ("host", "127.0.0.1:8088".to_owned()),
        ("user-agent", "python-requests/2.32.3".to_owned()),
        ("accept-encoding", "gzip, deflate".to_owned()),
        ("accept", "application/json".to_owned()),
        ("connection", "keep-alive".to_owned()),
        ("x-upstream-host", "sentry.io".to_owned()),
        ("sentry-trace", "0123456789abcdef0123456789abcdef-0123456789abcdef".to_owned()),
        ("authorization", format!("Bearer {token}")),
    ]
}

/// The head that carries them, some 1.3 KB.
fn head() -> Vec<u8> {
    let lines: String = fields().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {TARGET} HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

/// A future that is ready at its first poll, as all of these are on the warm path.
fn now<T>(future: impl Future<Output = T>) -> T {
    let future = std::pin::pin!(future);
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready at once"),
    }
}

fn gate(c: &mut Criterion) {
    let head = head();
    let mut scratch = vec![0; 8192];
    c.bench_function("gate: a head of 1.3 KB", |b| {
        b.iter(|| {
            let mut gate = Gate::new(head.as_slice(), Limits::default(), true);
            let mut read = ReadBuf::new(&mut scratch);
            let polled = Pin::new(&mut gate).poll_read(&mut Context::from_waker(Waker::noop()), &mut read);
            assert!(polled.is_ready() && read.filled().len() == head.len());
        });
    });
}

/// Where records go; the writer's thread is joined when the bench is over.
fn trail(output: AuditOutput) -> (Trail, Writer) {
    Trail::open(&AuditSettings { output, when_full: WhenFull::Drop }).expect("an output that can be opened")
}

fn record(trail: &Trail, metrics: &Arc<Metrics>) -> Record {
    let place = trail.reserve().expect("records that may be dropped always have a place");
    Record::new(trail.clone(), place, Arc::clone(metrics), PEER)
}

fn parse(c: &mut Criterion) {
    let (trail, _writer) = trail(AuditOutput::Off);
    let metrics = Arc::new(Metrics::default());
    let request = || {
        let request = Request::get(TARGET);
        fields().into_iter().fold(request, |request, (name, value)| request.header(name, value)).body(())
    };
    let routes = Routes::default();
    let connection = Connection::from(PEER);
    let arrival = Arrival { connection: &connection, kubernetes: true, routes: &routes };
    c.bench_function("request: the strict gate", |b| {
        b.iter_batched(
            || (request().expect("a good request").into_parts().0, record(&trail, &metrics)),
            |(parts, mut record)| (Received::parse(parts, (), arrival, &mut record).expect("a good request"), record),
            BatchSize::SmallInput,
        );
    });
}

/// A call that the policy of `benches/policy` allows by its data.
fn granted() -> Call {
    let mut call = Call::kubernetes();
    if let Identity::Kubernetes(workload) = &mut call.identity {
        "team-17".clone_into(&mut workload.namespace);
        "worker".clone_into(&mut workload.service_account);
    }
    call.path = "/api/0/projects/acme/web/".to_owned();
    call.upstream_host = "sentry.io".to_owned();
    call
}

/// Decisions that are remembered, and ones about a path that no call had before.
fn policy(c: &mut Criterion) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/policy");
    let rego = Rego::load(&directory, "veilwarden/authz/allow", Duration::from_millis(50)).expect("a good policy");
    let paths = [("allowed by a grant", "/api/0/", true), ("denied, with its reason", "/v1/", false)];
    for (name, path, allowed) in paths {
        let mut call = granted();
        path.clone_into(&mut call.path);
        let decide = |call: &Call| assert_eq!(now(rego.decide(call.input())).expect("a decision").allowed, allowed);
        c.bench_function(&format!("policy: {name}, remembered"), |b| b.iter(|| decide(&call)));
        let mut calls = 0_u64;
        c.bench_function(&format!("policy: {name}, evaluated"), |b| {
            b.iter(|| {
                calls += 1;
                call.path.truncate(path.len());
                write!(call.path, "{calls}").expect("a string takes everything");
                decide(&call);
            });
        });
    }
}

fn template(c: &mut Criterion) {
    let template = Template::parse("Bearer {{secret}}").expect("a good template");
    let secret = Secret::new("sntrys_0000000000000000000000000000000000".to_owned()).expect("a good secret");
    c.bench_function("template: a header value", |b| b.iter(|| template.render(&secret)));
}

fn audit(c: &mut Criterion) {
    let (trail, _writer) = trail(AuditOutput::File("/dev/null".into()));
    let metrics = Arc::new(Metrics::default());
    let identity = Arc::new(granted().identity);
    c.bench_function("audit: a record and its line", |b| {
        b.iter(|| {
            let mut record = record(&trail, &metrics);
            "GET".clone_into(&mut record.method);
            "sentry.io".clone_into(&mut record.upstream_host);
            "/api/0/projects/acme/web/".clone_into(&mut record.path);
            "allowed by OPA policy".clone_into(&mut record.reason);
            record.identity = Some(Arc::clone(&identity));
            record.auth_method = "kubernetes";
            record.decision = Outcome::Allow;
            record.status = 200;
            record.response_bytes = 190;
            record.complete = true;
        });
    });
}

criterion_group!(road, gate, parse, policy, template, audit);
criterion_main!(road);
