//! Whether a call comes from the pod that its token names.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::Settings;
use super::index::Answer;
use super::object::Pod;
use crate::authn::{DEFAULT_CLUSTER, Source, Workload};

/// Why a call does not come from its token's pod. The words go to the log; callers are told no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A token of another cluster than ours, whose pods are not on our node.
    OtherCluster { cluster: String },
    /// A token from a legacy Secret, or from a TokenRequest without `boundObjectRef`.
    NoPod,
    /// No pod of this node has this uid, namespace and name.
    UnknownPod { pod: String, node: String },
    /// The pod has other addresses.
    WrongAddress { pod: String, expected: Vec<IpAddr>, found: Source },
}

/// What was found about the token's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Pod(Arc<Pod>),
    Not(Refusal),
    /// Nobody can tell now; the text says why.
    Unsure(Arc<str>),
}

/// Which pod the token is bound to, by uid, namespace and name. A pod that was made again under its old name is another
/// one, and has another uid.
pub fn find(workload: &Workload, settings: &Settings, look_up: impl FnOnce(&str) -> Answer<Pod>) -> Found {
    // First: its names, that of its namespace too, mean nothing here.
    if workload.cluster != settings.cluster {
        let cluster = workload.cluster.clone().unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
        return Found::Not(Refusal::OtherCluster { cluster });
    }
    let node = &settings.node_name;
    let (Some(name), Some(uid)) = (&workload.pod_name, &workload.pod_uid) else { return Found::Not(Refusal::NoPod) };
    let unknown = || Refusal::UnknownPod { pod: format!("{}/{name}", workload.namespace), node: node.clone() };
    if is_elsewhere(workload, settings) {
        return Found::Not(unknown());
    }
    match look_up(uid) {
        Answer::Known(pod) if pod.namespace == workload.namespace && pod.name == *name => Found::Pod(pod),
        Answer::Known(_) | Answer::Absent => Found::Not(unknown()),
        Answer::Unsure(why) => Found::Unsure(why),
    }
}

/// Whether the token itself says that its pod is in another cluster or on another node. Older API servers do not tell the
/// node.
pub fn is_elsewhere(workload: &Workload, settings: &Settings) -> bool {
    workload.cluster != settings.cluster || workload.node_name.as_ref().is_some_and(|node| *node != settings.node_name)
}

/// Whether `peer` is one of the pod's addresses. A pod in the host's network may also come over loopback: the listener
/// is then in the same network, which is all that the host's addresses say either. A Unix socket has no addresses.
pub fn compare(pod: &Pod, peer: Source) -> Result<(), Refusal> {
    let is_the_pods = |ip| pod.addresses.contains(&ip) || (pod.host_network && ip.is_loopback());
    if peer.ip().is_some_and(is_the_pods) {
        return Ok(());
    }
    let name = format!("{}/{}", pod.namespace, pod.name);
    Err(Refusal::WrongAddress { pod: name, expected: pod.addresses.clone(), found: peer })
}

impl Refusal {
    /// A label for metrics, from a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::OtherCluster { .. } => "other_cluster",
            Refusal::NoPod => "no_pod",
            Refusal::UnknownPod { .. } => "unknown_pod",
            Refusal::WrongAddress { .. } => "wrong_address",
        }
    }

    /// What the caller can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Refusal::OtherCluster { .. } => "call the proxy of your pod's own cluster, on the pod's own node",
            Refusal::NoPod => {
                "send a token that is bound to your pod: the file of a projected serviceAccountToken volume, not the \
                 token of a Secret"
            }
            Refusal::UnknownPod { .. } => {
                "call the proxy on your pod's own node, with the token of a pod that is running"
            }
            Refusal::WrongAddress { .. } => "a token is good only in calls from the pod that it was issued to",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::OtherCluster { cluster } => {
                write!(f, "its pod is one of the cluster `{cluster}`, not of this node")
            }
            Refusal::NoPod => f.write_str("it is not bound to a pod"),
            Refusal::UnknownPod { pod, node } => write!(f, "its pod {pod} is not known on node {node}"),
            Refusal::WrongAddress { pod, expected, found } => {
                write!(f, "it is that of pod {pod}, whose addresses are {expected:?}, and the call comes from {found}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::pods::Binding;
    use crate::authn::pods::tests::{settings, workload};

    fn pod(addresses: &[&str], host_network: bool) -> Pod {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Pod { namespace: "prod".into(), name: "api-1".into(), addresses, host_network, ..Pod::default() }
    }

    #[test]
    fn a_peer_is_compared_with_all_addresses_of_the_pod() {
        let both = ["10.244.1.7", "fd00:10::7"];
        for (addresses, host_network, peer, good) in [
            (&both[..], false, "10.244.1.7", true),
            (&both, false, "::ffff:10.244.1.7", true),
            (&both, false, "fd00:10::7", true),
            (&both, false, "fd00:10:0:0:0:0:0:7", true),
            (&both, false, "10.244.1.8", false),
            (&both, false, "::ffff:10.244.1.8", false),
            (&both, false, "fd00:10::8", false),
            (&both, false, "::10.244.1.7", false),
            (&both, false, "127.0.0.1", false),
            (&both, false, "::1", false),
            (&["::ffff:10.244.1.7"], false, "10.244.1.7", false),
            (&[], false, "0.0.0.0", false),
            (&["192.0.2.10"], true, "192.0.2.10", true),
            (&["192.0.2.10"], true, "127.0.0.1", true),
            (&["192.0.2.10"], true, "::1", true),
            (&["192.0.2.10"], true, "::ffff:127.0.0.1", true),
            (&["192.0.2.10"], true, "192.0.2.11", false),
            (&["192.0.2.10"], true, "10.244.1.7", false),
        ] {
            let compared = compare(&pod(addresses, host_network), peer.parse::<IpAddr>().unwrap().into());
            assert_eq!(compared.is_ok(), good, "{addresses:?} {host_network} {peer}: {compared:?}");
        }
    }

    #[test]
    fn a_pod_is_known_by_uid_namespace_and_name_together() {
        let known = Arc::new(pod(&["10.0.0.1"], false));
        let answer = Answer::Known(known.clone());
        let unsure: Arc<str> = "RBAC".into();
        let other_cluster = Found::Not(Refusal::OtherCluster { cluster: "east".into() });
        let unknown = |pod: &str| Found::Not(Refusal::UnknownPod { pod: pod.into(), node: "node-1".into() });
        for (change, answer, expected) in [
            ((|_| ()) as fn(&mut Workload), answer.clone(), Found::Pod(known)),
            (|w| w.node_name = None, answer.clone(), Found::Pod(Arc::new(pod(&["10.0.0.1"], false)))),
            (|w| w.node_name = Some("node-2".into()), answer.clone(), unknown("prod/api-1")),
            (|w| w.cluster = Some("east".into()), answer.clone(), other_cluster.clone()),
            (|w| (w.cluster, w.pod_uid) = (Some("east".into()), None), Answer::Unsure(unsure.clone()), other_cluster),
            (|w| w.namespace = "other".into(), answer.clone(), unknown("other/api-1")),
            (|w| w.pod_name = Some("api-2".into()), answer.clone(), unknown("prod/api-2")),
            (|w| w.pod_name = None, answer.clone(), Found::Not(Refusal::NoPod)),
            (|w| w.pod_uid = None, answer, Found::Not(Refusal::NoPod)),
            (|_| (), Answer::Absent, unknown("prod/api-1")),
            (|_| (), Answer::Unsure(unsure.clone()), Found::Unsure(unsure.clone())),
            (|w| w.pod_name = None, Answer::Unsure(unsure), Found::Not(Refusal::NoPod)),
        ] {
            let mut workload = workload();
            change(&mut workload);
            assert_eq!(find(&workload, &settings(Binding::Enforce, false), |_| answer), expected);
        }
    }

    #[test]
    fn no_uid_stands_for_an_address() {
        let compared = compare(&pod(&["192.0.2.10"], true), Source::Unix { uid: 0 });
        assert_eq!(compared.unwrap_err().label(), "wrong_address");
    }

    #[test]
    fn the_log_names_the_addresses_and_the_caller_is_told_none() {
        let refusal =
            compare(&pod(&["10.244.1.7"], false), "10.244.1.8".parse::<IpAddr>().unwrap().into()).unwrap_err();
        let text = refusal.to_string();
        for part in ["prod/api-1", "10.244.1.7", "10.244.1.8"] {
            assert!(text.contains(part) && !refusal.hint().contains(part), "{text}");
        }
    }
}
