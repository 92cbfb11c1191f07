//! A WebSocket that an upstream opens: it greets, sends back what it hears, and closes.

use tokio::io::AsyncWriteExt;

use super::http1::{HANG, Resets};
use crate::plan::{Fault, Plan, Reading, Socket};
use crate::stage::Stage;
use crate::wire::Wire;

/// Goes on behind the head that opens it, `head`, to the end of the connection.
pub async fn serve(wire: &mut Wire<impl Resets>, head: &[u8], plan: &Plan, socket: Socket, stage: &Stage) {
    if !wire.is_empty() {
        stage.ledger.violation(format!("I1: bytes of a WebSocket that is not open yet, {plan:?}"));
    }
    let (up, down) = (socket.up(plan.number), socket.down(plan, &plan.secret()));
    let greeted = wire.stream.write_all(&[head, &down[0]].concat()).await;
    if greeted.is_err() || wire.stream.flush().await.is_err() {
        return;
    }
    for (at, (message, back)) in up.iter().zip(&down[1..]).enumerate() {
        let Ok(heard) = wire.exactly(message.len()).await else { return };
        if heard != *message {
            let heard = heard[..heard.len().min(100)].escape_ascii().to_string();
            return stage.ledger.violation(format!("I9: other bytes than the caller's, {heard} in {plan:?}"));
        }
        if at == socket.messages / 2 && breaks(wire, back, plan, stage).await {
            return;
        }
        if wire.stream.write_all(back).await.is_err() || wire.stream.flush().await.is_err() {
            return;
        }
    }
    let _ = wire.stream.shutdown().await;
    if plan.fault.is_some() {
        stage.upstream(plan.kind).breaks();
    } else if plan.reading == Reading::Whole {
        stage.ledger.finishes(plan.number);
    }
    if !wire.ends().await {
        stage.ledger.violation(format!("I9: more than the caller said, {plan:?}"));
    }
}

/// Breaks off in the middle of a frame, if that is planned.
async fn breaks(wire: &mut Wire<impl Resets>, frame: &[u8], plan: &Plan, stage: &Stage) -> bool {
    let Some(fault) = plan.fault else { return false };
    if !matches!(fault, Fault::HalfBody | Fault::HalfBodyReset | Fault::HangInBody) {
        return false;
    }
    let _ = wire.stream.write_all(&frame[..frame.len() / 2]).await;
    let _ = wire.stream.flush().await;
    match fault {
        Fault::HangInBody => tokio::time::sleep(HANG).await,
        Fault::HalfBodyReset => wire.stream.will_reset(),
        _ => {}
    }
    stage.upstream(plan.kind).breaks();
    true
}
