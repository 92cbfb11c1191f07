//! The kubelet renews a token after eight of its ten minutes. Pods that live through that call all the time; they are
//! started before everything else and looked at when everything else is done.

use std::time::Duration;

use crate::caller::{self, PROXY, Pod, TOKEN};
use crate::recipes;
use crate::scene::{HOST, Scene, TEAM};

/// Longer than the life of the token that the pods begin with.
const PAST_EXPIRY: Duration = Duration::from_secs(630);

/// One call a second by `curl` with these options, and a line when the first token's time is over.
fn calling(options: &str) -> String {
    format!(
        r#"count=0 failed=0 end=$(($(date +%s) + {seconds})) first=$(cat {TOKEN})
while [ "$(date +%s)" -lt "$end" ]; do
    status=$(curl --silent --output /dev/null --max-time 20 --write-out '%{{http_code}}' {options})
    count=$((count + 1))
    if [ "$status" != 200 ]; then failed=$((failed + 1)); echo "failed: $status at $(date)"; fi
    sleep 1
done
rotated=no; [ "$first" = "$(cat {TOKEN})" ] || rotated=yes
echo "done: $count calls, $failed failed, rotated: $rotated"
sleep 2147483647"#,
        seconds = PAST_EXPIRY.as_secs(),
    )
}

/// By the environment alone, until a tunnel is refused; or not, though the first token's time is over.
fn until_refused() -> String {
    format!(
        r#"count=0 end=$(($(date +%s) + {seconds})) status=200
while [ "$status" = 200 ] && [ "$(date +%s)" -lt "$end" ]; do
    sleep 1
    status=$(curl --silent --output /dev/null --max-time 20 --write-out '%{{http_connect}}' https://{HOST}/allowed/job)
    count=$((count + 1))
done
echo "done: $status after $count calls"
sleep 2147483647"#,
        seconds = PAST_EXPIRY.as_secs(),
    )
}

/// Starts them: one reads the token file for each call, one leaves that to `veilwarden exec`, one is a job with the token
/// in its proxy variables.
pub fn begin() {
    let read_anew = format!(
        r#"--header "Authorization: Bearer $(cat {TOKEN})" --header 'X-Upstream-Host: {HOST}' {PROXY}/allowed/rotation"#
    );
    let script = calling(&read_anew);
    Pod { script: Some(&script), ..Pod::new(TEAM, "rotation", "caller") }.create();
    let short = [("expirationSeconds: 3600", "expirationSeconds: 600")];
    let agent = recipes::pod("docs/exec.md", "my-agent", &short);
    let agent = recipes::running(agent, &calling(&format!("https://{HOST}/allowed/agent")));
    recipes::create(agent, TEAM, "my-agent", None);
    let job = recipes::running(recipes::pod("docs/forward-proxy.md", "my-job", &short), &until_refused());
    recipes::create(job, TEAM, "my-job", None);
}

/// The line that such a pod ends with.
fn done(pod: &str) -> String {
    caller::wrote(TEAM, pod, "done:", PAST_EXPIRY + Duration::from_secs(120));
    let log = caller::log(TEAM, pod);
    let done = log.lines().find(|line| line.starts_with("done:")).unwrap_or_default();
    println!("{pod}: {done}");
    log
}

pub fn token_rotation_without_failed_call(_: &Scene) {
    let log = done("rotation");
    assert!(log.contains(", 0 failed, rotated: yes"), "{log}");
}

/// The command itself has nothing but a password, which stays the same.
pub fn exec_sends_the_renewed_token(_: &Scene) {
    let log = done("my-agent");
    assert!(log.contains(", 0 failed, rotated: yes"), "{log}");
}

pub fn a_token_in_a_proxy_variable_ends_with_its_time(_: &Scene) {
    let log = done("my-job");
    assert!(log.contains("done: 407 after "), "{log}");
    let calls = log.rsplit_once("407 after ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    assert!(calls.unwrap_or(0) > 100, "it was good before: {log}");
}
