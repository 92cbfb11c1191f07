//! The queue and the thread behind it.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// The output does not take records at the moment.
    failing: AtomicBool,
}

impl Counts {
    /// Counts lost records, and says so in the log for the first one and then ever more rarely.
    fn lose(&self, records: u64) {
        let before = self.dropped.fetch_add(records, Ordering::Relaxed);
        if (before + records).checked_ilog2() != before.checked_ilog2() {
            tracing::warn!(dropped = before + records, "audit records are lost");
        }
    }
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
        let counts = Arc::<Counts>::default();
        let trail = Trail { queue: Some(queue), when_full, counts: Arc::clone(&counts) };
        let thread = std::thread::Builder::new().name("audit".into()).spawn(move || write_lines(lines, sink, &counts));
        (trail, Writer(thread.ok()))
    }

    /// Takes a place for the call's line; `None` when the queue is full, or its output fails, and calls are to be
    /// refused then. One call in flight finds out whether the output works again.
    pub fn reserve(&self) -> Option<Place> {
        match (&self.queue, self.when_full) {
            (Some(queue), WhenFull::Refuse) if self.fails() && queue.capacity() < queue.max_capacity() => None,
            (Some(queue), WhenFull::Refuse) => queue.clone().try_reserve_owned().ok().map(|permit| Place(Some(permit))),
            _ => Some(Place(None)),
        }
    }

    /// Hands a line (with its newline) to the writer. Never blocks.
    pub fn write(&self, place: Place, line: Vec<u8>) {
        let Some(queue) = &self.queue else { return };
        match place.0 {
            Some(permit) => drop(permit.send(line)),
            None if queue.try_send(line).is_ok() => {}
            None => self.counts.lose(1),
        }
    }

    fn fails(&self) -> bool {
        self.counts.failing.load(Ordering::Relaxed)
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

fn write_lines(mut lines: Receiver<Vec<u8>>, sink: Box<dyn Write + Send>, counts: &Counts) {
    let mut sink = BufWriter::with_capacity(64 << 10, sink);
    while let Some(line) = lines.blocking_recv() {
        let mut records = 1;
        let mut outcome = sink.write_all(&line);
        while let Ok(line) = lines.try_recv() {
            records += 1;
            outcome = outcome.and_then(|()| sink.write_all(&line));
        }
        note(outcome.and_then(|()| sink.flush()), records, counts);
        std::thread::sleep(REST);
    }
}

/// A batch is on disk, or it is lost. An output that fails is said once, until it works again: a full disk must
/// not fill the log too.
fn note(outcome: io::Result<()>, records: u64, counts: &Counts) {
    match outcome {
        Ok(()) => {
            counts.written.fetch_add(records, Ordering::Relaxed);
            if counts.failing.swap(false, Ordering::Relaxed) {
                tracing::info!("audit records can be written again");
            }
        }
        Err(error) => {
            if !counts.failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "audit records cannot be written");
            }
            counts.lose(records);
        }
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

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn k19_lost_records_are_counted_as_lost_and_refuse_refuses() {
        let (trail, writer) = Trail::start(Box::new(Full), WhenFull::Refuse, 4);
        let place = trail.reserve().expect("nothing has failed yet");
        trail.write(place, vec![b'x'; 100_000]);
        while !trail.fails() {
            std::thread::yield_now();
        }
        let probe = trail.reserve().expect("one call may find out");
        assert!(trail.reserve().is_none());
        drop(probe);
        drop(trail.clone());
        assert_eq!((trail.written(), trail.dropped()), (0, 1));
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
