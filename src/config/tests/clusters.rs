//! How tokens are validated, and by which cluster.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::authn::{KubernetesSettings, ValidateMethod};

const EAST: &str = "{name: east, issuer: \"https://east.test\", kubeconfig: /east}";

fn kubernetes(lines: &str, flags: &Overrides) -> Config {
    let text = format!("{ROUTE}policy: {{}}\nkubernetes: {{enabled: true, {lines}}}\n");
    let env = with(&[("VEILWARDEN_K8S_ENABLED", ""), ("KUBECONFIG", "/home")]);
    parse(&text, flags, &env).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn settings(lines: &str) -> KubernetesSettings {
    kubernetes(lines, &Overrides::default()).kubernetes.expect("on")
}

#[test]
fn the_validate_method_comes_from_the_flag_then_the_file() {
    for (file, flag, method) in [
        ("tokenreview", None, ValidateMethod::TokenReview),
        ("jwks", None, ValidateMethod::Jwks),
        ("both", None, ValidateMethod::Both),
        ("both", Some("jwks"), ValidateMethod::Jwks),
        ("jwks", Some("tokenreview"), ValidateMethod::TokenReview),
        ("tokenreview", Some("both"), ValidateMethod::Both),
    ] {
        let flags = Overrides { k8s_validate_method: flag.map(str::to_owned), ..Overrides::default() };
        let config = kubernetes(&format!("validate_method: {file}"), &flags);
        assert_eq!(config.kubernetes.expect("on").validate_method, method, "{file} {flag:?}");
    }
}

#[test]
fn issuer_and_maximum_age_arrive_and_have_defaults() {
    let plain = settings("validate_method: jwks");
    assert_eq!((plain.issuer, plain.max_token_age), (None, Duration::from_secs(25 * 3600)));
    assert_eq!((plain.cluster, plain.clusters.len()), (None, 0));
    let given = settings("validate_method: jwks, issuer: \"https://i.test\", max_token_age: 1h");
    assert_eq!((given.issuer.as_deref(), given.max_token_age), (Some("https://i.test"), Duration::from_secs(3600)));
}

#[test]
fn a_maximum_age_that_counts_nowhere_is_warned_about() {
    for (lines, warned) in [
        ("max_token_age: 1h".to_owned(), true),
        ("max_token_age: 1h, validate_method: both".to_owned(), true),
        ("max_token_age: 1h, validate_method: jwks".to_owned(), false),
        (format!("max_token_age: 1h, clusters: [{}, validate_method: jwks}}]", EAST.trim_end_matches('}')), false),
        ("validate_method: both".to_owned(), false),
    ] {
        let warnings = kubernetes(&lines, &Overrides::default()).warnings;
        assert_eq!(warnings.iter().any(|warning| warning.contains("max_token_age")), warned, "{lines}: {warnings:?}");
    }
}

#[test]
fn a_further_cluster_follows_the_section_in_what_it_does_not_say() {
    let own = "{name: west, issuer: \"https://west.test\", api_server: \"https://10.0.0.9:6443/\", token_path: /t, ca_path: /c, \
               validate_method: tokenreview, audience: west, require_audience: false, max_token_age: 5m}";
    let all = settings(&format!(
        "validate_method: jwks, audience: ours, max_token_age: 2h, cache_ttl: 1m, token_path: /own, context: home, clusters: [{EAST}, {own}]"
    ));
    assert_eq!((all.cluster.as_deref(), all.kubeconfig.as_deref()), (Some("default"), Some("/home".as_ref())));
    let [east, west] = &all.clusters[..] else { panic!("{all:?}") };
    assert_eq!((east.cluster.as_deref(), east.issuer.as_deref()), (Some("east"), Some("https://east.test")));
    assert_eq!(
        (east.validate_method, east.audience.as_str(), east.require_audience),
        (ValidateMethod::Jwks, "ours", true)
    );
    assert_eq!((east.max_token_age, east.cache_ttl), (Duration::from_secs(7200), Duration::from_secs(60)));
    assert_eq!((east.kubeconfig.clone(), east.context.as_deref()), (Some(PathBuf::from("/east")), None));
    // Our own cluster's token is never shown to another one.
    assert_eq!((&east.token_path, &east.ca_path, &east.api_server), (&PathBuf::new(), &PathBuf::new(), &None));
    assert_eq!((west.validate_method, west.audience.as_str()), (ValidateMethod::TokenReview, "west"));
    assert_eq!((west.require_audience, west.max_token_age), (false, Duration::from_secs(300)));
    assert_eq!((west.kubeconfig.clone(), west.api_server.as_deref()), (None, Some("https://10.0.0.9:6443")));
    assert_eq!((west.token_path.clone(), west.ca_path.clone()), (PathBuf::from("/t"), PathBuf::from("/c")));
}

#[test]
fn every_mistake_of_a_cluster_is_said() {
    let text = "kubernetes:\n  issuer: https://i.test\n  clusters:\n\
                \x20 - {name: default, issuer: \"https://a.test\", kubeconfig: /a}\n\
                \x20 - {name: East, issuer: \"https://i.test\", kubeconfig: /a}\n\
                \x20 - {name: a, issuer: \"https://b.test\", api_server: \"https://b.test\", token_path: /t}\n\
                \x20 - {name: a, issuer: \"https://b.test\", context: x, api_server: b.test}\n\
                \x20 - {name: b, issuer: \"\", kubeconfig: /a, token_path: /t}\n\
                \x20 - {name: c, kubeconfig: /a, validate_method: offline, max_token_age: 0s, audience: \"\"}\n\
                \x20 - {name: d, issuer: \"https://d.test\", kubeconfig: /a, validate_method: null, cache_ttl: 1s}\n";
    let lines = wrong(text, &Overrides::default(), &laptop);
    insta::assert_snapshot!(lines.join("\n"));
}
