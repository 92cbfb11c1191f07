//! The thread that writes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::batch::Batch;
use super::counts::Counts;
use super::output::Output;

/// After a batch the writer rests so long before it waits for more: at load it wakes some hundred times a
/// second, not once a line.
const REST: Duration = Duration::from_millis(2);
/// How soon an output that failed is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// The thread that writes. Ends when every [`Trail`](super::Trail) is gone and every line written.
#[derive(Debug)]
pub struct Writer(Option<Thread>);

#[derive(Debug)]
struct Thread {
    /// Closed when the thread has ended.
    ended: oneshot::Receiver<()>,
    counts: Arc<Counts>,
}

impl Writer {
    /// Of a trail that goes nowhere.
    pub(super) fn none() -> Writer {
        Writer(None)
    }

    pub(super) fn start(lines: Receiver<Vec<u8>>, output: Output, counts: Arc<Counts>) -> io::Result<Writer> {
        let (alive, ended) = oneshot::channel();
        let own = Arc::clone(&counts);
        std::thread::Builder::new().name("audit".into()).spawn(move || {
            write_lines(lines, output, &own);
            drop(alive);
        })?;
        Ok(Writer(Some(Thread { ended, counts })))
    }

    /// Waits until every line is written, but no longer than `patience`. All trails have to be gone, or it waits for
    /// them. Returns how many records are lost: those that the output did not take in time.
    pub async fn finish(self, patience: Duration) -> u64 {
        let Some(Thread { ended, counts }) = self.0 else { return 0 };
        // Nothing is ever sent: this is the end of the thread, or of our patience.
        let _ = tokio::time::timeout(patience, ended).await;
        counts.give_up()
    }
}

fn write_lines(mut lines: Receiver<Vec<u8>>, mut output: Output, counts: &Counts) {
    let mut batch = Batch::default();
    while batch.fill(&mut lines, counts) {
        while let Err(error) = batch.write(&mut output, counts) {
            counts.fail(&error);
            if counts.is_given_up() {
                return;
            }
            std::thread::sleep(RETRY);
        }
        counts.work();
        if !batch.is_full() {
            std::thread::sleep(REST);
        }
    }
}
