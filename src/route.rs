//! Which host takes which secret, and how it is put in.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::redact::{Memory, Redaction};
use crate::request::Host;
use crate::request::host::NotAHost;

pub mod metadata;
mod names;
mod routes;
pub mod template;

pub use names::Names;
pub use routes::{Listed, Routes};
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
    /// As written: a host, or `*.` and a domain; lower-cased and split into name and port when compiled.
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
    #[error("local_name {0:?} would not say which host of a wildcard is meant")]
    LocalNameOfMany(String),
}

/// One host that calls may be sent to, and what its entry of `routes` says of it.
#[derive(Debug)]
pub struct Route {
    /// Canonical, with the port only when it is not the scheme's own: the name in `Host`, TLS, policy input, records.
    pub host: Host,
    name: String,
    host_header: HeaderValue,
    /// All hosts of a wildcard share one.
    entry: Arc<Entry>,
}

/// One entry of `routes`, whichever of its hosts is called.
#[derive(Debug)]
pub struct Entry {
    /// Position among the routes, which is also its upstream's.
    pub index: usize,
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
    label: String,
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

impl Entry {
    fn compile(index: usize, settings: RouteSettings) -> Result<(Names, Entry), Error> {
        let written = Names::parse(&settings.upstream_host);
        let written = written.map_err(|why| Error::Host { host: settings.upstream_host, why })?;
        let port = written.host().port().unwrap_or(settings.scheme.default_port());
        let names = written.with_port(Some(port).filter(|port| *port != settings.scheme.default_port()));
        let entry = Entry {
            index,
            port,
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
            label: names.to_string(),
        };
        Ok((names, entry))
    }

    /// The host as configuration and metrics name it, which for a wildcard is the same for all its hosts.
    pub fn label(&self) -> &str {
        &self.label
    }

    fn has_default_port(&self) -> bool {
        self.port == self.scheme.default_port()
    }

    /// Whether a caller that writes this port, or none, means this one among those with its name.
    fn is_meant_by(&self, port: Option<u16>) -> bool {
        port.map_or(self.has_default_port(), |port| port == self.port)
    }

    /// Whether some spelling of a host could mean either: without a port, two schemes cannot be told apart.
    fn is_taken_for(&self, other: &Entry) -> bool {
        self.port == other.port || (self.has_default_port() && other.has_default_port())
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

impl Route {
    /// The route of one of an entry's hosts, in whatever spelling of its port.
    fn of(entry: Arc<Entry>, host: Host) -> Result<Route, Error> {
        let host = host.with_port(Some(entry.port).filter(|_| !entry.has_default_port()));
        let name = host.to_string();
        let host_header = HeaderValue::from_str(&name);
        let host_header =
            host_header.map_err(|_| Error::Host { host: name.clone(), why: NotAHost("the host is not ASCII") })?;
        Ok(Route { host, name, host_header, entry })
    }

    /// `host` or `host:port` as policy and records name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }
}

impl Deref for Route {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
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
