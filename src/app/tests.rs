use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::BoxFuture;
use crate::config::Overrides;
use crate::policy::{Decision, Input};

const SECRET: &str = "a-session-secret-of-tests";

/// Panics when it is asked about one path, and allows all others.
struct Panics;

impl PolicyEngine for Panics {
    fn decide<'a>(&'a self, input: Input<'a>) -> BoxFuture<'a, Result<Decision, policy::Error>> {
        assert!(input.path != "/panic", "meant by the test");
        Box::pin(std::future::ready(Ok(Decision { allowed: true, reason: String::new() })))
    }

    fn name(&self) -> &'static str {
        "config"
    }
}

async fn call(stream: &mut TcpStream, path: &str) -> String {
    let head = "Host: x\r\nX-Upstream-Host: a.test\r\nX-Session-Secret:";
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{head} {SECRET}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn k23_a_panic_is_one_calls_500_with_a_record_and_the_connection_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let audit = home.path().join("audit.jsonl");
    // Nobody listens on port 1.
    let yaml = format!(
        "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nkubernetes: {{enabled: false}}\nsecrets: [{{id: K, value: v}}]\n\
         routes: [{{upstream_host: a.test, upstream_scheme: http, upstream_address: \"127.0.0.1:1\", secret_id: K, \
         inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}]\n\
         policy: {{engine: config, default_allow: true}}\naudit: {{output: \"{}\"}}\n",
        audit.display()
    );
    let environment = |name: &str| (name == "VEILWARDEN_SESSION_SECRET").then(|| SECRET.to_owned());
    let config = Config::parse(&yaml, Path::new("v.yaml"), &Overrides::default(), &environment);
    let mut app = App::build(config.unwrap_or_else(|mistakes| panic!("{mistakes}"))).await.unwrap();
    app.pipeline.rules.policy = Box::new(Panics);
    let metrics = Arc::clone(&app.pipeline.metrics);
    let running = app.start().await.unwrap();
    let mut stream = TcpStream::connect(running.listen[0].address().unwrap()).await.unwrap();
    for (path, status, code) in
        [("/panic", 500, "INTERNAL_ERROR"), ("/x", 502, "UPSTREAM_ERROR"), ("/panic", 500, "INTERNAL_ERROR")]
    {
        let answer = call(&mut stream, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(code), "{path}: {answer}");
    }
    let exposition = metrics.render(crate::metrics::AuditCounts { written: 0, dropped: 0 }).unwrap();
    assert!(exposition.contains("\nveilwarden_panics_total 2\n"), "{exposition}");
    running.stop().await;
    let records = std::fs::read_to_string(audit).unwrap();
    assert_eq!(records.lines().filter(|line| line.contains("\"error\":\"INTERNAL_ERROR\"")).count(), 2, "{records}");
    assert_eq!(records.lines().count(), 3, "{records}");
}
