//! Row G24: a tunnel for each of thousands of hosts. It is the process that is measured.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::world;
use crate::world::tunnel::call;
use crate::world::{Started, until};

/// So many that all has been full for a while: 1024 leaves, 256 hosts.
const BEFORE: usize = 3000;
const MORE: usize = 4000;
/// So many tunnels at the same time.
const ABREAST: usize = 20;

/// A tunnel to a host that nobody has called before, and a call inside.
async fn tunnel(world: Arc<Started>, n: usize) {
    let target = format!("h{n}.w.test:80");
    let mut tls = world.tunnel(&target).await;
    let answer = call(&mut tls, format!("GET /x HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n")).await;
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
}

async fn tunnels(world: &Arc<Started>, numbers: std::ops::Range<usize>) {
    let mut open = JoinSet::new();
    for n in numbers {
        if open.len() == ABREAST {
            open.join_next().await.unwrap().unwrap();
        }
        open.spawn(tunnel(Arc::clone(world), n));
    }
    open.join_all().await;
}

#[tokio::test]
async fn g24_tunnels_for_thousands_of_hosts_hold_a_bounded_amount() {
    let (world, process) = world().await.forward().spawn().await;
    let world = Arc::new(world);
    tunnels(&world, 0..BEFORE).await;
    let lines = world.metrics().await.lines().count();
    let before = process.status_kib("RssAnon");
    tunnels(&world, BEFORE..BEFORE + MORE).await;
    let grown = process.status_kib("RssAnon").saturating_sub(before);
    // A leaf or what there is for a host are some kilobytes each.
    assert!(grown < 2 << 10, "{grown} KiB for {MORE} more hosts");
    assert_eq!(world.metrics().await.lines().count(), lines);
    until("the end of connections to hosts that are not kept", || world.a.open() <= 256).await;
    let hosts: std::collections::BTreeSet<_> =
        world.a.seen().iter().map(|seen| seen.headers("host").concat()).collect();
    assert_eq!((hosts.len(), world.a.seen().len()), (BEFORE + MORE, BEFORE + MORE));
}
