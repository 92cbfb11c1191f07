//! Where the lines go.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::config::AuditOutput;

/// Standard output or a file, without a buffer: what is not written yet is in the batch.
pub(super) struct Output {
    sink: Box<dyn Write + Send>,
}

impl Output {
    /// Whether it could be opened, as far as that can be told without making a file.
    pub fn check(output: &AuditOutput) -> io::Result<()> {
        let AuditOutput::File(path) = output else { return Ok(()) };
        match OpenOptions::new().append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                std::fs::read_dir(directory).map(drop)
            }
            opened => opened.map(drop),
        }
    }

    /// Opens it; `None` when records go nowhere. A file is appended to, and made with mode 0600.
    pub fn open(output: &AuditOutput) -> io::Result<Option<Output>> {
        Ok(match output {
            AuditOutput::Off => None,
            AuditOutput::Stdout => Some(Output::of(File::from(io::stdout().as_fd().try_clone_to_owned()?))),
            AuditOutput::File(path) => {
                Some(Output::of(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?))
            }
        })
    }

    pub fn of(sink: impl Write + Send + 'static) -> Output {
        Output { sink: Box::new(sink) }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes)
    }
}
