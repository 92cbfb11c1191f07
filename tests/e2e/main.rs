//! The image in a real cluster with two nodes, called by ordinary pods.
//!
//! `make test-e2e` starts a cluster and runs these; plain `cargo test` says so and passes. All that they need is a
//! cluster with two nodes for pods, KUBECONFIG, kubectl, and two images that the nodes know: veilwarden:v0.2.0, and a
//! client's (`VEILWARDEN_CLIENT_IMAGE`). `VEILWARDEN_E2E` is `run`, or `install`, which only installs what is tested and
//! starts the pod whose token has to grow old, so that a later `run` need not wait for it.

mod caller;
mod changes;
mod faults;
mod forms;
mod kubectl;
mod load;
mod revocation;
mod road;
mod scene;
mod until;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use libtest_mimic::{Arguments, Conclusion, Trial};
use scene::Scene;

type Test = fn(&Scene);

macro_rules! tests {
    ($($module:ident::$test:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($test)), $module::$test)),*]
    };
}

/// They change nothing that another test relies on, and run beside each other.
const BESIDE_EACH_OTHER: &[(&str, Test)] = tests![
    road::allowed_call_with_injection,
    road::the_caller_never_sees_the_secret_nor_the_upstream_the_token,
    road::denied_by_namespace,
    road::denied_by_service_account,
    road::denied_by_method_and_path,
    road::a_host_without_a_route_is_refused,
    road::default_token_refused_with_hint,
    road::call_reaches_own_node,
    road::the_audit_record_names_the_pod_and_the_node,
    road::session_secret_works_beside,
    road::bearer_wins,
    road::no_credential_is_401_with_a_challenge,
    revocation::deleted_pod_token_refused,
    revocation::deleted_service_account_refused,
    forms::pod_security_accepts,
    forms::rbac_is_minimal,
];

/// Changes that no call may feel, least of all those of the pod whose token is renewed meanwhile.
const UNFELT: &[(&str, Test)] = tests![
    changes::rolling_update_loses_no_call,
    changes::policy_change_picked_up,
    changes::default_token_accepted_without_require_audience,
    revocation::token_rotation_without_failed_call,
];

/// Each takes something away that calls need, and gives it back.
const FELT: &[(&str, Test)] = tests![
    faults::missing_rbac_is_503_with_reason,
    faults::api_server_restart_under_load,
    forms::host_network_overlay,
    forms::helm_gives_the_same,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let wanted = std::env::var("VEILWARDEN_E2E").unwrap_or_default();
    if arguments.list || !matches!(wanted.as_str(), "install" | "run") {
        eprintln!("the end-to-end tests were not run: they need a cluster; `make test-e2e` starts one and runs them");
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    let scene = Arc::new(Scene::install());
    scene::answers("caller-1");
    println!("installed, and the first call allowed, after {:.0} s", begun.elapsed().as_secs_f32());
    revocation::begin_rotation();
    if wanted == "install" {
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for (tests, threads) in [(BESIDE_EACH_OTHER, 4), (UNFELT, 1), (FELT, 1)] {
        failed |= run(&arguments, &scene, tests, threads).has_failed();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(arguments: &Arguments, scene: &Arc<Scene>, tests: &[(&'static str, Test)], threads: usize) -> Conclusion {
    let trials = tests.iter().map(|&(name, test)| {
        let scene = Arc::clone(scene);
        let trial = Trial::test(name, move || {
            test(&scene);
            Ok(())
        });
        trial.with_ignored_flag(name.ends_with("api_server_restart_under_load") && faults::restart_command().is_none())
    });
    let arguments = Arguments { test_threads: arguments.test_threads.or(Some(threads)), ..arguments.clone() };
    libtest_mimic::run(&arguments, trials.collect())
}
