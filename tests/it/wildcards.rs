//! Routes for every name one label below a domain. `*.w.test` leads to the recorder `a`, whoever is called.

mod connections;
mod evicted;
mod flood;
mod names;
mod secured;

use crate::world::World;

/// With `*.w.test` on the port of `http`, whose calls get `X-Key: <CANARY_A>`.
async fn world() -> World {
    World::new().await.route_to_a("\"*.w.test\"", "KEY_A")
}
