//! The end under full load: callers as a load balancer would send them, and not one call lost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Request;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{assert_ends_soon, readiness};
use crate::http2::peer::{Body, Peer, empty};
use crate::world::process::{End, Process, addresses};
use crate::world::recorder::{OK, Seen, Step};
use crate::world::{Started, World, raw, until, within};

/// Where new connections go: to the last that became ready; `None` when nobody is.
type Ready = watch::Receiver<Option<SocketAddr>>;

/// What came of all calls.
#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    lost: Mutex<Vec<String>>,
}

impl Tally {
    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    fn count(&self, good: bool, what: impl FnOnce() -> String) {
        match good {
            true => drop(self.answered.fetch_add(1, Ordering::SeqCst)),
            false => self.lost.lock().unwrap().push(what()),
        }
    }
}

/// What callers of both kinds need.
#[derive(Clone)]
struct Callers {
    ready: Ready,
    tally: Arc<Tally>,
    request: String,
    session: String,
}

impl Callers {
    fn new(world: &Started, ready: Ready) -> Callers {
        Callers { ready, tally: Arc::default(), request: world.ok(""), session: world.session_secret() }
    }

    /// So many callers of each version of HTTP, which end when nobody is ready.
    fn spawn(&self, of_each: usize) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for _ in 0..of_each {
            callers.spawn(self.clone().http1());
            callers.spawn(self.clone().http2());
        }
        callers
    }

    /// Where the next connection goes, opened.
    async fn connect(&self) -> Option<TcpStream> {
        let address = (*self.ready.borrow())?;
        let connected = TcpStream::connect(address).await;
        self.tally.lost.lock().unwrap().extend(connected.as_ref().err().map(|error| format!("connecting: {error}")));
        connected.ok()
    }

    /// Keeps a connection as long as it is not told to leave it.
    async fn http1(self) {
        let mut kept = None;
        loop {
            let stream = match kept.take() {
                Some(stream) => Some(stream),
                None => self.connect().await,
            };
            let Some(mut stream) = stream else { return };
            let written = stream.write_all(self.request.as_bytes()).await;
            let answer = raw::read_answer(&mut stream).await;
            let good = answer.status == 200 && answer.complete;
            self.tally.count(good, || format!("HTTP/1.1: {written:?} {answer:?}"));
            if good && answer.header("connection") != Some("close") {
                kept = Some(stream);
            }
        }
    }

    /// Keeps a connection until it hears that no more requests are taken on it.
    async fn http2(self) {
        while let Some(stream) = self.connect().await {
            let peer = Peer::over(stream).await;
            while !peer.is_closed() {
                match peer.begin(self.request_of_http2()).await {
                    Ok(answer) => {
                        let status = answer.status();
                        let body = http_body_util::BodyExt::collect(answer.into_body()).await;
                        self.tally.count(status == 200 && body.is_ok(), || format!("HTTP/2: {status} {body:?}"));
                    }
                    // It was never sent: the connection had said that it would take no more.
                    Err(error) if error.is_canceled() || error.is_closed() || says_goaway(&error) => break,
                    Err(error) => self.tally.count(false, || format!("HTTP/2: {error:?}")),
                }
            }
        }
    }

    fn request_of_http2(&self) -> Request<Body> {
        let request = Request::get("http://proxy.test/x").header("x-upstream-host", "a.test");
        request.header("x-session-secret", &self.session).body(empty()).unwrap()
    }
}

/// What a client hears that would begin a call when it has just read a GOAWAY. A call that had been taken would have its
/// record, and they are counted.
fn says_goaway(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|error| error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
}

/// Follows the readiness of a process until it is off, as a load balancer does.
async fn until_not_ready(world: &Started, admin: SocketAddr) {
    let readyz = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
    within("readiness to be off", async { while world.send_to(admin, readyz).await.status != 503 {} }).await;
}

/// Answers of which the first half comes at once, and the second when there is a permit.
fn halves(go: Arc<Semaphore>) -> impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static {
    move |seen| match seen.target() {
        "/slow" => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst".to_vec();
            vec![Step::Send(head), Step::Wait(go.clone()), Step::Send(b"other".to_vec())]
        }
        _ => vec![Step::Send(OK.to_vec())],
    }
}

/// So many calls whose answers have begun.
async fn slow_calls(world: &Started, count: usize) -> Vec<TcpStream> {
    let mut calls = Vec::new();
    for _ in 0..count {
        let mut stream = world.connect().await;
        stream.write_all(world.request("GET", "/slow", "").as_bytes()).await.unwrap();
        calls.push(stream);
    }
    until("the slow calls at the upstream", || {
        world.a.seen().iter().filter(|seen| seen.target() == "/slow").count() == count
    })
    .await;
    calls
}

fn assert_nothing_lost(tally: &Tally) {
    let lost = tally.lost.lock().unwrap();
    assert!(lost.is_empty(), "{} of {} calls: {:?}", lost.len(), lost.len() + tally.answered(), &lost[..1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l01_no_call_is_lost_when_the_end_comes_under_load() {
    const SLOW: usize = 20;
    let (world, mut process) = World::new().await.config("limits: {drain_delay: 3s, drain_timeout: 10m}").spawn().await;
    assert_eq!(readiness(&world).await, 200);
    let go = Arc::new(Semaphore::new(0));
    world.a.script(halves(go.clone()));
    let slow = slow_calls(&world, SLOW).await;
    let (announce, ready) = watch::channel(Some(world.proxy));
    let callers = Callers::new(&world, ready);
    let running = callers.spawn(6);
    until("the load", || callers.tally.answered() > 300).await;
    process.signal(Signal::TERM);
    until_not_ready(&world, world.admin).await;
    let served = callers.tally.answered();
    until("calls that are served though readiness is off", || callers.tally.answered() > served + 20).await;
    announce.send(None).unwrap();
    within("the callers' end", running.join_all()).await;
    until("the listener to be closed", || std::net::TcpStream::connect(world.proxy).is_err()).await;
    assert!(!process.has_ended(), "{SLOW} calls are open");
    go.add_permits(SLOW);
    for mut stream in slow {
        let answer = raw::read_answer(&mut stream).await;
        assert_eq!((answer.status, answer.text().as_str(), answer.complete), (200, "firstother", true), "{answer:?}");
    }
    assert_ends_soon(&mut process, End::Exit(0), "the drain").await;
    assert_nothing_lost(&callers.tally);
    let records = world.audit();
    assert_eq!(records.len(), callers.tally.answered() + SLOW, "a record for each call");
    assert!(records.iter().all(|record| record["status"] == 200 && record["complete"] == true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l12_a_successor_that_shares_the_state_takes_over_without_a_lost_call() {
    let world = World::new().await.forward().config("limits: {drain_delay: 3s}");
    let environment = world.session_secret();
    let (world, mut old) = world.spawn().await;
    let config = world.directory.path().join("veilwarden.yaml").display().to_string();
    let (announce, ready) = watch::channel(Some(world.proxy));
    let callers = Callers::new(&world, ready);
    let running = callers.spawn(4);
    until("the load", || callers.tally.answered() > 100).await;
    let variables = [("VEILWARDEN_SESSION_SECRET", &*environment)];
    let mut new = Process::spawn(&["serve", "--config", &config], &variables);
    let (proxy, admin) = addresses(&new.ready().await);
    old.signal(Signal::TERM);
    until_not_ready(&world, world.admin).await;
    announce.send(Some(proxy)).unwrap();
    assert_ends_soon(&mut old, End::Exit(0), "the old one").await;
    let served = callers.tally.answered();
    until("calls to the new one", || callers.tally.answered() > served + 100).await;
    announce.send(None).unwrap();
    // Nobody tells its callers to leave: they do when it does.
    new.signal(Signal::TERM);
    until_not_ready(&world, admin).await;
    within("the callers' end", running.join_all()).await;
    assert_ends_soon(&mut new, End::Exit(0), "the new one").await;
    assert_nothing_lost(&callers.tally);
    // Both wrote into one audit file, and each line is whole.
    assert_eq!(world.audit().len(), callers.tally.answered());
}

#[tokio::test]
async fn l02_events_and_their_stream_are_cut_visibly_at_the_drain_limit() {
    let (world, mut process) = World::new().await.config("limits: {drain_timeout: 1s}").spawn().await;
    world.a.script(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        vec![Step::Send(format!("{head}9\r\ndata: 1\n\n\r\n").into_bytes()), Step::Hang]
    });
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"data: 1\n\n\r\n") {
        seen.push(within("an event", stream.read_u8()).await.unwrap());
    }
    process.signal(Signal::TERM);
    let mut rest = Vec::new();
    let _ = within("the cut", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "a stream that is cut has no last chunk: {}", rest.escape_ascii());
    assert_ends_soon(&mut process, End::Exit(0), "the drain limit").await;
    assert_eq!(world.audit()[0]["complete"], false);
}
