//! Behind a head after which HTTP may end.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::super::reading::MAX_AHEAD;
use super::{CONNECT, GOOD, gate, read, silent};

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
