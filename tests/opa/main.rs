//! Shipped policies and the Rego in the documents decide what they say they do, and a real OPA agrees.
//!
//! Set `VEILWARDEN_OPA` to an OPA binary (`scripts/install-opa` builds one and prints its path); `make test-all` does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use veilwarden::policy::input::sample::Call;
use veilwarden::policy::{Bundle, Decision, PolicyEngine, Rego};

mod agreement;
mod cases;
mod documents;
mod real_opa;

use cases::Case;
use real_opa::Opa;

const DECISION_PATH: &str = "veilwarden/authz/allow";
/// The machine that runs the tests may be busy; that the budget is kept is tested elsewhere.
const BUDGET: Duration = Duration::from_secs(10);

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A policy with the path of its files and the path of its decision.
struct Policy {
    path: PathBuf,
    decision_path: String,
    engine: Rego,
}

impl Policy {
    fn load(path: PathBuf, decision_path: &str) -> Self {
        let engine = Rego::load(&path, decision_path, BUDGET).unwrap_or_else(|problems| panic!("{problems}"));
        Self { path, decision_path: decision_path.to_owned(), engine }
    }

    async fn decide(&self, call: &Call) -> Decision {
        let decided = self.engine.decide(call.input()).await;
        decided.unwrap_or_else(|error| panic!("{}: {error}: {call:?}", self.path.display()))
    }

    /// Compares with OPA, when there is one.
    async fn agrees_with_opa(&self, calls: &[Call]) {
        let Some(opa) = Opa::from_environment() else { return };
        let theirs = opa.decide(&self.path, &self.decision_path, calls);
        for (call, theirs) in calls.iter().zip(theirs) {
            let ours = self.decide(call).await;
            assert_eq!(ours.allowed, theirs.allowed, "{}: {call:?}", self.path.display());
            if let (false, Some(reason)) = (theirs.allowed, theirs.reason) {
                assert_eq!(meaning(&ours.reason), meaning(&reason), "{}: {call:?}", self.path.display());
            }
        }
    }
}

/// A reason may be JSON, in which OPA writes `&` as an escape and we do not.
fn meaning(reason: &str) -> serde_json::Value {
    serde_json::from_str(reason).unwrap_or_else(|_| reason.into())
}

async fn holds(path: &str, cases: Vec<Case>) {
    let policy = Policy::load(project(path), DECISION_PATH);
    for Case { call, allowed, reason } in &cases {
        let decision = policy.decide(call).await;
        assert_eq!(decision.allowed, *allowed, "{path}: {call:?}: {decision:?}");
        assert!(decision.reason.contains(reason), "{path}: {call:?}: {decision:?}");
    }
    let calls: Vec<_> = cases.into_iter().map(|case| case.call).collect();
    policy.agrees_with_opa(&calls).await;
}

#[tokio::test]
async fn allow_all_allows_all() {
    holds("policies/allow_all.rego", cases::allow_all()).await;
}

#[tokio::test]
async fn the_example_for_session_secrets_decides_as_it_says() {
    holds("policies/example.rego", cases::example()).await;
}

#[tokio::test]
async fn r100_every_pattern_for_workloads_allows_and_denies() {
    holds("policies/kubernetes-example.rego", cases::kubernetes()).await;
}

#[tokio::test]
async fn the_benchmarks_policy_decides_by_its_data() {
    holds("benches/policy", cases::benchmark()).await;
}

#[test]
fn w21_the_shipped_policies_are_alternatives_and_refuse_to_be_loaded_together() {
    let problems = Bundle::read(&project("policies"))
        .and_then(|bundle| Rego::prepare(&bundle, DECISION_PATH, BUDGET))
        .expect_err("two defaults")
        .to_string();
    assert!(problems.contains("`data.veilwarden.authz.allow` already has a default"), "{problems}");
}

#[test]
fn the_example_of_a_policy_test_passes_in_opa() {
    if let Some(opa) = Opa::from_environment() {
        opa.test(&[project("policies/kubernetes-example.rego"), project("policies/kubernetes-example_test.rego")]);
    }
}

#[tokio::test]
async fn w22_every_rego_block_in_the_documents_loads_and_agrees_with_opa() {
    let snippets = documents::snippets();
    assert!(!snippets.is_empty(), "policies/README.md has at least one");
    for snippet in snippets {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(snippet.file_name());
        std::fs::write(&file, &snippet.module).expect("a file");
        let policy = Policy::load(file, &snippet.decision_path());
        let calls = cases::all_calls();
        for call in &calls {
            policy.decide(call).await;
        }
        policy.agrees_with_opa(&calls).await;
    }
}

#[tokio::test]
async fn built_ins_give_what_opa_gives() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("built_ins.rego");
    std::fs::write(&file, agreement::POLICY).expect("a file");
    let policy = Policy::load(file, DECISION_PATH);
    let calls = cases::all_calls();
    for call in &calls {
        assert!(policy.decide(call).await.reason.starts_with('{'), "the reason lists every result");
    }
    policy.agrees_with_opa(&calls).await;
}
