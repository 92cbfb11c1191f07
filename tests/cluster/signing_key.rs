//! The cluster's ServiceAccount signing key: whoever holds it makes tokens that the API server takes for its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_RSA_SHA256, SigningKey as _};
use serde_json::{Map, Value};

/// An RSA key, as in most clusters (RS256 tokens).
pub struct SigningKey(KeyPair);

impl SigningKey {
    pub fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_RSA_SHA256).expect("RSA keys can be made"))
    }

    /// PKCS #8 PEM, for `--service-account-signing-key-file`.
    pub fn private_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// PKIX PEM, for `--service-account-key-file`.
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// `token` with `change` applied to its claims and a new signature by this key. The header, and so the key id, stays:
    /// signed by another key than the cluster's, it is a forgery that differs from a real token in the signature only.
    pub fn sign_again(&self, token: &str, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let (header, _) = token.split_once('.').expect("a JWT has three parts");
        self.sign(header, token, change)
    }

    /// The same under the name of a key that no cluster has.
    pub fn sign_as_nobody(&self, token: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"nobody"}"#);
        self.sign(&header, token, |_| {})
    }

    fn sign(&self, header: &str, token: &str, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let (_, rest) = token.split_once('.').expect("a JWT has three parts");
        let (claims, _signature) = rest.split_once('.').expect("a JWT has three parts");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("claims are base64url");
        let mut claims: Map<String, Value> = serde_json::from_slice(&claims).expect("claims are a JSON object");
        change(&mut claims);
        let claims = URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
        let signed = format!("{header}.{claims}");
        let signature = self.0.sign(signed.as_bytes()).expect("RSA signs anything");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
