use super::*;
use crate::authn::Identity;
use crate::authn::pods::Texts;
use crate::policy::input::sample::Call;

mod budget;
mod hostile;
mod loading;
mod remembered;

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
