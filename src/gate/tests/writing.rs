//! What is written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::Instant;

use super::super::Gate;
use super::{gate, limits};

/// A connection that takes one piece at a time.
#[derive(Debug)]
pub(in crate::gate) struct Plain(pub DuplexStream);

impl AsyncRead for Plain {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn k03_a_peer_that_takes_nothing_is_given_up() {
    let (_peer, io) = tokio::io::duplex(16);
    let mut gate = Gate::new(io, limits(), true);
    let start = Instant::now();
    let error = gate.write_all(&[b'x'; 64]).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
}

#[tokio::test]
async fn pieces_are_written_together_where_the_connection_can() {
    let (mut peer, mut gate) = gate();
    assert!(gate.is_write_vectored());
    let pieces = [io::IoSlice::new(b"one"), io::IoSlice::new(b"two")];
    assert_eq!(gate.write_vectored(&pieces).await.unwrap(), 6);
    let mut taken = [0; 6];
    peer.read_exact(&mut taken).await.unwrap();
    assert_eq!(&taken, b"onetwo");
    assert!(!Gate::new(Plain(peer), limits(), true).is_write_vectored());
}
