//! `block`: 502 while nothing has left, and after that an answer that visibly breaks off.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::{answering, get, in_tunnel, record, reflect, reflections, world};
use crate::http2::peer::{Peer, empty, request};
use crate::world::canary::{Canary, assert_absent};
use crate::world::recorder::{OK, Step};
use crate::world::within;

#[tokio::test]
async fn f27_block_refuses_an_answer_whose_head_or_beginning_has_the_secret() {
    let mut world = world("redact: block").await;
    let canary = [Canary::new("the secret", &world.canary_a())];
    type Echo = fn(&str) -> Vec<u8>;
    let echoes: [(&str, Echo); 3] = [
        ("in the head", |value| answering(&format!("X-Echo: {value}\r\n"), b"ok")),
        ("in the body", |value| answering("", format!("you sent {value}").as_bytes())),
        ("in a chunk", |value| {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            format!("{head}{:x}\r\n{value}\r\n0\r\n\r\n", value.len()).into_bytes()
        }),
    ];
    for (what, echo) in echoes {
        reflect(&world, echo);
        for answer in [get(&world, "").await, in_tunnel(&world).await] {
            assert_eq!((answer.status, &*answer.code()), (502, "SECRET_REFLECTED"), "{what}: {answer:?}");
            assert_eq!(answer.header("x-veilwarden-error"), Some("SECRET_REFLECTED"), "{what}");
            assert_absent(&canary, format!("{:?}{}", answer.fields, answer.text()), what);
            let record = record(&world, &answer).await;
            assert_eq!(record["error"], "SECRET_REFLECTED", "{what}: {record}");
            assert_eq!((&record["secret_reflected"], &record["status"]), (&true.into(), &502.into()), "{what}");
        }
    }
    assert_eq!(reflections(&world, "a.test", "block").await, 6);
    world.a.answer(OK);
    assert_eq!(get(&world, "").await.text(), "ok");
    world.stop().await;
}

#[tokio::test]
async fn f27_block_breaks_off_an_answer_that_has_begun() {
    let world = world("redact: block").await;
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 9000"] {
        let begun = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&begun);
        world.a.script(move |seen| {
            let value = seen.header("authorization").unwrap();
            let (first, rest) = value.split_at(15);
            let chunk = |text: &str| match framing {
                "Transfer-Encoding: chunked" => format!("{:x}\r\n{text}\r\n", text.len()).into_bytes(),
                _ => text.as_bytes().to_vec(),
            };
            vec![
                Step::Send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").into_bytes()),
                Step::Send(chunk("so far so good. ")),
                Step::Wait(Arc::clone(&gate)),
                Step::Send(chunk(&format!("and then: {first}"))),
                Step::Send(chunk(&format!("{rest}, and more"))),
                Step::Hang,
            ]
        });
        let mut stream = world.connect().await;
        stream.write_all(world.ok("").as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"so far so good. ") {
            heard.push(within("the beginning", stream.read_u8()).await.unwrap());
        }
        begun.add_permits(1);
        let _ = within("the end", stream.read_to_end(&mut heard)).await;
        let text = String::from_utf8(heard).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 ") && !text.ends_with("0\r\n\r\n"), "{text}");
        assert!(!text.contains("Bearer c") && !text.contains("and more"), "{text}");
        let id = text.split("x-request-id: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let record = world.record_of(id).await;
        assert_eq!((&record["status"], &record["complete"]), (&200.into(), &false.into()), "{record}");
        assert_eq!((&record["error"], &record["secret_reflected"]), (&"SECRET_REFLECTED".into(), &true.into()));
    }
}

#[tokio::test]
async fn f27_block_over_http2_refuses_as_well() {
    let world = world("redact: block").await;
    reflect(&world, |value| answering("", value.as_bytes()));
    let answer = Peer::connect(&world).await.send(request(&world, "GET", "/x", "a.test").body(empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.headers["x-veilwarden-error"]), (502, &"SECRET_REFLECTED".parse().unwrap()));
}

#[tokio::test]
async fn f27_block_lets_an_answer_break_off_or_end_in_trailers_as_it_did() {
    let world = world("redact: block").await;
    let (length, chunked) = ("Content-Length: 9", "Trailer: X-Sum\r\nTransfer-Encoding: chunked");
    for (framing, body) in [(length, ""), (length, "part"), (chunked, ""), (chunked, "4\r\npart\r\n")] {
        let first = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}").into_bytes();
        world.a.script(move |_| vec![Step::Send(first.clone()), Step::Close]);
        let answer = get(&world, "").await;
        assert_eq!((answer.status, answer.complete), (200, false), "{framing} {body}: {answer:?}");
        let record = record(&world, &answer).await;
        assert_eq!(record["complete"], false, "{framing} {body}: {record}");
    }
    let whole = format!("HTTP/1.1 200 OK\r\n{chunked}\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: abc\r\n\r\n");
    world.a.answer(whole.as_bytes());
    let mut stream = world.connect().await;
    stream.write_all(world.request("GET", "/x", "TE: trailers\r\nConnection: TE, close\r\n").as_bytes()).await.unwrap();
    let mut heard = String::new();
    within("the answer", stream.read_to_string(&mut heard)).await.unwrap();
    assert!(heard.ends_with("\r\n0\r\nx-sum: abc\r\n\r\n"), "{heard}");
}
