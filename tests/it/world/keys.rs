//! The part of the played API server that tells who signs its tokens: the discovery document and the keys.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::kubernetes::{Mode, http};
use super::recorder::{Seen, Step};
use super::signer::{Signer, encode, jwks};

/// What `/.well-known/openid-configuration` names.
pub const ISSUER: &str = "https://played.test";
const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

/// The two documents.
#[derive(Clone)]
pub struct Documents(Arc<Mutex<State>>);

struct State {
    issuer: String,
    keys: String,
    mode: Mode,
}

impl Documents {
    pub fn new(signers: &[&Signer]) -> Documents {
        Documents(Arc::new(Mutex::new(State { issuer: ISSUER.into(), keys: jwks(signers), mode: Mode::Normal })))
    }

    /// From now on, these keys.
    pub fn publish(&self, signers: &[&Signer]) {
        self.0.lock().unwrap().keys = jwks(signers);
    }

    /// From now on, this text for keys.
    pub fn publish_text(&self, keys: &str) {
        self.0.lock().unwrap().keys = keys.to_owned();
    }

    pub fn issuer(&self, issuer: &str) {
        self.0.lock().unwrap().issuer = issuer.to_owned();
    }

    /// From now on, what becomes of both.
    pub fn mode(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    /// What is done with a request, if it is for one of them.
    pub fn play(&self, seen: &Seen) -> Option<Vec<Step>> {
        let state = self.0.lock().unwrap();
        let good = match seen.target() {
            // Its `jwks_uri` points to nowhere, as that of a real API server does for most of its readers.
            DISCOVERY => json!({"issuer": state.issuer, "jwks_uri": "https://192.0.2.1/openid/v1/jwks"}).to_string(),
            // A real one answers 406 to those who ask for `application/json` alone.
            KEYS if !seen.headers("accept").concat().contains("application/jwk-set+json") => {
                return Some(vec![Step::Send(http(406, "{}"))]);
            }
            KEYS => state.keys.clone(),
            _ => return None,
        };
        Some(match &state.mode {
            Mode::Normal => vec![Step::Send(http(200, &good))],
            Mode::Raw(status, body) => vec![Step::Send(http(*status, body))],
            Mode::Play(steps) => steps.clone(),
            Mode::Hang => vec![Step::Hang],
            Mode::Close => vec![Step::Close],
        })
    }
}

/// Whether a request asked for the keys.
pub fn is_fetch(seen: &Seen) -> bool {
    seen.target() == KEYS
}

/// The header that an API server writes.
pub fn header(signer: &Signer) -> Value {
    json!({"alg": signer.jwk()["alg"], "kid": signer.kid()})
}

/// A token with these claims.
pub fn signed(signer: &Signer, claims: &Value) -> String {
    signed_with(signer, &header(signer).to_string(), &claims.to_string())
}

/// A token with this header and payload, whatever they are.
pub fn signed_with(signer: &Signer, header: &str, payload: &str) -> String {
    let part = unsigned(header, payload);
    let signature = signer.sign(&part);
    format!("{part}.{signature}")
}

/// Header and payload, as a signature covers them.
pub fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()))
}
