//! Judges tokens here, by the keys that the API server signs with: offline, and blind to what happens to a workload after
//! its token was issued (docs/jwks.md).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;

use super::api_server::ApiServer;
use super::token::{Claims, Parts};
use super::token_review::lists;
use super::{Authenticator, Error, Identity, KubernetesSettings, Source, Workload};
use crate::BoxFuture;
use crate::request::Credential;

pub(crate) mod claims;
mod fetch;
pub(crate) mod header;
mod keyring;
mod keys;
#[cfg(test)]
mod signer;

use fetch::Documents;
use header::Header;
use keyring::Keyring;
pub use keyring::OnFetch;

/// Verifies ServiceAccount tokens of one cluster.
pub struct Jwks {
    api_server: Arc<ApiServer>,
    keyring: Keyring,
    cluster: Option<String>,
    audience: Arc<str>,
    require_audience: bool,
    max_age: Duration,
}

impl Jwks {
    /// Nothing is fetched before [`Authenticator::begin`].
    pub fn new(api_server: Arc<ApiServer>, settings: &KubernetesSettings, on_fetch: OnFetch) -> Jwks {
        let documents = Arc::new(Documents {
            api_server: Arc::clone(&api_server),
            issuer: settings.issuer.as_deref().map(Arc::from),
            timeout: settings.timeout,
        });
        let fetch = Box::new(move || -> BoxFuture<'static, _> {
            let documents = Arc::clone(&documents);
            Box::pin(async move { documents.fetch().await })
        });
        let name = settings.cluster.clone().unwrap_or_else(|| super::DEFAULT_CLUSTER.to_owned());
        Jwks {
            api_server,
            keyring: Keyring::new(name, settings.timeout, fetch, on_fetch),
            cluster: settings.cluster.clone(),
            audience: settings.audience.as_str().into(),
            require_audience: settings.require_audience,
            max_age: settings.max_token_age,
        }
    }

    /// Whose token this is. Everything that can be told without a key comes before the key, so that garbage causes no
    /// fetch. A token older than `max_age` is refused unless the API server is asked about it afterwards.
    pub async fn verify(&self, token: &str, max_age: Duration) -> Result<Workload, Error> {
        let now = SystemTime::now();
        let unverified = Claims::read(token, now)?;
        let parts = Parts::split(token)?;
        let header = Header::read(&parts.header)?;
        let keys = self.keyring.keys().await?;
        if unverified.issuer.as_deref() != Some(&keys.issuer) {
            return Err(Error::Refused("its issuer is not the cluster's".into()));
        }
        let audiences = self.audiences(&unverified.audiences, &keys.issuer)?;
        let workload = claims::workload(&parts.payload, audiences, max_age, now)?;
        self.keyring.key(&keys, &header.kid).await?.verify(&header, parts.signed, parts.signature)?;
        if self.api_server.is_own_user(&workload.username) {
            return Err(Error::OwnIdentity);
        }
        Ok(Workload { cluster: self.cluster.clone(), ..workload })
    }

    /// Those of a token's audiences that count. With `require_audience` ours has to be the only one: a token for others
    /// too could be spent here by them. Without, one for the API server will do, which is known by the issuer's name (the
    /// default of `--api-audiences`) and by the audiences of our own token.
    fn audiences(&self, of_token: &[String], issuer: &str) -> Result<Vec<String>, Error> {
        let wrong = || Error::WrongAudience { audience: Arc::clone(&self.audience) };
        let ours = lists(of_token, &self.audience);
        if ours && (of_token.len() == 1 || !self.require_audience) {
            return Ok(vec![self.audience.to_string()]);
        }
        if self.require_audience {
            return Err(if ours { Error::Refused("it is for other audiences beside ours".into()) } else { wrong() });
        }
        let own = self.api_server.own_audiences();
        let is_api_servers = |audience: &&String| *audience == issuer || lists(&own, audience);
        let api_servers: Vec<String> = of_token.iter().filter(is_api_servers).cloned().collect();
        if api_servers.is_empty() { Err(wrong()) } else { Ok(api_servers) }
    }
}

impl Authenticator for Jwks {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        _: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        Box::pin(async move {
            match credential {
                Credential::Token(token) => {
                    let workload = self.verify(token.expose_secret(), self.max_age).await?;
                    Ok(Arc::new(Identity::Kubernetes(workload)))
                }
                Credential::SessionSecret(_) => Err(Error::SessionDisabled),
            }
        })
    }

    fn begin(&self) {
        self.keyring.begin();
    }

    fn ready(&self) -> bool {
        self.keyring.has_keys()
    }
}
