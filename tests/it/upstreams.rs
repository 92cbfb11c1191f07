//! Connections to upstreams: which of them carry a further call, and who drives them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::world::recorder::{OK, Step};
use crate::world::{World, raw, until, within};

#[tokio::test]
async fn an_answer_that_ends_cleanly_leaves_its_connection_to_the_next_call() {
    let world = World::new().await.start().await;
    world.a.script(|seen| {
        let answer: &[u8] = match (seen.line().split(' ').next(), seen.target()) {
            (Some("HEAD"), _) => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
            (_, "/chunked") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            (_, "/trailers") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: b\r\n\r\n",
            (_, "/none") => b"HTTP/1.1 204 No Content\r\n\r\n",
            (_, "/empty") => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            _ => OK,
        };
        vec![Step::Send(answer.to_vec())]
    });
    for round in 0..3 {
        for (method, target, fields) in [
            ("GET", "/", ""),
            ("HEAD", "/", ""),
            ("GET", "/chunked", ""),
            ("GET", "/trailers", "TE: trailers\r\n"),
            ("GET", "/none", ""),
            ("GET", "/empty", ""),
            ("POST", "/", "Content-Length: 0\r\n"),
        ] {
            let mut stream = world.connect().await;
            stream.write_all(world.request(method, target, fields).as_bytes()).await.unwrap();
            let answer = match (method, target) {
                ("HEAD", _) | (_, "/none") => raw::read_answer_to_head(&mut stream).await,
                _ => raw::read_answer(&mut stream).await,
            };
            assert!(answer.complete && [200, 204].contains(&answer.status), "{round} {method} {target}: {answer:?}");
        }
    }
    let body = [world.request("POST", "/", "Content-Length: 3\r\n").as_bytes(), b"abc"].concat();
    assert_eq!(world.send(body).await.status, 200);
    let used: HashSet<usize> = world.a.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!((world.a.seen().len(), used.len()), (22, 1), "each call had a connection of its own");
}

#[tokio::test]
async fn an_answer_that_is_not_taken_whole_takes_its_connection_with_it() {
    let world = World::new().await.start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab".to_vec();
    world.a.script(move |_| vec![Step::Send(head.clone()), Step::Wait(wait.clone()), Step::Send(b"cd".to_vec())]);
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    let begun = raw::read_answer_to_head(&mut stream).await;
    assert_eq!(begun.status, 200);
    drop(stream);
    until("the record", || world.audit().last().is_some_and(|record| record["complete"] == false)).await;
    go.add_permits(1);
    until("the connection's end", || world.a.open() == 0).await;
    world.a.answer(OK);
    world.assert_works("the next call").await;
    assert_eq!(world.a.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_its_upstream_closes_while_it_waits_is_closed_and_costs_no_call() {
    let world = World::new().await.start().await;
    world.a.script(|_| vec![Step::Send(OK.to_vec()), Step::Close]);
    for _ in 0..5 {
        assert_eq!(world.send(world.request("POST", "/", "Content-Length: 0\r\n")).await.status, 200);
        until("the connection's end", || world.a.open() == 0).await;
    }
    assert_eq!(world.a.seen().len(), 5, "a call was sent twice");
}

/// Answers at once with more than any buffer holds, and takes the whole body meanwhile; says how much it took.
async fn talkative() -> (SocketAddr, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let answer = tokio::spawn(async move {
            writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await.unwrap();
            while writer.write_all(&[b'x'; 65536]).await.is_ok() {}
        });
        let (mut taken, mut piece) = (0, vec![0; 65536]);
        while taken < UPLOAD {
            taken += within("the body", reader.read(&mut piece)).await.unwrap();
        }
        answer.abort();
        taken
    });
    (address, taken)
}

const UPLOAD: usize = 8 << 20;

#[tokio::test]
async fn a_body_goes_up_whole_while_nothing_of_its_early_answer_is_taken() {
    let (address, taken) = talkative().await;
    let route = format!("{{upstream_host: talkative.test, upstream_scheme: http, upstream_address: \"{address}\"}}");
    let world = World::new().await.route(&route).start().await;
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    let head = world.request_to("talkative.test", "POST", "/", &format!("Content-Length: {UPLOAD}\r\n"));
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..UPLOAD / 65536 {
        within("the body to be taken", stream.write_all(&[b'a'; 65536])).await.unwrap();
    }
    assert!(within("the upstream", taken).await.unwrap() >= UPLOAD);
}
