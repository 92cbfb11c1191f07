//! What became of the records.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Shared by all that hand records over and by the thread that writes them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    queued: AtomicU64,
    /// What the queue holds at the moment, in bytes.
    waiting: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    /// The output does not take records at the moment.
    failing: AtomicBool,
    /// Nobody waits for the writer any more.
    given_up: AtomicBool,
}

impl Counts {
    /// A record of so many bytes is about to be in the queue.
    pub fn queue(&self, bytes: usize) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It is no longer there.
    pub fn unqueue(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn write(&self, records: u64) {
        self.written.fetch_add(records, Ordering::Relaxed);
    }

    /// Counts a lost record, and says so in the log for the first one and then ever more rarely.
    pub fn lose(&self) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "audit records are lost");
        }
    }

    /// An output that fails is said once, until it works again: a full disk must not fill the log too.
    pub fn fail(&self, error: &io::Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "audit records cannot be written");
        }
    }

    /// All that was kept is written.
    pub fn work(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("audit records can be written again");
        }
    }

    pub fn fails(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// The writer ends with the next failure of its output. Returns how many records were queued and never written.
    pub fn give_up(&self) -> u64 {
        self.given_up.store(true, Ordering::Relaxed);
        self.queued.load(Ordering::Relaxed).saturating_sub(self.written())
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
