//! The further clusters whose workloads may call.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::mistakes::Report;
use super::place::Place;
use super::{address, raw};
use crate::authn::{DEFAULT_CLUSTER, KubernetesSettings, ValidateMethod, is_label};

impl From<raw::ValidateMethod> for ValidateMethod {
    fn from(method: raw::ValidateMethod) -> ValidateMethod {
        match method {
            raw::ValidateMethod::Tokenreview => ValidateMethod::TokenReview,
            raw::ValidateMethod::Jwks => ValidateMethod::Jwks,
            raw::ValidateMethod::Both => ValidateMethod::Both,
        }
    }
}

/// How identities name the cluster of the section itself: only where there are others.
pub(super) fn own_name(section: &raw::Kubernetes) -> Option<String> {
    (!section.clusters.is_empty()).then(|| DEFAULT_CLUSTER.to_owned())
}

/// The entries of `kubernetes.clusters`. What they do not say is as in the section; `method` is the section's.
pub(super) fn clusters(
    section: &raw::Kubernetes,
    method: ValidateMethod,
    report: &mut Report,
) -> Vec<KubernetesSettings> {
    let places = || (0..).map(|index| Place::of("kubernetes.clusters").index(index));
    let mut names = BTreeMap::from([(DEFAULT_CLUSTER, "the cluster of the section itself")]);
    let mut issuers = BTreeMap::new();
    if !section.issuer.is_empty() {
        issuers.insert(section.issuer.as_str(), "kubernetes.issuer");
    }
    for (entry, place) in section.clusters.iter().zip(places()) {
        if !is_label(&entry.name) {
            report.add(&place.key("name"), "not a name of lower-case letters, digits and hyphens");
        } else if let Some(other) = names.insert(&entry.name, "another entry") {
            report.add(&place.key("name"), format!("{other} has this name"));
        }
        if let Some(other) = issuers.insert(&entry.issuer, "another entry") {
            report.add(
                &place.key("issuer"),
                format!(
                    "{other} has this issuer, and tokens are told apart by it (kube-apiserver --service-account-issuer)"
                ),
            );
        }
        check_way(entry, &place, report);
    }
    section
        .clusters
        .iter()
        .zip(places())
        .map(|(entry, place)| cluster(section, method, entry, &place, report))
        .collect()
}

/// There is no default here: what lies about in our surroundings are credentials for our own cluster.
fn check_way(entry: &raw::Cluster, place: &Place, report: &mut Report) {
    let files = [&entry.api_server, &entry.token_path, &entry.ca_path];
    let by_files = files.iter().all(|value| !value.is_empty());
    match (entry.kubeconfig.is_empty(), by_files) {
        (true, false) => {
            report.add(place, "there is no way to reach it: give kubeconfig, or api_server, token_path and ca_path");
        }
        (false, _) if !entry.token_path.is_empty() || !entry.ca_path.is_empty() => {
            report.add(&place.key("kubeconfig"), "cannot stand beside token_path and ca_path");
        }
        _ => {}
    }
    if entry.kubeconfig.is_empty() && !entry.context.is_empty() {
        report.add(&place.key("context"), "needs kubeconfig");
    }
}

fn cluster(
    section: &raw::Kubernetes,
    method: ValidateMethod,
    entry: &raw::Cluster,
    place: &Place,
    report: &mut Report,
) -> KubernetesSettings {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let api_server =
        given(&entry.api_server).and_then(|url| report.take(&place.key("api_server"), address::service_url(&url)));
    let require_audience = entry.require_audience.unwrap_or(section.require_audience);
    if !require_audience && section.require_audience {
        report.warn(&format!(
            "{place}.require_audience is false: whoever receives an ordinary token of that cluster's pods elsewhere can \
             spend it here"
        ));
    }
    KubernetesSettings {
        cluster: Some(entry.name.clone()),
        validate_method: entry.validate_method.map_or(method, Into::into),
        issuer: Some(entry.issuer.clone()),
        max_token_age: entry.max_token_age.unwrap_or(section.max_token_age).0,
        clusters: Vec::new(),
        api_server,
        kubeconfig: given(&entry.kubeconfig).map(PathBuf::from),
        context: given(&entry.context),
        token_path: entry.token_path.clone().into(),
        ca_path: entry.ca_path.clone().into(),
        audience: entry.audience.clone().unwrap_or_else(|| section.audience.clone()),
        require_audience,
        cache_ttl: section.cache_ttl.0,
        negative_cache_ttl: section.negative_cache_ttl.0,
        cache_entries: section.cache_entries,
        timeout: section.timeout.0,
        // `shape` lets no zero through; one review a second is what is left of it.
        max_reviews_per_second: section.max_reviews_per_second.try_into().unwrap_or(std::num::NonZeroU32::MIN),
        // Pods are watched on our own node, which is not in this cluster.
        pods: None,
    }
}
