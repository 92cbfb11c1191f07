//! Tokens end: with their pod, with their ServiceAccount, and by time.

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

/// Longer than the life of the token that the pod begins with.
const PAST_EXPIRY: Duration = Duration::from_secs(630);

/// Calls once a second with whatever the token file holds, and says so when the first token's time is over.
fn rotating() -> String {
    format!(
        r#"count=0 failed=0 end=$(($(date +%s) + {seconds})) first=$(cat {TOKEN})
while [ "$(date +%s)" -lt "$end" ]; do
    status=$(curl --silent --output /dev/null --max-time 20 --write-out '%{{http_code}}' --header "Authorization: Bearer $(cat {TOKEN})" --header 'X-Upstream-Host: {HOST}' {proxy}/allowed/rotation)
    count=$((count + 1))
    if [ "$status" != 200 ]; then failed=$((failed + 1)); echo "failed: $status at $(date)"; fi
    sleep 1
done
rotated=no; [ "$first" = "$(cat {TOKEN})" ] || rotated=yes
echo "done: $count calls, $failed failed, rotated: $rotated"
sleep 2147483647"#,
        seconds = PAST_EXPIRY.as_secs(),
        proxy = caller::PROXY,
    )
}

/// Starts the pod whose token will be renewed by its kubelet. It is looked at when everything else is done.
pub fn begin_rotation() {
    let script = rotating();
    Pod { script: Some(&script), ..Pod::new(TEAM, "rotation", "caller") }.create();
}

pub fn token_rotation_without_failed_call(_: &Scene) {
    caller::wrote(TEAM, "rotation", "done:", PAST_EXPIRY + Duration::from_secs(120));
    let log = caller::log(TEAM, "rotation");
    let done = log.lines().find(|line| line.starts_with("done:")).unwrap_or_default();
    println!("{done}");
    assert!(done.contains(", 0 failed, rotated: yes"), "{log}");
}
