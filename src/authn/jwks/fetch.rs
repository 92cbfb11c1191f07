//! Where the keys come from: two documents of the API server, read with our own credentials.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::keys::KeySet;
use crate::authn::Unavailable;
use crate::authn::api_server::ApiServer;
use crate::gate::deadline::timeout;

/// OpenID Connect Discovery 1.0 section 4, as the API server serves it.
const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

/// The two documents of one cluster.
///
/// Only these paths of this server are ever read. The `jwks_uri` of the discovery document may point elsewhere, for those
/// who cannot reach the API server; nothing in a token points anywhere.
pub struct Documents {
    pub api_server: Arc<ApiServer>,
    /// `None`: the discovery document says it.
    pub issuer: Option<Arc<str>>,
    /// For both together.
    pub timeout: Duration,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl Documents {
    /// Reads the issuer's name, if it is not known, and its keys.
    pub async fn fetch(&self) -> Result<KeySet, Unavailable> {
        let fetched = timeout(self.timeout, self.read()).await;
        match fetched.unwrap_or(Err(Unavailable::Timeout(self.timeout))) {
            Err(Unavailable::Rbac) => Err(Unavailable::KeysForbidden),
            outcome => outcome,
        }
    }

    async fn read(&self) -> Result<KeySet, Unavailable> {
        let issuer = match &self.issuer {
            Some(issuer) => Arc::clone(issuer),
            None => issuer(&self.api_server.get(DISCOVERY).await?)?,
        };
        KeySet::read(issuer, &self.api_server.get(KEYS).await?)
    }
}

fn issuer(json: &[u8]) -> Result<Arc<str>, Unavailable> {
    match serde_json::from_slice::<Discovery>(json) {
        Ok(Discovery { issuer }) if !issuer.is_empty() => Ok(issuer.into()),
        _ => Err(Unavailable::Unreadable("a discovery document without an issuer".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovery_document_names_its_issuer() {
        let json = br#"{"issuer":"https://i.test","jwks_uri":"https://elsewhere.test/jwks","x":1}"#;
        assert_eq!(&*issuer(json).expect("an issuer"), "https://i.test");
        for json in ["", "{}", r#"{"issuer":""}"#, r#"{"issuer":null}"#, r#"{"issuer":["a"]}"#, "<html>"] {
            assert!(matches!(issuer(json.as_bytes()), Err(Unavailable::Unreadable(_))), "{json}");
        }
    }
}
