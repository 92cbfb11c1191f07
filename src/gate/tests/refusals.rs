//! What becomes of bytes that break the rules.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::super::refusal::{Refusal, STAND_IN};
use super::super::{After, PRIOR_KNOWLEDGE};
use super::{GOOD, gate, read, silent};

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
