//! The gate over a connection whose other end is played, with a clock that stands still until it is moved.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::Instant;

use super::reading::MAX_AHEAD;
use super::refusal::STAND_IN;
use super::*;

const GOOD: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const CONNECT: &[u8] = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";

fn limits() -> Limits {
    Limits { header_timeout: Duration::from_secs(11), idle_timeout: Duration::from_secs(60), ..Limits::default() }
}

fn gate() -> (DuplexStream, Gate<DuplexStream>) {
    let (peer, io) = tokio::io::duplex(64 << 10);
    (peer, Gate::new(io, limits(), true))
}

/// What one read gives.
async fn read(gate: &mut Gate<DuplexStream>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let n = gate.read(&mut buffer).await?;
    buffer.truncate(n);
    Ok(buffer)
}

/// That nothing comes for as long as the paused clock is told to run.
async fn silent(gate: &mut Gate<DuplexStream>) -> bool {
    tokio::time::timeout(Duration::from_secs(5), read(gate)).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn k01_a_head_that_does_not_end_is_given_up() {
    let (mut peer, mut gate) = gate();
    let start = Instant::now();
    peer.write_all(b"GET /a HT").await.unwrap();
    let dripping = tokio::spawn(async move {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if peer.write_all(b"x").await.is_err() {
                break;
            }
        }
    });
    let error = read(&mut gate).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 11, "bytes that trickle in must not move the limit");
    dripping.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_silent_is_given_up() {
    let (mut peer, mut gate) = gate();
    peer.write_all(GOOD).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), GOOD);
    let start = Instant::now();
    assert_eq!(read(&mut gate).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn within_a_body_silence_is_the_readers_business() {
    let (mut peer, mut gate) = gate();
    peer.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab").await.unwrap();
    assert!(read(&mut gate).await.unwrap().ends_with(b"ab"));
    let day = tokio::time::timeout(Duration::from_secs(24 * 3600), read(&mut gate)).await;
    assert!(day.is_err(), "{day:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_head_is_replaced_by_the_stand_in_and_nothing_behind_it_passes() {
    let (mut peer, mut gate) = gate();
    let handle = gate.handle();
    peer.write_all(&[GOOD, b"GET /b HTTP/1.1\nHost: a\n\n", GOOD].concat()).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), GOOD);
    assert_eq!(read(&mut gate).await.unwrap(), STAND_IN);
    assert_eq!(handle.refusal(), Refusal::Malformed("a line ends with a bare line feed"));
    peer.write_all(GOOD).await.unwrap();
    assert!(silent(&mut gate).await, "what follows the stand-in is never read");
}

#[tokio::test(start_paused = true)]
async fn a_bad_head_in_pieces_is_replaced_as_well() {
    let (mut peer, mut gate) = gate();
    peer.write_all(b"GET /b HTTP/1.1\r").await.unwrap();
    assert!(silent(&mut gate).await);
    peer.write_all(b"\nHost : a\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), STAND_IN);
}

#[tokio::test(start_paused = true)]
async fn a_bad_body_is_an_error_and_no_stand_in() {
    let (mut peer, mut gate) = gate();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    peer.write_all(&[&head[..], b"2\r\nhi\r\n", b"+1\r\n"].concat()).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), [&head[..], b"2\r\nhi\r\n"].concat());
    assert_eq!(read(&mut gate).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    peer.write_all(GOOD).await.unwrap();
    assert!(silent(&mut gate).await);
}

#[tokio::test(start_paused = true)]
async fn the_preface_is_for_http_2_only_at_the_very_start() {
    let preface = [PRIOR_KNOWLEDGE, b"SM\r\n\r\nrest"].concat();
    for size in [1, 7, preface.len()] {
        let (mut peer, mut gate) = gate();
        for piece in preface.chunks(size) {
            peer.write_all(piece).await.unwrap();
            if tokio::time::timeout(Duration::from_millis(1), read(&mut gate)).await.is_ok() {
                break;
            }
        }
        let After::Http2(mut frames) = gate.after() else { panic!("HTTP/2") };
        let mut start = [0; PRIOR_KNOWLEDGE.len()];
        frames.read_exact(&mut start).await.unwrap();
        assert_eq!(start, PRIOR_KNOWLEDGE, "pieces of {size}");
        let begun = Instant::now();
        let silence = frames.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!((silence.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 11), "the same limits");
    }
    let (mut peer, mut gate) = gate();
    peer.write_all(&[GOOD, &preface].concat()).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), GOOD);
    assert_eq!(read(&mut gate).await.unwrap(), STAND_IN);
    assert!(matches!(gate.after(), After::Nothing));
}

#[tokio::test(start_paused = true)]
async fn g06_nothing_behind_connect_passes_before_it_is_decided() {
    let (mut peer, mut gate) = gate();
    let handle = gate.handle();
    peer.write_all(&[CONNECT, GOOD].concat()).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), CONNECT);
    let busy = handle.busy();
    assert!(silent(&mut gate).await, "undecided");
    drop(busy);
    assert_eq!(read(&mut gate).await.unwrap(), GOOD, "an answer that ends: HTTP goes on");

    let (mut peer, mut gate) = self::gate();
    let handle = gate.handle();
    peer.write_all(&[CONNECT, b"\x16\x03"].concat()).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), CONNECT);
    handle.pass_through();
    assert_eq!(read(&mut gate).await.unwrap(), b"\x16\x03", "passed through as it came");
    peer.write_all(b"\n\n").await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), b"\n\n");
}

#[tokio::test(start_paused = true)]
async fn g06_a_reader_that_waits_hears_of_the_decision() {
    for passes in [true, false] {
        let (mut peer, mut gate) = gate();
        let handle = gate.handle();
        peer.write_all(&[CONNECT, GOOD].concat()).await.unwrap();
        assert_eq!(read(&mut gate).await.unwrap(), CONNECT);
        let busy = handle.busy();
        let reading = tokio::spawn(async move { read(&mut gate).await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        if passes {
            handle.pass_through();
        } else {
            drop(busy);
        }
        let heard = tokio::time::timeout(Duration::from_secs(1), reading).await;
        assert_eq!(heard.expect("it is woken").unwrap().unwrap(), GOOD, "{passes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_is_noticed_while_it_is_undecided() {
    let (mut peer, mut gate) = gate();
    let handle = gate.handle();
    peer.write_all(CONNECT).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), CONNECT);
    let _busy = handle.busy();
    drop(peer);
    assert_eq!(read(&mut gate).await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_little_is_read_ahead() {
    let (mut peer, mut gate) = gate();
    let handle = gate.handle();
    peer.write_all(CONNECT).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), CONNECT);
    let _busy = handle.busy();
    peer.write_all(&[b'x'; 60 << 10]).await.unwrap();
    assert!(silent(&mut gate).await);
    assert_eq!(gate.held.len(), MAX_AHEAD);
}

#[tokio::test(start_paused = true)]
async fn k03_a_peer_that_takes_nothing_is_given_up() {
    let (_peer, io) = tokio::io::duplex(16);
    let mut gate = Gate::new(io, limits(), true);
    let start = Instant::now();
    let error = gate.write_all(&[b'x'; 64]).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_the_rest_is_read_before_the_end() {
    let (mut peer, mut gate) = gate();
    peer.write_all(b"GET / HTTP/1.1\n\n").await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), STAND_IN);
    let closing = tokio::spawn(async move { gate.shutdown().await });
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
    assert!(!closing.is_finished(), "the peer may still be sending");
    drop(peer);
    closing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_message_is_read_before_the_end() {
    let within_body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    for (sent, owed) in [(&within_body[..], true), (b"GET /a HT", true), (GOOD, false), (b"", false)] {
        let (mut peer, mut gate) = gate();
        peer.write_all(sent).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(1), read(&mut gate)).await;
        let at_once = tokio::time::timeout(Duration::from_millis(1), gate.shutdown()).await;
        assert_eq!(at_once.is_err(), owed, "{:?}", String::from_utf8_lossy(sent));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_within_a_head_is_noticed() {
    let (mut peer, mut gate) = gate();
    peer.write_all(b"GET /a HT").await.unwrap();
    drop(peer);
    assert_eq!(read(&mut gate).await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn the_idle_limit_begins_when_a_head_in_pieces_is_whole() {
    let (mut peer, mut gate) = gate();
    peer.write_all(&GOOD[..9]).await.unwrap();
    assert!(silent(&mut gate).await);
    peer.write_all(&GOOD[9..]).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), GOOD);
    let whole = Instant::now();
    assert_eq!(read(&mut gate).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(whole.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn k01_a_head_after_a_rest_has_its_own_limit() {
    let (mut peer, mut gate) = gate();
    let waking = tokio::time::timeout(Duration::from_secs(5), gate.wakes()).await;
    assert!(waking.is_err(), "{waking:?}");
    peer.write_all(b"GET /a HT").await.unwrap();
    assert!(gate.wakes().await.unwrap());
    let begun = Instant::now();
    assert_eq!(read(&mut gate).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed().as_secs(), 11);
}

#[tokio::test(start_paused = true)]
async fn k05_rest_comes_a_while_after_the_last_answer() {
    let (mut peer, mut gate) = gate();
    peer.write_all(GOOD).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), GOOD);
    let busy = gate.handle().busy();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(busy);
    });
    let asked = Instant::now();
    assert_eq!(read(&mut gate).await.unwrap(), b"");
    assert!(matches!(gate.ended, Ended::Resting));
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(80) && took < Duration::from_millis(150), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn k05_no_rest_before_the_last_request_has_come_to_the_service() {
    let (mut peer, mut gate) = gate();
    let handle = gate.handle();
    for _ in 0..2 {
        peer.write_all(GOOD).await.unwrap();
        assert_eq!(read(&mut gate).await.unwrap(), GOOD);
        assert!(silent(&mut gate).await);
        drop(handle.busy());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_http_may_be_silent() {
    let (mut peer, mut gate) = gate();
    peer.write_all(CONNECT).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), CONNECT);
    gate.handle().pass_through();
    let day = tokio::time::timeout(Duration::from_secs(24 * 3600), read(&mut gate)).await;
    assert!(day.is_err(), "{day:?}");
}

/// A connection that takes one piece at a time.
#[derive(Debug)]
pub struct Plain(pub DuplexStream);

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
