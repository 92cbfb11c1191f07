//! Where a call says it wants to go, before anybody has looked whether there is such a place.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::Authority;
use http::{Uri, Version};

use super::Tunnel;
use crate::authn::is_label;
use crate::error::Error;
use crate::request::{self, Host, fields};
use crate::route::{Route, Routes};

/// The first segment of a path that names a route: `/_route/NAME/…`.
const PREFIX: &str = "/_route";
/// What follows a route's name in `Host` (RFC 6761 section 6.3: such names are this machine's).
const DOMAIN: &str = ".localhost";

/// Where a call says that it wants to go. Looked at after authentication.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Wherever `X-Upstream-Host` says.
    Field,
    /// To the route of this `local_name`, which stands in the path's prefix.
    LocalName(String),
    /// To the route of this `local_name`: `Host: NAME.localhost`. Some people call veilwarden itself so: a name that is
    /// no route's leaves it to `X-Upstream-Host`.
    LocalHost(String),
    /// To the authority of its target: absolute-form, or CONNECT.
    Absolute(Authority),
    /// To where its tunnel leads.
    Tunnel(Arc<Tunnel>),
}

/// Everything in a head that says where the call is to go.
#[derive(Debug, Clone)]
pub struct Addressee {
    destination: Destination,
    /// `Host`; only an HTTP/1.0 CONNECT may go without.
    host: Option<Host>,
    /// `X-Upstream-Host`, as often as it is there.
    fields: Vec<HeaderValue>,
}

impl Destination {
    /// What the form of the target says; an explicit rule, since in HTTP/2 every request has an authority.
    pub(super) fn of(uri: &Uri, version: Version, tunnel: Option<&Arc<Tunnel>>) -> Destination {
        match (tunnel, uri.authority()) {
            (Some(tunnel), _) => Destination::Tunnel(Arc::clone(tunnel)),
            (None, Some(authority)) if version <= Version::HTTP_11 => Destination::Absolute(authority.clone()),
            (None, _) => Destination::Field,
        }
    }

    /// Whether the call came as to a forward proxy.
    pub fn is_forward(&self) -> bool {
        matches!(self, Destination::Absolute(_) | Destination::Tunnel(_))
    }

    /// A path (canonical) or a host may name a route where the target's form names nothing. The prefix counts before
    /// `Host`, so that it works under any name of ours. Comes back with the path that the upstream is asked for.
    fn named_by<'p>(self, host: Option<&Host>, path: Cow<'p, str>) -> (Destination, Cow<'p, str>) {
        if !matches!(self, Destination::Field) {
            return (self, path);
        }
        if let Some((name, rest)) = split_prefix(&path) {
            return (Destination::LocalName(name.to_owned()), Cow::Owned(rest.to_owned()));
        }
        match host.and_then(local_host) {
            Some(name) => (Destination::LocalHost(name.to_owned()), path),
            None => (self, path),
        }
    }
}

impl Addressee {
    /// Reads everything that is there and judges nothing. Comes back with the path that the upstream is asked for.
    pub(super) fn of<'p>(
        destination: Destination,
        host: Option<Host>,
        headers: &HeaderMap,
        path: Cow<'p, str>,
    ) -> (Addressee, Cow<'p, str>) {
        let (destination, path) = destination.named_by(host.as_ref(), path);
        let fields = headers.get_all(fields::UPSTREAM_HOST).iter().cloned().collect();
        (Addressee { destination, host, fields }, path)
    }

    /// Forgets what stood in fields that are gone because they had the credential in them: it must not be recorded.
    pub(super) fn forget_removed(&mut self, headers: &HeaderMap) {
        self.fields = headers.get_all(fields::UPSTREAM_HOST).iter().cloned().collect();
        if matches!(self.destination, Destination::LocalHost(_)) && !headers.contains_key(HOST) {
            self.destination = Destination::Field;
        }
    }

    /// Whether the call came out of a tunnel.
    pub(super) fn is_in_tunnel(&self) -> bool {
        matches!(self.destination, Destination::Tunnel(_))
    }

    /// The route whose `caller_slots` count. None when no route is meant, or none has any: who calls is asked before
    /// that is said.
    pub(super) fn route_with_slots(&self, routes: &Routes) -> Option<Arc<Route>> {
        if let Destination::Tunnel(tunnel) = &self.destination {
            return Some(Arc::clone(tunnel.route()));
        }
        if !routes.have_caller_slots() {
            return None;
        }
        self.route(routes, &mut String::new()).ok().map(|(_, route)| route)
    }

    /// The one route that everything in the call means, and its host as the call names it. `named` becomes that host, for
    /// the record, also where there is no such route.
    ///
    /// # Errors
    /// No route, no host, or two that differ.
    pub(super) fn route(&self, routes: &Routes, named: &mut String) -> Result<(Host, Arc<Route>), Error> {
        match &self.destination {
            Destination::Field => self.by_field(routes, named),
            Destination::LocalHost(name) if routes.find_local(name).is_none() && !self.fields.is_empty() => {
                self.by_field(routes, named)
            }
            Destination::LocalName(name) | Destination::LocalHost(name) => self.by_local_name(name, routes, named),
            Destination::Absolute(authority) => {
                let host = parse(authority.as_str())?;
                let default = host.port().unwrap_or(80);
                if !self.agrees_with(&host, default)? {
                    let why = "Host or X-Upstream-Host names another host than the request target";
                    return Err(request::Error::InvalidHost(why).into());
                }
                find(host, routes, named)
            }
            Destination::Tunnel(tunnel) => {
                *named = tunnel.host().to_string();
                // What is inside speaks https, whose port needs not be written.
                if !self.agrees_with(tunnel.host(), 443)? {
                    return Err(request::Error::Misdirected.into());
                }
                find(tunnel.host().clone(), routes, named)
            }
        }
    }

    fn by_field(&self, routes: &Routes, named: &mut String) -> Result<(Host, Arc<Route>), Error> {
        find(self.named()?.ok_or(request::Error::MissingHost)?, routes, named)
    }

    /// `X-Upstream-Host` may stand beside a local name if it means the same.
    fn by_local_name(&self, name: &str, routes: &Routes, named: &mut String) -> Result<(Host, Arc<Route>), Error> {
        if name.is_empty() {
            return Err(request::Error::MissingHost.into());
        }
        if is_label(name) {
            *named = format!("{name}{DOMAIN}");
        }
        let route = routes.find_local(name).ok_or(Error::NoRoute)?;
        let same = || self.by_field(routes, &mut String::new()).is_ok_and(|(_, other)| Arc::ptr_eq(&other, route));
        if !self.fields.is_empty() && !same() {
            let why = "X-Upstream-Host and the local name mean different upstreams";
            return Err(request::Error::InvalidHost(why).into());
        }
        Ok((route.host.clone(), Arc::clone(route)))
    }

    fn agrees_with(&self, host: &Host, default: u16) -> Result<bool, request::Error> {
        let named = self.named()?;
        Ok(self.host.iter().chain(&named).all(|other| other.agrees_with(host, default)))
    }

    /// `X-Upstream-Host`.
    fn named(&self) -> Result<Option<Host>, request::Error> {
        match &self.fields[..] {
            [] => Ok(None),
            [one] if one.is_empty() => Ok(None),
            [one] => {
                one.to_str().map_err(|_| request::Error::InvalidHost("the host is not ASCII")).and_then(parse).map(Some)
            }
            _ => Err(request::Error::InvalidHost("X-Upstream-Host appears twice")),
        }
    }
}

/// `NAME` of `NAME.localhost`, whatever its port.
pub fn local_host(host: &Host) -> Option<&str> {
    host.name().strip_suffix(DOMAIN).filter(|name| is_label(name))
}

/// `NAME` and the upstream's path of `/_route/NAME/path`. Without a slash behind the name the upstream's path is `/`,
/// as for every URL that ends with its authority (RFC 3986 section 6.2.3).
fn split_prefix(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PREFIX)?;
    let Some(rest) = rest.strip_prefix('/') else { return rest.is_empty().then_some(("", "/")) };
    Some(rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash)))
}

fn find(host: Host, routes: &Routes, named: &mut String) -> Result<(Host, Arc<Route>), Error> {
    *named = host.to_string();
    match routes.find(&host) {
        Some(route) => Ok((host, route)),
        // Some names have an underscore; only a route can say so.
        None if host.name().contains('_') => {
            Err(request::Error::InvalidHost("the host has a character that no host name has").into())
        }
        None => Err(Error::NoRoute),
    }
}

fn parse(text: &str) -> Result<Host, request::Error> {
    Host::parse(text).map_err(|why| request::Error::InvalidHost(why.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The local name, and the path without its prefix.
    fn named(host: &str, path: &str) -> (Option<String>, String) {
        let host = Host::parse(host).unwrap();
        let (destination, path) = Destination::Field.named_by(Some(&host), Cow::Borrowed(path));
        let name = match destination {
            Destination::LocalName(name) | Destination::LocalHost(name) => Some(name),
            Destination::Field | Destination::Absolute(_) | Destination::Tunnel(_) => None,
        };
        (name, path.into_owned())
    }

    #[test]
    fn the_prefix_is_taken_off_whole_segments_only() {
        for (path, name, rest) in [
            ("/_route/github/repos/x", "github", "/repos/x"),
            ("/_route/github/", "github", "/"),
            ("/_route/github", "github", "/"),
            ("/_route/github/_route/b/x", "github", "/_route/b/x"),
            ("/_route/a%2Fb/x", "a%2Fb", "/x"),
            ("/_route/", "", "/"),
            ("/_route", "", "/"),
        ] {
            assert_eq!(named("proxy.test", path), (Some(name.to_owned()), rest.to_owned()), "{path}");
        }
        for path in ["/", "/_routes/a/x", "/_ROUTE/a/x", "/a/_route/b/x", "/%2F_route/a/x", "/_route%2Fa/x"] {
            assert_eq!(named("proxy.test", path), (None, path.to_owned()), "{path}");
        }
    }

    #[test]
    fn a_label_before_localhost_is_a_local_name() {
        for host in ["github.localhost", "GitHub.localhost:8088", "github.localhost.", "github.LOCALHOST:1"] {
            assert_eq!(named(host, "/x"), (Some("github".to_owned()), "/x".to_owned()), "{host}");
        }
        for host in ["localhost:8088", "a.b.localhost", "a_b.localhost", "github.localhost.test", "github.local"] {
            assert_eq!(named(host, "/x").0, None, "{host}");
        }
        assert_eq!(named("github.localhost", "/_route/openai/x").0.as_deref(), Some("openai"));
    }

    #[test]
    fn a_forward_call_goes_where_its_target_says_whatever_its_path() {
        let absolute = Destination::Absolute(Authority::from_static("a.test"));
        let host = Host::parse("github.localhost").unwrap();
        let (destination, path) = absolute.named_by(Some(&host), Cow::Borrowed("/_route/b/x"));
        assert!(matches!(destination, Destination::Absolute(_)) && path == "/_route/b/x", "{destination:?} {path}");
    }
}
