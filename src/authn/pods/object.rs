//! What is kept of a pod and of a namespace (`v1` `Pod`, `v1` `Namespace`).

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::texts::Texts;

/// What an object weighs beside its texts: keys, counters, the map's own room.
const OWN_WEIGHT: usize = 512;

/// An object as the API server sends it: the few fields that are read; all others are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Object {
    pub metadata: ObjectMeta,
    pub spec: Spec,
    pub status: Status,
}

/// `metav1.ObjectMeta`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectMeta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub labels: Option<Texts>,
    pub annotations: Option<Texts>,
}

/// `v1.PodSpec`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    pub node_name: Option<String>,
    pub host_network: Option<bool>,
}

/// `v1.PodStatus`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub phase: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "addresses")]
    pub pod_ips: Vec<IpAddr>,
}

/// `[{"ip": "10.0.0.1"}, …]`. A pod has one address of a family; what is no address matches no caller.
fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    const MOST: usize = 8;
    #[derive(Deserialize)]
    struct PodIp {
        #[serde(default)]
        ip: String,
    }
    let listed: Option<Vec<PodIp>> = Option::deserialize(deserializer)?;
    let parsed = listed.unwrap_or_default().into_iter().filter_map(|address| address.ip.parse::<IpAddr>().ok());
    Ok(parsed.map(|ip| ip.to_canonical()).take(MOST).collect())
}

/// A kind of object that can be watched.
pub trait Kind: Sized + Send + Sync + 'static {
    /// The path of its collection.
    const PATH: &'static str;
    /// In the log.
    const NOUN: &'static str;
    /// The ClusterRole that grants `list` and `watch`, and the component of `deploy/kubernetes` that has it.
    const ROLE: &'static str;
    const COMPONENT: &'static str;

    /// The key to find it by, from the same object that [`Kind::of`] is given.
    fn key(meta: &ObjectMeta) -> &str;
    /// What is kept; `None`: nothing, it counts as deleted.
    fn of(object: Object, metadata: bool) -> Option<Self>;
    /// The memory it holds, about, in bytes.
    fn weight(&self) -> usize;
}

/// A pod that may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// `status.podIPs`, IPv4 also when mapped into IPv6; empty until the kubelet has told them.
    pub addresses: Vec<IpAddr>,
    pub host_network: bool,
    /// Empty when `pod_metadata` is off.
    pub labels: Arc<Texts>,
    pub annotations: Arc<Texts>,
}

impl Kind for Pod {
    const PATH: &'static str = "/api/v1/pods";
    const NOUN: &'static str = "pods";
    const ROLE: &'static str = "veilwarden-pods";
    const COMPONENT: &'static str = "pod-watch";

    fn key(meta: &ObjectMeta) -> &str {
        &meta.uid
    }

    /// A pod that has ended is not kept: it calls nobody, and its address may already be another pod's.
    fn of(object: Object, metadata: bool) -> Option<Pod> {
        let Object { metadata: meta, spec, status } = object;
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return None;
        }
        let kept = |texts: Option<Texts>| Arc::new(texts.filter(|_| metadata).unwrap_or_default());
        Some(Pod {
            namespace: meta.namespace,
            name: meta.name,
            addresses: status.pod_ips,
            host_network: spec.host_network.unwrap_or_default(),
            labels: kept(meta.labels),
            annotations: kept(meta.annotations),
        })
    }

    fn weight(&self) -> usize {
        OWN_WEIGHT + self.labels.bytes() + self.annotations.bytes()
    }
}

/// A namespace, for its labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    pub labels: Arc<Texts>,
}

impl Kind for Namespace {
    const PATH: &'static str = "/api/v1/namespaces";
    const NOUN: &'static str = "namespaces";
    const ROLE: &'static str = "veilwarden-namespaces";
    const COMPONENT: &'static str = "pod-metadata";

    fn key(meta: &ObjectMeta) -> &str {
        &meta.name
    }

    fn of(object: Object, _: bool) -> Option<Namespace> {
        Some(Namespace { labels: Arc::new(object.metadata.labels.unwrap_or_default()) })
    }

    fn weight(&self) -> usize {
        OWN_WEIGHT + self.labels.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(object: Value, metadata: bool) -> Option<Pod> {
        Pod::of(serde_json::from_value(object).unwrap(), metadata)
    }

    #[test]
    fn the_fields_that_are_needed_are_kept_and_no_others() {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "api-1", "namespace": "prod", "uid": "u", "resourceVersion": "7", "labels": {"app": "api"},
                "annotations": {"team": "a"}, "managedFields": [{"manager": "x"}]},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "env": []}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}, {"ip": "::ffff:10.0.0.2"}, {"ip": "x"}, {}]},
        });
        let whole = pod(object.clone(), true).unwrap();
        assert_eq!((whole.namespace.as_str(), whole.name.as_str(), whole.host_network), ("prod", "api-1", false));
        let addresses: Vec<String> = whole.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1", "fd00::1", "10.0.0.2"]);
        assert_eq!(*whole.labels, Texts::Whole([("app".to_owned(), "api".to_owned())].into()));
        let bare = pod(object, false).unwrap();
        assert_eq!((&*bare.labels, &*bare.annotations), (&Texts::default(), &Texts::default()));
        assert!(whole.weight() > bare.weight());
    }

    #[test]
    fn a_pod_that_has_ended_is_not_kept() {
        for (phase, kept) in
            [("Pending", true), ("Running", true), ("Unknown", true), ("Succeeded", false), ("Failed", false)]
        {
            let object = json!({"metadata": {"name": "a", "uid": "u"}, "status": {"phase": phase, "podIPs": null}});
            assert_eq!(pod(object, true).is_some(), kept, "{phase}");
        }
    }
}
