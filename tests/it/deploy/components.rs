//! The kustomize components: each adds one right, and what veilwarden needs to use it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::manifests::object;
use super::{deploy, yaml};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};

/// The directory, its role, and the resource that the role opens.
const COMPONENTS: [(&str, &str, &str); 2] =
    [("pod-watch", "veilwarden-pods", "pods"), ("pod-metadata", "veilwarden-namespaces", "namespaces")];

#[test]
fn each_grants_to_list_and_watch_one_resource_and_nothing_else() {
    for (name, role, resource) in COMPONENTS {
        let cluster_role: ClusterRole = object(&format!("components/{name}/clusterrole"));
        assert_eq!((cluster_role.metadata.name.as_deref(), cluster_role.aggregation_rule), (Some(role), None));
        let only = json!([{"apiGroups": [""], "resources": [resource], "verbs": ["list", "watch"]}]);
        assert_eq!(serde_json::to_value(cluster_role.rules).unwrap(), only, "{name}");
        let binding: ClusterRoleBinding = object(&format!("components/{name}/clusterrolebinding"));
        let bound = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
        assert_eq!(serde_json::to_value(binding.role_ref).unwrap(), bound, "{name}");
        let who = json!([{"kind": "ServiceAccount", "name": "veilwarden", "namespace": "veilwarden"}]);
        assert_eq!(serde_json::to_value(binding.subjects).unwrap(), who, "{name}");
    }
}

#[test]
fn each_has_its_files_listed_and_there_is_no_other() {
    let entries = |directory: &str| -> BTreeSet<String> {
        let files = fs::read_dir(deploy().join(directory)).unwrap();
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let names = COMPONENTS.iter().map(|(name, ..)| (*name).to_owned());
    assert_eq!(entries("kubernetes/components"), names.collect());
    let listed = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for (name, ..) in COMPONENTS {
        let directory = format!("kubernetes/components/{name}");
        let kustomization = yaml(&format!("{directory}/kustomization.yaml"));
        let version = (&kustomization["apiVersion"], &kustomization["kind"]);
        assert_eq!(version, (&json!("kustomize.config.k8s.io/v1alpha1"), &json!("Component")), "{name}");
        let patches = listed(&kustomization["patches"]).into_iter().map(|patch| patch["path"].clone());
        let files = listed(&kustomization["resources"]).into_iter().chain(patches);
        let files: BTreeSet<String> = files.map(|file| file.as_str().unwrap().to_owned()).collect();
        let mut there = entries(&directory);
        there.remove("kustomization.yaml");
        assert_eq!(there, files, "{name}");
        let others = if name == "pod-metadata" { json!(["../pod-watch"]) } else { Value::Null };
        assert_eq!(kustomization["components"], others, "{name}: both are needed for metadata");
    }
}

#[test]
fn the_name_of_the_node_is_a_variable_that_veilwarden_reads() {
    let patch = yaml("kubernetes/components/pod-watch/node-name.yaml");
    let base = yaml("kubernetes/base/daemonset.yaml");
    for place in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
        assert_eq!(patch.pointer(place), base.pointer(place), "{place}");
    }
    let container = &patch["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], base["spec"]["template"]["spec"]["containers"][0]["name"]);
    let variable = json!({"name": "VEILWARDEN_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
    assert_eq!(container["env"], json!([variable]));
}
