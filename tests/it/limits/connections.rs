//! Rows K06, K09, K14: more connections than there may be, or than there are descriptors for.

use std::net::SocketAddr;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::world::process::{self, Process};
use crate::world::raw::{self, Answer};
use crate::world::{Started, World, until, within};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// A connection from another address of this machine.
async fn connect_from(address: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn call(world: &Started, stream: &mut TcpStream) -> Answer {
    let _ = stream.write_all(world.ok("").as_bytes()).await;
    raw::read_answer(stream).await
}

/// What a connection too many is told, although it has asked nothing; then it is closed.
async fn assert_turned_away(world: &Started, mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut all = Vec::new();
    within("the end", stream.read_to_end(&mut all)).await.unwrap();
    let [answer] = &raw::parse_answers(&all)[..] else { panic!("{}", String::from_utf8_lossy(&all)) };
    assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"), "{answer:?}");
    assert_eq!(answer.headers("x-veilwarden-error"), ["OVERLOADED"]);
    assert_eq!((answer.headers("connection"), answer.headers("retry-after")), (vec!["close"], vec!["1"]));
    assert_eq!(answer.headers("content-type"), ["application/json"]);
    assert_eq!(answer.header("x-request-id"), answer.json()["request_id"].as_str());
    assert!(answer.complete && answer.rest.is_empty(), "{answer:?}");
    let health = world.send_to(world.admin, HEALTH).await;
    assert_eq!(health.status, 200, "{health:?}");
}

#[tokio::test]
async fn k06_one_connection_too_many_is_told_so_and_costs_the_others_nothing() {
    let limits = "limits: {max_connections: 4, max_connections_per_peer: 3}";
    let world = World::new().await.config(limits).start().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = world.connect().await;
        assert_eq!(call(&world, &mut stream).await.status, 200);
        open.push(stream);
    }
    assert_turned_away(&world, world.connect().await).await;
    let mut other = connect_from("127.0.0.2", world.proxy).await;
    assert_eq!(call(&world, &mut other).await.status, 200);
    assert_turned_away(&world, connect_from("127.0.0.3", world.proxy).await).await;
    // One that asks before it listens is told as well.
    let mut eager = connect_from("127.0.0.3", world.proxy).await;
    eager.write_all(world.ok("").as_bytes()).await.unwrap();
    assert_turned_away(&world, eager).await;
    for stream in open.iter_mut().chain([&mut other]) {
        assert_eq!(call(&world, stream).await.status, 200);
    }
    assert_eq!(world.sample("veilwarden_limited_total{limit=\"connections_per_peer\"}").await, 1.0);
    assert_eq!(world.sample("veilwarden_limited_total{limit=\"connections\"}").await, 2.0);
    assert_eq!(world.sample("veilwarden_connections").await, 4.0);
    drop(open.pop());
    within("the place to be free again", async {
        while call(&world, &mut world.connect().await).await.status != 200 {}
    })
    .await;
}

#[tokio::test]
async fn k06_unix_sockets_count_with_the_others() {
    let world = World::new().await.config("limits: {max_connections: 10, max_connections_per_peer: 1}");
    let socket = world.directory.path().join("v.sock");
    let world = world.listen(&format!("[127.0.0.1:0, \"unix:{}\"]", socket.display())).start().await;
    let mut first = UnixStream::connect(&socket).await.unwrap();
    first.write_all(world.ok("").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer(&mut first).await.status, 200);
    assert_turned_away(&world, UnixStream::connect(&socket).await.unwrap()).await;
    world.assert_works("a peer of another kind").await;
}

#[tokio::test]
async fn k06_k14_without_descriptors_connections_are_closed_and_health_answers() {
    let (world, process) = World::new().await.spawn().await;
    world.assert_works("before").await;
    let spare = 6;
    let limit = world.sample("process_open_fds").await as u64 + spare;
    let pid = Pid::from_raw(process.pid().try_into().unwrap());
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
    let mut open = Vec::new();
    for _ in 0..4 * spare {
        open.push(world.connect().await);
    }
    until("the log's line", || process.stderr().contains("no open files are left")).await;
    for path in ["/healthz", "/readyz"] {
        let health = world.send_to(world.admin, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(health.status, 200, "{path}: {health:?}");
    }
    drop(open);
    within("calls to work again", async { while world.send(world.ok("")).await.status != 200 {} }).await;
    // Both listeners were out of them.
    assert_eq!(process.stderr().matches("no open files are left").count(), 1, "{}", process.stderr());
}

#[tokio::test]
async fn k09_connections_that_come_and_go_leave_nothing_behind() {
    let (world, process) = World::new().await.spawn().await;
    let flood = async |times: usize| {
        for n in 0..times {
            let mut stream = world.connect().await;
            if n % 2 == 0 {
                assert_eq!(call(&world, &mut stream).await.status, 200);
            }
        }
        within("the end of the connections", async { while world.sample("veilwarden_connections").await > 0.0 {} })
            .await;
    };
    flood(200).await;
    let (files, memory) = (world.sample("process_open_fds").await, process.status_kib("VmRSS"));
    flood(2000).await;
    let (after, grown) = (world.sample("process_open_fds").await, process.status_kib("VmRSS").saturating_sub(memory));
    assert!((after - files).abs() <= 2.0, "{files} descriptors before, {after} after");
    assert!(grown < 4 << 10, "{grown} KiB more");
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_and_warned_about_when_it_is_too_low() {
    let warning = "the limit of open files is too low";
    for (lowered, hard) in [("ulimit -Sn 300", getrlimit(Resource::Nofile).maximum), ("ulimit -n 300", Some(300))] {
        let world = World::new().await;
        let file = process::file(world.directory.path(), "veilwarden.yaml", world.yaml());
        let mut shell = process::command("sh");
        shell.args(["-c", &format!("{lowered} && exec \"$@\""), "sh", process::VEILWARDEN, "serve", "--config", &file]);
        shell.env("VEILWARDEN_SESSION_SECRET", world.session_secret());
        let mut process = Process::of(shell);
        process.ready().await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft = line.split_whitespace().nth(3).unwrap();
        assert_eq!(soft, hard.map_or("unlimited".to_owned(), |hard| hard.to_string()), "{lowered}: {line}");
        // 4096 connections, 1024 calls, 512 others.
        let too_low = hard.is_some_and(|hard| hard < 5632);
        assert_eq!(process.stderr().contains(warning), too_low, "{lowered}: {}", process.stderr());
    }
}
