//! What veilwarden needs is taken away and given back.

use std::process::Command;
use std::time::Duration;

use crate::kubectl;
use crate::load::Load;
use crate::scene::{self, Scene, call, injected, proxy_logs};
use crate::until::until;

/// How long a change of RBAC, and the cache of identities, may take to be felt.
const FELT: Duration = Duration::from_secs(60);

pub fn missing_rbac_is_503_with_reason(_: &Scene) {
    kubectl::run(&["delete", "clusterrolebinding", "veilwarden-tokenreview"]);
    let answer = until("new reviews are refused", FELT, || {
        let answer = call("caller-1", "/allowed/x");
        (!injected(&answer)).then_some(answer)
    });
    assert_eq!((answer.status, answer.code().as_str()), (503, "AUTH_UNAVAILABLE"), "{answer:?}");
    assert!(answer.headers.to_ascii_lowercase().contains("retry-after:"), "{answer:?}");
    assert!(!answer.body.contains("RBAC") && !answer.body.contains("clusterrole"), "internals: {answer:?}");
    let logs = proxy_logs();
    assert!(logs.lines().any(|line| line.contains("RBAC") && line.contains("tokenreviews")), "{logs}");
    scene::deploy("tests/e2e/deploy");
    until("all is well again", FELT, || injected(&call("caller-1", "/allowed/x")).then_some(()));
}

/// `VEILWARDEN_RESTART_API_SERVER` is a shell command that does it; other clusters have no common way.
pub fn restart_command() -> Option<String> {
    std::env::var("VEILWARDEN_RESTART_API_SERVER").ok().filter(|command| !command.is_empty())
}

pub fn api_server_restart_under_load(scene: &Scene) {
    let load = Load::start(scene, "load-outage");
    load.goes_on(30);
    let command = restart_command().expect("the test is left out without it");
    let status = Command::new("sh").args(["-c", &command]).status().expect("a shell");
    assert!(status.success(), "{command}: {status}");
    until("calls succeed again", FELT, || injected(&call("caller-1", "/allowed/x")).then_some(()));
    load.goes_on(30);
    let sum = load.stop();
    println!("{} calls around the restart, {} got 503", sum.calls, sum.failed.len());
    // Known identities live on for their time; then the answer is that nobody can tell, and never a wrong one.
    assert!(sum.failed.iter().all(|line| line.starts_with("503 0 ")), "{:?}", sum.first_failures());
}
