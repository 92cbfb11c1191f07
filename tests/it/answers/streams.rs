//! What goes on while an answer or its call is under way.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{answer, read_head};
use crate::world::raw;
use crate::world::recorder::Step;
use crate::world::{World, within};

async fn read_exactly(stream: &mut TcpStream, wanted: &str) {
    let mut bytes = vec![0; wanted.len()];
    within(wanted, stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), wanted);
}

#[tokio::test]
async fn f20_each_event_arrives_before_the_next_one_is_sent() {
    let world = World::new().await.start().await;
    let next = Arc::new(Semaphore::new(0));
    let permits = next.clone();
    world.a.script(move |_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut steps = vec![Step::Send(head.as_bytes().to_vec())];
        for n in 0..5 {
            steps.extend([Step::Wait(permits.clone()), Step::Send(format!("9\r\ndata: {n}\n\n\r\n").into_bytes())]);
        }
        steps.extend([Step::Wait(permits.clone()), Step::Send(b"0\r\n\r\n".to_vec())]);
        steps
    });
    let mut stream = world.connect().await;
    stream.write_all(world.ok("Accept: text/event-stream\r\n").as_bytes()).await.unwrap();
    // The head alone, before any event exists.
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream") && head.contains("transfer-encoding: chunked"), "{head}");
    for n in 0..5 {
        next.add_permits(1);
        read_exactly(&mut stream, &format!("9\r\ndata: {n}\n\n\r\n")).await;
    }
    next.add_permits(1);
    read_exactly(&mut stream, "0\r\n\r\n").await;
}

#[tokio::test]
async fn f21_an_early_refusal_of_an_upload_reaches_the_caller_at_once() {
    let world = World::new().await.start().await;
    world.a.eager();
    world.a.answer(answer("HTTP/1.1 413 Too Large\r\nContent-Length: 3", "big"));
    let mut stream = world.connect().await;
    let head = world.request("POST", "/upload", "Content-Length: 1000000\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b'a'; 10_000]).await.unwrap();
    let early = raw::read_answer(&mut stream).await;
    assert_eq!((early.status, early.text().as_str(), early.complete), (413, "big", true), "{early:?}");
    assert_eq!(world.record(&early).await["status"], 413);
    // Whatever becomes of the rest of the body, nothing in it is a request.
    let smuggled = world.request("GET", "/smuggled", "").repeat(20);
    let _ = stream.write_all(smuggled.as_bytes()).await;
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    let _ = within("the connection's end", stream.read_to_end(&mut rest)).await;
    assert!(raw::parse_answers(&rest).is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert!(world.audit().iter().all(|record| record["path"] != "/smuggled"));
}
