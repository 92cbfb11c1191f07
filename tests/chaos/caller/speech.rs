//! What callers say: the fields of their requests.

use crate::cast::{CREDENTIAL, Way, Who, token};
use crate::plan::{Flaw, Plan};

/// The fields that authenticate; `proxy`: to a proxy, and not to what is taken for the upstream.
pub fn credentials(plan: &Plan, proxy: bool) -> Vec<(&'static str, String)> {
    let tag = format!("{:08x}", plan.number);
    let credential = match plan.flaw {
        Some(Flaw::NoCredential) => return Vec::new(),
        Some(Flaw::WrongSecret) => format!("{CREDENTIAL}-wrong"),
        Some(Flaw::UnknownToken) => token(Who::Red, &tag, 360_000),
        Some(Flaw::ExpiredToken) => token(Who::Red, &tag, -60),
        _ => plan.who.credential(),
    };
    let is_token = credential.contains('.');
    let field = match (proxy, plan.own_slot, is_token) {
        (_, true, _) => ("x-veilwarden-token", credential),
        (true, false, _) => ("proxy-authorization", format!("Bearer {credential}")),
        (false, false, true) => ("authorization", format!("Bearer {credential}")),
        (false, false, false) => ("x-session-secret", credential),
    };
    match plan.flaw {
        Some(Flaw::TwoCredentials) => vec![field.clone(), field],
        _ => vec![field],
    }
}

/// The fields of a request, but for those that frame it and, in a tunnel, its credential.
pub fn fields(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut fields = vec![("x-request-id", format!("c-{}", plan.number)), ("accept", "*/*".to_owned())];
    match plan.way {
        Way::Reverse | Way::H2c => {
            fields.push(("x-upstream-host", plan.host()));
            fields.extend(credentials(plan, false));
        }
        Way::Absolute => fields.extend(credentials(plan, true)),
        Way::Tunnel | Way::TunnelH2 => {}
    }
    fields
}

pub fn method(plan: &Plan) -> &'static str {
    if plan.flaw == Some(Flaw::EchoingMethod) { "TRACE" } else { plan.method }
}

/// A CONNECT for the request's tunnel, with an id of its own.
pub fn connect(plan: &Plan) -> String {
    let (host, number) = (plan.host(), plan.number);
    let mut head = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nX-Request-Id: t-{number}\r\n");
    for (name, value) in credentials(plan, true) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// A head of HTTP/1.1.
pub fn head(plan: &Plan) -> Vec<u8> {
    let (method, target) = (method(plan), plan.target());
    let (target, host) = match plan.way {
        Way::Reverse | Way::H2c => (target, "proxy.test".to_owned()),
        Way::Absolute => (format!("http://{}{target}", plan.host()), plan.host()),
        Way::Tunnel | Way::TunnelH2 => (target, plan.host()),
    };
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in fields(plan) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match (plan.flaw, plan.upload) {
        (Some(Flaw::TwoFramings), _) => head.push_str("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        (_, Some(upload)) if upload.chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
        (_, Some(upload)) => head.push_str(&format!("Content-Length: {}\r\n", upload.length)),
        (_, None) => {}
    }
    let mut head = (head + "\r\n").into_bytes();
    match plan.flaw {
        Some(Flaw::TwoFramings) => head.extend_from_slice(b"0\r\n\r\n"),
        Some(Flaw::Garbage) => head = b"\x16\x03\x01\0\xa5\x01\0\0\xa1 not HTTP at all \0\n\n\r\n\r\n".to_vec(),
        Some(Flaw::HalfHead) => head.truncate(head.len() / 2),
        _ => {}
    }
    head
}
