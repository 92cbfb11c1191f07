//! Tokens end with their pod and with their ServiceAccount.

use std::time::{Duration, Instant};

use crate::caller::{self, Pod, TOKEN, with_token_at};
use crate::kubectl;
use crate::scene::{self, HOST, Scene, TEAM, injected};
use crate::until::until;

/// The configured `cache_ttl`, and the ten seconds for which the API server itself remembers a token.
const REVOKED_WITHIN: Duration = Duration::from_secs(5 + 10);
/// How much of a slow machine is forgiven.
const PATIENCE: Duration = Duration::from_secs(10);

/// A call by `caller-1` with a token that another pod had.
fn spend(token: &str) -> caller::Answer {
    let script = format!(
        "--header 'Authorization: Bearer {token}' --header 'X-Upstream-Host: {HOST}' {}/allowed/stolen",
        caller::PROXY
    );
    caller::call(TEAM, "caller-1", &script)
}

fn refused_in_time(token: &str) {
    let revoked = Instant::now();
    let answer = until("the token is refused", REVOKED_WITHIN + PATIENCE, || {
        let answer = spend(token);
        (!injected(&answer)).then_some(answer)
    });
    println!("the token was refused after {:.1} s", revoked.elapsed().as_secs_f32());
    assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"), "{answer:?}");
}

pub fn deleted_pod_token_refused(_: &Scene) {
    Pod::new(TEAM, "doomed", "caller").start();
    let token = kubectl::shell(TEAM, "doomed", &format!("cat {TOKEN}"));
    assert!(injected(&spend(token.trim())), "the token is good while its pod lives");
    kubectl::run(&["delete", "pod", "--namespace", TEAM, "doomed", "--wait=true"]);
    refused_in_time(token.trim());
}

pub fn deleted_service_account_refused(_: &Scene) {
    scene::service_account(TEAM, "doomed");
    Pod::new(TEAM, "of-a-doomed-account", "doomed").start();
    let call = || {
        let options = with_token_at(caller::PROXY, TOKEN, HOST, "/allowed/x");
        caller::call(TEAM, "of-a-doomed-account", &options)
    };
    assert_eq!(call().code(), "POLICY_DENIED", "known, and not allowed");
    kubectl::run(&["delete", "serviceaccount", "--namespace", TEAM, "doomed"]);
    let answer = until("the token is refused", REVOKED_WITHIN + PATIENCE, || {
        let answer = call();
        (answer.code() != "POLICY_DENIED").then_some(answer)
    });
    assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"), "{answer:?}");
    kubectl::run(&["delete", "pod", "--namespace", TEAM, "of-a-doomed-account", "--wait=false"]);
}
