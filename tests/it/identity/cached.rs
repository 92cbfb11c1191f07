//! What is remembered of a token: for how long, and how seldom it is asked about.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{all_at_once, api_server, says};
use crate::world::kubernetes::{self, Mode, accepted, token};
use crate::world::{World, until, within};

#[tokio::test]
async fn h12_a_known_workload_works_on_to_its_ttl_while_the_api_server_is_down() {
    let options = "cache_ttl: 2s, max_reviews_per_second: 1000";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).start().await;
    let known = Instant::now();
    world.assert_works("with the API server").await;
    api_server(&world).mode(Mode::Close);
    let mut served = 0;
    let refused = within("the end of the TTL", async {
        loop {
            let answer = world.send(world.ok("")).await;
            match answer.status {
                200 => served += 1,
                _ => return answer,
            }
        }
    })
    .await;
    assert!(served > 0 || known.elapsed() > Duration::from_secs(2), "a cached identity was not served");
    world.assert_refused(&refused, 503, "AUTH_UNAVAILABLE", "after the TTL").await;
    assert!(known.elapsed() >= Duration::from_secs(2), "refused after {:?}", known.elapsed());
    api_server(&world).mode(Mode::Normal);
    world.assert_works("the API server is back").await;
}

#[tokio::test]
async fn h13_many_callers_with_one_new_token_are_one_review() {
    let world = World::new().await.kubernetes().await.start().await;
    let calls = (0..100).map(|_| world.send(world.ok("")));
    let answers = all_at_once(calls).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(api_server(&world).reviews(), 1);
    assert_eq!(world.a.seen().len(), 100);
}

#[tokio::test]
async fn h15_the_same_bad_token_is_reviewed_once() {
    let world = World::new().await.kubernetes().await.kubernetes_options("negative_cache_ttl: 10m").start().await;
    let bad = token("bad", "veilwarden", 600);
    for _ in 0..50 {
        assert_eq!(world.bearer(&bad).await.code(), "INVALID_TOKEN");
    }
    assert_eq!(api_server(&world).reviews(), 1);
    world.assert_works("a good token").await;
}

#[tokio::test]
async fn h16_a_flood_of_bad_tokens_is_capped_and_the_good_workload_works_on() {
    let options = "max_reviews_per_second: 4, cache_ttl: 1ms, negative_cache_ttl: 10m";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).start().await;
    world.assert_works("before the flood").await;
    let (begun, before) = (Instant::now(), api_server(&world).reviews());
    let mut throttled = 0;
    for n in 0..200 {
        let answer = world.bearer(&token(&format!("flood-{n}"), "veilwarden", 600)).await;
        if answer.code() == "AUTH_UNAVAILABLE" {
            assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
            throttled += 1;
        } else {
            assert_eq!(answer.code(), "INVALID_TOKEN", "{answer:?}");
        }
    }
    let (reviews, seconds) = (api_server(&world).reviews() - before, begun.elapsed().as_secs_f64());
    assert!(reviews as f64 <= 8.0 + 4.0 * seconds, "{reviews} reviews in {seconds} s");
    assert_eq!(reviews + throttled, 200, "each call was judged once or told to come again");
    assert!(throttled > 0, "the flood was over too slowly to say anything: {seconds} s");
    let metric = "veilwarden_auth_attempts_total{method=\"kubernetes\",result=\"throttled\"}";
    assert_eq!(world.sample(metric).await, throttled as f64);
    // Its identity is remembered for a millisecond only: this is the reserve for tokens that were good.
    world.assert_works("amid the flood").await;
}

#[tokio::test]
async fn h20_a_deleted_pod_is_refused_within_the_ttl() {
    let options = "cache_ttl: 500ms, max_reviews_per_second: 1000";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).start().await;
    world.assert_works("while the pod is there").await;
    api_server(&world).mode(says(json!({"authenticated": false, "error": "pod has been deleted"})));
    let deleted = Instant::now();
    let refused = within("the refusal", async {
        loop {
            let sent = deleted.elapsed();
            let answer = world.send(world.ok("")).await;
            if answer.status != 200 {
                return answer;
            }
            assert!(sent <= Duration::from_millis(500), "still served {sent:?} later");
        }
    })
    .await;
    world.assert_refused(&refused, 401, "INVALID_TOKEN", "deleted").await;
}

#[tokio::test]
async fn h21_a_policy_can_tell_a_recreated_service_account() {
    const OLD: &str = "11111111-2222-3333-4444-555555555555";
    let module = format!(
        "package veilwarden.authz\nimport rego.v1\ndefault allow := false\nallow if input.identity.service_account_uid == \"{OLD}\"\n"
    );
    let options = "cache_ttl: 1ms, max_reviews_per_second: 1000";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).rego(&module).start().await;
    world.assert_works("the one that the policy knows").await;
    let before = world.a.bytes();
    let mut recreated = accepted("system:serviceaccount:prod:api");
    recreated["user"]["uid"] = "99999999-2222-3333-4444-555555555555".into();
    api_server(&world).mode(says(recreated));
    until("the old identity to be forgotten", || api_server(&world).reviews() == 1).await;
    let refused = within("the refusal", async {
        loop {
            let answer = world.send(world.ok("")).await;
            if answer.status != 200 || api_server(&world).reviews() > 1 {
                return answer;
            }
        }
    })
    .await;
    world.assert_refused(&refused, 403, "POLICY_DENIED", "recreated").await;
    assert_eq!(world.a.bytes(), before);
}

#[tokio::test]
async fn h22_a_token_ends_at_its_exp_whatever_the_ttl() {
    let world = World::new().await.kubernetes().await.kubernetes_options("cache_ttl: 1h").start().await;
    let short = token("short", "veilwarden", 3);
    api_server(&world).mode(says(accepted("system:serviceaccount:prod:api")));
    let refused = within("the token's end", async {
        loop {
            let answer = world.bearer(&short).await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    world.assert_refused(&refused, 401, "TOKEN_EXPIRED", "after exp").await;
    assert!(api_server(&world).reviews() <= 1, "asked again about a cached token");
    let refused_at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(refused_at >= kubernetes::expiry(&short), "refused before its time");
}
