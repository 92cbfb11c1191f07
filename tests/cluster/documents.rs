//! The Kubernetes objects in the documents: the API server would take every one of them as it stands.

use crate::control_plane::ControlPlane;
use crate::markdown;
use crate::tools::{Tools, objects};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a document shows that is not for the API server.
const NOT_OBJECTS: [(&str, &str); 3] =
    [("kustomize.config.k8s.io/v1beta1", "Kustomization"), ("kind.x-k8s.io/v1alpha4", "Cluster"), ("v1", "Config")];

/// Every block fenced as `yaml` that has `apiVersion` and `kind` at its top.
pub async fn r133_w39_every_object_in_the_documents_is_valid(cluster: &ControlPlane) {
    let tools = Tools::new(cluster);
    let mut blocks = Vec::new();
    for document in markdown::all() {
        for block in document.blocks() {
            let has = |key: &str| block.text.lines().any(|line| line.starts_with(key));
            if block.language == "yaml" && has("apiVersion:") && has("kind:") {
                blocks.push((
                    document.at(block.line),
                    objects(&block.text).into_iter().filter(is_for_it).collect::<Vec<_>>(),
                ));
            }
        }
    }
    let all: Vec<&Value> = blocks.iter().flat_map(|(_, objects)| objects).collect();
    assert!(all.len() >= 3, "the README alone has three: {all:?}");
    tools.apply_for_real("documents", &surroundings(&all)).await;
    let mut wrong = Vec::new();
    for (at, objects) in blocks.iter().filter(|(_, objects)| !objects.is_empty()) {
        if let Err(error) = tools.would_apply(objects).await {
            wrong.push(format!("{at}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_for_it(object: &Value) -> bool {
    let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    !NOT_OBJECTS.iter().any(|(v, k)| (version, kind) == (Some(v), Some(k)))
}

/// What has to be there before the others can be judged: their namespaces, and the ServiceAccounts of the pods.
fn surroundings(all: &[&Value]) -> Vec<Value> {
    let mut namespaces = BTreeSet::new();
    let mut accounts = BTreeSet::new();
    for object in all {
        if let Some(namespace) = object["metadata"]["namespace"].as_str() {
            namespaces.insert(namespace);
        }
        if object["kind"] == "Pod" {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
            accounts.insert((namespace, object["spec"]["serviceAccountName"].as_str().unwrap_or("default")));
        }
    }
    let namespaces =
        namespaces.into_iter().map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    let accounts = accounts.into_iter().map(|(namespace, name)| {
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
    });
    namespaces.chain(accounts).collect()
}
