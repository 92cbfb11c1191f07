//! Row K22: the process is stopped for longer than each of its limits, and goes on. Its peers did what they should
//! meanwhile, so no call of theirs may fail for it.

mod calls;
mod servers;

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::readiness;
use crate::websocket::upstream::Upstream;
use crate::world::process::Process;
use crate::world::tls::Authority;
use crate::world::{World, until, within};

/// Each limit that a call can run into: longer than it takes a busy machine to get all calls under way.
const TIMEOUTS: &str = "timeouts: {connect: 8s, first_byte: 8s, idle: 8s}";
const LIMITS: &str = "limits: {header_timeout: 8s, idle_timeout: 8s}";
const STOP: Duration = Duration::from_secs(9);

/// One permit for everybody who waits for the process to be stopped.
#[derive(Clone)]
struct Stopped(Arc<Semaphore>);

impl Stopped {
    async fn wait(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

/// A call that is in flight when the process stops, and what became of it: how it failed.
struct Flight {
    name: &'static str,
    ended: JoinHandle<Result<(), String>>,
}

impl Flight {
    /// `rest` goes on as soon as the process is stopped.
    fn new(
        name: &'static str,
        stopped: &Stopped,
        rest: impl Future<Output = Result<(), String>> + Send + 'static,
    ) -> Flight {
        let stopped = stopped.clone();
        let ended = tokio::spawn(async move {
            stopped.wait().await;
            rest.await
        });
        Flight { name, ended }
    }
}

/// What a call should come to.
fn expect<T: PartialEq + std::fmt::Debug>(came: T, expected: T) -> Result<(), String> {
    if came == expected { Ok(()) } else { Err(format!("{came:?}")) }
}

fn is_stopped(process: &Process) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    status.contains("State:\tT")
}

#[tokio::test]
async fn k22_calls_of_healthy_peers_outlive_a_stop_that_is_longer_than_every_limit() {
    let stopped = Stopped(Arc::new(Semaphore::new(0)));
    let (authority, mut websockets) = (Authority::new(), Upstream::start().await);
    let secure = servers::Secure::start(&authority, &stopped).await;
    let both = servers::pieces_over_http2(&stopped).await;
    let world = World::new().await.kubernetes().await.kubernetes_options("cache_ttl: 1s, timeout: 8s");
    let world = world.doppler().await.doppler_options("timeout: 8s").store_options("cache_ttl: 1s, max_stale: 1s");
    let world = websockets.route(world.forward(), &format!(", {TIMEOUTS}"));
    let (ca, secure_at, a) = (authority.file(world.directory.path()), secure.address, world.a.address);
    let world = world.route_options(TIMEOUTS).config(LIMITS).route(&format!(
        "{{upstream_host: tls.test, upstream_address: \"{secure_at}\", ca_file: \"{}\", {TIMEOUTS}, secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}",
        ca.display()
    ));
    let world = world.route(&format!(
        "{{upstream_host: h2.test, upstream_scheme: http, upstream_http2: true, upstream_address: \"{both}\", {TIMEOUTS}, secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"
    ));
    let world = world.route(&format!(
        "{{upstream_host: stored.test, upstream_scheme: http, upstream_address: \"{a}\", {TIMEOUTS}, secret_id: STORED, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"
    ));
    let (world, mut process) = world.spawn().await;
    let world = Arc::new(world);
    servers::script(&world, &stopped);

    let flights = vec![
        calls::idle(&world, &stopped, "an idle connection that rests").await,
        calls::websocket(&world, &stopped, &mut websockets).await,
        calls::head(&world, &stopped).await,
        calls::answer(&world, &stopped).await,
        calls::first_byte(&world, &stopped).await,
        calls::upload(&world, &stopped).await,
        calls::over_http2(&world, &stopped, "a.test", "HTTP/2 from the caller").await,
        calls::over_http2(&world, &stopped, "h2.test", "HTTP/2 on both sides").await,
        calls::idle_over_http2(&world, &stopped).await,
        calls::tunnel(&world, &stopped).await,
        calls::handshake_with_an_upstream(&world, &stopped, &secure).await,
        calls::secret(&world, &stopped).await,
        calls::large(&world, &stopped).await,
        calls::idle(&world, &stopped, "an idle connection").await,
        // Behind it every review waits.
        calls::review(&world, &stopped).await,
    ];
    process.signal(Signal::STOP);
    until("the stop", || is_stopped(&process)).await;
    stopped.0.add_permits(1000);
    // Not for luck: the time that passes while the process is stopped is the case.
    tokio::time::sleep(STOP).await;
    process.signal(Signal::CONT);

    let mut failed = Vec::new();
    for Flight { name, ended } in flights {
        if let Err(how) = within(name, ended).await.unwrap() {
            failed.push(format!("{name}: {how}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}\n{}", process.stderr());
    world.assert_works("after the stop").await;
    assert_eq!(readiness(&world).await, 200);
    assert!(!process.has_ended() && !process.stderr().contains("panicked"), "{}", process.stderr());
}
