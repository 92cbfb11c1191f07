//! One row for each mistake, with the exact line that is printed.

use proptest::prelude::*;

use super::*;

mod keys;
mod routes;

/// `text` stands behind the least that a file must say, so it begins in line 2.
fn rejected(text: &str, expected: &str) {
    let whole = format!("{ROUTE}{text}");
    let lines = wrong(&whole, &Overrides::default(), &laptop);
    let expected: Vec<String> = expected.lines().map(|line| format!("veilwarden.yaml:{line}")).collect();
    assert_eq!(lines, expected, "{text}");
}

/// `text` is the whole file.
fn rejected_whole(text: &str, expected: &str) {
    assert_eq!(wrong(text, &Overrides::default(), &laptop), expected.lines().collect::<Vec<_>>(), "{text}");
}

/// `text` is the inside of one route.
fn rejected_route(text: &str, expected: &str) {
    let whole = format!("secrets: [{{id: K, value: v}}]\nroutes:\n  - {text}\n");
    let lines = wrong(&whole, &Overrides::default(), &laptop);
    assert_eq!(lines, [format!("veilwarden.yaml:{expected}")], "{text}");
}

#[test]
fn l07_what_is_not_yaml_is_refused_with_its_line() {
    for (text, expected) in [
        ("a: [", "veilwarden.yaml:1:4: not valid YAML: unclosed bracket '['"),
        ("routes:\n\t- x", "veilwarden.yaml:2:2: not valid YAML: tabs disallowed"),
        ("a: 1\n---\nb: 2\n", "veilwarden.yaml:2:1: a second YAML document; the configuration is one document"),
        ("a: *nowhere\n", "veilwarden.yaml:1:4: not valid YAML: "),
        (
            "routes:\n  - upstream_host: *.a.test\n",
            "veilwarden.yaml:2:20: not valid YAML: while parsing node, found unknown anchor; a text that begins with * stands \
             in quotes",
        ),
        ("a: &a [*a]\n", "veilwarden.yaml:1:8: an alias inside the value that it names"),
        ("a: !Ref x\n", "veilwarden.yaml:1:9: YAML tags are not used in this file"),
        ("? [a]\n: b\n", "veilwarden.yaml:1:3: a key must be a plain name"),
        ("%YAML 1.1\n---\na: b\n", "veilwarden.yaml:1:1: not valid YAML: "),
    ] {
        let lines = wrong(text, &Overrides::default(), &laptop);
        assert!(lines.len() == 1 && lines[0].starts_with(expected), "{text:?}: {lines:?}");
    }
    for text in ["[a]", "text", "7"] {
        assert!(wrong(text, &Overrides::default(), &laptop)[0].contains("1:1: expected a mapping, found"), "{text}");
    }
}

#[test]
fn l07_a_file_that_aliases_blow_up_is_refused_in_time() {
    let mut bomb = "a0: &a0 [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n".to_owned();
    for n in 1..40 {
        bomb += &format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1);
    }
    let lines = wrong(&bomb, &Overrides::default(), &laptop);
    assert!(lines.len() == 1 && lines[0].ends_with("aliases make this file too large"), "{lines:?}");
    let mut deep = "a0: &a0 [x]\n".to_owned();
    for n in 1..100 {
        deep += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
    }
    let lines = wrong(&deep, &Overrides::default(), &laptop);
    assert!(lines.len() == 1 && lines[0].ends_with("aliases nest too deeply"), "{lines:?}");
    assert_eq!(wrong(&"[".repeat(10_000), &Overrides::default(), &laptop).len(), 1);
    assert_eq!(wrong(&"- ".repeat(10_000), &Overrides::default(), &laptop).len(), 1);
}

#[test]
fn secrets_that_mean_nothing_are_refused() {
    for (text, expected) in [
        ("secrets: [{value: v}]\n", "2:11: secrets[0]: the key \"id\" is missing"),
        ("secrets: [{id: \"\", value: v}]\n", "2:16: secrets[0].id: must not be empty"),
        ("secrets: [{id: A}]\n", "2:11: secrets[0]: needs a source: one of value, env, file or doppler"),
        (
            "secrets: [{id: A, value: v, env: E}]\n",
            "2:11: secrets[0]: has 2 sources (value, env) and needs exactly one",
        ),
        (
            "secrets: [{id: A, value: v}, {id: A, env: E}]\n",
            "2:35: secrets[1].id: duplicate id \"A\"; it already stands in secrets[0]",
        ),
        ("secrets: [{id: A, value: \" \"}]\n", "2:26: secrets[0].value: must not be empty"),
        ("secrets: [{id: A, value: \"a\\nb\"}]\n", "2:26: secrets[0].value: must not hold a line break or NUL"),
        ("secrets: [{id: A, env: \"A=B\"}]\n", "2:24: secrets[0].env: not the name of an environment variable"),
        ("secrets: [{id: A, file: \"\"}]\n", "2:25: secrets[0].file: must not be empty"),
        ("secrets: [{id: A, doppler: {}}]\n", "2:28: secrets[0].doppler: the key \"name\" is missing"),
        (
            "secrets: [{id: A, doppler: {name: N}}]\n",
            "2:19: secrets[0].doppler: needs a Doppler token: VEILWARDEN_DOPPLER_TOKEN, DOPPLER_TOKEN, or secret_stores.doppler.token_file",
        ),
        (
            "secret_stores: {doppler: {base_url: \"http://d.test\"}}\n",
            "2:37: secret_stores.doppler.base_url: plain http is only for loopback; use https",
        ),
        (
            "secret_stores: {doppler: {token_file: /nowhere/token}}\n",
            "2:39: secret_stores.doppler.token_file: cannot read /nowhere/token: there is no such file",
        ),
    ] {
        rejected(text, expected);
    }
}

#[test]
fn addresses_and_policies_that_mean_nothing_are_refused() {
    for (text, expected) in [
        ("listen: []\n", "2:1: listen: needs at least one address"),
        (
            "listen: unix:v.sock\n",
            "2:9: listen: \"unix:v.sock\" needs an absolute path such as unix:/run/veilwarden.sock",
        ),
        ("listen: ['unix:/run/v', 'unix:/run/v']\n", "2:25: listen[1]: unix:/run/v is listed twice"),
        (
            "admin_listen: unix:/run/v\n",
            "2:15: admin_listen: only listen takes a Unix socket; give an IP address and port",
        ),
        ("listen_tls: {cert_file: a}\n", "2:25: listen_tls.cert_file: needs key_file beside it"),
        ("listen_tls: {key_file: a}\n", "2:24: listen_tls.key_file: needs cert_file beside it"),
        (
            "listen_tls: {client_ca_file: a}\n",
            "2:30: listen_tls.client_ca_file: needs cert_file and key_file beside it",
        ),
        ("listen: [127.0.0.1:1, 127.0.0.1:1]\n", "2:23: listen[1]: 127.0.0.1:1 is listed twice"),
        (
            "listen: localhost:8088\n",
            "2:9: listen: \"localhost:8088\" is not an IP address and port; did you mean \"127.0.0.1:8088\"?",
        ),
        (
            "listen: ['0.0.0.0:1', '[::]:1']\n",
            "2:23: listen[1]: [::]:1 and 0.0.0.0:1 cannot both be listened on, since one has the port of the other as well: choose another port, or remove one",
        ),
        (
            "listen: 0.0.0.0:9\nadmin_listen: 127.0.0.1:9\n",
            "3:15: admin_listen: 127.0.0.1:9 and 0.0.0.0:9 cannot both be listened on, since one has the port of the other as well: choose another port, or remove one",
        ),
        ("admin_listen: 127.0.0.1:8088\n", "2:15: admin_listen: 127.0.0.1:8088 is the address of listen"),
        ("allow_peers: [10.0.0.0/8, nobody]\n", "2:27: allow_peers[1]: \"nobody\" is not a network such as 10.0.0.0/8"),
        (
            "kubernetes: {api_server: \"http://k.test\"}\n",
            "2:26: kubernetes.api_server: plain http is only for loopback; use https",
        ),
        ("policy: {engine: opa}\n", "2:1: policy.policy_path: engine: opa needs the directory with the policies"),
        (
            "policy: {engine: opa, policy_path: p, decision_path: data.a.b}\n",
            "2:54: policy.decision_path: \"data.a.b\" is not a path to a rule; did you mean \"a/b\"?",
        ),
        (
            "session_secret_file: /nowhere/secret\nlog: {level: loud}\n",
            "3:14: log.level: unknown value \"loud\"; use debug, error, info, trace or warn",
        ),
    ] {
        rejected(text, expected);
    }
}

#[test]
fn every_mistake_of_a_file_is_printed_at_once() {
    let text = include_str!("many_mistakes.yaml");
    let env = with(&[("VEILWARDEN_SESSION_SECRET", "short"), ("VEILWARDEN_LISTEN", "8088"), ("DOPPLER_TOKEN", "")]);
    let flags = Overrides { otel_enabled: Some("true".to_owned()), ..Overrides::default() };
    let mistakes = parse(text, &flags, &env).expect_err("many mistakes");
    insta::assert_snapshot!(mistakes.to_string());
}

#[test]
fn no_secret_of_the_file_is_in_a_message() {
    let text = "secrets:\n  - {id: A, value: [canary-1]}\n  - {id: B, value: \"canary-2\\nx\"}\n  - {id: C, value: canary-3, env: E}\n  - canary-4\n  - {id: D, value: {canary: canary-5}}\nsession_secret: canary-6\n";
    for line in wrong(text, &Overrides::default(), &laptop) {
        assert!(!line.contains("canary-"), "{line}");
    }
}

/// Text that is nearly a configuration: keys and values of ours in any order and nesting.
fn nearly() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "routes",
        "secrets",
        "policy",
        "listen",
        "kubernetes",
        "upstream_host",
        "id",
        "value",
        "enabled",
        "timeout",
        "a.test",
        "true",
        "12",
        "~",
        "5s",
        "''",
        "\"{{secret}}\"",
        "opa",
        "&a",
        "*a",
        "!!str",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "- ",
        "\n",
        "\n  ",
        "? ",
        "<<",
        "|",
        ">",
        "#",
        "---",
        "unix:x",
        "secret_id",
        "user",
        "doppler",
        "limits",
        "max_headers",
        "-1",
        "é",
    ]);
    let joint = prop::sample::select(vec!["", " ", ": ", "\n", "\n  ", "\n- "]);
    prop::collection::vec((word, joint), 0..40)
        .prop_map(|words| words.into_iter().flat_map(|(word, joint)| [word, joint]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn l07_nearly_a_configuration_never_panics(text in nearly()) {
        for line in wrong(&text, &Overrides::default(), &laptop) {
            // A checked tree can always be read; the fallback for the opposite must never be needed.
            prop_assert!(!line.ends_with("not a configuration"), "{}\n{}", line, text);
        }
    }

    #[test]
    fn l07_no_text_makes_it_panic(text in any::<String>()) {
        let _ = wrong(&text, &Overrides::default(), &laptop);
    }

    #[test]
    fn l07_no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = wrong(&String::from_utf8_lossy(&bytes), &Overrides::default(), &laptop);
    }
}
