//! What callers say: the fields of their requests, and what follows them.

use crate::cast::{CREDENTIAL, Way, Who, token};
use crate::plan::{Flaw, Plan, Upload, bytes, socket};
use crate::stage::Stage;

/// The fields that authenticate; `proxy`: to a proxy, and not to what is taken for the upstream.
fn credentials(plan: &Plan, proxy: bool, stage: &Stage) -> Vec<(&'static str, String)> {
    let field = if plan.way.is_relayed() { password(plan, stage) } else { credential(plan, proxy) };
    match plan.flaw {
        Some(Flaw::NoCredential) => Vec::new(),
        Some(Flaw::TwoCredentials) => vec![field.clone(), field],
        _ => vec![field],
    }
}

fn credential(plan: &Plan, proxy: bool) -> (&'static str, String) {
    let tag = format!("{:08x}", plan.number);
    let credential = match plan.flaw {
        Some(Flaw::WrongSecret) => format!("{CREDENTIAL}-wrong"),
        Some(Flaw::UnknownToken) => token(Who::Red, &tag, 360_000),
        Some(Flaw::ExpiredToken) => token(Who::Red, &tag, -60),
        _ => plan.who.credential(),
    };
    let is_token = credential.contains('.');
    match (proxy, plan.own_slot, is_token) {
        (_, true, _) => ("x-veilwarden-token", credential),
        (true, false, _) => ("proxy-authorization", format!("Bearer {credential}")),
        (false, false, true) => ("authorization", format!("Bearer {credential}")),
        (false, false, false) => ("x-session-secret", credential),
    }
}

/// What a relay wants to see.
fn password(plan: &Plan, stage: &Stage) -> (&'static str, String) {
    let wrong = plan.flaw == Some(Flaw::WrongSecret);
    ("proxy-authorization", if wrong { "Basic eDp5".to_owned() } else { stage.relay(plan.who).password.clone() })
}

/// The fields of a request, but for those that belong to its version and, in a tunnel, its credential.
pub fn fields(plan: &Plan, stage: &Stage) -> Vec<(&'static str, String)> {
    let mut fields = vec![("x-request-id", format!("c-{}", plan.number)), ("accept", "*/*".to_owned())];
    match plan.way {
        Way::Reverse | Way::H2c => {
            fields.push(("x-upstream-host", plan.host()));
            fields.extend(credentials(plan, false, stage));
        }
        Way::Absolute | Way::Relay => fields.extend(credentials(plan, true, stage)),
        Way::Tunnel | Way::RelayTunnel | Way::TunnelH2 => {}
    }
    if plan.takes_trailers {
        fields.push(("te", "trailers".to_owned()));
    }
    if plan.upload.is_some_and(|upload| upload.trailers) {
        fields.push(("trailer", "X-Sum, X-Part, X-Copy, Authorization".to_owned()));
    }
    fields
}

/// Behind a body: good trailers, the caller's credential, and what would be another's.
pub fn trailers(plan: &Plan) -> Vec<(String, String)> {
    let bad = [
        ("x-copy", plan.who.credential()),
        ("authorization", "Bearer evil".to_owned()),
        (plan.kind.template().0, "evil".to_owned()),
        ("host", "evil.test".to_owned()),
    ];
    let bad = bad.into_iter().map(|(name, value)| (name.to_owned(), value));
    plan.trailers().into_iter().chain(bad).collect()
}

pub fn method(plan: &Plan) -> &'static str {
    if plan.flaw == Some(Flaw::EchoingMethod) { "TRACE" } else { plan.method }
}

/// A CONNECT for the request's tunnel, with an id of its own.
pub fn connect(plan: &Plan, stage: &Stage) -> String {
    let (host, number) = (plan.host(), plan.number);
    let mut head = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nX-Request-Id: t-{number}\r\n");
    for (name, value) in credentials(plan, true, stage) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// A head of HTTP/1.1.
pub fn head(plan: &Plan, stage: &Stage) -> Vec<u8> {
    let (method, target) = (method(plan), plan.target());
    let (target, host) = match plan.way {
        Way::Reverse | Way::H2c => (target, "proxy.test".to_owned()),
        Way::Absolute | Way::Relay => (format!("http://{}{target}", plan.host()), plan.host()),
        Way::Tunnel | Way::RelayTunnel | Way::TunnelH2 => (target, plan.host()),
    };
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in fields(plan, stage) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match (plan.socket.is_some(), plan.takes_trailers) {
        (true, trailers) => {
            let te = if trailers { ", TE" } else { "" };
            let key = socket::KEY;
            head.push_str(&format!("Connection: Upgrade{te}\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
            head.push_str(&format!("Sec-WebSocket-Key: {key}\r\n"));
        }
        (false, true) => head.push_str("Connection: TE\r\n"),
        (false, false) => {}
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

/// The rest of a message of HTTP/1.1, piece by piece, up to where its caller leaves.
pub fn pieces(plan: &Plan) -> Vec<Vec<u8>> {
    let hasty = plan.socket.filter(|socket| socket.hasty);
    if let Some(socket) = hasty {
        return socket.up(plan.number)[..1].to_vec();
    }
    let Some(upload) = plan.upload.filter(|_| !matches!(plan.flaw, Some(Flaw::HalfHead | Flaw::Garbage))) else {
        return Vec::new();
    };
    let whole = bytes(plan.number, upload.length);
    let sent = if upload.half { &whole[..upload.length / 2] } else { &whole[..] };
    let mut pieces: Vec<_> = sent.chunks(piece(upload)).map(|part| framed(part, upload)).collect();
    if upload.chunked && !upload.half {
        let trailers = if upload.trailers { trailers(plan) } else { Vec::new() };
        let lines: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        pieces.push(format!("0\r\n{lines}\r\n").into_bytes());
    }
    pieces
}

/// How long each piece is.
pub fn piece(upload: Upload) -> usize {
    upload.length.div_ceil(upload.pieces).max(1)
}

fn framed(part: &[u8], upload: Upload) -> Vec<u8> {
    if upload.chunked { [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat() } else { part.to_vec() }
}
