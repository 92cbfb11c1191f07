use std::io::Write;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::*;

/// Longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a played sink does with the next bytes.
#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    /// It takes nothing and says nothing.
    #[default]
    Stuck,
    /// It is full.
    Failing,
    /// It has no room at the moment, and says so in place of making the writer wait.
    Slow,
    /// It takes three bytes, and then it is full until it is asked again.
    Halting,
    Good,
}

#[derive(Clone, Default)]
struct Sink(Arc<(Mutex<Held>, Condvar)>);

#[derive(Default)]
struct Held {
    mood: Mood,
    halted: bool,
    asked: usize,
    written: Vec<u8>,
}

impl Sink {
    fn new(mood: Mood) -> Sink {
        let sink = Sink::default();
        sink.turn(mood);
        sink
    }

    fn turn(&self, mood: Mood) {
        self.0.0.lock().unwrap().mood = mood;
        self.0.1.notify_all();
    }

    /// How often it was asked to take something.
    fn asked(&self) -> usize {
        self.0.0.lock().unwrap().asked
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().written.clone()).unwrap()
    }

    fn start(&self, when_full: WhenFull, capacity: usize) -> (Trail, Writer) {
        Trail::start(Output::of(self.clone()), when_full, capacity).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.0.0.lock().unwrap();
        held.asked += 1;
        let mut held = self.0.1.wait_while(held, |held| held.mood == Mood::Stuck).unwrap();
        let halting = held.mood == Mood::Halting;
        held.halted = halting && !held.halted;
        if held.mood == Mood::Slow {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if held.mood == Mood::Failing || (halting && !held.halted) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = if halting { bytes.len().min(3) } else { bytes.len() };
        held.written.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

fn write(trail: &Trail, line: &str) {
    let place = trail.reserve().expect("a place");
    trail.write(place, line.as_bytes().to_vec());
}

fn finish(writer: Writer, patience: Duration) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(writer.finish(patience))
}

/// Fills the queue of four behind a writer that is stuck.
fn full(when_full: WhenFull) -> (Trail, Writer, Sink) {
    let sink = Sink::default();
    let (trail, writer) = sink.start(when_full, 4);
    write(&trail, "line\n");
    until(|| sink.asked() > 0);
    for _ in 0..4 {
        write(&trail, "line\n");
    }
    (trail, writer, sink)
}

#[test]
fn what_waits_is_bounded_in_bytes_too() {
    let line = || vec![b'x'; 64 << 10];
    for when_full in [WhenFull::Refuse, WhenFull::Drop] {
        let sink = Sink::new(Mood::Stuck);
        let (trail, _writer) = sink.start(when_full, CAPACITY);
        let mut taken = 0;
        while let Some(place) = trail.reserve().filter(|_| trail.dropped() == 0) {
            trail.write(place, line());
            taken += 1;
        }
        // Beside what the queue has there is one batch, with its last line.
        let most = (MAX_WAITING >> 16) + 3;
        assert!((most - 3..=most).contains(&taken), "{when_full:?}: {taken} lines");
        sink.turn(Mood::Good);
        until(|| trail.counts.waiting() == 0);
        assert!(trail.reserve().is_some(), "{when_full:?}");
    }
}

#[test]
fn a_full_queue_drops_and_counts_or_refuses() {
    let (trail, writer, sink) = full(WhenFull::Drop);
    write(&trail, "too many\n");
    assert_eq!(trail.dropped(), 1);
    sink.turn(Mood::Good);
    drop(trail);
    assert_eq!(finish(writer, PATIENCE), 0);

    let (trail, writer, sink) = full(WhenFull::Refuse);
    assert!(trail.reserve().is_none());
    assert_eq!(trail.dropped(), 0);
    sink.turn(Mood::Good);
    drop(trail);
    assert_eq!(finish(writer, PATIENCE), 0);
}

#[test]
fn k19_while_the_output_fails_every_call_is_refused_and_what_was_kept_is_written_later() {
    let sink = Sink::new(Mood::Failing);
    let (trail, writer) = sink.start(WhenFull::Refuse, 4);
    let under_way = trail.reserve().expect("nothing has failed yet");
    write(&trail, "first\n");
    until(|| trail.counts.fails());
    // Refused however often the writer tries, and though nobody is under way in between.
    let tried = sink.asked();
    trail.write(under_way, b"second\n".to_vec());
    until(|| {
        assert!(trail.reserve().is_none());
        sink.asked() > tried + 2
    });
    assert_eq!((trail.written(), trail.dropped()), (0, 0), "kept is not lost");
    sink.turn(Mood::Good);
    until(|| trail.reserve().is_some());
    until(|| trail.written() == 2);
    drop(trail);
    assert_eq!(finish(writer, PATIENCE), 0);
    assert_eq!(sink.text(), "first\nsecond\n");
}

#[test]
fn a_slow_reader_behind_a_nonblocking_output_is_no_failure() {
    let sink = Sink::new(Mood::Slow);
    let (trail, writer) = sink.start(WhenFull::Refuse, 4);
    write(&trail, "line\n");
    until(|| sink.asked() > 1);
    assert!(trail.reserve().is_some());
    sink.turn(Mood::Good);
    drop(trail);
    assert_eq!(finish(writer, PATIENCE), 0);
    assert_eq!(sink.text(), "line\n");
}

#[test]
fn k19_while_the_output_fails_drop_goes_on_and_loses_only_what_cannot_be_kept() {
    let sink = Sink::new(Mood::Failing);
    let (trail, writer) = sink.start(WhenFull::Drop, 4);
    write(&trail, "line\n");
    until(|| trail.counts.fails());
    for _ in 0..10 {
        write(&trail, "line\n");
    }
    assert_eq!((trail.written(), trail.dropped()), (0, 6), "four are in the queue");
    sink.turn(Mood::Good);
    until(|| trail.written() == 5);
    drop(trail);
    assert_eq!(finish(writer, PATIENCE), 0);
    assert_eq!(sink.text(), "line\n".repeat(5));
}

#[test]
fn a_line_whose_writing_breaks_off_goes_on_where_it_broke_off() {
    let sink = Sink::new(Mood::Halting);
    let (trail, writer) = sink.start(WhenFull::Drop, 4);
    write(&trail, "a line\n");
    write(&trail, "and one\n");
    until(|| trail.written() == 2);
    drop(trail);
    assert_eq!(finish(writer, PATIENCE), 0);
    assert_eq!(sink.text(), "a line\nand one\n");
}

#[test]
fn the_end_waits_no_longer_than_its_patience_and_says_what_is_lost() {
    for mood in [Mood::Stuck, Mood::Failing] {
        let sink = Sink::new(mood);
        let (trail, writer) = sink.start(WhenFull::Drop, 4);
        for _ in 0..3 {
            write(&trail, "line\n");
        }
        drop(trail);
        assert_eq!(finish(writer, Duration::from_millis(1)), 3);
        sink.turn(Mood::Failing);
        until(|| Arc::strong_count(&sink.0) == 1);
    }
}

#[test]
fn every_line_handed_over_is_written_before_the_writer_ends() {
    let sink = Sink::new(Mood::Good);
    let (trail, writer) = sink.start(WhenFull::Refuse, 1024);
    for _ in 0..1000 {
        write(&trail, "line\n");
    }
    drop(trail);
    assert_eq!(finish(writer, PATIENCE), 0);
    assert_eq!(sink.text().len(), 5000);
}
