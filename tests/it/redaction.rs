//! Secrets that an upstream sends back: D26, F27, F28, and what answers are like on routes that are searched.

mod answers;
mod blocked;
mod sockets;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::world::raw::{self, Answer};
use crate::world::recorder::{Seen, Step};
use crate::world::{Started, World};

/// A world whose routes have this in them.
async fn world(more: &str) -> Started {
    World::new().await.forward().route_options(more).start().await
}

/// `GET /x` of `a.test` on a connection that the proxy closes when the answer was broken off.
async fn get(world: &Started, fields: &str) -> Answer {
    world.send(world.request("GET", "/x", fields)).await
}

/// An answer with this body; `fields` are whole lines.
fn answering(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The upstream answers with what this makes of the value that it got.
fn reflect(world: &Started, make: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) {
    world.a.script(move |seen: &Seen| vec![Step::Send(make(seen.header("authorization").unwrap()))]);
}

/// The record of the world's last call whose answer is complete or has broken off.
async fn record(world: &Started, answer: &Answer) -> Value {
    world.record_of(answer.header("x-request-id").unwrap()).await
}

/// How many answers had the secret in them, by the metrics.
async fn reflections(world: &Started, route: &str, action: &str) -> u64 {
    let metrics =
        world.send_to(world.admin, "GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").await.text();
    let line = format!("veilwarden_secret_reflected_total{{route=\"{route}\",action=\"{action}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |n| n.parse().unwrap())
}

/// An answer inside of a tunnel to `a.test`.
async fn in_tunnel(world: &Started) -> Answer {
    let mut tunnel = world.tunnel("a.test:80").await;
    tunnel.write_all(b"GET /x HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await.unwrap();
    raw::read_answer(&mut tunnel).await
}
