//! What is read of a token before and after its signature: nobody gets more time or another name by its form.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::text;
use crate::authn::jwks::{claims, header::Header};
use crate::authn::service_account;
use crate::authn::token::{self, Claims, Parts};

const NOW: u64 = 1_800_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A token as it is when it begins with a dot (which is taken off); else its header and, behind a line end, its payload.
pub fn jwt(data: &[u8]) {
    match data.split_first() {
        Some((b'.', rest)) => judge(text(rest)),
        _ => {
            let cut = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
            let (header, payload) = (&data[..cut], data.get(cut + 1..).unwrap_or_default());
            let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
            judge(&format!("{header}.{payload}.c2lnbmF0dXJl"));
        }
    }
}

fn judge(token: &str) {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let _ = token::subject_and_audiences(token);
    let claims = match Claims::read(token, now) {
        Ok(claims) => claims,
        Err(error) => {
            let said = format!("{error} {error:?}");
            assert!(token.len() < 24 || !said.contains(&token[..token.floor_char_boundary(24)]), "{said}");
            return;
        }
    };
    assert!(claims.expires_at.is_none_or(|exp| exp > NOW), "{claims:?}");
    let parts = Parts::split(token).unwrap_or_else(|error| panic!("read and cannot be split: {error}"));
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(format!("{}.{}", parts.signed, parts.signature), token);
    verified(&parts, &claims, now);
}

/// As if its signature were good.
fn verified(parts: &Parts, unverified: &Claims, now: SystemTime) {
    if let Ok(header) = Header::read(&parts.header) {
        assert!(!header.kid.is_empty());
        let names = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&parts.header);
        let known = |name: &String| ["alg", "kid", "typ"].contains(&name.as_str());
        assert!(names.is_ok_and(|names| names.keys().all(known)), "a parameter that nobody knows passed");
    }
    let Ok(workload) = claims::workload(&parts.payload, Vec::new(), DAY, now) else { return };
    let named = service_account::parse(&workload.username);
    assert_eq!(named, Some((&*workload.namespace, &*workload.service_account)));
    assert_eq!(unverified.subject.as_deref(), Some(&*workload.username), "two readers, two names");
    let ends = workload.expires_at.expect("an end");
    assert!(ends > NOW && unverified.expires_at.is_some_and(|exp| ends <= exp), "{ends}");
}
