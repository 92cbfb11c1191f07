//! The entries of `routes`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Switch, Time};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Scheme {
    Https,
    Http,
}

/// What happens when the upstream sends the secret back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Redaction {
    Redact,
    Block,
    Off,
}

/// One host and what is put into calls to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["upstream_host"]))]
pub(in crate::config) struct Route {
    /// The host that callers name, with an optional `:port`: an exact name, or `"*.example.com"` (in quotes) for every name
    /// of exactly one label more. A route that names the host goes before a wildcard.
    pub upstream_host: String,
    /// How the upstream is spoken to.
    pub upstream_scheme: Scheme,
    /// Whether HTTP/2 is spoken to the upstream: `auto` offers it under TLS, `true` speaks nothing else (in clear to
    /// `upstream_scheme: http`, as gRPC servers on loopback want it), `false` never.
    pub upstream_http2: Switch,
    /// IP and port to dial instead of resolving the name; `Host` and the TLS name stay `upstream_host`. Naming an address
    /// is consent to reach it, never a metadata address.
    pub upstream_address: String,
    /// Private, loopback or node-local networks that this route's name may resolve to.
    pub allow_cidrs: Vec<String>,
    /// Consent to `upstream_scheme: http` to anything but loopback.
    pub allow_cleartext: bool,
    /// A file with further roots for this route, PEM.
    pub ca_file: String,
    /// Further ids that an object decision may pick.
    #[schemars(extend("x-later" = true))]
    pub secret_ids: Vec<String>,
    /// The secret to put in. Without one, the route is allowed by policy and injects nothing.
    pub secret_id: String,
    /// The header to set. The caller's own copy of it is removed.
    pub inject_header: String,
    /// The header's value; `{{secret}}` stands for the secret.
    pub header_value_template: String,
    /// The general form of injection: several headers, query, basic, sigv4, oauth2, github_app.
    #[schemars(extend("x-later" = true), with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub inject: Ignored,
    /// Further headers in which the caller's credential may stand, the first that is there first: where an API's client
    /// puts its key, for example `x-api-key`, or `authorization` (`Bearer KEY`, `token KEY`, or `Basic` with the key as
    /// password). They count behind `Proxy-Authorization` and `X-Veilwarden-Token`, and never go upstream.
    pub caller_slots: Vec<String>,
    /// A name under which callers reach this route by URL alone: `http://ADDRESS:8088/_route/NAME/…`, and
    /// `http://NAME.localhost:8088/…` where that resolves. One lower-case DNS label, of one route only; a wildcard has none.
    pub local_name: String,
    /// Whether CONNECT passes TLS through untouched. Policy judges the CONNECT then, and nothing can be put in.
    pub relay: bool,
    /// Whether callers may open WebSockets. Tunnels of the route then speak no HTTP/2, in which there are none. Without it, a
    /// call for one is an ordinary request.
    pub websocket: bool,
    /// Whether `%2F` in a path is passed on instead of refused.
    pub allow_encoded_slash: bool,
    /// What happens when the upstream sends the secret back: `redact` masks it, `block` ends the answer, `off` looks for
    /// nothing. Without a `secret_id` there is nothing to look for.
    pub redact: Redaction,
    /// Whether `Range` is passed on although answers are searched. A secret that is fetched in parts is not found.
    pub allow_range: bool,
    /// How long the upstream is waited for. There is no limit on a whole call.
    pub timeouts: Timeouts,
}

impl Default for Route {
    fn default() -> Self {
        Route {
            upstream_host: String::new(),
            upstream_scheme: Scheme::Https,
            upstream_http2: Switch::Auto,
            upstream_address: String::new(),
            allow_cidrs: Vec::new(),
            allow_cleartext: false,
            ca_file: String::new(),
            secret_ids: Vec::new(),
            secret_id: String::new(),
            inject_header: String::new(),
            header_value_template: String::new(),
            inject: Ignored,
            caller_slots: Vec::new(),
            local_name: String::new(),
            relay: false,
            websocket: false,
            allow_encoded_slash: false,
            redact: Redaction::Redact,
            allow_range: false,
            timeouts: Timeouts::default(),
        }
    }
}

/// A value that `shape` lets through only when it says nothing.
#[derive(Debug)]
pub(in crate::config) struct Ignored;

impl Serialize for Ignored {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([(); 0])
    }
}

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Ignored)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Timeouts {
    /// TCP and TLS together.
    #[schemars(extend("x-duration" = "positive"))]
    pub connect: Time,
    /// From the request's last byte to the answer's head.
    #[schemars(extend("x-duration" = "positive"))]
    pub first_byte: Time,
    /// Between two pieces of a body, either way.
    #[schemars(extend("x-duration" = "positive"))]
    pub idle: Time,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { connect: Time::seconds(5), first_byte: Time::seconds(120), idle: Time::seconds(300) }
    }
}
