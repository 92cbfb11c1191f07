//! The kustomize components: what each adds, and nothing else.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::manifests::object;
use super::{deploy, yaml};
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};

const COMPONENTS: [&str; 4] = ["forward", "pod-metadata", "pod-watch", "socket"];

/// Those that grant something: the directory, its role, and the resource that the role opens.
const WATCHES: [(&str, &str, &str); 2] =
    [("pod-watch", "veilwarden-pods", "pods"), ("pod-metadata", "veilwarden-namespaces", "namespaces")];

/// What a component's patch says about the pods of the DaemonSet.
fn patched(patch: &str) -> PodSpec {
    let base = yaml("kubernetes/base/daemonset.yaml");
    let patch = yaml(&format!("kubernetes/components/{patch}.yaml"));
    for place in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
        assert_eq!(patch.pointer(place), base.pointer(place), "{place}");
    }
    let spec = &patch["spec"]["template"]["spec"];
    assert_eq!(spec["containers"][0]["name"], base["spec"]["template"]["spec"]["containers"][0]["name"]);
    let typed: PodSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&typed).unwrap(), spec, "a field is unknown");
    typed
}

#[test]
fn each_grants_to_list_and_watch_one_resource_and_nothing_else() {
    for (name, role, resource) in WATCHES {
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
    assert_eq!(entries("kubernetes/components"), COMPONENTS.map(str::to_owned).into());
    let listed = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for name in COMPONENTS {
        let directory = format!("kubernetes/components/{name}");
        let kustomization = yaml(&format!("{directory}/kustomization.yaml"));
        let version = (&kustomization["apiVersion"], &kustomization["kind"]);
        assert_eq!(version, (&json!("kustomize.config.k8s.io/v1alpha1"), &json!("Component")), "{name}");
        let patches = listed(&kustomization["patches"]);
        let patches = patches.iter().filter_map(|patch| patch.get("path").cloned());
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
    let env = serde_json::to_value(&patched("pod-watch/node-name").containers[0].env).unwrap();
    let variable = json!({"name": "VEILWARDEN_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
    assert_eq!(env, json!([variable]));
}

#[test]
fn the_key_of_the_ca_is_for_veilwardens_group_and_no_other_container() {
    let pod = patched("forward/ca");
    let [volume] = <[Volume; 1]>::try_from(pod.volumes.unwrap()).expect("one volume");
    let secret = volume.secret.unwrap();
    assert_eq!((secret.secret_name.as_deref(), secret.optional), (Some("veilwarden-ca"), None));
    assert_eq!(secret.default_mode, Some(0o440));
    assert!(pod.init_containers.is_none() && pod.containers.len() == 1);
    let mounts = pod.containers[0].volume_mounts.as_deref().unwrap();
    let mounts: Vec<_> = mounts.iter().map(|mount| (&*mount.name, &*mount.mount_path, mount.read_only)).collect();
    assert_eq!(mounts, [(&*volume.name, "/etc/veilwarden-ca", Some(true))]);
}

#[test]
fn the_socket_is_in_a_directory_that_one_capability_of_one_command_gives_to_veilwarden() {
    let mut pod = patched("socket/daemonset");
    let [init] = <[Container; 1]>::try_from(pod.init_containers.take().unwrap()).expect("one container");
    let command = init.command.clone().unwrap();
    let [chown, user, directory] = <[String; 3]>::try_from(command).expect("no shell");
    let base = yaml("kubernetes/base/daemonset.yaml");
    let ids = &base["spec"]["template"]["spec"]["securityContext"];
    assert_eq!((chown.as_str(), user), ("chown", format!("{}:{}", ids["runAsUser"], ids["runAsGroup"])));
    let context = serde_json::to_value(init.security_context).unwrap();
    let expected = json!({
        "runAsNonRoot": false, "runAsUser": 0, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
    });
    assert_eq!(context, expected);
    assert!(pod.containers[0].security_context.is_none(), "veilwarden itself runs as everywhere");
    let host = pod.volumes.unwrap()[0].host_path.clone().unwrap();
    assert_eq!((host.path.as_str(), host.type_.as_deref()), (directory.as_str(), Some("DirectoryOrCreate")));
    for mounts in [init.volume_mounts, pod.containers[0].volume_mounts.clone()] {
        assert_eq!(mounts.unwrap()[0].mount_path, directory);
    }
    let added = &yaml("kubernetes/components/socket/kustomization.yaml")["patches"][2]["patch"];
    let added: Value = serde_saphyr::from_str(added.as_str().unwrap()).unwrap();
    let argument = format!("--listen=unix:{directory}/veilwarden.sock");
    assert_eq!(added, json!([{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": argument}]));
}
