//! Row D38: much that goes one way. The process is the real one, so that its memory is its own.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::upstream::Upstream;
use super::{closed, open, record};
use crate::world::{World, within};

/// A frame of 64 KiB as a server sends it (RFC 6455 section 5.2).
fn frame() -> Vec<u8> {
    [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[0x5a; 1 << 16]].concat()
}

/// So many frames pass from the upstream to the caller, and memory stays where it is after the first of them.
async fn assert_passes_flat(frames: usize, searched: bool) {
    const FIRST: usize = 256;
    let mut upstream = Upstream::start().await;
    let world = World::new().await;
    let world = if searched { upstream.searched_route(world, "") } else { upstream.route(world, "") };
    let (world, process) = world.spawn().await;
    let (mut caller, mut theirs) = open(&world, &mut upstream).await;
    let sending = tokio::spawn(async move {
        let frame = frame();
        for _ in 0..frames {
            theirs.write_all(&frame).await.unwrap();
        }
        theirs
    });
    let (expected, begun) = (frame(), Instant::now());
    let (mut came, mut before, mut most) = (vec![0; expected.len()], 0, 0);
    for n in 0..frames {
        within("a frame", caller.read_exact(&mut came)).await.unwrap();
        assert!(came == expected, "frame {n} differs");
        if n == FIRST {
            before = process.status_kib("VmRSS");
        }
        if n >= FIRST && n % 64 == 0 {
            most = most.max(process.status_kib("VmRSS"));
        }
    }
    println!("{frames} frames, searched: {searched}: {:?}, RSS {before} KiB, at most {most} KiB", begun.elapsed());
    assert!(most < before + (2 << 10), "{before} KiB before, {most} KiB during");
    drop(sending.await.unwrap());
    closed(&mut caller).await;
    drop(caller);
    assert_eq!(record(&world).await["response_bytes"], frames * expected.len());
}

#[tokio::test]
async fn d38_a_gigabyte_passes_one_way_and_memory_stays_flat() {
    assert_passes_flat(1 << 14, false).await;
}

#[tokio::test]
async fn d38_so_it_does_when_it_is_searched() {
    assert_passes_flat(1 << 12, true).await;
}
