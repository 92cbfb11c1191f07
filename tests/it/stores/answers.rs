//! What a store answers that is no good secret.

use super::{assert_no_secret, fetches, store, world};
use crate::world::tls::Authority;
use crate::world::{World, logs};

#[tokio::test]
async fn j08_j10_a_value_that_no_header_can_carry_is_502() {
    let long = "a".repeat(64 << 10);
    for (value, what) in [
        ("canary-j08\r\nX-Injected: y", "CR LF"),
        ("canary-j08\nX-Injected: y", "LF"),
        ("canary-j08\u{0}", "NUL"),
        ("canary-j08\u{7f}", "DEL"),
        ("canary-j08-\u{e4}", "UTF-8"),
        (&*long, "64 KiB"),
        ("", "empty"),
        ("   ", "blank"),
    ] {
        let world = world().await.start().await;
        store(&world).set("STORED", value);
        assert_no_secret(&world, what).await;
        assert_eq!(fetches(&world, "invalid_value").await, 1.0, "{what}: {}", world.metrics().await);
    }
    assert!(!logs::all().contains("canary-j08"), "a bad value is in the log");
}

#[tokio::test]
async fn j12_an_answer_of_another_shape_is_502() {
    let huge = format!("{{\"value\":{{\"computed\":\"{}\"}}}}", "a".repeat(2 << 20));
    for body in [
        r#"{"value":null}"#,
        r#"{"value":{"raw":"canary-j12"}}"#,
        r#"{"value":{"computed":null}}"#,
        r#"{"value":{"computed":17}}"#,
        r#"{"value":{"computed":["canary-j12"]}}"#,
        r#"{"value":"canary-j12"}"#,
        r#"{"value":{"computed":"canary-j12","computed":"canary-j12-b"}}"#,
        r#"{"success":false,"messages":["store-says-no"],"value":{"computed":"canary-j12"}}"#,
        r#"["canary-j12"]"#,
        "canary-j12",
        "",
        &*huge,
    ] {
        let world = world().await.start().await;
        store(&world).answers(200, "", body);
        assert_no_secret(&world, &body[..body.len().min(80)]).await;
    }
    assert!(!logs::all().contains("canary-j12"), "a store's answer is in the log");
}

#[tokio::test]
async fn j13_a_redirect_is_not_followed_and_the_store_token_stays() {
    for status in [301, 302, 307, 308] {
        let world = world().await.start().await;
        let location = format!("Location: http://{}/v3/configs/config/secret\r\n", world.b.address);
        store(&world).answers(status, &location, "");
        assert_no_secret(&world, "a redirect").await;
        assert_eq!((store(&world).calls(), world.b.connections()), (1, 0), "{status} was followed");
    }
}

#[tokio::test]
async fn j14_no_token_is_sent_to_a_store_that_nobody_vouches_for() {
    let world = World::new().await.doppler().await.route_to_a("stored.test", "STORED");
    let behind = world.doppler.as_ref().unwrap().recorder.address;
    let front = Authority::new().front("localhost", behind).await;
    let base_url = format!("base_url: \"https://localhost:{}\"", front.address.port());
    let world = world.doppler_options(&base_url).start().await;
    assert_no_secret(&world, "an unknown CA").await;
    assert!(front.connections() > 0);
    assert_eq!((front.sessions(), store(&world).recorder.bytes()), (0, 0), "something was sent");
}
