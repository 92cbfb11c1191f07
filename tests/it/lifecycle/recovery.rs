//! Starting with everything down, and healing alone.

use super::readiness;
use crate::world::doppler::Mode as Stored;
use crate::world::kubernetes::Mode;
use crate::world::recorder::{Down, Step};
use crate::world::{Started, World, within};

/// Calls until something else than this code is answered, and says what.
async fn until_other(world: &Started, host: &str, code: &str) -> (u16, String) {
    within(&format!("the end of {code}"), async {
        loop {
            let answer = world.get(host).await;
            if answer.code() != code {
                return (answer.status, answer.code());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn l10_a_start_with_everything_down_heals_alone() {
    let down = Down::new();
    let world = World::new().await.kubernetes().await.kubernetes_options("timeout: 1s, negative_cache_ttl: 1ms");
    let world = world.doppler().await.doppler_options("timeout: 1s");
    let world = world.route(&format!(
        "{{upstream_host: down.test, upstream_scheme: http, upstream_address: \"{}\", secret_id: STORED, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}",
        down.address
    ));
    world.kubernetes.as_ref().unwrap().mode(Mode::Close);
    world.doppler.as_ref().unwrap().mode(Stored::Play(vec![Step::Reset]));
    world.doppler.as_ref().unwrap().set("STORED", "stored-value");
    let (world, process) = world.spawn().await;
    // Ready by explicit choice: see ARCHITECTURE.md.
    assert_eq!(readiness(&world).await, 200);
    let answer = world.get("down.test").await;
    world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "everything down").await;
    assert!(answer.header("retry-after").is_some(), "{answer:?}");

    world.kubernetes.as_ref().unwrap().mode(Mode::Normal);
    assert_eq!(until_other(&world, "down.test", "AUTH_UNAVAILABLE").await, (502, "SECRET_ERROR".to_owned()));
    world.doppler.as_ref().unwrap().mode(Stored::Normal);
    assert_eq!(until_other(&world, "down.test", "SECRET_ERROR").await, (502, "UPSTREAM_ERROR".to_owned()));
    let upstream = down.up();
    assert_eq!(until_other(&world, "down.test", "UPSTREAM_ERROR").await, (200, String::new()));
    assert_eq!(upstream.last().headers("x-key"), ["stored-value"]);
    assert_eq!(process.stderr().matches("panicked").count(), 0);
}
