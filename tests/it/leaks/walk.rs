//! A walk through all families of scenarios.

use super::stage::{Canaries, host_of};
use super::{faults, ways};
use crate::world::Started;
use crate::world::raw::Answer;

/// What came of a walk.
#[derive(Default)]
pub struct Walk {
    pub answers: Vec<Answer>,
}

impl Walk {
    pub async fn call(&mut self, world: &Started, host: &str, target: &str, fields: &str) -> u16 {
        let head = format!("GET {target} HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: {host}\r\n");
        self.send(world, format!("{head}{fields}\r\n")).await
    }

    pub async fn send(&mut self, world: &Started, bytes: impl AsRef<[u8]>) -> u16 {
        let answer = world.send(bytes).await;
        let status = answer.status;
        self.answers.push(answer);
        status
    }

    /// All answers, whole.
    pub fn all(&self) -> String {
        self.answers.iter().map(|answer| format!("{:?}\n{}\n", answer.fields, answer.text())).collect()
    }

    /// Our own answers, whole.
    pub fn own(&self) -> String {
        let own = self.answers.iter().filter(|answer| answer.header("x-veilwarden-error").is_some());
        own.map(|answer| format!("{:?}\n{}\n", answer.fields, answer.text())).collect()
    }
}

/// All families: allowed calls, each kind of refusal, stores, upstreams and an API server that fail and reflect.
pub async fn walk(world: &Started, c: &Canaries) -> Walk {
    let mut walk = Walk::default();
    allowed(&mut walk, world, c).await;
    refused(&mut walk, world, c).await;
    faults::stores(&mut walk, world, c).await;
    faults::upstreams(&mut walk, world, c).await;
    faults::api_servers(&mut walk, world, c).await;
    ways::walk(&mut walk, world, c).await;
    walk
}

async fn allowed(walk: &mut Walk, world: &Started, c: &Canaries) {
    let (bearer, session) = (format!("Authorization: Bearer {}\r\n", c.good), world.session_secret());
    for (name, value) in &c.stored {
        world.doppler.as_ref().unwrap().set(name, value);
    }
    for host in ["a.test", "b.test", "tls.test", "filed.test", &host_of("STORED_0")] {
        assert_eq!(walk.call(world, host, "/allowed", &bearer).await, 200, "{host}");
    }
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("x:{}", c.good));
    for slot in [
        format!("X-Session-Secret: {session}\r\n"),
        format!("Proxy-Authorization: Bearer {}\r\n", c.good),
        format!("Proxy-Authorization: Basic {basic}\r\n"),
        format!("X-Veilwarden-Token: {}\r\n", c.good),
        format!("X-Veilwarden-Token: {session}\r\nAuthorization: Basic Zm9vOmJhcg==\r\n"),
        format!("{bearer}X-Session-Secret: {session}\r\nCookie: t={}\r\nX-Custom: {}\r\n", c.good, c.good),
    ] {
        assert_eq!(walk.call(world, "a.test", "/allowed", &slot).await, 200, "{slot}");
    }
}

async fn refused(walk: &mut Walk, world: &Started, c: &Canaries) {
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let (good, session) = (bearer(&c.good), world.session_secret());
    let with = |slot: String| format!("{slot}X-Agent-Id: {0}\r\nX-Request-Id: {0}\r\n", &session);
    for (host, target, fields, status) in [
        ("a.test", "/allowed", String::new(), 401),
        ("a.test", "/allowed", format!("X-Session-Secret: {}\r\n", c.wrong_session), 401),
        ("a.test", "/allowed", format!("X-Session-Secret: {}\u{e4}\r\n", session), 401),
        ("a.test", "/allowed", bearer(&c.refused), 401),
        ("a.test", "/allowed", bearer(&c.expired), 401),
        ("a.test", "/allowed", bearer(&c.wrong_session), 401),
        ("a.test", "/allowed", bearer(&format!("{}.{}", c.good, c.good)), 401),
        ("a.test", "/allowed", format!("Authorization: Bearer  {}\r\n", c.good), 401),
        ("a.test", "/allowed", format!("{good}Authorization: Bearer {}\r\n", c.refused), 400),
        ("a.test", "/allowed", format!("{good}X-Bad : {}\r\n", c.good), 400),
        ("a.test", "/denied", good.clone(), 403),
        ("a.test", "/error", good.clone(), 500),
        ("a.test", "/allowed/../denied", good.clone(), 400),
        ("nowhere.test", "/allowed", good.clone(), 403),
        (&*session, "/allowed", with(format!("X-Session-Secret: {session}\r\n")), 400),
        ("a.test", "/denied", with(format!("X-Session-Secret: {session}\r\n")), 403),
        ("a.test", "/allowed", format!("{good}Via: 1.1 veilwarden\r\n"), 508),
    ] {
        assert_eq!(walk.call(world, host, target, &fields).await, status, "{host} {target}");
    }
    // In the target: the token, and percent-encoded in the path.
    for target in [format!("/allowed/{}", c.good), format!("/allowed?t={}", c.good), format!("/denied?t={}", c.good)] {
        assert_eq!(walk.call(world, "a.test", &target, &good).await, 400);
    }
    let encoded = session.replace("session", "%73ession");
    let slot = format!("X-Session-Secret: {session}\r\n");
    assert_eq!(walk.call(world, "a.test", &format!("/allowed/{encoded}"), &slot).await, 400);
    assert_eq!(walk.send(world, format!("TRACE /allowed HTTP/1.1\r\nHost: p\r\n{good}\r\n")).await, 405);
    assert_eq!(walk.send(world, format!("GET /allowed HTTP/1.1\r\n{good}\r\n")).await, 400);
    assert_eq!(walk.send(world, format!("GET /allowed HTTP/1.1\nHost: p\n{good}\n")).await, 400);
}
