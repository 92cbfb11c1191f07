//! HTTP/1.1, in clear or over TLS.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{Arrived, admit, check_body, fields, socket, trailers};
use crate::cast::Kind;
use crate::plan::{self, Ending, Fault, Plan, Reading};
use crate::stage::Stage;
use crate::wire::{Framing, Head, Wire};

/// Longer than any limit of the proxy.
pub const HANG: Duration = Duration::from_secs(30);

/// A connection that can be reset.
pub trait Resets: AsyncRead + AsyncWrite + Unpin {
    fn will_reset(&self);
}

impl Resets for TcpStream {
    fn will_reset(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Resets for TlsStream<TcpStream> {
    fn will_reset(&self) {
        let _ = self.get_ref().0.set_zero_linger();
    }
}

/// Serves requests until one of them ends the connection.
pub async fn serve(stream: impl Resets, kind: Kind, stage: Arc<Stage>) {
    let mut wire = Wire::new(stream);
    loop {
        let Ok(head) = wire.head().await else {
            if !wire.rest().is_empty() && memchr::memmem::find(wire.rest(), b"HTTP/1.1").is_none() {
                let rest = wire.rest().escape_ascii().to_string();
                stage.ledger.violation(format!("I1: bytes that are no request: {rest:.300}"));
            }
            return;
        };
        let Some(plan) = arrive(&head, kind, &stage) else { return };
        let early = plan.fault == Some(Fault::Early);
        if !early && !receive(&mut wire, &head, &plan, &stage).await {
            return;
        }
        let goes_on = play(&mut wire, &plan, kind, &stage).await;
        if early && !receive(&mut wire, &head, &plan, &stage).await {
            return;
        }
        if !goes_on {
            return;
        }
    }
}

fn arrive(head: &Head, kind: Kind, stage: &Stage) -> Option<Plan> {
    let mut line = head.line.split(' ');
    let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let host = match head.all("host")[..] {
        [host] => host,
        _ => "",
    };
    let fields = head.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    admit(&Arrived { method, target, host, fields }, kind, stage)
}

/// Takes the body; `false`: it broke off.
async fn receive(wire: &mut Wire<impl Resets>, head: &Head, plan: &Plan, stage: &Stage) -> bool {
    let body = wire.body(head.framing().unwrap_or(Framing::Length(0)), usize::MAX).await;
    if body.whole {
        check_body(&body.bytes, &body.trailers, plan, stage);
    }
    body.whole
}

/// The answer's head and body as bytes, the body framed.
fn answer(plan: &Plan) -> (Vec<u8>, Vec<u8>) {
    let plan::Answer { framing, length, .. } = plan.answer;
    let mut head = format!("HTTP/1.1 {} As Planned\r\n", plan.status());
    for (name, value) in fields(plan) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if plan.opens() {
        let accept = if plan.fault == Some(Fault::Contradiction) { "AAAA" } else { plan::socket::ACCEPT };
        head.push_str(&format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"));
        return (head.into_bytes(), Vec::new());
    }
    if plan.fault == Some(Fault::Contradiction) {
        head.push_str(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"));
    }
    let body = plan.body();
    let framed = match framing {
        plan::Framing::Length => {
            head.push_str(&format!("Content-Length: {length}\r\n"));
            body
        }
        plan::Framing::Chunked => {
            head.push_str("Transfer-Encoding: chunked\r\n");
            let middle = body.len() / 2;
            let chunk = |part: &[u8]| match part.is_empty() {
                true => Vec::new(),
                false => [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat(),
            };
            let lines: String = trailers(plan).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let end = if plan.method == "HEAD" { String::new() } else { format!("0\r\n{lines}\r\n") };
            [chunk(&body[..middle]), chunk(&body[middle..]), end.into_bytes()].concat()
        }
        plan::Framing::Close => {
            head.push_str("Connection: close\r\n");
            body
        }
    };
    head.push_str("\r\n");
    (head.into_bytes(), framed)
}

/// Answers as planned; `false`: the connection is over.
async fn play(wire: &mut Wire<impl Resets>, plan: &Plan, kind: Kind, stage: &Stage) -> bool {
    let (head, body) = answer(plan);
    let half = body.len() / 2;
    if let Some(socket) =
        plan.socket.filter(|_| plan.opens() && !matches!(plan.ending(), Ending::Refused | Ending::Any))
    {
        socket::serve(wire, &head, plan, socket, stage).await;
        return false;
    }
    let stream = &mut wire.stream;
    let (sent, resets) = match plan.fault {
        None | Some(Fault::Longer | Fault::Contradiction | Fault::Early | Fault::CloseAfter) => {
            return whole(stream, plan, &head, &body, stage).await;
        }
        Some(Fault::Restart) => {
            stage.upstream(kind).restart();
            return std::future::pending().await;
        }
        Some(Fault::Hang) => {
            tokio::time::sleep(HANG).await;
            (Vec::new(), false)
        }
        Some(Fault::HangInBody) => {
            let _ = stream.write_all(&[&head[..], &body[..half]].concat()).await;
            let _ = stream.flush().await;
            tokio::time::sleep(HANG).await;
            (Vec::new(), false)
        }
        Some(Fault::Close) => (Vec::new(), false),
        Some(Fault::Reset) => (Vec::new(), true),
        Some(Fault::Garbage) => (b"220 mail.test ESMTP, and no HTTP\r\n\r\n".to_vec(), false),
        Some(Fault::HalfHead) => (head[..head.len() / 2].to_vec(), false),
        Some(Fault::HalfBody) => ([&head[..], &body[..half]].concat(), false),
        Some(Fault::HalfBodyReset) => ([&head[..], &body[..half]].concat(), true),
    };
    let _ = stream.write_all(&sent).await;
    let _ = stream.flush().await;
    if resets {
        stream.will_reset();
    }
    stage.upstream(kind).breaks();
    false
}

async fn whole(stream: &mut impl Resets, plan: &Plan, head: &[u8], body: &[u8], stage: &Stage) -> bool {
    let bytes = [head, body].concat();
    let piece = bytes.len().div_ceil(plan.answer.pieces).max(1);
    let mut parts: Vec<Vec<u8>> = bytes.chunks(piece).map(<[u8]>::to_vec).collect();
    // With the end of the good one: what comes later may be the next call's answer, as far as HTTP/1.1 can tell.
    if let Some(last) = parts.last_mut().filter(|_| plan.fault == Some(Fault::Longer)) {
        last.extend_from_slice(b"HTTP/1.1 200 OK\r\nX-Number: 0\r\nContent-Length: 8\r\n\r\npoisoned");
    }
    for part in &parts {
        if stream.write_all(part).await.is_err() || stream.flush().await.is_err() {
            return false;
        }
        if !plan.answer.pause.is_zero() {
            tokio::time::sleep(plan.answer.pause).await;
        }
    }
    let closes = plan.answer.framing == plan::Framing::Close || plan.fault == Some(Fault::CloseAfter);
    if closes {
        let _ = stream.shutdown().await;
        stage.upstream(plan.kind).breaks();
    }
    if plan.fault.is_none() && plan.reading == Reading::Whole && !plan.hangs_up() {
        stage.ledger.finishes(plan.number);
    }
    // What came early has to be read to its end, or its reset overtakes the answer.
    !closes || plan.fault == Some(Fault::Early)
}
