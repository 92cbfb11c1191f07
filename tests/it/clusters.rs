//! Several clusters: which one judges a token, and how policy and audit records tell them apart.

use serde_json::json;

use crate::world::keys::signed;
use crate::world::kubernetes::{Kubernetes, claims};
use crate::world::pods::pod;
use crate::world::{Started, World, within};

const EAST: &str = "https://east.test";

/// Two worlds of the same names: the default cluster and `east`, which both know a workload `prod/api`.
struct Two {
    world: Started,
    east: Kubernetes,
    east_token: String,
}

async fn two(section: &str, entry: &str, policy: &str) -> Two {
    let east = Kubernetes::start(9000).await;
    east.documents.issuer(EAST);
    let mut of_east = claims(9000);
    of_east["iss"] = json!(EAST);
    let east_token = east.sign(&of_east);
    let world = World::new().await.kubernetes().await;
    let entry = east.entry(world.directory.path(), "east", EAST, entry);
    let module = format!("package veilwarden.authz\nimport rego.v1\ndefault allow := false\n{policy}\n");
    let options = format!("clusters: [{entry}]{section}");
    Two { world: world.kubernetes_options(&options).rego(&module).start().await, east, east_token }
}

impl Two {
    fn home(&self) -> &Kubernetes {
        self.world.kubernetes.as_ref().unwrap()
    }
}

#[tokio::test]
async fn a_policy_and_the_record_tell_clusters_apart() {
    for method in ["jwks", "both"] {
        let section = format!(", validate_method: {method}");
        let two = two(&section, ", validate_method: jwks", "allow if input.identity.cluster == \"default\"").await;
        let home = two.world.send(two.world.ok("")).await;
        assert_eq!(home.status, 200, "{method}: {home:?}");
        assert_eq!(two.world.record(&home).await["identity"]["cluster"], "default");
        let far = two.world.bearer(&two.east_token).await;
        let record = two.world.assert_refused(&far, 403, "POLICY_DENIED", "the same names in another cluster").await;
        assert_eq!(
            (&record["identity"]["cluster"], &record["identity"]["namespace"]),
            (&json!("east"), &json!("prod"))
        );
    }
    let reviewed = two("", ", validate_method: tokenreview", "allow if input.identity.cluster == \"default\"").await;
    reviewed.world.assert_works("reviewed at home").await;
}

#[tokio::test]
async fn pods_are_those_of_the_default_cluster_whatever_judges_its_tokens() {
    for method in ["tokenreview", "jwks", "both"] {
        let section = format!(", validate_method: {method}, pod_binding: enforce, node_name: node-1");
        let two = two(&section, ", validate_method: jwks", "allow := true").await;
        let pods = &two.home().pods;
        pods.put(pod("127.0.0.1", json!({})));
        two.world.assert_works(method).await;
        let far = two.world.bearer(&two.east_token).await;
        two.world.assert_refused(&far, 401, "INVALID_TOKEN", "the same pod's name in another cluster").await;
        let hint = far.json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("your pod's own cluster"), "{hint}");
        let counted = "veilwarden_pod_binding_total{result=\"other_cluster\"}";
        assert_eq!(two.world.sample(counted).await, 1.0, "{method}");
        assert!(two.east.pods.asked("").is_empty(), "{method}: {:?}", two.east.pods.asked(""));

        // Keys alone would not tell that the pod is gone.
        pods.delete(pod("127.0.0.1", json!({})));
        within(method, async { while two.world.send(two.world.ok("")).await.status != 401 {} }).await;
    }
}

#[tokio::test]
async fn a_token_of_one_cluster_is_never_judged_by_another() {
    for section in [", validate_method: jwks", ", validate_method: jwks, issuer: \"https://played.test\"", ""] {
        let two = two(section, ", validate_method: jwks", "allow := true").await;
        two.world.assert_works("the default cluster's").await;
        let answer = two.world.bearer(&two.east_token).await;
        assert_eq!(answer.status, 200, "{section}: {answer:?}");
        let (reviews, before) = (two.home().reviews(), two.world.a.bytes());

        // Each signs a token in the other's name.
        let mut lie = claims(1);
        lie["iss"] = json!(EAST);
        let answer = two.world.bearer(&two.home().sign(&lie)).await;
        two.world.assert_refused(&answer, 401, "INVALID_TOKEN", "signed at home, in the name of east").await;
        assert_eq!(two.home().reviews(), reviews, "{section}: home was asked about it");
        let answer = two.world.bearer(&signed(&two.east.signer, &claims(2))).await;
        two.world.assert_refused(&answer, 401, "INVALID_TOKEN", "signed by east, in the name of home").await;
        assert_eq!(two.east.reviews(), 0);
        assert_eq!(two.world.a.bytes(), before);
    }
}

#[tokio::test]
async fn an_unknown_issuer_is_refused_here_when_all_are_known_and_else_left_to_the_default_cluster() {
    for (section, reviews) in [("", 1), (", issuer: \"https://played.test\"", 0)] {
        let two = two(section, "", "allow := true").await;
        let mut unknown = claims(1);
        unknown["iss"] = json!("https://elsewhere.test");
        let answer = two.world.bearer(&two.home().sign(&unknown)).await;
        two.world.assert_refused(&answer, 401, "INVALID_TOKEN", section).await;
        assert_eq!((two.home().reviews(), two.east.reviews()), (reviews, 0), "{section}");
        two.world.assert_works("a known one").await;
    }
}

#[tokio::test]
async fn each_cluster_is_shown_its_own_credentials_only() {
    let two = two(", validate_method: both", ", validate_method: tokenreview", "allow := true").await;
    two.world.assert_works("home").await;
    two.world.bearer(&two.east_token).await;
    for (cluster, token) in [(two.home(), &two.home().own_token), (&two.east, &two.east.own_token)] {
        let shown = cluster.recorder.seen();
        let own = format!("Bearer {token}");
        assert!(!shown.is_empty() && shown.iter().all(|seen| seen.headers("authorization") == [&own]), "{shown:?}");
    }
    assert_ne!(two.home().own_token, two.east.own_token);
}

#[tokio::test]
async fn a_far_cluster_that_is_down_costs_its_own_workloads_only() {
    let east = Kubernetes::start(9001).await;
    east.documents.mode(crate::world::kubernetes::Mode::Close);
    let world = World::new().await.kubernetes().await;
    let entry = east.entry(world.directory.path(), "east", EAST, "");
    let world = world.kubernetes_options(&format!("validate_method: jwks, clusters: [{entry}]")).start().await;
    world.assert_works("home").await;
    let ready = world.send_to(world.admin, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(ready.status, 200);
    let mut far = claims(1);
    far["iss"] = json!(EAST);
    let answer = world.bearer(&east.sign(&far)).await;
    world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "east is down").await;
    assert_eq!(world.sample("veilwarden_jwks_failing{cluster=\"east\"}").await, 1.0);
    assert_eq!(world.sample("veilwarden_jwks_failing{cluster=\"default\"}").await, 0.0);
}

#[tokio::test]
async fn every_cluster_that_cannot_be_reached_is_named_before_the_start() {
    let world = World::new().await.kubernetes().await;
    let entries = "{name: east, issuer: \"https://east.test\", kubeconfig: /nowhere/east}, \
                   {name: west, issuer: \"https://west.test\", api_server: \"https://w.test\", token_path: /nowhere/token, ca_path: /nowhere/ca}";
    let errors =
        world.kubernetes_options(&format!("clusters: [{entries}]")).try_start().await.err().unwrap().to_string();
    for part in
        ["kubernetes.clusters, east", "/nowhere/east", "kubernetes.clusters, west", "/nowhere/token does not exist"]
    {
        assert!(errors.contains(part), "{part}: {errors}");
    }
}
