//! Callers' pods, watched at the real API server. No kubelet runs here: pods get their addresses from the test.

use crate::control_plane::ControlPlane;
use crate::until::until;
use crate::upstream::Upstream;
use crate::veilwarden::{Setup, Veilwarden};
use crate::workload::{Team, grant, node, reviewer};
use serde_json::json;
use std::time::Duration;

/// Where the tests' calls come from.
const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "10.244.1.7";

/// What the API server tells is known within this time.
const SOON: Duration = Duration::from_secs(10);

async fn until_status(veilwarden: &Veilwarden, token: &str, status: u16, what: &str) {
    until(what, SOON, async || (veilwarden.call_with_token(token).await.status == status).then_some(())).await;
}

pub async fn a_token_is_good_only_from_its_own_pod_and_for_as_long_as_that_lives(cluster: &ControlPlane) {
    let team = Team::new(cluster, "binding").await;
    team.service_account("api").await;
    for name in ["binding-node", "binding-other-node"] {
        node(cluster, name).await;
    }
    let pod = team.pod("api-0", "api", Some("binding-node")).await;
    let strange = team.pod("api-1", "api", Some("binding-other-node")).await;
    for name in ["api-0", "api-1"] {
        team.running_at(name, HERE).await;
    }
    let token = team.token("api", Some("veilwarden"), Some(&pod)).await;
    let upstream = Upstream::start().await;
    let kubeconfig = reviewer(cluster, "binding-proxy").await;
    grant(cluster, "binding-proxy", "pod-watch").await;
    let veilwarden = Setup::new(kubeconfig, &upstream, "allow := true")
        .kubernetes("cache_ttl: 10m, pod_binding: enforce, node_name: binding-node")
        .start()
        .await;

    veilwarden.call_with_token(&token).await.came_from_upstream();
    for other in [Some(&strange), None] {
        let token = team.token("api", Some("veilwarden"), other).await;
        let answer = veilwarden.call_with_token(&token).await;
        answer.was_refused(401, "INVALID_TOKEN");
        assert!(answer.hint().contains("pod"), "{answer:?}");
    }

    team.running_at("api-0", ELSEWHERE).await;
    until_status(&veilwarden, &token, 401, "the pod's new address counts").await;
    // A thread of its own writes the log: the answer may be here first.
    let names_both = |line: &str| line.contains(ELSEWHERE) && line.contains(HERE);
    until("the log names both addresses", SOON, async || veilwarden.log().lines().any(names_both).then_some(())).await;
    team.running_at("api-0", HERE).await;
    until_status(&veilwarden, &token, 200, "and so does its old one").await;

    // A pod that has ended still exists, and its token is still good at the API server.
    team.ended("api-0").await;
    until_status(&veilwarden, &token, 401, "a pod that has ended calls nobody").await;

    let again = team.pod("api-2", "api", Some("binding-node")).await;
    let token = team.token("api", Some("veilwarden"), Some(&again)).await;
    veilwarden.call_with_token(&token).await.was_refused(503, "AUTH_UNAVAILABLE");
    team.running_at("api-2", HERE).await;
    until_status(&veilwarden, &token, 200, "a new pod").await;
    team.delete_pod("api-2").await;
    until_status(&veilwarden, &token, 401, "a deleted pod, long before the cache forgets it").await;
}

pub async fn labels_and_their_changes_reach_the_policy(cluster: &ControlPlane) {
    let team = Team::new(cluster, "labels").await;
    team.service_account("api").await;
    node(cluster, "labels-node").await;
    let pod = team.pod("api-0", "api", Some("labels-node")).await;
    let token = team.token("api", Some("veilwarden"), Some(&pod)).await;
    let upstream = Upstream::start().await;
    let kubeconfig = reviewer(cluster, "labels-proxy").await;
    for component in ["pod-watch", "pod-metadata"] {
        grant(cluster, "labels-proxy", component).await;
    }
    let policy = r#"allow if {
        input.identity.pod_labels["example.test/tier"] == "gold"
        input.identity.pod_annotations["example.test/owner"] == "team-a"
        input.identity.namespace_labels["kubernetes.io/metadata.name"] == "labels"
        input.identity.namespace_labels.env == "prod"
    }"#;
    let veilwarden = Setup::new(kubeconfig, &upstream, policy)
        .kubernetes("cache_ttl: 10m, pod_metadata: true, node_name: labels-node")
        .start()
        .await;

    veilwarden.call_with_token(&token).await.was_refused(403, "POLICY_DENIED");
    let annotations = json!({"example.test/owner": "team-a"});
    team.label_pod("api-0", json!({"labels": {"example.test/tier": "gold"}, "annotations": annotations})).await;
    team.label_namespace(json!({"env": "prod"})).await;
    until_status(&veilwarden, &token, 200, "labels of pod and namespace").await;
    team.label_pod("api-0", json!({"labels": {"example.test/tier": null}})).await;
    until_status(&veilwarden, &token, 403, "a label is taken away").await;
    team.label_pod("api-0", json!({"labels": {"example.test/tier": "gold"}})).await;
    until_status(&veilwarden, &token, 200, "and given back").await;
    team.label_namespace(json!({"env": null})).await;
    until_status(&veilwarden, &token, 403, "the namespace loses its label").await;
}

pub async fn without_the_right_to_watch_pods_the_log_names_the_cluster_role_and_a_grant_heals_it(
    cluster: &ControlPlane,
) {
    let team = Team::new(cluster, "unwatched").await;
    team.service_account("api").await;
    node(cluster, "unwatched-node").await;
    let pod = team.pod("api-0", "api", Some("unwatched-node")).await;
    team.running_at("api-0", HERE).await;
    let token = team.token("api", Some("veilwarden"), Some(&pod)).await;
    let upstream = Upstream::start().await;
    let kubeconfig = reviewer(cluster, "unwatched-proxy").await;
    let enforcing = Setup::new(kubeconfig.clone(), &upstream, "allow := true")
        .kubernetes("pod_binding: enforce, node_name: unwatched-node")
        .start()
        .await;
    let warning = Setup::new(kubeconfig, &upstream, "allow := true")
        .kubernetes("pod_binding: warn, node_name: unwatched-node")
        .start()
        .await;

    let answer = enforcing.call_with_token(&token).await;
    answer.was_refused(503, "AUTH_UNAVAILABLE");
    assert!(!answer.body.contains("RBAC"), "the caller is not told about the inside: {answer:?}");
    warning.call_with_token(&token).await.came_from_upstream();
    let names_the_role = |line: &str| line.contains("RBAC") && line.contains("`veilwarden-pods`");
    until("the log names the ClusterRole", SOON, async || enforcing.log().lines().any(names_the_role).then_some(()))
        .await;

    grant(cluster, "unwatched-proxy", "pod-watch").await;
    // The rest between two tries has grown meanwhile.
    until("the grant counts", Duration::from_secs(40), async || {
        (enforcing.call_with_token(&token).await.status == 200).then_some(())
    })
    .await;
}

pub async fn a_watch_outlives_a_restart_of_the_api_server(cluster: &mut ControlPlane) {
    let team = Team::new(cluster, "restarted").await;
    team.service_account("api").await;
    node(cluster, "restarted-node").await;
    let pod = team.pod("api-0", "api", Some("restarted-node")).await;
    team.running_at("api-0", HERE).await;
    let token = team.token("api", Some("veilwarden"), Some(&pod)).await;
    let upstream = Upstream::start().await;
    let kubeconfig = reviewer(cluster, "restarted-proxy").await;
    grant(cluster, "restarted-proxy", "pod-watch").await;
    let veilwarden = Setup::new(kubeconfig, &upstream, "allow := true")
        .kubernetes("cache_ttl: 10m, pod_binding: enforce, node_name: restarted-node")
        .start()
        .await;
    veilwarden.call_with_token(&token).await.came_from_upstream();

    cluster.stop_api_server();
    let cannot = |line: &str| line.contains("pods cannot be watched");
    until("the log tells of it", SOON, async || veilwarden.log().lines().any(cannot).then_some(())).await;
    veilwarden.call_with_token(&token).await.came_from_upstream();
    cluster.start_api_server().await;
    team.running_at("api-0", ELSEWHERE).await;
    until("what happened meanwhile is known", Duration::from_secs(40), async || {
        (veilwarden.call_with_token(&token).await.status == 401).then_some(())
    })
    .await;
    let can = |line: &str| line.contains("pods can be watched again");
    assert_eq!(veilwarden.log().lines().filter(|line| can(line)).count(), 1);
}
