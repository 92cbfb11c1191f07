//! What a document's blocks printed, and when each was done.

use std::collections::HashMap;
use std::time::Duration;

use crate::markdown::{Block, Document};
use crate::output;

const STARTED: &str = "=== started ";
const BLOCK: &str = "=== block ";
const DONE: &str = "=== done ";

/// By the line of each block that was typed.
pub struct Transcript {
    printed: HashMap<usize, String>,
    done: HashMap<usize, Duration>,
    started: Duration,
}

impl Transcript {
    /// The line of a script that says when it began.
    pub fn begin() -> String {
        format!("echo \"{STARTED}$EPOCHREALTIME\"\n")
    }

    /// A block's commands, with the lines that tell its output from the others'.
    pub fn around(block: &Block, typed: &str) -> String {
        let line = block.line;
        // What was printed need not end its line.
        format!("echo '{BLOCK}{line}'\n{typed}echo\necho \"{DONE}{line} $EPOCHREALTIME\"\n")
    }

    /// Reads the output of a script that was made by the two above.
    pub fn of(output: &str) -> Transcript {
        let mut transcript = Transcript { printed: HashMap::new(), done: HashMap::new(), started: Duration::ZERO };
        let mut current = 0;
        for line in output.lines() {
            if let Some(time) = line.strip_prefix(STARTED) {
                transcript.started = seconds(time);
            } else if let Some(block) = line.strip_prefix(BLOCK) {
                current = block.parse().expect("a line's number");
                transcript.printed.insert(current, String::new());
            } else if let Some((_, time)) = line.strip_prefix(DONE).and_then(|rest| rest.split_once(' ')) {
                transcript.done.insert(current, seconds(time));
            } else if let Some(printed) = transcript.printed.get_mut(&current) {
                printed.push_str(line);
                printed.push('\n');
            }
        }
        transcript
    }

    /// How long after the beginning a block was done.
    #[track_caller]
    pub fn until(&self, block: &Block) -> Duration {
        self.done[&block.line].saturating_sub(self.started)
    }

    /// Each block that is followed by one of plain text has printed what that says.
    #[track_caller]
    pub fn assert_agrees(&self, document: &Document, blocks: &[Block]) {
        for (block, next) in blocks.iter().zip(blocks.iter().skip(1)) {
            let Some(printed) = self.printed.get(&block.line) else { continue };
            if next.language == "text" {
                let (at, expected) = (document.at(block.line), &next.text);
                assert!(output::agrees(printed, expected), "{at} prints\n{printed}\nand not\n{expected}");
            }
        }
    }
}

/// Of bash's `EPOCHREALTIME`, whose decimal sign depends on the locale.
fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.trim().replace(',', ".").parse().expect("a time"))
}
