//! A WebSocket that was opened: the caller says what it has to say, and listens meanwhile.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::connection::Line;
use super::{Answer, Got};
use crate::plan::{Plan, Reading, Socket};
use crate::wire::Framing;

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(2);

/// `answer` is the head that opened it. It is complete when all came that the upstream says, and then the end.
pub async fn talk(plan: &Plan, socket: Socket, mut answer: Answer, line: Line) -> Got {
    let Line { mut wire, mut writer, .. } = line;
    let heard = plan.heard().len();
    let most = if plan.reading == Reading::Half { heard / 2 } else { usize::MAX };
    let speaking = async {
        for frame in socket.up(plan.number).iter().skip(usize::from(socket.hasty)) {
            // Whoever is not listened to any more hears of it.
            if writer.write_all(frame).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let mut listening = std::pin::pin!(wire.body(Framing::Close, most));
    let body = tokio::select! {
        biased;
        body = &mut listening => body,
        () = speaking => listening.await,
    };
    if plan.reading == Reading::Half && !body.whole {
        return Got::Left;
    }
    let _ = writer.shutdown().await;
    answer.complete = body.whole && body.bytes.len() == heard;
    answer.body = body.bytes;
    Got::Answer(answer)
}
