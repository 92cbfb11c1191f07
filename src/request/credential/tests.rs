use super::*;

const JWT: &str = "aaaaaaaa.bbbbbbbb.cccccccc";

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

fn taken(fields: &[(&'static str, &str)], kubernetes: bool) -> Result<Option<String>, BadCredential> {
    taken_with(&[], fields, kubernetes)
}

fn taken_with(
    slots: &[&'static str],
    fields: &[(&'static str, &str)],
    kubernetes: bool,
) -> Result<Option<String>, BadCredential> {
    let slots: Vec<HeaderName> = slots.iter().map(|name| HeaderName::from_static(name)).collect();
    take(&mut headers(fields), kubernetes, &slots).map(|found| {
        found.map(|credential| match &credential {
            Credential::Token(_) => format!("token {}", credential.expose()),
            Credential::SessionSecret(_) => format!("secret {}", credential.expose()),
        })
    })
}

#[test]
fn the_first_slot_that_is_present_decides() {
    let basic = format!("Basic {}", STANDARD.encode(format!("x:{JWT}")));
    let bearer = format!("Bearer {JWT}");
    for (fields, expected) in [
        (
            &[("proxy-authorization", &*basic), ("authorization", "Bearer app"), ("x-session-secret", "s")][..],
            format!("token {JWT}"),
        ),
        (
            &[("proxy-authorization", "Bearer laptop-secret"), ("x-veilwarden-token", JWT)],
            "secret laptop-secret".into(),
        ),
        (&[("x-veilwarden-token", JWT), ("authorization", "Bearer app")], format!("token {JWT}")),
        (&[("authorization", &*bearer), ("x-session-secret", "s")], format!("token {JWT}")),
        (&[("authorization", "Basic YTpi"), ("x-session-secret", "s")], "secret s".into()),
    ] {
        assert_eq!(taken(fields, true), Ok(Some(expected)), "{fields:?}");
    }
    assert_eq!(
        taken(&[("authorization", "Bearer app"), ("x-session-secret", "a.b.c")], false),
        Ok(Some("secret a.b.c".into()))
    );
    assert_eq!(taken(&[("authorization", "Bearer app")], false), Ok(None));
}

#[test]
fn d10_d11_a_bad_bearer_is_not_rescued() {
    for value in ["Bearer", "Bearer ", "Bearer  t", "Bearer\tt", "Bearer a b", "Bearer a,b", "bearer \"t\""] {
        assert!(taken(&[("authorization", value), ("x-session-secret", "s")], true).is_err(), "{value:?}");
    }
    for value in ["bearer t", "BEARER t"] {
        assert_eq!(taken(&[("authorization", value)], true), Ok(Some("token t".into())), "{value:?}");
    }
    for mark in ["-", ".", "_", "~", "+", "/", "="] {
        let value = format!("Bearer {mark}");
        assert_eq!(taken(&[("authorization", &value)], true), Ok(Some(format!("token {mark}"))));
    }
}

#[test]
fn a_proxy_credential_of_another_kind_is_refused() {
    for value in ["Digest x", "Basic", "Basic !!", "Basic YWJj", "Basic YTo="] {
        assert!(taken(&[("proxy-authorization", value)], true).is_err(), "{value:?}");
    }
}

#[test]
fn the_credential_leaves_every_field_in_which_it_recurs() {
    let basic = format!("Basic {}", STANDARD.encode(format!("x:{JWT}")));
    let mut map = headers(&[
        ("x-veilwarden-token", JWT),
        ("authorization", &basic),
        ("x-copy", &format!("v={JWT};")),
        ("proxy-authorization", &format!("Bearer {JWT}")),
        ("x-session-secret", "s"),
        ("accept", "*/*"),
    ]);
    assert!(take(&mut map, true, &[]).is_ok());
    assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
}

#[test]
fn inside_a_tunnel_only_its_own_credential_counts() {
    let tunnel = Credential::Token(SecretString::from(JWT));
    let mut map = headers(&[
        ("authorization", "Bearer app.lication.key"),
        ("proxy-authorization", "Bearer other.other.other"),
        ("x-veilwarden-token", "other.other.other"),
        ("x-session-secret", "other"),
        ("x-copy", JWT),
    ]);
    assert_eq!(inherit(&mut map, &tunnel, &[]).expose(), JWT);
    assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["authorization"]);
    assert_eq!(inherit(&mut map, &tunnel, &[AUTHORIZATION]).expose(), JWT);
    assert!(map.is_empty(), "the route's own slot is ours inside of a tunnel too: {map:?}");
}

#[test]
fn an_application_keeps_its_own_authorization() {
    let mut map = headers(&[("x-veilwarden-token", JWT), ("authorization", "Bearer app-key")]);
    assert!(take(&mut map, true, &[]).is_ok());
    assert_eq!(map["authorization"], "Bearer app-key");
}

#[test]
fn a_routes_own_slots_stand_behind_ours_and_before_the_bearer() {
    let basic = format!("Basic {}", STANDARD.encode("x:laptop-secret"));
    let bearer = format!("Bearer {JWT}");
    let secret = || "secret laptop-secret".to_owned();
    let token = || format!("token {JWT}");
    for (slots, fields, kubernetes, expected) in [
        (&["x-api-key"][..], &[("x-api-key", JWT), ("authorization", "Bearer app")][..], true, token()),
        (&["x-api-key"], &[("x-api-key", "laptop-secret"), ("authorization", &bearer)], true, secret()),
        (&["x-api-key"], &[("x-api-key", "laptop-secret"), ("x-session-secret", "s")], false, secret()),
        (&["x-api-key"], &[("x-api-key", JWT)], false, format!("secret {JWT}")),
        (&["x-api-key"], &[("proxy-authorization", &bearer), ("x-api-key", "dummy")], true, token()),
        (&["x-api-key"], &[("x-veilwarden-token", JWT), ("x-api-key", "dummy")], true, token()),
        (&["x-api-key"], &[("authorization", &bearer)], true, token()),
        (&["x-api-key"], &[("x-session-secret", "laptop-secret")], true, secret()),
        (&["x-api-key", "authorization"], &[("authorization", "Bearer laptop-secret")], false, secret()),
        (&["x-api-key", "authorization"], &[("authorization", &bearer), ("x-api-key", JWT)], true, token()),
        (&["authorization", "x-api-key"], &[("authorization", &bearer), ("x-api-key", "old")], true, token()),
        (&["authorization"], &[("authorization", "bearer laptop-secret")], true, secret()),
        (&["authorization"], &[("authorization", "token laptop-secret")], false, secret()),
        (&["authorization"], &[("authorization", "Token laptop-secret")], false, secret()),
        (&["authorization"], &[("authorization", &basic)], false, secret()),
    ] {
        assert_eq!(taken_with(slots, fields, kubernetes), Ok(Some(expected)), "{slots:?} {fields:?} {kubernetes}");
    }
    for kubernetes in [true, false] {
        assert_eq!(taken_with(&["x-api-key"], &[("x_api_key", JWT)], kubernetes), Ok(None));
        assert_eq!(taken_with(&[], &[("x-api-key", JWT)], kubernetes), Ok(None));
    }
}

#[test]
fn a_bad_credential_in_a_routes_slot_is_not_rescued() {
    for value in ["Bearer", "Bearer ", "Bearer a b", "token", "token ", "token a b", "Digest x", "Basic YTo=", ""] {
        let fields = [("authorization", value), ("x-api-key", JWT), ("x-session-secret", "laptop-secret")];
        for kubernetes in [true, false] {
            let found = taken_with(&["authorization", "x-api-key"], &fields, kubernetes);
            assert!(found.is_err(), "{value:?} {kubernetes}: {found:?}");
        }
    }
    // Whatever stands in a slot is a credential, an empty one too; that it is a bad one, the authenticator says.
    let fields = [("x-api-key", ""), ("x-session-secret", "laptop-secret")];
    assert_eq!(taken_with(&["x-api-key"], &fields, false), Ok(Some("secret ".into())));
}

#[test]
fn a_routes_slots_are_emptied_whichever_slot_decides() {
    let slots = [HeaderName::from_static("x-api-key"), AUTHORIZATION];
    for decides in ["x-veilwarden-token", "x-session-secret", "x-api-key"] {
        let mut map = headers(&[("x_api_key", "b"), ("x-api_key-", "c"), ("authorization", "Bearer d")]);
        map.insert("x-api-key", HeaderValue::from_static("a"));
        map.insert(HeaderName::from_static(decides), HeaderValue::from_static(JWT));
        map.insert("x-copy", HeaderValue::from_str(&format!("v={}", map[decides].to_str().unwrap())).unwrap());
        let kept = if decides == "x-session-secret" { vec!["x-copy"] } else { vec![] };
        assert!(take(&mut map, true, &slots).is_ok(), "{decides}");
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), kept, "{decides}");
    }
}
