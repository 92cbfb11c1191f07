//! The queue and the thread behind it.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::{AuditOutput, AuditSettings, WhenFull};
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};

/// Lines that may wait; at a kilobyte each the queue stays below 10 MB.
const CAPACITY: usize = 8192;
/// After a batch the writer rests so long before it waits for more: at load it wakes some hundred times a
/// second, not once a line.
const REST: Duration = Duration::from_millis(2);

/// The end that calls write to.
#[derive(Debug, Clone)]
pub struct Trail {
    queue: Option<Sender<Vec<u8>>>,
    when_full: WhenFull,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
}

/// A place in the queue, taken before the call is judged, or none when lines may be dropped.
#[derive(Debug)]
pub struct Place(Option<OwnedPermit<Vec<u8>>>);

/// The thread that writes. Ends when every [`Trail`] is gone; join it to have every line on its way.
#[derive(Debug)]
pub struct Writer(Option<JoinHandle<()>>);

impl Trail {
    /// Opens the output and starts the writer. A file is appended to and made with mode 0600.
    pub fn open(settings: &AuditSettings) -> io::Result<(Trail, Writer)> {
        let when_full = settings.when_full;
        let sink: Box<dyn Write + Send> = match &settings.output {
            AuditOutput::Off => return Ok((Trail { queue: None, when_full, counts: Arc::default() }, Writer(None))),
            AuditOutput::Stdout => Box::new(io::stdout()),
            AuditOutput::File(path) => {
                use std::os::unix::fs::OpenOptionsExt;
                Box::new(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)
            }
        };
        Ok(Trail::start(sink, when_full, CAPACITY))
    }

    fn start(sink: Box<dyn Write + Send>, when_full: WhenFull, capacity: usize) -> (Trail, Writer) {
        let (queue, lines) = mpsc::channel(capacity);
        let thread = std::thread::Builder::new().name("audit".into()).spawn(move || write_lines(lines, sink));
        let trail = Trail { queue: Some(queue), when_full, counts: Arc::default() };
        (trail, Writer(thread.ok()))
    }

    /// Takes a place for the call's line; `None` when the queue is full and calls are to be refused then.
    pub fn reserve(&self) -> Option<Place> {
        match (&self.queue, self.when_full) {
            (Some(queue), WhenFull::Refuse) => queue.clone().try_reserve_owned().ok().map(|permit| Place(Some(permit))),
            _ => Some(Place(None)),
        }
    }

    /// Hands a line (with its newline) to the writer. Never blocks.
    pub fn write(&self, place: Place, line: Vec<u8>) {
        let Some(queue) = &self.queue else { return };
        let taken = match place.0 {
            Some(permit) => {
                permit.send(line);
                true
            }
            None => queue.try_send(line).is_ok(),
        };
        if taken {
            self.counts.written.fetch_add(1, Ordering::Relaxed);
        } else if self.counts.dropped.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
            tracing::warn!(dropped = self.dropped(), "audit queue full: records are being dropped");
        }
    }

    /// Records written since the start.
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Records dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Waits until every line is written. All trails have to be gone, or it waits for them.
    pub fn join(self) {
        if let Some(thread) = self.0 {
            // A writer that panicked has said so on stderr already.
            let _ = thread.join();
        }
    }
}

fn write_lines(mut lines: Receiver<Vec<u8>>, sink: Box<dyn Write + Send>) {
    let mut sink = BufWriter::with_capacity(64 << 10, sink);
    let mut failed = false;
    while let Some(line) = lines.blocking_recv() {
        let mut outcome = sink.write_all(&line);
        while let Ok(line) = lines.try_recv() {
            outcome = outcome.and_then(|()| sink.write_all(&line));
        }
        match outcome.and_then(|()| sink.flush()) {
            Ok(()) => failed = false,
            // Said once, until it works again: a full disk must not fill the log too.
            Err(error) if !failed => {
                failed = true;
                tracing::error!(%error, "audit records cannot be written");
            }
            Err(_) => {}
        }
        std::thread::sleep(REST);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A sink that writes nothing until it is opened.
    #[derive(Clone, Default)]
    struct Sluice(Arc<(Mutex<(bool, Vec<u8>)>, Condvar)>);

    impl Sluice {
        fn open(&self) {
            self.0.0.lock().unwrap().0 = true;
            self.0.1.notify_all();
        }
    }

    impl Write for Sluice {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let guard = self.0.0.lock().unwrap();
            let mut state = self.0.1.wait_while(guard, |state| !state.0).unwrap();
            state.1.extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Fills the queue of four behind a writer that is stuck.
    fn full(when_full: WhenFull) -> (Trail, Writer, Sluice) {
        let sluice = Sluice::default();
        let (trail, writer) = Trail::start(Box::new(sluice.clone()), when_full, 4);
        while trail.queue.as_ref().is_some_and(|queue| queue.capacity() > 0) {
            if let Some(place) = trail.reserve() {
                trail.write(place, b"line\n".to_vec());
            }
        }
        (trail, writer, sluice)
    }

    #[test]
    fn a_full_queue_drops_and_counts_or_refuses() {
        let (trail, writer, sluice) = full(WhenFull::Drop);
        let place = trail.reserve().expect("dropping never refuses");
        trail.write(place, b"too many\n".to_vec());
        assert_eq!(trail.dropped(), 1);
        sluice.open();
        drop(trail);
        writer.join();

        let (trail, writer, sluice) = full(WhenFull::Refuse);
        assert!(trail.reserve().is_none());
        assert_eq!(trail.dropped(), 0);
        sluice.open();
        drop(trail);
        writer.join();
    }

    #[test]
    fn every_line_handed_over_is_written_before_the_writer_ends() {
        let sluice = Sluice::default();
        sluice.open();
        let (trail, writer) = Trail::start(Box::new(sluice.clone()), WhenFull::Refuse, 1024);
        for _ in 0..1000 {
            let place = trail.reserve().expect("room");
            trail.write(place, b"line\n".to_vec());
        }
        drop(trail);
        writer.join();
        assert_eq!(sluice.0.0.lock().unwrap().1.len(), 5000);
    }
}
