//! Tokens and credentials that prove nothing.

use serde_json::{Value, json};

use super::{api_server, forgetful, logged, says};
use crate::world::World;
use crate::world::kubernetes::{accepted, token};

#[tokio::test]
async fn h01_h02_h04_a_token_without_a_workload_behind_it_is_401() {
    let world = forgetful().await;
    let good = || accepted("system:serviceaccount:prod:api");
    let with = |name: &str, value: Value| {
        let mut status = good();
        status[name] = value;
        status
    };
    let mut cases = vec![
        (with("audiences", Value::Null), "no audiences"),
        (with("audiences", json!([])), "empty audiences"),
        (with("audiences", json!(["https://kubernetes.default.svc"])), "another audience"),
        (with("authenticated", json!(false)), "not authenticated, with a user"),
    ];
    for name in ["system:node:n1", "kubernetes-admin", "system:serviceaccount:ns", "system:serviceaccount:ns:sa:x"] {
        cases.push((accepted(name), name));
    }
    let attempts = cases.len();
    for (status, what) in cases {
        api_server(&world).mode(says(status));
        let answer = world.bearer(&token(what, "veilwarden", 600)).await;
        let record = world.assert_refused(&answer, 401, "INVALID_TOKEN", what).await;
        assert_eq!((&record["auth_method"], &record["decision"]), (&"kubernetes".into(), &"none".into()), "{record}");
        assert_eq!(record["identity"], Value::Null, "{record}");
        assert_eq!(logged(&record)["level"], "INFO", "{record}");
    }
    world.assert_nothing_sent("refused tokens");
    let refused = "veilwarden_auth_attempts_total{method=\"kubernetes\",result=\"invalid\"}";
    assert_eq!(world.sample(refused).await, attempts as f64, "{}", world.metrics().await);
}

#[tokio::test]
async fn h01_a_token_for_another_audience_gets_a_hint_that_helps() {
    let world = forgetful().await;
    let answer = world.bearer(&token("elsewhere", "https://kubernetes.default.svc", 600)).await;
    world.assert_refused(&answer, 401, "INVALID_TOKEN", "another audience").await;
    let hint = answer.json()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("serviceAccountToken") && hint.contains("audience: veilwarden"), "{hint}");
}

#[tokio::test]
async fn h17_h22_garbage_and_expired_tokens_are_refused_without_a_review() {
    let world = World::new().await.kubernetes().await.start().await;
    for (garbage, what) in [
        ("abc", "one part"),
        ("a.b", "two parts"),
        ("a.b.c.d", "four parts"),
        ("a.b.c", "no base64url"),
        ("e30.e30.", "no signature"),
        (&*format!("e30.{}.e30", "a".repeat(12_000)), "a long part"),
    ] {
        let answer = world.bearer(garbage).await;
        let record = world.assert_refused(&answer, 401, "INVALID_TOKEN", what).await;
        assert_eq!(record["auth_method"], "kubernetes", "{record}");
    }
    let answer = world.bearer(&token("old", "veilwarden", -1)).await;
    world.assert_refused(&answer, 401, "TOKEN_EXPIRED", "expired").await;
    assert_eq!(api_server(&world).reviews(), 0);
    world.assert_nothing_sent("refused tokens");
    let sample = |result: &str| format!("veilwarden_auth_attempts_total{{method=\"kubernetes\",result=\"{result}\"}}");
    assert_eq!(world.sample(&sample("malformed")).await, 6.0);
    assert_eq!(world.sample(&sample("expired")).await, 1.0);
}

#[tokio::test]
async fn h36_our_own_identity_is_no_caller() {
    let mut world = World::new().await.kubernetes().await;
    let own = token("ours", "https://kubernetes.default.svc", 3600);
    world.kubernetes.as_mut().unwrap().own_token = own;
    let world = world.start().await;
    let answer = world.send(world.ok("")).await;
    let record = world.assert_refused(&answer, 401, "INVALID_TOKEN", "our own ServiceAccount").await;
    assert!(logged(&record)["cause"].as_str().unwrap().contains("own identity"), "{}", logged(&record));
    world.assert_nothing_sent("our own ServiceAccount");
}

#[tokio::test]
async fn h37_no_credential_and_a_wrong_secret_get_the_same_answer() {
    let world = World::new().await.kubernetes().await.start().await;
    let head = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\nX-Request-Id: same\r\n";
    let mut answers = Vec::new();
    // The last two occur in the target and in a field: too short to be good, they are wrong like any other.
    for fields in ["", "X-Session-Secret: wrong\r\n", "X-Session-Secret: x\r\n", "X-Session-Secret: p\r\n"] {
        let answer = world.send(format!("{head}{fields}\r\n")).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{answer:?}");
        let mut fields = answer.fields.clone();
        fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        answers.push((fields, answer.text()));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    let sample = |method: &str, result: &str| {
        format!("veilwarden_auth_attempts_total{{method=\"{method}\",result=\"{result}\"}}")
    };
    assert_eq!(world.sample(&sample("none", "missing")).await, 1.0);
    assert_eq!(world.sample(&sample("session", "invalid_secret")).await, 3.0);
    // Whether a route exists is nothing that strangers learn.
    let nowhere = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: nowhere.test\r\nX-Request-Id: same\r\n\r\n";
    assert_eq!(world.send(nowhere).await.text(), answers[0].1);
    world.assert_nothing_sent("no credential");
}
