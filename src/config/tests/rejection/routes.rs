//! Routes that mean nothing.

use super::*;

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
            "{upstream_host: a.test, upstream_scheme: http, upstream_address: localhost:80}",
            "3:70: routes[0].upstream_address: \"localhost:80\" is not an IP address and port such as 10.0.0.7:8443",
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
