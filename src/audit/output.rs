//! Where the lines go.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, OFlags, access, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::config::AuditOutput;

/// The path is looked at no more often, as long as the file takes what is written.
const LOOK: Duration = Duration::from_secs(1);

/// Standard output or a file, without a buffer: what is not written yet is in the batch.
pub(super) struct Output {
    sink: Box<dyn Write + Send>,
    /// Of a regular file, which somebody may rename or remove.
    path: Option<Watched>,
    /// The file ends inside a line, as after a crash.
    torn: bool,
}

struct Watched {
    path: PathBuf,
    /// Device and inode of the open file.
    identity: (u64, u64),
    /// `None`: it is to be looked at before anything is written.
    looked: Option<Instant>,
}

impl Output {
    /// Whether it could be opened, as far as that can be told without opening it: that would make a file, or keep a pipe's
    /// reader waiting.
    pub fn check(output: &AuditOutput) -> io::Result<()> {
        let AuditOutput::File(path) = output else { return Ok(()) };
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(Errno::ISDIR.into()),
            Ok(there) if there.file_type().is_socket() => Err(Errno::NXIO.into()),
            Ok(_) => Ok(access(path, Access::WRITE_OK)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => could_be_made(path),
            Err(error) => Err(error),
        }
    }

    /// Opens it; `None` when records go nowhere. A file is appended to, and made with mode 0600.
    pub fn open(output: &AuditOutput) -> io::Result<Option<Output>> {
        Ok(match output {
            AuditOutput::Off => None,
            AuditOutput::Stdout => Some(Output::of(File::from(io::stdout().as_fd().try_clone_to_owned()?))),
            AuditOutput::File(path) => Some(Output::file(path)?),
        })
    }

    /// One without a path to look at: standard output, a device, a pipe.
    pub fn of(sink: impl Write + Send + 'static) -> Output {
        Output { sink: Box::new(sink), path: None, torn: false }
    }

    fn file(path: &Path) -> io::Result<Output> {
        // A pipe that nobody reads is an error then, and no wait without end.
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(nonblocking()).open(path)?;
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        let there = file.metadata()?;
        let mut output = Output::of(file);
        if there.is_file() {
            output.torn = there.len() > 0 && ends_inside_a_line(path);
            output.path =
                Some(Watched { path: path.to_owned(), identity: identity(&there), looked: Some(Instant::now()) });
        }
        Ok(output)
    }

    /// Before a batch: goes on in a new file when the old one was renamed or removed. Says whether nothing of a line that
    /// was begun is there, since the file is another one or was emptied.
    pub fn prepare(&mut self) -> io::Result<bool> {
        let anew = self.look()?;
        if self.torn {
            self.sink.write_all(b"\n")?;
            self.torn = false;
        }
        Ok(anew)
    }

    fn look(&mut self) -> io::Result<bool> {
        let Some(watched) = self.path.as_mut().filter(|watched| watched.is_due()) else {
            return Ok(false);
        };
        match std::fs::metadata(&watched.path) {
            Ok(there) if identity(&there) == watched.identity => {
                watched.looked = Some(Instant::now());
                return Ok(there.len() == 0);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        *self = Output::file(&watched.path.clone())?;
        Ok(true)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes);
        if let (Err(_), Some(watched)) = (&written, &mut self.path) {
            // Whoever makes room may empty this very file, and the rest of a line that was begun there would be no record.
            watched.looked = None;
        }
        written
    }
}

impl Watched {
    fn is_due(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() >= LOOK)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

fn nonblocking() -> i32 {
    OFlags::NONBLOCK.bits().cast_signed()
}

fn identity(there: &Metadata) -> (u64, u64) {
    (there.dev(), there.ino())
}

/// Whether a file could be made there.
fn could_be_made(path: &Path) -> io::Result<()> {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(Errno::ISDIR.into());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// False when it cannot be read: it may be ours to append to only.
fn ends_inside_a_line(path: &Path) -> bool {
    let last = || {
        let mut file = OpenOptions::new().read(true).custom_flags(nonblocking()).open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        io::Result::Ok(last[0])
    };
    last().is_ok_and(|last| last != b'\n')
}

#[cfg(test)]
mod tests;
