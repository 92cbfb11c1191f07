//! Rows K05, K10, K17: what idle, slow and varied callers can make the process hold. It is the process that is measured.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::world::recorder::Step;
use crate::world::{Started, World, raw, until, within};

async fn asked_once(world: &Started) -> TcpStream {
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer(&mut stream).await.status, 200);
    stream
}

#[tokio::test]
async fn k05_an_idle_connection_holds_little_and_is_reaped() {
    let (world, process) = World::new().await.config("limits: {idle_timeout: 20s}").spawn().await;
    let idle = async |number: usize| {
        let mut open = Vec::new();
        for _ in 0..number {
            open.push(asked_once(&world).await);
        }
        open
    };
    drop(idle(100).await);
    within("the end of the first", async { while world.sample("veilwarden_connections").await > 0.0 {} }).await;
    let before = process.status_kib("VmRSS");
    let mut open = idle(400).await;
    let each = process.status_kib("VmRSS").saturating_sub(before) * 1024 / 400;
    assert!(each < 10_000, "{each} bytes for each idle connection");
    // One that has rested goes on as if it had not.
    for stream in open.iter_mut().step_by(50) {
        stream.write_all(world.ok("").as_bytes()).await.unwrap();
        assert_eq!(raw::read_answer(stream).await.status, 200);
    }
    let reaped = async {
        while world.sample("veilwarden_connections").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reaped).await.expect("idle connections are closed");
}

#[tokio::test]
async fn k10_uploads_that_are_not_taken_hold_a_bounded_amount() {
    const UPLOADS: u64 = 20;
    let (world, process) = World::new().await.spawn().await;
    world.assert_works("before").await;
    let never = Arc::new(Semaphore::new(0));
    world.a.eager();
    world.a.script(move |_| vec![Step::Wait(never.clone())]);
    let before = process.status_kib("VmRSS");
    let mut open = Vec::new();
    for _ in 0..UPLOADS {
        let mut stream = world.connect().await;
        let head = world.request("POST", "/x", "Content-Length: 104857600\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // Until nothing moves any more: both sides' sockets are full, and what lies between them.
        while tokio::time::timeout(Duration::from_millis(500), stream.write_all(&[b'x'; 1 << 16])).await.is_ok() {}
        open.push(stream);
    }
    assert_eq!(world.a.seen().len() as u64, UPLOADS + 1);
    let grown = process.status_kib("VmRSS").saturating_sub(before);
    assert!(grown <= UPLOADS * 256, "{grown} KiB for {UPLOADS} uploads");
}

#[tokio::test]
async fn k17_whatever_callers_make_up_metrics_stay_of_one_size() {
    let (world, process) = World::new().await.kubernetes().await.spawn().await;
    let flood = async |from: usize, number: usize| {
        for batch in (from..from + number).collect::<Vec<_>>().chunks(50) {
            let mut stream = world.connect().await;
            let calls: String = batch.iter().flat_map(|n| varied(&world, *n)).collect();
            stream.write_all(calls.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            for _ in 0..batch.len() * 3 {
                assert!(raw::read_next(&mut stream, &mut rest).await.status > 0);
            }
        }
        until("the records", || world.audit().len() >= (from + number) * 3).await;
    };
    flood(0, 200).await;
    let (lines, memory) = (world.metrics().await.lines().count(), process.status_kib("VmRSS"));
    flood(200, 1000).await;
    assert_eq!(world.metrics().await.lines().count(), lines);
    let grown = process.status_kib("VmRSS").saturating_sub(memory);
    assert!(grown < 8 << 10, "{grown} KiB more");
}

/// A token, a host, and a path with ids and an unheard-of method: each of them new.
fn varied(world: &Started, n: usize) -> [String; 3] {
    let host = "Host: p\r\nX-Upstream-Host:";
    [
        format!("GET /x HTTP/1.1\r\n{host} a.test\r\nAuthorization: Bearer e{n}.e30.x\r\n\r\n"),
        world.request_to(&format!("h{n}.test"), "GET", "/x", ""),
        world.request_to(
            "a.test",
            &format!("M{n}"),
            &format!("/{n}"),
            &format!("X-Agent-Id: a{n}\r\nX-Request-Id: r{n}\r\n"),
        ),
    ]
}
