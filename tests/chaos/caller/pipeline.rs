//! Several requests, written at once, whose answers come in their order.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf};

use super::connection::{Connections, Io, Line, Refused};
use super::http1::{may_go_on, read};
use super::{Got, speech};
use crate::plan::{Fault, Plan};
use crate::stage::Stage;
use crate::wire::Wire;

/// What came of each. The rest of a pipeline is [`Got::Unasked`] behind an answer that ends its connection.
pub async fn call(plans: &[Plan], connections: &mut Connections, stage: &Stage) -> Vec<Got> {
    let mut got = match connections.line(&plans[0], stage).await {
        Ok(line) => exchange(plans, line, connections, stage).await,
        Err(Refused::Answered(answer)) => vec![Got::Answer(answer)],
        Err(Refused::Broken(why)) => vec![Got::Silence(format!("no connection: {why}"))],
    };
    got.resize_with(plans.len(), || Got::Unasked);
    got
}

async fn exchange(plans: &[Plan], line: Line, connections: &mut Connections, stage: &Stage) -> Vec<Got> {
    let Line { mut wire, mut writer, .. } = line;
    let messages: Vec<u8> =
        plans.iter().flat_map(|plan| [speech::head(plan, stage), speech::pieces(plan).concat()].concat()).collect();
    let mut wrote = false;
    let (got, goes_on) = {
        let mut answers = std::pin::pin!(answers(plans, &mut wire));
        tokio::select! {
            biased;
            answers = &mut answers => answers,
            written = write(&messages, &mut writer) => {
                wrote = written.is_ok();
                answers.await
            }
        }
    };
    let last = &plans[got.len().saturating_sub(1)];
    let broken = !matches!(got.last(), Some(Got::Answer(answer)) if answer.complete);
    let nothing = if goes_on { wire.is_empty() } else { broken || wire.ends().await };
    if !nothing {
        let rest = wire.rest().escape_ascii().to_string();
        stage.ledger.violation(format!("I6: more behind the last answer of {last:?}: {rest:.200}"));
    } else if goes_on && wrote && last.fault != Some(Fault::Early) {
        connections.keep_line(last, Line { wire, writer, last: Some(last.number) });
    }
    got
}

async fn write(messages: &[u8], writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    writer.write_all(messages).await?;
    writer.flush().await
}

/// One answer after the other, up to one that ends the connection; whether there was none.
async fn answers(plans: &[Plan], wire: &mut Wire<ReadHalf<Box<dyn Io>>>) -> (Vec<Got>, bool) {
    let (mut got, mut early): (Vec<Got>, _) = (Vec::new(), false);
    for plan in plans {
        match read(plan, wire).await {
            // Behind an answer that has overtaken its call's body, the connection may close.
            Got::Silence(_) if early => return (got, false),
            next => got.push(next),
        }
        early = plan.fault == Some(Fault::Early);
        let goes_on = matches!(got.last(), Some(Got::Answer(answer)) if may_go_on(plan, answer));
        if !goes_on && !early {
            return (got, false);
        }
    }
    (got, true)
}
