//! Upstreams that do not answer, cannot be reached or hang up.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::answer;
use crate::world::raw::Answer;
use crate::world::recorder::{Down, OK, Recorder, Step};
use crate::world::{Started, World, until, within};

/// One more route to `a`, under the name `hasty.test`, with limits that are meant to be reached.
async fn hasty(timeouts: &str) -> Started {
    let world = World::new().await;
    let address = world.a.address;
    let route = format!(
        "{{upstream_host: hasty.test, upstream_scheme: http, upstream_address: \"{address}\", timeouts: {timeouts}}}"
    );
    world.route(&route).start().await
}

#[tokio::test]
async fn f14_an_upstream_that_never_answers_is_504_and_costs_no_slot() {
    let world = hasty("{first_byte: 200ms}").await;
    let endless = b"HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n".repeat(10_000);
    for (steps, what) in [
        (vec![Step::Hang], "silence"),
        (vec![Step::Send(b"HTTP/1.1 200 OK\r\nX-A: ".to_vec()), Step::Hang], "half a head"),
        (vec![Step::Send(endless), Step::Hang], "interim answers without end"),
    ] {
        world.a.script(move |_| steps.clone());
        let answer = world.get("hasty.test").await;
        world.assert_refused(&answer, 504, "UPSTREAM_TIMEOUT", what).await;
        until("the connection to be given up", || world.a.open() == 0).await;
    }
    assert_eq!(world.sample("veilwarden_requests_in_flight").await, 0.0);
    assert_eq!(world.sample("veilwarden_errors_total{code=\"UPSTREAM_TIMEOUT\"}").await, 3.0);
    world.a.answer(OK);
    world.assert_works("after timeouts").await;
}

#[tokio::test]
async fn f15_an_upstream_without_tls_is_a_fault_within_the_connect_limit() {
    let silent = Recorder::start().await;
    let chatty = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = |host: &str, address: SocketAddr, connect: &str| {
        let secret = "secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{secret}}\"";
        format!(
            "{{upstream_host: {host}, upstream_address: \"{address}\", {secret}, timeouts: {{connect: {connect}}}}}"
        )
    };
    let world = World::new().await.route(&route("silent.test", silent.address, "200ms"));
    let world = world.route(&route("chatty.test", chatty.local_addr().unwrap(), "15s")).start().await;
    let answer = world.get("silent.test").await;
    world.assert_refused(&answer, 504, "UPSTREAM_TIMEOUT", "no ServerHello").await;
    until("the connection to be given up", || silent.open() == 0).await;
    assert!(!silent.everything().windows(7).any(|w| w == b"canaryA"), "the secret went out in clear");

    let plain = tokio::spawn(async move {
        let (mut stream, _) = chatty.accept().await.unwrap();
        let mut received = Vec::new();
        stream.write_all(OK).await.unwrap();
        let _ = stream.read_to_end(&mut received).await;
        received
    });
    let answer = world.get("chatty.test").await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "HTTP where TLS is due").await;
    let received = within("the connection's end", plain).await.unwrap();
    assert!(!received.windows(7).any(|w| w == b"canaryA"), "the secret went out in clear");
}

#[tokio::test]
async fn f16_l10_a_connection_refused_or_reset_is_a_fault_and_heals_alone() {
    let down = Down::new();
    let world = World::new().await;
    let address = down.address;
    let world = world
        .route(&format!("{{upstream_host: down.test, upstream_scheme: http, upstream_address: \"{address}\"}}"))
        .start()
        .await;
    let answer = world.get("down.test").await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "refused").await;
    let recorder = down.up();
    assert_eq!(world.get("down.test").await.status, 200, "it heals alone");
    assert_eq!(recorder.seen().len(), 1);

    world.a.script(|_| vec![Step::Reset]);
    for (method, body) in [("GET", ""), ("POST", "Content-Length: 0\r\n")] {
        let before = world.a.seen().len();
        let answer = world.send(world.request(method, "/x", body)).await;
        world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "reset after the request").await;
        assert_eq!(world.a.seen().len(), before + 1, "{method}: sent more than once");
    }
}

#[tokio::test]
async fn f16_a_call_on_a_connection_that_dies_is_sent_at_most_once() {
    let world = World::new().await.start().await;
    world.a.script(|seen| if seen.target() == "/die" { vec![Step::Reset] } else { vec![Step::Send(OK.to_vec())] });
    for round in 0..10 {
        world.assert_works("a connection for the pool").await;
        let before = world.a.seen().len();
        let answer = world.send(world.request("POST", "/die", "Content-Length: 0\r\n")).await;
        world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "reset on a pooled connection").await;
        assert_eq!(world.a.seen().len(), before + 1, "round {round}");
    }
}

#[tokio::test]
async fn f18_silence_ends_an_answer_and_no_total_limit_does() {
    let world = hasty("{idle: 200ms}").await;
    world.a.script(|_| vec![Step::Send(answer("HTTP/1.1 200 OK\r\nContent-Length: 10", "ab")), Step::Hang]);
    let broken = world.get("hasty.test").await;
    assert_eq!((broken.status, broken.complete, broken.text().as_str()), (200, false, "ab"), "{broken:?}");
    assert_eq!(world.record(&broken).await["complete"], false);
    until("the upstream's connection to be given up", || world.a.open() == 0).await;

    let patient = hasty("{first_byte: 1s, idle: 1s}").await;
    let piece = || [Step::Pause(Duration::from_millis(250)), Step::Send(b"2\r\nab\r\n".to_vec())];
    let head = Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec());
    let mut steps = vec![head];
    steps.extend((0..6).flat_map(|_| piece()));
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    patient.a.script(move |_| steps.clone());
    let whole = patient.get("hasty.test").await;
    assert_eq!((whole.status, whole.complete, whole.text().as_str()), (200, true, "abababababab"), "{whole:?}");
}

#[tokio::test]
async fn f34_a_slow_upstream_slows_nobody_elses_calls() {
    let world = World::new().await.start().await;
    world.a.script(|_| vec![Step::Hang]);
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut stream = world.connect().await;
        stream.write_all(world.ok("").as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    until("fifty calls to hang", || world.a.seen().len() == 50).await;
    for _ in 0..10 {
        let answer: Answer = world.get("b.test").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(world.sample("veilwarden_requests_in_flight").await, 50.0);
    drop(waiting);
    until("the calls of callers that hung up to end", || world.a.open() == 0).await;
    until("their records", || world.audit().len() == 60).await;
    let records = world.audit();
    let given_up = records.iter().filter(|record| record["upstream_host"] == "a.test");
    for record in given_up {
        assert_eq!((&record["status"], &record["complete"]), (&0.into(), &false.into()), "{record}");
    }
}
