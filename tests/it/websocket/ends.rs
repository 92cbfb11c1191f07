//! How WebSockets end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::upstream::Upstream;
use super::{closed, open, passes, record, world};
use crate::world::{Started, World, within};

/// Longer than D37 allows, shorter than any idle limit.
const SOON: Duration = Duration::from_secs(12);

async fn limited(more: &str) -> (Started, Upstream) {
    let upstream = Upstream::start().await;
    let world = upstream.route(World::new().await, more).start().await;
    (world, upstream)
}

#[tokio::test]
async fn d36_a_websocket_ends_when_its_token_is_revoked() {
    let mut upstream = Upstream::start().await;
    let world = World::new().await.kubernetes().await.kubernetes_options("cache_ttl: 0s, negative_cache_ttl: 0s");
    let world = upstream.route(world, "").start().await;
    let (mut caller, mut theirs) = open(&world, &mut upstream).await;
    passes(&mut caller, &mut theirs, b"before").await;
    world.kubernetes.as_ref().unwrap().revoke();
    closed(&mut caller).await;
    closed(&mut theirs).await;
    let record = record(&world).await;
    assert_eq!((&record["error"], &record["complete"]), (&"INVALID_TOKEN".into(), &false.into()), "{record}");
}

#[tokio::test]
async fn d37_when_one_end_vanishes_the_other_is_closed() {
    for caller_vanishes in [true, false] {
        let (world, mut upstream) = world().await;
        let (caller, theirs) = open(&world, &mut upstream).await;
        let (gone, mut other) = if caller_vanishes { (caller, theirs) } else { (theirs, caller) };
        gone.set_zero_linger().unwrap();
        let begun = Instant::now();
        drop(gone);
        closed(&mut other).await;
        assert_eq!(record(&world).await["complete"], false);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        nothing_is_left(&world).await;
    }
}

#[tokio::test]
async fn d37_a_half_close_is_passed_on_and_silence_behind_it_is_the_end() {
    for caller_closes in [true, false] {
        let (world, mut upstream) = world().await;
        let (caller, theirs) = open(&world, &mut upstream).await;
        let (mut first, mut second) = if caller_closes { (caller, theirs) } else { (theirs, caller) };
        let begun = Instant::now();
        first.shutdown().await.unwrap();
        assert_eq!(within("the half-close", second.read(&mut [0; 1])).await.unwrap(), 0);
        // What was still to be said arrives.
        passes(&mut second, &mut first, b"last words").await;
        closed(&mut first).await;
        assert_eq!(record(&world).await["reason"], "one side ended and the other fell silent");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        nothing_is_left(&world).await;
    }
}

#[tokio::test]
async fn d38_a_silent_websocket_is_closed_at_the_idle_limit() {
    let (world, mut upstream) = limited(", timeouts: {idle: 1s}").await;
    let (mut caller, mut theirs) = open(&world, &mut upstream).await;
    closed(&mut caller).await;
    closed(&mut theirs).await;
    assert_eq!(record(&world).await["reason"], "nothing came within the idle limit");
}

#[tokio::test]
async fn d38_pings_of_either_side_keep_a_websocket_open() {
    let (world, mut upstream) = limited(", timeouts: {idle: 2s}").await;
    let (mut caller, mut theirs) = open(&world, &mut upstream).await;
    let begun = Instant::now();
    // Longer than the limit, in steps that are far shorter: time is what is tested.
    while begun.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        passes(&mut theirs, &mut caller, b"\x89\x00").await;
    }
    passes(&mut caller, &mut theirs, b"\x8a\x80abcd").await;
}

#[tokio::test]
async fn a_side_that_takes_nothing_holds_the_other_back_and_is_given_up() {
    let (world, mut upstream) = limited(", timeouts: {idle: 1s}").await;
    let (mut caller, mut theirs) = open(&world, &mut upstream).await;
    let mut sent = 0_usize;
    within("the end of a WebSocket that stands still", async {
        while let Ok(n) = theirs.write(&[0; 65536]).await {
            sent += n;
        }
    })
    .await;
    assert!(sent < 64 << 20, "{sent} bytes went into a WebSocket whose caller reads nothing");
    assert_eq!(record(&world).await["complete"], false);
    let _ = within("the caller's end", caller.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn l02_a_websocket_is_cut_at_the_drain_limit_and_recorded() {
    let mut upstream = Upstream::start().await;
    let world = World::new().await.config("limits: {drain_timeout: 1s}");
    let mut world = upstream.route(world, "").start().await;
    let (mut caller, mut theirs) = open(&world, &mut upstream).await;
    passes(&mut caller, &mut theirs, b"up").await;
    let records = world.stop().await;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!((&records[0]["status"], &records[0]["request_bytes"]), (&101.into(), &2.into()));
    assert_eq!(records[0]["complete"], false);
    closed(&mut caller).await;
    closed(&mut theirs).await;
}

#[tokio::test]
async fn l02_the_drain_waits_for_a_websocket_that_ends_in_time() {
    let mut upstream = Upstream::start().await;
    let world = World::new().await.config("limits: {drain_timeout: 10m}");
    let mut world = upstream.route(world, "").start().await;
    let (mut caller, mut theirs) = open(&world, &mut upstream).await;
    let proxy = world.proxy;
    let (records, ()) = tokio::join!(world.stop(), async {
        within("the listener's end", async {
            while tokio::net::TcpStream::connect(proxy).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        passes(&mut theirs, &mut caller, b"still here").await;
        drop(theirs);
        drop(caller);
    });
    assert_eq!(records.len(), 1, "{records:?}");
}

async fn nothing_is_left(world: &Started) {
    within("no connection is left", async {
        while world.sample("veilwarden_connections").await > 0.0 || world.sample("veilwarden_in_flight").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
