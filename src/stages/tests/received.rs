//! The strict gate over parsed requests, and how a credential is spent.

use super::*;

#[test]
fn what_leaves_its_meaning_open_is_refused() {
    let twice = format!("GET /x\nHost: p\nX-Session-Secret: {SECRET}\nX-Session-Secret: {SECRET}");
    for (text, code) in [
        ("GET /x", Code::InvalidHost),
        ("GET /x\nHost: p\nHost: p", Code::InvalidHost),
        ("GET /x\nHost: a/b", Code::InvalidHost),
        ("CONNECT a.test:443", Code::InvalidHost),
        ("TRACE /x\nHost: p", Code::MethodNotAllowed),
        ("get /x\nHost: p", Code::BadRequest),
        ("OPTIONS /x\nHost: p\nMax-Forwards: 0", Code::BadRequest),
        ("GET /a/../b\nHost: p", Code::InvalidPath),
        ("GET /x?a=%00\nHost: p", Code::InvalidPath),
        ("GET /x\nHost: p\nVia: 1.1 x, 1.1 VeilWarden", Code::LoopDetected),
        ("GET /x\nHost: p\nAuthorization: a\nAuthorization: b", Code::BadRequest),
        ("GET /x\nHost: p\nX-Veilwarden-Token: a.b.c\nX-Veilwarden-Token: a.b.c", Code::BadRequest),
        (&twice, Code::BadRequest),
        ("GET /x\nHost: p\nX-Upstream-Host: a.test\nX-Api-Key: one\nX-Api-Key: two", Code::BadRequest),
        ("GET /x\nHost: p\nConnection: \"x\"", Code::BadRequest),
    ] {
        assert_eq!(parse(text).map(drop).map_err(|error| error.code()), Err(code), "{text}");
    }
    for text in [
        "OPTIONS /x\nHost: p\nMax-Forwards: 1",
        "GET /x\nHost: p\nMax-Forwards: 0",
        "GET /x\nHost: p\nVia: 1.1 veil",
        "CONNECT a.test:443 1.0",
        "GET /x\nHost: p\nX-Upstream-Host: b.test:8443\nX-Api-Key: one\nX-Api-Key: two",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_good_head_is_taken_apart_and_loses_what_is_ours() {
    let fields = "X-Upstream-Host: a.test\nX-Agent-Id: a\u{1b}b \nX-Request-Id: my-id\nAccept: */*\nTE: trailers";
    let text = format!(
        "POST /x%41/%2f?q=1\nHost: p\nX-Session-Secret: {SECRET}\nX-Copy: {SECRET}\n{}",
        fields.replace('\u{1b}', "\t")
    );
    let (received, record) = parse_in(&connection(None), &compile(ROUTES), &text);
    let received = received.unwrap();
    assert_eq!((&received.method, &*received.path, received.query.as_deref()), (&Method::POST, "/xA/%2F", Some("q=1")));
    assert!(received.encoded_slash && received.trailers.accepted() && received.handshake.is_none());
    assert_eq!(received.agent_id, "ab ");
    assert_eq!((received.request_id.as_str(), record.request_id().as_str()), ("my-id", "my-id"));
    assert_eq!((&*record.path, &*record.agent_id, &*record.method), ("/xA/%2F", "ab ", "POST"));
    assert!(!record.forward && !record.intercepted);
    assert_eq!(received.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    let long = "x".repeat(200);
    assert_eq!(parse(&format!("GET /\nHost: p\nX-Agent-Id: {long}")).unwrap().agent_id.len(), 128);
}

#[test]
fn a_credential_in_the_url_is_refused_and_not_recorded() {
    let credential = format!("Host: p\nX-Session-Secret: {SECRET}");
    let encoded = SECRET.replacen('0', "%30", 1);
    for target in
        [format!("/x/{SECRET}"), format!("/x?k={SECRET}"), format!("/x?k={encoded}"), format!("http://{SECRET}.test/")]
    {
        let (received, record) = parse_in(&connection(None), &compile(ROUTES), &format!("GET {target}\n{credential}"));
        assert_eq!(received.map(drop).map_err(|error| error.code()), Err(Code::BadRequest), "{target}");
        assert_eq!(record.path, "", "{target}");
    }
    // It has to be found as it is, too: decoded, it is another text.
    let (received, record) = parse_in(
        &connection(None),
        &compile(ROUTES),
        "GET /x/0123456789abcde%41\nHost: p\nX-Session-Secret: 0123456789abcde%41",
    );
    assert_eq!((received.map(drop).map_err(|error| error.code()), &*record.path), (Err(Code::BadRequest), ""));
    let (received, record) = parse_in(&connection(None), &compile(ROUTES), &format!("GET /a//b\n{credential}"));
    assert!(received.is_err());
    assert_eq!(record.path, "/a//b", "any other refused path is recorded as it came");
}

#[test]
fn metrics_tell_how_a_credential_was_judged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let metrics = Metrics::default();
    for (field, method, good) in [
        (format!("X-Session-Secret: {SECRET}"), "session", true),
        ("X-Session-Secret: wrong-wrong-wrong".to_owned(), "session", false),
        ("X-Veilwarden-Token: aaaaaaaa.bbbbbbbb.cccccccc".to_owned(), "kubernetes", false),
        ("Proxy-Authorization: Digest x".to_owned(), "malformed", false),
        ("Accept: */*".to_owned(), "none", false),
    ] {
        let (received, mut record) =
            parse_in(&connection(None), &compile(ROUTES), &format!("GET /x\nHost: p\n{field}"));
        let outcome = runtime.block_on(received.unwrap().authenticate(&authn(), &metrics, &mut record));
        assert_eq!((outcome.is_ok(), record.auth_method, record.identity.is_some()), (good, method, good), "{field}");
    }
    let counted = metrics.render(AuditCounts { written: 0, dropped: 0 }).unwrap();
    for (method, result) in
        [("session", "success"), ("session", "invalid_secret"), ("malformed", "malformed"), ("none", "missing")]
    {
        let line = |line: &str| line.contains(&format!("\"{method}\"")) && line.contains(&format!("\"{result}\""));
        assert!(counted.lines().any(line), "{method} {result} in\n{counted}");
    }
}
