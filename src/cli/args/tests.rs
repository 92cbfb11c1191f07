use super::*;

fn typed(line: &str) -> Result<Command, clap::Error> {
    parse(std::iter::once("veilwarden").chain(line.split_whitespace()).map(OsString::from))
}

fn settings(line: &str) -> Settings {
    match typed(line) {
        Ok(Command::Serve(settings)) => settings,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal(line: &str) -> String {
    typed(line).expect_err(line).to_string().lines().next().unwrap_or_default().to_owned()
}

fn help(name: Option<&str>) -> String {
    let mut command = command().term_width(100);
    command.build();
    match name {
        None => command.render_long_help().to_string(),
        Some(name) => command.find_subcommand_mut(name).expect("a command").render_long_help().to_string(),
    }
}

#[test]
fn clap_finds_no_fault_in_the_definition() {
    command().debug_assert();
}

#[test]
fn serve_is_what_is_done_when_no_command_is_named() {
    assert_eq!(settings("").config, None);
    for line in [
        "--config a.yaml --listen 127.0.0.1:1 --listen 127.0.0.1:2",
        "serve --config=a.yaml --listen=127.0.0.1:1 --listen=127.0.0.1:2",
    ] {
        let settings = settings(line);
        assert_eq!(settings.config, Some(PathBuf::from("a.yaml")));
        assert_eq!(settings.overrides().listen, ["127.0.0.1:1", "127.0.0.1:2"]);
    }
    assert!(refusal("--config a.yaml check").contains("check"));
}

#[test]
fn r16_single_dashes_work_as_in_go() {
    let settings = settings("serve -config a.yaml -k8s-enabled=auto -user-id alice -otel-enabled");
    assert_eq!(settings.config, Some(PathBuf::from("a.yaml")));
    let overrides = settings.overrides();
    assert_eq!(overrides.k8s_enabled.as_deref(), Some("auto"));
    assert_eq!(overrides.user_id.as_deref(), Some("alice"));
    assert_eq!(overrides.otel_enabled.as_deref(), Some("true"));
    assert!(matches!(typed("demo -once"), Ok(Command::Demo(Demo { once: true, .. }))));
    assert!(matches!(typed("version -o json"), Ok(Command::Version(Version { output: OutputFormat::Json }))));
    assert!(refusal("-confg a.yaml").starts_with("error: unexpected argument"));
}

#[test]
fn every_flag_of_the_design_is_there() {
    let overrides = settings(
        "--listen 127.0.0.1:1 --admin-listen off --state-dir /s --session-secret aaaa --session-secret-file /f \
         --user-id i --user-email e --user-org o --k8s-enabled true --k8s-api-server https://k --k8s-validate-method jwks \
         --node-name n --doppler-token bbbb --doppler-base-url https://d --project p --config-name c --doppler-timeout 1s \
         --secret-cache-ttl 2m --otel-enabled=false --log-level debug",
    )
    .overrides();
    let text = format!("{overrides:?}");
    assert!(!text.contains("None"), "{text}");
    assert!(!text.contains("aaaa") && !text.contains("bbbb"), "a secret is printed: {text}");
}

#[test]
fn a_command_of_later_work_is_refused_by_name() {
    for line in ["policy test", "doctor --help"] {
        let name = line.split(' ').next().expect("a word");
        assert_eq!(refusal(line), format!("error: the command '{name}' is not supported yet"));
    }
}

#[test]
fn a_wrong_choice_names_the_right_ones() {
    let text = typed("--k8s-enabled maybe").expect_err("no such choice").to_string();
    assert!(text.contains("[possible values: auto, true, false]"), "{text}");
    assert_eq!(typed("--k8s-enabled maybe").expect_err("no such choice").exit_code(), 2);
    assert!(typed("serv").expect_err("no such command").to_string().contains("'serve'"));
}

#[test]
fn each_command_is_read() {
    assert!(matches!(typed("check --config f"), Ok(Command::Check(_))));
    assert!(matches!(typed("demo --kubeconfig f"), Ok(Command::Demo(Demo { once: false, kubeconfig: Some(_) }))));
    assert!(matches!(typed("echo --listen 127.0.0.1:0"), Ok(Command::Echo(Echo { listen: Some(_), .. }))));
    assert!(matches!(typed("completions bash"), Ok(Command::Completions(_))));
    assert!(matches!(typed("snippet pod"), Ok(Command::Snippet(Snippet::Pod(_)))));
    assert!(matches!(typed("snippet deployment --language go"), Ok(Command::Snippet(Snippet::Deployment(_)))));
    assert!(matches!(typed("ca export --config f"), Ok(Command::Ca(Ca::Export(_)))));
    assert!(matches!(typed("ca show --state-dir d"), Ok(Command::Ca(Ca::Show(_)))));
    assert!(matches!(typed("ca init --out-dir d"), Ok(Command::Ca(Ca::Init(_)))));
    assert!(refusal("ca init --out-dir d --state-dir e").contains("cannot be used with"));
    assert!(matches!(typed("config schema"), Ok(Command::ConfigSchema)));
}

#[test]
fn nothing_that_ends_a_quotation_gets_into_a_snippet() {
    for option in [
        "--audience a\"b",
        "--audience=",
        "--image a#b",
        "--service https://veilwarden",
        "--service http://a/b",
        "--service http://a@b",
        "--name My-App",
        "--name=-a",
        "--upstream a'b",
        "--path v1",
        "--path /'",
        "--path /$HOME",
        "--path /\"",
        "--path /\\",
        "--path /`id`",
    ] {
        assert!(refusal(&format!("snippet pod {option}")).starts_with("error: invalid value"), "{option}");
    }
    for option in ["--audience https://vw.example.com", "--path /v1/models?limit=3", "--upstream api.example.com:8443"]
    {
        assert!(typed(&format!("snippet pod {option}")).is_ok(), "{option}");
    }
}

#[test]
fn the_help_reads_well() {
    insta::assert_snapshot!("help", help(None));
    insta::assert_snapshot!("help_demo", help(Some("demo")));
}

#[test]
fn serve_and_check_name_the_variables_as_well() {
    for name in ["serve", "check"] {
        assert!(help(Some(name)).contains("[env: VEILWARDEN_K8S_ENABLED]"), "{name}");
    }
}
