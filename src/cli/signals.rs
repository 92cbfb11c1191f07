//! How a person or an orchestrator says that it is time to stop, or something else.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Both ask for an orderly end.
pub(super) const STOP: [Signal; 2] = [Signal::TERM, Signal::INT];
/// The same of what belongs to a terminal, which may go away.
pub(super) const STOP_OR_HANGUP: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::HUP];

/// Signals that are heard in place of ending the process.
pub(super) struct Signals(Vec<(Signal, Stream)>);

impl Signals {
    /// From now on these signals do not end the process; those that come before they are asked for are not lost.
    ///
    /// # Errors
    /// No handler can be installed.
    pub fn listen(wanted: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
        let heard = |number| Ok((number, stream(number)?));
        wanted.into_iter().map(heard).collect::<io::Result<_>>().map(Signals)
    }

    /// The next of them.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|cx| {
            let came =
                self.0.iter_mut().find_map(|(number, stream)| stream.poll_recv(cx).is_ready().then_some(*number));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// SIGHUP asks many programs to read their configuration again. Ending for it would cut every open call.
///
/// # Errors
/// No handler can be installed.
pub(super) fn answer_hangups() -> io::Result<()> {
    let mut hangups = stream(Signal::HUP)?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::warn!(
                signal = name(Signal::HUP),
                "the configuration is not read again: reloading is not supported yet; restart veilwarden to change it"
            );
        }
    });
    Ok(())
}

/// As in `kill -l`, of those that the log speaks of.
pub(super) fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::TERM => "SIGTERM",
        Signal::INT => "SIGINT",
        Signal::HUP => "SIGHUP",
        _ => "another signal",
    }
}

fn stream(number: Signal) -> io::Result<Stream> {
    signal(SignalKind::from_raw(number.as_raw()))
}
