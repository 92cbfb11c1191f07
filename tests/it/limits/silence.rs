//! Rows K01 and K02: peers that send ever so slowly.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::world::{World, within};

/// One byte at a time until the proxy closes.
async fn drip(mut stream: tokio::net::TcpStream, bytes: Vec<u8>) {
    for byte in bytes.iter().cycle() {
        // What a slow peer does; the proxy's own limit is what ends it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        let mut said = [0; 512];
        let heard = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut said)).await;
        if matches!(heard, Ok(Ok(0) | Err(_))) {
            return;
        }
    }
}

#[tokio::test]
async fn k01_heads_that_come_byte_by_byte_are_cut_and_hold_nobody_up() {
    let world = World::new().await.config("limits: {header_timeout: 1s}").start().await;
    let mut slow = JoinSet::new();
    for _ in 0..100 {
        slow.spawn(drip(world.connect().await, b"X-Slow: slow\r\n".to_vec()));
    }
    let mut beside = 0;
    while !slow.is_empty() {
        world.assert_works("beside slow heads").await;
        beside += 1;
        while slow.try_join_next().is_some() {}
    }
    assert!(beside > 0);
    assert!(world.sample("veilwarden_connections").await <= 1.0);
}

#[tokio::test]
async fn k02_bodies_that_stop_are_given_up_on_both_sides() {
    let world = World::new().await.route_options("timeouts: {first_byte: 1s, idle: 1s}").start().await;
    let mut slow = JoinSet::new();
    for _ in 0..50 {
        let mut stream = world.connect().await;
        let head = world.request("POST", "/x", "Content-Length: 100\r\n");
        stream.write_all(format!("{head}x").as_bytes()).await.unwrap();
        slow.spawn(async move { stream.read_to_end(&mut Vec::new()).await.is_ok() });
    }
    world.assert_works("beside slow bodies").await;
    within("the end of the slow", async { while slow.join_next().await.is_some() {} }).await;
    within("the end of their upstreams", async {
        while world.sample("veilwarden_requests_in_flight").await > 0.0 || world.a.open() > 1 {}
    })
    .await;
}
