//! What goes on the wire.

use super::played::{Store, allowed, authenticate, by_alice, rules};
use super::*;
use crate::authn::Identity;

/// Over the example of RFC 6455 section 1.3.
const HANDSHAKE: &str = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Extensions: permessage-deflate";
const KEYED: &str = "{upstream_host: a.test, websocket: true, secret_id: KEY, inject_header: X-Api-Key, \
    header_value_template: '{{secret}}'}";

/// A call to `a.test`, allowed on this route, with a secret where that has one.
async fn prepare(route: &str, line: &str, fields: &str) -> Prepared<&'static str> {
    let (rules, _asked) = rules(route, allowed());
    let (store, _ids) = Store::new(Ok("Canary-123456"));
    let text = by_alice(line, &format!("Host: p\nX-Upstream-Host: a.test:443\n{fields}"));
    let (call, mut record) = authenticate(&rules, &text).await;
    call.authorize(&rules, &Metrics::default(), &mut record).await.unwrap().prepare(&store).await.unwrap()
}

#[tokio::test]
async fn what_policy_saw_is_sent_byte_for_byte() {
    for (target, sent) in [("/x%41?q=%41+b", "/xA?q=%41+b"), ("/x?", "/x?"), ("/", "/"), ("/_route/alpha/x?q", "/x?q")]
    {
        let route = "{upstream_host: a.test, local_name: alpha}";
        let prepared = prepare(route, &format!("PATCH {target}"), "Accept: */*").await;
        assert_eq!(prepared.route().name(), "a.test");
        let outgoing = prepared.into_outgoing().unwrap();
        assert_eq!((&outgoing.method, outgoing.target.as_str(), outgoing.body), (&Method::PATCH, sent, "a body"));
        assert_eq!(outgoing.route.name(), "a.test");
        assert_eq!(listed(&outgoing.headers), [("accept", "*/*"), ("host", "a.test")]);
        assert!(outgoing.websocket.is_none() && outgoing.watch.is_none());
    }
}

#[tokio::test]
async fn no_trailer_takes_the_credential_along() {
    let outgoing = prepare("{upstream_host: a.test}", "POST /x", "TE: trailers").await.into_outgoing().unwrap();
    let fields = [("x-copy", format!("v={SECRET};")), ("x-sum", "1".to_owned())];
    let mut trailers: HeaderMap =
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    outgoing.trailers.clean(&mut trailers, None).unwrap();
    assert_eq!(listed(&trailers), [("x-sum", "1")]);
    assert!(outgoing.trailers.accepted());
}

#[tokio::test]
async fn a_websocket_is_asked_for_where_the_route_has_any() {
    for (route, fields, asks) in [
        ("{upstream_host: a.test, websocket: true}", HANDSHAKE, true),
        ("{upstream_host: a.test, websocket: true}", "Accept: */*", false),
        ("{upstream_host: a.test}", HANDSHAKE, false),
    ] {
        let prepared = prepare(route, "GET /x", fields).await;
        assert_eq!(prepared.asks_for_websocket(), asks, "{route} {fields}");
        let outgoing = prepared.into_outgoing().unwrap();
        assert_eq!(outgoing.headers.contains_key("upgrade"), asks, "{route} {fields}");
        let Some(websocket) = outgoing.websocket else { continue };
        let tunnel = websocket.tunnel();
        assert_eq!((tunnel.credential().expose(), &*tunnel.host().to_string()), (SECRET, "a.test:443"));
        assert!(Arc::ptr_eq(tunnel.route(), &outgoing.route));
    }
}

#[tokio::test]
async fn where_answers_are_searched_a_websocket_has_no_extension() {
    let opened = "GET /\nConnection: upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let extended = format!("{opened}\nSec-WebSocket-Extensions: permessage-deflate");
    for (route, extensions) in [("{upstream_host: a.test, websocket: true}", true), (KEYED, false)] {
        let outgoing = prepare(route, "GET /x", HANDSHAKE).await.into_outgoing().unwrap();
        assert_eq!(outgoing.headers.contains_key("sec-websocket-extensions"), extensions, "{route}");
        let websocket = outgoing.websocket.unwrap();
        assert!(websocket.handshake().check(&head(opened).headers).is_ok(), "{route}");
        assert_eq!(websocket.handshake().check(&head(&extended).headers).is_ok(), extensions, "{route}");
    }
}

/// It cannot happen, and would leave nobody to ask for again.
#[tokio::test]
async fn what_outlives_its_call_has_a_credential_or_is_not_made() {
    let (rules, _asked) = rules("{upstream_host: a.test, websocket: true}", allowed());
    let nobody = |text: &str| {
        let received = parse_in(&connection(None), &rules.routes, text).0.unwrap();
        Authenticated::new(received, Arc::new(Identity::Static(User::default())), None)
    };
    let text = format!("GET /x\nHost: p\nX-Upstream-Host: a.test\n{HANDSHAKE}");
    let asked = nobody(&text).authorize(&rules, &Metrics::default(), &mut record()).await;
    assert_eq!(asked.map(drop).map_err(|error| error.code()), Err(Code::InternalError));
    let connect = nobody("CONNECT a.test:443\nHost: a.test:443");
    let opened = connect.open(&rules, true, &Metrics::default(), &mut record()).await;
    assert_eq!(opened.map(drop).map_err(|error| error.code()), Err(Code::InternalError));
}
