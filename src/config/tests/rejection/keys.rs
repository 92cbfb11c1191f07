//! Keys and types.

use super::*;

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
            "audit: {output: stderr}\n",
            "2:17: audit.output: \"stderr\" has the log; use stdout, off or a file's path; a file of that name is \"./stderr\"",
        ),
        (
            "audit: {output: /dev/stderr}\n",
            "2:17: audit.output: \"/dev/stderr\" has the log; use stdout, off or a file's path",
        ),
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
