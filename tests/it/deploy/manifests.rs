//! The objects of the base, field by field; requirements.

use std::collections::BTreeSet;
use std::fs;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Namespace, PodSpec, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{deploy, yaml};

/// An object of `deploy/kubernetes`, whose every field its type knows.
pub(super) fn object<T: Serialize + DeserializeOwned>(file: &str) -> T {
    let written = yaml(&format!("kubernetes/{file}.yaml"));
    let object: T = serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(serde_json::to_value(&object).unwrap(), written, "{file}: a field is unknown");
    object
}

fn daemonset() -> (DaemonSet, PodSpec, Container) {
    let daemonset: DaemonSet = object("base/daemonset");
    let pod = daemonset.spec.clone().unwrap().template.spec.unwrap();
    let [container] = <[Container; 1]>::try_from(pod.containers.clone()).expect("one container");
    (daemonset, pod, container)
}

#[test]
fn r112_r113_the_objects_and_their_names_are_those_of_the_design() {
    let all = [
        ("namespace", "v1", "Namespace", "veilwarden"),
        ("serviceaccount", "v1", "ServiceAccount", "veilwarden"),
        ("clusterrole", "rbac.authorization.k8s.io/v1", "ClusterRole", "veilwarden-tokenreview"),
        ("clusterrolebinding", "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "veilwarden-tokenreview"),
        ("configmap", "v1", "ConfigMap", "veilwarden-config"),
        ("service", "v1", "Service", "veilwarden"),
        ("daemonset", "apps/v1", "DaemonSet", "veilwarden"),
    ];
    for (file, version, kind, name) in all {
        let object = yaml(&format!("kubernetes/base/{file}.yaml"));
        assert_eq!((&object["apiVersion"], &object["kind"]), (&json!(version), &json!(kind)), "{file}");
        assert_eq!(object["metadata"]["name"], name, "{file}");
        let namespace =
            if kind == "Namespace" || kind.starts_with("Cluster") { Value::Null } else { "veilwarden".into() };
        assert_eq!(object["metadata"]["namespace"], namespace, "{file}");
        assert_eq!(object["metadata"]["labels"]["app"], "veilwarden", "{file}");
    }
    let kustomization = yaml("kubernetes/base/kustomization.yaml");
    let listed: Vec<String> = all.iter().map(|(file, ..)| format!("{file}.yaml")).collect();
    assert_eq!(kustomization["resources"], json!(listed), "in this order");
    let files = fs::read_dir(deploy().join("kubernetes/base")).unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<String> = files.map(|name| name.into_string().unwrap()).collect();
    let policies = ["kustomization.yaml".to_owned(), "kubernetes-example.rego".to_owned()];
    assert_eq!(files, listed.into_iter().chain(policies).collect());
}

#[test]
fn r113_the_one_right_is_to_create_token_reviews() {
    let role: ClusterRole = object("base/clusterrole");
    let rules = serde_json::to_value(role.rules).unwrap();
    let only = json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]);
    assert_eq!((rules, role.aggregation_rule), (only, None));
    let binding: ClusterRoleBinding = object("base/clusterrolebinding");
    let bound =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "veilwarden-tokenreview"});
    assert_eq!(serde_json::to_value(binding.role_ref).unwrap(), bound);
    let who = json!([{"kind": "ServiceAccount", "name": "veilwarden", "namespace": "veilwarden"}]);
    assert_eq!(serde_json::to_value(binding.subjects).unwrap(), who);
}

#[test]
fn the_namespace_enforces_pod_security_restricted() {
    let labels = object::<Namespace>("base/namespace").metadata.labels.unwrap();
    for mode in ["enforce", "audit", "warn"] {
        assert_eq!(labels[&format!("pod-security.kubernetes.io/{mode}")], "restricted", "{mode}");
    }
}

#[test]
fn the_service_keeps_calls_on_the_node() {
    let service = object::<Service>("base/service").spec.unwrap();
    assert_eq!(service.internal_traffic_policy.as_deref(), Some("Local"));
    assert_eq!(service.type_.as_deref(), Some("ClusterIP"));
    let (daemonset, _, container) = daemonset();
    let labels = daemonset.spec.unwrap().template.metadata.unwrap().labels.unwrap();
    assert_eq!(service.selector.as_ref(), Some(&labels));
    let [port] = <[_; 1]>::try_from(service.ports.unwrap()).expect("the proxy's port and no other");
    assert_eq!((port.port, port.target_port), (8088, Some(IntOrString::String("proxy".to_owned()))));
    let ports = container.ports.unwrap();
    let ports: Vec<_> = ports.iter().map(|p| (p.name.as_deref().unwrap(), p.container_port, p.host_port)).collect();
    assert_eq!(ports, [("proxy", 8088, None), ("admin", 8089, None)]);
}

#[test]
fn r115_the_container_starts_as_the_design_has_it_with_probes_on_the_admin_port() {
    let (_, _, container) = daemonset();
    let arguments = [
        "--config=/etc/veilwarden/config.yaml",
        "--k8s-enabled=auto",
        "--listen=0.0.0.0:8088",
        "--admin-listen=[$(POD_IP)]:8089",
    ];
    assert_eq!(container.args.unwrap(), arguments);
    let resources = container.resources.unwrap();
    let amount = |text: &str| Quantity(text.to_owned());
    let (requests, limits) = (resources.requests.unwrap(), resources.limits.unwrap());
    assert_eq!((&requests["cpu"], &requests["memory"]), (&amount("100m"), &amount("128Mi")));
    assert_eq!((&limits["cpu"], &limits["memory"]), (&amount("500m"), &amount("256Mi")));
    for (probe, path, delay, period) in
        [(container.liveness_probe, "/healthz", 10, 30), (container.readiness_probe, "/readyz", 5, 10)]
    {
        let probe = probe.unwrap();
        let get = probe.http_get.unwrap();
        assert_eq!((get.path.as_deref(), get.port), (Some(path), IntOrString::String("admin".to_owned())));
        assert_eq!((probe.initial_delay_seconds, probe.period_seconds), (Some(delay), Some(period)), "{path}");
    }
    assert!(container.lifecycle.is_none(), "the image has nothing that a hook could run");
}

#[test]
fn r115_w65_no_secret_is_required_and_every_configuration_is() {
    let (_, pod, container) = daemonset();
    let env = container.env.unwrap();
    let mut keys = Vec::new();
    for reference in env.iter().filter_map(|env| env.value_from.as_ref()?.secret_key_ref.as_ref()) {
        assert_eq!((reference.name.as_str(), reference.optional), ("veilwarden-secrets", Some(true)));
        keys.push(reference.key.as_str());
    }
    assert_eq!(keys, ["session-secret", "doppler-token"]);
    let value = |name: &str| env.iter().find(|env| env.name == name).unwrap().value.as_deref().unwrap();
    assert_eq!((value("DOPPLER_PROJECT"), value("DOPPLER_CONFIG")), ("veilwarden", "production"));
    let mounts = container.volume_mounts.unwrap();
    let mounts: Vec<_> = mounts.iter().map(|m| (m.name.as_str(), m.mount_path.as_str(), m.read_only)).collect();
    let expected = [
        ("config", "/etc/veilwarden", Some(true)),
        ("policies", "/etc/veilwarden/policies", Some(true)),
        ("secrets", "/etc/veilwarden/secrets", Some(true)),
    ];
    assert_eq!(mounts, expected);
    let volumes = serde_json::to_value(pod.volumes).unwrap();
    assert_eq!(volumes[0]["configMap"], json!({"name": "veilwarden-config"}));
    assert_eq!(volumes[1]["configMap"], json!({"name": "veilwarden-policies"}));
    let secret = json!({"secretName": "veilwarden-secrets", "optional": true, "defaultMode": 0o440});
    assert_eq!(volumes[2]["secret"], secret);
}

#[test]
fn w67_the_pod_has_no_privilege_and_asks_for_no_more_than_it_uses() {
    let (_, pod, container) = daemonset();
    assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc), (None, None, None));
    assert_eq!((pod.enable_service_links, pod.automount_service_account_token), (Some(false), Some(true)));
    let account: ServiceAccount = object("base/serviceaccount");
    assert_eq!(account.automount_service_account_token, Some(false), "only pods that ask for it get a token");
    let user = json!({
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(serde_json::to_value(pod.security_context).unwrap(), user);
    let bounds = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(serde_json::to_value(container.security_context).unwrap(), bounds);
}

#[test]
fn an_update_leaves_no_node_without_a_proxy() {
    let (daemonset, ..) = daemonset();
    let update = serde_json::to_value(daemonset.spec.unwrap().update_strategy).unwrap();
    assert_eq!(update, json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}));
}

#[test]
fn r116_the_tag_is_in_one_place() {
    let (_, _, container) = daemonset();
    assert_eq!(container.image.as_deref(), Some("veilwarden"), "the tag is kustomize's");
    let images = &yaml("kubernetes/base/kustomization.yaml")["images"];
    assert_eq!(*images, json!([{"name": "veilwarden", "newTag": "v0.2.0"}]));
    assert_eq!(yaml("helm/veilwarden/Chart.yaml")["appVersion"], images[0]["newTag"]);
}

#[test]
fn r114_the_shipped_route_is_githubs() {
    let _: ConfigMap = object("base/configmap");
    let configuration: Value = serde_saphyr::from_str(&super::configuration(None)).unwrap();
    let route = json!([{
        "upstream_host": "api.github.com", "upstream_scheme": "https", "secret_id": "GITHUB_TOKEN",
        "inject_header": "Authorization", "header_value_template": "token {{secret}}",
    }]);
    assert_eq!(configuration["routes"], route);
    let kubernetes = &configuration["kubernetes"];
    assert_eq!((&kubernetes["enabled"], &kubernetes["validate_method"]), (&json!("auto"), &json!("tokenreview")));
    let policy = json!({
        "enabled": true, "engine": "opa",
        "policy_path": "/etc/veilwarden/policies", "decision_path": "veilwarden/authz/allow",
    });
    assert_eq!(configuration["policy"], policy);
}
