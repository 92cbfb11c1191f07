//! WebSockets on routes that are searched.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::reflections;
use crate::websocket::upstream::{Upstream, asking, head, switching};
use crate::world::{Started, World, until, within};

async fn world(more: &str) -> (Started, Upstream) {
    let upstream = Upstream::start().await;
    let world = upstream.searched_route(World::new().await, more).start().await;
    (world, upstream)
}

/// The two ends of a WebSocket whose answer has these fields, and the answer's head as the caller gets it.
async fn open(world: &Started, upstream: &mut Upstream, fields: &str) -> (TcpStream, TcpStream, String) {
    let mut caller = world.connect().await;
    let asked = format!("{}Sec-WebSocket-Extensions: permessage-deflate\r\n", asking());
    caller.write_all(world.request_to("ws.test", "GET", "/chat", &asked).as_bytes()).await.unwrap();
    let (seen, mut theirs) = upstream.next().await;
    assert_eq!(seen.header("sec-websocket-extensions"), None);
    theirs.write_all(switching(fields).as_bytes()).await.unwrap();
    let head = head(&mut caller).await;
    (caller, theirs, head)
}

/// A short frame as a server sends it.
fn frame(first: u8, payload: &str) -> Vec<u8> {
    [&[first, payload.len() as u8], payload.as_bytes()].concat()
}

async fn hears(caller: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    within("a frame", caller.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[tokio::test]
async fn f27_a_secret_in_the_frames_of_a_websocket_is_masked() {
    let (world, mut upstream) = world("").await;
    let (secret, stars) = (world.canary_a(), "*".repeat(world.canary_a().len()));
    let (mut caller, mut theirs, head) = open(&world, &mut upstream, &format!("X-Echo: {secret}\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(&stars) && !head.contains(&secret), "{head}");
    theirs.write_all(&frame(0x81, "hello")).await.unwrap();
    hears(&mut caller, &frame(0x81, "hello")).await;
    theirs.write_all(&frame(0x81, &format!("{{\"you\": \"{secret}\"}}"))).await.unwrap();
    hears(&mut caller, &frame(0x81, &format!("{{\"you\": \"{stars}\"}}"))).await;
    // Over two fragments, with a ping between them.
    let (first, second) = secret.split_at(5);
    let whole = [frame(0x02, first), frame(0x89, "ping"), frame(0x80, second)].concat();
    for byte in whole {
        theirs.write_all(&[byte]).await.unwrap();
    }
    let (first, second) = stars.split_at(5);
    hears(&mut caller, &[frame(0x02, first), frame(0x89, "ping"), frame(0x80, second)].concat()).await;
    // What the caller sends is the upstream's to read.
    caller.write_all(b"\x81\x85abcd\0\x01\x02\x03\x04").await.unwrap();
    hears(&mut theirs, b"\x81\x85abcd\0\x01\x02\x03\x04").await;
    assert_eq!(reflections(&world, "ws.test", "redact").await, 1);
    drop((caller, theirs));
    let find = || world.audit().into_iter().find(|record| record["status"] == 101);
    until("the record", || find().is_some()).await;
    assert_eq!(find().unwrap()["secret_reflected"], true);
}

#[tokio::test]
async fn f27_block_closes_a_websocket_and_refuses_one_whose_answer_has_the_secret() {
    let (world, mut upstream) = world(", redact: block").await;
    let (_, _, head) = open(&world, &mut upstream, &format!("X-Echo: {}\r\n", world.canary_a())).await;
    assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("SECRET_REFLECTED"), "{head}");
    let (mut caller, mut theirs, _) = open(&world, &mut upstream, "").await;
    theirs.write_all(&[frame(0x81, "hello"), frame(0x81, &world.canary_a())].concat()).await.unwrap();
    let mut heard = Vec::new();
    let _ = within("the end", caller.read_to_end(&mut heard)).await;
    assert!(!String::from_utf8_lossy(&heard).contains("canary"), "{}", heard.escape_ascii());
    let find = || world.audit().into_iter().find(|record| record["status"] == 101);
    until("the record", || find().is_some()).await;
    let record = find().unwrap();
    assert_eq!((&record["error"], &record["complete"]), (&"SECRET_REFLECTED".into(), &false.into()), "{record}");
    assert_eq!(record["secret_reflected"], true);
}

#[tokio::test]
async fn d26_an_extension_that_was_not_offered_opens_nothing_and_its_frames_end_it() {
    let (world, mut upstream) = world("").await;
    let (_, _, head) = open(&world, &mut upstream, "Sec-WebSocket-Extensions: permessage-deflate\r\n").await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    let (mut caller, mut theirs, _) = open(&world, &mut upstream, "").await;
    theirs.write_all(b"\xc1\x02xx").await.unwrap();
    let mut heard = Vec::new();
    let _ = within("the end", caller.read_to_end(&mut heard)).await;
    assert!(heard.is_empty());
}
