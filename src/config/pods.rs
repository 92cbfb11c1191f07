//! What `kubernetes.pod_binding`, `pod_metadata` and `node_name` mean.

use super::mistakes::{Report, quoted};
use super::overrides::Outside;
use super::place::Place;
use super::{clusters, raw};
use crate::authn::is_subdomain;
use crate::authn::pods::{Binding, Settings};

/// `None`: callers' pods are not looked at. `on`: whether Kubernetes authentication is on, without which there are none.
pub(super) fn pods(file: &raw::Kubernetes, on: bool, outside: &Outside, report: &mut Report) -> Option<Settings> {
    let binding = match file.pod_binding {
        raw::PodBinding::Off => Binding::Off,
        raw::PodBinding::Warn => Binding::Warn,
        raw::PodBinding::Enforce => Binding::Enforce,
    };
    let asking = [("kubernetes.pod_binding", binding != Binding::Off), ("kubernetes.pod_metadata", file.pod_metadata)];
    let asking: Vec<Place> = asking.into_iter().filter(|(_, on)| *on).map(|(key, _)| Place::of(key)).collect();
    let first = asking.first()?;
    if !on {
        for place in &asking {
            report.add(place, "needs Kubernetes authentication, which is off (kubernetes.enabled)");
        }
        return None;
    }
    let given =
        outside.or_file("--node-name", outside.flags.node_name.as_deref(), "kubernetes.node_name", &file.node_name);
    if given.value.is_empty() {
        report.add(
            first,
            "needs the name of the node that veilwarden runs on: set the variable VEILWARDEN_NODE_NAME by the downward \
             API (valueFrom: {fieldRef: {fieldPath: spec.nodeName}}), or kubernetes.node_name, or --node-name",
        );
        return None;
    }
    if !is_subdomain(&given.value) {
        let message =
            format!("{} is no name of a node: lower-case letters, digits, hyphens and dots", quoted(&given.value));
        report.add(&given.from, message);
        return None;
    }
    let refusing = match binding {
        Binding::Enforce => Some("kubernetes.pod_binding: enforce"),
        Binding::Warn | Binding::Off => file.pod_metadata.then_some("kubernetes.pod_metadata"),
    };
    if let Some(key) = refusing.filter(|_| !file.clusters.is_empty()) {
        report.warn(&format!("{key} refuses every workload of kubernetes.clusters: its pod is not on this node"));
    }
    let cluster = clusters::own_name(file);
    Some(Settings { cluster, node_name: given.value, binding, metadata: file.pod_metadata })
}
