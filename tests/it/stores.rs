//! Section J of the hostile cases through the whole app: what callers, upstreams, the audit trail, the metrics and the
//! log see of a secret store that fails. What its cache does meanwhile is proved in `src/secrets`.

mod answers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::world::doppler::{Doppler, Mode, http, secret};
use crate::world::process::file;
use crate::world::recorder::{Down, Step};
use crate::world::{PATIENCE, Started, World, logs, until, within};

/// `stored.test` and `other.test` lead to `a` and take STORED and OTHER, which no entry names: Doppler has them.
async fn world() -> World {
    let world = World::new().await.doppler().await;
    world.route_to_a("stored.test", "STORED").route_to_a("other.test", "OTHER")
}

fn store(world: &Started) -> &Doppler {
    world.doppler.as_ref().unwrap()
}

/// What the upstream got as its secret in the last call.
fn injected(world: &Started) -> String {
    world.a.last().header("x-key").unwrap_or_default().to_owned()
}

/// 502 `SECRET_ERROR` for `stored.test`, with nothing sent and nothing said about the store. Returns the record.
async fn assert_no_secret(world: &Started, what: &str) -> Value {
    let before = world.a.bytes();
    let answer = world.get("stored.test").await;
    let record = world.assert_refused(&answer, 502, "SECRET_ERROR", what).await;
    assert_eq!(world.a.bytes(), before, "{what}: sent without its secret");
    assert_eq!((&record["decision"], &record["secret_id"]), (&"allow".into(), &"STORED".into()), "{what}: {record}");
    for internal in ["STORED", "store-says", "doppler", "Doppler", "127.0.0.1"] {
        assert!(!answer.text().contains(internal), "{what}: a caller reads {internal:?}: {}", answer.text());
    }
    record
}

async fn fetches(world: &Started, result: &str) -> f64 {
    world.sample(&format!("veilwarden_secret_fetches_total{{store=\"doppler\",result=\"{result}\"}}")).await
}

#[tokio::test]
async fn j01_a_store_that_fails_is_502_and_the_upstream_sees_nothing() {
    for (steps, what) in [
        (vec![Step::Send(http(500, "", r#"{"messages":["store-says-no"],"success":false}"#))], "500"),
        (vec![Step::Send(http(503, "", "store-says-no"))], "503"),
        (vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"val".to_vec()), Step::Close], "cut"),
        (vec![Step::Send(b"store-says-no\r\n\r\n".to_vec()), Step::Close], "no HTTP"),
        (vec![Step::Close], "closed"),
        (vec![Step::Reset], "reset"),
    ] {
        let world = world().await.start().await;
        store(&world).mode(Mode::Play(steps));
        let record = assert_no_secret(&world, what).await;
        assert_eq!(fetches(&world, "unavailable").await, 1.0, "{what}: {}", world.metrics().await);
        let id = record["request_id"].as_str().unwrap();
        let said = |line: &str| line.contains("call failed") && line.contains(id) && line.contains("doppler");
        assert!(logs::all().lines().any(said), "{what}: the log does not say which store");
        // Other routes need no store.
        world.assert_works(what).await;
    }
}

#[tokio::test]
async fn j01_a_store_that_hangs_is_502_within_its_timeout() {
    let world = world().await.doppler_options("timeout: 300ms").start().await;
    store(&world).mode(Mode::Play(vec![Step::Hang]));
    let asked = Instant::now();
    assert_no_secret(&world, "silence").await;
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn j02_j03_an_expired_value_is_served_while_the_store_fails_but_not_for_ever() {
    let world = world().await.store_options("cache_ttl: 300ms, max_stale: 3s").start().await;
    store(&world).set("STORED", "first-value");
    assert_eq!(world.get("stored.test").await.status, 200);
    let fresh = Instant::now();
    store(&world).answers(500, "", "{}");
    let stale = "veilwarden_secret_stale_served_total{store=\"doppler\"}";
    let refused = within("the end of max_stale", async {
        loop {
            let answer = world.get("stored.test").await;
            match answer.status {
                200 => assert_eq!(injected(&world), "first-value"),
                _ => return answer,
            }
        }
    })
    .await;
    world.assert_refused(&refused, 502, "SECRET_ERROR", "after max_stale").await;
    assert!(fresh.elapsed() >= Duration::from_millis(3200), "refused after {:?}", fresh.elapsed());
    assert!(world.sample(stale).await >= 1.0, "{}", world.metrics().await);
    let said = |line: &str| line.contains("a secret could not be fetched") && line.contains("\"stale\":true");
    assert!(logs::all().lines().any(said), "the log does not say that a stale value is in use");
    store(&world).mode(Mode::Normal);
    store(&world).set("STORED", "second-value");
    within("the store's recovery", async { while world.get("stored.test").await.status != 200 {} }).await;
    assert_eq!(injected(&world), "second-value");
}

#[tokio::test]
async fn j02_a_store_that_says_no_ends_a_value_at_once() {
    for status in [401, 403, 404] {
        let world = world().await.store_options("cache_ttl: 300ms, max_stale: 1h").start().await;
        store(&world).set("STORED", "first-value");
        assert_eq!(world.get("stored.test").await.status, 200);
        store(&world).answers(status, "", r#"{"messages":["store-says-no"],"success":false}"#);
        within("the refusal", async { while world.get("stored.test").await.status == 200 {} }).await;
        assert_no_secret(&world, "revoked").await;
        assert!(fetches(&world, "rejected").await >= 1.0, "{status}: {}", world.metrics().await);
    }
}

#[tokio::test]
async fn j05_a_store_that_asks_for_patience_is_left_alone_and_the_stale_value_serves() {
    let world = world().await.store_options("cache_ttl: 200ms, max_stale: 1h").start().await;
    store(&world).set("STORED", "first-value");
    assert_eq!(world.get("stored.test").await.status, 200);
    store(&world).answers(429, "Retry-After: 600\r\n", "{}");
    within("the first refusal", async {
        while store(&world).calls() < 2 {
            world.get("stored.test").await;
        }
    })
    .await;
    until("the refusal to be known", || logs::all().contains("status 429")).await;
    for _ in 0..50 {
        assert_eq!(world.get("stored.test").await.status, 200);
        assert_eq!(injected(&world), "first-value");
    }
    // One under way when the patience was asked for, perhaps.
    assert!(store(&world).calls() <= 3, "{} calls to a store that asked for patience", store(&world).calls());
}

#[tokio::test]
async fn j06_many_callers_at_once_are_one_fetch() {
    let world = world().await.start().await;
    let go = Arc::new(Semaphore::new(0));
    store(&world).mode(Mode::Play(vec![Step::Wait(go.clone()), Step::Send(secret("STORED", "the-value"))]));
    let mut callers = Vec::new();
    for _ in 0..50 {
        let mut stream = world.connect().await;
        stream.write_all(world.request_to("stored.test", "GET", "/x", "").as_bytes()).await.unwrap();
        callers.push(stream);
    }
    let waiting = "veilwarden_requests_in_flight";
    within("all callers to wait", async { while world.sample(waiting).await < 50.0 {} }).await;
    go.add_permits(100);
    for stream in &mut callers {
        assert_eq!(crate::world::raw::read_answer(stream).await.status, 200);
    }
    assert_eq!(store(&world).calls(), 1);
    assert_eq!(world.a.seen().len(), 50);
}

#[tokio::test]
async fn j07_a_rotated_value_is_in_use_after_the_ttl() {
    let world = world().await.store_options("cache_ttl: 500ms").start().await;
    store(&world).set("STORED", "first-value");
    world.get("stored.test").await;
    assert_eq!(injected(&world), "first-value");
    store(&world).set("STORED", "second-value");
    let rotated = Instant::now();
    within("the new value", async {
        loop {
            let sent = rotated.elapsed();
            assert_eq!(world.get("stored.test").await.status, 200);
            if injected(&world) == "second-value" {
                return;
            }
            // What was asked for later than a TTL after the change has the new value.
            assert!(sent < Duration::from_millis(500), "the old value was in use {sent:?} later");
        }
    })
    .await;
}

#[tokio::test]
async fn j15_each_route_gets_the_secret_of_its_own_place() {
    let world = world().await.route_to_a("third.test", "ELSEWHERE").route_to_a("fourth.test", "STORED");
    let world = world.secret("{id: ELSEWHERE, doppler: {project: api, config: dev, name: STORED}}").start().await;
    for (place, value) in [("STORED", "of-web"), ("OTHER", "of-other"), ("api/dev/STORED", "of-api")] {
        store(&world).set(place, value);
    }
    for _ in 0..2 {
        for (host, value) in
            [("stored.test", "of-web"), ("third.test", "of-api"), ("other.test", "of-other"), ("fourth.test", "of-web")]
        {
            assert_eq!(world.get(host).await.status, 200);
            assert_eq!(injected(&world), value, "{host}");
        }
    }
    assert_eq!(store(&world).calls(), 3, "two routes with one secret share it");
}

#[tokio::test]
async fn j19_a_caller_that_hangs_up_takes_nothing_from_the_others() {
    let world = world().await.start().await;
    let go = Arc::new(Semaphore::new(0));
    store(&world).mode(Mode::Play(vec![Step::Wait(go.clone()), Step::Send(secret("STORED", "the-value"))]));
    let mut first = world.connect().await;
    first.write_all(world.request_to("stored.test", "GET", "/x", "").as_bytes()).await.unwrap();
    until("the fetch to be under way", || store(&world).calls() == 1).await;
    drop(first);
    within("the call to end", async { while world.sample("veilwarden_requests_in_flight").await > 0.0 {} }).await;
    until("its record", || world.audit().iter().any(|record| record["status"] == 0)).await;
    go.add_permits(100);
    let answer = world.get("stored.test").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((injected(&world).as_str(), store(&world).calls()), ("the-value", 1));
    assert_eq!(world.a.seen().len(), 1, "the call that nobody waits for was sent");
}

#[tokio::test]
async fn a_file_secret_follows_its_file_and_is_502_while_there_is_none() {
    let world = World::new().await.route_to_a("file.test", "FILED");
    let path = world.directory.path().join("secret");
    let world = world.secret(&format!("{{id: FILED, file: {}}}", path.display()));
    let world = world.store_options("cache_ttl: 100ms, max_stale: 100ms").start().await;
    let answer = world.get("file.test").await;
    world.assert_refused(&answer, 502, "SECRET_ERROR", "no file").await;
    assert!(!answer.text().contains("secret-file") && !answer.text().contains(path.to_str().unwrap()), "{answer:?}");
    file(world.directory.path(), "secret", "first-value\n");
    within("the file to be read", async { while world.get("file.test").await.status != 200 {} }).await;
    assert_eq!(injected(&world), "first-value");
    // As a projected volume does it: a new file takes the old one's place.
    let next = file(world.directory.path(), "next", "second-value\n");
    std::fs::rename(next, &path).unwrap();
    within("the new value", async {
        while injected(&world) != "second-value" {
            assert_eq!(world.get("file.test").await.status, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn l10_a_store_that_is_down_at_the_start_heals_alone() {
    let down = Down::new();
    let base_url = format!("base_url: \"http://{}\"", down.address);
    let world = World::new().await.doppler().await.route_to_a("stored.test", "STORED");
    let world = world.doppler_options(&base_url).start().await;
    let ready = world.send_to(world.admin, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(ready.status, 200);
    assert_no_secret(&world, "down").await;
    down.up().answer(http(200, "", &json!({"value": {"computed": "the-value"}, "success": true}).to_string()));
    within("the store to be asked again", async { while world.get("stored.test").await.status != 200 {} }).await;
    assert_eq!(injected(&world), "the-value");
}
