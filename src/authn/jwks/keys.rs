//! The keys that sign a cluster's tokens: a JWK set (RFC 7517) reduced to what we verify with.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, crypto};
use serde::Deserialize;

use super::header::Header;
use crate::authn::{Error, Unavailable};

/// RFC 7518 section 3.3 asks for this many; the upper bound is the verifier's own.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// A coordinate of P-256 (RFC 7518 section 6.2.1.2).
const P256_COORDINATE_BYTES: usize = 32;

/// One public key, and the only algorithm it is used with.
pub struct Key {
    algorithm: Algorithm,
    public: DecodingKey,
}

/// What a cluster signs with: its issuer's name, and at least one key.
pub struct KeySet {
    pub issuer: Arc<str>,
    keys: HashMap<String, Arc<Key>>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl Key {
    /// Whether this key made the signature (base64url) over `signed`. The header's algorithm decides nothing: it has to be
    /// the key's.
    pub fn verify(&self, header: &Header, signed: &str, signature: &str) -> Result<(), Error> {
        if header.algorithm != self.algorithm {
            return Err(Error::Refused("its algorithm is not that of the key it names".into()));
        }
        match crypto::verify(signature, signed.as_bytes(), &self.public, self.algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::Refused("its signature does not verify".into())),
        }
    }

    /// `None` for keys of other kinds and uses, and for those too weak or too large.
    fn from_jwk(jwk: &Jwk) -> Option<Key> {
        let for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let operations = jwk.common.key_operations.as_deref();
        let for_verifying = operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !for_signatures || !for_verifying {
            return None;
        }
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            _ => return None,
        };
        if jwk.common.key_algorithm.is_some_and(|algorithm| algorithm != named) {
            return None;
        }
        let public = DecodingKey::from_jwk(jwk).ok()?;
        let sound = match public.kind() {
            DecodingKeyKind::RsaModulusExponent { n, .. } => RSA_BITS.contains(&bits(n)),
            DecodingKeyKind::SecretOrDer(point) => point.len() == 1 + 2 * P256_COORDINATE_BYTES,
        };
        sound.then_some(Key { algorithm, public })
    }
}

/// The length of an unsigned big-endian number.
fn bits(number: &[u8]) -> usize {
    match number.iter().position(|byte| *byte != 0) {
        Some(first) => (number.len() - first) * 8 - number[first].leading_zeros() as usize,
        None => 0,
    }
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot be used are left out; a set without any other is none.
    pub fn read(issuer: Arc<str>, json: &[u8]) -> Result<KeySet, Unavailable> {
        let document: Document = serde_json::from_slice(json)
            .map_err(|e| Unavailable::Unreadable(format!("not a JWK set: {:?}", e.classify()).into()))?;
        let mut keys = HashMap::new();
        for value in document.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
            let (Some(key), Some(kid)) = (Key::from_jwk(&jwk), jwk.common.key_id.filter(|kid| !kid.is_empty())) else {
                continue;
            };
            match keys.entry(kid) {
                Entry::Vacant(place) => drop(place.insert(Arc::new(key))),
                Entry::Occupied(_) => return Err(Unavailable::Unreadable("two keys with one `kid`".into())),
            }
        }
        if keys.is_empty() {
            return Err(Unavailable::Unreadable("a JWK set without a key that we could verify with".into()));
        }
        Ok(KeySet { issuer, keys })
    }

    pub fn key(&self, kid: &str) -> Option<Arc<Key>> {
        self.keys.get(kid).cloned()
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::jwks::signer::Signer;
    use serde_json::{Value, json};

    fn read(keys: Value) -> Result<KeySet, Unavailable> {
        KeySet::read("https://issuer.test".into(), json!({ "keys": keys }).to_string().as_bytes())
    }

    fn with(mut jwk: Value, name: &str, value: Value) -> Value {
        jwk[name] = value;
        jwk
    }

    #[test]
    fn rsa_and_p256_keys_are_kept_and_others_left_out() {
        let (rsa, ec) = (Signer::rsa("r"), Signer::p256("e"));
        let others = [
            json!({"kty": "oct", "kid": "o", "k": "AAAA"}),
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "AAAA"}),
            with(ec.jwk(), "crv", json!("P-384")),
            with(ec.jwk(), "x", json!("AAAA")),
            with(rsa.jwk(), "alg", json!("RS512")),
            with(rsa.jwk(), "alg", json!("HS256")),
            with(rsa.jwk(), "use", json!("enc")),
            with(rsa.jwk(), "key_ops", json!(["encrypt"])),
            with(rsa.jwk(), "kid", json!("")),
            with(rsa.jwk(), "n", json!("!")),
            with(rsa.jwk(), "n", json!("AAAA")),
            json!({"kty": "RSA"}),
            json!("no key"),
            json!(null),
        ];
        for other in others {
            assert!(read(json!([other])).is_err(), "{other}");
            let set = read(json!([other, rsa.jwk(), with(ec.jwk(), "use", json!("sig"))]))
                .unwrap_or_else(|e| panic!("{other}: {e}"));
            assert!(set.len() == 2 && set.key("r").is_some() && set.key("e").is_some(), "{other}");
        }
    }

    #[test]
    fn h28_an_rsa_key_of_less_than_2048_bits_is_no_key() {
        let rsa = Signer::rsa("r").jwk();
        let short = rsa["n"].as_str().expect("a modulus");
        for kept in [171, 338] {
            assert!(read(json!([with(rsa.clone(), "n", json!(short[..kept]))])).is_err(), "{kept}");
        }
        assert_eq!((bits(&[0, 0, 1, 0]), bits(&[0x80; 256]), bits(&[0x7f; 256]), bits(&[0])), (9, 2048, 2047, 0));
    }

    #[test]
    fn h34_what_is_no_set_of_keys_is_unreadable() {
        for json in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":{}}"#, "<html></html>", r#"{"keys":null}"#] {
            let outcome = KeySet::read("i".into(), json.as_bytes());
            assert!(matches!(outcome, Err(Unavailable::Unreadable(_))), "{json}");
        }
        let rsa = Signer::rsa("same").jwk();
        assert!(read(json!([rsa, Signer::p256("same").jwk()])).is_err(), "one name for two keys");
    }

    #[test]
    fn h28_a_key_is_used_with_its_own_algorithm_only() {
        let (rsa, ec) = (Signer::rsa("r"), Signer::p256("e"));
        let set = read(json!([rsa.jwk(), ec.jwk()])).expect("a set");
        for (signer, own, other) in
            [(&rsa, Algorithm::RS256, Algorithm::ES256), (&ec, Algorithm::ES256, Algorithm::RS256)]
        {
            let key = set.key(signer.kid()).expect("the key");
            let signature = signer.sign("a.b");
            let header = |algorithm| Header { algorithm, kid: String::new() };
            assert!(key.verify(&header(own), "a.b", &signature).is_ok(), "{own:?}");
            assert!(key.verify(&header(other), "a.b", &signature).is_err(), "{own:?}");
            assert!(key.verify(&header(own), "a.c", &signature).is_err(), "{own:?}");
            for wrong in ["", "AAAA", "!", &signature[..signature.len() - 2], &format!("{signature}AAAA")] {
                assert!(key.verify(&header(own), "a.b", wrong).is_err(), "{own:?} {wrong}");
            }
        }
    }
}
