//! `file` entries: a mounted secret, read again by the cache every few seconds while it is in use.
//!
//! Whoever replaces the file should do so by renaming, as Kubernetes does for a mounted Secret. A file that is
//! missing, unreadable or holds no valid value is an error; the cache bridges it with the last good value until
//! `max_stale`, so that a replacement caught half way costs no call, and then fails closed.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{Error, MAX_VALUE, Secret, SecretStore};
use crate::BoxFuture;
use crate::gate::deadline::timeout;

pub(super) const STORE: &str = "file";
/// How soon a changed file is noticed while calls use it.
pub(super) const REREAD: Duration = Duration::from_secs(2);
/// One read. A file system may hang as a server does.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// Reads at a time. A hung read keeps its thread, so this bounds the threads lost to a dead mount.
const READS: usize = 8;

/// Files by path: the id is the path.
#[derive(Debug)]
pub struct Files {
    reads: Arc<Semaphore>,
}

impl Default for Files {
    fn default() -> Files {
        Files { reads: Arc::new(Semaphore::new(READS)) }
    }
}

impl SecretStore for Files {
    fn fetch<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Secret, Error>> {
        Box::pin(async move {
            let reading = async {
                let permit = self.reads.clone().acquire_owned().await.map_err(|error| unavailable(&error))?;
                let path = path.to_owned();
                let read = move || {
                    let _permit = permit;
                    read(Path::new(&path))
                };
                tokio::task::spawn_blocking(read).await.map_err(|error| unavailable(&error))?
            };
            timeout(TIMEOUT, reading).await.map_err(|error| unavailable(&error))?
        })
    }
}

fn read(path: &Path) -> Result<Secret, Error> {
    // Opening a pipe or a device could wait for ever.
    if !std::fs::metadata(path).map_err(|error| unavailable(&error))?.is_file() {
        return Err(unavailable(&"not a regular file"));
    }
    // Room for one byte and a line end more than is allowed: the buffer never grows and leaves no copy behind.
    let room = MAX_VALUE + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let file = File::open(path).map_err(|error| unavailable(&error))?;
    file.take(room as u64).read_to_end(&mut bytes).map_err(|error| unavailable(&error))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::InvalidValue("is not UTF-8"))?;
    Secret::new(text.to_owned())
}

fn unavailable(reason: &dyn std::fmt::Display) -> Error {
    Error::Unavailable { store: STORE, reason: reason.to_string(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fetch(path: &Path) -> Result<Secret, Error> {
        Files::default().fetch(path.to_str().unwrap()).await
    }

    #[tokio::test]
    async fn a_file_is_read_afresh_and_its_line_end_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for value in ["one\n", "two\r\n", "three"] {
            std::fs::write(&path, value).unwrap();
            assert_eq!(fetch(&path).await.unwrap().expose_secret(), value.trim_end());
        }
        std::fs::write(&path, format!("{}\r\n", "c".repeat(MAX_VALUE))).unwrap();
        assert_eq!(fetch(&path).await.unwrap().expose_secret().len(), MAX_VALUE);
    }

    #[tokio::test]
    async fn a_bad_file_is_an_error_that_holds_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (bytes, label) in [
            (b"".as_slice(), "invalid_value"),
            (b"canary\nsecond line\n", "invalid_value"),
            (b"canary\xff\xfe", "invalid_value"),
            (&[b'c'; 10 * MAX_VALUE], "invalid_value"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = fetch(&path).await.unwrap_err();
            assert_eq!(error.label(), label);
            assert!(!format!("{error:?} {error}").contains("canary"), "{error}");
        }
        assert_eq!(fetch(folder.path()).await.unwrap_err().label(), "unavailable");
        assert_eq!(fetch(&folder.path().join("absent")).await.unwrap_err().label(), "unavailable");
    }

    #[tokio::test]
    async fn a_pipe_does_not_hold_a_thread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(fetch(&path).await.unwrap_err().label(), "unavailable");
        drop(listener);
    }
}
