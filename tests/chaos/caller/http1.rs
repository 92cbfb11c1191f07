//! A call by HTTP/1.1. The answer is read while the body is still on its way.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::connection::{Connections, Io, Line, Refused};
use super::{Answer, Got, speech};
use crate::plan::{Fault, Flaw, Plan, Reading, bytes};
use crate::stage::Stage;
use crate::wire::{Framing, Head, Pace, Wire};

pub async fn call(plan: &Plan, connections: &mut Connections, stage: &Stage) -> Got {
    let line = match connections.line(plan, stage).await {
        Ok(line) => line,
        Err(Refused::Answered(answer)) => return Got::Answer(answer),
        Err(Refused::Broken(why)) => return Got::Silence(format!("no connection: {why}")),
    };
    let (got, line) = exchange(plan, line).await;
    if let Some(line) = line {
        connections.keep_line(plan, line);
    }
    got
}

/// One exchange, and the connection if it may have another.
async fn exchange(plan: &Plan, line: Line) -> (Got, Option<Line>) {
    let Line { mut wire, mut writer, last } = line;
    wire.pace = match plan.reading {
        Reading::Slow => Pace { piece: 4096, pause: Duration::from_millis(2) },
        Reading::Whole | Reading::Never | Reading::Half => Pace::FULL,
    };
    let mut wrote = None;
    let got = {
        let (mut write, mut read) = (pin!(write(plan, &mut writer)), pin!(read(plan, &mut wire)));
        loop {
            tokio::select! {
                biased;
                got = &mut read => break got,
                done = &mut write, if wrote.is_none() => {
                    let leaves = plan.flaw == Some(Flaw::HalfHead) || plan.upload.is_some_and(|upload| upload.half);
                    if leaves || plan.reading == Reading::Never {
                        return (Got::Left, None);
                    }
                    wrote = Some(done.is_ok());
                }
            }
        }
    };
    match got {
        Got::Answer(answer) if may_go_on(plan, &answer) && wrote == Some(true) => {
            if wire.is_empty() {
                (Got::Answer(answer), Some(Line { wire, writer, last: Some(plan.number) }))
            } else {
                let rest = wire.rest().escape_ascii().to_string();
                (Got::Silence(format!("I6: more behind the answer: {rest:.200}")), None)
            }
        }
        Got::Silence(why) => (Got::Silence(format!("{why}; the connection was last used for {last:?}")), None),
        got => (got, None),
    }
}

/// Whether the connection may have another exchange: nothing says, or must be expected to bring, its end.
fn may_go_on(plan: &Plan, answer: &Answer) -> bool {
    let closes = answer.one("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let framed =
        plan.method == "HEAD" || ["content-length", "transfer-encoding"].iter().any(|name| answer.one(name).is_some());
    answer.complete && framed && !closes && plan.fault != Some(Fault::Early)
}

async fn write(plan: &Plan, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    writer.write_all(&speech::head(plan)).await?;
    writer.flush().await?;
    let Some(upload) = plan.upload.filter(|_| !matches!(plan.flaw, Some(Flaw::HalfHead | Flaw::Garbage))) else {
        return Ok(());
    };
    let whole = bytes(plan.number, upload.length);
    let sent = if upload.half { &whole[..upload.length / 2] } else { &whole[..] };
    for part in sent.chunks(upload.length.div_ceil(upload.pieces).max(1)) {
        if upload.chunked {
            writer.write_all(&[format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).await?;
        } else {
            writer.write_all(part).await?;
        }
        writer.flush().await?;
        tokio::time::sleep(upload.pause).await;
    }
    if upload.chunked && !upload.half {
        writer.write_all(b"0\r\n\r\n").await?;
    }
    writer.flush().await
}

async fn read(plan: &Plan, wire: &mut Wire<tokio::io::ReadHalf<Box<dyn Io>>>) -> Got {
    let head = loop {
        match wire.head().await {
            Ok(head) if head.line.starts_with("HTTP/1.1 1") => {}
            Ok(head) => break head,
            Err(error) => return Got::Silence(format!("{error}, after {:.200}", wire.rest().escape_ascii())),
        }
    };
    let Some(status) = status(&head) else { return Got::Silence(format!("no status: {}", head.line)) };
    let mut answer = Answer { status, ..Answer::default() };
    if speech::method(plan) == "HEAD" || matches!(status, 204 | 304) {
        answer.complete = true;
    } else {
        let most = if plan.reading == Reading::Half { plan.answer.length / 2 } else { usize::MAX };
        let body = wire.body(head.framing().unwrap_or(Framing::Close), most).await;
        (answer.body, answer.complete) = (body.bytes, body.whole);
    }
    answer.fields = head.fields;
    match plan.reading {
        Reading::Half if !answer.complete => Got::Left,
        _ => Got::Answer(answer),
    }
}

fn status(head: &Head) -> Option<u16> {
    head.line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
