//! veilwarden, the binary, against a real Kubernetes API server.
//!
//! `make test-integration` builds the API server and runs these; plain `cargo test` says so and passes. One control plane
//! serves all tests. They run beside each other, each in namespaces of its own; one that stops the API server runs alone.

mod control_plane;
mod process;
mod reviews;
mod signing_key;
mod until;
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
    macro_rules! beside_each_other {
        ($($module:ident::$test:ident),* $(,)?) => {[$({
            let (runtime, cluster) = (runtime.clone(), cluster.clone());
            Trial::test(concat!(stringify!($module), "::", stringify!($test)), move || {
                runtime.block_on(async { $module::$test(&*cluster.read().await).await });
                Ok(())
            })
        }),*]};
    }
    beside_each_other![
        reviews::the_control_plane_reviews_tokens,
        reviews::a_minted_token_passes_and_an_expired_or_forged_one_does_not,
        reviews::only_the_right_to_create_tokenreviews_allows_a_review,
    ]
    .into()
}
