//! A call by HTTP/1.1. The answer is read while the body is still on its way.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf};

use super::connection::{Connections, Io, Line, Refused};
use super::{Answer, Got, socket, speech};
use crate::plan::{Fault, Flaw, Plan, Reading};
use crate::stage::Stage;
use crate::wire::{Framing, Head, Pace, Wire};

pub async fn call(plan: &Plan, connections: &mut Connections, stage: &Stage) -> Got {
    let line = match connections.line(plan, stage).await {
        Ok(line) => line,
        Err(Refused::Answered(answer)) => return Got::Answer(answer),
        Err(Refused::Broken(why)) => return Got::Silence(format!("no connection: {why}")),
    };
    let (got, line) = exchange(plan, line, stage).await;
    if let Some(line) = line {
        connections.keep_line(plan, line);
    }
    got
}

/// One exchange, and the connection if it may have another.
async fn exchange(plan: &Plan, line: Line, stage: &Stage) -> (Got, Option<Line>) {
    let Line { mut wire, mut writer, last } = line;
    let mut wrote = None;
    let got = {
        let (mut write, mut read) = (pin!(write(plan, &mut writer, stage)), pin!(read(plan, &mut wire)));
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
    match (got, plan.socket) {
        (Got::Answer(answer), Some(planned)) if answer.status == 101 => {
            (socket::talk(plan, planned, answer, Line { wire, writer, last }).await, None)
        }
        (Got::Answer(answer), _) if may_go_on(plan, &answer) && wrote == Some(true) => {
            if wire.is_empty() {
                (Got::Answer(answer), Some(Line { wire, writer, last: Some(plan.number) }))
            } else {
                let rest = wire.rest().escape_ascii().to_string();
                (Got::Silence(format!("I6: more behind the answer: {rest:.200}")), None)
            }
        }
        (Got::Silence(why), _) => (Got::Silence(format!("{why}; the connection was last used for {last:?}")), None),
        (got, _) => (got, None),
    }
}

/// Whether the connection may have another exchange: nothing says, or must be expected to bring, its end.
pub fn may_go_on(plan: &Plan, answer: &Answer) -> bool {
    let closes = answer.one("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let framed =
        plan.method == "HEAD" || ["content-length", "transfer-encoding"].iter().any(|name| answer.one(name).is_some());
    let hasty = plan.socket.is_some_and(|socket| socket.hasty);
    answer.complete && framed && !closes && !hasty && plan.fault != Some(Fault::Early)
}

async fn write(plan: &Plan, writer: &mut (impl AsyncWrite + Unpin), stage: &Stage) -> io::Result<()> {
    writer.write_all(&speech::head(plan, stage)).await?;
    writer.flush().await?;
    for piece in speech::pieces(plan) {
        writer.write_all(&piece).await?;
        writer.flush().await?;
        tokio::time::sleep(plan.upload.map_or(Duration::ZERO, |upload| upload.pause)).await;
    }
    Ok(())
}

/// The answer, as the plan wants it read. What follows a 101 is left on the wire.
pub async fn read(plan: &Plan, wire: &mut Wire<ReadHalf<Box<dyn Io>>>) -> Got {
    wire.pace = match plan.reading {
        Reading::Slow => Pace { piece: 4096, pause: Duration::from_millis(2) },
        Reading::Whole | Reading::Never | Reading::Half => Pace::FULL,
    };
    let head = loop {
        match wire.head().await {
            Ok(head) if head.line.starts_with("HTTP/1.1 1") && status(&head) != Some(101) => {}
            Ok(head) => break head,
            Err(error) => return Got::Silence(format!("{error}, after {:.200}", wire.rest().escape_ascii())),
        }
    };
    let Some(status) = status(&head) else { return Got::Silence(format!("no status: {}", head.line)) };
    let mut answer = Answer { status, ..Answer::default() };
    if speech::method(plan) == "HEAD" || matches!(status, 101 | 204 | 304) {
        answer.complete = true;
    } else {
        let most = if plan.reading == Reading::Half { plan.answer.length / 2 } else { usize::MAX };
        let body = wire.body(head.framing().unwrap_or(Framing::Close), most).await;
        (answer.body, answer.trailers, answer.complete) = (body.bytes, body.trailers, body.whole);
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
