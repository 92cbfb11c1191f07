//! How a connection ends, and what is still read of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::refusal::STAND_IN;
use super::{GOOD, gate, read};

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_within_a_head_is_noticed() {
    let (mut peer, mut gate) = gate();
    peer.write_all(b"GET /a HT").await.unwrap();
    drop(peer);
    assert_eq!(read(&mut gate).await.unwrap(), b"");
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
