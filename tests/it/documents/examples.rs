//! Configurations, Kubernetes objects, the demo and the quick start: what a reader would copy.

use std::fs;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use veilwarden::config::{Config, Overrides};

use super::markdown::{self, Block, Document};
use super::shell;

fn is_configuration(block: &Block) -> bool {
    block.language == "yaml" && (block.text.starts_with("routes:") || block.text.starts_with("# veilwarden.yaml"))
}

/// `Err`: the mistakes, as `check` prints them.
fn parse(text: &str) -> Result<Config, String> {
    let environment = |name: &str| match name {
        "VEILWARDEN_SESSION_SECRET" => Some("a-session-secret-of-a-document".to_owned()),
        "VEILWARDEN_DOPPLER_TOKEN" => text.contains("secret_stores:").then(|| "dp.st.a-token".to_owned()),
        _ => None,
    };
    let parsed = Config::parse(text, Path::new("veilwarden.yaml"), &Overrides::default(), &environment);
    parsed.map_err(|mistakes| mistakes.to_string())
}

#[test]
fn r133_every_configuration_is_good_and_every_wrong_one_fails_as_shown() {
    let (mut good, mut wrong) = (0, 0);
    for document in markdown::all() {
        let blocks = document.blocks();
        for (index, block) in blocks.iter().enumerate().filter(|(_, block)| is_configuration(block)) {
            let at = document.at(block.line);
            match (block.text.lines().nth(1), parse(&block.text)) {
                (Some("# wrong"), Ok(_)) => panic!("{at}: nothing is wrong with it"),
                (Some("# wrong"), Err(mistakes)) => {
                    assert_eq!(mistakes.trim_end(), blocks[index + 1].text.trim_end(), "{at}");
                    wrong += 1;
                }
                (_, Ok(_)) => good += 1,
                (_, Err(mistakes)) => panic!("{at}:\n{mistakes}"),
            }
        }
    }
    assert!(good > 3 && wrong > 0, "{good} good, {wrong} wrong");
}

/// Reads YAML as a Kubernetes type, and fails where the type does not know a field.
pub fn object<T: Serialize + DeserializeOwned>(yaml: &str) -> T {
    let written: Value = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let object: T = serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    assert_eq!(serde_json::to_value(&object).unwrap(), written, "a field is unknown");
    object
}

/// Every document of YAML in a block, by the type that its kind has.
fn check_object(yaml: &str) {
    match yaml.lines().find_map(|line| line.strip_prefix("kind: ")).expect("a kind") {
        "ConfigMap" => {
            let config = object::<ConfigMap>(yaml).data.unwrap_or_default().remove("config.yaml");
            config.map(|text| parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}")));
        }
        "Deployment" => drop(object::<Deployment>(yaml)),
        "Pod" => drop(object::<Pod>(yaml)),
        "ServiceAccount" => drop(object::<ServiceAccount>(yaml)),
        "Kustomization" => {} // known to kubectl only: `guide::the_documents_are_followed_to_the_letter`
        kind => panic!("nobody looks at a {kind}"),
    }
}

#[test]
fn every_kubernetes_object_has_known_fields_and_good_configurations() {
    let mut checked = 0;
    for document in markdown::all() {
        for block in document.blocks().iter().filter(|block| block.text.starts_with("apiVersion:")) {
            block.text.split("---\n").for_each(check_object);
            checked += 1;
        }
    }
    assert!(checked > 5, "only {checked} blocks");
}

#[test]
fn the_quick_starts_configuration_is_good() {
    check_object(
        &fs::read_to_string(markdown::root().join("deploy/kubernetes/examples/quickstart/config.yaml")).unwrap(),
    );
}

#[test]
fn the_pod_of_the_readme_asks_for_our_audience() {
    let blocks = Document::read("README.md").blocks();
    let pod = blocks.iter().find(|block| block.text.contains("kind: Pod")).expect("a pod");
    let volumes = object::<Pod>(&pod.text).spec.unwrap().volumes.unwrap();
    let source = &volumes[0].projected.as_ref().unwrap().sources.as_ref().unwrap()[0];
    assert_eq!(source.service_account_token.as_ref().unwrap().audience.as_deref(), Some("veilwarden"));
}

#[test]
fn the_demo_prints_what_the_readme_says() {
    let blocks = Document::read("README.md").blocks();
    let sample = blocks.iter().find(|block| block.text.starts_with("1. Allowed")).expect("the demo's sample");
    let demo = Command::new(shell::VEILWARDEN).args(["demo", "--once"]).output().unwrap();
    let printed = String::from_utf8(demo.stdout).unwrap();
    assert!(demo.status.success(), "{printed}");
    let mut lines = printed.lines();
    for line in sample.text.lines() {
        assert!(lines.any(|printed| printed == line), "{line:?} does not follow in\n{printed}");
    }
}

#[test]
fn r133_the_quick_start_works() {
    let missing: Vec<_> = ["bash", "timeout", "curl", "openssl"].into_iter().filter(|p| !shell::is_there(p)).collect();
    if !missing.is_empty() {
        eprintln!("not run, for want of {}", missing.join(", "));
        return;
    }
    shell::run(&Document::read("README.md"));
    shell::run(&Document::read("docs/forward-proxy.md"));
    shell::run(&Document::read("docs/wildcards.md"));
}

#[test]
fn the_calls_by_base_url_work() {
    if ["bash", "timeout", "curl", "openssl"].into_iter().all(shell::is_there) {
        shell::run(&Document::read("docs/base-urls.md"));
    }
}
