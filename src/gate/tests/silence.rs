//! How long a peer may be silent, and when the parser may go.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::super::Ended;
use super::{CONNECT, GOOD, gate, read, silent};

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
async fn a_connection_that_stays_silent_is_given_up() {
    let (mut peer, mut gate) = gate();
    peer.write_all(GOOD).await.unwrap();
    assert_eq!(read(&mut gate).await.unwrap(), GOOD);
    let start = Instant::now();
    assert_eq!(read(&mut gate).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 60);
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
async fn within_a_body_silence_is_the_readers_business() {
    let (mut peer, mut gate) = gate();
    peer.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab").await.unwrap();
    assert!(read(&mut gate).await.unwrap().ends_with(b"ab"));
    let day = tokio::time::timeout(Duration::from_secs(24 * 3600), read(&mut gate)).await;
    assert!(day.is_err(), "{day:?}");
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
