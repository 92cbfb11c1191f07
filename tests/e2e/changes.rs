//! What an operator does to a running installation.

use std::collections::BTreeSet;

use crate::kubectl;
use crate::load::Load;
use crate::scene::{self, Scene, call, injected, proxy_on};

pub fn rolling_update_loses_no_call(scene: &Scene) {
    let pods = || scene.nodes.iter().map(|node| proxy_on(node)).collect::<BTreeSet<_>>();
    let before = pods();
    let load = Load::start(scene, "load-update");
    load.goes_on(50);
    kubectl::run(&["rollout", "restart", "--namespace", "veilwarden", "daemonset/veilwarden"]);
    scene::rolled_out();
    load.goes_on(50);
    let sum = load.stop();
    println!("{} calls during the update, {} failed", sum.calls, sum.failed.len());
    assert!(before.is_disjoint(&pods()), "every pod was replaced");
    assert!(sum.failed.is_empty(), "{:?}", sum.first_failures());
}

pub fn policy_change_picked_up(_: &Scene) {
    let answer = call("caller-1", "/allowed-since-the-change");
    assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"), "{answer:?}");
    scene::deploy("tests/e2e/deploy-changed-policy");
    let answer = call("caller-1", "/allowed-since-the-change");
    assert!(injected(&answer), "{answer:?}");
}
