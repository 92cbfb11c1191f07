//! Which decisions are remembered, and for whom.

use super::*;

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
