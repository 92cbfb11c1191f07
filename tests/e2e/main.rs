//! The image in a real cluster with two nodes, called by ordinary pods.
//!
//! `make test-e2e` starts a cluster and runs these; plain `cargo test` says so and passes. All that they need is a
//! cluster with two nodes for pods, KUBECONFIG, kubectl, and two images that the nodes know: veilwarden:v0.2.0, and a
//! client's (`VEILWARDEN_CLIENT_IMAGE`). `VEILWARDEN_E2E` is `run`, or `install`, which only installs what is tested and
//! starts the pods whose tokens have to grow old, so that a later `run` need not wait for it.

mod authorities;
mod binding;
mod caller;
mod changes;
mod faults;
mod forms;
mod kubectl;
mod load;
#[path = "../it/documents/markdown.rs"]
#[expect(dead_code, reason = "tests/it looks at more of a document")]
mod markdown;
mod recipes;
mod revocation;
mod road;
mod rotation;
mod scene;
mod until;
mod ways_in;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use libtest_mimic::{Arguments, Conclusion, Trial};
use scene::Scene;

type Test = fn(&Scene);

/// Tests that need the same installation.
struct Phase {
    /// Makes it, where it is not the one that the phase before leaves.
    before: Option<fn(&Scene)>,
    tests: &'static [(&'static str, Test)],
    /// How many run beside each other.
    threads: usize,
}

macro_rules! tests {
    ($($module:ident::$test:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($test)), $module::$test)),*]
    };
}

/// The longest wait is for the pods whose tokens are renewed. What comes before that must not be felt by their calls.
const PHASES: [Phase; 7] = [
    Phase { before: None, tests: AS_INSTALLED, threads: 4 },
    Phase { before: None, tests: CHANGES, threads: 1 },
    Phase { before: Some(binding::bind), tests: BOUND, threads: 3 },
    Phase { before: Some(binding::unbind), tests: ROTATION, threads: 3 },
    Phase { before: None, tests: FAULTS, threads: 1 },
    Phase { before: Some(forms::deploy_on_host), tests: ON_HOST, threads: 2 },
    Phase { before: None, tests: HELM, threads: 1 },
];

const AS_INSTALLED: &[(&str, Test)] = tests![
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
    ways_in::https_proxy_opens_a_tunnel_in_which_the_secret_is_put,
    ways_in::what_is_inside_a_tunnel_is_judged,
    ways_in::no_tunnel_without_a_good_token_or_a_route,
    ways_in::http_proxy_takes_absolute_urls,
    ways_in::the_bundle_trusts_what_was_trusted_before_and_our_ca,
    ways_in::a_base_url_names_the_route,
    ways_in::the_key_of_an_sdk_carries_the_token,
];

const CHANGES: &[(&str, Test)] = tests![changes::rolling_update_loses_no_call, changes::policy_change_picked_up,];

const BOUND: &[(&str, Test)] = tests![
    binding::default_token_accepted_without_require_audience,
    binding::a_stolen_token_is_refused,
    binding::a_label_of_the_pod_decides,
];

const ROTATION: &[(&str, Test)] = tests![
    rotation::token_rotation_without_failed_call,
    rotation::exec_sends_the_renewed_token,
    rotation::a_token_in_a_proxy_variable_ends_with_its_time,
];

/// Each takes something away that calls need, and gives it back.
const FAULTS: &[(&str, Test)] = tests![faults::missing_rbac_is_503_with_reason, faults::api_server_restart_under_load,];

const ON_HOST: &[(&str, Test)] =
    tests![forms::host_network_overlay, ways_in::a_unix_socket_of_the_node_tells_the_callers_uid,];

const HELM: &[(&str, Test)] = tests![forms::helm_gives_the_same];

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
    rotation::begin();
    if wanted == "install" {
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for phase in &PHASES {
        if phase.tests.iter().any(|(name, _)| arguments.filter.as_ref().is_none_or(|part| name.contains(part))) {
            phase.before.iter().for_each(|before| before(&scene));
            failed |= run(&arguments, &scene, phase).has_failed();
            println!("{:.0} s since the beginning", begun.elapsed().as_secs_f32());
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(arguments: &Arguments, scene: &Arc<Scene>, phase: &Phase) -> Conclusion {
    let trials = phase.tests.iter().map(|&(name, test)| {
        let scene = Arc::clone(scene);
        let trial = Trial::test(name, move || {
            test(&scene);
            Ok(())
        });
        trial.with_ignored_flag(name.ends_with("api_server_restart_under_load") && faults::restart_command().is_none())
    });
    let arguments = Arguments { test_threads: arguments.test_threads.or(Some(phase.threads)), ..arguments.clone() };
    libtest_mimic::run(&arguments, trials.collect())
}
