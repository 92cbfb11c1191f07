//! The queue that calls write to.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc::{self, OwnedPermit, Sender};

use super::counts::Counts;
use super::output::Output;
use super::writer::Writer;
use crate::config::{AuditSettings, WhenFull};

/// Lines that may wait, and what they may weigh, in bytes. Most have less than a kilobyte; the longest that a caller can bring
/// about have some twenty.
const CAPACITY: usize = 8192;
const MAX_WAITING: usize = 8 << 20;

/// The end that calls write to.
#[derive(Debug, Clone)]
pub struct Trail {
    queue: Option<Sender<Vec<u8>>>,
    when_full: WhenFull,
    counts: Arc<Counts>,
}

/// A place in the queue, taken before the call is judged, or none when lines may be dropped.
#[derive(Debug)]
pub struct Place(Option<OwnedPermit<Vec<u8>>>);

impl Trail {
    /// A trail that goes nowhere.
    pub fn closed() -> Trail {
        Trail { queue: None, when_full: WhenFull::Drop, counts: Arc::default() }
    }

    /// Whether the output could be opened. Makes no file and opens none.
    pub fn check(settings: &AuditSettings) -> io::Result<()> {
        Output::check(&settings.output)
    }

    /// Opens the output and starts the writer. A file is appended to and made with mode 0600.
    pub fn open(settings: &AuditSettings) -> io::Result<(Trail, Writer)> {
        match Output::open(&settings.output)? {
            Some(output) => Trail::start(output, settings.when_full, CAPACITY),
            None => Ok((Trail::closed(), Writer::none())),
        }
    }

    fn start(output: Output, when_full: WhenFull, capacity: usize) -> io::Result<(Trail, Writer)> {
        let (queue, lines) = mpsc::channel(capacity);
        let counts = Arc::<Counts>::default();
        let writer = Writer::start(lines, output, Arc::clone(&counts))?;
        Ok((Trail { queue: Some(queue), when_full, counts }, writer))
    }

    /// Takes a place for the call's line; `None` when the queue is full, or its output fails, and calls are to be
    /// refused then. The writer finds out by what it keeps whether the output works again; no call has to.
    pub fn reserve(&self) -> Option<Place> {
        match (&self.queue, self.when_full) {
            (Some(_), WhenFull::Refuse) if self.counts.fails() || self.weighs_enough() => None,
            (Some(queue), WhenFull::Refuse) => queue.clone().try_reserve_owned().ok().map(|permit| Place(Some(permit))),
            _ => Some(Place(None)),
        }
    }

    /// Hands a line (with its newline) to the writer. Never blocks.
    pub fn write(&self, place: Place, line: Vec<u8>) {
        let Some(queue) = &self.queue else { return };
        let permit = match place.0 {
            None if self.weighs_enough() => None,
            None => queue.clone().try_reserve_owned().ok(),
            place => place,
        };
        let Some(permit) = permit else { return self.counts.lose() };
        self.counts.queue(line.capacity());
        drop(permit.send(line));
    }

    /// What waits weighs as much as it may. Those who have a place already go on.
    fn weighs_enough(&self) -> bool {
        self.counts.waiting() >= MAX_WAITING
    }

    /// Records written since the start.
    pub fn written(&self) -> u64 {
        self.counts.written()
    }

    /// Records dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped()
    }
}

#[cfg(test)]
mod tests;
