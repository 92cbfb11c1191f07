//! The configurations in the manifests: good, and an overlay's differs from the base's in what the overlay is for.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use veilwarden::config::{Config, Overrides};

use super::{OVERLAYS, configuration, text, yaml};
use crate::world::process::{self, End, file};
use crate::world::tls::Authority;

fn all() -> impl Iterator<Item = Option<&'static str>> {
    std::iter::once(None).chain(OVERLAYS.map(Some))
}

/// What the DaemonSet's container is started with, its variables put in: the addresses of pod and node.
fn arguments(overlay: Option<&str>, [pod, node]: [&str; 2]) -> Vec<String> {
    let of = |path: &str| yaml(path)["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    let own = overlay.map(|name| of(&format!("kubernetes/overlays/{name}/daemonset.yaml"))).filter(Value::is_array);
    let arguments = own.unwrap_or_else(|| of("kubernetes/base/daemonset.yaml"));
    let put_in = |argument: &Value| argument.as_str().unwrap().replace("$(POD_IP)", pod).replace("$(NODE_IP)", node);
    arguments.as_array().unwrap().iter().map(put_in).collect()
}

#[tokio::test]
async fn r114_r133_each_configuration_passes_the_check_as_the_container_starts_it() {
    let directory = tempfile::tempdir().unwrap();
    let policies = directory.path().join("policies");
    fs::create_dir(&policies).unwrap();
    file(&policies, "kubernetes-example.rego", text("kubernetes/base/kubernetes-example.rego"));
    let token = file(directory.path(), "token", "a.b.c");
    let ca = Authority::new().file(directory.path()).display().to_string();
    let families = [["10.0.0.7", "10.0.0.8"], ["fd00::7", "fd00::8"]];
    for (overlay, addresses) in all().flat_map(|overlay| families.map(|addresses| (overlay, addresses))) {
        // What a pod has at fixed places stands elsewhere here: its own token, the CA, the policies.
        let stood_in = configuration(overlay)
            .replace("/etc/veilwarden/policies", &policies.display().to_string())
            .replace("kubernetes:\n", &format!("kubernetes:\n  token_path: {token}\n  ca_path: {ca}\n"));
        let path = file(directory.path(), "config.yaml", stood_in);
        let config = format!("--config={path}");
        let mut arguments = arguments(overlay, addresses);
        assert_eq!(arguments[0], "--config=/etc/veilwarden/config.yaml");
        arguments[0] = config;
        let arguments: Vec<&str> = std::iter::once("check").chain(arguments.iter().map(String::as_str)).collect();
        // Without a secret, and with the project's names that go with a Doppler token that is not there.
        let environment = [
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
            ("DOPPLER_PROJECT", "veilwarden"),
            ("DOPPLER_CONFIG", "production"),
        ];
        let (end, out, errors) = process::run(&arguments, &environment).await;
        assert_eq!(end, End::Exit(0), "{overlay:?} {addresses:?}: {out}{errors}");
    }
}

#[test]
fn an_overlay_says_what_the_base_says_but_for_its_own_matter() {
    let base: Value = serde_saphyr::from_str(&configuration(None)).unwrap();
    let changes = |overlay: &str| -> Vec<(&str, Value)> {
        match overlay {
            "production" => vec![("/audit", json!({"output": "stdout", "when_full": "refuse"}))],
            "host-network" => vec![
                (
                    "/allow_peers",
                    json!(["127.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"]),
                ),
                ("/kubernetes/require_audience", json!(false)),
                ("/limits/drain_delay", json!("0s")),
            ],
            _ => vec![("/kubernetes/require_audience", json!(false))],
        }
    };
    for overlay in OVERLAYS {
        let mut expected = base.clone();
        for (place, value) in changes(overlay) {
            let (section, key) = place.rsplit_once('/').unwrap();
            expected.pointer_mut(section).unwrap()[key] = value;
        }
        let written: Value = serde_saphyr::from_str(&configuration(Some(overlay))).unwrap();
        assert_eq!(written, expected, "{overlay}");
    }
}

#[test]
fn the_kubelet_waits_longer_than_the_drain_takes() {
    let daemonset = yaml("kubernetes/base/daemonset.yaml");
    let grace = daemonset["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    let values = yaml("helm/veilwarden/values.yaml");
    assert_eq!(values["terminationGracePeriodSeconds"], grace);
    for overlay in all() {
        let environment =
            |name: &str| (name == "VEILWARDEN_SESSION_SECRET").then(|| "a-session-secret-of-a-test".to_owned());
        let name = std::path::Path::new("config.yaml");
        let limits = Config::parse(&configuration(overlay), name, &Overrides::default(), &environment).unwrap().limits;
        let drain = limits.drain_delay + limits.drain_timeout + Duration::from_secs(2);
        assert!(drain < Duration::from_secs(grace), "{overlay:?}: {drain:?} of {grace} s");
        // Only where a new pod takes over is there anything to wait for.
        assert_eq!(limits.drain_delay.is_zero(), overlay == Some("host-network"), "{overlay:?}");
    }
}
