//! What a token says of its own signature decides nothing.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{accepts, api_server, refused, start};
use crate::identity::logged;
use crate::world::World;
use crate::world::keys::{header, signed, signed_with, unsigned};
use crate::world::kubernetes::claims;
use crate::world::recorder::Recorder;
use crate::world::signer::{Signer, encode, jwks};

/// A key of 1024 bits and a good signature by it (made with OpenSSL: no library here would).
const SHORT_KEY: &str = "r8IP1Ve10OILX82g8Iz9ERduJjiIxI857VJgfNCTW4JD01QtAVkVFajYiysTLBm3wc9GosnCB7KloOaVyUspV3huuDATRjFrUaCVKM7S5u8ttePC7JydApgcezbdlOLnoVtBcOUakjkWDH0vOd5czPs8vZ3khrBnsr3bSXNpl3M";

const SHORT_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InNob3J0In0.eyJhdWQiOlsidmVpbHdhcmRlbiJdLCJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTcwMDAwMDAwMCwiaXNzIjoiaHR0cHM6Ly9wbGF5ZWQudGVzdCIsImt1YmVybmV0ZXMuaW8iOnsibmFtZXNwYWNlIjoicHJvZCIsInNlcnZpY2VhY2NvdW50Ijp7Im5hbWUiOiJhcGkiLCJ1aWQiOiJ1In19LCJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6cHJvZDphcGkifQ.O6CURBroRbkfBwAF_kgj0uz6BvRRPtQ9QJkRBt5jZ2DKfooMEiE8l9cMhzk_fN0XwSZ4PVzDb5N1y-9RSb60cbrQJ0P3vW6JcqeroWE3wtF73ttBr3mInLWD3Xg4x-YrWPElboRvHjJN_PKvlXr3Eqm81gCuAKypb1jOWqLQ1ts";

/// HS256 by a public key, which the verifier would take for the secret if it went by the header.
fn confused(signer: &Signer, secret: &[u8]) -> String {
    let part = unsigned(&json!({"alg": "HS256", "kid": signer.kid()}).to_string(), &claims(0).to_string());
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), part.as_bytes());
    format!("{part}.{}", encode(signature.as_ref()))
}

#[tokio::test]
async fn h28_the_algorithm_is_the_keys_and_no_weak_one() {
    let world = World::new().await.kubernetes().await;
    let (rsa, stranger) = (Signer::rsa("rsa"), Signer::rsa("rsa"));
    let api = world.kubernetes.as_ref().unwrap();
    api.documents.publish(&[&api.signer, &rsa]);
    let world = world.kubernetes_options("validate_method: jwks").start().await;
    let ec = &api_server(&world).signer;
    let claims = claims(0);
    let as_if = |signer: &Signer, algorithm: &str, kid: &str| {
        signed_with(signer, &json!({"alg": algorithm, "kid": kid}).to_string(), &claims.to_string())
    };
    let none = |algorithm: &str| {
        format!("{}.AA", unsigned(&json!({"alg": algorithm, "kid": "rsa"}).to_string(), &claims.to_string()))
    };
    let resigned = |token: String, change: fn(&mut Vec<u8>)| {
        let (part, signature) = token.rsplit_once('.').unwrap();
        let mut signature =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
        change(&mut signature);
        format!("{part}.{}", encode(&signature))
    };
    let jwk = rsa.jwk();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", jwk["n"].as_str().unwrap());
    for (token, what) in [
        (none("none"), "none"),
        (none("None"), "None"),
        (none("NONE"), "NONE"),
        (confused(&rsa, pem.as_bytes()), "HS256 by the public key in PEM"),
        (confused(&rsa, jwk["n"].as_str().unwrap().as_bytes()), "HS256 by the modulus"),
        (confused(&rsa, b""), "HS256 by nothing"),
        (as_if(&rsa, "ES256", "rsa"), "ES256 with an RSA key"),
        (as_if(ec, "RS256", "key-1"), "RS256 with a P-256 key"),
        (as_if(&rsa, "RS256", "key-1"), "a good signature by another key than it names"),
        (as_if(&rsa, "RS384", "rsa"), "RS384"),
        (as_if(&rsa, "PS256", "rsa"), "PS256"),
        (signed(&stranger, &claims), "a forged signature"),
        (resigned(signed(ec, &claims), |s| s.push(0)), "65 bytes of ES256"),
        (resigned(signed(ec, &claims), |s| s.truncate(63)), "63 bytes of ES256"),
        (resigned(signed(ec, &claims), |s| *s = [&[0x30, 0x44, 2, 32], &s[..32], &[2, 32], &s[32..]].concat()), "DER"),
        (resigned(signed(ec, &claims), |s| s.fill(0)), "zeros"),
        (resigned(signed(&rsa, &claims), |s| s[0] ^= 1), "a flipped bit"),
    ] {
        refused(&world, &token, what).await;
    }
    world.assert_nothing_sent("forgeries");
    accepts(&world, &signed(&rsa, &claims), "RS256").await;
    accepts(&world, &signed(ec, &claims), "ES256").await;
    assert_eq!(api_server(&world).reviews(), 0);
}

#[tokio::test]
async fn h28_a_key_of_1024_bits_is_no_key() {
    let world = World::new().await.kubernetes().await;
    let api = world.kubernetes.as_ref().unwrap();
    let mut keys: Value = serde_json::from_str(&jwks(&[&api.signer])).unwrap();
    keys["keys"].as_array_mut().unwrap().push(json!({"kty": "RSA", "kid": "short", "n": SHORT_KEY, "e": "AQAB"}));
    api.documents.publish_text(&keys.to_string());
    // With `jwks` the token, which was made long ago, would be too old.
    let world = world.kubernetes_options("validate_method: both").start().await;
    let answer = world.bearer(SHORT_TOKEN).await;
    let record = world.assert_refused(&answer, 401, "INVALID_TOKEN", "1024 bits").await;
    let cause = logged(&record)["cause"].to_string();
    assert!(cause.contains("its key is none of the API server's"), "{cause}");
    assert_eq!(api_server(&world).reviews(), 0);
    world.assert_works("the other key").await;
}

#[tokio::test]
async fn h30_a_header_names_nothing_that_is_obeyed_or_fetched() {
    let world = start("validate_method: jwks").await;
    let (signer, elsewhere) = (&api_server(&world).signer, Recorder::start().await);
    elsewhere.answer(crate::world::kubernetes::http(200, &jwks(&[signer])));
    let evil = Signer::p256("evil");
    let url = format!("http://{}/jwks", elsewhere.address);
    for (name, value) in [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", evil.jwk()),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("typ", json!("JWE")),
        ("enc", json!("A256GCM")),
        ("zip", json!("DEF")),
    ] {
        for signer in [signer, &evil] {
            let mut header = header(signer);
            header[name] = value.clone();
            refused(&world, &signed_with(signer, &header.to_string(), &claims(0).to_string()), name).await;
        }
    }
    let token = signed(signer, &claims(0));
    refused(&world, &format!("{token}.AAAA.AAAA"), "five parts").await;
    assert_eq!(elsewhere.connections(), 0);
    assert_eq!(api_server(&world).fetches(), 1, "nothing here is about an unknown key");
    world.assert_nothing_sent("odd headers");
    world.assert_works("after").await;
}
