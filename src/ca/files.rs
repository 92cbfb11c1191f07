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
/// is trusted by others.
fn made(state_dir: &Path) -> Result<Option<Authority>, Error> {
    let kept = Kept::within(state_dir);
    let (cert, key) = (text(&kept.cert), text(&kept.key));
    match (kept.cert.exists(), kept.key.exists()) {
        (false, false) => Ok(None),
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

    /// Makes a CA. The certificate comes last: where it is, there is the key.
    fn make(&self) -> Result<(), Error> {
        let (cert, key) = Authority::make()?;
        write(&self.key, 0o600, key.as_bytes())?;
        write(&self.cert, 0o644, cert.as_bytes())
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
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        failed(path, &error)
    })
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
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_ca_is_made_once_and_for_its_owner() {
        let home = tempfile::tempdir().unwrap();
        let state_dir = home.path().join("state/veilwarden");
        let source = Source::Made { state_dir: state_dir.clone() };
        assert!(source.read().unwrap().is_none() && !state_dir.exists());
        let made = source.read_or_make().unwrap().pem().to_owned();
        assert_eq!((mode(&state_dir), mode(&state_dir.join("ca.key"))), (0o700, 0o600));
        assert_eq!(source.read_or_make().unwrap().pem(), made);
        assert_eq!(source.read().unwrap().unwrap().pem(), made);
    }

    #[test]
    fn starts_at_the_same_time_agree_on_one_ca() {
        let home = tempfile::tempdir().unwrap();
        let source = Source::Made { state_dir: home.path().join("state") };
        let start = |_| {
            let source = source.clone();
            std::thread::spawn(move || source.read_or_make().unwrap().pem().to_owned())
        };
        let starts: Vec<_> = (0..8).map(start).collect();
        let pems: Vec<String> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        assert!(pems.iter().all(|pem| *pem == pems[0]));
    }

    #[test]
    fn a_start_that_broke_off_leaves_nothing_that_counts() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(format!("ca.{}.new", std::process::id())), "half a k").unwrap();
        let source = Source::Made { state_dir: home.path().to_owned() };
        assert!(source.read().unwrap().is_none());
        assert!(source.read_or_make().is_ok());
    }

    #[test]
    fn g26_a_key_or_directory_open_to_others_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let source = Source::Made { state_dir: home.path().to_owned() };
        source.read_or_make().unwrap();
        let key = home.path().join("ca.key");
        for (bad, fine) in [(0o604, false), (0o644, false), (0o601, false), (0o640, true), (0o440, true), (0o600, true)]
        {
            chmod(&key, bad);
            let read = source.read();
            assert_eq!(read.is_ok(), fine, "{bad:o}");
            if let Err(error) = read {
                assert!(error.to_string().contains("chmod o= "), "{error}");
            }
        }
        chmod(home.path(), 0o777);
        assert!(matches!(source.read(), Err(Error::DirectoryOpenToOthers { .. })));
        chmod(home.path(), 0o755);
        assert!(source.read().is_ok());
        fs::remove_file(&key).unwrap();
        assert!(matches!(source.read(), Err(Error::KeyMissing { .. })));
    }

    #[test]
    fn a_ca_that_is_being_made_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let source = Source::Made { state_dir: home.path().to_owned() };
        source.read_or_make().unwrap();
        let (cert, elsewhere) = (home.path().join("ca.crt"), home.path().join("elsewhere"));
        fs::rename(&cert, &elsewhere).unwrap();
        assert!(matches!(source.read(), Err(Error::CertMissing { .. })));
        let making = lock(home.path()).unwrap();
        let other = std::thread::spawn(move || source.read().map(|found| found.is_some()));
        fs::rename(&elsewhere, &cert).unwrap();
        drop(making);
        assert!(other.join().unwrap().unwrap());
    }

    #[test]
    fn what_the_system_says_is_repeated_and_a_want_of_descriptors_is_no_bad_file() {
        let said = |errno: Errno| failed(Path::new("/x"), &io::Error::from(errno));
        assert_eq!(said(Errno::IO).to_string(), "/x: Input/output error (os error 5)");
        for errno in [Errno::MFILE, Errno::NFILE] {
            assert!(matches!(said(errno), Error::NoOpenFiles { .. }), "{errno}");
        }
    }

    #[test]
    fn given_files_are_read_and_never_made() {
        let home = tempfile::tempdir().unwrap();
        let Kept { cert, key } = Kept::within(home.path());
        let source = Source::Given { cert: cert.clone(), key: key.clone() };
        let missing = source.read_or_make().err().unwrap().to_string();
        assert!(missing.ends_with("there is no such file"), "{missing}");
        Kept { cert: cert.clone(), key: key.clone() }.make().unwrap();
        assert!(source.read_or_make().is_ok());
        fs::write(&cert, "x").unwrap();
        let error = source.read().err().unwrap().to_string();
        assert!(error.starts_with(&cert.display().to_string()), "{error}");
    }
}
