//! Lines that are written together.

use std::io;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::counts::Counts;
use super::output::Output;

/// No further line is put to as many bytes.
const ENOUGH: usize = 64 << 10;
/// How soon an output that has no room at the moment is asked again.
const AGAIN: Duration = Duration::from_millis(5);

/// Whole lines on their way to the output. They stay here until they are written, however often that fails.
#[derive(Debug, Default)]
pub(super) struct Batch {
    lines: Vec<u8>,
    /// Bytes that the output has taken.
    taken: usize,
}

impl Batch {
    /// Takes the lines that wait in place of those that were written. Waits for the first one; false when none will come.
    pub fn fill(&mut self, queue: &mut Receiver<Vec<u8>>, counts: &Counts) -> bool {
        self.lines.clear();
        self.taken = 0;
        let mut next = queue.blocking_recv();
        let some = next.is_some();
        while let Some(line) = next {
            self.lines.extend_from_slice(&line);
            counts.unqueue(line.capacity());
            next = if self.is_full() { None } else { queue.try_recv().ok() };
        }
        some
    }

    /// More lines wait, most likely.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= ENOUGH
    }

    /// Writes what the output has not taken yet, and counts the lines that have become whole there.
    pub fn write(&mut self, output: &mut Output, counts: &Counts) -> io::Result<()> {
        if output.prepare()? {
            self.begin_line_anew();
        }
        while self.taken < self.lines.len() {
            match output.write(&self.lines[self.taken..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => counts.write(self.take(bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever started us may have made our standard output non-blocking; its reader is slow, and that is all.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The output has taken so many bytes more. Returns how many lines have ended in them.
    fn take(&mut self, bytes: usize) -> u64 {
        let from = self.taken;
        self.taken += bytes;
        memchr::memchr_iter(b'\n', &self.lines[from..self.taken]).count() as u64
    }

    fn begin_line_anew(&mut self) {
        self.taken = memchr::memrchr(b'\n', &self.lines[..self.taken]).map_or(0, |end| end + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_begun_in_another_file_is_written_whole_and_counted_once() {
        let mut batch = Batch { lines: b"one\ntwo\n".to_vec(), taken: 0 };
        assert_eq!(batch.take(6), 1);
        batch.begin_line_anew();
        assert_eq!(&batch.lines[batch.taken..], b"two\n");
        assert_eq!(batch.take(4), 1);
        batch.begin_line_anew();
        assert_eq!(&batch.lines[batch.taken..], b"", "nothing was begun");
    }
}
