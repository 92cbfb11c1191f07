//! One row for each mistake, with the exact line that is printed.

use proptest::prelude::*;

use super::*;

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
fn l07_unknown_and_duplicate_keys_are_refused_with_the_key_that_was_meant() {
    rejected("kubernets: {enabled: false}\n", "2:1: kubernets: unknown key; did you mean \"kubernetes\"?");
    rejected("colour: red\n", "2:1: colour: unknown key");
    rejected("audience: x\n", "2:1: audience: unknown key here; did you mean \"kubernetes.audience\"?");
    rejected("upstream_host: x\n", "2:1: upstream_host: unknown key here; did you mean \"routes[].upstream_host\"?");
    rejected("log: {level: info, level: debug}\n", "2:20: log.level: duplicate key; it already stands in line 2");
    rejected("routes: []\n", "2:1: routes: duplicate key; it already stands in line 1");
    rejected("log:\n  <<: {level: info}\n", "3:3: log.<<: merge keys are not supported; write the keys out");
    rejected_route(
        "{upstream_hots: a.test}",
        "3:6: routes[0].upstream_hots: unknown key; did you mean \"upstream_host\"?",
    );
    rejected_route(
        "{upstream_host: a.test, upstreamScheme: https}",
        "3:29: routes[0].upstreamScheme: unknown key; did you mean \"upstream_scheme\"?",
    );
}

#[test]
fn r44_to_r46_spellings_of_earlier_designs_name_the_right_key() {
    for (text, expected) in [
        (
            "session_secret: x\n",
            "2:1: session_secret: a secret does not stand in this file; use session_secret_file, or the variable VEILWARDEN_SESSION_SECRET",
        ),
        ("doppler: {project: x}\n", "2:1: doppler: moved; use secret_stores.doppler and secret_stores.cache_ttl"),
        ("proxy: {timeout_seconds: 300}\n", "2:1: proxy: moved; use listen, and timeouts in each route"),
        (
            "observability: {}\n",
            "2:1: observability: moved; use log and audit. Metrics are at /metrics on admin_listen; tracing is not supported yet",
        ),
        ("env_passthrough: [PATH]\n", "2:1: env_passthrough: not supported yet"),
        ("sandbox: {}\n", "2:1: sandbox: not supported yet"),
        ("policy: {default_action: deny}\n", "2:10: policy.default_action: renamed; use default_allow: true or false"),
        (
            "kubernetes: {jwks_cache_ttl: 1h}\n",
            "2:14: kubernetes.jwks_cache_ttl: not needed; keys are fetched every five minutes and kept for a day while that fails",
        ),
    ] {
        rejected(text, expected);
    }
    rejected_route("{host: a.test}", "3:6: routes[0].host: renamed; use upstream_host");
    rejected_route(
        "{upstream_host: a.test, secret_id: K, header_name: X-Key, header_value_template: \"{{secret}}\"}",
        "3:43: routes[0].header_name: renamed; use inject_header",
    );
    rejected_route(
        "{upstream_host: a.test, secret_id: K, inject_header: X-Key, inject_format: \"{{secret}}\"}",
        "3:65: routes[0].inject_format: renamed; use header_value_template",
    );
}

#[test]
fn wrong_types_are_refused() {
    for (text, expected) in [
        ("admin_listen: 8089\n", "2:15: admin_listen: expected a string, found a number; put it in quotes"),
        ("admin_listen: false\n", "2:15: admin_listen: expected a string, found a boolean; put it in quotes"),
        ("admin_listen: [a]\n", "2:15: admin_listen: expected a string, found a list"),
        ("admin_listen:\n", "2:13: admin_listen: has no value; give it one, or take the key out"),
        ("listen: 8088\n", "2:9: listen: expected a string or a list, found a number; put it in quotes"),
        ("listen: [127.0.0.1:0, 8088]\n", "2:23: listen[1]: expected a string, found a number; put it in quotes"),
        ("user: alice\n", "2:7: user: expected a mapping, found a string"),
        ("secrets: {A: b}\n", "2:10: secrets: expected a list, found a mapping; each entry starts with \"- \""),
        ("secrets: [A]\n", "2:11: secrets[0]: expected a mapping, found a string"),
        (
            "secrets: [{id: A, value: 12345}]\n",
            "2:26: secrets[0].value: expected a string, found a number; put it in quotes",
        ),
        ("policy: {enabled: yes}\n", "2:19: policy.enabled: expected true or false, found \"yes\"; did you mean true?"),
        ("policy: {enabled: perhaps}\n", "2:19: policy.enabled: expected true or false, found a string"),
        ("policy: {enabled: 1}\n", "2:19: policy.enabled: expected true or false, found a number"),
        ("policy: {engine: rego}\n", "2:18: policy.engine: unknown value \"rego\"; use config or opa"),
        ("policy: {engine: confg}\n", "2:18: policy.engine: unknown value \"confg\"; did you mean \"config\"?"),
        ("policy: {engine: [opa]}\n", "2:18: policy.engine: expected config or opa"),
        (
            "kubernetes: {enabled: maybe}\n",
            "2:23: kubernetes.enabled: unknown value \"maybe\"; use auto, false or true",
        ),
        ("kubernetes: {enabled: off}\n", "2:23: kubernetes.enabled: unknown value \"off\"; did you mean false?"),
        ("kubernetes: {enabled: 1}\n", "2:23: kubernetes.enabled: expected auto, false or true"),
        ("kubernetes: {audience: \"\"}\n", "2:24: kubernetes.audience: must not be empty"),
        ("kubernetes: {timeout: 2}\n", "2:23: kubernetes.timeout: a duration needs a unit; did you mean \"2s\"?"),
        ("kubernetes: {timeout: 0}\n", "2:23: kubernetes.timeout: must be longer than 0s"),
        ("kubernetes: {timeout: 0s}\n", "2:23: kubernetes.timeout: must be longer than 0s"),
        ("kubernetes: {timeout: soon}\n", "2:23: kubernetes.timeout: not a duration such as 30s, 5m or 1h30m"),
        ("limits: {max_headers: 0}\n", "2:23: limits.max_headers: must be between 1 and 1000"),
        ("limits: {max_connections: 0}\n", "2:27: limits.max_connections: must be between 1 and 1000000"),
        (
            "limits: {max_connections_per_peer: 0}\n",
            "2:36: limits.max_connections_per_peer: must be between 1 and 1000000",
        ),
        (
            "limits: {max_concurrent_requests: 0}\n",
            "2:35: limits.max_concurrent_requests: must be between 1 and 1000000",
        ),
        (
            "limits: {max_concurrent_requests_per_identity: -1}\n",
            "2:48: limits.max_concurrent_requests_per_identity: must be between 0 and 1000000",
        ),
        ("limits: {requests_per_second: 1000001}\n", "2:31: limits.requests_per_second: must be between 0 and 1000000"),
        ("limits: {max_headers: many}\n", "2:23: limits.max_headers: expected a whole number, found a string"),
        ("limits: {max_headers: 1.5}\n", "2:23: limits.max_headers: expected a whole number, found a number"),
        (
            "limits: {max_headers: 99999999999999999999}\n",
            "2:23: limits.max_headers: expected a whole number, found a number",
        ),
        (
            "log: {level: verbose}\n",
            "2:14: log.level: unknown value \"verbose\"; use debug, error, info, trace or warn",
        ),
        ("audit: {when_full: block}\n", "2:20: audit.when_full: unknown value \"block\"; use drop or refuse"),
        ("audit: {output: \"\"}\n", "2:17: audit.output: must not be empty"),
        (
            "audit: {output: stdot}\n",
            "2:17: audit.output: \"stdot\" looks like \"stdout\"; a file of that name is \"./stdot\"",
        ),
    ] {
        rejected(text, expected);
    }
    rejected_route(
        "{upstream_host: a.test, upstream_scheme: htps}",
        "3:46: routes[0].upstream_scheme: unknown value \"htps\"; did you mean \"https\"?",
    );
}

#[test]
fn keys_of_later_work_are_refused_and_their_defaults_are_not() {
    for (text, expected) in [
        ("secrets: [{id: A, command: [pass]}]\n", "2:28: secrets[0].command: not supported yet"),
        ("secrets: [{id: A, vault: {path: a, field: b}}]\n", "2:26: secrets[0].vault: not supported yet"),
        ("secrets: [{id: A, kubernetes: {name: a}}]\n", "2:31: secrets[0].kubernetes: not supported yet"),
        ("secret_stores: {vault: {address: \"https://v\"}}\n", "2:24: secret_stores.vault: not supported yet"),
        ("policy: {decision: object}\n", "2:20: policy.decision: \"object\" is not supported yet"),
        ("policy: {mode: audit}\n", "2:16: policy.mode: \"audit\" is not supported yet"),
        ("policy: {max_body_bytes: 1}\n", "2:26: policy.max_body_bytes: not supported yet"),
    ] {
        rejected(text, expected);
    }
    for (text, expected) in [
        ("{upstream_host: a.test, inject: [{header: X}]}", "3:37: routes[0].inject: not supported yet"),
        ("{upstream_host: a.test, secret_ids: [K]}", "3:41: routes[0].secret_ids: not supported yet"),
    ] {
        rejected_route(text, expected);
    }
    good(
        "state_dir: \"\"\nlisten_tls: {cert_file: \"\", key_file: \"\", client_ca_file: \"\"}\n\
         forward: {enabled: true, ca_cert_file: \"\", ca_key_file: \"\"}\n\
         secret_stores: {vault: {address: \"\", auth: {kubernetes: {mount: kubernetes, role: veilwarden}}}}\n\
         limits: {max_connections: 4096, max_connections_per_peer: 1024, max_concurrent_requests: 1024, max_concurrent_requests_per_identity: 0, requests_per_second: 0}\n\
         policy: {decision: boolean, mode: enforce, max_body_bytes: 65536}\n\
         routes: [{upstream_host: a.test, secret_ids: [], inject: [], caller_slots: [], local_name: \"\", relay: false, \
         redact: redact, allow_range: false}]\n",
    );
}

#[test]
fn l07_routes_that_mean_nothing_are_refused() {
    for (text, expected) in [
        (
            "{upstream_host: a.test, secret_id: K, inject_header: X, header_value_template: \"{{secret}}\", relay: true}",
            "3:105: routes[0].relay: passes TLS through untouched, so no secret can be put in: remove one of relay and secret_id",
        ),
        (
            "{upstream_host: a.test, upstream_http2: true, websocket: true}",
            "3:62: routes[0].websocket: needs HTTP/1.1 to the upstream, and upstream_http2: true speaks nothing but HTTP/2",
        ),
        (
            "{upstream_host: \"*.test\"}",
            "3:21: routes[0].upstream_host: \"*.test\" is not a host: behind \"*.\" stands a domain of at least two labels, \
             which should be wholly yours: write *.example.com, or each host by itself",
        ),
        (
            "{upstream_host: \"*.a.test\", local_name: a}",
            "3:45: routes[0].local_name: a URL with this name would not say which of the wildcard's hosts is meant: remove \
             local_name, or give that host a route of its own",
        ),
        (
            "{upstream_host: \"*.a.test\", upstream_scheme: http}",
            "3:50: routes[0].upstream_scheme: sends calls and secrets in cleartext; use https, or allow it with \
             allow_cleartext: true",
        ),
        ("{upstream_scheme: https}", "3:5: routes[0]: the key \"upstream_host\" is missing"),
        ("{upstream_host: \"\"}", "3:21: routes[0].upstream_host: must not be empty"),
        (
            "{upstream_host: \"https://a.test/v1\"}",
            "3:21: routes[0].upstream_host: is a host without a scheme; did you mean \"a.test\"?",
        ),
        (
            "{upstream_host: a.test/v1}",
            "3:21: routes[0].upstream_host: \"a.test/v1\" is not a host; a host has no path and no user",
        ),
        (
            "{upstream_host: a.test, secret_id: K}",
            "3:40: routes[0].secret_id: needs inject_header and header_value_template beside it",
        ),
        (
            "{upstream_host: a.test, inject_header: X, header_value_template: \"{{secret}}\"}",
            "3:44: routes[0].inject_header: needs secret_id beside it",
        ),
        (
            "{upstream_host: a.test, secret_id: k, inject_header: X, header_value_template: \"{{secret}}\"}",
            "3:40: routes[0].secret_id: no entry of secrets has the id \"k\"; did you mean \"K\"?",
        ),
        (
            "{upstream_host: a.test, secret_id: OTHER, inject_header: X, header_value_template: \"{{secret}}\"}",
            "3:40: routes[0].secret_id: no entry of secrets has the id \"OTHER\"; add one, or give a Doppler token \
             (VEILWARDEN_DOPPLER_TOKEN or secret_stores.doppler.token_file)",
        ),
        (
            "{upstream_host: a.test, secret_id: K, inject_header: Host, header_value_template: \"{{secret}}\"}",
            "3:58: routes[0].inject_header: \"Host\" is not a header that can be injected",
        ),
        (
            "{upstream_host: a.test, secret_id: K, inject_header: X, header_value_template: Bearer}",
            "3:84: routes[0].header_value_template: must contain {{secret}}",
        ),
        (
            "{upstream_host: a.test, upstream_scheme: http}",
            "3:46: routes[0].upstream_scheme: sends calls and secrets in cleartext; use https, or allow it with allow_cleartext: true",
        ),
        (
            "{upstream_host: localhost, upstream_scheme: http, upstream_address: 10.0.0.1:80}",
            "3:49: routes[0].upstream_scheme: sends calls and secrets in cleartext; use https, or allow it with allow_cleartext: true",
        ),
        (
            "{upstream_host: a.test, upstream_address: 169.254.169.254:80}",
            "3:47: routes[0].upstream_address: a metadata address is never dialled",
        ),
        (
            "{upstream_host: a.test, upstream_address: b.test:443}",
            "3:47: routes[0].upstream_address: \"b.test:443\" is not an IP address and port such as 10.0.0.7:8443",
        ),
        (
            "{upstream_host: a.test, allow_cidrs: [10.0.0.0/8, 10.0.0.1]}",
            "3:55: routes[0].allow_cidrs[1]: \"10.0.0.1\" is not a network; did you mean \"10.0.0.1/32\"?",
        ),
        ("{upstream_host: a.test, timeouts: {idle: 0s}}", "3:46: routes[0].timeouts.idle: must be longer than 0s"),
        (
            "{upstream_host: a.test, caller_slots: [x-api-key, Host]}",
            "3:55: routes[0].caller_slots[1]: \"Host\" is not a header that can carry a credential",
        ),
        (
            "{upstream_host: a.test, caller_slots: [X-Session-Secret]}",
            "3:44: routes[0].caller_slots[0]: \"X-Session-Secret\" carries the caller's credential on every route",
        ),
        (
            "{upstream_host: a.test, caller_slots: [x-api-key, X_Api_Key]}",
            "3:55: routes[0].caller_slots[1]: \"X_Api_Key\" is listed twice",
        ),
        (
            "{upstream_host: a.test, caller_slots: x-api-key}",
            "3:43: routes[0].caller_slots: expected a list, found a string",
        ),
        (
            "{upstream_host: a.test, local_name: GitHub}",
            "3:41: routes[0].local_name: \"GitHub\" is not a DNS label: 1 to 63 lower-case letters, digits and inner hyphens; \
             did you mean \"github\"?",
        ),
        (
            "{upstream_host: a.test, local_name: /_route/api_v1/}",
            "3:41: routes[0].local_name: \"/_route/api_v1/\" is not a DNS label: 1 to 63 lower-case letters, digits and inner \
             hyphens; did you mean \"api-v1\"?",
        ),
        (
            "{upstream_host: a.test, local_name: a/../b}",
            "3:41: routes[0].local_name: \"a/../b\" is not a DNS label: 1 to 63 lower-case letters, digits and inner hyphens",
        ),
    ] {
        rejected_route(text, expected);
    }
    rejected_whole(
        "log: {level: info}\n",
        "veilwarden.yaml: routes: no routes: without one, every call is refused; see examples/minimal.yaml",
    );
    rejected_whole(
        "",
        "veilwarden.yaml: routes: no routes: without one, every call is refused; see examples/minimal.yaml",
    );
}

#[test]
fn a_local_name_is_one_routes() {
    let routes =
        "routes:\n  - {upstream_host: a.test, local_name: api}\n  - {upstream_host: b.test, local_name: api}\n";
    rejected_whole(
        routes,
        "veilwarden.yaml:3:41: routes[1].local_name: \"api\" already stands in routes[0].local_name; each route has its own",
    );
}

#[test]
fn r29_a_host_has_one_route_whatever_its_case_and_port() {
    for (first, second, host) in [
        ("a.test", "A.TEST", "a.test"),
        ("a.test", "a.test:443", "a.test:443"),
        ("a.test:8443", "A.test:8443", "a.test:8443"),
        ("\"[::1]\"", "\"[::1]:443\"", "[::1]:443"),
        ("\"*.a.test\"", "\"*.A.TEST.\"", "*.a.test."),
        ("\"*.a.test\"", "\"*.a.test:443\"", "*.a.test:443"),
    ] {
        rejected_whole(
            &format!("routes:\n  - upstream_host: {first}\n  - upstream_host: {second}\n"),
            &format!(
                "veilwarden.yaml:3:20: routes[1].upstream_host: config: duplicate route for host \"{host}\"; it already stands in routes[0]"
            ),
        );
    }
    good(
        "routes:\n  - upstream_host: a.test\n  - upstream_host: a.test:8443\n  - {upstream_host: a.test, upstream_scheme: http, allow_cleartext: true}\n",
    );
    good(
        "routes:\n  - upstream_host: a.test\n  - upstream_host: \"*.a.test\"\n  - upstream_host: \"*.a.test:8443\"\n  \
         - upstream_host: b.a.test\n  - upstream_host: \"*.b.a.test\"\n",
    );
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
