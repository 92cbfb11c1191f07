use http::HeaderValue;
use http::header::{ACCEPT, HeaderName};
use proptest::prelude::*;

use super::*;
use crate::authn::Source;
use crate::ca::ClientName;

fn json(node: Node<'_>) -> serde_json::Value {
    node.into()
}

#[test]
fn w26_query_parameters_are_decoded_in_order_as_a_form_is() {
    let cases = [
        ("", serde_json::json!([])),
        ("&&", serde_json::json!([])),
        ("a=1&a=2", serde_json::json!([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}])),
        ("a", serde_json::json!([{"key": "a", "value": ""}])),
        ("=", serde_json::json!([{"key": "", "value": ""}])),
        ("a=b=c", serde_json::json!([{"key": "a", "value": "b=c"}])),
        ("a;b=1", serde_json::json!([{"key": "a;b", "value": "1"}])),
        ("a+b=c%2Bd+%26", serde_json::json!([{"key": "a b", "value": "c+d &"}])),
        ("%C3%A9=%ff%zz%", serde_json::json!([{"key": "é", "value": "\u{fffd}%zz%"}])),
    ];
    for (query, expected) in cases {
        assert_eq!(json(query_params(query).expect("few parameters")), expected, "{query}");
    }
}

#[test]
fn w24_a_path_is_seen_in_decoded_segments() {
    let cases = [
        ("/", serde_json::json!([])),
        ("", serde_json::json!([])),
        ("/a/b", serde_json::json!(["a", "b"])),
        ("/a/", serde_json::json!(["a", ""])),
        ("/tenants/a%2Fb/x+y", serde_json::json!(["tenants", "a/b", "x+y"])),
        ("/%E2%82%AC/%ff", serde_json::json!(["€", "\u{fffd}"])),
    ];
    for (path, expected) in cases {
        assert_eq!(json(path_segments(path)), expected, "{path}");
    }
}

#[test]
fn repeated_header_fields_are_joined_and_odd_bytes_replaced() {
    let mut fields = HeaderMap::new();
    fields.append(ACCEPT, HeaderValue::from_static("a"));
    fields.append(ACCEPT, HeaderValue::from_static("b"));
    let odd = HeaderValue::from_bytes(b"\xff").expect("obs-text");
    fields.append(HeaderName::from_static("x-odd"), odd);
    assert_eq!(json(headers(&fields)), serde_json::json!({"accept": "a, b", "x-odd": "\u{fffd}"}));
}

#[test]
fn an_ipv4_peer_of_an_ipv6_socket_is_seen_as_ipv4() {
    let call = crate::policy::input::sample::Call {
        source: "::ffff:192.0.2.7".parse::<std::net::IpAddr>().expect("an address").into(),
        ..crate::policy::input::sample::Call::kubernetes()
    };
    assert_eq!(json(source(&call.input())), serde_json::json!({"ip": "192.0.2.7"}));
}

#[test]
fn what_a_connection_proves_joins_the_identity_and_is_no_address() {
    let call = crate::policy::input::sample::Call::user();
    for (source, certificate, identity_has, ip) in [
        (Source::Unix { uid: 1000 }, None, serde_json::json!({"peer_uid": 1000}), serde_json::json!({})),
        (
            call.source,
            Some(ClientName::Spiffe("spiffe://a/b".into())),
            serde_json::json!({"spiffe_id": "spiffe://a/b"}),
            serde_json::json!({"ip": "192.0.2.1"}),
        ),
        (
            call.source,
            Some(ClientName::Subject("CN=api".into())),
            serde_json::json!({"certificate_subject": "CN=api"}),
            serde_json::json!({"ip": "192.0.2.1"}),
        ),
    ] {
        let call = crate::policy::input::sample::Call { source, certificate, ..call.clone() };
        let mut found = json(identity(&call.input()).expect("an identity"));
        let members = found.as_object_mut().expect("an object");
        members.retain(|name, _| name != "type" && !name.starts_with("user_"));
        assert_eq!(found, identity_has);
        assert_eq!(json(super::source(&call.input())), ip);
    }
}

proptest! {
    #[test]
    fn encoding_a_form_and_reading_it_gives_the_same(pairs in prop::collection::vec((".{1,8}", ".{0,8}"), 0..8)) {
        let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let query: Vec<_> = pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
        let expected: Vec<_> = pairs.iter().map(|(key, value)| serde_json::json!({"key": key, "value": value})).collect();
        prop_assert_eq!(json(query_params(&query.join("&")).expect("few")), serde_json::Value::from(expected));
    }

    #[test]
    fn no_path_and_no_query_makes_it_panic(text in ".{0,64}") {
        let _ = path_segments(&text);
        let _ = query_params(&text);
    }
}
