//! Whether what a caller got is what its plan allows: right and whole, a clean error of the proxy's, or visibly broken.

use std::time::{Duration, Instant};

use crate::caller::{Answer, Got};
use crate::cast::Kind;
use crate::plan::{Ending, Fault, Flaw, Framing, Plan, masked};
use crate::stage::Stage;

/// How long a fault of the API server or the store may be felt: what is put off after failures, and what is remembered.
const FELT: Duration = Duration::from_secs(10);
/// The same of an upstream, whose connections may break a little later than it says.
const FELT_UPSTREAM: Duration = Duration::from_secs(1);

/// A word for how the call ended, or what is wrong with that.
pub fn judge(plan: &Plan, got: &Got, begun: Instant, stage: &Stage) -> Result<String, String> {
    match got {
        Got::Left => Ok("left".to_owned()),
        Got::Unasked => Ok("unasked".to_owned()),
        Got::Silence(_) if plan.flaw == Some(Flaw::Garbage) => Ok("closed".to_owned()),
        // What breaks off before its head has left is broken, too.
        Got::Silence(_) if plan.flaw.is_none() && may_break(plan, begun, stage) => {
            Ok("broken without a head".to_owned())
        }
        Got::Silence(why) => Err(format!("no answer ({why})")),
        Got::Answer(answer) => {
            let shown = format!("{:?} {:?}", answer.fields, answer.trailers);
            let error = if answer.is_error() { &answer.body[..] } else { &[] };
            for canary in [&stage.secrets, &stage.credentials, &stage.own] {
                if let Some(form) = canary.found_in(shown.as_bytes()).or(canary.found_in(error)) {
                    return Err(format!("I5: {} in an answer, {form}", canary.name));
                }
            }
            if answer.is_error() { refused(plan, answer, begun, stage) } else { passed(plan, answer, begun, stage) }
        }
    }
}

/// An answer of the upstream's.
fn passed(plan: &Plan, answer: &Answer, begun: Instant, stage: &Stage) -> Result<String, String> {
    if plan.flaw.is_some() {
        return Err("I1: answered, and not refused".to_owned());
    }
    if answer.all("x-number") != [plan.number.to_string()] {
        return Err("I9: the answer of another call".to_owned());
    }
    if answer.one("x-request-id") != Some(&format!("c-{}", plan.number)) || answer.status != plan.status() {
        return Err("not the status or the id that it has".to_owned());
    }
    let body = plan.heard();
    if !body.starts_with(&answer.body) {
        return Err("I9: another body than the upstream's, or one with the secret".to_owned());
    }
    let (_, before, after) = plan.kind.template();
    let echo = masked(&format!("{before}{}{after}", plan.secret()));
    if answer.one("x-echo") != plan.answer.reflects.then_some(&*echo) {
        return Err("a field that comes back is not as it was, masked".to_owned());
    }
    let ending = plan.ending();
    if ending == Ending::Refused {
        return Err("an answer that no upstream gave".to_owned());
    }
    if !answer.complete {
        let explained = may_break(plan, begun, stage);
        return if explained { Ok("broken".to_owned()) } else { Err("broken off for no reason".to_owned()) };
    }
    // In clear, where the end of the connection is the end of the body, nobody can tell a part of it from the whole.
    let endless = plan.kind == Kind::Clear && plan.answer.framing == Framing::Close;
    let cut = endless && connection_broke(plan, begun, stage);
    if !cut && (ending == Ending::Broken || answer.body != body) {
        return Err("a part of a body came to a good end".to_owned());
    }
    trailed(plan, answer)?;
    Ok(format!("{} from upstream", answer.status))
}

/// Trailers are whole, or not there. HTTP/1 has none behind a length, nor without being asked, which no call for a WebSocket
/// does.
fn trailed(plan: &Plan, answer: &Answer) -> Result<(), String> {
    let http2 = plan.way.is_http2();
    let asked = plan.answer.trailers && plan.takes_trailers && plan.socket.is_none();
    let must = asked && (http2 || plan.answer.framing != Framing::Length);
    let may = must || plan.answer.trailers && http2;
    if may && answer.trailers == plan.trailers() || !must && answer.trailers.is_empty() {
        return Ok(());
    }
    Err("trailers that are not whole, or that nobody takes".to_owned())
}

/// An error of the proxy's own.
fn refused(plan: &Plan, answer: &Answer, begun: Instant, stage: &Stage) -> Result<String, String> {
    let code = answer.one("x-veilwarden-error").unwrap_or_default().to_owned();
    let ids = answer.all("x-request-id");
    if plan.way.is_relayed() && answer.may_be_a_relays() {
        let failed = code == "UPSTREAM_ERROR" && plan.flaw.is_none() && may_break(plan, begun, stage);
        let explained = failed || code == "UNAUTHORIZED" && plan.flaw.is_some_and(|flaw| code_of(flaw, plan) == code);
        return if explained {
            Ok(format!("{code} by a relay"))
        } else {
            Err(format!("an unexplained {code} by a relay"))
        };
    }
    let [id] = ids[..] else { return Err("I12: an error without one id".to_owned()) };
    if !answer.complete {
        return Err("I12: an error that breaks off".to_owned());
    }
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let headed = plan.method == "HEAD" && answer.body.is_empty();
    if !headed && (body["error"] != code.as_str() || body["request_id"] != id) {
        return Err("I12: an error whose body does not say what its head says".to_owned());
    }
    if explained(plan, &code, begun, stage) { Ok(code) } else { Err(format!("an unexplained {code}")) }
}

fn explained(plan: &Plan, code: &str, begun: Instant, stage: &Stage) -> bool {
    // In a tunnel the CONNECT comes first, with a good credential.
    let unframed = matches!(plan.flaw, Some(Flaw::TwoFramings | Flaw::Garbage | Flaw::DotPath | Flaw::EchoingMethod));
    let uncredited =
        matches!(plan.flaw, Some(Flaw::NoCredential | Flaw::WrongSecret | Flaw::ExpiredToken | Flaw::TwoCredentials));
    let before_anybody = uncredited || unframed && !plan.way.is_tunnel();
    match code {
        // Limits are set by others, and an answer of theirs is a clean one.
        "RATE_LIMITED" | "OVERLOADED" => true,
        "AUTH_UNAVAILABLE" => {
            let reviewed = plan.who.has_token() || plan.flaw == Some(Flaw::UnknownToken);
            reviewed && !before_anybody && stage.api_server.site.broke_since(begun, FELT)
        }
        "SECRET_ERROR" => plan.flaw.is_none() && plan.kind == Kind::Tls && stage.store.site.broke_since(begun, FELT),
        "UPSTREAM_ERROR" => plan.flaw.is_none() && upstream_failed(plan, begun, stage),
        "UPSTREAM_TIMEOUT" => plan.flaw.is_none() && plan.fault == Some(Fault::Hang),
        _ => plan.flaw.is_some_and(|flaw| code_of(flaw, plan) == code),
    }
}

/// Whether the answer may break off, because its upstream breaks it or because the connection breaks that it is on. A
/// WebSocket ends when nobody can say whether its credential is still good, too.
fn may_break(plan: &Plan, begun: Instant, stage: &Stage) -> bool {
    let unreviewed = plan.opens() && plan.who.has_token() && stage.api_server.site.broke_since(begun, FELT);
    matches!(plan.ending(), Ending::Broken | Ending::Any) || connection_broke(plan, begun, stage) || unreviewed
}

/// Its own upstream's fault, or one that broke the connection that it was on.
fn upstream_failed(plan: &Plan, begun: Instant, stage: &Stage) -> bool {
    plan.ending() != Ending::Whole || connection_broke(plan, begun, stage)
}

/// Somebody else's fault on a connection to the same upstream, which was felt here. In HTTP/1 nobody is on it beside an
/// answer that was sent whole.
fn connection_broke(plan: &Plan, begun: Instant, stage: &Stage) -> bool {
    let alone = plan.kind != Kind::H2 && stage.ledger.finished(plan.number);
    !alone && stage.upstream(plan.kind).broke_since(begun, FELT_UPSTREAM)
}

fn code_of(flaw: Flaw, plan: &Plan) -> &'static str {
    match flaw {
        Flaw::TwoCredentials if plan.way.is_relayed() => "UNAUTHORIZED",
        Flaw::NoCredential | Flaw::WrongSecret => "UNAUTHORIZED",
        Flaw::UnknownToken => "INVALID_TOKEN",
        Flaw::ExpiredToken => "TOKEN_EXPIRED",
        Flaw::TwoCredentials | Flaw::TwoFramings | Flaw::Garbage | Flaw::HalfHead => "BAD_REQUEST",
        Flaw::DeniedPath | Flaw::OthersHost => "POLICY_DENIED",
        Flaw::UnknownHost => "HOST_NOT_ALLOWED",
        Flaw::DotPath => "INVALID_PATH",
        Flaw::EchoingMethod => "METHOD_NOT_ALLOWED",
    }
}
