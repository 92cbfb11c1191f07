//! The caller's credential in the field where an API's client puts its key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::world::{Started, World};

const UNAUTHORIZED: (u16, &str) = (401, "UNAUTHORIZED");
const INVALID: (u16, &str) = (401, "INVALID_TOKEN");
const MALFORMED: (u16, &str) = (400, "BAD_REQUEST");

/// Beside a.test and b.test, which have no slots: anthropic.test takes `X-Api-Key`, openai.test `Authorization`.
fn with_slots(world: World) -> World {
    let address = world.a.address;
    let rest = format!(
        "upstream_scheme: http, upstream_address: \"{address}\", secret_id: KEY_A, header_value_template: \"{{{{secret}}}}\""
    );
    world
        .route(&format!(
            "{{upstream_host: anthropic.test, local_name: anthropic, caller_slots: [x-api-key], inject_header: X-Api-Key, {rest}}}"
        ))
        .route(&format!(
            "{{upstream_host: openai.test, local_name: openai, caller_slots: [authorization], inject_header: X-Key, {rest}}}"
        ))
}

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: proxy.test\r\n{lines}\r\n\r\n")
}

fn token(world: &Started) -> String {
    world.kubernetes.as_ref().unwrap().token.clone()
}

#[tokio::test]
async fn a_base_url_and_a_key_variable_are_enough() {
    let world = with_slots(World::new().await).start().await;
    let secret = world.session_secret();
    let seen = world.forwards(get("/_route/anthropic/v1/messages", &format!("X-Api-Key: {secret}")), "x-api-key").await;
    assert_eq!((seen.target(), seen.headers("x-api-key")), ("/v1/messages", vec![&*world.canary_a()]));
    for value in ["Bearer ", "bearer ", "token "].map(|scheme| format!("{scheme}{secret}")) {
        let seen = world.forwards(get("/_route/openai/v1/models", &format!("Authorization: {value}")), &value).await;
        assert_eq!(
            (seen.headers("authorization"), seen.headers("x-key")),
            (vec![], vec![&*world.canary_a()]),
            "{value}"
        );
    }
    let basic = STANDARD.encode(format!("x:{secret}"));
    world.forwards(get("/_route/openai/v1/models", &format!("Authorization: Basic {basic}")), "basic").await;
    let host = get("/v1", &format!("X-Upstream-Host: openai.test\r\nAuthorization: Bearer {secret}"));
    world.forwards(host, "named by its field").await;
    let everything = String::from_utf8(world.a.everything()).unwrap();
    assert!(!everything.contains(&secret) && !everything.contains(&basic), "{everything}");
}

#[tokio::test]
async fn a_workloads_token_is_taken_from_the_routes_slot() {
    let world = with_slots(World::new().await.kubernetes().await).start().await;
    let (token, secret) = (token(&world), world.session_secret());
    for (target, line) in [
        ("/_route/anthropic/x", format!("X-Api-Key: {token}")),
        ("/_route/anthropic/x", format!("x-api-key: {secret}")),
        ("/_route/openai/x", format!("Authorization: Bearer {token}")),
        ("/_route/openai/x", format!("Authorization: Bearer {secret}")),
        ("/_route/anthropic/x", format!("Authorization: Bearer {token}")),
        ("/_route/anthropic/x", format!("X-Session-Secret: {secret}")),
        ("/_route/anthropic/x", format!("X-Api-Key: {token}\r\nX_Api_Key: {secret}\r\nX-Copy: {token}")),
        ("/_route/anthropic/x", format!("X-Veilwarden-Token: {token}\r\nX-Api-Key: {secret}")),
    ] {
        world.forwards(get(target, &line), &line).await;
    }
    // An application's own Authorization stays its own where it is no slot and another slot decides.
    let seen = world
        .forwards(get("/_route/anthropic/x", &format!("X-Api-Key: {token}\r\nAuthorization: Bearer app")), "app")
        .await;
    assert_eq!(seen.headers("authorization"), ["Bearer app"]);
    let everything = String::from_utf8(world.a.everything()).unwrap();
    assert!(!everything.contains(&token) && !everything.contains(&secret), "{everything}");
}

#[tokio::test]
async fn a_bad_credential_in_a_slot_is_not_rescued() {
    let world = with_slots(World::new().await.kubernetes().await).start().await;
    let (token, secret) = (token(&world), world.session_secret());
    let good = format!("X-Session-Secret: {secret}\r\nAuthorization: Bearer {token}");
    for (what, lines, refusal) in [
        ("a wrong secret", format!("X-Api-Key: wrong-session-secret\r\n{good}"), UNAUTHORIZED),
        ("an empty one", format!("X-Api-Key:\r\n{good}"), UNAUTHORIZED),
        ("a forged token", format!("X-Api-Key: {token}x\r\n{good}"), INVALID),
        ("a scheme", format!("X-Api-Key: Bearer {token}\r\n{good}"), INVALID),
        ("two of them", format!("X-Api-Key: {token}\r\nX-Api-Key: {token}"), MALFORMED),
        ("two, one good", format!("X-Api-Key: x\r\nX-Api-Key: {token}\r\n{good}"), MALFORMED),
        ("a bad one before", format!("X-Veilwarden-Token: wrong-session-secret\r\nX-Api-Key: {token}"), UNAUTHORIZED),
        ("a disguised one", format!("X_Api_Key: {token}"), UNAUTHORIZED),
    ] {
        world.refuses(get("/_route/anthropic/x", &lines), refusal, what).await;
    }
    for (value, refusal) in [
        ("Bearer wrong-session-secret".to_owned(), UNAUTHORIZED),
        (format!("Bearer  {token}"), INVALID),
        (format!("Digest {token}"), INVALID),
        ("token".to_owned(), INVALID),
        (String::new(), INVALID),
    ] {
        let lines = format!("Authorization: {value}\r\nX-Session-Secret: {secret}");
        world.refuses(get("/_route/openai/x", &lines), refusal, &value).await;
    }
}

#[tokio::test]
async fn a_slot_is_one_routes_and_no_others() {
    let world = with_slots(World::new().await.kubernetes().await).start().await;
    let token = token(&world);
    let key = format!("X-Api-Key: {token}");
    for lines in [
        format!("X-Upstream-Host: a.test\r\n{key}"),
        format!("X-Upstream-Host: none.test\r\n{key}"),
        format!("X-Upstream-Host: anthropic.test\r\nX-Upstream-Host: anthropic.test\r\n{key}"),
        key.clone(),
    ] {
        world.refuses(get("/x", &lines), UNAUTHORIZED, &lines).await;
    }
    for target in ["/_route/openai/x", "/_route/none/x", "/_route"] {
        world.refuses(get(target, &key), UNAUTHORIZED, target).await;
    }
    let different = get("/_route/anthropic/x", &format!("X-Upstream-Host: a.test\r\n{key}"));
    world.refuses(different, UNAUTHORIZED, "two names").await;
    // Another route's slot is an application's field like any other.
    let own = format!("X-Upstream-Host: a.test\r\nAuthorization: Bearer {token}\r\nX-Api-Key: app");
    let seen = world.forwards(get("/x", &own), "the application's own").await;
    assert_eq!(seen.headers("x-api-key"), ["app"]);
}

#[tokio::test]
async fn policy_and_record_do_not_see_the_slot() {
    let policy = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
        allow if { input.user_id == \"alice\"; not input.headers[\"x-api-key\"]; not input.headers.x_api_key; input.headers.accept }\n";
    let world = with_slots(World::new().await.rego(policy)).start().await;
    let secret = world.session_secret();
    let lines = format!("Accept: a/b\r\nX-Api-Key: {secret}\r\nX_Api_Key: other");
    let answer = world.send(get("/_route/anthropic/x", &lines)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(world.record(&answer).await["auth_method"], "session");
    let target = format!("/_route/anthropic/x?key={secret}");
    world.send(get(&target, &lines)).await;
    assert_eq!(world.a.seen().len(), 1, "a credential in the URL goes nowhere");
}
