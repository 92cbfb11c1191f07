//! Standard output and standard error. Behind them may be a full disk, or nobody: `println!` would make a panic of that,
//! and in the panic hook an abort.

use std::fmt::Display;
use std::io::{ErrorKind, Result, Write as _, stderr, stdout};

/// A line on standard error. Where it cannot be written, nobody can be told.
pub fn complain(line: impl Display) {
    let _ = stderr().write_all(format!("{line}\n").as_bytes());
}

/// A line on standard output about what was done. The exit status says the same, so nothing depends on it.
pub fn note(line: impl Display) {
    let _ = stdout().write_all(format!("{line}\n").as_bytes());
}

/// What was asked for, on standard output. A reader that has gone away (`| head`) is no failure.
///
/// # Errors
/// It cannot be written for another reason.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}
