//! `deploy/` against the real tools and the real API server: what kustomize and Helm render, and what is accepted of it.

use crate::control_plane::ControlPlane;
use crate::tools::Tools;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The base and the overlays: the directory, and the name of the chart's values.
const VARIANTS: [(&str, Option<&str>); 4] = [
    ("deploy/kubernetes/base", None),
    ("deploy/kubernetes/overlays/production", Some("production")),
    ("deploy/kubernetes/overlays/kind", Some("kind")),
    ("deploy/kubernetes/overlays/host-network", Some("host-network")),
];

/// The components, the settings of the chart that stand for each, and how many ClusterRoles there are with it.
const COMPONENTS: [(&str, &[&str], usize); 4] = [
    ("pod-watch", &["config.kubernetes.pod_binding=enforce"], 2),
    ("pod-metadata", &["config.kubernetes.pod_metadata=true"], 3),
    (
        "forward",
        &[
            "config.forward.ca_cert_file=/etc/veilwarden-ca/tls.crt",
            "config.forward.ca_key_file=/etc/veilwarden-ca/tls.key",
        ],
        1,
    ),
    (SOCKET, &["socket.enabled=true", "namespace.podSecurity=privileged"], 1),
];
/// The component that only `privileged` namespaces take.
const SOCKET: &str = "socket";

pub async fn the_chart_renders_what_kustomize_renders(cluster: &ControlPlane) {
    let tools = Tools::new(cluster);
    for (directory, overlay) in VARIANTS {
        same(tools.kustomize(directory).await, tools.chart(overlay, &[]).await, directory);
        for (component, settings, roles) in COMPONENTS {
            // A component leaves the configuration to whoever uses it; the chart goes by it.
            let kustomize = without_configuration(tools.kustomize_with(directory, component).await);
            let chart = without_configuration(tools.chart(overlay, settings).await);
            let added = kustomize.iter().filter(|object| object["kind"] == "ClusterRole").count();
            assert_eq!(added, roles, "{directory}, {component}");
            same(kustomize, chart, &format!("{directory}, {component}"));
        }
    }
    let default = tools.kustomize("deploy/kubernetes").await;
    assert_eq!(
        default,
        tools.kustomize("deploy/kubernetes/base").await,
        "what `kubectl apply -k deploy/kubernetes` takes"
    );
}

fn same(kustomize: Vec<Value>, chart: Vec<Value>, what: &str) {
    let kustomize = by_name(kustomize);
    let chart = by_name(chart.into_iter().filter(|object| !is_hook(object)).collect());
    assert_eq!(kustomize.keys().collect::<Vec<_>>(), chart.keys().collect::<Vec<_>>(), "{what}");
    for (name, object) in kustomize {
        pretty_assert_eq(&object, &chart[&name], &format!("{what}: {name}"));
    }
}

fn without_configuration(mut objects: Vec<Value>) -> Vec<Value> {
    objects.retain(|object| object["metadata"]["name"] != "veilwarden-config");
    objects
}

/// Applies namespaces for real and everything else in dry runs, so it needs the namespace `veilwarden` for itself.
pub async fn the_api_server_accepts_every_manifest_and_pod_security_each_pod(cluster: &ControlPlane) {
    let tools = Tools::new(cluster);
    let mut namespace = Value::Null;
    for (directory, overlay) in VARIANTS {
        let kustomize = tools.kustomize(directory).await;
        let daemonset = only(&kustomize, "DaemonSet").clone();
        if overlay == Some("host-network") {
            let error = create_pod(cluster, &daemonset).await.expect_err("its namespace is still `restricted`");
            assert!(error.contains("violates PodSecurity \"restricted:latest\": host namespaces"), "{error}");
        }
        // What must be there before the rest can be judged: the namespace, the pods' ServiceAccount and priority.
        let first = |object: &&Value| {
            ["Namespace", "ServiceAccount", "PriorityClass"].iter().any(|kind| object["kind"] == *kind)
        };
        let mut needed: Vec<Value> = kustomize.iter().filter(first).cloned().collect();
        let by_controllers = json!({"name": "default", "namespace": "veilwarden"});
        needed.push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": by_controllers}));
        tools.apply_for_real("manifests", &needed).await;
        namespace = only(&kustomize, "Namespace").clone();
        let level = if overlay == Some("host-network") { "privileged" } else { "restricted" };
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], level, "{directory}");
        tools.would_apply(&kustomize).await.unwrap_or_else(|error| panic!("{directory}: {error}"));
        create_pod(cluster, &daemonset).await.unwrap_or_else(|error| panic!("{directory}: {error}"));
        let chart = tools.chart(overlay, &[]).await;
        tools.would_apply(&chart).await.unwrap_or_else(|error| panic!("the chart, {overlay:?}: {error}"));
        assert_eq!(chart.iter().filter(|object| is_hook(object)).count(), 2, "the tests of `helm test` are among them");
        for (component, settings, _) in COMPONENTS {
            let kustomize = tools.kustomize_with(directory, component).await;
            let pod = create_pod(cluster, only(&kustomize, "DaemonSet")).await;
            if component == SOCKET && level == "restricted" {
                let error = pod.expect_err("its namespace is still `restricted`");
                assert!(error.contains("restricted volume types"), "{error}");
                continue;
            }
            pod.unwrap_or_else(|error| panic!("{directory}, {component}: {error}"));
            for objects in [&kustomize, &tools.chart(overlay, settings).await] {
                tools.would_apply(objects).await.unwrap_or_else(|error| panic!("{directory}, {component}: {error}"));
            }
        }
    }
    // The namespace is `privileged` now, as the socket needs it without the host's network, too.
    let base = tools.kustomize_with("deploy/kubernetes/base", SOCKET).await;
    let chart = tools.chart(None, &["socket.enabled=true", "namespace.podSecurity=privileged"]).await;
    for objects in [&base, &chart] {
        tools.would_apply(objects).await.unwrap_or_else(|error| panic!("{SOCKET}: {error}"));
    }
    create_pod(cluster, only(&base, "DaemonSet")).await.unwrap_or_else(|error| panic!("{SOCKET}: {error}"));
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
}

pub async fn helm_refuses_a_configuration_that_veilwarden_would_refuse_and_says_how_pods_call(cluster: &ControlPlane) {
    let tools = Tools::new(cluster);
    let install = ["install", "veilwarden", "deploy/helm/veilwarden", "--dry-run=server"];
    for (values, words) in [
        ("config.polcy.engine=opa", "polcy"),
        ("config.policy.engine=rego", "engine"),
        ("config.limits.drain_delay=soon", "drain_delay"),
        ("hostNetwrok=true", "hostNetwrok"),
    ] {
        let error = tools.helm(&[&install[..], &["--set", values]].concat()).await.expect_err(values);
        assert!(error.contains(words), "{values}: {error}");
    }
    for (values, address) in [
        ("config.kubernetes.audience=other", "http://veilwarden.default.svc:8088"),
        ("hostNetwork=true", "http://localhost:8088"),
    ] {
        let rendered = tools.helm(&[&install[..], &["--set", values]].concat()).await.expect("it would be installed");
        let notes = rendered.split_once("NOTES:").expect("notes").1;
        assert!(notes.contains(address), "{notes}");
        let audience = if values.ends_with("other") { "audience: other" } else { "audience: veilwarden" };
        assert!(notes.contains(audience), "{notes}");
    }
}

/// A pod as the DaemonSet's controller would make it, in a dry run: Pod Security only warns about the DaemonSet itself.
async fn create_pod(cluster: &ControlPlane, daemonset: &Value) -> Result<(), String> {
    let mut pod = daemonset["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "veilwarden-dry-run".into();
    let pod: Pod = serde_json::from_value(pod).expect("a pod's template");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let created = Api::<Pod>::namespaced(cluster.admin(), "veilwarden").create(&dry_run, &pod).await;
    created.map(drop).map_err(|error| error.to_string())
}

fn is_hook(object: &Value) -> bool {
    object["metadata"]["annotations"].get("helm.sh/hook").is_some()
}

fn only<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let mut of_kind = objects.iter().filter(|object| object["kind"] == kind);
    let first = of_kind.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(of_kind.next().is_none(), "two of {kind}");
    first
}

/// The objects by kind and name, without what the two tools write differently by their nature.
fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for object in objects {
        let object = normalised(object);
        let name = format!("{}/{}", object["kind"].as_str().expect("a kind"), object["metadata"]["name"]);
        assert!(all.insert(name.clone(), object).is_none(), "{name} is there twice");
    }
    all
}

fn normalised(mut object: Value) -> Value {
    // Helm says whose objects these are, and notices a changed ConfigMap by its checksum.
    for label in ["app.kubernetes.io/managed-by", "helm.sh/chart"] {
        object["metadata"]["labels"].as_object_mut().expect("labels").remove(label);
    }
    if let Some(metadata) = object.pointer_mut("/spec/template/metadata").and_then(Value::as_object_mut) {
        let checksums = metadata.remove("annotations").unwrap_or(Value::Null);
        let only_checksums =
            |keys: &serde_json::Map<String, Value>| keys.keys().all(|key| key.starts_with("checksum/"));
        assert!(checksums.as_object().is_none_or(only_checksums), "{checksums}");
    }
    // Kustomize notices it by the hash in its name.
    rename_policies(&mut object);
    // A configuration is the same in whatever order its keys are written.
    if let Some(text) = object.pointer("/data/config.yaml").and_then(Value::as_str) {
        object["data"]["config.yaml"] = serde_saphyr::from_str(text).expect("a configuration");
    }
    object
}

fn rename_policies(value: &mut Value) {
    match value {
        Value::String(text) if is_hashed(text) => *text = "veilwarden-policies".to_owned(),
        Value::Array(items) => items.iter_mut().for_each(rename_policies),
        Value::Object(map) => map.values_mut().for_each(rename_policies),
        _ => {}
    }
}

fn is_hashed(text: &str) -> bool {
    text.strip_prefix("veilwarden-policies-")
        .is_some_and(|hash| hash.len() == 10 && hash.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Equality with a message that a person can compare line by line.
fn pretty_assert_eq(left: &Value, right: &Value, what: &str) {
    let pretty = |value: &Value| serde_json::to_string_pretty(&sorted(value)).expect("JSON");
    assert!(left == right, "{what}:\nkustomize: {}\nthe chart: {}", pretty(left), pretty(right));
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let keys: BTreeMap<_, _> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            json!(keys)
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
