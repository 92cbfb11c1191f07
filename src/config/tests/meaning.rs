//! What a right file means, and what counts before what.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::policy::Settings;
use crate::redact::Redaction;
use crate::route::Scheme;
use crate::secrets::Source;

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
fn w6_the_session_secret_comes_from_flag_then_variable_then_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("from-{name}-0123456789\n")).expect("written");
        path.display().to_string()
    };
    let key = format!("{ROUTE}session_secret_file: {}\n", file("key"));
    let variable_file = file("variable-file");
    let mut variables = vec![("VEILWARDEN_SESSION_SECRET", "")];
    let mut flags = Overrides::default();
    let secret = |flags: &Overrides, variables: &[(&str, &str)]| {
        given(&key, flags, variables).session_secret.expect("a secret").expose_secret().to_owned()
    };
    assert_eq!(secret(&flags, &variables), "from-key-0123456789");
    variables[0].1 = "from-variable-0123456789";
    assert_eq!(secret(&flags, &variables), "from-variable-0123456789");
    variables.push(("VEILWARDEN_SESSION_SECRET_FILE", &variable_file));
    assert_eq!(secret(&flags, &variables), "from-variable-file-0123456789");
    flags.session_secret = Some("from-flag-0123456789".into());
    assert_eq!(secret(&flags, &variables), "from-flag-0123456789");
    flags.session_secret_file = Some(file("flag-file"));
    assert_eq!(secret(&flags, &variables), "from-flag-file-0123456789");
}

#[test]
fn a_secret_too_short_to_be_searched_for_is_warned_about() {
    let text = format!("{ROUTE}policy: {{}}\nsecrets: [{{id: A, value: seven77}}, {{id: B, value: eight888}}]\n");
    let warning = "secrets[0].value: a secret of fewer than 8 bytes: answers are not searched for it";
    assert_eq!(good(&text).warnings, [warning]);
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

#[test]
fn r1_listen_comes_from_flags_then_variable_then_file() {
    let text = format!("{ROUTE}listen: 127.0.0.1:1\nadmin_listen: 127.0.0.1:2\n");
    let ports = |flags: &Overrides, variables: &[(&str, &str)]| {
        let config = given(&text, flags, variables);
        let listen: Vec<u16> = config.listen.iter().filter_map(|endpoint| Some(endpoint.address()?.port())).collect();
        (listen, config.admin_listen.map(|address| address.port()))
    };
    let variables = [("VEILWARDEN_LISTEN", "127.0.0.1:3, 127.0.0.1:4"), ("VEILWARDEN_ADMIN_LISTEN", "off")];
    assert_eq!(ports(&Overrides::default(), &[]), (vec![1], Some(2)));
    assert_eq!(ports(&Overrides::default(), &variables), (vec![3, 4], None));
    let flags = Overrides {
        listen: vec!["127.0.0.1:5".to_owned(), "127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()],
        admin_listen: some("127.0.0.1:6"),
        ..Overrides::default()
    };
    assert_eq!(ports(&flags, &variables), (vec![5, 0, 0], Some(6)));
}

#[test]
fn r4_to_r9_doppler_comes_from_flag_then_variables_then_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "dp.file\n").expect("written");
    let text = format!(
        "routes: [{{upstream_host: a.test, secret_id: ANY, inject_header: X, header_value_template: \"{{{{secret}}}}\"}}]\n\
         secret_stores: {{cache_ttl: 1m, doppler: {{token_file: {}, project: fp, config: fc, base_url: \"https://f/\", timeout: 1s}}}}\n",
        token_file.display()
    );
    let read = |flags: &Overrides, variables: &[(&str, &str)]| {
        let config = given(&text, flags, variables);
        let doppler = config.doppler.expect("on");
        let names = format!(
            "{} {:?} {:?} {}",
            doppler.token.expose_secret(),
            doppler.project,
            doppler.config,
            doppler.base_url
        );
        (names, doppler.timeout.as_secs(), config.cache.ttl.as_secs())
    };
    let file = ("dp.file Some(\"fp\") Some(\"fc\") https://f".to_owned(), 1, 60);
    assert_eq!(read(&Overrides::default(), &[]), file);
    let borrowed = [("DOPPLER_TOKEN", "dp.b"), ("DOPPLER_PROJECT", "bp"), ("DOPPLER_CONFIG", "bc")];
    assert_eq!(read(&Overrides::default(), &borrowed).0, "dp.b Some(\"bp\") Some(\"bc\") https://f");
    let mut own = borrowed.to_vec();
    own.extend([
        ("VEILWARDEN_DOPPLER_TOKEN", "dp.v"),
        ("VEILWARDEN_DOPPLER_PROJECT", "vp"),
        ("VEILWARDEN_DOPPLER_CONFIG", " "),
        ("VEILWARDEN_SECRET_CACHE_TTL", "2m"),
        ("VEILWARDEN_DOPPLER_TIMEOUT", "2s"),
    ]);
    assert_eq!(read(&Overrides::default(), &own), ("dp.v Some(\"vp\") Some(\"bc\") https://f".to_owned(), 2, 120));
    let flags = Overrides {
        doppler_token: Some("dp.flag".into()),
        doppler_project: some("flagp"),
        doppler_base_url: some("http://127.0.0.1:9/"),
        secret_cache_ttl: some("3m"),
        doppler_timeout: some("1.5s"),
        ..Overrides::default()
    };
    assert_eq!(read(&flags, &own), ("dp.flag Some(\"flagp\") Some(\"bc\") http://127.0.0.1:9".to_owned(), 1, 180));
}

#[test]
fn r47_a_doppler_token_needs_project_and_config() {
    let token = [("DOPPLER_TOKEN", "dp.x")];
    let lines = wrong(ROUTE, &Overrides::default(), &with(&token));
    assert_eq!(
        lines,
        [
            "veilwarden.yaml: secret_stores.doppler.project: a Doppler token needs a project: --doppler-project, \
             VEILWARDEN_DOPPLER_PROJECT, DOPPLER_PROJECT, or this key",
            "veilwarden.yaml: secret_stores.doppler.config: a Doppler token needs a config: --doppler-config, \
             VEILWARDEN_DOPPLER_CONFIG, DOPPLER_CONFIG, or this key",
        ]
    );
    let own = format!("{ROUTE}secrets: [{{id: A, doppler: {{project: p, config: c, name: N}}}}]\n");
    let config = given(&own, &Overrides::default(), &token);
    assert!(matches!(&config.secrets[0].1, Source::Doppler { project: Some(_), config: Some(_), name } if name == "N"));
    let half = format!("{ROUTE}secrets: [{{id: A, doppler: {{name: N}}}}]\n");
    assert_eq!(wrong(&half, &Overrides::default(), &with(&token)).len(), 2);
}

#[test]
fn r11_the_static_identity_comes_from_flag_then_variable_then_file() {
    let text = format!("{ROUTE}user: {{id: file, email: file@x, org: file}}\n");
    let flags = Overrides { user_id: some("flag"), ..Overrides::default() };
    let user = given(&text, &flags, &[("VEILWARDEN_USER_EMAIL", "env@x"), ("VEILWARDEN_USER_ID", "env")]).user;
    assert_eq!(user, User { id: "flag".into(), email: "env@x".into(), org: "file".into() });
}

#[test]
fn what_flags_and_variables_say_wrongly_is_said_by_their_names() {
    let flags = Overrides {
        listen: vec!["8088".to_owned()],
        otel_enabled: some("true"),
        k8s_validate_method: some("offline"),
        secret_cache_ttl: some("5"),
        doppler_timeout: some("0s"),
        ..Overrides::default()
    };
    let env = with(&[("VEILWARDEN_LOG_LEVEL", "loud"), ("VEILWARDEN_K8S_API_SERVER", "k.test")]);
    let mut lines = wrong(ROUTE, &flags, &env);
    lines.sort();
    assert_eq!(
        lines,
        [
            "--doppler-timeout: must be longer than 0s",
            "--k8s-validate-method: unknown value \"offline\"; use tokenreview, jwks or both",
            "--listen: \"8088\" is not an IP address and port such as 127.0.0.1:8088",
            "--otel-enabled: not supported yet",
            "--secret-cache-ttl: \"5\": a duration needs a unit; did you mean \"5s\"?",
            "VEILWARDEN_K8S_API_SERVER: \"k.test\" is not a URL such as https://service.example.com",
            "VEILWARDEN_LOG_LEVEL: unknown value \"loud\"; use error, warn, info, debug or trace",
        ]
    );
    let flags = Overrides { otel_enabled: some("false"), log_level: some("trace"), ..Overrides::default() };
    assert_eq!(given(ROUTE, &flags, &[]).log.level, tracing::Level::TRACE);
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
fn the_file_is_named_by_flag_then_variable_then_habit() {
    let none = |_: &str| None;
    let variable = |_: &str| Some("v.yaml".to_owned());
    assert_eq!(file_path(Some("f.yaml".into()), &variable), Path::new("f.yaml"));
    assert_eq!(file_path(None, &variable), Path::new("v.yaml"));
    assert_eq!(file_path(None, &none), Path::new("veilwarden.yaml"));
}

#[test]
fn r2_a_missing_file_says_what_to_do() {
    let mistakes = Config::load(Path::new("/nowhere/v.yaml"), &Overrides::default(), &laptop).expect_err("no file");
    assert_eq!(
        mistakes.to_string(),
        "/nowhere/v.yaml: there is no such file; name one with --config, or start with examples/minimal.yaml\n\
         1 mistake in the configuration"
    );
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
