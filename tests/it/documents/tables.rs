//! Metrics, error codes, causes, the policy input, the audit record: tables that a source has as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use veilwarden::limits::Limit;
use veilwarden::metrics::{AuditCounts, Metrics};
use veilwarden::policy::input::{DOCUMENT, Property, Shape};
use veilwarden::secrets::Observer as _;

use super::markdown::{self, Document, codes, root};
use super::sources;
use crate::world::tunnel::call;
use crate::world::{World, raw};

/// Name, type and labels of every metric of ours, each with an event.
fn metrics() -> BTreeSet<(String, String, BTreeSet<String>)> {
    let metrics = Metrics::default();
    let took = Duration::from_millis(1);
    metrics.finished("a", "GET", 200, took);
    metrics.upstream_answered("a", took);
    metrics.failed("X");
    metrics.authenticated("none", "missing");
    metrics.decided("allow", took);
    metrics.reviewed(took, Some("timeout"));
    metrics.keys_fetched("default", Ok(1));
    metrics.bound("match");
    metrics.listen_tls_reloaded(true);
    metrics.forward_ca_reloaded(true);
    metrics.limited(Limit::Connections);
    metrics.fetch("file", "ok", took);
    metrics.stale_served("file");
    metrics.reflected("a", "redact");
    let text = metrics.render(AuditCounts { written: 1, dropped: 1 }).unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types = types.filter(|(name, _)| name.starts_with("veilwarden_"));
    let labels = |name: &str| {
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', '_', ' ']));
        let sample = text.lines().filter(of_it).find(|line| line.contains('{')).unwrap_or_default();
        let inner = sample.split_once('{').map_or("", |(_, rest)| rest.split('}').next().unwrap_or_default());
        let names = inner.split(',').filter_map(|label| label.split('=').next().filter(|name| !name.is_empty()));
        names.filter(|name| *name != "le").map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let sample_name = |name: &str, kind: &str| match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    };
    types.map(|(name, kind)| (sample_name(name, kind), kind.to_owned(), labels(name))).collect()
}

#[test]
fn every_metric_is_documented_with_its_type_and_labels_and_no_other_is() {
    let table = Document::read("docs/operations.md").table("| metric | type | labels | meaning |");
    let documented: BTreeSet<_> = table
        .iter()
        .map(|row| {
            (codes(&row[0])[0].to_owned(), row[1].clone(), codes(&row[2]).into_iter().map(str::to_owned).collect())
        })
        .collect();
    assert_eq!(documented, metrics());

    let exist: BTreeSet<_> = metrics().into_iter().map(|(name, ..)| name).collect();
    for document in markdown::all() {
        for (line, span) in document.code_spans().into_iter().filter(|(_, span)| span.starts_with("veilwarden_")) {
            let name = span.split('{').next().unwrap_or_default();
            assert!(exist.contains(name), "{}: there is no metric {name}", document.at(line));
        }
    }
}

#[test]
fn every_result_of_an_authentication_is_documented() {
    let sources = sources(&["src"]);
    let text = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let start = text.find("`method` of `veilwarden_auth_attempts_total`").expect("the paragraph");
    let paragraph = text[start..].split("\n\n").next().unwrap();
    let documented: BTreeSet<_> =
        codes(paragraph).into_iter().filter(|word| !word.starts_with("veilwarden_")).collect();
    for word in &documented {
        assert!(["method", "result", "reason"].contains(word) || sources.contains(&format!("\"{word}\"")), "{word}");
    }
    let errors = fs::read_to_string(root().join("src/authn/error.rs")).unwrap();
    let labels =
        errors.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split_once("=> \"")).map(|(_, label)| label);
    let labels: Vec<_> = labels.filter(|label| !label.contains(' ')).collect();
    assert!(labels.len() > 10, "{labels:?}");
    for label in labels {
        assert!(documented.contains(label), "{label} is not documented");
    }
}

#[test]
fn every_error_code_is_in_the_readme_with_its_status() {
    let source = fs::read_to_string(root().join("src/error.rs")).unwrap();
    let rows = source.lines().filter_map(|line| line.split_once("=> (\"")).map(|(_, row)| row);
    let rows = rows.filter_map(|row| row.split_once("\", "));
    let exist: BTreeMap<_, _> = rows.map(|(code, rest)| (code, rest.split(',').next().unwrap())).collect();
    assert!(exist.len() > 15, "{exist:?}");

    let table = Document::read("README.md").table("| code | status | what to do |");
    let documented: BTreeMap<_, _> = table.iter().map(|row| (codes(&row[0])[0], row[1].as_str())).collect();
    assert_eq!(documented, exist);

    for row in Document::read("docs/operations.md").table("| code | `cause` begins with, or log line | look here |") {
        for code in codes(&row[0]) {
            assert!(exist.contains_key(code), "{code}");
        }
    }
}

#[test]
fn every_cause_that_operators_are_told_to_look_for_is_written_somewhere() {
    let sources = sources(&["src"]);
    for row in Document::read("docs/operations.md").table("| code | `cause` begins with, or log line | look here |") {
        let lines = row[1].split('"').skip(1).step_by(2);
        for cause in codes(&row[1]).into_iter().chain(lines) {
            for part in cause.split(": ").flat_map(|part| part.split('…')) {
                let part = part.trim_matches([' ', ':']);
                assert!(sources.contains(part), "{part:?} of {cause:?} is nowhere in the sources");
            }
        }
    }
}

#[test]
fn every_message_that_the_usage_guide_explains_is_written_somewhere() {
    let sources = sources(&["src"]);
    let rows = Document::read("docs/kubernetes-usage-guide.md").table("| you see | why | do |");
    let mut messages = 0;
    for message in rows.iter().flat_map(|row| codes(&row[0])).filter(|span| span.contains(['_', ' '])) {
        assert!(sources.contains(message), "{message:?} is nowhere in the sources");
        messages += 1;
    }
    assert!(messages > 10, "only {messages} messages");
}

fn described(table: &[Vec<String>]) -> Vec<(String, String, bool)> {
    table.iter().map(|row| (codes(&row[0])[0].to_owned(), row[1].clone(), row[2] == "always")).collect()
}

fn properties<'a>(properties: impl Iterator<Item = &'a Property>) -> Vec<(String, String, bool)> {
    let noun = |property: &Property| property.shape.noun().split(' ').next_back().unwrap_or_default().to_owned();
    properties.map(|property| (property.name.to_owned(), noun(property), property.always)).collect()
}

#[test]
fn the_policy_input_is_described_as_it_is() {
    let page = Document::read("docs/policies.md");
    let [whole, identity] = &page.tables("| name | type | there | meaning |")[..] else { panic!("two tables") };
    assert_eq!(described(whole), properties(DOCUMENT.iter().map(|field| &field.property)));
    let field = DOCUMENT.iter().find(|field| field.property.name == "identity").unwrap();
    let Shape::Object(members) = &field.property.shape else { panic!("an object") };
    assert_eq!(described(identity), properties(members.iter()));
}

#[tokio::test]
async fn the_audit_record_is_described_as_it_is() {
    let page = Document::read("docs/operations.md");
    let documented: BTreeSet<String> =
        page.table("| field | meaning |").iter().map(|row| codes(&row[0])[0].to_owned()).collect();
    let sample = page.blocks().into_iter().find(|block| block.text.contains("\"type\":\"call\"")).expect("a sample");
    let sample: Value = serde_json::from_str(&sample.text).unwrap();

    let world = World::new().await.kubernetes().await.forward().route("{upstream_host: r.test, relay: true}");
    let world = world.route_to_a("mirror.test", "KEY_A");
    let socket = world.directory.path().join("v.sock");
    let world = world.listen(&format!("[127.0.0.1:0, \"unix:{}\"]", socket.display())).start().await;
    let allowed = world.send(world.ok("X-Agent-Id: nightly\r\n")).await;
    let refused = world.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let key = world.canary_a();
    world.a.answer(format!("HTTP/1.1 200 OK\r\nX-Echo: {key}\r\nContent-Length: 0\r\n\r\n"));
    let reflected = world.record(&world.get("mirror.test").await).await;
    let (allowed, refused) = (world.record(&allowed).await, world.record(&refused).await);
    let inside = call(&mut world.tunnel("a.test:80").await, "GET / HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await;
    let (relay, relayed) = world.open(world.connect_to("r.test:443", "")).await;
    drop(relay);
    let (inside, relayed) = (world.record(&inside).await, world.record(&relayed).await);
    let mut local = UnixStream::connect(&socket).await.unwrap();
    local.write_all(world.ok("").as_bytes()).await.unwrap();
    let local = world.record(&raw::read_answer(&mut local).await).await;
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&sample), names(&allowed));
    assert!(names(&sample["identity"]).is_superset(&names(&allowed["identity"])), "{allowed}");
    let written: BTreeSet<String> =
        [&allowed, &refused, &reflected, &inside, &relayed, &local].into_iter().flat_map(names).collect();
    assert_eq!(documented, written);
}
