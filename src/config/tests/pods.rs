//! `kubernetes.pod_binding`, `pod_metadata` and `node_name`.

use super::*;
use crate::authn::pods::{Binding, Settings};

const ON: (&str, &str) = ("VEILWARDEN_K8S_ENABLED", "true");
const NODE: (&str, &str) = ("VEILWARDEN_NODE_NAME", "node-1.example");

fn file(kubernetes: &str) -> String {
    format!("{ROUTE}kubernetes: {{{kubernetes}}}\npolicy: {{}}\n")
}

fn pods(kubernetes: &str, flags: &Overrides, variables: &[(&str, &str)]) -> Option<Settings> {
    let config = parse(&file(kubernetes), flags, &with(variables)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.kubernetes.expect("on").pods
}

#[test]
fn pods_are_looked_at_only_when_binding_or_metadata_ask_for_it() {
    let flags = Overrides { node_name: Some("node-2".to_owned()), ..Overrides::default() };
    let none = Overrides::default();
    let settings =
        |node: &str, binding, metadata| Some(Settings { cluster: None, node_name: node.to_owned(), binding, metadata });
    for (kubernetes, flags, expected) in [
        ("cache_ttl: 30s", &none, None),
        ("pod_binding: off", &none, None),
        ("pod_binding: off, pod_metadata: false, node_name: node-3", &none, None),
        ("pod_binding: warn", &none, settings("node-1.example", Binding::Warn, false)),
        ("pod_binding: enforce", &flags, settings("node-2", Binding::Enforce, false)),
        ("pod_metadata: true, node_name: node-3", &none, settings("node-1.example", Binding::Off, true)),
    ] {
        assert_eq!(pods(kubernetes, flags, &[ON, NODE]), expected, "{kubernetes}");
    }
    let of_the_file = pods("pod_metadata: true, pod_binding: enforce, node_name: node-3", &none, &[ON]);
    assert_eq!(of_the_file, settings("node-3", Binding::Enforce, true));
}

#[test]
fn a_warning_says_what_refuses_all_workloads_of_further_clusters() {
    let east = "clusters: [{name: east, issuer: \"https://east.test\", kubeconfig: /east}]";
    for (lines, expected) in [
        (format!("pod_binding: enforce, pod_metadata: true, {east}"), Some("kubernetes.pod_binding: enforce refuses")),
        (format!("pod_binding: warn, pod_metadata: true, {east}"), Some("kubernetes.pod_metadata refuses")),
        (format!("pod_binding: warn, {east}"), None),
        ("pod_binding: enforce".to_owned(), None),
    ] {
        let config = parse(&file(&lines), &Overrides::default(), &with(&[ON, NODE])).unwrap();
        let said = config.warnings.iter().find(|warning| warning.contains("kubernetes.clusters"));
        assert_eq!(said.is_some(), expected.is_some(), "{lines}: {said:?}");
        assert!(said.is_none_or(|said| said.starts_with(expected.unwrap())), "{lines}: {said:?}");
        let kubernetes = config.kubernetes.expect("on");
        assert_eq!(kubernetes.pods.expect("asked for").cluster, kubernetes.cluster, "{lines}");
        assert!(kubernetes.clusters.iter().all(|further| further.pods.is_none()), "{lines}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_says_how_to_set_the_node() {
    let none = Overrides::default();
    let need = "needs the name of the node that veilwarden runs on: set the variable VEILWARDEN_NODE_NAME by the downward \
                API (valueFrom: {fieldRef: {fieldPath: spec.nodeName}}), or kubernetes.node_name, or --node-name";
    let off = "needs Kubernetes authentication, which is off (kubernetes.enabled)";
    let bad = "is no name of a node: lower-case letters, digits, hyphens and dots";
    for (kubernetes, variables, expected) in [
        ("pod_binding: warn", &[ON][..], vec![format!("veilwarden.yaml:2:27: kubernetes.pod_binding: {need}")]),
        ("pod_metadata: true", &[ON], vec![format!("veilwarden.yaml:2:28: kubernetes.pod_metadata: {need}")]),
        (
            "pod_binding: enforce, pod_metadata: true",
            &[NODE],
            vec![
                format!("veilwarden.yaml:2:27: kubernetes.pod_binding: {off}"),
                format!("veilwarden.yaml:2:50: kubernetes.pod_metadata: {off}"),
            ],
        ),
        (
            "pod_binding: warn, node_name: \"n1,spec.x=y\"",
            &[ON],
            vec![format!("veilwarden.yaml:2:44: kubernetes.node_name: \"n1,spec.x=y\" {bad}")],
        ),
        (
            "pod_binding: warn",
            &[ON, ("VEILWARDEN_NODE_NAME", "$(NODE)")],
            vec![format!("VEILWARDEN_NODE_NAME: \"$(NODE)\" {bad}")],
        ),
        (
            "pod_binding: enforced",
            &[ON, NODE],
            vec![
                "veilwarden.yaml:2:27: kubernetes.pod_binding: unknown value \"enforced\"; did you mean \"enforce\"?"
                    .to_owned(),
            ],
        ),
        (
            "pod_metadata: {enabled: true}",
            &[ON, NODE],
            vec!["veilwarden.yaml:2:28: kubernetes.pod_metadata: expected true or false, found a mapping".to_owned()],
        ),
    ] {
        assert_eq!(wrong(&file(kubernetes), &none, &with(variables)), expected, "{kubernetes}");
    }
}
