use super::*;
use crate::authn::Identity;
use crate::authn::pods::Texts;
use crate::policy::input::sample::Call;

const PATH: &str = "veilwarden/authz/allow";
const BUDGET: Duration = Duration::from_millis(50);

fn load(text: &str) -> Result<Rego, Problems> {
    let bundle = Bundle::of("p.rego", &format!("package veilwarden.authz\n{text}"))?;
    Rego::prepare(&bundle, PATH, BUDGET)
}

fn policy(text: &str) -> Rego {
    load(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn problems(text: &str) -> String {
    match load(text) {
        Ok(_) => panic!("loaded: {text}"),
        Err(problems) => problems.to_string(),
    }
}

async fn decide(text: &str, call: &Call) -> Result<Decision, Error> {
    policy(text).decide(call.input()).await
}

/// A rule body that is true for the sample only: what holds for every call is found when loading.
fn for_path(path: &str) -> Call {
    Call { path: path.to_owned(), ..Call::kubernetes() }
}

#[tokio::test]
async fn r96_only_a_literal_true_allows() {
    let cases = [
        ("allow := true", true, "allowed by OPA policy"),
        ("allow := false", false, "denied by OPA policy"),
        ("default allow := false\nallow if input.path == \"/no\"", false, "denied by OPA policy"),
        ("allow if input.path == \"/no\"", false, "denied by OPA policy (no results)"),
        ("allow := false\ndeny_reason := \"not on a Sunday\"", false, "not on a Sunday"),
        ("allow if input.path == \"/no\"\ndeny_reason := \"none fits\"", false, "none fits"),
        ("allow := true\ndeny_reason := \"unused\"", true, "allowed by OPA policy"),
    ];
    for (text, allowed, reason) in cases {
        let decision = decide(text, &Call::kubernetes()).await.expect(text);
        assert_eq!(decision, Decision { allowed, reason: reason.to_owned() }, "{text}");
    }
}

#[tokio::test]
async fn i02_what_is_no_boolean_is_an_error_and_never_allows() {
    let values = [
        "lower(\"TRUE\")",
        "count(\"a\")",
        "object.get({}, \"a\", {})",
        "array.slice([1], 1, 1)",
        "json.unmarshal(\"null\")",
        "union({{1}})",
        "json.unmarshal(\"{\\\"allow\\\":true}\")",
    ];
    for value in values {
        let text = format!("allow := v if {{ input.path == \"/x\"; v := {value} }}");
        let decided = decide(&text, &for_path("/x")).await;
        assert!(
            matches!(&decided, Err(Error::Evaluation(text)) if text.contains("not a boolean")),
            "{text}: {decided:?}"
        );
    }
}

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

#[tokio::test]
async fn a_built_ins_error_is_an_error_even_under_not() {
    for rule in ["allow if to_number(input.path) > 1", "allow if not to_number(input.path) > 1"] {
        let text = format!(
            "allow if input.path == \"/v1/items/a%20b\"\n{}",
            rule.replace("if ", "if { input.path != \"/v1/items/a%20b\"; ") + " }"
        );
        let decided = decide(&text, &for_path("/x")).await;
        assert!(matches!(&decided, Err(Error::Evaluation(text)) if text.contains("p.rego:3:")), "{text}: {decided:?}");
    }
}

#[tokio::test]
async fn i04_rules_that_contradict_each_other_are_an_error() {
    let text = "allow := true if input.method == \"GET\"\nallow := false if input.path == \"/x\"";
    let decided = decide(text, &for_path("/x")).await;
    assert!(
        matches!(&decided, Err(Error::Evaluation(text)) if text.contains("rule conflicts with rule")),
        "{decided:?}"
    );
}

#[tokio::test]
async fn an_evaluation_over_the_budget_is_cut_off() {
    let endless = "count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a == b]) > 0";
    for text in [
        format!("allow if {{ input.path == \"/x\"; {endless} }}"),
        format!("slow(x) if {{ x == \"/x\"; {endless} }}\nallow if slow(input.path)"),
    ] {
        let rego = policy(&text);
        let call = for_path("/x");
        let start = std::time::Instant::now();
        assert!(matches!(rego.decide(call.input()).await, Err(Error::Timeout)), "{text}");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(rego.pace.is_slow());
        // The next one is off the reactor, with the same answer.
        assert!(matches!(rego.decide(call.input()).await, Err(Error::Timeout)), "{text}");
    }
}

#[tokio::test]
async fn k14_a_decision_that_may_take_long_does_not_stand_in_the_reactors_way() {
    let text = "package veilwarden.authz\nallow if { input.path == \"/x\"; count([1 | some a in numbers.range(1, 30000); some b in numbers.range(1, 30000); a == b]) > 0 }";
    let rego = Rego::prepare(&Bundle::of("p.rego", text).unwrap(), PATH, Duration::from_secs(1)).unwrap();
    assert!(!rego.pace.is_slow(), "so far, all were quick");
    let call = for_path("/x");
    tokio::select! {
        biased;
        decided = rego.decide(call.input()) => panic!("nothing else ran until {decided:?}"),
        () = tokio::time::sleep(Duration::from_millis(10)) => {}
    }
}

#[tokio::test]
async fn a_reason_that_cannot_be_given_in_time_does_not_undo_the_denial() {
    let text = "allow := false\ndeny_reason := \"never\" if { input.path == \"/x\"; count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a == b]) > 0 }";
    let decision = decide(text, &for_path("/x")).await.expect("a denial");
    assert_eq!(decision, Decision { allowed: false, reason: "denied by OPA policy".to_owned() });
}

#[tokio::test]
async fn i14_a_remembered_decision_is_for_the_same_document_only() {
    let rego = policy(
        "allow if { input.query == \"a=1\"; input.upstream_host == \"api.example.com\"; input.pod_name == \"app-7d4b9c6f5-x2x9k\" }",
    );
    let good = Call { query: "a=1".to_owned(), ..Call::kubernetes() };
    let query = Call { query: "a=2".to_owned(), ..good.clone() };
    let host = Call { upstream_host: "api.example.com:8443".to_owned(), ..good.clone() };
    let caller = Call { identity: Call::user().identity, ..good.clone() };
    for (call, allowed) in
        [(&good, true), (&query, false), (&good, true), (&host, false), (&good, true), (&caller, false)]
    {
        assert_eq!(rego.decide(call.input()).await.expect("a decision").allowed, allowed, "{call:?}");
    }
}

/// One pod's labels never decide for another, nor for the same pod once they have changed.
#[tokio::test]
async fn i14_a_decision_is_not_shared_between_different_labels_and_annotations() {
    let texts = |pairs: &[(&str, &str)]| {
        let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Some(Arc::new(Texts::Whole(owned.collect())))
    };
    let rego = policy(
        "allow if { input.identity.pod_labels.tier == \"gold\"; not input.identity.pod_annotations.hold; \
         input.identity.namespace_labels.env == \"prod\" }",
    );
    assert!(rego.memory.is_some());
    let (gold, prod, none) = (texts(&[("tier", "gold")]), texts(&[("env", "prod")]), texts(&[]));
    let cases = [
        (&gold, &none, &prod, true),
        (&texts(&[("tier", "tin")]), &none, &prod, false),
        (&texts(&[("tie", "rgold")]), &none, &prod, false),
        (&none, &none, &prod, false),
        (&None, &none, &prod, false),
        (&gold, &texts(&[("hold", "")]), &prod, false),
        (&gold, &None, &prod, true),
        (&gold, &none, &texts(&[("env", "test")]), false),
        (&gold, &none, &None, false),
        (&prod, &none, &gold, false),
    ];
    // The second round is answered from the memory.
    for round in 1..=2 {
        for (labels, annotations, namespace, allowed) in cases {
            let mut call = Call::kubernetes();
            let Identity::Kubernetes(workload) = &mut call.identity else { panic!("a workload") };
            workload.metadata.pod_labels = labels.clone();
            workload.metadata.pod_annotations = annotations.clone();
            workload.metadata.namespace_labels = namespace.clone();
            let fingerprint = Fingerprint::of(&rego.document.read(&call.input()).expect("a document"));
            assert_eq!(rego.memory.as_ref().unwrap().recall(fingerprint).is_some(), round == 2, "{labels:?}");
            let decision = rego.decide(call.input()).await.unwrap();
            assert_eq!(decision.allowed, allowed, "{round}: {labels:?} {annotations:?} {namespace:?}");
        }
    }
}

#[tokio::test]
async fn a_decision_is_remembered_unless_clock_or_chance_could_change_it() {
    for (text, remembers) in [
        ("allow if input.method == \"GET\"", true),
        ("allow if input.headers.accept == \"application/json\"", true),
        ("allow if time.parse_rfc3339_ns(\"2026-01-01T00:00:00Z\") > 0", true),
        ("allow if input.request_id != \"\"", false),
        ("allow if input.timestamp != \"\"", false),
        ("allow if count(input) > 0", false),
        ("allow if time.now_ns() > 0", false),
        ("allow if rand.intn(\"x\", 2) == 1", false),
        ("allow if uuid.rfc4122(\"x\") != \"\"", false),
        ("allow if print(\"asked\")", false),
        ("allow if is_late\nis_late if [time.now_ns() | true][0] > 0", false),
        ("allow if f(1) > 0\nf(_) := time.now_ns()", false),
        ("allow if to_number(\"1\") == 1 with to_number as f\nf(x) := rand.intn(x, 2)", false),
    ] {
        assert_eq!(policy(text).memory.is_some(), remembers, "{text}");
    }
}

#[tokio::test]
async fn an_error_is_not_remembered() {
    let rego = policy("allow if { input.path == \"/x\"; to_number(input.path) > 0 }");
    let call = for_path("/x");
    assert!(rego.decide(call.input()).await.is_err());
    let fingerprint = Fingerprint::of(&rego.document.read(&call.input()).expect("a document"));
    assert_eq!(rego.memory.as_ref().expect("a memory").recall(fingerprint), None);
}

#[tokio::test]
async fn a_denial_whose_reason_could_not_be_given_is_not_remembered() {
    let rego = policy(
        "allow := false\ndeny_reason := sprintf(\"%d\", [to_number(input.path)]) if input.path != \"/v1/items/a%20b\"",
    );
    let call = for_path("/x");
    let decided = rego.decide(call.input()).await.expect("a denial");
    assert!(!decided.allowed && decided.reason.contains("denied by OPA policy"), "{decided:?}");
    let fingerprint = Fingerprint::of(&rego.document.read(&call.input()).expect("a document"));
    assert_eq!(rego.memory.as_ref().expect("a memory").recall(fingerprint), None);
}

#[tokio::test]
async fn i06_every_way_to_mention_a_name_makes_it_available() {
    let rules = [
        "input.method == \"GET\"",
        "input[\"method\"] == \"GET\"",
        "object.get(input, \"method\", \"\") == \"GET\"",
        "object.get(input, [\"client\", \"agent_id\"], \"\") == \"sample-agent\"",
        "some name in [\"method\"]; input[name] == \"GET\"",
        "f(input)",
        "some i; [\"GET\"][i] == input.method",
        "count([p | some p in input.path_segments]) == 3",
        "input.path_segments[2] == \"a b\"",
        "input.query_params[_] == {\"key\": \"sort\", \"value\": \"name up\"}",
        "some {\"key\": \"page\", \"value\": v} in input.query_params; v == \"2\"",
        "m == \"GET\"",
        "caller.namespace == \"sample\"",
        "\"system:serviceaccounts\" in input.identity.groups",
        "input.headers.accept == \"application/json\"",
        "input.headers[\"user-agent\"] == \"sample/1.0\"",
        "time.weekday(time.parse_rfc3339_ns(input.timestamp)) == \"Thursday\"",
        "net.cidr_contains(\"192.0.2.0/24\", input.source.ip)",
        "\"POST\" == input.method with input.method as \"POST\"",
        "h with input as {\"method\": \"PUT\"}",
        "input.intercepted == false",
        "input.identity.expires_at > 1700000000",
        "crypto.sha256(\"abc\") != crypto.hmac.sha256(\"abc\", input.agent_id)",
    ];
    let around = "import input.method as m\nimport input.identity as caller\nf(x) if x.method == \"GET\"\nh if input.method == \"PUT\"\n";
    for rule in rules {
        let text = format!("{around}allow if {{ {rule} }}");
        assert!(decide(&text, &Call::kubernetes()).await.expect(rule).allowed, "{rule}");
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

#[tokio::test]
async fn labels_that_are_too_large_are_an_error_and_never_cut() {
    let labels = "default allow := false\nallow if not input.identity.pod_labels.blocked";
    let mut call = Call::kubernetes();
    assert!(decide(labels, &call).await.unwrap().allowed);
    let Identity::Kubernetes(workload) = &mut call.identity else { panic!("a workload") };
    workload.metadata.pod_labels = Some(Arc::new(Texts::TooLarge));
    assert!(matches!(decide(labels, &call).await, Err(Error::Evaluation(_))));
    assert!(decide("allow if input.namespace", &call).await.unwrap().allowed, "a policy that does not look at them");
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

#[tokio::test]
async fn i09_print_does_not_reach_standard_error_and_does_not_change_the_decision() {
    let rego = policy("allow if { print(\"hello\", input); input.method == \"GET\" }");
    assert!(rego.decide(Call::kubernetes().input()).await.expect("a decision").allowed);
    let mut engine = rego.engine.clone();
    engine.set_input(regorus::Value::from_json_str("{\"method\": \"GET\"}").expect("an input"));
    engine.eval_rule(rego.plan.decision.clone()).expect("a decision");
    assert_eq!(engine.take_prints().expect("gathered").len(), 1);
}

#[tokio::test]
async fn a_query_with_too_many_parameters_is_an_error_only_for_a_policy_that_looks() {
    let call = Call { query: "a&".repeat(1025), ..Call::kubernetes() };
    let looks = decide("allow if count(input.query_params) > 0", &call).await;
    assert!(matches!(&looks, Err(Error::Evaluation(text)) if text.contains("more than 1024")), "{looks:?}");
    assert!(decide("allow if input.method == \"GET\"", &call).await.expect("a decision").allowed);
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

/// The deepest policies that load, on half the stack of a worker thread.
#[test]
fn the_deepest_policy_that_loads_fits_a_worker_threads_stack() {
    let chain = |links: usize, nesting: usize| {
        let link = |at: usize| format!("r{at}(x) if {{ {} }}\n", nested(nesting, &format!("r{}(x)", at + 1)));
        let links = (0..links).map(link).collect::<String>() + &format!("r{links}(x) if x != \"\"\n");
        format!("allow if r0(input.path)\n{links}")
    };
    let loops = |count: usize| {
        format!("allow if {{ {} }}\n", (0..count).map(|at| format!("some x{at} in [1]\n")).collect::<String>())
    };
    for (shallow, deep) in [(chain(97, 0), chain(260, 0)), (chain(35, 2), chain(62, 3)), (loops(390), loops(410))] {
        let found = problems(&deep);
        assert!(found.contains("goes too deep"), "{found}");
        let rego = policy(&shallow);
        let worker = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
            let call = Call::kubernetes();
            let values = rego.document.read(&call.input()).expect("an input");
            let evaluation = rego.evaluation(values);
            let plan = Plan { decision: rego.plan.decision.clone(), reason: None, budget: Duration::from_secs(20) };
            Rego::run(evaluation, &plan, &rego.pace).expect("a decision").decision.allowed
        });
        assert!(worker.expect("a thread").join().expect("no overflow"));
    }
}

fn nested(levels: usize, call: &str) -> String {
    (0..levels).fold(call.to_owned(), |inner, _| format!("count([1 | {inner}]) == 1"))
}
