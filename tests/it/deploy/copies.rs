//! What kustomize and Helm cannot read from outside their directories is there a second time, and must not differ.

use std::fs;
use std::path::Path;

use super::{deploy, yaml};

#[test]
fn the_policies_that_are_shipped_are_those_that_are_tested() {
    let tested = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut copies = Vec::new();
    for directory in ["kubernetes/base", "helm/veilwarden/policies"] {
        for entry in fs::read_dir(deploy().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rego") {
                let original = tested.join(path.file_name().unwrap());
                let (copy, original) = (fs::read_to_string(&path).unwrap(), fs::read_to_string(original).unwrap());
                assert!(copy == original, "{} differs from policies/: copy that one anew", path.display());
                copies.push(path.file_name().unwrap().to_owned());
            }
        }
    }
    assert_eq!(copies, ["kubernetes-example.rego", "kubernetes-example.rego"]);
    let generated = &yaml("kubernetes/base/kustomization.yaml")["configMapGenerator"][0];
    assert_eq!(generated["name"], "veilwarden-policies");
    assert_eq!(generated["files"], serde_json::json!(["kubernetes-example.rego"]));
    // With a hash in its name, a changed policy is rolled out pod by pod, and a broken one stops at the first.
    assert!(generated["options"].get("disableNameSuffixHash").is_none());
}
