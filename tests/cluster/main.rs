//! veilwarden, the binary, against a real Kubernetes API server.
//!
//! `make test-integration` builds the API server and runs these; plain `cargo test` says so and passes. One control plane
//! serves all tests. They run beside each other, each in namespaces of its own; one that stops the API server runs alone.
//! Those of `guide` need a whole cluster instead, and run where one is named: `make test-documents`.

mod control_plane;
mod demo;
mod documents;
mod guide;
mod identity;
mod jwks;
mod manifests;
#[path = "../it/documents/markdown.rs"]
#[expect(dead_code, reason = "tests/it looks at more of a document")]
mod markdown;
mod outage;
#[path = "../it/documents/output.rs"]
mod output;
mod pods;
mod process;
mod reviews;
mod signing_key;
mod tools;
mod transcript;
mod until;
mod upstream;
mod veilwarden;
mod workload;

use control_plane::ControlPlane;
use libtest_mimic::{Arguments, Trial};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::RwLock;

type Shared = Arc<RwLock<ControlPlane>>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let followed = guide::trials();
    if !followed.is_empty() {
        return libtest_mimic::run(&arguments, followed).exit_code();
    }
    let Some(kube_apiserver) = std::env::var_os("VEILWARDEN_KUBE_APISERVER") else {
        eprintln!(
            "the cluster tests were not run: they need a Kubernetes API server; `make test-integration` builds one and runs them"
        );
        return ExitCode::SUCCESS;
    };
    let runtime = Runtime::new().expect("a runtime");
    let cluster = runtime.block_on(ControlPlane::start(Path::new(&kube_apiserver)));
    let conclusion = libtest_mimic::run(&arguments, trials(runtime.handle(), &Arc::new(RwLock::new(cluster))));
    conclusion.exit_code()
}

fn trials(runtime: &Handle, cluster: &Shared) -> Vec<Trial> {
    let trial = |name: &str, test: fn(&Handle, Shared)| {
        let (runtime, cluster) = (runtime.clone(), Arc::clone(cluster));
        Trial::test(name, move || {
            test(&runtime, cluster);
            Ok(())
        })
    };
    macro_rules! beside_each_other {
        ($($module:ident::$test:ident),* $(,)?) => {
            [$(trial(concat!(stringify!($module), "::", stringify!($test)), |runtime, cluster| {
                runtime.block_on(async { $module::$test(&*cluster.read().await).await });
            })),*]
        };
    }
    macro_rules! alone {
        ($($module:ident::$test:ident),* $(,)?) => {
            [$(trial(concat!(stringify!($module), "::", stringify!($test)), |runtime, cluster| {
                runtime.block_on(async { $module::$test(&mut *cluster.write().await).await });
            })),*]
        };
    }
    let shared = beside_each_other![
        reviews::the_control_plane_reviews_tokens,
        reviews::a_minted_token_passes_and_an_expired_or_forged_one_does_not,
        reviews::only_the_right_to_create_tokenreviews_allows_a_review,
        identity::a_valid_token_gets_the_secret_injected_and_goes_no_further,
        identity::a_pod_bound_token_tells_policy_its_pod_and_node,
        identity::a_token_for_another_audience_is_refused_with_a_hint,
        identity::without_require_audience_a_token_for_the_api_server_is_accepted_too,
        identity::an_expired_token_is_refused_and_no_cache_outlives_it,
        identity::a_forged_signature_is_refused,
        identity::deleting_the_service_account_or_the_pod_revokes_the_token_within_the_ttl,
        identity::without_the_right_to_review_tokens_the_answer_is_503_and_the_log_says_rbac,
        identity::a_bearer_beats_the_session_secret_and_a_bad_one_is_not_rescued,
        jwks::tokens_are_verified_by_the_keys_of_the_api_server_without_any_right,
        jwks::the_identity_is_the_one_that_a_review_gives,
        jwks::without_require_audience_a_token_for_the_api_server_is_accepted_too,
        jwks::a_token_good_for_a_year_ends_at_its_maximum_age,
        jwks::a_deleted_service_account_is_accepted_until_its_token_ends_and_refused_by_both,
        jwks::both_lets_nothing_pass_that_either_refuses,
        demo::the_demo_works_with_a_kubeconfig,
        manifests::the_chart_renders_what_kustomize_renders,
        manifests::the_api_server_accepts_every_manifest_and_pod_security_each_pod,
        manifests::helm_refuses_a_configuration_that_veilwarden_would_refuse_and_says_how_pods_call,
        documents::r133_w39_every_object_in_the_documents_is_valid,
        pods::a_token_is_good_only_from_its_own_pod_and_for_as_long_as_that_lives,
        pods::labels_and_their_changes_reach_the_policy,
        pods::without_the_right_to_watch_pods_the_log_names_the_cluster_role_and_a_grant_heals_it,
    ];
    let exclusive = alone![
        reviews::a_restarted_api_server_knows_its_tokens,
        outage::an_outage_costs_new_callers_only_and_is_over_within_five_seconds,
        pods::a_watch_outlives_a_restart_of_the_api_server,
        jwks::a_rotation_of_the_signing_key_is_followed,
    ];
    shared.into_iter().chain(exclusive).collect()
}
