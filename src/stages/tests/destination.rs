//! Where a call says that it goes, and the one route that it means.

use super::*;

/// The route's host, or the code of the refusal, and the host for the record.
fn destination(connection: &Connection, text: &str) -> (Result<String, Code>, String) {
    let routes = compile(ROUTES);
    let (received, mut named) = (parse_in(connection, &routes, text).0.unwrap(), String::new());
    let route = received.addressee.route(&routes, &mut named);
    (route.map(|(host, _)| host.to_string()).map_err(|error| error.code()), named)
}

#[test]
fn a_call_goes_where_all_of_its_head_says() {
    let plain = connection(None);
    for (text, route, named) in [
        ("GET /x\nHost: p\nX-Upstream-Host: A.test", Ok("a.test"), "a.test"),
        ("GET /x\nHost: p\nX-Upstream-Host: a.test:443", Ok("a.test:443"), "a.test:443"),
        ("GET /x\nHost: p", Err(Code::MissingHost), ""),
        ("GET /x\nHost: p\nX-Upstream-Host: ", Err(Code::MissingHost), ""),
        ("GET /x\nHost: p\nX-Upstream-Host: a.test\nX-Upstream-Host: a.test", Err(Code::InvalidHost), ""),
        ("GET /x\nHost: p\nX-Upstream-Host: c.test", Err(Code::HostNotAllowed), "c.test"),
        ("GET /x\nHost: p\nX-Upstream-Host: c_d.test", Err(Code::InvalidHost), "c_d.test"),
        ("GET /x\nHost: p\nX-Upstream-Host: under_score.test", Ok("under_score.test"), "under_score.test"),
        ("GET /_route/alpha/x\nHost: p", Ok("a.test"), "alpha.localhost"),
        ("GET /_route/alpha/x\nHost: p\nX-Upstream-Host: a.test", Ok("a.test"), "alpha.localhost"),
        ("GET /_route/alpha/x\nHost: p\nX-Upstream-Host: b.test:8443", Err(Code::InvalidHost), "alpha.localhost"),
        ("GET /_route/beta/x\nHost: p", Err(Code::HostNotAllowed), "beta.localhost"),
        ("GET /_route/B%2F/x\nHost: p", Err(Code::HostNotAllowed), ""),
        ("GET /_route\nHost: p", Err(Code::MissingHost), ""),
        ("GET /x\nHost: alpha.localhost", Ok("a.test"), "alpha.localhost"),
        ("GET /x\nHost: alpha.localhost\nX-Upstream-Host: a.test", Ok("a.test"), "alpha.localhost"),
        ("GET /x\nHost: alpha.localhost\nX-Upstream-Host: b.test:8443", Err(Code::InvalidHost), "alpha.localhost"),
        ("GET /x\nHost: veil.localhost\nX-Upstream-Host: a.test", Ok("a.test"), "a.test"),
        ("GET /x\nHost: veil.localhost", Err(Code::HostNotAllowed), "veil.localhost"),
        ("GET http://b.test:8443/x\nHost: b.test:8443", Ok("b.test:8443"), "b.test:8443"),
        ("GET http://b.test:8443/x\nHost: a.test", Err(Code::InvalidHost), ""),
        ("GET http://b.test:8443/x\nHost: b.test:8443\nX-Upstream-Host: a.test", Err(Code::InvalidHost), ""),
        ("CONNECT a.test:443\nHost: a.test:443", Ok("a.test:443"), "a.test:443"),
    ] {
        let (found, name) = destination(&plain, text);
        assert_eq!((found.as_deref().map_err(|code| *code), &*name), (route, named), "{text}");
    }
}

#[test]
fn inside_of_a_tunnel_only_its_host_is_reached() {
    let inside = connection(Some(tunnel_to("a.test:443")));
    for (text, route) in [
        ("GET /x\nHost: a.test", Ok("a.test:443")),
        ("GET /x\nHost: A.test:443", Ok("a.test:443")),
        ("GET /_route/alpha/x\nHost: a.test", Ok("a.test:443")),
        ("GET /x\nHost: a.test:80", Err(Code::Misdirected)),
        ("GET /x\nHost: b.test", Err(Code::Misdirected)),
        ("GET /x\nHost: a.test\nX-Upstream-Host: b.test:8443", Err(Code::Misdirected)),
    ] {
        let (found, name) = destination(&inside, text);
        assert_eq!((found.as_deref().map_err(|code| *code), &*name), (route, "a.test:443"), "{text}");
    }
    let text = format!(
        "GET /x\nHost: a.test\nAuthorization: Bearer app\nX-Api-Key: k\nX-Copy: {SECRET}\nX-Session-Secret: other"
    );
    let (received, record) = parse_in(&inside, &compile(ROUTES), &text);
    let received = received.unwrap();
    assert!(record.forward && record.intercepted && received.addressee.is_in_tunnel());
    assert_eq!(received.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["authorization"]);
    assert!(!parse("GET /x\nHost: p").unwrap().addressee.is_in_tunnel());
}

#[test]
fn an_authority_is_a_destination_in_http_1_and_only_a_name_in_http_2() {
    let plain = connection(None);
    for (text, forward, route, named) in [
        ("GET http://a.test/x 1.0\nHost: a.test:80", true, Ok("a.test"), "a.test"),
        ("GET http://a.test/x\nHost: a.test:80", true, Ok("a.test"), "a.test"),
        ("GET http://a.test/x 2\nHost: a.test", false, Err(Code::MissingHost), ""),
        ("GET http://a.test/x 2\nHost: a.test\nX-Upstream-Host: b.test:8443", false, Ok("b.test:8443"), "b.test:8443"),
    ] {
        assert_eq!(parse_in(&plain, &compile(ROUTES), text).1.forward, forward, "{text}");
        let (found, name) = destination(&plain, text);
        assert_eq!((found.as_deref().map_err(|code| *code), &*name), (route, named), "{text}");
    }
}

#[test]
fn what_had_the_credential_in_it_names_no_host_and_is_not_recorded() {
    let plain = connection(None);
    let label = &SECRET[..16];
    for (text, route, named) in [
        ("GET /x\nHost: p\nX-Upstream-Host: LABEL.test", Err(Code::MissingHost), ""),
        ("GET /x\nHost: LABEL.localhost", Err(Code::MissingHost), ""),
        ("GET /x\nHost: LABEL.localhost\nX-Upstream-Host: a.test", Ok("a.test"), "a.test"),
        ("GET /_route/alpha/x\nHost: LABEL.localhost", Ok("a.test"), "alpha.localhost"),
        ("GET /_route/alpha/x\nHost: p\nX-Upstream-Host: LABEL.test", Ok("a.test"), "alpha.localhost"),
    ] {
        let text = format!("{}\nX-Session-Secret: {label}", text.replace("LABEL", label));
        let (found, name) = destination(&plain, &text);
        assert_eq!((found.as_deref().map_err(|code| *code), &*name), (route, named), "{text}");
    }
}
