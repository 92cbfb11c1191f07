//! What a CONNECT leads to.

use super::played::{Answer, allowed, authenticate, by_alice, denied, rules};
use super::*;
use crate::policy;

#[test]
fn what_came_over_tls_or_out_of_a_tunnel_was_sent_for_https() {
    let clear = connection(None);
    assert_eq!(clear.scheme(), "http");
    assert_eq!(Connection { tls: true, ..clear.clone() }.scheme(), "https");
    assert_eq!(connection(Some(tunnel_to("a.test:443"))).scheme(), "https");
}

#[test]
fn g09_a_tunnel_is_named_by_its_host_alone() {
    let name = tunnel_to("a.test:443");
    assert!(name.is_named(Some("a.test")) && name.is_named(Some("A.TEST")));
    assert!(!name.is_named(Some("b.test")) && !name.is_named(Some("")) && !name.is_named(None));
    let address = tunnel_to("127.0.0.1:443");
    assert!(address.is_named(None) && !address.is_named(Some("a.test")));
    assert_eq!((name.host().to_string(), name.route().host.to_string()), ("a.test:443".into(), "a.test".into()));
}

const RELAYED: &str = "{upstream_host: a.test, relay: true}";
const READ: &str = "{upstream_host: a.test}";

/// What a CONNECT to `target` becomes, and what the policy was asked.
async fn open(route: &str, answer: Answer, ca: bool, target: &str) -> (Result<Opened, Error>, Vec<serde_json::Value>) {
    let (rules, asked) = rules(route, answer);
    let text = by_alice(&format!("CONNECT {target}"), &format!("Host: {target}"));
    let (call, mut record) = authenticate(&rules, &text).await;
    let opened = call.open(&rules, ca, &Metrics::default(), &mut record).await;
    (opened, asked.try_iter().collect())
}

#[tokio::test]
async fn policy_judges_the_connect_of_a_relay_and_no_other() {
    let failed = || Err(policy::Error::Timeout);
    for (route, answer, ca, target, outcome, asked) in [
        (READ, denied(), true, "a.test:443", Ok("intercepted"), 0),
        (READ, failed(), true, "a.test:443", Ok("intercepted"), 0),
        (READ, allowed(), false, "a.test:443", Err(Code::MethodNotAllowed), 0),
        (RELAYED, allowed(), false, "a.test:443", Ok("relayed"), 1),
        (RELAYED, allowed(), true, "a.test:443", Ok("relayed"), 1),
        (RELAYED, denied(), true, "a.test:443", Err(Code::PolicyDenied), 1),
        (RELAYED, failed(), true, "a.test:443", Err(Code::PolicyError), 1),
        (RELAYED, allowed(), true, "a.test:80", Err(Code::HostNotAllowed), 0),
        (RELAYED, allowed(), true, "b.test:443", Err(Code::HostNotAllowed), 0),
    ] {
        let (opened, input) = open(route, answer, ca, target).await;
        let opened = opened.map_err(|error| error.code()).map(|opened| match opened {
            Opened::Intercepted(_) => "intercepted",
            Opened::Relayed(_) => "relayed",
        });
        assert_eq!((opened, input.len()), (outcome, asked), "{route} {target}, a CA: {ca}");
        assert!(input.iter().all(|input| input["method"] == "CONNECT" && input["path"] == ""), "{input:?}");
        assert!(input.iter().all(|input| input["upstream_host"] == "a.test"), "{input:?}");
    }
}

#[tokio::test]
async fn a_tunnel_keeps_who_opened_it_and_where_it_leads() {
    for route in [READ, RELAYED] {
        let (opened, _) = open(route, allowed(), true, "A.test:443").await;
        let opened = opened.unwrap();
        let tunnel = match &opened {
            Opened::Intercepted(tunnel) => tunnel,
            Opened::Relayed(relay) => relay.tunnel(),
        };
        assert!(matches!(tunnel.credential(), Credential::SessionSecret(_)) && tunnel.credential().expose() == SECRET);
        assert_eq!((&*tunnel.host().to_string(), tunnel.route().name()), ("a.test:443", "a.test"));
    }
}
