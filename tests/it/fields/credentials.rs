//! What is a credential, which one decides, and that none of them leaves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::with_tokens;
use crate::world::{Started, World};

const UNAUTHORIZED: (u16, &str) = (401, "UNAUTHORIZED");
const INVALID: (u16, &str) = (401, "INVALID_TOKEN");
const MALFORMED: (u16, &str) = (400, "BAD_REQUEST");

/// A request with these lines where the credential would be.
fn with(credential: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n", credential.as_ref(), b"\r\n\r\n"].concat()
}

fn reviews(world: &Started) -> usize {
    world.kubernetes.as_ref().unwrap().reviews()
}

#[tokio::test]
async fn d10_the_scheme_in_any_case_and_one_space() {
    let world = with_tokens().await;
    let token = world.kubernetes.as_ref().unwrap().token.clone();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let seen = world.forwards(with(format!("Authorization: {scheme} {token}")), scheme).await;
        assert_eq!(seen.headers("authorization"), [format!("Bearer {}", world.canary_a())]);
    }
    let asked = reviews(&world);
    for value in [format!("Bearer  {token}"), format!("Bearer\t{token}"), format!("Bearer{token}"), "Bearer".into()] {
        let refusal = if value.starts_with("Bearere") { UNAUTHORIZED } else { INVALID };
        world.refuses(with(format!("Authorization: {value}")), refusal, &format!("d10 {value}")).await;
    }
    world.refuses(with(format!("Authorization: Bearer {token} ")), MALFORMED, "d10 a space behind").await;
    world.refuses(with(format!("Authorization:  Bearer {token}")), MALFORMED, "d10 two spaces before").await;
    assert_eq!(reviews(&world), asked, "malformed tokens reached the API server");
}

#[tokio::test]
async fn d11_malformed_tokens_never_reach_the_api_server() {
    let world = with_tokens().await;
    world.assert_works("the token's own review").await;
    let asked = reviews(&world);
    let huge = format!("Bearer {}", "a".repeat(64 << 10));
    let large = format!("Bearer {}", "a".repeat(15 << 10));
    for (value, refusal) in [
        (&b"Bearer a b"[..], INVALID),
        (b"Bearer a,b", INVALID),
        (b"Bearer a.b.c d", INVALID),
        (b"Bearer \"a.b.c\"", INVALID),
        (b"Bearer \xffa.b.c", INVALID),
        (b"Bearer", INVALID),
        (b"Bearer a.b", INVALID),
        (b"Bearer ..", INVALID),
        (large.as_bytes(), INVALID),
        (b"Bearer ", MALFORMED),
        (b"Bearer a.b.c\x01", MALFORMED),
        (b"Bearer a\x00b", MALFORMED),
        (b"Basic eDp5", UNAUTHORIZED),
        (b"Digest x", UNAUTHORIZED),
        (b"", UNAUTHORIZED),
        (huge.as_bytes(), (431, "HEADERS_TOO_LARGE")),
    ] {
        let what = format!("d11 {}", value[..value.len().min(40)].escape_ascii());
        world.refuses(with([b"Authorization: ", value].concat()), refusal, &what).await;
    }
    assert_eq!(reviews(&world), asked, "malformed tokens reached the API server");
}

#[tokio::test]
async fn d13_the_session_secret_is_one_exact_value() {
    let world = World::new().await.start().await;
    let secret = world.session_secret();
    let prefix = &secret[..secret.len() - 1];
    for (credential, refusal) in [
        (format!("X-Session-Secret: {secret}\r\nX-Session-Secret: {secret}"), MALFORMED),
        (format!("X-Session-Secret: wrong\r\nX-Session-Secret: {secret}"), MALFORMED),
        (format!("X-Session-Secret: {secret}, {secret}"), UNAUTHORIZED),
        (format!("X-Session-Secret: wrong, {secret}"), UNAUTHORIZED),
        (format!("X-Session-Secret: {prefix}"), UNAUTHORIZED),
        (format!("X-Session-Secret: {secret}x"), UNAUTHORIZED),
        (format!("X-Session-Secret: {}", secret.to_uppercase()), UNAUTHORIZED),
        ("X-Session-Secret:".to_owned(), UNAUTHORIZED),
        (format!("X-Session-Secret:  {secret}"), MALFORMED),
        (format!("X-Session-Secret: {secret} "), MALFORMED),
        (format!("X-Session-Secret: {secret}\t"), MALFORMED),
        (format!("X-Session-Secret: {secret}\0"), MALFORMED),
        (format!("Authorization: Bearer {secret}"), UNAUTHORIZED),
        (format!("Cookie: X-Session-Secret={secret}"), UNAUTHORIZED),
    ] {
        world.refuses(with(&credential), refusal, &format!("d13 {credential}")).await;
    }
    for field in
        ["Authorization: Bearer a\r\nAuthorization: Bearer b", "Proxy-Authorization: x\r\nProxy-Authorization: y"]
    {
        let credential = format!("{field}\r\n{}", world.credential().trim_end());
        world.refuses(with(credential), MALFORMED, &format!("d13 {field}")).await;
    }
}

#[tokio::test]
async fn d14_a_disguised_field_is_no_credential_and_does_not_leave() {
    let world = with_tokens().await;
    let token = world.kubernetes.as_ref().unwrap().token.clone();
    let secret = world.session_secret();
    let disguised = [
        format!("authorization_: Bearer {token}"),
        format!("_Authorization: Bearer {token}"),
        format!("x_session_secret: {secret}"),
        format!("X-Session_Secret: {secret}"),
        format!("Proxy_Authorization: Bearer {token}"),
        format!("X_Veilwarden_Token: {token}"),
    ];
    for field in disguised {
        world.refuses(with(&field), UNAUTHORIZED, &format!("d14 {field}")).await;
        let other = field.replace(&token, "other").replace(&secret, "other");
        let seen = world.forwards(world.ok(&format!("{other}\r\n")), &other).await;
        assert!(!seen.head.contains("other"), "{other} left in\n{}", seen.head);
    }
    for field in ["Authorization\0: x", "Authorization : x", "Authorization\t: x"] {
        world.refuses(with(field), MALFORMED, &format!("d14 {field}")).await;
    }
}

#[tokio::test]
async fn d17_no_credential_leaves_whichever_slot_decided() {
    let world = with_tokens().await;
    let (token, secret) = (world.kubernetes.as_ref().unwrap().token.clone(), world.session_secret());
    let basic = |user: &str| STANDARD.encode(format!("{user}:{token}"));
    for credential in [
        format!("Proxy-Authorization: Bearer {token}"),
        format!("Proxy-Authorization: Basic {}", basic("x")),
        format!("X-Veilwarden-Token: {token}"),
        format!("Authorization: Bearer {token}\r\nProxy-Authorization: Bearer {token}"),
        format!("Authorization: Bearer {token}\r\nX-Session-Secret: {secret}\r\nX-Veilwarden-Token: {token}"),
        format!("X-Veilwarden-Token: {token}\r\nAuthorization: Basic {}\r\nX-Copy: is {token}!", basic("y")),
        format!("X-Session-Secret: {secret}\r\nX-Copy: {secret}\r\nCookie: s={secret}; a=b"),
    ] {
        world.forwards(with(&credential), &credential).await;
    }
    let everything = String::from_utf8(world.a.everything()).unwrap();
    for canary in [&token, &secret, &basic("x"), &basic("y")] {
        assert!(!everything.contains(canary.as_str()), "{canary} left");
    }
    assert!(!everything.to_lowercase().contains("proxy-auth"), "{everything}");
    for target in
        [format!("/x?token={token}"), format!("/{token}"), format!("/x?t=%{:x}{}", token.as_bytes()[0], &token[1..])]
    {
        world.refuses(world.request("GET", &target, ""), MALFORMED, &format!("d17 in the target: {target}")).await;
    }
}
