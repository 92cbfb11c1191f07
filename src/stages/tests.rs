//! The strict gate over parsed requests, and where a request says that it goes, without any connection.

use std::net::Ipv4Addr;
use std::path::Path;

use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Version};
use secrecy::SecretString;

use super::*;
use crate::audit::{Record, Trail};
use crate::authn::session::{Session, SessionSecret};
use crate::authn::{Authn, Source, User};
use crate::config::{Config, Overrides};
use crate::error::{Code, Error};
use crate::metrics::{AuditCounts, Metrics};
use crate::request::{Credential, Host};
use crate::route::Routes;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn routes() -> Routes {
    let text = "routes:\n  - {upstream_host: a.test, local_name: alpha, caller_slots: [X-Api-Key]}\n  \
        - {upstream_host: \"b.test:8443\"}\n  - {upstream_host: under_score.test}\n  - {upstream_host: 127.0.0.1, allow_cidrs: [127.0.0.0/8]}\n";
    let env = |name: &str| match name {
        "VEILWARDEN_SESSION_SECRET" => Some(SECRET.to_owned()),
        "VEILWARDEN_K8S_ENABLED" => Some("false".to_owned()),
        _ => None,
    };
    let config =
        Config::parse(text, Path::new("v.yaml"), &Overrides::default(), &env).unwrap_or_else(|m| panic!("{m}"));
    Routes::compile(config.routes).unwrap()
}

fn record() -> Record {
    let trail = Trail::closed();
    let place = trail.reserve().expect("a place");
    Record::new(trail, place, Default::default(), Source::Ip(Ipv4Addr::LOCALHOST.into()))
}

fn connection(tunnel: Option<Tunnel>) -> Connection {
    Connection { tunnel: tunnel.map(std::sync::Arc::new), ..Connection::from(Source::Ip(Ipv4Addr::LOCALHOST.into())) }
}

fn tunnel(host: &str) -> Tunnel {
    let host = Host::parse(host).unwrap();
    let route = std::sync::Arc::clone(routes().find(&host).unwrap());
    Tunnel::new(Credential::SessionSecret(SecretString::from(SECRET)), host, route)
}

/// A head as text: the request line, then fields.
fn head(text: &str) -> http::request::Parts {
    let mut lines = text.lines();
    let words: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let version = if words.get(2) == Some(&"1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut request = Request::builder().method(words[0]).uri(words[1]).version(version).body(()).unwrap();
    for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request.into_parts().0
}

/// What became of it, and the record so far.
fn parse_in(connection: &Connection, text: &str) -> (Result<Received<()>, Error>, Record) {
    let (routes, mut record) = (routes(), record());
    let arrival = Arrival { connection, kubernetes: true, routes: &routes };
    (Received::parse(head(text), (), arrival, &mut record), record)
}

fn parse(text: &str) -> Result<Received<()>, Error> {
    parse_in(&connection(None), text).0
}

/// The route's host, or the code of the refusal, and the host for the record.
fn destination(connection: &Connection, text: &str) -> (Result<String, Code>, String) {
    let (received, mut named) = (parse_in(connection, text).0.unwrap(), String::new());
    let routes = routes();
    let route = received.addressee.route(&routes, &mut named);
    (route.map(|(host, _)| host.to_string()).map_err(|error| error.code()), named)
}

#[test]
fn what_leaves_its_meaning_open_is_refused() {
    let twice = format!("GET /x\nHost: p\nX-Session-Secret: {SECRET}\nX-Session-Secret: {SECRET}");
    for (text, code) in [
        ("GET /x", Code::InvalidHost),
        ("GET /x\nHost: p\nHost: p", Code::InvalidHost),
        ("GET /x\nHost: a/b", Code::InvalidHost),
        ("CONNECT a.test:443", Code::InvalidHost),
        ("TRACE /x\nHost: p", Code::MethodNotAllowed),
        ("get /x\nHost: p", Code::BadRequest),
        ("OPTIONS /x\nHost: p\nMax-Forwards: 0", Code::BadRequest),
        ("GET /a/../b\nHost: p", Code::InvalidPath),
        ("GET /x?a=%00\nHost: p", Code::InvalidPath),
        ("GET /x\nHost: p\nVia: 1.1 x, 1.1 VeilWarden", Code::LoopDetected),
        ("GET /x\nHost: p\nAuthorization: a\nAuthorization: b", Code::BadRequest),
        ("GET /x\nHost: p\nX-Veilwarden-Token: a.b.c\nX-Veilwarden-Token: a.b.c", Code::BadRequest),
        (&twice, Code::BadRequest),
        ("GET /x\nHost: p\nX-Upstream-Host: a.test\nX-Api-Key: one\nX-Api-Key: two", Code::BadRequest),
        ("GET /x\nHost: p\nConnection: \"x\"", Code::BadRequest),
    ] {
        assert_eq!(parse(text).map(drop).map_err(|error| error.code()), Err(code), "{text}");
    }
    for text in [
        "OPTIONS /x\nHost: p\nMax-Forwards: 1",
        "GET /x\nHost: p\nMax-Forwards: 0",
        "GET /x\nHost: p\nVia: 1.1 veil",
        "CONNECT a.test:443 1.0",
        "GET /x\nHost: p\nX-Upstream-Host: b.test:8443\nX-Api-Key: one\nX-Api-Key: two",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_good_head_is_taken_apart_and_loses_what_is_ours() {
    let fields = "X-Upstream-Host: a.test\nX-Agent-Id: a\u{1b}b \nX-Request-Id: my-id\nAccept: */*\nTE: trailers";
    let text = format!(
        "POST /x%41/%2f?q=1\nHost: p\nX-Session-Secret: {SECRET}\nX-Copy: {SECRET}\n{}",
        fields.replace('\u{1b}', "\t")
    );
    let (received, record) = parse_in(&connection(None), &text);
    let received = received.unwrap();
    assert_eq!((&received.method, &*received.path, received.query.as_deref()), (&Method::POST, "/xA/%2F", Some("q=1")));
    assert!(received.encoded_slash && received.trailers.accepted() && received.handshake.is_none());
    assert_eq!(received.agent_id, "ab ");
    assert_eq!((received.request_id.as_str(), record.request_id().as_str()), ("my-id", "my-id"));
    assert_eq!((&*record.path, &*record.agent_id, &*record.method), ("/xA/%2F", "ab ", "POST"));
    assert!(!record.forward && !record.intercepted);
    assert_eq!(received.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    let long = "x".repeat(200);
    assert_eq!(parse(&format!("GET /\nHost: p\nX-Agent-Id: {long}")).unwrap().agent_id.len(), 128);
}

#[test]
fn a_credential_in_the_url_is_refused_and_not_recorded() {
    let credential = format!("Host: p\nX-Session-Secret: {SECRET}");
    let encoded = SECRET.replacen('0', "%30", 1);
    for target in
        [format!("/x/{SECRET}"), format!("/x?k={SECRET}"), format!("/x?k={encoded}"), format!("http://{SECRET}.test/")]
    {
        let (received, record) = parse_in(&connection(None), &format!("GET {target}\n{credential}"));
        assert_eq!(received.map(drop).map_err(|error| error.code()), Err(Code::BadRequest), "{target}");
        assert_eq!(record.path, "", "{target}");
    }
    let (received, record) = parse_in(&connection(None), &format!("GET /a//b\n{credential}"));
    assert!(received.is_err());
    assert_eq!(record.path, "/a//b", "any other refused path is recorded as it came");
}

#[test]
fn a_call_goes_where_all_of_its_head_says() {
    let plain = connection(None);
    for (text, route, named) in [
        ("GET /x\nHost: p\nX-Upstream-Host: A.test", Ok("a.test"), "a.test"),
        ("GET /x\nHost: p\nX-Upstream-Host: a.test:443", Ok("a.test:443"), "a.test:443"),
        ("GET /x\nHost: p", Err(Code::MissingHost), ""),
        ("GET /x\nHost: p\nX-Upstream-Host: ", Err(Code::MissingHost), ""),
        ("GET /x\nHost: p\nX-Upstream-Host: a.test\nX-Upstream-Host: a.test", Err(Code::InvalidHost), ""),
        ("GET /x\nHost: p\nX-Upstream-Host: c.test", Err(Code::HostNotAllowed), "c.test"),
        ("GET /x\nHost: p\nX-Upstream-Host: c_d.test", Err(Code::InvalidHost), "c_d.test"),
        ("GET /x\nHost: p\nX-Upstream-Host: under_score.test", Ok("under_score.test"), "under_score.test"),
        ("GET /_route/alpha/x\nHost: p", Ok("a.test"), "alpha.localhost"),
        ("GET /_route/alpha/x\nHost: p\nX-Upstream-Host: a.test", Ok("a.test"), "alpha.localhost"),
        ("GET /_route/alpha/x\nHost: p\nX-Upstream-Host: b.test:8443", Err(Code::InvalidHost), "alpha.localhost"),
        ("GET /_route/beta/x\nHost: p", Err(Code::HostNotAllowed), "beta.localhost"),
        ("GET /_route/B%2F/x\nHost: p", Err(Code::HostNotAllowed), ""),
        ("GET /_route\nHost: p", Err(Code::MissingHost), ""),
        ("GET /x\nHost: alpha.localhost", Ok("a.test"), "alpha.localhost"),
        ("GET /x\nHost: veil.localhost\nX-Upstream-Host: a.test", Ok("a.test"), "a.test"),
        ("GET /x\nHost: veil.localhost", Err(Code::HostNotAllowed), "veil.localhost"),
        ("GET http://b.test:8443/x\nHost: b.test:8443", Ok("b.test:8443"), "b.test:8443"),
        ("GET http://b.test:8443/x\nHost: a.test", Err(Code::InvalidHost), ""),
        ("GET http://b.test:8443/x\nHost: b.test:8443\nX-Upstream-Host: a.test", Err(Code::InvalidHost), ""),
        ("CONNECT a.test:443\nHost: a.test:443", Ok("a.test:443"), "a.test:443"),
    ] {
        let (found, name) = destination(&plain, text);
        assert_eq!((found.as_deref().map_err(|code| *code), &*name), (route, named), "{text}");
    }
}

#[test]
fn inside_of_a_tunnel_only_its_host_is_reached() {
    let inside = connection(Some(tunnel("a.test:443")));
    for (text, route) in [
        ("GET /x\nHost: a.test", Ok("a.test:443")),
        ("GET /x\nHost: A.test:443", Ok("a.test:443")),
        ("GET /_route/alpha/x\nHost: a.test", Ok("a.test:443")),
        ("GET /x\nHost: a.test:80", Err(Code::Misdirected)),
        ("GET /x\nHost: b.test", Err(Code::Misdirected)),
        ("GET /x\nHost: a.test\nX-Upstream-Host: b.test:8443", Err(Code::Misdirected)),
    ] {
        let (found, name) = destination(&inside, text);
        assert_eq!((found.as_deref().map_err(|code| *code), &*name), (route, "a.test:443"), "{text}");
    }
    let text = format!(
        "GET /x\nHost: a.test\nAuthorization: Bearer app\nX-Api-Key: k\nX-Copy: {SECRET}\nX-Session-Secret: other"
    );
    let (received, record) = parse_in(&inside, &text);
    let received = received.unwrap();
    assert!(record.forward && record.intercepted && received.addressee.is_in_tunnel());
    assert_eq!(received.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["authorization"]);
    assert!(!parse("GET /x\nHost: p").unwrap().addressee.is_in_tunnel());
}

#[test]
fn what_came_over_tls_or_out_of_a_tunnel_was_sent_for_https() {
    let clear = connection(None);
    assert_eq!(clear.scheme(), "http");
    assert_eq!(Connection { tls: true, ..clear.clone() }.scheme(), "https");
    assert_eq!(connection(Some(tunnel("a.test:443"))).scheme(), "https");
}

#[test]
fn g09_a_tunnel_is_named_by_its_host_alone() {
    let name = tunnel("a.test:443");
    assert!(name.is_named(Some("a.test")) && name.is_named(Some("A.TEST")));
    assert!(!name.is_named(Some("b.test")) && !name.is_named(Some("")) && !name.is_named(None));
    let address = tunnel("127.0.0.1:443");
    assert!(address.is_named(None) && !address.is_named(Some("a.test")));
    assert_eq!((name.host().to_string(), name.route().host.to_string()), ("a.test:443".into(), "a.test".into()));
}

#[test]
fn metrics_tell_how_a_credential_was_judged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let secret = SessionSecret::new(&SecretString::from(SECRET)).unwrap();
    let authn = Authn::new(Some(Session::new(secret, User::default())), None);
    let metrics = Metrics::default();
    for (field, method, good) in [
        (format!("X-Session-Secret: {SECRET}"), "session", true),
        ("X-Session-Secret: wrong-wrong-wrong".to_owned(), "session", false),
        ("X-Veilwarden-Token: aaaaaaaa.bbbbbbbb.cccccccc".to_owned(), "kubernetes", false),
        ("Proxy-Authorization: Digest x".to_owned(), "malformed", false),
        ("Accept: */*".to_owned(), "none", false),
    ] {
        let (received, mut record) = parse_in(&connection(None), &format!("GET /x\nHost: p\n{field}"));
        let outcome = runtime.block_on(received.unwrap().authenticate(&authn, &metrics, &mut record));
        assert_eq!((outcome.is_ok(), record.auth_method, record.identity.is_some()), (good, method, good), "{field}");
    }
    let counted = metrics.render(AuditCounts { written: 0, dropped: 0 }).unwrap();
    for (method, result) in
        [("session", "success"), ("session", "invalid_secret"), ("malformed", "malformed"), ("none", "missing")]
    {
        let line = |line: &str| line.contains(&format!("\"{method}\"")) && line.contains(&format!("\"{result}\""));
        assert!(counted.lines().any(line), "{method} {result} in\n{counted}");
    }
}
