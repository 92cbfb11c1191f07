//! What does not load, and what is said of it.

use super::*;

#[test]
fn i02_a_decision_that_is_plainly_no_boolean_does_not_load() {
    let cases = [
        (
            "allow := \"true\"",
            "p.rego:2:11: the decision rule `data.veilwarden.authz.allow` must be true or false, not a string",
        ),
        (
            "default allow := 1",
            "p.rego:2:18: the decision rule `data.veilwarden.authz.allow` must be true or false, not a number",
        ),
        ("allow := {\"allow\": true}", "not an object (object decisions are not supported yet)"),
        ("allow := null if input.path == \"/x\"", "not null"),
        ("allow contains 1", "must be a boolean, so it must be a plain rule"),
        ("allow(x) := true if x", "must be a boolean, so it must be a plain rule"),
        ("allow := json.unmarshal(\"1\")", "p.rego: `data.veilwarden.authz.allow` must be a boolean, and is a number"),
        (
            "allow := true\ndeny_reason contains \"a\"",
            "p.rego:3:1: `data.veilwarden.authz.deny_reason` must be a string",
        ),
        ("allow := true\ndeny_reason := count(\"a\")", "must be a string, and is a number"),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn i06_unknown_names_under_input_do_not_load() {
    let cases = [
        ("allow if not input.mehtod == \"GET\"", "p.rego:2:20: there is no `input.mehtod` (did you mean `method`?)"),
        ("allow if input[\"mehtod\"] == \"GET\"", "there is no `input.mehtod`"),
        ("allow if object.get(input, \"mehtod\", \"\") == \"\"", "there is no `input.mehtod`"),
        ("allow if object.get(input, [\"client\", \"agent\"], \"\") == \"\"", "there is no `input.client.agent`"),
        ("import input.mehtod\nallow := true", "p.rego:2:14: there is no `input.mehtod`"),
        (
            "import input.identity as who\nallow if who.namspace == \"a\"",
            "there is no `input.identity.namspace` (did you mean `namespace`?)",
        ),
        ("allow if input.k8s_namespace == \"a\"", "(use `input.namespace`)"),
        ("allow if input.k8s_service_account == \"a\"", "(use `input.service_account`)"),
        ("allow if input.k8s_pod_name == \"a\"", "(use `input.pod_name`)"),
        ("allow if input.host == \"a\"", "(use `input.upstream_host`)"),
        ("allow if input.body.model == \"a\"", "bodies in policy are not supported yet"),
        ("allow if input.source.port == 1", "there is no `input.source.port`"),
        ("allow if input.headers[\"X-Debug\"]", "(use `x-debug`)"),
        (
            "allow if input.query_params.page == \"2\"",
            "`input.query_params` is a list and cannot be indexed by the name `page`",
        ),
        ("allow if input.query_params[0].keey == \"2\"", "there is no `input.query_params[_].keey`"),
        ("allow if input.method.name == \"2\"", "`input.method` is a string"),
        ("allow if input[0] == \"2\"", "`input` is an object and cannot be indexed by a number"),
        ("allow if input.identity.pod_label.app", "(did you mean `pod_labels`?)"),
        (
            "allow if input.identity.pod_labels[\"app\"].x",
            "`input.identity.pod_labels[\"app\"]` is a string and cannot be indexed by the name `x`",
        ),
        (
            "allow if input.identity.pod_labels[0]",
            "`input.identity.pod_labels` is an object and cannot be indexed by a number",
        ),
        ("unused(x) if x == input.mehtod\nallow := true", "there is no `input.mehtod`"),
        ("allow if every x in [1] { x == input.mehtod }", "there is no `input.mehtod`"),
        ("allow if count([1 | input.mehtod == 1]) == 0", "there is no `input.mehtod`"),
        ("allow if data.x[input.mehtod]", "there is no `input.mehtod`"),
        ("r[input.mehtod] := 1\nallow := true", "there is no `input.mehtod`"),
        ("allow if true with input.mehtod as 1", "there is no `input.mehtod`"),
        ("allow if { some input in [1]; input == 1 }", "a variable must not be called `input`"),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn a_policy_that_reads_labels_says_where_for_a_configuration_without_them() {
    let cases = [
        ("allow if input.namespace == \"a\"", None),
        ("allow if input.identity.pod_name == \"a\"", None),
        (
            "allow if input.identity.pod_labels[\"App/x.y\"] == \"a\"",
            Some("p.rego:2:25: there is no `input.identity.pod_labels`"),
        ),
        ("allow if \"a\" in input.identity.pod_annotations", Some("there is no `input.identity.pod_annotations`")),
        ("import input.identity.namespace_labels as l\nallow if l.env == \"a\"", Some("p.rego:2:23: there is no")),
        (
            "import input.identity as who\nallow if who.pod_labels.env == \"a\"",
            Some("there is no `input.identity.pod_labels`"),
        ),
        (
            "allow if object.get(input.identity, \"pod_labels\", {}).env == \"a\"",
            Some("without kubernetes.pod_metadata: true"),
        ),
    ];
    for (text, expected) in cases {
        let mistake = policy(text).mistake_without_metadata().map(ToString::to_string);
        match expected {
            Some(part) => assert!(mistake.as_deref().is_some_and(|said| said.contains(part)), "{text}: {mistake:?}"),
            None => assert_eq!(mistake, None, "{text}"),
        }
    }
}

#[test]
fn i04_i10_unknown_functions_do_not_load_even_where_nothing_reaches_them() {
    let cases = [
        (
            "allow if { false; starts_with(input.path, \"/\") }",
            "p.rego:2:19: there is no function `starts_with` (did you mean `startswith`?)",
        ),
        (
            "never(x) if http.send({\"url\": x})\nallow := true",
            "`http.send` is not available (a policy must not reach out to the network)",
        ),
        ("allow if any([true])", "`any` is not available (removed from Rego v1; use `some` or `in`)"),
        (
            "allow if units.parse_bytes(input.headers.size) < 5000000",
            "p.rego:2:10: `units.parse_bytes` is not available (its cost has no bound that `policy.timeout` could enforce; compare plain numbers with `to_number`)",
        ),
        ("allow if count(input.path) > 1 with count as units.parse", "p.rego:2:46: `units.parse` is not available"),
        ("allow if count(input.path) > 1 with count as yaml[\"unmarshal\"]", "`yaml.unmarshal` is not available"),
        ("allow if is_admin(input.username)", "there is no function `is_admin`"),
        ("allow if startswith(input.path)", "`startswith` takes 2 arguments and is given 1"),
        ("f(a, b) if a == b\nallow if f(1)", "`data.veilwarden.authz.f` takes 2 arguments and is given 1"),
        ("allow if io.jwt.decode(input.path)", "there is no function `io.jwt.decode`"),
        ("allow if data.lib.f(1)", "there is no function `data.lib.f`"),
        ("allow if __builtin_sets.union({1}, {2}) == {1}", "there is no function"),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn a_name_of_the_policys_own_is_no_built_in() {
    for text in [
        "f(x) := x\nallow if { units := {\"parse\": 1}; f(input.path) == 1 with input.path as units.parse }",
        "import data.sizes as units\nallow if input.path == 1 with input.path as units.parse",
    ] {
        policy(text);
    }
}

#[test]
fn i04_rules_that_need_themselves_do_not_load() {
    let cases = [
        (
            "a if b\nb if a\nallow if a",
            "`data.veilwarden.authz.a` depends on itself: data.veilwarden.authz.a -> data.veilwarden.authz.b -> data.veilwarden.authz.a",
        ),
        ("f(x) := f(x + 1)\nallow := true", "`data.veilwarden.authz.f` depends on itself"),
        ("f(x) := g(x)\ng(x) := f(x)\nallow := true", "depends on itself"),
        ("allow if data.veilwarden.authz.allow", "depends on itself"),
        ("allow if count(data.veilwarden) > 0", "depends on itself"),
        ("r[x] := 1 if { x := 1; r[2] }\nallow := true", "depends on itself"),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
    policy("path := input.path\nstarts(path) if startswith(path, \"/\")\nallow if starts(path)");
}

#[test]
fn w21_and_other_contradictions_between_rules_do_not_load() {
    let cases = [
        (
            "default allow := false\ndefault allow := true",
            "p.rego:3:1: `data.veilwarden.authz.allow` already has a default (the first is at p.rego:2)",
        ),
        (
            "allow := true\nx := 1\nx contains 2",
            "p.rego:4:1: `data.veilwarden.authz.x` is defined as another kind of rule",
        ),
        (
            "alow := true",
            "p.rego: the decision rule `data.veilwarden.authz.allow` does not exist (did you mean `veilwarden/authz/alow`?)",
        ),
        ("allow if { not x }", "p.rego:2:16: use of undefined variable `x` is unsafe"),
        ("allow if { x := x + 1 }", "unsafe"),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn i11_text_that_is_no_rego_v1_names_its_line() {
    let long = format!("allow := true\nx := \"{}\"", "a".repeat(1020));
    let many = "\n".repeat(21_000);
    let cases = [
        ("allow { input.method == \"GET\" }", "p.rego:2:7:"),
        ("allow[x] { x := 1 }", "p.rego:2:"),
        ("allow if input.method = ", "p.rego:2:"),
        ("allow := \"", "p.rego:2:"),
        (&long, "p.rego:3:1025: the line is longer than 1024 characters"),
        (&many, "p.rego:20001:1: the file has more than 20000 lines"),
        ("allow := ((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))", "p.rego"),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found.starts_with(expected), "{expected}: {found}");
        assert!(!found.contains('\n'), "{found}");
    }
    let bom = Bundle::of("p.rego", "\u{feff}package veilwarden.authz\nallow := true").expect_err("a byte order mark");
    assert_eq!(bom.to_string(), "p.rego:1:1: the file begins with a byte order mark (remove it)");
}

#[test]
fn what_stands_behind_a_nul_is_never_lost() {
    let rules = "default allow := false\nallow if count(denials) == 0\ndenials contains \"a\" if input.path == \"/a\"";
    for rest in ["denials contains \"b\" if input.path == \"/secret\"", "this is ( not rego {{{"] {
        let found = problems(&format!("{rules}\n\0\n{rest}"));
        assert_eq!(found, "p.rego:5:1: the control character U+0000 stands in the file (remove it)");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let found = problems("default allow := false\ndefault allow := false\nallow if input.mehtod == nope(1)\nb if b");
    let lines: Vec<_> = found.lines().collect();
    assert_eq!(lines.len(), 4, "{found}");
}

#[test]
fn data_does_not_answer_in_a_rules_place() {
    for (data, expected) in [
        (serde_json::json!({"veilwarden": {"authz": {"allow": true}}}), "already sets `data.veilwarden.authz.allow`"),
        (serde_json::json!({"veilwarden": "x"}), "already sets `data.veilwarden`"),
    ] {
        let serde_json::Value::Object(data) = data else { panic!("an object") };
        let bundle = Bundle::of("p.rego", "package veilwarden.authz\nallow if input.path == \"/x\"").expect("a bundle");
        let found = Rego::prepare(&bundle.with_data(data), PATH, BUDGET).expect_err("a conflict").to_string();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_decision_path_is_a_package_and_a_rule() {
    let bundle = Bundle::of("p.rego", "package a.b[\"c-d\"]\nallow := true").expect("a bundle");
    for path in ["a/b/c-d/allow", "/a/b/c-d/allow"] {
        Rego::prepare(&bundle, path, BUDGET).unwrap_or_else(|problems| panic!("{problems}"));
    }
    for path in ["", "/", "allow", "a//allow", "a.b.allow", "a/b/c-d/"] {
        Rego::prepare(&bundle, path, BUDGET).expect_err(path);
    }
}
