//! Listeners, connections and the orderly end of both.

pub mod admin;
pub mod connection;
pub mod descriptors;
pub mod door;
pub mod forward;
mod http2;
mod passage;
pub mod reverse;
mod seldom;
pub mod tls;
pub mod unix;
mod websocket;

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::authn::Source;
use descriptors::Spare;

/// How long accepting rests when there are no descriptors left: long enough for some to be given back.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// So many connections at most are still taken from the kernel's queue at the end, which is what it holds.
const QUEUE: usize = 1024;
/// How long one connection may have the descriptor that was kept back.
const SERVED_WITHOUT_ROOM: Duration = Duration::from_secs(1);

/// How near the end is; it only ever comes nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Readiness is off and callers are asked to go elsewhere; whoever comes all the same is served.
    Leaving,
    /// Listeners stop accepting, connections finish what they have.
    Draining,
}

/// Says that the end is near, and that it has begun.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<Phase>);

/// The hand that starts the drain.
#[derive(Debug)]
pub struct DrainStarter(watch::Sender<Phase>);

impl Drain {
    pub fn new() -> (DrainStarter, Drain) {
        let (starter, drain) = watch::channel(Phase::Serving);
        (DrainStarter(starter), Drain(drain))
    }

    /// Whether callers had better go elsewhere.
    pub fn announced(&self) -> bool {
        *self.0.borrow() >= Phase::Leaving
    }

    /// Returns when a connection that lives on had better be told to go: when the end is announced, or, for a
    /// connection that came later than that, when the drain begins.
    async fn ask_to_leave(&mut self) {
        let from = if self.announced() { Phase::Draining } else { Phase::Leaving };
        let _ = self.0.wait_for(|phase| *phase >= from).await;
    }

    /// Returns when the drain has begun; a lost starter counts as begun.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|phase| *phase == Phase::Draining).await;
    }
}

impl DrainStarter {
    /// Readiness is off from now on.
    pub fn announce(&self) {
        self.0.send_replace(Phase::Leaving);
    }

    pub fn begin(&self) {
        self.0.send_replace(Phase::Draining);
    }
}

/// Where connections come from.
pub trait Listener: Send {
    type Stream;

    /// The next connection, and whose it is.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Source)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Source)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        Ok((stream, peer.ip().into()))
    }
}

/// What becomes of a connection for which there is only the descriptor that was kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutRoom {
    /// It is closed at once.
    Close,
    /// It is served while others wait, for a moment: whoever asks how we are must hear it now above all.
    Serve,
}

/// Accepts connections until the drain begins, then lets those that are open finish for at most the limit;
/// without an end, for ever. Whatever goes wrong with one connection is its own affair.
pub async fn accept<L, F>(
    listener: L,
    end: Option<(Drain, Duration)>,
    without_room: WithoutRoom,
    mut serve: impl FnMut(L::Stream, Source) -> Option<F>,
) where
    L: Listener,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let (mut drain, limit) = end.unzip();
    let mut spare = Spare::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(&mut connections, serve(stream, peer)),
                Err(error) if descriptors::are_out(&error) => {
                    spare.lend(&error);
                    if let Ok(Ok((stream, peer))) = timeout(ACCEPT_REST, listener.accept()).await
                        && without_room == WithoutRoom::Serve
                        && let Some(connection) = serve(stream, peer)
                    {
                        let _ = timeout(SERVED_WITHOUT_ROOM, connection).await;
                    }
                    spare.take_back();
                    tokio::time::sleep(ACCEPT_REST).await;
                }
                // The peer's own affair, and no reason to let others wait.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = begun(drain.as_mut()) => break,
        }
    }
    // The kernel has let in whoever waits in its queue: they would be cut without a word. Yielding hears of the last ones.
    tokio::task::yield_now().await;
    for _ in 0..QUEUE {
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(&mut connections, serve(stream, peer)),
                Err(_) => break,
            },
            () = std::future::ready(()) => break,
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(limit.unwrap_or_default(), all).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain limit reached: open connections are cut");
    }
}

fn admit(connections: &mut JoinSet<()>, connection: Option<impl Future<Output = ()> + Send + 'static>) {
    if let Some(connection) = connection {
        connections.spawn(connection);
    }
}

async fn begun(drain: Option<&mut Drain>) {
    match drain {
        Some(drain) => drain.wait().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn l01_who_waits_in_the_kernels_queue_at_the_end_is_served() {
        const CALLERS: usize = 32;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (starter, drain) = Drain::new();
        // Connected as far as they know, and nobody has accepted them.
        let callers: Vec<_> = (0..CALLERS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        starter.begin();
        let mut served = 0;
        accept(listener, Some((drain, Duration::from_secs(10))), WithoutRoom::Close, |_, _| {
            served += 1;
            Some(std::future::ready(()))
        })
        .await;
        assert_eq!(served, CALLERS);
        assert!(std::net::TcpStream::connect(address).is_err(), "the listener is closed");
        drop(callers);
    }
}
