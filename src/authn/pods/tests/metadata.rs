//! What policies see of a pod and its namespace.

use super::super::index::Health;
use super::super::{Binding, Metadata};
use super::{kubernetes, namespace, one, pod, put, workload, world};
use crate::authn::{Error, Identity, Unavailable, Workload};

#[tokio::test(start_paused = true)]
async fn metadata_is_that_of_the_moment_of_the_call() {
    let world = kubernetes(Binding::Off, true);
    put(&world.pods, pod(&["10.0.0.1"], "a"));
    put(&world.namespaces, namespace("test"));
    let metadata = world.metadata().await;
    assert_eq!((metadata.pod_labels, metadata.pod_annotations), (one("tier", "a"), one("a", "b")));
    assert_eq!(metadata.namespace_labels, one("env", "test"));
    put(&world.pods, pod(&["10.0.0.1"], "b"));
    put(&world.namespaces, namespace("prod"));
    let metadata = world.metadata().await;
    assert_eq!((metadata.pod_labels, metadata.namespace_labels), (one("tier", "b"), one("env", "prod")));
    assert!(world.results().is_empty(), "nothing is compared with binding off");
    // What was known stays in use while the watch is interrupted.
    world.pods.send_modify(|index| index.health = Health::Failing("gone".into()));
    assert_eq!(world.metadata().await.pod_labels, one("tier", "b"));
}

#[tokio::test(start_paused = true)]
async fn policies_never_decide_without_the_metadata_that_they_were_promised() {
    let world = kubernetes(Binding::Warn, true);
    put(&world.namespaces, namespace("test"));
    let answer = world.from("10.0.0.1").await;
    assert!(matches!(answer, Err(Error::Unavailable(Unavailable::Pods(_)))), "pods not listed: {answer:?}");
    world.pods.send_modify(|index| index.health = Health::Live);
    assert!(matches!(world.from("10.0.0.1").await, Err(Error::Pod(_))), "no such pod");
    put(&world.pods, pod(&["10.0.0.1"], "a"));
    assert!(world.from("10.0.0.1").await.is_ok());
    world.namespaces.send_modify(|index| index.remove("prod"));
    let answer = world.from("10.0.0.1").await;
    assert!(matches!(answer, Err(Error::Unavailable(Unavailable::Pods(_)))), "no such namespace: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_pod_has_the_labels_of_its_namespace_alone() {
    let unbound = Workload { pod_name: None, pod_uid: None, node_name: None, ..workload() };
    let world = world(Identity::Kubernetes(unbound), Binding::Off, true);
    world.pods.send_modify(|index| index.health = Health::Live);
    put(&world.namespaces, namespace("test"));
    let expected = Metadata { namespace_labels: one("env", "test"), ..Metadata::default() };
    assert_eq!(world.metadata().await, expected);
}
