//! Where a call says it wants to go, before anybody has looked whether there is such a place.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};

use crate::authn::is_label;
use crate::error::Error;
use crate::request::{self, Host, fields};
use crate::route::{Route, Routes};

/// The first segment of a path that names a route: `/_route/NAME/…`.
const PREFIX: &str = "/_route";

/// How the caller names the upstream. Taken from the head as it is, judged only when the caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `X-Upstream-Host`, as often as it is there.
    Field(Vec<HeaderValue>),
    /// A route's `local_name`, in the path's prefix. `X-Upstream-Host` may stand beside it if it means the same.
    LocalName { name: String, beside: Vec<HeaderValue> },
    /// `Host: NAME.localhost`. Some people call veilwarden itself so: a name that is no route's leaves it to
    /// `X-Upstream-Host`.
    LocalHost { name: String, beside: Vec<HeaderValue> },
}

impl Destination {
    /// Reads the destination of a request whose canonical path is `path`, and the path that the upstream is asked
    /// for. The prefix counts before `Host`, so that it works under any name of ours.
    pub(super) fn of<'p>(headers: &HeaderMap, path: Cow<'p, str>) -> (Destination, Cow<'p, str>) {
        let beside = headers.get_all(fields::UPSTREAM_HOST).iter().cloned().collect();
        if let Some((name, rest)) = split_prefix(&path) {
            return (Destination::LocalName { name: name.to_owned(), beside }, Cow::Owned(rest.to_owned()));
        }
        match local_host(headers) {
            Some(name) => (Destination::LocalHost { name, beside }, path),
            None => (Destination::Field(beside), path),
        }
    }

    /// Further fields in which the caller's credential may stand. None when no route is meant: who calls is asked
    /// before that is said.
    pub(super) fn caller_slots<'r>(&self, routes: &'r Routes) -> &'r [HeaderName] {
        if !routes.have_caller_slots() {
            return &[];
        }
        self.route(routes, &mut String::new()).map_or(&[], |route| &route.caller_slots)
    }

    /// The route that is meant. `named` becomes what the caller named, in its canonical form, for the record.
    ///
    /// # Errors
    /// No route, no host, or two that differ.
    pub(super) fn route<'r>(&self, routes: &'r Routes, named: &mut String) -> Result<&'r Arc<Route>, Error> {
        match self {
            Destination::Field(fields) => by_field(fields, routes, named),
            Destination::LocalHost { name, beside } if routes.find_local(name).is_none() && !beside.is_empty() => {
                by_field(beside, routes, named)
            }
            Destination::LocalName { name, .. } if name.is_empty() => Err(request::Error::MissingHost.into()),
            Destination::LocalName { name, beside } | Destination::LocalHost { name, beside } => {
                if is_label(name) {
                    *named = format!("{name}.localhost");
                }
                let route = routes.find_local(name).ok_or(Error::NoRoute)?;
                if beside.is_empty() || by_field(beside, routes, named).is_ok_and(|other| Arc::ptr_eq(other, route)) {
                    return Ok(route);
                }
                Err(request::Error::InvalidHost("X-Upstream-Host and the local name mean different upstreams").into())
            }
        }
    }
}

/// Whether `Host` names a route, so that the path is an upstream's whatever it is.
pub fn names_local_host(headers: &HeaderMap) -> bool {
    local_host(headers).is_some()
}

/// `NAME` and the upstream's path of `/_route/NAME/path`. Without a slash behind the name the upstream's path is `/`,
/// as for every URL that ends with its authority (RFC 3986 section 6.2.3).
fn split_prefix(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PREFIX)?;
    let Some(rest) = rest.strip_prefix('/') else { return rest.is_empty().then_some(("", "/")) };
    Some(rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash)))
}

/// `NAME` of `Host: NAME.localhost`, with or without a port (RFC 6761 section 6.3: such names are this machine's).
fn local_host(headers: &HeaderMap) -> Option<String> {
    let host = Host::parse(headers.get(HOST)?.to_str().ok()?).ok()?;
    host.name().strip_suffix(".localhost").filter(|name| is_label(name)).map(str::to_owned)
}

fn by_field<'r>(fields: &[HeaderValue], routes: &'r Routes, named: &mut String) -> Result<&'r Arc<Route>, Error> {
    let text = match fields {
        [] => return Err(request::Error::MissingHost.into()),
        [one] => one.to_str().map_err(|_| request::Error::InvalidHost("the host is not ASCII"))?,
        _ => return Err(request::Error::InvalidHost("X-Upstream-Host appears twice").into()),
    };
    if text.is_empty() {
        return Err(request::Error::MissingHost.into());
    }
    let host = Host::parse(text).map_err(|why| request::Error::InvalidHost(why.0))?;
    *named = host.to_string();
    match routes.find(&host) {
        Some(route) => Ok(route),
        // Some names have an underscore; only a route can say so.
        None if host.name().contains('_') => {
            Err(request::Error::InvalidHost("the host has a character that no host name has").into())
        }
        None => Err(Error::NoRoute),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &'static str, upstream: &[&'static str], path: &str) -> (Destination, String) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        for value in upstream {
            headers.append(fields::UPSTREAM_HOST, HeaderValue::from_static(value));
        }
        let (destination, path) = Destination::of(&headers, Cow::Borrowed(path));
        (destination, path.into_owned())
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
            let expected = Destination::LocalName { name: name.into(), beside: Vec::new() };
            assert_eq!(of("proxy.test", &[], path), (expected, rest.to_owned()), "{path}");
        }
        for path in ["/", "/_routes/a/x", "/_ROUTE/a/x", "/a/_route/b/x", "/%2F_route/a/x", "/_route%2Fa/x"] {
            assert_eq!(of("proxy.test", &[], path), (Destination::Field(Vec::new()), path.to_owned()), "{path}");
        }
    }

    #[test]
    fn a_label_before_localhost_is_a_local_name() {
        for host in ["github.localhost", "GitHub.localhost:8088", "github.localhost.", "github.LOCALHOST:1"] {
            let expected = Destination::LocalHost { name: "github".into(), beside: Vec::new() };
            assert_eq!(of(host, &[], "/x"), (expected, "/x".to_owned()), "{host}");
        }
        for host in ["localhost:8088", "a.b.localhost", "a_b.localhost", "github.localhost.test", "github.local"] {
            assert_eq!(of(host, &[], "/x").0, Destination::Field(Vec::new()), "{host}");
        }
        let both = of("github.localhost", &[], "/_route/openai/x").0;
        assert_eq!(both, Destination::LocalName { name: "openai".into(), beside: Vec::new() });
    }
}
