//! Section L of the hostile cases: starting, not starting, and the orderly end of the real process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::world::kubernetes::Mode;
use crate::world::process::{self, End, Process, addresses, file, named_pipe};
use crate::world::raw;
use crate::world::recorder::Step;
use crate::world::{PATIENCE, Started, World, until, within};

mod audit;
mod refused;
mod load;
mod recovery;
mod stopped;

const SECRET: (&str, &str) = ("VEILWARDEN_SESSION_SECRET", "a-session-secret-for-tests");

/// A configuration that is good but for the lines added to it.
fn config(lines: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nkubernetes: {{enabled: false}}\n\
         secrets: [{{id: KEY, value: some-value}}]\n\
         routes: [{{upstream_host: a.test, secret_id: KEY, inject_header: Authorization, header_value_template: \"{{{{secret}}}}\"}}]\n\
         policy: {{enabled: true, engine: config, default_allow: true}}\n{lines}\n"
    )
}

/// Whether the process has a handler of its own for the signal.
fn handles(process: &Process, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(caught.trim(), 16).unwrap_or_default() & (1 << (signal.as_raw() - 1)) != 0
}

/// Ends within moments, not with the last limit that is left.
async fn assert_ends_soon(process: &mut Process, expected: End, what: &str) {
    let begun = Instant::now();
    assert_eq!(process.end().await, expected, "{what}: {}", process.stderr());
    assert!(begun.elapsed() < PATIENCE / 2, "{what}: ended after {:?}", begun.elapsed());
}

#[tokio::test]
async fn l05_a_signal_during_the_start_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = named_pipe(directory.path(), "pipe");
    let cluster = config("").replace("{enabled: false}", &format!("{{enabled: true, kubeconfig: \"{pipe}\"}}"));
    let cluster = file(directory.path(), "cluster.yaml", cluster);
    // Opening a pipe at whose other end nobody is takes for ever: a start that hangs, at two of its steps.
    for (config, what) in [(&pipe, "the configuration"), (&cluster, "the kubeconfig")] {
        for signal in [Signal::TERM, Signal::INT] {
            // As on a node that gives it one processor.
            let environment = [SECRET, ("TOKIO_WORKER_THREADS", "1")];
            let mut process = Process::spawn(&["serve", "--config", config], &environment);
            until("its signal handlers", || handles(&process, signal)).await;
            process.signal(signal);
            assert_ends_soon(&mut process, End::Exit(0), what).await;
            assert!(!process.stderr().contains("\"ready\""), "{what}: {}", process.stderr());
        }
    }
}

#[tokio::test]
async fn l05_a_signal_while_the_api_server_is_down_ends_after_the_waiting_calls() {
    let world = World::new().await.kubernetes().await.kubernetes_options("timeout: 1s");
    world.kubernetes.as_ref().unwrap().mode(Mode::Hang);
    let (world, mut process) = world.spawn().await;
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    until("the review to hang", || world.kubernetes.as_ref().unwrap().reviews() == 1).await;
    process.signal(Signal::TERM);
    let answer = raw::read_answer(&mut stream).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "AUTH_UNAVAILABLE"), "{answer:?}");
    assert_ends_soon(&mut process, End::Exit(0), "an outage").await;
    world.record(&answer).await;
}

async fn readiness(world: &Started) -> u16 {
    world.send_to(world.admin, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await.status
}

/// The upstream sends the first half of an answer, and the second when it gets a permit. Returns the caller's
/// connection with the head read.
async fn half_an_answer(world: &Started, go: Arc<Semaphore>) -> TcpStream {
    world.a.script(move |_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst".to_vec();
        vec![Step::Send(head), Step::Wait(go.clone()), Step::Send(b"other".to_vec())]
    });
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"first") {
        head.push(within("the first half", stream.read_u8()).await.unwrap());
    }
    stream
}

#[tokio::test]
async fn l01_sigterm_turns_readiness_off_and_lets_open_calls_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let (world, mut process) = World::new().await.spawn().await;
        assert_eq!(readiness(&world).await, 200);
        let idle = world.connect().await;
        let go = Arc::new(Semaphore::new(0));
        let mut open = half_an_answer(&world, go.clone()).await;
        process.signal(signal);
        within("readiness to be off", async { while readiness(&world).await != 503 {} }).await;
        until("the listener to be closed", || std::net::TcpStream::connect(world.proxy).is_err()).await;
        assert!(!process.has_ended(), "a call is open");
        go.add_permits(1);
        let mut rest = Vec::new();
        within("the second half", open.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "other");
        assert_ends_soon(&mut process, End::Exit(0), "the drain").await;
        drop(idle);
        let records = world.audit();
        assert_eq!(records.len(), 1, "{records:?}");
        assert_eq!((&records[0]["status"], &records[0]["complete"]), (&200.into(), &true.into()), "{records:?}");
    }
}

#[tokio::test]
async fn l01_a_request_that_is_on_its_way_at_the_signal_is_answered() {
    let (world, mut process) = World::new().await.spawn().await;
    let mut stream = world.connect().await;
    let request = world.ok("");
    let (first, second) = request.split_at(request.len() / 2);
    stream.write_all(first.as_bytes()).await.unwrap();
    // The other end has it when the connection counts as open.
    within("the connection", async { while world.sample("veilwarden_connections").await < 1.0 {} }).await;
    let go = Arc::new(Semaphore::new(0));
    let mut open = half_an_answer(&world, go.clone()).await;
    process.signal(Signal::TERM);
    within("readiness to be off", async { while readiness(&world).await != 503 {} }).await;
    world.a.answer(crate::world::recorder::OK);
    let _ = stream.write_all(second.as_bytes()).await;
    let answer = raw::read_answer(&mut stream).await;
    // Its head had begun: it is served, and the connection closes behind it.
    assert!(answer.status == 200 || answer.status == 0, "{answer:?}");
    go.add_permits(1);
    let mut rest = Vec::new();
    within("the open call", open.read_to_end(&mut rest)).await.unwrap();
    assert_ends_soon(&mut process, End::Exit(0), "the drain").await;
}

#[tokio::test]
async fn l01_within_the_drain_delay_readiness_is_off_and_every_call_is_served() {
    let (world, mut process) = World::new().await.config("limits: {drain_delay: 2s, drain_timeout: 10m}").spawn().await;
    let mut kept = world.connect().await;
    kept.write_all(world.ok("").as_bytes()).await.unwrap();
    let before = raw::read_answer(&mut kept).await;
    assert_eq!((before.status, before.header("connection")), (200, None), "{before:?}");
    let begun = Instant::now();
    process.signal(Signal::TERM);
    within("readiness to be off", async { while readiness(&world).await != 503 {} }).await;
    // The connection from before, and a new one: both are served, and asked not to come back.
    kept.write_all(world.ok("").as_bytes()).await.unwrap();
    let answers = [raw::read_answer(&mut kept).await, world.send(world.ok("")).await];
    for answer in answers {
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
        world.record(&answer).await;
    }
    assert_eq!(within("the close", kept.read_u8()).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    until("the listener to be closed", || std::net::TcpStream::connect(world.proxy).is_err()).await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "closed after {:?}", begun.elapsed());
    assert_ends_soon(&mut process, End::Exit(0), "the drain").await;
}

#[tokio::test]
async fn l03_a_second_signal_ends_the_drain_delay_at_once() {
    let (world, mut process) = World::new().await.config("limits: {drain_delay: 10m}").spawn().await;
    process.signal(Signal::TERM);
    within("readiness to be off", async { while readiness(&world).await != 503 {} }).await;
    process.signal(Signal::TERM);
    assert_ends_soon(&mut process, End::Exit(1), "a second signal").await;
}

#[tokio::test]
async fn l02_an_endless_stream_is_cut_at_the_drain_limit() {
    let (world, mut process) = World::new().await.config("limits: {drain_timeout: 1s}").spawn().await;
    let mut open = half_an_answer(&world, Arc::new(Semaphore::new(0))).await;
    process.signal(Signal::TERM);
    let mut rest = Vec::new();
    let _ = within("the cut", open.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{rest:?}");
    assert_ends_soon(&mut process, End::Exit(0), "the drain limit").await;
    let records = world.audit();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!((&records[0]["status"], &records[0]["complete"]), (&200.into(), &false.into()), "{records:?}");
}

#[tokio::test]
async fn l03_a_second_signal_ends_at_once_and_sigquit_leaves_no_core() {
    for second in [Signal::TERM, Signal::INT] {
        let (world, mut process) = World::new().await.config("limits: {drain_timeout: 10m}").spawn().await;
        let open = half_an_answer(&world, Arc::new(Semaphore::new(0))).await;
        process.signal(Signal::TERM);
        until("the drain to begin", || process.stderr().contains("draining")).await;
        process.signal(second);
        assert_ends_soon(&mut process, End::Exit(1), "a second signal").await;
        drop(open);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "v.yaml", config(""));
    // A shell's background job ignores SIGQUIT, and so does whatever it starts, these tests for instance.
    let mut env = process::command("env");
    env.args(["--default-signal=QUIT", process::VEILWARDEN, "serve", "--config", &path]).env(SECRET.0, SECRET.1);
    let mut process = Process::of(env);
    process.ready().await;
    process.signal(Signal::QUIT);
    assert_ends_soon(&mut process, End::Signal(Signal::QUIT.as_raw()), "SIGQUIT").await;
    assert!(!process.dumped_core(), "a core was written");
}

#[tokio::test]
async fn a_hangup_is_a_line_of_the_log_and_no_end() {
    let (world, mut process) = World::new().await.spawn().await;
    let go = Arc::new(Semaphore::new(0));
    let mut open = half_an_answer(&world, go.clone()).await;
    process.signal(Signal::HUP);
    until("the log's line", || process.stderr().contains("restart veilwarden to change it")).await;
    assert!(process.stderr().contains("\"WARN\""), "{}", process.stderr());
    go.add_permits(1);
    let mut rest = [0; 5];
    within("the other half", open.read_exact(&mut rest)).await.unwrap();
    assert_eq!((&rest, readiness(&world).await), (b"other", 200));
    process.signal(Signal::TERM);
    assert_ends_soon(&mut process, End::Exit(0), "SIGTERM").await;
}

#[tokio::test]
async fn l05_what_was_recorded_is_written_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "v.yaml", config(""));
    let mut process = Process::spawn(&["serve", "--config", &path], &[SECRET]);
    let (proxy, _) = addresses(&process.ready().await);
    for _ in 0..200 {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n\r\n").await.unwrap();
        assert_eq!(raw::read_answer(&mut stream).await.status, 401);
    }
    process.signal(Signal::TERM);
    assert_ends_soon(&mut process, End::Exit(0), "the end").await;
    // The default output is stdout, one line a call.
    let records: Vec<serde_json::Value> =
        process.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 200);
    assert!(records.iter().all(|record| record["error"] == "UNAUTHORIZED"));
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut world = World::new().await.config("limits: {drain_timeout: 10m, idle_timeout: 10m}").start().await;
    let mut used = world.connect().await;
    used.write_all(world.ok("").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer(&mut used).await.status, 200);
    let unused = world.connect().await;
    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    assert_eq!(within("its end", used.read_u8()).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    drop(unused);
}
