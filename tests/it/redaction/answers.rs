//! `redact`, which is the default: the answer arrives, of the same length and without the secret.

use std::io::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};

use super::{answering, get, in_tunnel, record, reflect, reflections, world};
use crate::http2::peer::{Peer, channel, empty, request};
use crate::http2::upstream::{Upstream, in_clear};
use crate::world::canary::{Canary, assert_absent};
use crate::world::recorder::{OK, Step};
use crate::world::{World, raw, within};

/// The value in every coding that is looked for.
fn echoes(value: &str) -> String {
    let secret = value.strip_prefix("Bearer ").unwrap_or(value);
    let each = |form: fn(u8) -> String| secret.bytes().map(form).collect::<String>();
    let mut texts = vec![
        format!("as it is: {value}"),
        format!("hex: {}, {}", each(|b| format!("{b:02x}")), each(|b| format!("{b:02X}"))),
        format!("percent: {}", each(|b| format!("%{b:02X}"))),
        format!("json: {}", each(|b| format!("\\u{b:04x}"))),
    ];
    for before in ["", "x", "xy"] {
        texts.push(format!("base64: {}", STANDARD.encode(format!("{before}{secret}:"))));
    }
    texts.join("\n")
}

#[tokio::test]
async fn f27_a_secret_that_comes_back_is_masked_in_head_and_body() {
    let mut world = world("").await;
    let canary = [Canary::new("the secret", &world.canary_a())];
    reflect(&world, |value| {
        let fields = format!("X-Echo-Authorization: {value}\r\nSet-Cookie: t={value}\r\nX-Other: fine\r\n");
        answering(&fields, format!("{{\"headers\": \"{}\"}}", echoes(value)).as_bytes())
    });
    let sent = format!("{{\"headers\": \"{}\"}}", echoes(&format!("Bearer {}", world.canary_a())));
    for (way, answer) in [("reverse", get(&world, "").await), ("tunnel", in_tunnel(&world).await)] {
        assert!(answer.complete, "{way}");
        assert_absent(&canary, format!("{:?}{}", answer.fields, answer.text()), way);
        let stars = "*".repeat("Bearer ".len() + world.canary_a().len());
        assert_eq!(answer.header("x-echo-authorization"), Some(&*stars), "{way}");
        assert_eq!(answer.header("set-cookie"), Some(&*format!("t={stars}")), "{way}");
        assert_eq!(answer.header("x-other"), Some("fine"), "{way}");
        assert_eq!(answer.header("content-length"), Some(&*sent.len().to_string()), "{way}");
        assert_eq!(answer.body.len(), sent.len(), "{way}");
        for line in ["{\"headers\": \"as it is: ***", "\nhex: **", "\npercent: ***", "\njson: ***", "\nbase64: ***"] {
            assert!(answer.text().contains(line), "{way}: {}", answer.text());
        }
        let record = record(&world, &answer).await;
        assert_eq!((&record["secret_reflected"], &record["complete"]), (&true.into(), &true.into()), "{record}");
        assert_eq!((&record["status"], &record["error"]), (&200.into(), &serde_json::Value::Null), "{record}");
    }
    assert_eq!(reflections(&world, "a.test", "redact").await, 2);
    world.a.answer(OK);
    let clean = get(&world, "").await;
    assert_eq!(record(&world, &clean).await["secret_reflected"], serde_json::Value::Null);
    world.stop().await;
}

#[tokio::test]
async fn f27_a_secret_with_white_space_around_it_comes_back_without_and_is_masked() {
    let secret = "{id: KEY_C, value: \" canaryC-77b0e1\\t\"}";
    let mut world = World::new().await.secret(secret).route_to_a("c.test", "KEY_C").start().await;
    world.a.script(|seen| {
        let value = seen.header("x-key").unwrap().trim().to_owned();
        vec![Step::Send(answering(&format!("X-Echo: {value}\r\n"), format!("you sent {value}").as_bytes()))]
    });
    let answer = world.get("c.test").await;
    let stars = "*".repeat("canaryC-77b0e1".len());
    assert_eq!((answer.header("x-echo"), answer.text()), (Some(&*stars), format!("you sent {stars}")));
    world.stop().await;
}

#[tokio::test]
async fn f27_no_reason_phrase_comes_back_and_no_interim_answer() {
    for more in ["", "redact: off"] {
        let world = world(more).await;
        reflect(&world, |value| {
            let hints = format!("HTTP/1.1 103 {value}\r\nX-Echo: {value}\r\nLink: <{value}>\r\n\r\n");
            format!("{hints}HTTP/1.1 418 {value}\r\nContent-Length: 0\r\n\r\n").into_bytes()
        });
        let mut stream = world.connect().await;
        stream.write_all(world.ok("Connection: close\r\n").as_bytes()).await.unwrap();
        let mut heard = String::new();
        within("the answer", stream.read_to_string(&mut heard)).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 418 ") && !heard.contains("canary"), "{heard}");
    }
}

#[tokio::test]
async fn f27_off_passes_the_answer_as_it_is_and_logs_nothing_of_it() {
    let world = world("redact: off").await;
    reflect(&world, |value| answering(&format!("X-Echo: {value}\r\n"), value.as_bytes()));
    let answer = get(&world, "Accept-Encoding: gzip\r\nRange: bytes=0-1\r\n").await;
    let value = format!("Bearer {}", world.canary_a());
    assert_eq!((answer.header("x-echo"), answer.text()), (Some(&*value), value.clone()));
    let seen = world.a.seen().pop().unwrap();
    assert_eq!((seen.header("accept-encoding"), seen.header("range")), (Some("gzip"), Some("bytes=0-1")));
    let record = record(&world, &answer).await;
    assert!(!record.to_string().contains(&world.canary_a()), "{record}");
    assert_eq!(reflections(&world, "a.test", "redact").await, 0);
}

#[tokio::test]
async fn f27_a_route_that_injects_nothing_is_not_searched() {
    let world = World::new().await;
    let route = format!("{{upstream_host: n.test, upstream_scheme: http, upstream_address: \"{}\"}}", world.a.address);
    let world = world.route(&route).start().await;
    let text = world.canary_a();
    world.a.answer(answering("Content-Encoding: br\r\n", text.as_bytes()));
    let answer =
        world.send(world.request_to("n.test", "GET", "/x", "Accept-Encoding: br\r\nRange: bytes=0-1\r\n")).await;
    assert_eq!((answer.text(), answer.header("content-encoding")), (text, Some("br")));
    let seen = world.a.seen().pop().unwrap();
    assert_eq!((seen.header("accept-encoding"), seen.header("range")), (Some("br"), Some("bytes=0-1")));
}

#[tokio::test]
async fn d26_a_whole_and_uncoded_answer_is_asked_for() {
    for (more, ranges) in [("", None), ("allow_range: true", Some("bytes=0-99"))] {
        let world = world(more).await;
        for coding in
            ["", "Accept-Encoding: gzip, br\r\n", "Accept-Encoding: identity;q=0\r\nAccept_Encoding: gzip\r\n"]
        {
            get(&world, &format!("{coding}Range: bytes=0-99\r\nIf-Range: \"e\"\r\n")).await;
            let seen = world.a.seen().pop().unwrap();
            assert_eq!(seen.headers("accept-encoding"), ["identity"], "{coding}");
            assert_eq!(seen.headers("accept_encoding"), [""; 0], "{coding}");
            assert_eq!((seen.header("range"), seen.header("if-range")), (ranges, ranges.map(|_| "\"e\"")), "{more}");
        }
    }
}

#[tokio::test]
async fn d26_f28_an_answer_that_is_coded_all_the_same_is_decoded_or_refused() {
    let mut world = world("").await;
    reflect(&world, |value| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(format!("an echo of {value}").as_bytes()).unwrap();
        answering("Content-Encoding: gzip\r\nETag: \"one\"\r\n", &gzip.finish().unwrap())
    });
    let answer = get(&world, "Accept-Encoding: gzip\r\n").await;
    let stars = "*".repeat("Bearer ".len() + world.canary_a().len());
    assert_eq!((answer.text(), answer.complete), (format!("an echo of {stars}"), true));
    assert_eq!((answer.header("content-encoding"), answer.header("etag")), (None, Some("W/\"one\"")));
    let head = {
        let mut stream = world.connect().await;
        stream.write_all(world.request("HEAD", "/x", "").as_bytes()).await.unwrap();
        raw::read_answer_to_head(&mut stream).await
    };
    assert_eq!((head.status, head.header("content-encoding"), head.header("content-length")), (200, None, None));
    for coding in ["br", "zstd", "gzip, br"] {
        world.a.answer(answering(&format!("Content-Encoding: {coding}\r\n"), b"\x1b\x03\x00"));
        let answer = get(&world, "").await;
        assert_eq!((answer.status, &*answer.code()), (502, "UPSTREAM_ERROR"), "{coding}");
    }
    // Cut short, it does not end well.
    world.a.answer(answering("Content-Encoding: gzip\r\n", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b]));
    let answer = get(&world, "").await;
    assert!(!answer.complete, "{answer:?}");
    let record = world.stop().await.pop().unwrap();
    assert_eq!(record["complete"], false, "{record}");
}

#[tokio::test]
async fn k16_a_bomb_goes_off_no_faster_than_it_is_taken() {
    let world = world("").await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![0; 64 << 20]).unwrap();
    world.a.answer(answering("Content-Encoding: gzip\r\n", &gzip.finish().unwrap()));
    let mut stream = world.connect().await;
    stream.write_all(world.ok("Connection: close\r\n").as_bytes()).await.unwrap();
    let (mut length, mut piece) = (0, vec![0; 64 << 10]);
    loop {
        match within("the bomb", stream.read(&mut piece)).await.unwrap() {
            0 => break,
            n => length += n,
        }
    }
    assert!(length > 64 << 20, "{length}");
}

/// What the caller reads until it has all of this.
async fn hears(stream: &mut (impl AsyncReadExt + Unpin), text: &str) {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(text) {
        heard.push(within(text, stream.read_u8()).await.unwrap());
    }
}

#[tokio::test]
async fn an_event_is_passed_on_before_the_next_one_comes() {
    let world = world("").await;
    let (events, feed) = mpsc::channel(1);
    let feed = Arc::new(Mutex::new(feed));
    world.a.script(move |_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        vec![Step::Send(head.as_bytes().to_vec()), Step::Feed(Arc::clone(&feed))]
    });
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    for n in 0..20 {
        let event = format!("data: {{\"n\": {n}, \"text\": \"canary Bearer\"}}\n\n");
        events.send(chunk(&event)).await.unwrap();
        hears(&mut stream, &event).await;
    }
    // The secret, over two events, is masked in both.
    let secret = format!("Bearer {}", world.canary_a());
    let (first, second) = secret.split_at(12);
    events.send(chunk(&format!("data: {first}"))).await.unwrap();
    hears(&mut stream, "data: ").await;
    events.send(chunk(&format!("{second}\n\n"))).await.unwrap();
    hears(&mut stream, &format!("{}\n\n", "*".repeat(second.len()))).await;
}

#[tokio::test]
async fn answers_without_a_body_are_what_they_were() {
    let world = world("").await;
    for (status, fields) in [("304 Not Modified", "ETag: \"a\"\r\n"), ("204 No Content", "")] {
        world.a.answer(format!("HTTP/1.1 {status}\r\n{fields}X-Echo: {}\r\n\r\n", world.canary_a()).as_bytes());
        let answer = get(&world, "If-None-Match: \"a\"\r\n").await;
        assert_eq!(answer.status.to_string(), status[..3]);
        assert!(answer.header("x-echo").unwrap().bytes().all(|byte| byte == b'*'), "{answer:?}");
    }
    world.a.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let mut stream = world.connect().await;
    stream.write_all(world.request("HEAD", "/x", "").as_bytes()).await.unwrap();
    let head = raw::read_answer_to_head(&mut stream).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000")));
}

#[tokio::test]
async fn f27_over_http2_and_in_trailers_too() {
    let upstream = Upstream::start(|seen| {
        let value = seen.headers["authorization"].clone();
        let (sender, body) = channel();
        sender.try_send(hyper::body::Frame::data(bytes::Bytes::copy_from_slice(value.as_bytes()))).unwrap();
        let named = format!("x-{}", value.to_str().unwrap().rsplit(' ').next().unwrap());
        let trailers = [("x-sum".parse().unwrap(), value.clone()), (named.parse().unwrap(), value.clone())];
        let trailers = trailers.into_iter().collect();
        sender.try_send(hyper::body::Frame::trailers(trailers)).unwrap();
        Response::builder().header("x-echo", value).header("trailer", format!("x-sum, {named}")).body(body).unwrap()
    })
    .await;
    let world = World::new().await.route(&in_clear("h.test", upstream.address)).start().await;
    let peer = Peer::connect(&world).await;
    let answer =
        peer.send(request(&world, "GET", "/x", "h.test").header("te", "trailers").body(empty()).unwrap()).await;
    let masked = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| *byte == b'*');
    assert!(masked(answer.headers["x-echo"].as_bytes()) && masked(&answer.body), "{answer:?}");
    assert_eq!(answer.headers["trailer"], "x-sum");
    let trailers = answer.trailers.unwrap();
    assert!(trailers.len() == 1 && masked(trailers["x-sum"].as_bytes()), "{trailers:?}");
}
