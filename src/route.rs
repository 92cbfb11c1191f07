//! Which host takes which secret, and how it is put in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `upstream_scheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Https,
    Http,
}

/// One entry of `routes`, checked but not yet compiled.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// As written; lower-cased and split into name and port when compiled.
    pub upstream_host: String,
    pub scheme: Scheme,
    pub upstream_address: Option<SocketAddr>,
    pub allow_cidrs: Vec<ipnet::IpNet>,
    pub ca_file: Option<PathBuf>,
    /// `None`: allowed by policy, nothing injected.
    pub injection: Option<InjectionSettings>,
    pub allow_encoded_slash: bool,
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
