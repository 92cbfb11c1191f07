//! Tokens judged by the keys of the API server: `validate_method` `jwks` and `both`.

use serde_json::{Value, json};

use crate::world::keys::{ISSUER, header, signed, signed_with};
use crate::world::kubernetes::{Kubernetes, Mode, accepted, claims, review_with};
use crate::world::signer::Signer;
use crate::world::{Started, World, until, within};

mod algorithms;
mod keys;

fn api_server(world: &Started) -> &Kubernetes {
    world.kubernetes.as_ref().unwrap()
}

async fn start(options: &str) -> Started {
    World::new().await.kubernetes().await.kubernetes_options(options).start().await
}

/// The claims of the known workload with one of them changed; `null` takes it out.
fn with(pointer: &str, value: Value) -> Value {
    let mut claims = claims(0);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = claims.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.remove(name).unwrap()),
        value => drop(parent.insert(name.to_owned(), value)),
    }
    claims
}

fn now() -> u64 {
    claims(0)["iat"].as_u64().unwrap() + 10
}

async fn refused(world: &Started, token: &str, what: &str) {
    let answer = world.bearer(token).await;
    world.assert_refused(&answer, 401, "INVALID_TOKEN", what).await;
}

async fn accepts(world: &Started, token: &str, what: &str) {
    let answer = world.bearer(token).await;
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
}

#[tokio::test]
async fn a_token_of_the_cluster_is_accepted_without_a_review() {
    let module = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\nallow if {\n\
                  input.namespace == \"prod\"\ninput.service_account == \"api\"\ninput.pod_name == \"api-1\"\n\
                  input.identity.pod_uid == \"pod-uid-1\"\ninput.identity.node_name == \"node-1\"\n\
                  input.identity.service_account_uid == \"11111111-2222-3333-4444-555555555555\"\n\
                  input.identity.groups == [\"system:serviceaccounts\", \"system:serviceaccounts:prod\", \"system:authenticated\"]\n\
                  input.identity.audiences == [\"veilwarden\"]\ninput.identity.expires_at > 1\nnot input.identity.cluster\n}\n";
    let world = World::new().await.kubernetes().await.kubernetes_options("validate_method: jwks").rego(module);
    let world = world.start().await;
    world.assert_works("the workload").await;
    let rsa = Signer::rsa("rsa");
    let api = api_server(&world);
    api.documents.publish(&[&api.signer, &rsa]);
    accepts(&world, &signed(&rsa, &claims(1)), "a second key, RS256").await;
    assert_eq!((api.reviews(), api.fetches()), (0, 2));
    let shown = api.recorder.seen();
    let own = format!("Bearer {}", api.own_token);
    assert!(shown.iter().all(|seen| seen.headers("authorization") == [&own]), "{shown:?}");
    assert_eq!(world.sample("veilwarden_jwks_keys{cluster=\"default\"}").await, 2.0);
    assert_eq!(world.sample("veilwarden_jwks_fetches_total{cluster=\"default\",result=\"ok\"}").await, 2.0);
}

#[tokio::test]
async fn h26_a_deleted_pod_is_accepted_until_its_token_ends_or_its_maximum_age() {
    let gone =
        Mode::Raw(201, review_with(json!({"authenticated": false, "error": "pod has been deleted"})).to_string());
    let year = |age: u64| {
        let mut claims = with("/exp", json!(now() - age + 31_536_000));
        claims["iat"] = json!(now() - age);
        claims["nbf"] = json!(now() - age);
        claims["kubernetes.io"]["warnafter"] = json!(now() - age + 3607);
        claims
    };
    for (options, age, accepted) in [
        ("", 7200, true),
        ("", 24 * 3600, true),
        ("", 26 * 3600, false),
        (", max_token_age: 1h", 60, true),
        (", max_token_age: 1h", 7200, false),
    ] {
        let world = start(&format!("validate_method: jwks{options}")).await;
        api_server(&world).mode(gone.clone());
        let answer = world.bearer(&api_server(&world).sign(&year(age))).await;
        match accepted {
            true => assert_eq!(answer.status, 200, "{options} {age}: {answer:?}"),
            false => drop(world.assert_refused(&answer, 401, "TOKEN_EXPIRED", options).await),
        }
        assert_eq!(api_server(&world).reviews(), 0);
    }
    let world = start("validate_method: both").await;
    api_server(&world).mode(gone);
    refused(&world, &api_server(&world).sign(&year(60)), "both asks").await;
    assert_eq!(api_server(&world).reviews(), 1);
}

#[tokio::test]
async fn h26_a_remembered_identity_ends_at_its_maximum_age() {
    let world = start("validate_method: jwks, max_token_age: 3s, cache_ttl: 1h").await;
    let token = api_server(&world).sign(&with("/iat", json!(now())));
    let begun = now();
    let refused = within("its end", async {
        loop {
            let answer = world.bearer(&token).await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    world.assert_refused(&refused, 401, "TOKEN_EXPIRED", "its maximum age").await;
    assert!(now() >= begun + 3 && !world.a.seen().is_empty());
}

#[tokio::test]
async fn h31_issuer_audience_and_times_are_taken_to_the_letter() {
    let world = start("validate_method: jwks").await;
    let api = api_server(&world);
    let now = now();
    for (pointer, value) in [
        ("/iss", json!("https://other.test")),
        ("/iss", json!("https://played.test/")),
        ("/iss", json!("https://PLAYED.test")),
        ("/iss", json!("")),
        ("/iss", json!([ISSUER])),
        ("/iss", Value::Null),
        ("/aud", Value::Null),
        ("/aud", json!("veilwarden")),
        ("/aud", json!([])),
        ("/aud", json!(["Veilwarden"])),
        ("/aud", json!(["veilwarden", "https://kubernetes.default.svc"])),
        ("/aud", json!(["veilwarden", ISSUER])),
        ("/aud", json!([ISSUER])),
        ("/nbf", json!(now + 120)),
        ("/iat", json!(now + 120)),
        ("/iat", Value::Null),
        ("/exp", Value::Null),
        ("/exp", json!(4e9)),
        ("/exp", json!(now + 3600).to_string().into()),
        ("/exp", json!(-1)),
        ("/exp", json!(true)),
    ] {
        refused(&world, &api.sign(&with(pointer, value.clone())), &format!("{pointer} {value}")).await;
    }
    for exp in ["1e400", "99999999999999999999", "4000000000.5", "0x7fffffff"] {
        let payload = claims(0).to_string().replace(&claims(0)["exp"].to_string(), exp);
        refused(&world, &signed_with(&api.signer, &header(&api.signer).to_string(), &payload), exp).await;
    }
    for exp in [now, now - 1] {
        let answer = world.bearer(&api.sign(&with("/exp", json!(exp)))).await;
        world.assert_refused(&answer, 401, "TOKEN_EXPIRED", "no leeway").await;
    }
    world.assert_nothing_sent("claims to the letter");
    accepts(&world, &api.sign(&with("/nbf", json!(now + 30))), "a clock that is half a minute ahead").await;
    let hint = world.bearer(&api.sign(&with("/aud", json!([ISSUER])))).await.json()["hint"].to_string();
    assert!(hint.contains("serviceAccountToken") && hint.contains("audience: veilwarden"), "{hint}");
}

#[tokio::test]
async fn h31_without_require_audience_tokens_for_the_api_server_are_accepted_too() {
    let api_audience = "https://kubernetes.default.svc"; // that of our own token
    for method in ["jwks", "both"] {
        let world = start(&format!("validate_method: {method}, require_audience: false")).await;
        let api = api_server(&world);
        for (audiences, accepted) in [
            (json!(["veilwarden"]), true),
            (json!([ISSUER]), true),
            (json!([api_audience]), true),
            (json!(["veilwarden", api_audience]), true),
            (json!(["elsewhere", ISSUER]), true),
            (json!(["elsewhere"]), false),
            (json!([]), false),
            (Value::Null, false),
        ] {
            let picked = audiences.as_array().is_some_and(|all| all.contains(&json!("veilwarden")));
            let mut status = crate::world::kubernetes::accepted("system:serviceaccount:prod:api");
            status["audiences"] = if picked { json!(["veilwarden"]) } else { audiences.clone() };
            api.mode(Mode::Raw(201, review_with(status).to_string()));
            let token = api.sign(&with("/aud", audiences.clone()));
            match accepted {
                true => accepts(&world, &token, &format!("{method} {audiences}")).await,
                false => refused(&world, &token, &format!("{method} {audiences}")).await,
            }
        }
    }
}

#[tokio::test]
async fn h32_the_subject_is_the_bound_service_account() {
    let world = start("validate_method: jwks").await;
    for (pointer, value) in [
        ("/kubernetes.io/namespace", json!("other")),
        ("/kubernetes.io/serviceaccount/name", json!("other")),
        ("/sub", json!("system:serviceaccount:other:api")),
        ("/sub", json!("system:serviceaccount:prod:api:x")),
        ("/sub", json!("system:node:prod")),
        ("/sub", Value::Null),
        ("/kubernetes.io", Value::Null),
        ("/kubernetes.io/namespace", Value::Null),
        ("/kubernetes.io/serviceaccount", Value::Null),
    ] {
        refused(&world, &api_server(&world).sign(&with(pointer, value.clone())), &format!("{pointer} {value}")).await;
    }
    world.assert_nothing_sent("subjects");
}

#[tokio::test]
async fn h17_with_both_garbage_never_reaches_the_api_server() {
    let world = start("validate_method: both, cache_ttl: 1h, negative_cache_ttl: 1h").await;
    let api = api_server(&world);
    let forged = Signer::p256("key-1");
    for (token, what) in [
        (signed(&forged, &claims(0)), "forged"),
        (signed(&Signer::p256("key-9"), &claims(0)), "an unknown key"),
        (api.sign(&with("/iss", json!("https://other.test"))), "another issuer"),
        (api.sign(&with("/aud", json!(["other"]))), "another audience"),
        (api.sign(&with("/kubernetes.io/namespace", json!("other"))), "another namespace"),
        ("e30.e30.e30".into(), "nothing in it"),
    ] {
        refused(&world, &token, what).await;
    }
    assert_eq!(api.reviews(), 0);
    for _ in 0..5 {
        world.assert_works("the workload").await;
    }
    assert_eq!(api.reviews(), 1, "remembered");
    // One that only the API server can tell is not good: `Normal` knows one token.
    refused(&world, &api.sign(&claims(77)), "refused by the API server").await;
    assert_eq!(api.reviews(), 2);
}

#[tokio::test]
async fn with_both_the_api_server_and_the_token_have_to_name_one_user() {
    let world = start("validate_method: both, negative_cache_ttl: 1ms").await;
    let api = api_server(&world);
    api.mode(Mode::Raw(201, review_with(accepted("system:serviceaccount:prod:other")).to_string()));
    refused(&world, &api.token, "another user").await;
    api.mode(Mode::Normal);
    within("the refusal to be forgotten", async { while world.bearer(&api.token).await.status != 200 {} }).await;
}

#[tokio::test]
async fn h36_our_own_identity_is_no_caller_by_its_keys_either() {
    let world = start("validate_method: jwks").await;
    let mut own = claims(0);
    own["sub"] = json!("system:serviceaccount:veilwarden:veilwarden");
    own["kubernetes.io"] = json!({"namespace": "veilwarden", "serviceaccount": {"name": "veilwarden"}});
    refused(&world, &api_server(&world).sign(&own), "ourselves").await;
    until("the record", || !world.audit().is_empty()).await;
    world.assert_nothing_sent("ourselves");
}
