//! The stages of a call without any connection: heads as text, a policy and a store that are played.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Version};
use secrecy::SecretString;

use super::*;
use crate::audit::{Outcome, Record, Trail};
use crate::authn::session::{Session, SessionSecret};
use crate::authn::{Authn, Source, User};
use crate::config::{Config, Overrides};
use crate::error::{Code, Error};
use crate::metrics::{AuditCounts, Metrics};
use crate::request::{Credential, Host};
use crate::route::Routes;

mod authenticated;
mod authorized;
mod destination;
mod played;
mod prepared;
mod received;
mod tunnel;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const ROUTES: &str = "{upstream_host: a.test, local_name: alpha, caller_slots: [X-Api-Key]}, \
    {upstream_host: 'b.test:8443'}, {upstream_host: under_score.test}, \
    {upstream_host: 127.0.0.1, allow_cidrs: [127.0.0.0/8]}";

/// Of the items of `routes` in the configuration; their secret is `KEY`.
fn compile(routes: &str) -> Routes {
    let text = format!("routes: [{routes}]\nsecrets: [{{id: KEY, value: not-asked-here}}]\n");
    let env = |name: &str| match name {
        "VEILWARDEN_SESSION_SECRET" => Some(SECRET.to_owned()),
        "VEILWARDEN_K8S_ENABLED" => Some("false".to_owned()),
        _ => None,
    };
    let config =
        Config::parse(&text, Path::new("v.yaml"), &Overrides::default(), &env).unwrap_or_else(|m| panic!("{m}"));
    Routes::compile(config.routes).unwrap()
}

fn record() -> Record {
    let trail = Trail::closed();
    let place = trail.reserve().expect("a place");
    Record::new(trail, place, Default::default(), Source::Ip(Ipv4Addr::LOCALHOST.into()))
}

fn connection(tunnel: Option<Tunnel>) -> Connection {
    Connection { tunnel: tunnel.map(Arc::new), ..Connection::from(Source::Ip(Ipv4Addr::LOCALHOST.into())) }
}

fn tunnel_to(host: &str) -> Tunnel {
    let host = Host::parse(host).unwrap();
    let route = compile(ROUTES).find(&host).unwrap();
    Tunnel::new(Credential::SessionSecret(SecretString::from(SECRET)), host, route)
}

/// A head as text: the request line, its version only where it is not 1.1, then fields.
fn head(text: &str) -> http::request::Parts {
    let mut lines = text.lines();
    let words: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let version = match words.get(2) {
        Some(&"1.0") => Version::HTTP_10,
        Some(&"2") => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut request = Request::builder().method(words[0]).uri(words[1]).version(version).body(()).unwrap();
    for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request.into_parts().0
}

/// What became of it, and the record so far.
fn parse_in(
    connection: &Connection,
    routes: &Routes,
    text: &str,
) -> (Result<Box<Received<&'static str>>, Error>, Record) {
    let mut record = record();
    let arrival = Arrival { connection, kubernetes: true, routes };
    (Received::parse(head(text), "a body", arrival, &mut record), record)
}

fn parse(text: &str) -> Result<Box<Received<&'static str>>, Error> {
    parse_in(&connection(None), &compile(ROUTES), text).0
}

/// Who has the session secret is alice.
fn authn() -> Authn {
    let secret = SessionSecret::new(&SecretString::from(SECRET)).unwrap();
    let user = User { id: "alice".to_owned(), ..User::default() };
    Authn::new(Some(Session::new(secret, user)), None)
}

/// Names and values in the order of names.
fn listed(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut fields: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    fields.sort_unstable();
    fields
}
