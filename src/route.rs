//! Which host takes which secret, and how it is put in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::redact::{Memory, Redaction};
use crate::request::Host;
use crate::request::host::NotAHost;

pub mod metadata;
pub mod template;

pub use template::Template;

/// `upstream_scheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Https,
    Http,
}

/// `upstream_http2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http2 {
    /// Under TLS, if the upstream offers it.
    Auto,
    /// Nothing else, in clear by prior knowledge.
    Only,
    Never,
}

/// One entry of `routes`, checked but not yet compiled.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// As written; lower-cased and split into name and port when compiled.
    pub upstream_host: String,
    pub scheme: Scheme,
    pub http2: Http2,
    pub upstream_address: Option<SocketAddr>,
    pub allow_cidrs: Vec<ipnet::IpNet>,
    pub ca_file: Option<PathBuf>,
    /// `None`: allowed by policy, nothing injected.
    pub injection: Option<InjectionSettings>,
    pub relay: bool,
    pub websocket: bool,
    pub allow_encoded_slash: bool,
    pub redaction: Redaction,
    pub allow_range: bool,
    /// A DNS label of its own, by which callers may name this route.
    pub local_name: Option<String>,
    /// Names of fields.
    pub caller_slots: Vec<String>,
    pub timeouts: Timeouts,
}

/// `secret_id`, `inject_header` and `header_value_template`.
#[derive(Debug, Clone)]
pub struct InjectionSettings {
    pub secret_id: String,
    pub header: String,
    pub template: String,
}

/// `routes[].timeouts`.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// TCP and TLS together.
    pub connect: Duration,
    /// From the request's last byte to the answer's head.
    pub first_byte: Duration,
    /// Between two pieces of a body, either way.
    pub idle: Duration,
}

impl Scheme {
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Https => 443,
            Scheme::Http => 80,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Https => "https",
            Scheme::Http => "http",
        }
    }
}

/// What is wrong with a route's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("upstream_host {host:?}: {why}")]
    Host { host: String, why: NotAHost },
    #[error("inject_header {0:?} is no header name")]
    Header(String),
    #[error("inject_header {0:?} belongs to the connection or to veilwarden and cannot be injected")]
    ProtectedHeader(String),
    #[error("header_value_template: {0}")]
    Template(#[from] template::Error),
    #[error("duplicate route for host \"{0}\"")]
    Duplicate(String),
    #[error("caller_slots: {0:?} is no header that can carry a credential")]
    CallerSlot(String),
    #[error("local_name {0:?} is another route's already")]
    DuplicateLocalName(String),
}

/// One upstream that calls may be sent to.
#[derive(Debug)]
pub struct Route {
    /// Position among the routes, which is also its upstream's.
    pub index: usize,
    /// Canonical, with the port only when it is not the scheme's own: the name in `Host`, policy input, records.
    pub host: Host,
    pub port: u16,
    pub scheme: Scheme,
    pub http2: Http2,
    pub upstream_address: Option<SocketAddr>,
    pub allow_cidrs: Vec<ipnet::IpNet>,
    pub ca_file: Option<PathBuf>,
    pub injection: Option<Injection>,
    /// CONNECT passes TLS through untouched.
    pub relay: bool,
    /// Callers may open WebSockets.
    pub websocket: bool,
    pub allow_encoded_slash: bool,
    /// What happens when the secret comes back.
    pub redaction: Redaction,
    /// Parts of answers may be asked for although they cannot be searched rightly.
    pub allow_range: bool,
    pub local_name: Option<String>,
    /// Further fields in which the caller's credential may stand, the first one that is there first.
    pub caller_slots: Vec<HeaderName>,
    pub timeouts: Timeouts,
    name: String,
    host_header: HeaderValue,
}

/// A secret and the field it goes into.
#[derive(Debug)]
pub struct Injection {
    pub secret_id: String,
    pub header: HeaderName,
    pub template: Template,
    /// What answers are searched for.
    pub memory: Memory,
}

impl Route {
    fn compile(index: usize, settings: RouteSettings) -> Result<Route, Error> {
        let wrong = |why| Error::Host { host: settings.upstream_host.clone(), why };
        let written = Host::parse(&settings.upstream_host).map_err(wrong)?;
        let port = written.port().unwrap_or(settings.scheme.default_port());
        let host = written.with_port(Some(port).filter(|port| *port != settings.scheme.default_port()));
        let name = host.to_string();
        let host_header = HeaderValue::from_str(&name).map_err(|_| wrong(NotAHost("the host is not ASCII")))?;
        Ok(Route {
            index,
            port,
            host,
            scheme: settings.scheme,
            http2: settings.http2,
            upstream_address: settings.upstream_address,
            allow_cidrs: settings.allow_cidrs,
            ca_file: settings.ca_file,
            injection: settings.injection.map(Injection::compile).transpose()?,
            relay: settings.relay,
            websocket: settings.websocket,
            allow_encoded_slash: settings.allow_encoded_slash,
            redaction: settings.redaction,
            allow_range: settings.allow_range,
            local_name: settings.local_name,
            caller_slots: settings.caller_slots.iter().map(|name| caller_slot(name)).collect::<Result<_, _>>()?,
            timeouts: settings.timeouts,
            name,
            host_header,
        })
    }

    /// `host` or `host:port` as policy, records and metrics name the route.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }

    /// Whether answers are searched: there is something to search for, and the operator has not said otherwise.
    pub fn searches(&self) -> bool {
        self.injection.is_some() && self.redaction != Redaction::Off
    }

    /// Empty when the route injects nothing.
    pub fn secret_id(&self) -> &str {
        self.injection.as_ref().map_or("", |injection| &injection.secret_id)
    }
}

impl Injection {
    fn compile(settings: InjectionSettings) -> Result<Injection, Error> {
        let header =
            HeaderName::from_bytes(settings.header.as_bytes()).map_err(|_| Error::Header(settings.header.clone()))?;
        if crate::request::fields::is_protected(&header) {
            return Err(Error::ProtectedHeader(settings.header));
        }
        let template = Template::parse(&settings.template)?;
        Ok(Injection { secret_id: settings.secret_id, header, template, memory: Memory::default() })
    }
}

/// A field that is a credential's alone: none that frames the message, and none that is a slot anyway.
fn caller_slot(name: &str) -> Result<HeaderName, Error> {
    let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::CallerSlot(name.to_owned()))?;
    let fine = !crate::request::fields::is_protected(&field);
    fine.then_some(field).ok_or_else(|| Error::CallerSlot(name.to_owned()))
}

/// All routes, found by host and port.
#[derive(Debug, Default)]
pub struct Routes {
    all: Vec<Arc<Route>>,
    by_name: HashMap<String, Vec<Arc<Route>>>,
    by_local_name: HashMap<String, Arc<Route>>,
    have_caller_slots: bool,
}

impl Routes {
    /// Compiles every route; all mistakes at once, each with its route's position.
    pub fn compile(settings: Vec<RouteSettings>) -> Result<Routes, Vec<(usize, Error)>> {
        let (mut routes, mut mistakes) = (Routes::default(), Vec::new());
        for (index, settings) in settings.into_iter().enumerate() {
            match Route::compile(index, settings) {
                Ok(route) => routes.add(Arc::new(route)).unwrap_or_else(|error| mistakes.push((index, error))),
                Err(error) => mistakes.push((index, error)),
            }
        }
        if mistakes.is_empty() { Ok(routes) } else { Err(mistakes) }
    }

    fn add(&mut self, route: Arc<Route>) -> Result<(), Error> {
        let namesakes = self.by_name.entry(route.host.name().to_owned()).or_default();
        // Without a port, two schemes of one host could not be told apart.
        if namesakes.iter().any(|other| other.port == route.port || other.host.port() == route.host.port()) {
            return Err(Error::Duplicate(route.name().to_owned()));
        }
        if let Some(name) = &route.local_name
            && self.by_local_name.insert(name.clone(), route.clone()).is_some()
        {
            return Err(Error::DuplicateLocalName(name.clone()));
        }
        namesakes.push(route.clone());
        self.have_caller_slots |= !route.caller_slots.is_empty();
        self.all.push(route);
        Ok(())
    }

    /// The route for a caller's host: without a port, the one on its scheme's default port.
    pub fn find(&self, host: &Host) -> Option<&Arc<Route>> {
        let namesakes = self.by_name.get(host.name())?;
        match host.port() {
            Some(port) => namesakes.iter().find(|route| route.port == port),
            None => namesakes.iter().find(|route| route.host.port().is_none()),
        }
    }

    /// The route with this `local_name`.
    pub fn find_local(&self, name: &str) -> Option<&Arc<Route>> {
        self.by_local_name.get(name)
    }

    /// Whether any route has slots of its own; without, nobody has to look for one before the caller is known.
    pub fn have_caller_slots(&self) -> bool {
        self.have_caller_slots
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(host: &str, scheme: Scheme) -> RouteSettings {
        let second = Duration::from_secs(1);
        RouteSettings {
            upstream_host: host.into(),
            scheme,
            http2: Http2::Auto,
            upstream_address: None,
            allow_cidrs: Vec::new(),
            ca_file: None,
            injection: None,
            relay: false,
            websocket: false,
            allow_encoded_slash: false,
            redaction: Redaction::Redact,
            allow_range: false,
            local_name: None,
            caller_slots: Vec::new(),
            timeouts: Timeouts { connect: second, first_byte: second, idle: second },
        }
    }

    fn found(routes: &Routes, host: &str) -> Option<usize> {
        routes.find(&Host::parse(host).unwrap()).map(|route| route.index)
    }

    #[test]
    fn b07_the_default_port_equals_no_port() {
        let routes = Routes::compile(vec![
            settings("A.test.", Scheme::Https),
            settings("a.test:8443", Scheme::Https),
            settings("b.test:443", Scheme::Https),
            settings("127.0.0.1:9000", Scheme::Http),
        ])
        .unwrap();
        for (host, index) in [
            ("a.test", Some(0)),
            ("a.test:443", Some(0)),
            ("a.test:8443", Some(1)),
            ("a.test:80", None),
            ("b.test", Some(2)),
            ("127.0.0.1:9000", Some(3)),
            ("127.0.0.1", None),
            ("c.test", None),
        ] {
            assert_eq!(found(&routes, host), index, "{host}");
        }
    }

    #[test]
    fn one_host_has_one_route() {
        for (a, b) in [
            (("a.test", Scheme::Https), ("A.TEST", Scheme::Https)),
            (("a.test", Scheme::Https), ("a.test", Scheme::Http)),
            (("a.test", Scheme::Https), ("a.test:443", Scheme::Https)),
        ] {
            let mistakes = Routes::compile(vec![settings(a.0, a.1), settings(b.0, b.1)]).unwrap_err();
            assert!(matches!(&mistakes[..], [(1, Error::Duplicate(_))]), "{a:?} {b:?}: {mistakes:?}");
        }
    }
}
