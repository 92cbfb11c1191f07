//! Where a value comes from: flag, environment or file.

use super::*;

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
fn the_file_is_named_by_flag_then_variable_then_habit() {
    let none = |_: &str| None;
    let variable = |_: &str| Some("v.yaml".to_owned());
    assert_eq!(file_path(Some("f.yaml".into()), &variable), Path::new("f.yaml"));
    assert_eq!(file_path(None, &variable), Path::new("v.yaml"));
    assert_eq!(file_path(None, &none), Path::new("veilwarden.yaml"));
    let blank = |_: &str| Some("  ".to_owned());
    assert_eq!(file_path(None, &blank), Path::new("veilwarden.yaml"));
}

#[test]
fn r2_a_missing_file_says_what_to_do() {
    let mistakes = Config::load(Path::new("/nowhere/v.yaml"), &Overrides::default(), &laptop).expect_err("no file");
    assert_eq!(
        mistakes.to_string(),
        "/nowhere/v.yaml: there is no such file; name one with --config, or start with examples/minimal.yaml\n\
         1 mistake in the configuration; what it names (policies, certificates, secrets, files) is looked at when it is mended"
    );
}
