//! A Unix socket to listen on: made for owner and group, and taken away at the end.

use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::Listener;
use crate::authn::Source;

/// Connecting needs the right to write.
const MODE: u32 = 0o660;
/// Connections that wait to be accepted, as tokio has it for its own listeners.
const BACKLOG: u32 = 1024;
/// How often, and with what rest between, a start waits for another one.
const LOCK_TRIES: usize = 100;
const LOCK_REST: Duration = Duration::from_millis(20);

/// A listener whose file goes when it does.
#[derive(Debug)]
pub struct Unix {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket, known by more than its name.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Unix {
    /// Makes the socket. A file that a dead process left is removed first; anything else in its place is an error.
    pub async fn bind(path: &Path) -> io::Result<Unix> {
        // Two starts at the same time must not take each other's fresh socket for a dead one's.
        let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
        lock(&directory).await?;
        remove_stale(path).await?;
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        let file = SocketFile::of(path)?;
        // Nobody can connect before `listen`, so nobody can before the mode is right.
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        Ok(Unix { listener: socket.listen(BACKLOG)?, file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl Listener for Unix {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Source)> {
        let (stream, _) = self.listener.accept().await?;
        let uid = stream.peer_cred()?.uid();
        Ok((stream, Source::Unix { uid }))
    }
}

/// Held until the directory is closed. It is needed for a moment only, so whoever has it is waited for.
async fn lock(directory: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match directory.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_REST).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("another process holds a lock on its directory"))
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::other("there is another file of this name, which is no socket"));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A full queue is a sign of life, too.
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(&fs::symlink_metadata(path)?) })
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever has put another one in its place keeps it.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[tokio::test]
    async fn a_socket_is_for_owner_and_group_and_goes_with_its_listener() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("v.sock");
        let unix = Unix::bind(&path).await.unwrap();
        assert_eq!(mode(&path), 0o660);
        let _stream = UnixStream::connect(&path).await.unwrap();
        let (_, source) = unix.accept().await.unwrap();
        assert_eq!(source, Source::Unix { uid: fs::metadata(home.path()).unwrap().uid() });
        drop(unix);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn of_starts_at_the_same_time_one_has_the_socket() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("v.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (first, second) = tokio::join!(Unix::bind(&path), Unix::bind(&path));
        assert_eq!([&first, &second].iter().filter(|bound| bound.is_ok()).count(), 1, "{first:?} {second:?}");
        assert!(UnixStream::connect(&path).await.is_ok());
        // Each has its own, whatever else is made beside it.
        let (third, fourth) = (home.path().join("3.sock"), home.path().join("4.sock"));
        let (third, fourth) = tokio::join!(Unix::bind(&third), Unix::bind(&fourth));
        assert!(third.is_ok() && fourth.is_ok(), "{third:?} {fourth:?}");
    }

    #[tokio::test]
    async fn only_a_dead_socket_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("v.sock");
        // std's listener leaves its file behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let alive = Unix::bind(&path).await.unwrap();
        assert_eq!(Unix::bind(&path).await.unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).await.is_ok());
        // Another one in its place is not ours to remove.
        fs::remove_file(&path).unwrap();
        let other = Unix::bind(&path).await.unwrap();
        drop(alive);
        assert!(path.exists());
        drop(other);
        fs::write(&path, "precious").unwrap();
        assert!(Unix::bind(&path).await.unwrap_err().to_string().contains("no socket"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(home.path().join("elsewhere"), &path).unwrap();
        assert!(Unix::bind(&path).await.unwrap_err().to_string().contains("no socket"));
        assert!(Unix::bind(&home.path().join("absent/v.sock")).await.is_err());
    }
}
