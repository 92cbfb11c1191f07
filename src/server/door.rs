//! Who gets in: a connection over a limit is told so and closed, and costs no more than that.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::seldom::Seldom;
use crate::authn::Source;
use crate::gate::linger::{LINGER_TIME, Linger};
use crate::limits::{Connections, Seat};
use crate::pipeline::Pipeline;

/// Connections over the limit that are being told so; those beyond are closed without a word.
const TURNED_AWAY: usize = 64;

/// The counts of all listeners of callers together.
pub struct Door {
    connections: Connections,
    turned_away: Arc<Semaphore>,
    told: Seldom,
}

impl Door {
    pub fn new(connections: Connections) -> Door {
        Door { connections, turned_away: Arc::new(Semaphore::new(TURNED_AWAY)), told: Seldom::new() }
    }

    /// A place for this connection, which is closed when there is none. `in_clear`: it can be told why.
    pub fn enter<IO>(&self, io: IO, peer: Source, in_clear: bool, pipeline: &Pipeline) -> Option<(IO, Seat)>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limit = match self.connections.enter(peer) {
            Ok(seat) => return Some((io, seat)),
            Err(limit) => limit,
        };
        pipeline.metrics.limited(limit);
        if self.told.now() {
            tracing::warn!(%peer, %limit, "connections are refused; veilwarden_limited_total counts them");
        }
        let turned_away = Arc::clone(&self.turned_away).try_acquire_owned();
        if let (true, Ok(place)) = (in_clear, turned_away) {
            tokio::spawn(turn_away(io, pipeline.too_many_connections(limit), place));
        }
        None
    }
}

/// Answers before anything was asked, and closes so that the answer arrives (RFC 9112 section 9.6).
async fn turn_away<IO>(mut io: IO, answer: Vec<u8>, place: OwnedSemaphorePermit)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let told = async {
        if io.write_all(&answer).await.is_ok() && io.shutdown().await.is_ok() {
            let mut linger = Linger::new();
            poll_fn(|cx| linger.poll(&mut io, cx)).await;
        }
    };
    let _ = timeout(2 * LINGER_TIME, told).await;
    drop(place);
}
