//! Section H of the hostile cases through the whole app: what a caller, the audit trail, the metrics and the log are
//! told when the API server says no, lies or does not answer. What each lie means is proved in `src/authn`.

mod cached;
mod outages;
mod tokens;

use serde_json::Value;

use crate::world::kubernetes::{Kubernetes, Mode, review_with};
use crate::world::{Started, World, logs};

fn api_server(world: &Started) -> &Kubernetes {
    world.kubernetes.as_ref().unwrap()
}

/// A world that asks again about a token as soon as it can.
async fn forgetful() -> Started {
    let options = "cache_ttl: 1ms, negative_cache_ttl: 1ms, max_reviews_per_second: 1000";
    World::new().await.kubernetes().await.kubernetes_options(options).start().await
}

fn says(status: Value) -> Mode {
    Mode::Raw(201, review_with(status).to_string())
}

/// The log line of a call.
pub fn logged(record: &Value) -> Value {
    let id = record["request_id"].as_str().unwrap();
    let line = logs::all().lines().rfind(|line| line.contains("\"call ") && line.contains(id)).map(str::to_owned);
    serde_json::from_str(&line.unwrap_or_else(|| panic!("no log line for {record}"))).unwrap()
}

/// All of them at once.
pub async fn all_at_once<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut pending {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if pending.iter().all(|(_, done)| done.is_some()) { ().into() } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, done)| done).collect()
}
