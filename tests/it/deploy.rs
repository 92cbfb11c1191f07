//! `deploy/` and the Dockerfile, as far as no tool and no cluster is needed; `tests/cluster` has the rest.

mod components;
mod configurations;
mod copies;
mod dockerfile;
mod image;
mod manifests;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The overlays, which are named after their directories.
const OVERLAYS: [&str; 3] = ["production", "host-network", "kind"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// A file of ours, by its path below `deploy/`.
fn text(path: &str) -> String {
    fs::read_to_string(deploy().join(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

/// A file of ours that holds one YAML document.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

/// The text under `config.yaml` in the ConfigMap of the base (`None`) or of an overlay.
fn configuration(overlay: Option<&str>) -> String {
    let directory = overlay.map_or("base".to_owned(), |name| format!("overlays/{name}"));
    let map = yaml(&format!("kubernetes/{directory}/configmap.yaml"));
    assert_eq!(map["metadata"]["name"], "veilwarden-config", "{directory}");
    map["data"]["config.yaml"].as_str().expect("the key config.yaml").to_owned()
}
