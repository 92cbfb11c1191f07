//! What a policy is asked, and what its answer means.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::played::{Answer, allowed, authenticate, authenticate_in, by_alice, denied, rules};
use super::*;
use crate::ca::ClientName;
use crate::policy;

const ROUTE: &str = "{upstream_host: a.test}";
const KEYED: &str = "{upstream_host: a.test, allow_encoded_slash: true, secret_id: KEY, inject_header: X-Api-Key, \
    header_value_template: '{{secret}}'}";

/// How a call to `a.test` ended, its record, and how often the policy was asked.
async fn judge(route: &str, answer: Answer, line: &str, fields: &str) -> (Result<(), Error>, Record, usize) {
    let (rules, asked) = rules(route, answer);
    let (call, mut record) = authenticate(&rules, &by_alice(line, fields)).await;
    let outcome = call.authorize(&rules, &Metrics::default(), &mut record).await;
    (outcome.map(drop), record, asked.try_iter().count())
}

#[tokio::test]
async fn policy_is_asked_for_what_will_be_sent_and_by_whom() {
    let (rules, asked) = rules(KEYED, allowed());
    let peer = Source::Ip(Ipv4Addr::new(192, 0, 2, 7).into());
    let name = Some(Arc::new(ClientName::Spiffe("spiffe://a.test/b".to_owned())));
    let connection = Connection { certificate: name, ..Connection::from(peer) };
    let ours = "X-Upstream-Host: A.test:443\nX-Request-Id: my-id\nX-Agent-Id: bot";
    let text = by_alice("POST /x%41/%2f?q=%41", &format!("Host: p\n{ours}\nX-Copy: {SECRET}\nAccept: */*"));
    let (call, mut record) = authenticate_in(&connection, &rules, &text).await;
    call.authorize(&rules, &Metrics::default(), &mut record).await.unwrap();
    let (input, None) = (asked.try_recv().unwrap(), asked.try_iter().next()) else { panic!("asked twice") };
    for (name, value) in [
        ("/method", "POST"),
        ("/path", "/xA/%2F"),
        ("/query", "q=%41"),
        ("/upstream_host", "a.test"),
        ("/secret_id", "KEY"),
        ("/request_id", "my-id"),
        ("/agent_id", "bot"),
        ("/identity/type", "static"),
        ("/identity/user_id", "alice"),
        ("/identity/spiffe_id", "spiffe://a.test/b"),
        ("/source/ip", "192.0.2.7"),
        ("/timestamp", &*OffsetDateTime::from(record.timestamp()).format(&Rfc3339).unwrap()),
    ] {
        assert_eq!(input.pointer(name).and_then(|value| value.as_str()), Some(value), "{name} in {input}");
    }
    assert_eq!(input["headers"], serde_json::json!({"accept": "*/*"}));
    assert_eq!(input["intercepted"], false);
}

#[tokio::test]
async fn policy_is_told_what_is_not_there_and_what_came_out_of_a_tunnel() {
    let (rules, asked) = rules(ROUTE, allowed());
    let inside = connection(Some(tunnel_to("a.test:443")));
    let (call, mut record) = authenticate_in(&inside, &rules, "GET /x\nHost: a.test").await;
    call.authorize(&rules, &Metrics::default(), &mut record).await.unwrap();
    let input = asked.try_recv().unwrap();
    for name in ["query", "secret_id", "agent_id"] {
        assert_eq!(input[name], "", "{name}");
    }
    assert_eq!((&input["intercepted"], &input["identity"]["user_id"]), (&true.into(), &"alice".into()));
    assert_eq!(input["identity"].get("spiffe_id"), None);
    assert_eq!(input["request_id"], record.request_id().as_str());
}

#[tokio::test]
async fn only_what_policy_allows_goes_on() {
    let failed = policy::Error::Evaluation("a fault".to_owned());
    for (answer, code, decision, reason) in [
        (allowed(), None, Outcome::Allow, "why not"),
        (denied(), Some(Code::PolicyDenied), Outcome::Deny, "not today"),
        (Err(failed), Some(Code::PolicyError), Outcome::Error, ""),
        (Err(policy::Error::Timeout), Some(Code::PolicyError), Outcome::Error, ""),
    ] {
        let (rules, asked) = rules(ROUTE, answer);
        let (call, mut record) = authenticate(&rules, &by_alice("GET /x", "Host: p\nX-Upstream-Host: a.test")).await;
        let metrics = Metrics::default();
        let outcome = call.authorize(&rules, &metrics, &mut record).await;
        assert_eq!(outcome.as_ref().err().map(Error::code), code, "{decision:?}");
        assert!(!matches!(&outcome, Err(Error::Denied(why)) if why != reason), "{outcome:?}");
        assert_eq!((record.decision, &*record.reason, asked.try_iter().count()), (decision, reason, 1));
        let counted = metrics.render(AuditCounts { written: 0, dropped: 0 }).unwrap();
        let line = format!("policy_decisions_total{{decision=\"{}\"}} 1", decision.as_str());
        assert!(counted.contains(&line), "{line} in\n{counted}");
    }
}

#[tokio::test]
async fn policy_is_not_asked_for_what_is_no_call_to_a_route() {
    for (line, fields, code) in [
        ("CONNECT a.test:443", "Host: a.test:443", Code::InternalError),
        ("GET /x", "Host: p", Code::MissingHost),
        ("GET /x", "Host: p\nX-Upstream-Host: b.test", Code::HostNotAllowed),
        ("GET /x%2Fy", "Host: p\nX-Upstream-Host: a.test", Code::InvalidPath),
    ] {
        let (outcome, record, asked) = judge(ROUTE, allowed(), line, fields).await;
        assert_eq!(outcome.map_err(|error| error.code()), Err(code), "{line}");
        assert_eq!((asked, record.decision), (0, Outcome::None), "{line}");
    }
}

#[tokio::test]
async fn an_encoded_slash_goes_where_the_route_allows_it() {
    for (route, path, fine) in
        [(ROUTE, "/x/y", true), (ROUTE, "/x%2Fy", false), (KEYED, "/x/y", true), (KEYED, "/x%2Fy", true)]
    {
        let (outcome, ..) = judge(route, allowed(), &format!("GET {path}"), "Host: p\nX-Upstream-Host: a.test").await;
        assert_eq!(outcome.is_ok(), fine, "{route} {path}");
    }
}

#[tokio::test]
async fn the_record_names_the_route_whatever_the_caller_called_it() {
    for (host, named, found) in
        [("A.test:443", "a.test", true), ("B.test:1", "b.test:1", false), ("a..test", "", false)]
    {
        let (_, record, _) = judge(ROUTE, denied(), "GET /x", &format!("Host: p\nX-Upstream-Host: {host}")).await;
        assert_eq!((&*record.upstream_host, record.route.is_some()), (named, found), "{host}");
    }
}
