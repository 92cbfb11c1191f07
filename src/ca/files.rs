//! Where the CA is kept: two PEM files, the key for nobody's eyes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::authority::Authority;
use super::{Error, Source};

/// The names of certificate and key where we choose them.
const FILES: [&str; 2] = ["ca.crt", "ca.key"];
/// Neither file is larger, in bytes.
const LARGEST: u64 = 256 << 10;

/// A CA's two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Source {
    /// Reads the CA; `None`: it is still to be made. Makes nothing.
    pub fn read(&self) -> Result<Option<Authority>, Error> {
        match self {
            Source::Given { cert, key } => Kept { cert: cert.clone(), key: key.clone() }.read().map(Some),
            Source::Made { state_dir } => match made(state_dir) {
                // Another start may be making it: the key comes first.
                Err(Error::CertMissing { .. }) => {
                    let _lock = lock(state_dir).ok();
                    made(state_dir)
                }
                found => found,
            },
        }
    }

    /// Reads the CA that has been there once; that it is gone is an error.
    pub fn read_again(&self) -> Result<Authority, Error> {
        match self {
            Source::Given { cert, key } => Kept { cert: cert.clone(), key: key.clone() }.read(),
            Source::Made { state_dir } => {
                check_directory(state_dir)?;
                Kept::within(state_dir).read()
            }
        }
    }

    /// Reads the CA, or makes it when it is still to be made. Of two starts at the same time one makes it.
    pub fn read_or_make(&self) -> Result<Authority, Error> {
        let Source::Made { state_dir } = self else { return self.read()?.ok_or(Error::NotACa) };
        if let Some(authority) = self.read()? {
            return Ok(authority);
        }
        make_directory(state_dir)?;
        check_directory(state_dir)?;
        let _lock = lock(state_dir)?;
        if let Some(authority) = made(state_dir)? {
            return Ok(authority);
        }
        let kept = Kept::within(state_dir);
        kept.make()?;
        kept.read()
    }
}

/// The CA that was made in a directory. Half of one is an error: the other half may come back, and what was signed with it
/// is trusted by others. What a start was making when it broke off is still to be made, and was trusted by nobody.
fn made(state_dir: &Path) -> Result<Option<Authority>, Error> {
    let kept = Kept::within(state_dir);
    let (cert, key) = (text(&kept.cert), text(&kept.key));
    match (kept.cert.exists(), kept.key.exists()) {
        (false, false) => Ok(None),
        (false, true) if kept.begun().read().is_ok() => Ok(None),
        (false, true) => Err(Error::CertMissing { cert, key }),
        (true, is_whole) => {
            check_directory(state_dir)?;
            if is_whole { kept.read().map(Some) } else { Err(Error::KeyMissing { cert, key }) }
        }
    }
}

impl Kept {
    /// In a directory, under the names that we choose.
    pub fn within(directory: &Path) -> Kept {
        let [cert, key] = FILES.map(|name| directory.join(name));
        Kept { cert, key }
    }

    /// The CA before its certificate has its name.
    fn begun(&self) -> Kept {
        Kept { cert: self.cert.with_extension("crt.new"), key: self.key.clone() }
    }

    /// Makes a CA, or ends what a start has begun that broke off. The certificate gets its name last: where it is, there is
    /// the key.
    fn make(&self) -> Result<(), Error> {
        let begun = self.begun();
        if begun.read().is_err() {
            let (cert, key) = Authority::make()?;
            write(&begun.cert, 0o644, cert.as_bytes())?;
            write(&self.key, 0o600, key.as_bytes())?;
        }
        rename(&begun.cert, &self.cert).map_err(|error| failed(&self.cert, &error))
    }

    /// The same in a directory that may have to be made.
    pub fn make_with_directory(&self, directory: &Path) -> Result<Authority, Error> {
        make_directory(directory)?;
        check_directory(directory)?;
        self.make()?;
        self.read()
    }

    fn read(&self) -> Result<Authority, Error> {
        let key = read_key(&self.key)?;
        let cert = read_pem(&self.cert)?;
        Authority::read(&cert, &key, OffsetDateTime::now_utc()).map_err(|error| match error {
            // Of which of the two files these speak is in their texts.
            Error::File { .. } | Error::NoOpenFiles { .. } => error,
            error => Error::File { path: text(&self.cert), reason: error.to_string() },
        })
    }
}

/// A PEM file that anybody may read.
pub fn read_pem(path: &Path) -> Result<Zeroizing<String>, Error> {
    read(path, open(path)?)
}

/// A key's PEM file, unless others than its owner and group can read it. The mode is asked of the opened file, not of
/// its name.
pub fn read_key(path: &Path) -> Result<Zeroizing<String>, Error> {
    let file = open(path)?;
    let mode = file.metadata().map_err(|error| failed(path, &error))?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(Error::KeyOpenToOthers { path: text(path), mode });
    }
    read(path, file)
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|error| failed(path, &error))
}

fn read(path: &Path, file: File) -> Result<Zeroizing<String>, Error> {
    // Room for all that may come: a buffer that grew would leave pieces of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST as usize + 1));
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(path, &error))?;
    match std::str::from_utf8(&bytes) {
        Ok(pem) if bytes.len() as u64 <= LARGEST => Ok(Zeroizing::new(pem.to_owned())),
        _ => Err(Error::File { path: text(path), reason: "not PEM text".to_owned() }),
    }
}

/// Writes a file whole or not at all, and durably.
fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        // Left by a start that broke off: in a container every start has the same process id.
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rename(&fresh, path)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        failed(path, &error)
    })
}

/// Durably.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    to.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed(path, &error))
}

/// Whoever may write to the directory can put a CA of its own there.
fn check_directory(path: &Path) -> Result<(), Error> {
    let mode = fs::metadata(path).map_err(|error| failed(path, &error))?.mode() & 0o7777;
    if mode & 0o002 != 0 { Err(Error::DirectoryOpenToOthers { path: text(path), mode }) } else { Ok(()) }
}

/// Held until it is dropped, by one process at a time: by whoever makes a CA in the directory.
fn lock(state_dir: &Path) -> Result<File, Error> {
    let path = &state_dir.join("ca.lock");
    let locked = (|| {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    })();
    locked.map_err(|error: io::Error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
        return Error::NoOpenFiles { path: text(path) };
    }
    let reason = match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied for the user that runs veilwarden".to_owned(),
        _ => error.to_string(),
    };
    Error::File { path: text(path), reason }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
