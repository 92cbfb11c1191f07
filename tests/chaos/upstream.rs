//! An upstream: it holds each request against its plan, and then answers as planned.

pub mod http1;
pub mod http2;
mod socket;

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::cast::{CREDENTIAL, Kind, SECRET};
use crate::plan::{Plan, bytes};
use crate::stage::Stage;

/// Serves one connection.
pub async fn serve(stream: TcpStream, kind: Kind, acceptor: TlsAcceptor, stage: Arc<Stage>) {
    match kind {
        Kind::Clear => http1::serve(stream, kind, stage).await,
        Kind::Tls | Kind::Socket => {
            if let Ok(tls) = acceptor.accept(stream).await {
                http1::serve(tls, kind, stage).await;
            }
        }
        Kind::H2 => {
            if let Ok(tls) = acceptor.accept(stream).await {
                http2::serve(tls, stage).await;
            }
        }
    }
}

/// A request's head, in whatever version it came.
#[derive(Debug)]
struct Arrived<'a> {
    method: &'a str,
    target: &'a str,
    host: &'a str,
    /// Names in lower case.
    fields: Vec<(&'a str, &'a str)>,
}

/// I1 to I4 and I6 for one request at an upstream: the plan of a request that may be here, and `None` for any other.
fn admit(arrived: &Arrived, kind: Kind, stage: &Stage) -> Option<Plan> {
    let number = arrived.target.strip_prefix("/ok/").and_then(|rest| rest.split('?').next()?.parse().ok());
    let judged = match number {
        None => Err("I1: nobody asked for this".to_owned()),
        Some(number) => {
            let plan = stage.script.plan(number);
            judge(arrived, kind, &plan).and_then(|()| match stage.ledger.arrives(number) {
                0 => Ok(plan),
                _ => Err("I6: the same request for a second time".to_owned()),
            })
        }
    };
    let whole = format!("{arrived:?}");
    let judged = judged.and_then(|plan| match stage.credentials.found_in(whole.as_bytes()) {
        Some(form) => Err(format!("I4: a credential, {form}")),
        None => Ok(plan),
    });
    judged.map_err(|why| stage.ledger.violation(format!("{why}: {arrived:?} at {kind:?}"))).ok()
}

fn judge(arrived: &Arrived, kind: Kind, plan: &Plan) -> Result<(), String> {
    let expected = (plan.method, plan.target(), plan.kind.host(plan.who));
    if plan.flaw.is_some() {
        return Err(format!("I1: a request that must be refused, {plan:?}"));
    }
    if (arrived.method, arrived.target, arrived.host) != (expected.0, &*expected.1, &*expected.2) || kind != plan.kind {
        return Err(format!("I2: not what was asked for, {plan:?}"));
    }
    let upgrade = arrived.fields.iter().find(|(name, _)| *name == "upgrade").map(|(_, value)| *value);
    if upgrade != plan.socket.map(|_| "websocket") {
        return Err(format!("I2: another upgrade than was asked for, {plan:?}"));
    }
    let (name, before, after) = kind.template();
    let injected: Vec<&str> = arrived.fields.iter().filter(|(n, _)| *n == name).map(|(_, value)| *value).collect();
    let secret = format!("{before}{}{after}", kind.secret(plan.who));
    let occurs = arrived.fields.iter().filter(|(_, value)| value.contains(SECRET)).count();
    if injected != [secret.as_str()] || occurs != 1 || arrived.target.contains(SECRET) {
        return Err(format!("I3: not the secret, once, in its place, {plan:?}"));
    }
    let private = |name: &str| {
        name.starts_with("x-veilwarden")
            || name.starts_with("proxy-")
            || name == "x-session-secret"
            || matches!(name, "x-upstream-host" | "x-request-id")
    };
    if let Some((name, _)) = arrived.fields.iter().find(|(name, value)| private(name) || value.contains(CREDENTIAL)) {
        return Err(format!("I4: {name} went to an upstream"));
    }
    Ok(())
}

/// I6 and I4 for a body that ended as its framing says: it is the one that was planned, all of it, and so are the fields
/// behind it.
fn check_body(body: &[u8], trailers: &[(String, String)], plan: &Plan, stage: &Stage) {
    let planned = plan.upload.map_or(0, |upload| upload.length);
    if plan.upload.is_some_and(|upload| upload.half) {
        stage.ledger.violation(format!("a body whose caller left came to a good end: {} bytes, {plan:?}", body.len()));
    } else if body != bytes(plan.number, planned) {
        stage.ledger.violation(format!("another body than the caller's: {} bytes, {plan:?}", body.len()));
    }
    // In HTTP/1 they are behind chunks only.
    let may = plan.upload.is_some_and(|upload| upload.trailers);
    let must = plan.upload.is_some_and(|upload| upload.trailers && upload.chunked);
    let whole = trailers == plan.trailers();
    if !(whole && may || trailers.is_empty() && !must) {
        stage.ledger.violation(format!("I4: other trailers than the caller's good ones: {trailers:?}, {plan:?}"));
    }
}

/// Fields of an answer, and the secret in one more if it is to come back.
fn fields(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut fields = vec![("x-number", plan.number.to_string())];
    if plan.answer.reflects {
        let (_, before, after) = plan.kind.template();
        fields.push(("x-echo", format!("{before}{}{after}", plan.secret())));
    }
    if plan.answer.trailers {
        fields.push(("trailer", "X-Sum, X-Part, Set-Cookie, X-Veilwarden-Error".to_owned()));
    }
    fields
}

/// Behind an answer's body: good trailers, and those that none may be.
fn trailers(plan: &Plan) -> Vec<(String, String)> {
    if !plan.answer.trailers {
        return Vec::new();
    }
    let bad = [("set-cookie", "evil"), ("x-veilwarden-error", "EVIL"), ("content-length", "9")];
    plan.trailers().into_iter().chain(bad.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}
