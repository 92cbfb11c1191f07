//! When Kubernetes is on, and with which settings.

use super::*;

#[test]
fn r12_w16_the_switch_for_kubernetes() {
    let on = |file: &str, flag: Option<&str>, variables: &[(&str, &str)]| {
        let flags = Overrides { k8s_enabled: flag.map(str::to_owned), ..Overrides::default() };
        let text = format!("{ROUTE}policy: {{}}\nkubernetes: {{enabled: {file}, token_path: /nowhere/token}}\n");
        let mut all = variables.to_vec();
        all.push(("VEILWARDEN_K8S_ENABLED", ""));
        given(&text, &flags, &all).kubernetes.is_some()
    };
    let host = [("KUBERNETES_SERVICE_HOST", "10.0.0.1")];
    assert!(on("true", None, &[]) && on("\"true\"", None, &[]));
    assert!(!on("false", None, &host) && !on("\"false\"", None, &host));
    assert!(!on("auto", None, &[]) && on("auto", None, &host));
    // `auto` on the flag overrides the file, as any other value does.
    assert!(!on("true", Some("auto"), &[]) && on("false", Some("auto"), &host));
    assert!(on("false", Some("true"), &[]) && !on("true", Some("false"), &host));
    assert!(on("false", None, &[("VEILWARDEN_K8S_ENABLED", "true")]));
    assert!(!on("true", Some("false"), &[("VEILWARDEN_K8S_ENABLED", "true")]));
}

#[test]
fn r38_auto_looks_at_the_configured_token_path() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "t").expect("written");
    let text = format!("{ROUTE}policy: {{}}\nkubernetes: {{token_path: {}}}\n", token.display());
    assert!(given(&text, &Overrides::default(), &[("VEILWARDEN_K8S_ENABLED", "auto")]).kubernetes.is_some());
}

#[test]
fn w17_the_kubernetes_settings_arrive() {
    let text = format!(
        "{ROUTE}policy: {{}}\nkubernetes: {{enabled: true, api_server: \"https://k.test:6443/\", context: c, \
         require_audience: false, cache_ttl: 1m, max_reviews_per_second: 7}}\n"
    );
    let variables = [("VEILWARDEN_K8S_ENABLED", ""), ("KUBECONFIG", "/home/a/kubeconfig")];
    let config = given(&text, &Overrides::default(), &variables);
    let kubernetes = config.kubernetes.expect("on");
    assert_eq!(kubernetes.api_server.as_deref(), Some("https://k.test:6443"));
    assert_eq!(kubernetes.kubeconfig.as_deref(), Some(Path::new("/home/a/kubeconfig")));
    assert_eq!(kubernetes.context.as_deref(), Some("c"));
    assert_eq!((kubernetes.cache_ttl, kubernetes.max_reviews_per_second.get()), (Duration::from_secs(60), 7));
    assert_eq!((kubernetes.audience.as_str(), kubernetes.timeout), ("veilwarden", Duration::from_secs(2)));
    assert!(config.warnings[0].contains("require_audience is false"), "{:?}", config.warnings);

    let flags = Overrides { k8s_api_server: some("https://other.test"), ..Overrides::default() };
    let kubernetes = given(&text, &flags, &[("VEILWARDEN_K8S_ENABLED", "")]).kubernetes.expect("on");
    assert_eq!(kubernetes.api_server.as_deref(), Some("https://other.test"));
}

#[test]
fn an_unset_api_server_is_what_the_cluster_says() {
    let config = given(&format!("{ROUTE}policy: {{}}\n"), &Overrides::default(), &[("VEILWARDEN_K8S_ENABLED", "true")]);
    let kubernetes = config.kubernetes.expect("on");
    assert_eq!((kubernetes.api_server, kubernetes.kubeconfig, kubernetes.context), (None, None, None));
}
