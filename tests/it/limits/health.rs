//! Row K14: health is answered while callers keep the processor as busy as they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::world::{PATIENCE, Started, World, raw, within};

/// Quick for every path but those below `/slow`, for which no budget is enough.
const POLICY: &str = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
    allow if { startswith(input.path, \"/slow\"); count([x | some x in numbers.range(1, 50000); some y in numbers.range(1, 50000); x == y]) > 1 }\n\
    allow if startswith(input.path, \"/quick\")\n";

/// What the callers have had so far.
#[derive(Default)]
struct Had {
    slow: AtomicUsize,
    quick: AtomicUsize,
    handshakes: AtomicUsize,
}

impl Had {
    fn enough(&self, slow: usize) -> bool {
        let [quick, handshakes] = [&self.quick, &self.handshakes].map(|count| count.load(Ordering::Relaxed));
        self.slow.load(Ordering::Relaxed) >= slow && quick >= 100 && handshakes >= 100
    }
}

/// A decision that takes its whole budget, again and again.
async fn slow(world: Arc<Started>, had: Arc<Had>) {
    for n in 0.. {
        let answer = world.send(world.request("GET", &format!("/slow/{n}"), "")).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "POLICY_ERROR"), "{answer:?}");
        had.slow.fetch_add(1, Ordering::Relaxed);
    }
}

/// Decisions of another identity that have to be made, and are made soon.
async fn quick(world: Arc<Started>, had: Arc<Had>, caller: usize) {
    let (mut stream, mut held) = (world.connect().await, Vec::new());
    let fields = format!("Host: p\r\nX-Upstream-Host: a.test\r\nX-Session-Secret: {}\r\n\r\n", world.session_secret());
    for n in 0.. {
        let head = format!("GET /quick/{caller}/{n} HTTP/1.1\r\n{fields}");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(raw::read_next(&mut stream, &mut held).await.status, 200);
        had.quick.fetch_add(1, Ordering::Relaxed);
    }
}

/// Handshakes that cost us a signature and the caller nothing: one ClientHello, sent again and again.
async fn handshakes(world: Arc<Started>, had: Arc<Had>, hello: Arc<Vec<u8>>) {
    loop {
        let mut stream = world.opened("a.test:80").await;
        stream.write_all(&hello).await.unwrap();
        // What comes is sent when all of it is made, the signature too.
        within("a handshake's answer", stream.read_exact(&mut [0; 256])).await.unwrap();
        had.handshakes.fetch_add(1, Ordering::Relaxed);
    }
}

fn hello(world: &Started) -> Vec<u8> {
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(Arc::new(world.trusting()), "a.test".try_into().unwrap()).unwrap();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn k14_health_answers_beside_slow_policies_and_a_flood_of_handshakes() {
    const QUESTIONS: usize = 60;
    let world = World::new().await.kubernetes().await.forward().rego(POLICY);
    // A long budget, so that one decision in the wrong place is seen.
    let policy = format!("{{engine: opa, policy_path: {}, timeout: 3s}}", world.policies().display());
    let (world, process) = world.policy(&policy).spawn().await;
    let (world, had) = (Arc::new(world), Arc::new(Had::default()));
    let hello = Arc::new(hello(&world));
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let mut flood = JoinSet::new();
    for caller in 0..2 {
        flood.spawn(quick(world.clone(), had.clone(), caller));
        flood.spawn(handshakes(world.clone(), had.clone(), hello.clone()));
    }
    for _ in 0..processors.max(4) * 2 {
        flood.spawn(slow(world.clone(), had.clone()));
    }
    within("the first slow decisions", async {
        while had.slow.load(Ordering::Relaxed) < processors {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    let mut took = Vec::new();
    let before = had.slow.load(Ordering::Relaxed);
    // As long as it takes until decisions have come and gone, and there was a flood.
    while took.len() < QUESTIONS || !had.enough(before + 4 * processors) {
        assert!(flood.try_join_next().is_none(), "a caller has ended");
        for path in ["/healthz", "/readyz"] {
            let asked = Instant::now();
            let answer = world.send_to(world.admin, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            took.push(asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    flood.abort_all();
    while flood.join_next().await.is_some() {}
    took.sort_unstable();
    let (median, most, longest) = (took[took.len() / 2], took[took.len() * 9 / 10], took[took.len() - 1]);
    println!(
        "{} answers beside {} slow and {} quick decisions and {} handshakes: median {median:?}, nine in ten {most:?}, longest {longest:?}",
        took.len(),
        had.slow.load(Ordering::Relaxed),
        had.quick.load(Ordering::Relaxed),
        had.handshakes.load(Ordering::Relaxed)
    );
    assert!(most < Duration::from_secs(1) && longest < PATIENCE, "median {median:?}, {most:?}, {longest:?}\n{took:?}");
    assert!(!process.stderr().contains("panicked"), "{}", process.stderr());
}
