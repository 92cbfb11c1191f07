//! What a right file means, and what counts before what.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::policy::Settings;
use crate::redact::Redaction;
use crate::route::Scheme;
use crate::secrets::Source;

mod kubernetes;
mod sources;

pub(super) fn given(text: &str, flags: &Overrides, variables: &[(&str, &str)]) -> Config {
    parse(text, flags, &with(variables)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = good(ROUTE);
    assert_eq!(config.listen, [Endpoint::Tcp("127.0.0.1:8088".parse().expect("an address"))]);
    assert_eq!(config.admin_listen, Some("127.0.0.1:8089".parse().expect("an address")));
    assert!(config.allow_peers.is_empty() && config.kubernetes.is_none() && config.doppler.is_none());
    assert_eq!(config.session_secret.expect("from the variable").expose_secret(), SECRET);
    assert_eq!(config.cache.ttl, Duration::from_secs(300));
    assert_eq!(config.cache.max_stale, Duration::from_secs(900));
    let limits = Limits {
        gate: crate::gate::Limits {
            max_headers: 100,
            max_header_bytes: 65_536,
            max_target_bytes: 8192,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
        },
        max_connections: 4096,
        max_connections_per_peer: 1024,
        max_concurrent_requests: 1024,
        max_concurrent_requests_per_identity: NonZeroUsize::new(256),
        requests_per_second: None,
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(25),
    };
    assert_eq!(config.limits, limits);
    assert_eq!(config.audit, AuditSettings { output: AuditOutput::Stdout, when_full: WhenFull::Drop });
    assert_eq!(config.log, LogSettings { level: tracing::Level::INFO, format: LogFormat::Json });
    let route = &config.routes[0];
    assert_eq!((route.scheme, route.upstream_address), (Scheme::Https, None));
    assert!(route.injection.is_none() && !route.allow_encoded_slash && route.ca_file.is_none());
    assert_eq!((route.redaction, route.allow_range), (Redaction::Redact, false));
    assert_eq!(route.timeouts.connect, Duration::from_secs(5));
    assert_eq!(route.timeouts.first_byte, Duration::from_secs(120));
    assert_eq!(route.timeouts.idle, Duration::from_secs(300));
}

#[test]
fn a_whole_file_is_read() {
    let config = good(
        "listen: [127.0.0.1:1, '[::1]:2']\nadmin_listen: off\nallow_peers: [10.0.0.0/8]\n\
         user: {id: alice, email: a@b.c, org: eng}\n\
         secrets:\n- {id: A, value: some-value}\n- {id: B, env: E}\n- {id: C, file: /f}\n\
         routes:\n- upstream_host: API.test:8443\n  upstream_address: 127.0.0.1:9\n  upstream_scheme: http\n\
         \x20 secret_id: A\n  inject_header: Authorization\n  header_value_template: token {{secret}}\n\
         \x20 ca_file: /ca\n  allow_cidrs: [127.0.0.0/8]\n  allow_encoded_slash: true\n\
         \x20 redact: block\n  allow_range: true\n  timeouts: {idle: 1h30m}\n\
         policy: {engine: opa, policy_path: /p, timeout: 20ms}\n\
         audit: {output: /var/log/audit.jsonl, when_full: refuse}\nlog: {level: debug, format: text}\n",
    );
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.admin_listen, None);
    assert_eq!(config.user, User { id: "alice".into(), email: "a@b.c".into(), org: "eng".into() });
    assert!(
        matches!(&config.secrets[..], [(a, Source::Value(_)), (_, Source::Env(_)), (_, Source::File(_))] if a == "A")
    );
    let route = &config.routes[0];
    let injection = route.injection.as_ref().expect("an injection");
    assert_eq!((injection.secret_id.as_str(), injection.header.as_str()), ("A", "Authorization"));
    assert_eq!(injection.template, "token {{secret}}");
    assert_eq!(route.timeouts.idle, Duration::from_secs(5400));
    assert_eq!((route.redaction, route.allow_range), (Redaction::Block, true));
    let rego = Settings::Rego {
        policy_path: "/p".into(),
        decision_path: "veilwarden/authz/allow".to_owned(),
        timeout: Duration::from_millis(20),
    };
    assert_eq!(config.policy, rego);
    assert_eq!(config.audit.output, AuditOutput::File("/var/log/audit.jsonl".into()));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn standard_output_is_not_opened_by_its_path() {
    let text = format!("{ROUTE}policy: {{}}\naudit: {{output: /dev/stdout}}\n");
    assert_eq!(good(&text).audit.output, AuditOutput::Stdout);
}

#[test]
fn a_duration_of_nothing_needs_no_unit() {
    let config = good(&format!("{ROUTE}policy: {{default_allow: true}}\nlimits: {{drain_delay: 0}}\n"));
    assert_eq!(config.limits.drain_delay, Duration::ZERO);
}

#[test]
fn anchors_may_be_used() {
    let config =
        good("routes:\n- {upstream_host: a.test, timeouts: &t {idle: 7s}}\n- {upstream_host: b.test, timeouts: *t}\n");
    assert_eq!(config.routes[1].timeouts.idle, Duration::from_secs(7));
}

#[test]
fn an_editor_for_windows_may_have_written_the_file() {
    let text = format!("\u{feff}{ROUTE}log: {{format: text}}\n").replace('\n', "\r\n");
    assert_eq!(good(&text).log.format, LogFormat::Text);
}

#[test]
fn i13_without_the_keys_a_policy_section_denies() {
    for section in ["policy: {}\n", "policy:\n", "policy: {enabled: true}\n", "policy: {engine: config}\n"] {
        assert_eq!(good(&format!("{ROUTE}{section}")).policy, Settings::Fixed { default_allow: false }, "{section}");
    }
    assert_eq!(
        good(&format!("{ROUTE}policy: {{default_allow: true}}\n")).policy,
        Settings::Fixed { default_allow: true }
    );
}

#[test]
fn w19_allowing_everything_takes_consent_or_a_laptop_and_is_warned_about() {
    for text in [ROUTE.to_owned(), format!("{ROUTE}policy: {{enabled: false}}\n")] {
        let config = good(&text);
        assert_eq!(config.policy, Settings::Off);
        assert!(config.warnings[0].contains("every call that the routes allow"), "{:?}", config.warnings);
    }
    let kubernetes = with(&[("VEILWARDEN_K8S_ENABLED", "true")]);
    let lines = wrong(ROUTE, &Overrides::default(), &kubernetes);
    assert!(
        lines.len() == 1 && lines[0].starts_with("veilwarden.yaml: policy: Kubernetes authentication is on"),
        "{lines:?}"
    );
}

#[test]
fn r3_nothing_to_authenticate_with_names_every_way_out() {
    for secret in ["", "  "] {
        let lines = wrong(ROUTE, &Overrides::default(), &with(&[("VEILWARDEN_SESSION_SECRET", secret)]));
        assert_eq!(lines.len(), 1);
        for way in ["--session-secret", "VEILWARDEN_SESSION_SECRET", "openssl rand -base64 32", "--k8s-enabled=true"] {
            assert!(lines[0].contains(way), "{way}: {}", lines[0]);
        }
    }
}

#[test]
fn h38_a_short_secret_refuses_the_start_in_every_mode() {
    for kubernetes in ["true", "false"] {
        let variables = [("VEILWARDEN_SESSION_SECRET", "12345678"), ("VEILWARDEN_K8S_ENABLED", kubernetes)];
        let env = with(&variables);
        let lines = wrong(&format!("{ROUTE}policy: {{}}\n"), &Overrides::default(), &env);
        let expected = "VEILWARDEN_SESSION_SECRET: the session secret has 8 bytes and needs at least 16; \
                        `openssl rand -base64 32` makes one";
        assert_eq!(lines, [expected]);
    }
    let env = with(&[("VEILWARDEN_SESSION_SECRET", ""), ("VEILWARDEN_K8S_ENABLED", "true")]);
    let config = parse(&format!("{ROUTE}policy: {{}}\n"), &Overrides::default(), &env).expect("Kubernetes is enough");
    assert!(config.session_secret.is_none() && config.kubernetes.is_some());
}

#[test]
fn a_secret_too_short_to_be_searched_for_is_warned_about() {
    let values = "{id: A, value: seven77}, {id: B, value: eight888}, {id: C, value: ' seven77 '}";
    let text = format!("{ROUTE}policy: {{}}\nsecrets: [{values}]\n");
    let warning =
        |n: u8| format!("secrets[{n}].value: a secret of fewer than 8 bytes: answers are not searched for it");
    assert_eq!(good(&text).warnings, [warning(0), warning(2)]);
}

#[test]
fn w7_a_secret_on_the_command_line_is_warned_about() {
    let flags = Overrides {
        session_secret: Some(SECRET.into()),
        doppler_token: Some("dp.st.x".into()),
        doppler_project: some("p"),
        doppler_config: some("c"),
        ..Overrides::default()
    };
    let warnings = given(&format!("{ROUTE}policy: {{}}\n"), &flags, &[]).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.contains("in the process list")), "{warnings:?}");
}

#[test]
fn loopback_needs_no_consent_to_cleartext() {
    for route in [
        "{upstream_host: localhost:9, upstream_scheme: http}",
        "{upstream_host: echo.localhost, upstream_scheme: http}",
        "{upstream_host: \"*.dev.localhost\", upstream_scheme: http}",
        "{upstream_host: 127.0.0.1:9, upstream_scheme: http}",
        "{upstream_host: \"[::1]:9\", upstream_scheme: http}",
        "{upstream_host: api.test, upstream_scheme: http, upstream_address: 127.0.0.1:9}",
        "{upstream_host: api.test, upstream_scheme: http, allow_cleartext: true}",
    ] {
        good(&format!("routes: [{route}]\n"));
    }
}

#[test]
fn a_key_without_the_effect_it_seems_to_have_is_warned_about() {
    for (section, word) in [
        ("policy: {policy_path: /p}", "policy.engine is config and not opa"),
        ("policy: {engine: opa, policy_path: /p, default_allow: true}", "default_allow is not looked at"),
    ] {
        let warnings = good(&format!("{ROUTE}{section}\n")).warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(word), "{warnings:?}");
    }
}

#[test]
fn the_examples_are_right() {
    let laptop = [("VEILWARDEN_K8S_ENABLED", "false")];
    let cluster = [("VEILWARDEN_K8S_ENABLED", ""), ("KUBERNETES_SERVICE_HOST", "10.0.0.1")];
    for (name, variables) in [("veilwarden", &laptop[..]), ("minimal", &laptop), ("kubernetes", &cluster)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.yaml"));
        let config = Config::load(&path, &Overrides::default(), &with(variables))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert!(config.warnings.is_empty(), "{name}: {:?}", config.warnings);
        assert_eq!(config.kubernetes.is_some(), name == "kubernetes");
    }
}
