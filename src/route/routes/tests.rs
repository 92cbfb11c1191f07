use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::redact::Redaction;
use crate::route::{Http2, Scheme, Timeouts};

fn settings(host: &str, scheme: Scheme) -> RouteSettings {
    let second = Duration::from_secs(1);
    RouteSettings {
        upstream_host: host.into(),
        scheme,
        http2: Http2::Auto,
        upstream_address: None,
        allow_cidrs: Vec::new(),
        ca_file: None,
        injection: None,
        relay: false,
        websocket: false,
        allow_encoded_slash: false,
        redaction: Redaction::Redact,
        allow_range: false,
        local_name: None,
        caller_slots: Vec::new(),
        timeouts: Timeouts { connect: second, first_byte: second, idle: second },
    }
}

fn https(hosts: &[&str]) -> Routes {
    Routes::compile(hosts.iter().map(|host| settings(host, Scheme::Https)).collect()).unwrap()
}

fn found(routes: &Routes, host: &str) -> Option<usize> {
    routes.find(&Host::parse(host).unwrap()).map(|route| route.index)
}

#[test]
fn b07_the_default_port_equals_no_port() {
    let routes = Routes::compile(vec![
        settings("A.test.", Scheme::Https),
        settings("a.test:8443", Scheme::Https),
        settings("b.test:443", Scheme::Https),
        settings("127.0.0.1:9000", Scheme::Http),
    ])
    .unwrap();
    for (host, index) in [
        ("a.test", Some(0)),
        ("a.test:443", Some(0)),
        ("a.test:8443", Some(1)),
        ("a.test:80", None),
        ("b.test", Some(2)),
        ("127.0.0.1:9000", Some(3)),
        ("127.0.0.1", None),
        ("c.test", None),
    ] {
        assert_eq!(found(&routes, host), index, "{host}");
    }
}

#[test]
fn one_host_has_one_route() {
    for (a, b) in [
        (("a.test", Scheme::Https), ("A.TEST", Scheme::Https)),
        (("a.test", Scheme::Https), ("a.test", Scheme::Http)),
        (("a.test", Scheme::Https), ("a.test:443", Scheme::Https)),
        (("*.a.test", Scheme::Https), ("*.A.TEST.", Scheme::Https)),
        (("*.a.test", Scheme::Https), ("*.a.test", Scheme::Http)),
        (("*.a.test:443", Scheme::Https), ("*.a.test", Scheme::Https)),
    ] {
        let mistakes = Routes::compile(vec![settings(a.0, a.1), settings(b.0, b.1)]).unwrap_err();
        assert!(matches!(&mistakes[..], [(1, Error::Duplicate(_))]), "{a:?} {b:?}: {mistakes:?}");
    }
    for (a, b) in [("*.a.test", "*.a.test:8443"), ("*.a.test", "a.test"), ("*.a.test", "*.b.a.test")] {
        https(&[a, b]);
    }
}

#[test]
fn a_wildcard_stands_for_one_label() {
    let routes = https(&["*.a.test", "*.a.test:8443", "*.x_y.test"]);
    let label = "l".repeat(63);
    for (host, index) in [
        ("one.a.test", Some(0)),
        ("ONE.A.TEST.:443", Some(0)),
        ("one.a.test:8443", Some(1)),
        ("7.a.test", Some(0)),
        ("xn--bcher-kva.a.test", Some(0)),
        (&*format!("{label}.a.test"), Some(0)),
        ("one.x_y.test", Some(2)),
        ("one.a.test:80", None),
        ("a.test", None),
        ("one.two.a.test", None),
        ("onea.test", None),
        ("one.b.test", None),
        ("one.a.test.b.test", None),
        ("test", None),
        ("under_score.a.test", None),
        ("_acme.a.test", None),
        ("10.0.0.1", None),
        ("[::1]", None),
    ] {
        assert_eq!(found(&routes, host), index, "{host}");
    }
}

#[test]
fn the_route_of_a_wildcard_is_the_called_hosts() {
    let routes = https(&["*.a.test", "*.b.test:8443"]);
    for (host, name, label) in [
        ("One.a.test.", "one.a.test", "*.a.test"),
        ("one.a.test:443", "one.a.test", "*.a.test"),
        ("one.b.test:8443", "one.b.test:8443", "*.b.test:8443"),
    ] {
        let route = routes.find(&Host::parse(host).unwrap()).unwrap();
        assert_eq!((route.name(), route.host.to_string().as_str(), route.label()), (name, name, label), "{host}");
        assert_eq!(route.host_header(), name, "{host}");
    }
}

#[test]
fn a_route_that_names_the_host_goes_before_a_wildcard() {
    let routes = Routes::compile(vec![
        settings("*.a.test", Scheme::Https),
        settings("one.a.test", Scheme::Https),
        settings("two.a.test:8443", Scheme::Https),
        // On the port of `https`, so that the wildcard has nothing left of this host.
        settings("three.a.test:443", Scheme::Http),
        settings("un_der.a.test", Scheme::Https),
        settings("*.a.test:8080", Scheme::Https),
    ])
    .unwrap();
    for (host, index) in [
        ("one.a.test", Some(1)),
        ("one.a.test:443", Some(1)),
        ("one.a.test:8080", Some(5)),
        ("two.a.test:8443", Some(2)),
        ("two.a.test", Some(0)),
        ("three.a.test:443", Some(3)),
        ("three.a.test", None),
        ("un_der.a.test", Some(4)),
        ("un_der.a.test:8080", None),
    ] {
        assert_eq!(found(&routes, host), index, "{host}");
    }
    // Both hosts would be `one.a.test` to policy and upstream.
    let routes =
        Routes::compile(vec![settings("*.a.test", Scheme::Http), settings("one.a.test", Scheme::Https)]).unwrap();
    assert_eq!((found(&routes, "one.a.test"), found(&routes, "one.a.test:80")), (Some(1), None));
    assert_eq!(found(&routes, "two.a.test:80"), Some(0));
}

#[test]
fn a_wildcard_has_no_local_name() {
    let mut one = settings("*.a.test", Scheme::Https);
    one.local_name = Some("a".to_owned());
    let mistakes = Routes::compile(vec![one]).unwrap_err();
    assert!(matches!(&mistakes[..], [(0, Error::LocalNameOfMany(_))]), "{mistakes:?}");
}

#[test]
fn the_hosts_of_a_wildcard_share_what_is_searched_for() {
    let mut one = settings("*.a.test", Scheme::Https);
    let template = "{{secret}}".to_owned();
    one.injection =
        Some(crate::route::InjectionSettings { secret_id: "K".to_owned(), header: "x-key".to_owned(), template });
    let routes = Routes::compile(vec![one]).unwrap();
    let memory = |host: &str| {
        let route = routes.find(&Host::parse(host).unwrap()).unwrap();
        std::ptr::from_ref(&route.injection.as_ref().unwrap().memory)
    };
    assert_eq!(memory("one.a.test"), memory("two.a.test"));
}

proptest! {
    /// Whatever a caller writes, what it reaches lies one label below the domain.
    #[test]
    fn nothing_else_matches_a_wildcard(text in "([a-zA-Z0-9*_.:@/\\[\\]-]{0,12}\\.)?(a\\.test|A\\.TEST|b\\.test)[.:0-9a-z]{0,4}") {
        let routes = https(&["*.a.test"]);
        let Ok(host) = Host::parse(&text) else { return Ok(()) };
        if let Some(route) = routes.find(&host) {
            let label = route.name().strip_suffix(".a.test").unwrap_or_default();
            prop_assert!(crate::authn::is_label(label), "{}: {}", text, route.name());
            prop_assert_eq!(route.name(), host.name());
        }
    }
}
