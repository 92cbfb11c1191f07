//! Stores, upstreams and an API server that fail, and repeat what they were told.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{Canaries, FAULTS, host_of};
use super::walk::Walk;
use crate::world::doppler::{self, Mode as Stored};
use crate::world::kubernetes::{self, Mode};
use crate::world::recorder::{OK, Step};
use crate::world::{Started, within};

pub async fn stores(walk: &mut Walk, world: &Started, c: &Canaries) {
    let store = world.doppler.as_ref().unwrap();
    let good = format!("Authorization: Bearer {}\r\n", c.good);
    let says = |status: u16, words: String| {
        let body = json!({"messages": [words], "success": false}).to_string();
        vec![Step::Send(doppler::http(status, "", &body))]
    };
    let value = |n: usize| c.stored[n].1.clone();
    for (n, steps) in [
        (1, says(500, format!("your token {} is odd", store.token))),
        (2, says(403, format!("your token {} is odd", store.token))),
        (3, vec![Step::Send(doppler::secret("STORED_3", &format!("{}\r\nX-A: b", value(3))))]),
        (4, vec![Step::Send(doppler::http(200, "", &format!("{{\"value\":\"{}\"", value(4))))]),
        (5, vec![Step::Send(doppler::http(302, &format!("Location: /{}\r\n", value(5)), ""))]),
        (6, vec![Step::Send(format!("HTTP/1.1 200 {}\x01\r\n\r\n", value(6)).into_bytes()), Step::Close]),
        (7, vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{".to_vec()), Step::Close]),
    ] {
        store.mode(Stored::Play(steps));
        assert_eq!(walk.call(world, &host_of(c.stored[n].0), "/allowed", &good).await, 502, "{n}");
    }
    store.mode(Stored::Normal);
    files(walk, world, &good).await;
}

/// A file that no longer holds a value, and then is gone. The last good value lives on.
async fn files(walk: &mut Walk, world: &Started, good: &str) {
    let path = world.directory.path().join("secret");
    let value = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{value}\u{1}")).unwrap();
    for result in ["invalid_value", "unavailable"] {
        let failed = format!("veilwarden_secret_fetches_total{{store=\"file\",result=\"{result}\"}}");
        within(result, async {
            while world.sample(&failed).await == 0.0 {
                assert_eq!(walk.call(world, "filed.test", "/allowed", good).await, 200);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let _ = std::fs::remove_file(&path);
    }
}

pub async fn upstreams(walk: &mut Walk, world: &Started, c: &Canaries) {
    let good = format!("Authorization: Bearer {}\r\n", c.good);
    type Reflect = fn(&str) -> Vec<Step>;
    let faults: [(Reflect, u16); 8] = [
        (|secret| vec![Step::Send(format!("HTTP/1.1 200 {secret}\x01\r\n\r\n").into_bytes()), Step::Close], 502),
        (|secret| vec![Step::Send(format!("HTTP/1.1 200 OK\r\nX-A: {secret}\x00\r\n\r\n").into_bytes())], 502),
        (|secret| vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{secret}\r\n\r\n").into_bytes())], 502),
        (|secret| vec![Step::Send(format!("{secret}\r\n\r\n").into_bytes()), Step::Close], 502),
        (
            |secret| vec![Step::Send(format!("HTTP/1.1 407 X\r\nProxy-Authenticate: {secret}\r\n\r\n").into_bytes())],
            502,
        ),
        (|secret| vec![Step::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {secret}\r\n\r\n").into_bytes())], 502),
        (
            |secret| {
                vec![Step::Send(
                    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n").into_bytes(),
                )]
            },
            200,
        ),
        (|_| vec![Step::Reset], 502),
    ];
    for (reflect, status) in faults {
        world.a.script(move |seen| reflect(seen.header("authorization").unwrap_or_default()));
        let got = walk.call(world, "a.test", "/allowed", &good).await;
        assert!(got == status || (status, got) == (200, 0), "{got}");
    }
    // A whole answer that reflects, and one that is refused for it.
    world.a.script(|seen| {
        let secret = seen.header("authorization").or(seen.header("x-key")).unwrap_or_default();
        let head = format!("HTTP/1.1 200 OK\r\nX-Echo: {secret}\r\nX-Request-Id: {}\r\n", secret.replace(' ', "-"));
        vec![Step::Send(format!("{head}Content-Length: {}\r\n\r\n{}", seen.head.len(), seen.head).into_bytes())]
    });
    for (host, status) in [("a.test", 200), ("filed.test", 200), ("blocked.test", 502)] {
        assert_eq!(walk.call(world, host, "/allowed", &good).await, status, "{host}");
    }
    world.a.answer(OK);
}

pub async fn api_servers(walk: &mut Walk, world: &Started, c: &Canaries) {
    type Fault = fn(&str) -> Mode;
    let server = world.kubernetes.as_ref().unwrap();
    fn status(value: Value) -> Mode {
        Mode::Raw(201, kubernetes::review_with(value).to_string())
    }
    fn failure(code: u16, echo: &str) -> Mode {
        Mode::Raw(code, json!({"kind": "Status", "message": echo, "reason": echo}).to_string())
    }
    let faults: [(Fault, u16); FAULTS] = [
        (|echo| status(json!({"authenticated": false, "error": echo})), 401),
        (|echo| status(kubernetes::accepted(echo)), 401),
        (|echo| status(kubernetes::accepted(&format!("system:serviceaccount:prod:{echo}"))), 401),
        (
            |echo| {
                status(
                    json!({"authenticated": true, "audiences": [echo], "user": {"username": "system:serviceaccount:a:b"}}),
                )
            },
            401,
        ),
        (|echo| failure(401, echo), 503),
        (|echo| failure(403, echo), 503),
        (|echo| failure(500, echo), 503),
        (|echo| Mode::Raw(201, format!("<html>{echo}</html>")), 503),
        (|echo| Mode::Raw(201, format!("{{\"status\": {{\"authenticated\": \"{echo}\"}}}}")), 503),
        (
            |echo| Mode::Play(vec![Step::Send(format!("HTTP/1.1 201 {echo}\x01\r\n\r\n").into_bytes()), Step::Close]),
            503,
        ),
        (|_| Mode::Close, 503),
    ];
    for ((fault, expected), token) in faults.into_iter().zip(&c.judged) {
        server.mode(fault(&format!("token {token} seen by {}", server.own_token)));
        let bearer = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(walk.call(world, "a.test", "/allowed", &bearer).await, expected);
    }
    server.mode(Mode::Normal);
}
