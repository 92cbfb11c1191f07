//! Keys that sign tokens in tests, as an API server has them. `tests/it` includes this file too.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key pair with a name.
pub struct Signer {
    kid: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl Signer {
    /// 2048 bits, RS256.
    pub fn rsa(kid: &str) -> Signer {
        Signer { kid: kid.to_owned(), pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    /// ES256.
    pub fn p256(kid: &str) -> Signer {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Signer { kid: kid.to_owned(), pair: Pair::P256(pair) }
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half, as `/openid/v1/jwks` has it.
    pub fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                // RSAPublicKey in DER: a sequence of the modulus (with a sign byte) and the exponent 65537.
                let modulus = &pair.public_key().as_ref()[9..][..256];
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": encode(modulus), "e": "AQAB"})
            }
            Pair::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "use": "sig", "crv": "P-256", "alg": "ES256", "kid": self.kid, "x": encode(x), "y": encode(y)})
            }
        }
    }

    /// The signature over `signed`, in base64url.
    pub fn sign(&self, signed: &str) -> String {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                encode(&signature)
            }
            Pair::P256(pair) => encode(pair.sign(&random, signed.as_bytes()).unwrap().as_ref()),
        }
    }
}

/// What `/openid/v1/jwks` answers.
pub fn jwks(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

/// base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
