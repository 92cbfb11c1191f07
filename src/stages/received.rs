//! A call as it came in, through the strict request gate.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, VIA};
use http::request::Parts;
use http::{Method, Uri, Version};

use super::{Addressee, Authenticated, Connection, Destination};
use crate::audit::Record;
use crate::authn::{Authn, Source};
use crate::ca::ClientName;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::request::credential::{self, BadCredential};
use crate::request::{self, Credential, Handshake, Host, RequestId, Trailers, fields, method, path, query};
use crate::route::Routes;

/// What is known about a request beside its head.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub connection: &'a Connection,
    /// Whether a bearer in `Authorization` is a credential for us.
    pub kubernetes: bool,
    /// Only to know the slots of the route that is called: whether there is one, callers learn later.
    pub routes: &'a Routes,
}

/// A call whose form is beyond doubt and whose credential has been taken out. Nothing is known yet about who
/// makes it or whether it may be made.
#[derive(Debug)]
pub struct Received<B> {
    pub(super) method: Method,
    pub(super) path: String,
    /// A segment of the path has an encoded slash in it; the route says whether that is allowed.
    pub(super) encoded_slash: bool,
    pub(super) query: Option<String>,
    /// Not yet judged: that comes after authentication.
    pub(super) addressee: Addressee,
    pub(super) headers: HeaderMap,
    pub(super) agent_id: String,
    pub(super) request_id: RequestId,
    pub(super) trailers: Trailers,
    /// It asks for a WebSocket; the route says whether there are any.
    pub(super) handshake: Option<Handshake>,
    pub(super) body: B,
    pub(super) peer: Source,
    pub(super) certificate: Option<Arc<ClientName>>,
    credential: Result<Option<Credential>, BadCredential>,
}

impl<B> Received<B> {
    /// The strict gate over what the HTTP parser made of the request. Boxed: the call goes through many hands, and every
    /// future that it is given to would have room for it set aside.
    pub fn parse(parts: Parts, body: B, arrival: Arrival, record: &mut Record) -> Result<Box<Received<B>>, Error> {
        let Parts { method, uri, version, mut headers, .. } = parts;
        record.method = method.as_str().to_owned();
        let Connection { peer, certificate, tunnel, .. } = arrival.connection;
        let destination = Destination::of(&uri, version, tunnel.as_ref());
        record.forward = destination.is_forward();
        record.intercepted = tunnel.is_some();
        // Judged while every field is still there, said when the record knows which call it is about.
        let head = read_head(destination, &method, &uri, version, &headers);
        let meant = head.as_ref().ok().and_then(|head| head.addressee.route_with_slots(arrival.routes));
        let slots = meant.as_ref().map_or(&[][..], |route| &route.caller_slots);
        let once = check_once(&headers, slots);
        let credential = match tunnel {
            Some(tunnel) => Ok(Some(credential::inherit(&mut headers, tunnel.credential(), slots))),
            None => credential::take(&mut headers, arrival.kubernetes, slots),
        };
        if let Some(id) = headers.get(fields::REQUEST_ID).and_then(RequestId::accept) {
            record.identify(id);
        }
        let in_target = credential.as_ref().is_ok_and(|credential| stands_in(credential.as_ref(), &uri));
        if !in_target {
            record.path = uri.path().to_owned();
        }
        let Head { mut addressee, path, encoded_slash, query } = head?;
        addressee.forget_removed(&headers);
        once?;
        if in_target {
            let why = "the credential stands in the URL, where it would reach the upstream";
            return Err(request::Error::Malformed(why).into());
        }
        record.path = path.clone().into_owned();
        let agent_id = headers.get(fields::AGENT_ID).map(printable).unwrap_or_default();
        record.agent_id.clone_from(&agent_id);
        let trailers = Trailers::of(&headers);
        let handshake = Handshake::of(&method, version, &headers)?;
        fields::strip_request(&mut headers)?;
        Ok(Box::new(Received {
            method,
            path: path.into_owned(),
            encoded_slash,
            query,
            addressee,
            headers,
            agent_id,
            request_id: record.request_id(),
            trailers,
            handshake,
            body,
            peer: *peer,
            certificate: certificate.clone(),
            credential,
        }))
    }

    /// Spends the credential for an identity.
    pub async fn authenticate(
        mut self: Box<Self>,
        authn: &Authn,
        metrics: &Metrics,
        record: &mut Record,
    ) -> Result<Authenticated<B>, Error> {
        let taken = std::mem::replace(&mut self.credential, Ok(None));
        record.auth_method = match &taken {
            Ok(Some(Credential::Token(_))) => "kubernetes",
            Ok(Some(Credential::SessionSecret(_))) => "session",
            Ok(None) => "none",
            Err(_) => "malformed",
        };
        let judged = match &taken {
            Ok(credential) => authn.authenticate(credential.as_ref(), self.peer).await.map_err(Error::from),
            Err(bad) => Err(Error::from(*bad)),
        };
        metrics.authenticated(record.auth_method, result_label(&judged));
        let identity = judged?;
        record.identity = Some(Arc::clone(&identity));
        let credential = taken.ok().flatten();
        Ok(Authenticated::new(self, identity, credential))
    }
}

fn result_label<T>(judged: &Result<T, Error>) -> &'static str {
    match judged {
        Ok(_) => "success",
        Err(Error::Authn(error)) => error.label(),
        Err(_) => "malformed",
    }
}

/// What a head says, its form beyond doubt.
struct Head<'u> {
    addressee: Addressee,
    /// As the upstream is asked for it.
    path: Cow<'u, str>,
    encoded_slash: bool,
    query: Option<String>,
}

fn read_head<'u>(
    destination: Destination,
    method: &Method,
    uri: &'u Uri,
    version: Version,
    headers: &HeaderMap,
) -> Result<Head<'u>, request::Error> {
    let host = check_form(method, version, headers)?;
    let (path, encoded_slash, query) = match *method {
        // The target is all authority.
        Method::CONNECT => (Cow::Borrowed(""), false, None),
        _ => check_target(uri)?,
    };
    let (addressee, path) = Addressee::of(destination, host, headers, path);
    Ok(Head { addressee, path, encoded_slash, query })
}

/// Comes back with `Host`.
fn check_form(method: &Method, version: Version, headers: &HeaderMap) -> Result<Option<Host>, request::Error> {
    check_method(method, headers)?;
    check_once(headers, &SINGLETONS)?;
    // Python before 3.12 sends CONNECT in HTTP/1.0, which needs no Host.
    let host = match (method, headers.contains_key(HOST)) {
        (&Method::CONNECT, false) if version == Version::HTTP_10 => None,
        _ => Some(check_host(headers)?),
    };
    if headers.get_all(VIA).iter().any(|via| contains_ignoring_case(via.as_bytes(), b"veilwarden")) {
        return Err(request::Error::Loop);
    }
    Ok(host)
}

fn check_method(method: &Method, headers: &HeaderMap) -> Result<(), request::Error> {
    if *method == Method::OPTIONS && headers.get("max-forwards").is_some_and(|n| n.as_bytes() == b"0") {
        return Err(request::Error::Malformed("Max-Forwards: 0 asks the proxy itself, which has nothing to say"));
    }
    match method::judge(method.as_str()) {
        method::Verdict::Fine => Ok(()),
        method::Verdict::Echoes => Err(request::Error::Method("would echo the request with the secret in it")),
        method::Verdict::WrongCase => Err(request::Error::Malformed(
            "the method differs from a registered one only in case; methods are case-sensitive",
        )),
    }
}

/// Of these fields, a second one would leave open which of them counts.
const SINGLETONS: [HeaderName; 4] = [
    http::header::AUTHORIZATION,
    http::header::PROXY_AUTHORIZATION,
    credential::TOKEN_FIELD,
    credential::SESSION_SECRET_FIELD,
];

fn check_once(headers: &HeaderMap, names: &[HeaderName]) -> Result<(), request::Error> {
    // As many names as fields: none appears twice.
    if headers.len() == headers.keys_len() {
        return Ok(());
    }
    if names.iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return Err(request::Error::Malformed("a credential field appears twice"));
    }
    Ok(())
}

/// RFC 9112 section 3.2: exactly one `Host`, and it is one. (HTTP/1.0 may go without, but no client of ours does.)
fn check_host(headers: &HeaderMap) -> Result<Host, request::Error> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(request::Error::InvalidHost("exactly one Host header is needed"));
    };
    let text = host.to_str().map_err(|_| request::Error::InvalidHost("the Host header is not ASCII"))?;
    Host::parse(text).map_err(|why| request::Error::InvalidHost(why.0))
}

/// The canonical path, whether it has an encoded slash, and the query as it came.
fn check_target(uri: &Uri) -> Result<(Cow<'_, str>, bool, Option<String>), request::Error> {
    let canonical = path::canonical(uri.path())?;
    let query = uri.query().map(str::to_owned);
    if let Some(query) = &query {
        query::check(query)?;
    }
    Ok((canonical.path, canonical.encoded_slash, query))
}

/// Whether the target has the credential in it, as it is or percent-encoded.
fn stands_in(credential: Option<&Credential>, uri: &Uri) -> bool {
    let Some(credential) = credential else { return false };
    if uri.authority().is_some_and(|authority| credential.occurs_in(authority.as_str().as_bytes())) {
        return true;
    }
    let Some(target) = uri.path_and_query() else { return false };
    let decoded = Cow::from(percent_encoding::percent_decode_str(target.as_str()));
    credential.occurs_in(target.as_str().as_bytes()) || credential.occurs_in(&decoded)
}

/// What a caller claims, made safe for records: printable, at most 128 characters.
fn printable(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(128).collect()
}

fn contains_ignoring_case(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
