//! What an answer's head may be, and what of it passes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{MARK, answer, assert_fault};
use crate::world::{World, within};

#[tokio::test]
async fn f10_f11_what_is_no_answer_is_a_fault() {
    let world = World::new().await.forward().start().await;
    let tls_alert: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";
    for bytes in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: upstream-mark-7e1d\rX-B: 1\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: upstream-mark-7e1d\x00\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: upstream-mark-7e1d\r\n folded\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A : upstream-mark-7e1d\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nupstream-mark-7e1d\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 O\x01K upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 099 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 999 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 600 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 20 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/2.0 200 upstream-mark-7e1d\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: upstream-mark-7e1d\r\nConnection: upgrade\r\n\r\n".to_vec(),
        b"upstream-mark-7e1d\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nX-A: upstream-mark-7e1d".to_vec(),
        b"<html>upstream-mark-7e1d</html>".to_vec(),
        tls_alert.to_vec(),
        Vec::new(),
    ] {
        let what = String::from_utf8_lossy(&bytes).into_owned();
        assert_fault(&world, bytes, &what).await;
    }
}

#[tokio::test]
async fn f11_a_sloppy_answer_is_tidied_up_or_a_fault() {
    let world = World::new().await.start().await;
    for bytes in [&b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"[..], b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"] {
        world.a.answer(bytes);
        let answer = world.send(world.ok("")).await;
        let tidy = (answer.status, answer.text().as_str(), answer.headers("content-length")) == (200, "ok", vec!["2"]);
        assert!(tidy || answer.code() == "UPSTREAM_ERROR", "{answer:?}");
        assert!(answer.fields.iter().all(|(name, value)| !format!("{name}{value}").contains('\n')), "{answer:?}");
    }
}

#[tokio::test]
async fn f12_an_answer_with_too_much_head_is_a_fault() {
    let world = World::new().await.forward().start().await;
    let many: String = (0..105).map(|n| format!("\r\nX-{n}: {MARK}")).collect();
    assert_fault(&world, answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2{many}"), "ok"), "105 fields").await;
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: {}{MARK}", "a".repeat(500_000));
    assert_fault(&world, answer(&long, "ok"), "a field of 500 kB").await;
}

#[tokio::test]
async fn f13_fields_that_appear_twice_pass_as_they_are() {
    let world = World::new().await.start().await;
    let cookies: String = (0..60).map(|n| format!("\r\nSet-Cookie: c{n}=v, w; Path=/")).collect();
    let fields = "\r\nLocation: /a\r\nLocation: /b\r\nContent-Type: text/a\r\nContent-Type: text/b";
    world.a.answer(answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2{cookies}{fields}"), "ok"));
    let answer = world.send(world.ok("")).await;
    let expected: Vec<String> = (0..60).map(|n| format!("c{n}=v, w; Path=/")).collect();
    assert_eq!(answer.headers("set-cookie"), expected, "{answer:?}");
    assert_eq!(answer.headers("location"), ["/a", "/b"]);
    assert_eq!(answer.headers("content-type"), ["text/a", "text/b"]);
}

#[tokio::test]
async fn f24_trailers_are_not_passed_on() {
    let world = World::new().await.start().await;
    let trailers = "Authorization: evil\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\nX-Veilwarden-Error: FAKE\r\n";
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie";
    world.a.answer(answer(head, &format!("2\r\nok\r\n0\r\n{trailers}\r\n")));
    let mut stream = world.connect().await;
    stream.write_all(world.ok("TE: trailers\r\nConnection: close, TE\r\n").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    within("the answer", stream.read_to_end(&mut bytes)).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    assert!(text.ends_with("2\r\nok\r\n0\r\n\r\n"), "{text}");
    assert!(!text.contains("evil") && !text.contains("set-cookie"), "{text}");
}

#[tokio::test]
async fn f26_a_401_of_the_upstream_passes_and_starts_no_retries() {
    let world = World::new().await.doppler().await.route_to_a("stored.test", "STORED").start().await;
    world.doppler.as_ref().unwrap().set("STORED", "value");
    world
        .a
        .answer(answer("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2", "no"));
    let answer = world.get("stored.test").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "no"), "{answer:?}");
    assert_eq!(answer.headers("www-authenticate"), ["Basic realm=\"x\""]);
    assert_eq!(answer.header("x-veilwarden-error"), None, "it is the upstream's answer, not ours");
    assert_eq!(world.a.seen().len(), 1);
    assert!(world.doppler.as_ref().unwrap().calls() <= 2);
    assert_eq!(world.record(&answer).await["error"], serde_json::Value::Null);
}

#[tokio::test]
async fn f29_a_407_never_asks_the_caller_for_its_credential_to_us() {
    let world = World::new().await.forward().start().await;
    let head = "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic realm=\"upstream-mark-7e1d\"\r\nContent-Length: 2";
    assert_fault(&world, answer(head, "no"), "407").await;
    world.a.answer(answer("HTTP/1.1 200 OK\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2", "ok"));
    let answer = world.send(world.ok("")).await;
    assert_eq!((answer.status, answer.header("proxy-authenticate")), (200, None), "{answer:?}");
}

#[tokio::test]
async fn f31_what_would_lead_the_caller_around_us_is_taken_out() {
    let world = World::new().await.start().await;
    let fields = "Strict-Transport-Security: max-age=31536000\r\nAlt-Svc: h3=\":443\"\r\nX-Veilwarden-Error: FAKE\r\n\
                  X-Request-Id: theirs\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nUpgrade: h2c";
    world.a.answer(answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}"), "ok"));
    let answer = world.send(world.ok("X-Request-Id: ours\r\n")).await;
    for gone in ["strict-transport-security", "alt-svc", "x-veilwarden-error", "keep-alive", "x-hop", "upgrade"] {
        assert_eq!(answer.header(gone), None, "{gone}: {answer:?}");
    }
    assert_eq!(answer.headers("x-request-id"), ["ours"]);
    assert_eq!(answer.header("x-upstream-request-id"), Some("theirs"));
}

#[tokio::test]
async fn f32_f33_nothing_is_remembered_between_calls() {
    let world = World::new().await.start().await;
    let head = "HTTP/1.1 200 OK\r\nSet-Cookie: sid=1\r\nCache-Control: public, max-age=600\r\nETag: \"1\"\r\nContent-Length: 2";
    world.a.answer(answer(head, "ok"));
    for calls in 1..=3 {
        let answer = world.send(world.ok("")).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (200, Some("sid=1")));
        let seen = world.a.last();
        assert_eq!((world.a.seen().len(), seen.header("cookie"), seen.header("if-none-match")), (calls, None, None));
    }
}
