//! The time before the command runs: a signal is meant for us, and nothing may be left behind.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::runtime::Handle;

use crate::cli::signals::Signals;

/// For a start that was told to end: it takes milliseconds, unless it waits for a file that does not answer.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// A signal has ended the start.
#[derive(Debug, thiserror::Error)]
#[error("ended by a signal before the command began")]
pub struct Interrupted(pub Signal);

/// What `starting` makes, unless a signal comes first; then what it has made by the end goes with it.
///
/// On a thread of its own, as the start of `serve`: files are waited for without yielding.
///
/// # Errors
/// Those of `starting`, or [`Interrupted`].
pub async fn start<T, F>(signals: &mut Signals, starting: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let mut started = tokio::task::spawn_blocking(|| Handle::current().block_on(starting()));
    tokio::select! {
        started = &mut started => started.context("the start broke off")?,
        number = signals.next() => {
            drop(tokio::time::timeout(LAST_STEPS, started).await);
            Err(Interrupted(number).into())
        }
    }
}
