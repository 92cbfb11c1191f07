//! What is put into a call that policy allowed, and what its answer will be searched for.

use super::played::{Store, allowed, authenticate, by_alice, rules};
use super::*;
use crate::redact::Watch;
use crate::secrets;

const KEY: &str = "Canary-123456";

/// An item of `routes` for `a.test`: a key in `X-Api-Key`, and whatever else.
fn keyed(more: &str) -> String {
    let template = "'Token {{secret}}'";
    format!(
        "{{upstream_host: a.test, secret_id: KEY, inject_header: X-Api-Key, header_value_template: {template}{more}}}"
    )
}

/// A GET with these fields, allowed on this route, with what the store has.
async fn prepare(route: &str, fields: &str, store: &Store) -> Result<Prepared<&'static str>, Error> {
    let (rules, _asked) = rules(route, allowed());
    let text = by_alice("GET /x", &format!("Host: p\nX-Upstream-Host: a.test\n{fields}"));
    let (call, mut record) = authenticate(&rules, &text).await;
    let call = call.authorize(&rules, &Metrics::default(), &mut record).await.unwrap();
    call.prepare(store).await
}

/// What is sent of it, and what its answer is searched for.
async fn sent(route: &str, fields: &str) -> (HeaderMap, Option<Watch>) {
    let (store, _asked) = Store::new(Ok(KEY));
    let outgoing = prepare(route, fields, &store).await.unwrap().into_outgoing().unwrap();
    (outgoing.headers, outgoing.watch)
}

#[tokio::test]
async fn a_secret_takes_the_place_of_every_spelling_of_its_field() {
    let (headers, _) = sent(&keyed(""), "X-Api-Key: mine\nX-Api-Key: mine\nX_Api_Key: mine\nX-Other: 1").await;
    let fields =
        [("accept-encoding", "identity"), ("host", "a.test"), ("x-api-key", "Token Canary-123456"), ("x-other", "1")];
    assert_eq!(listed(&headers), fields);
    assert!(headers["x-api-key"].is_sensitive());
}

#[tokio::test]
async fn nothing_is_fetched_or_changed_without_an_injection() {
    let (store, asked) = Store::new(Ok(KEY));
    let fields = "X-Api-Key: mine\nAccept-Encoding: gzip\nRange: bytes=0-1";
    let prepared = prepare("{upstream_host: a.test}", fields, &store).await.unwrap();
    let outgoing = prepared.into_outgoing().unwrap();
    let fields = [("accept-encoding", "gzip"), ("host", "a.test"), ("range", "bytes=0-1"), ("x-api-key", "mine")];
    assert_eq!(listed(&outgoing.headers), fields);
    assert!(outgoing.watch.is_none() && asked.try_iter().next().is_none());
}

#[tokio::test]
async fn the_routes_secret_is_fetched_once_and_a_store_that_fails_refuses() {
    let unavailable = secrets::Error::Unavailable { store: "played", reason: "down".into(), retry_after: None };
    for (answer, code) in [
        (Ok(KEY), None),
        (Err(secrets::Error::Unknown), Some(Code::SecretError)),
        (Err(unavailable), Some(Code::SecretError)),
    ] {
        let (store, asked) = Store::new(answer.clone());
        let prepared = prepare(&keyed(""), "Accept: */*", &store).await;
        assert_eq!(prepared.err().map(|error| error.code()), code, "{answer:?}");
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), ["KEY"]);
    }
}

#[tokio::test]
async fn an_answer_is_searched_for_the_secret_as_the_route_says() {
    for (redact, block) in [("", Some(false)), (", redact: redact", Some(false)), (", redact: block", Some(true))] {
        let (_, watch) = sent(&keyed(redact), "Accept: */*").await;
        let watch = watch.unwrap_or_else(|| panic!("{redact}"));
        assert_eq!(Some(watch.block), block, "{redact}");
        assert!(watch.needles.are_of(KEY.as_bytes(), b"Token Canary-123456"), "{redact}");
    }
    assert!(sent(&keyed(", redact: off"), "Accept: */*").await.1.is_none());
}

#[tokio::test]
async fn only_an_answer_that_is_searched_is_asked_for_plain_and_whole() {
    let fields = "Accept-Encoding: gzip\nRange: bytes=0-1";
    for (more, coding, range) in [
        ("", "identity", false),
        (", allow_range: true", "identity", true),
        (", redact: block", "identity", false),
        (", redact: off", "gzip", true),
    ] {
        let (headers, _) = sent(&keyed(more), fields).await;
        assert_eq!((&headers["accept-encoding"], headers.contains_key("range")), (&coding.parse().unwrap(), range));
    }
}
