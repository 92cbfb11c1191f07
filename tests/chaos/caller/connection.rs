//! Connections to the proxy, and those that a caller keeps.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use h2::client::SendRequest;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::{Answer, KEPT, speech};
use crate::cast::Way;
use crate::ledger::Claim;
use crate::plan::Plan;
use crate::stage::Stage;
use crate::wire::{Framing, Wire};

/// So many connections by HTTP/2 of a kind.
const SIDE_BY_SIDE: u64 = 4;

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection of HTTP/1.
pub struct Line {
    pub wire: Wire<ReadHalf<Box<dyn Io>>>,
    pub writer: WriteHalf<Box<dyn Io>>,
    /// The request that it was used for before.
    pub last: Option<u64>,
}

/// What a request may share a connection with: in a tunnel, those of the same caller to the same host; those of the same
/// caller's relay; else all.
pub type Key = Option<(Way, &'static str, String)>;

/// What one caller keeps.
#[derive(Default)]
pub struct Connections {
    lines: HashMap<Key, (Line, Instant)>,
}

/// Connections of HTTP/2 that all callers share, so that streams of several are on one at a time, and when each was used.
pub type Shared = Mutex<HashMap<(Key, u64), (SendRequest<Bytes>, Instant)>>;

/// No connection: why, or the proxy's answer to CONNECT.
#[derive(Debug)]
pub enum Refused {
    Answered(Answer),
    Broken(String),
}

fn key(plan: &Plan) -> Key {
    let host = if plan.way.is_tunnel() { plan.host() } else { String::new() };
    (plan.way.is_tunnel() || plan.way.is_relayed()).then(|| (plan.way, plan.who.name(), host))
}

impl Connections {
    /// One that is kept, unless the plan wants a new one.
    pub async fn line(&mut self, plan: &Plan, stage: &Stage) -> Result<Line, Refused> {
        match self.lines.remove(&key(plan)) {
            Some((line, used)) if !plan.fresh && !spends_a_credential(plan) && used.elapsed() < KEPT => Ok(line),
            _ => {
                let (reader, writer) = tokio::io::split(open(plan, stage).await?);
                Ok(Line { wire: Wire::new(reader), writer, last: None })
            }
        }
    }

    pub fn keep_line(&mut self, plan: &Plan, line: Line) {
        self.lines.insert(key(plan), (line, Instant::now()));
    }
}

/// A connection by HTTP/2: one that all share, unless the plan wants a new one.
pub async fn stream(plan: &Plan, stage: &Stage) -> Result<SendRequest<Bytes>, Refused> {
    let at = (key(plan), plan.number % SIDE_BY_SIDE);
    let kept = stage.shared.lock().unwrap().get(&at).filter(|(_, used)| used.elapsed() < KEPT).cloned();
    if let Some((kept, _)) = kept.filter(|_| !plan.fresh && !spends_a_credential(plan))
        && let Ok(ready) = kept.ready().await
    {
        if let Some((_, used)) = stage.shared.lock().unwrap().get_mut(&at) {
            *used = Instant::now();
        }
        return Ok(ready);
    }
    let io = open(plan, stage).await?;
    let (sender, connection) = h2::client::handshake(io).await.map_err(broken)?;
    tokio::spawn(connection);
    if !spends_a_credential(plan) {
        stage.shared.lock().unwrap().insert(at, (sender.clone(), Instant::now()));
    }
    sender.ready().await.map_err(broken)
}

/// A tunnel's credential is that of its CONNECT, and one without is never kept.
fn spends_a_credential(plan: &Plan) -> bool {
    use crate::plan::Flaw::{ExpiredToken, NoCredential, TwoCredentials, UnknownToken, WrongSecret};
    let spends = matches!(plan.flaw, Some(NoCredential | WrongSecret | UnknownToken | ExpiredToken | TwoCredentials));
    plan.way.is_tunnel() && spends
}

fn broken(error: impl std::fmt::Display) -> Refused {
    Refused::Broken(error.to_string())
}

async fn open(plan: &Plan, stage: &Stage) -> Result<Box<dyn Io>, Refused> {
    let address = if plan.way.is_relayed() { stage.relay(plan.who).address } else { stage.proxy().address };
    let stream = TcpStream::connect(address).await.map_err(broken)?;
    stream.set_nodelay(true).map_err(broken)?;
    if !plan.way.is_tunnel() {
        return Ok(Box::new(stream));
    }
    let stream = tunnel(stream, plan, stage).await?;
    let connector = if plan.way.is_http2() { &stage.proxy().http2 } else { &stage.proxy().http1 };
    let name = ServerName::try_from(plan.host()).map_err(broken)?;
    Ok(Box::new(connector.connect(name, stream).await.map_err(broken)?))
}

/// What is on the other side of a good CONNECT.
async fn tunnel(stream: TcpStream, plan: &Plan, stage: &Stage) -> Result<TcpStream, Refused> {
    let mut wire = Wire::new(stream);
    wire.stream.write_all(speech::connect(plan, stage).as_bytes()).await.map_err(broken)?;
    let head = wire.head().await.map_err(broken)?;
    let status = head.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    if status == 200 {
        stage.ledger.claim(&format!("t-{}", plan.number), Claim::tunnel());
        return if wire.is_empty() { Ok(wire.stream) } else { Err(broken("bytes before the tunnel's first")) };
    }
    let body = wire.body(head.framing().unwrap_or(Framing::Close), usize::MAX).await;
    Err(Refused::Answered(Answer {
        status,
        fields: head.fields,
        body: body.bytes,
        complete: body.whole,
        ..Answer::default()
    }))
}
